"""A local server that stands for Slack, PagerDuty and webhooks: records, checks the documented formats, and fails on
command."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Call:
    """One request. at: monotonic seconds of its arrival; answered: status that was sent, 0 for none."""

    path: str
    headers: dict[str, str]
    raw: bytes
    at: float
    answered: int

    @property
    def body(self) -> dict[str, Any]:
        decoded = json.loads(self.raw)
        assert isinstance(decoded, dict)
        return decoded


@dataclass
class Recorder:
    """plan: what the next requests get: a status, `hang`, `drop` or `drip`; then success. wait: Retry-After."""

    port: int = 0
    calls: list[Call] = field(default_factory=list)
    plan: list[int | str] = field(default_factory=list)
    wait: str = ""
    words: str = ""
    incidents: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def taken(self) -> list[Call]:
        """Requests that were answered with success."""
        return [call for call in self.calls if 200 <= call.answered < 300]


def _pagerduty(recorder: Recorder, body: dict[str, Any]) -> tuple[int, str]:
    """The checks of the Events API v2."""
    errors = []
    if len(str(body.get("routing_key", ""))) != 32:
        errors.append("Length of 'routing_key' is incorrect (should be 32 characters)")
    action = body.get("event_action")
    if action not in ("trigger", "acknowledge", "resolve"):
        errors.append("'event_action' is invalid")
    if len(str(body.get("dedup_key", ""))) > 255 or not body.get("dedup_key"):
        errors.append("'dedup_key' is invalid")
    if action == "trigger":
        payload = body.get("payload", {})
        if not 0 < len(payload.get("summary", "")) <= 1024:
            errors.append("'summary' is invalid")
        if not payload.get("source") or payload.get("severity") not in ("critical", "error", "warning", "info"):
            errors.append("'payload' is invalid")
    if errors:
        return 400, json.dumps({"status": "invalid event", "errors": errors})
    recorder.incidents[str(body["dedup_key"])] = str(action)
    return 202, json.dumps({"status": "success", "dedup_key": body["dedup_key"]})


def _slack(body: dict[str, Any]) -> tuple[int, str]:
    """The limits of incoming webhooks and Block Kit."""
    blocks = body.get("blocks", [])
    fine = isinstance(body.get("text"), str) and body["text"] and len(blocks) <= 50
    for block in blocks:
        text = block.get("text", {})
        limit = 150 if block["type"] == "header" else 3000
        fine = fine and len(text.get("text", "x")) <= limit and text.get("text", "x") != ""
        fine = (
            fine and len(block.get("fields", [])) <= 10 and all(len(f["text"]) <= 2000 for f in block.get("fields", []))
        )
        if block["type"] == "header":
            fine = fine and text.get("type") == "plain_text"
    return (200, "ok") if fine else (400, "invalid_blocks")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        recorder: Recorder = self.server.recorder  # type: ignore[attr-defined]  # set by `recording`
        raw = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        with recorder.lock:
            step = recorder.plan.pop(0) if recorder.plan else None
        status, text = self._answer(recorder, raw, step)
        headers = {key.lower(): value for key, value in self.headers.items()}
        with recorder.lock:
            recorder.calls.append(Call(self.path, headers, raw, time.monotonic(), status))
        if step == "hang":
            recorder.released.wait(15)
        if step in ("hang", "drop"):
            self.close_connection = True
            return
        self.send_response(status)
        if recorder.wait and status == 429:
            self.send_header("Retry-After", recorder.wait)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        for byte in text.encode():
            self.wfile.write(bytes([byte]))
            if step == "drip" and recorder.released.wait(1.5):
                return

    def _answer(self, recorder: Recorder, raw: bytes, step: int | str | None) -> tuple[int, str]:
        if step in ("hang", "drop"):
            return 0, ""
        if isinstance(step, int):
            return step, recorder.words
        body = json.loads(raw)
        if self.path == "/v2/enqueue":
            return _pagerduty(recorder, body)
        if self.path.startswith("/services/"):
            return _slack(body)
        return 204 if self.path == "/hook" else 200, ""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is the base class's
        """Quiet."""


@contextmanager
def recording() -> Iterator[Recorder]:
    """A recorder on a free loopback port."""
    recorder = Recorder()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.recorder = recorder  # type: ignore[attr-defined]  # how the handler finds it
    recorder.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield recorder
    finally:
        recorder.released.set()
        server.shutdown()
        server.server_close()
