"""A console without a screen, for tests that kill it: prepares one action and runs it, and stops where it is told.

Usage: python -m tests.cluster.action_process STATE FOLDER STOP ACTION KIND NAMESPACE NAME UID [KEY=VALUE ...]
STOP: the step before which it prints `at STEP` and waits to be killed: intent, execute, verify, outcome; or none,
where it prints `ready`, waits for a line, and prints the run's last state.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from planc_tui.actions.executor import FINISHED, STARTED
from planc_tui.actions.recorder import Entry
from planc_tui.core.table import Target
from tests.cluster.actions_kit import Bench
from tests.cluster.rig.rig import Rig


class OnDisk:
    """A recorder in one file, flushed to disk at each entry."""

    def __init__(self, path: Path, stop: str = "") -> None:
        self._path, self._stop = path, stop

    def record(self, kind: str, data: Mapping[str, Any]) -> None:
        if (kind, self._stop) in ((STARTED, "intent"), (FINISHED, "outcome")):
            halt(self._stop)
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode({"type": kind, "data": data}) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def entries(self, kinds: Sequence[str]) -> Sequence[Entry]:
        lines = self._path.read_bytes().splitlines() if self._path.exists() else []
        found = [msgspec.json.decode(line) for line in lines]
        return [Entry(one["type"], 0.0, one["data"]) for one in found if one["type"] in kinds]


def halt(step: str) -> None:
    """Waits to be killed."""
    print(f"at {step}", flush=True)
    threading.Event().wait(60)
    os._exit(9)


def main(state: str, folder: str, stop: str, action: str, *row: str) -> None:
    """Runs one action as described above."""
    kind, namespace, name, uid, *pairs = row
    bench = Bench(Rig(Path(state)), Path(folder), who=f"process {os.getpid()}")
    bench.memory = OnDisk(Path(folder) / "journal", stop)  # type: ignore[assignment]  # another recorder
    bench.executor = bench.console(f"process {os.getpid()}")
    doing: Any = bench.executor.actions[action]
    if stop in ("execute", "verify"):
        setattr(doing, stop, lambda *_: halt(stop))
    prepared = bench.prepare(action, Target(kind, name, namespace, uid, bench.port.context), **dict(
        pair.split("=", 1) for pair in pairs
    ))  # fmt: skip  # rows as a person reads them
    if stop == "none":
        print("ready", flush=True)
        sys.stdin.readline()
    bench.start(prepared)
    run = bench.finish(60)
    print(f"{run.state.value}: {run.progress}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
