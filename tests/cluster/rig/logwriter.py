"""Writes the pods' log files, one per app and worker pod, and tells kwok which file is whose.

Invariant: every line is complete when it becomes visible, in the container-runtime format, with its own UTC time.
What is written is set by control.json: lines a second and pod, share of errors, and the rate of the shared load file.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.cluster.rig.api import Api, ApiError
from tests.cluster.rig.layout import NAMESPACE, Endpoints, load_endpoints, write_private
from tests.cluster.rig.workload import admin_api

LOGS_PATH = f"/apis/kwok.x-k8s.io/v1alpha1/namespaces/{NAMESPACE}/logs"
SELECTOR = "app%20in%20(workflow-scalability,workflow-worker)"
TICK_SECONDS = 0.1
POLL_SECONDS = 1.0
WAITS = ("scheduler", "mailer", "billing", "pool")


@dataclass(frozen=True, slots=True)
class LogPlan:
    """What is written: lines a second and pod, share of error entries (0-1), lines a second of the load file."""

    rate: float = 0.5
    error_share: float = 0.03
    load_rate: float = 0.0


def control_file(log_folder: Path) -> Path:
    """Returns the file that holds the LogPlan."""
    return log_folder / "control.json"


def write_plan(log_folder: Path, plan: LogPlan) -> None:
    """Changes what is written from the next second on."""
    write_private(control_file(log_folder), json.dumps(asdict(plan)))


def read_plan(log_folder: Path) -> LogPlan:
    """Returns what is to be written; the usual when nobody said otherwise."""
    try:
        return LogPlan(**json.loads(control_file(log_folder).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return LogPlan()


def frame(text: str, stream: str = "stdout") -> str:
    """Returns one line in the container-runtime format, with the time of now in nanoseconds."""
    nanoseconds = time.time_ns()
    moment = datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{nanoseconds % 1_000_000_000:09d}Z {stream} F {text}\n"


def iso_now() -> str:
    """Returns now as an application would write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def json_line(level: str, message: str, **values: Any) -> str:
    """Returns a line as a structured logger writes it."""
    return json.dumps({"time": iso_now(), "level": level, "msg": message, **values})


def logfmt_line(level: str, message: str, **values: Any) -> str:
    """Returns a line of key=value pairs."""
    pairs = " ".join(f"{key}={value}" for key, value in values.items())
    return f'time={iso_now()} level={level} msg="{message}" {pairs}'.rstrip()


def klog_line(letter: str, message: str) -> str:
    """Returns a line as klog writes it."""
    return f"{letter}{datetime.now(UTC):%m%d %H:%M:%S.%f}       1 worker.go:142] {message}"


def usual_entry(dice: random.Random) -> list[str]:
    """Returns one unremarkable entry in one of the formats."""
    request, took = dice.randrange(10**6), dice.randrange(4, 90)
    return dice.choice(
        [
            [json_line("info", "request served", path="/api/runs", status=200, ms=took, request_id=f"r-{request}")],
            [logfmt_line("info", "run scheduled", workflow=f"wf-{request % 97:03d}", ms=took)],
            [klog_line("I", f"synced workflow wf-{request % 97:03d} in {took}ms")],
            [f"{iso_now()} INFO  cache hit key=user:{request % 500}"],
            [json_line("warn", "slow query", ms=took * 20, table="runs")],
            [f"{iso_now()} DEBUG heartbeat {request}"],
        ]
    )


def error_entry(dice: random.Random) -> list[str]:
    """Returns one error: with a stack trace, or a single line in one of the formats."""
    number = dice.randrange(10**6)
    return dice.choice(
        [
            python_trace(number),
            java_trace(number),
            [
                json_line(
                    "error",
                    "upstream timeout",
                    service=dice.choice(WAITS),
                    ms=30000,
                    request_id=f"r-{number}",
                )
            ],
            [logfmt_line("error", "connection refused", host="postgres", port=5432, attempt=number % 5)],
            [klog_line("E", f'"Failed to publish" err="channel closed" queue="tasks" delivery={number}')],
            [f"{iso_now()} FATAL out of connections: pool exhausted after {number % 90} s"],
        ]
    )


def python_trace(number: int) -> list[str]:
    """Returns an error with a Python traceback below it."""
    return [
        f"{iso_now()} ERROR request r-{number} failed",
        "Traceback (most recent call last):",
        '  File "/app/workflow/api.py", line 88, in handle',
        "    run = store.load(run_id)",
        '  File "/app/workflow/store.py", line 41, in load',
        "    raise KeyError(run_id)",
        f"KeyError: 'run-{number}'",
    ]


def java_trace(number: int) -> list[str]:
    """Returns an error with a Java stack trace below it."""
    return [
        f"{iso_now()} ERROR [worker-{number % 8}] run {number} aborted",
        "java.lang.IllegalStateException: no free executor",
        "\tat com.example.workflow.Pool.take(Pool.java:73)",
        "\tat com.example.workflow.Worker.run(Worker.java:29)",
        "Caused by: java.util.concurrent.TimeoutException: 5000 ms",
        "\t... 12 more",
    ]


class LogWriter:
    """Keeps one file per pod and one Logs object per pod in step with the pods there are."""

    def __init__(self, endpoints: Endpoints) -> None:
        self.folder = Path(endpoints.logs) / "pods"
        self.endpoints = endpoints
        self.dice = random.Random(3)
        self.pods: set[str] = set()
        self.owed: dict[str, float] = {}

    def prepare(self) -> None:
        """Makes the files that are there from the start."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("postgres", "rabbitmq", "load", "quiet", "init", "previous"):
            self.write(name, [f"{iso_now()} INFO {name} log opened"])
        self.write("previous", ["fatal: out of memory, the container is going to be killed"])

    def write(self, name: str, lines: list[str]) -> None:
        """Appends lines in one write, so that a reader never sees half a line."""
        with (self.folder / f"{name}.log").open("ab") as handle:
            handle.write("".join(frame(line) for line in lines).encode())

    def sync(self, api: Api) -> None:
        """Creates the Logs objects of new pods and removes those of pods that are gone."""
        listed = api.get(f"/api/v1/namespaces/{NAMESPACE}/pods?resourceVersion=0&labelSelector={SELECTOR}")
        present = {str(item["metadata"]["name"]) for item in listed["items"]}
        for name in present - self.pods:
            self.write(name, [f"{iso_now()} INFO starting, version 2.4"])
            with contextlib.suppress(ApiError):
                api.post(LOGS_PATH, self.logs_object(name))
        for name in self.pods - present:
            with contextlib.suppress(ApiError):
                api.delete(f"{LOGS_PATH}/{name}")
            (self.folder / f"{name}.log").unlink(missing_ok=True)
        self.pods = present

    def logs_object(self, name: str) -> dict[str, Any]:
        """Returns the Logs object of one pod."""
        main = {
            "logsFile": str(self.folder / f"{name}.log"),
            "previousLogsFile": str(self.folder / "previous.log"),
            "follow": True,
        }
        first = {
            "containers": ["wait-for-rabbitmq"],
            "logsFile": str(self.folder / "init.log"),
            "follow": True,
        }
        return {
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "Logs",
            "metadata": {"name": name},
            "spec": {"logs": [main, first]},
        }

    def tick(self, plan: LogPlan, seconds: float) -> None:
        """Writes what is due after `seconds` more."""
        for name in self.pods:
            self.emit(name, plan.rate * seconds, plan.error_share)
        self.emit("load", plan.load_rate * seconds, 0.01)
        self.emit("quiet", 0.1 * seconds, 0.0)

    def emit(self, name: str, lines: float, error_share: float) -> None:
        """Writes the whole entries among the `lines` due for a file; the rest is due at the next tick."""
        due = self.owed.get(name, self.dice.random()) + lines
        entries: list[str] = []
        while due >= 1:
            make: Callable[[random.Random], list[str]]
            make = error_entry if self.dice.random() < error_share else usual_entry
            entries += make(self.dice)
            due -= 1
        self.owed[name] = due
        if entries:
            self.write(name, entries)


def run(state: Path) -> None:
    """Writes until it is stopped; an API server that is away is asked again a second later."""
    endpoints = load_endpoints(state)
    writer = LogWriter(endpoints)
    writer.prepare()
    api = admin_api(endpoints)
    plan, polled = LogPlan(), 0.0
    last = time.monotonic()
    while True:
        now = time.monotonic()
        if now - polled >= POLL_SECONDS:
            polled = now
            plan = read_plan(Path(endpoints.logs))
            with contextlib.suppress(OSError, http.client.HTTPException, ApiError):
                writer.sync(api)
        writer.tick(plan, now - last)
        last = now
        time.sleep(TICK_SECONDS)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
