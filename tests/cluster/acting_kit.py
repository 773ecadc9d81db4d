"""Runs actions on the real PostgreSQL and RabbitMQ through the real executor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from planc_tui.actions.arming import Arming
from planc_tui.actions.base import Ports, Refusal
from planc_tui.actions.executor import Executor, Prepared, Run
from planc_tui.actions.recorder import Entry
from planc_tui.actions.registry import load
from planc_tui.backends.admin import Admins, open_admin
from planc_tui.core.clock import SystemClock
from planc_tui.core.stats import RequestStats
from planc_tui.core.table import Target
from planc_tui.playbook.loader import default
from planc_tui.playbook.model import Playbook
from tests.cluster.rig.rig import Rig
from tests.real import ways
from tests.systems_kit import FakeCluster


class Memory:
    """A recorder in memory that keeps what a journal would: JSON values."""

    def __init__(self) -> None:
        self.kept: list[Entry] = []

    def record(self, kind: str, data: Mapping[str, Any]) -> None:
        self.kept.append(Entry(kind, 0.0, msgspec.json.decode(msgspec.json.encode(data))))

    def entries(self, kinds: Sequence[str]) -> Sequence[Entry]:
        return [entry for entry in self.kept if entry.type in kinds]


class Acting:
    """One console's executor. changed: systems of the playbook in place of the rig's."""

    def __init__(self, rig: Rig, folder: Path, **changed: Any) -> None:
        self.playbook: Playbook = msgspec.structs.replace(default(), systems=ways(rig, **changed))
        self.cluster = FakeCluster()
        self.clock = SystemClock()
        self.admins: Admins = open_admin(self.playbook, self.cluster, "ns", RequestStats(), self.clock, {})
        self.ports = Ports(
            self.cluster, self.clock, self.admins.database, self.admins.broker, self.playbook, str(folder),
            self.admins.alerts,
        )  # fmt: skip  # rows as a person reads them
        self.memory = Memory()
        self.seen: list[Run] = []
        self._changed = threading.Condition()
        self.executor = Executor(
            self.ports, load()[0], self.memory, Arming(self.clock, protected=False), folder, "test", self._on_change
        )

    def _on_change(self, run: Run) -> None:
        with self._changed:
            self.seen.append(run)
            self._changed.notify_all()

    def refusal(self, action: str, target: Target, **args: str) -> str:
        """Why there is no plan."""
        answer = self.executor.prepare(action, target, args)
        assert isinstance(answer, Refusal), answer
        return answer.reason

    def prepare(self, action: str, target: Target, **args: str) -> Prepared:
        """A plan that may run."""
        answer = self.executor.prepare(action, target, args)
        assert isinstance(answer, Prepared), answer
        assert not answer.refused
        return answer

    def start(self, prepared: Prepared) -> Run:
        """A run under way."""
        return self.executor.start(prepared)

    def until(self, run: Run, what: Callable[[Run], bool], seconds: float = 60.0) -> Run:
        """The first state of the run that is so."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                found = next((one for one in self.seen if one.id == run.id and what(one)), None)
                if found is not None:
                    return found
                assert self._changed.wait(deadline - time.monotonic()), f"not within {seconds} s: {self.seen[-1]}"

    def do(self, action: str, target: Target, **args: str) -> Run:
        """Prepare, confirm, run to the end."""
        return self.until(self.start(self.prepare(action, target, **args)), lambda run: run.state.over)

    def undo(self, run: Run) -> Run:
        """Undo a run, the whole way."""
        way = self.executor.undo(run)
        assert way is not None
        return self.do(way[0], way[1], **way[2])

    def close(self) -> None:
        """Drop every connection."""
        self.admins.close()
        self.cluster.close()
