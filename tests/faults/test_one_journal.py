"""Two consoles and an escalator on one journal: what one writes the others see within a second."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from planc_tui.core.clock import SystemClock
from planc_tui.core.store import Store
from planc_tui.core.timeline import Actor
from planc_tui.desk.desk import Command, Desk
from planc_tui.desk.feed import DESK, DeskFeed
from planc_tui.desk.policy import policy_of
from planc_tui.incident import kinds, lifecycle
from planc_tui.incident.lifecycle import Declaration
from planc_tui.incident.model import Incident, State
from planc_tui.journal import Journal
from planc_tui.playbook.loader import load

SECOND = 1.0
PLAYBOOK = """
extends: plan-c
language: en
escalation:
  levels:
    - {id: L1, after: 0, who: on-call developer, channel: box}
    - {id: L2, after: 2s, who: senior developer, channel: box}
    - {id: L3, after: 60m, who: tech lead, channel: box}
    - {id: L4, after: 90m, who: CTO, channel: box}
channels:
  - {id: box, kind: file, name: box, path: "%s"}
messages:
  channels: [box]
"""


class Console:
    """A console without its screen: the desk, and the feed that fills the store the screen is drawn from."""

    def __init__(self, path: Path, playbook: Path, name: str) -> None:
        self.desk = Desk(Journal.open(path), policy_of(load(str(playbook))), Actor(name, tty="pts/1", host="bastion"))
        self.store = Store()
        self.feed = DeskFeed(self.desk, self.store, SystemClock())
        self.feed.want(True)
        self.feed.start()

    @property
    def incident(self) -> Incident | None:
        state = self.store.peek(DESK).value
        return None if state is None else state.incident

    @property
    def keeper(self) -> str:
        state = self.store.peek(DESK).value
        return "" if state is None else state.keeper

    def do(self, command: Command) -> None:
        assert self.incident is not None
        assert self.desk.do(self.incident.id, command).ok

    def close(self) -> None:
        self.feed.stop()
        self.desk.journal.close()


def soon(what: Callable[[], bool], within: float = SECOND) -> float:
    """Seconds until it is so."""
    began = time.monotonic()
    while not what():
        assert time.monotonic() - began < within, f"not seen within {within} s"
        time.sleep(0.01)
    return time.monotonic() - began


@contextmanager
def escalating(path: Path, playbook: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-c", "from planc_tui.cli import main; main()", "--playbook", str(playbook), "escalator"],
        env={**os.environ, "PLANC_JOURNAL": str(path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(timeout=10)


@pytest.fixture
def playbook(tmp_path: Path) -> Path:
    file = tmp_path / "playbook.yaml"
    file.write_text(PLAYBOOK % (tmp_path / "box"))
    file.chmod(0o600)
    return file


def test_what_one_writes_the_others_see_within_a_second(tmp_path: Path, playbook: Path) -> None:
    path = tmp_path / "state" / "journal.db"
    ana, bob = Console(path, playbook, "ana"), Console(path, playbook, "bob")
    try:
        with escalating(path, playbook) as escalator:
            soon(lambda: bool(ana.keeper and bob.keeper), 20)
            assert ana.keeper == bob.keeper
            assert str(escalator.pid) in ana.keeper
            assert ana.desk.declare(Declaration("checkout answers 502", "P1")).ok
            soon(lambda: bob.incident is not None)
            # The escalator sees it and pages; both consoles see the page.
            soon(lambda: all(_paged(one, "L1") for one in (ana, bob)))
            soon(lambda: all(_paged(one, "L2") for one in (ana, bob)), 2 + SECOND)
            soon(lambda: len(list((tmp_path / "box").glob("*.txt"))) == 2, SECOND)
            bob.do(lambda i, _: lifecycle.acknowledge(i, bob.desk.actor))
            soon(lambda: ana.incident is not None and ana.incident.state is State.ACKNOWLEDGED)
            ana.do(lambda i, now: lifecycle.write(i, ana.desk.actor, now, kinds.NOTE, "rolling back"))
            soon(lambda: bob.incident is not None and bob.incident.entries[-1].event.summary == "rolling back")
            os.kill(escalator.pid, signal.SIGKILL)
        assert ana.desk.journal.verify().problems == ()
    finally:
        ana.close()
        bob.close()


def _paged(console: Console, level: str) -> bool:
    """Whether the page is on the console's screen, and out."""
    incident = console.incident
    return incident is not None and any(
        delivery.level == level and delivery.state.value == "sent" for delivery in incident.deliveries
    )
