"""The application's metrics as a test wants them: rates, errors and latency, advanced by wall time.

Invariant: counters only grow, by exactly rate x time; a change of rate takes effect at once and never resets them.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import dataclass, field, fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SERVICE = 'service="workflow-scalability"'


@dataclass(slots=True)
class Traffic:
    """What is served now: requests a second, share of 5xx answers (0-1), median latency in ms."""

    rps: float = 120.0
    error_ratio: float = 0.00003
    latency_ms: float = 35.0


@dataclass(slots=True)
class Counters:
    """The counters so far."""

    by_code: dict[str, float] = field(
        default_factory=lambda: {"200": 0.0, "201": 0.0, "404": 0.0, "500": 0.0, "503": 0.0}
    )
    buckets: list[float] = field(default_factory=lambda: [0.0] * (len(BUCKETS) + 1))
    seconds: float = 0.0


class Exporter:
    """Keeps traffic and counters under one lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.traffic = Traffic()
        self.counters = Counters()
        self.advanced_at = time.monotonic()

    def advance(self) -> None:
        """Adds what happened since the last call; the lock is held by the caller."""
        now = time.monotonic()
        requests = self.traffic.rps * (now - self.advanced_at)
        self.advanced_at = now
        errors = requests * self.traffic.error_ratio
        good = requests - errors
        shares = {
            "200": good * 0.9,
            "201": good * 0.08,
            "404": good * 0.02,
            "500": errors * 0.7,
            "503": errors * 0.3,
        }
        for code, share in shares.items():
            self.counters.by_code[code] += share
        median = self.traffic.latency_ms / 1000
        self.counters.seconds += requests * median * 1.1
        for index, bound in enumerate((*BUCKETS, float("inf"))):
            self.counters.buckets[index] += requests * share_below(bound, median)

    def set(self, changes: dict[str, float]) -> None:
        """Changes the traffic. Raises ValueError for an unknown or negative value."""
        known = {item.name for item in fields(Traffic)}
        for key, value in changes.items():
            if key not in known or not isinstance(value, int | float) or value < 0:
                raise ValueError(f"{key}={value!r}: expected one of {sorted(known)} and a number >= 0")
        with self.lock:
            self.advance()
            for key, value in changes.items():
                setattr(self.traffic, key, float(value))

    def text(self) -> str:
        """Returns the metrics in the text exposition format."""
        with self.lock:
            self.advance()
            lines = ["# TYPE http_requests_total counter"]
            for code, value in self.counters.by_code.items():
                lines.append(f'http_requests_total{{{SERVICE},code="{code}"}} {value:.6f}')
            lines.append("# TYPE http_request_duration_seconds histogram")
            for bound, value in zip((*map(str, BUCKETS), "+Inf"), self.counters.buckets, strict=True):
                lines.append(f'http_request_duration_seconds_bucket{{{SERVICE},le="{bound}"}} {value:.6f}')
            lines.append(f"http_request_duration_seconds_sum{{{SERVICE}}} {self.counters.seconds:.6f}")
            lines.append(f"http_request_duration_seconds_count{{{SERVICE}}} {self.counters.buckets[-1]:.6f}")
        return "\n".join(lines) + "\n"


def share_below(bound: float, median: float) -> float:
    """Returns the share of requests faster than `bound` seconds: log-logistic around the median, shape 4.

    >>> share_below(0.1, 0.1), share_below(float("inf"), 0.1)
    (0.5, 1.0)
    """
    if bound == float("inf") or median <= 0:
        return 1.0
    return 1 / (1 + float((median / bound) ** 4))


def handler_for(exporter: Exporter) -> type[BaseHTTPRequestHandler]:
    """Returns the request handler bound to one exporter."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                self.answer(200, exporter.text(), "text/plain; version=0.0.4")
            elif self.path == "/set":
                traffic = exporter.traffic
                self.answer(200, json.dumps({item.name: getattr(traffic, item.name) for item in fields(Traffic)}))
            else:
                self.answer(404, "not found\n")

        def do_PUT(self) -> None:
            try:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
                exporter.set(body)
            except (ValueError, AttributeError) as error:
                self.answer(400, f"{error}\n")
            else:
                self.answer(200, "ok\n")

        def answer(self, status: int, text: str, content_type: str = "application/json") -> None:
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Says nothing: Prometheus asks every second."""

    return Handler


def main() -> None:
    """Serves on 127.0.0.1 at the port given as the only argument."""
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), handler_for(Exporter()))
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
