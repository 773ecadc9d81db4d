"""An escalator, or a console with a person at it, on a fake clock that dies at a given point, for the kill tests.

Arguments: journal, URL of the recorder, epoch seconds to begin and to end at, the point at which it kills itself (0 for
never), and when its person came (left out: nobody is there). A point is each entry that is on disk, and each side of
each network call.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from planc_tui.backends.notifiers.senders import Webhook
from planc_tui.core.clock import FakeClock
from planc_tui.core.notify import Parcel, Sent
from planc_tui.core.secret import Secret
from planc_tui.core.timeline import Draft, Event
from planc_tui.desk.actor import system_actor
from planc_tui.desk.desk import Command, Desk
from planc_tui.desk.dispatch import Dispatcher
from planc_tui.desk.escalator import Escalator
from planc_tui.incident import kinds, lifecycle
from planc_tui.incident.lifecycle import Declaration
from planc_tui.incident.messages import queue_message
from planc_tui.incident.model import MessageKind
from planc_tui.journal import Journal
from planc_tui.journal.lease import Lease
from tests.unit.incident_kit import BOB, LADDER, policy

STEP = 7.0


class Doom:
    """Counts points and ends the process without any farewell at one of them."""

    def __init__(self, at: int) -> None:
        self._at = at
        self.passed = 0

    def point(self) -> None:
        self.passed += 1
        if self.passed == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


class MortalJournal(Journal):
    """Dies after a transaction is on disk."""

    doom: Doom

    def transact(
        self,
        incident: str | None,
        decide: Callable[[Sequence[Event], float], Sequence[Draft]],
        types: Sequence[str] | None = None,
    ) -> tuple[Event, ...]:
        written = super().transact(incident, decide, types)
        for _ in written:
            self.doom.point()
        return written


class MortalSender:
    """Dies before or after the network call."""

    kind = "webhook"

    def __init__(self, inner: Webhook, doom: Doom) -> None:
        self._inner = inner
        self._doom = doom

    def send(self, parcel: Parcel) -> Sent:
        self._doom.point()
        sent = self._inner.send(parcel)
        self._doom.point()
        return sent

    def preview(self, parcel: Parcel) -> str:
        return self._inner.preview(parcel)


class Person:
    """Declares, writes, sends a message and acknowledges, each once; after a death goes on where the journal stands."""

    def __init__(self, desk: Desk, began: float) -> None:
        self._desk = desk
        self._began = began

    def act(self, now: float) -> None:
        self._desk.board.refresh()
        incidents = self._desk.board.incidents
        if not incidents:
            self._desk.declare(Declaration("checkout answers 502", "P0"))
            return
        done = {entry.event.type for entry in incidents[0].entries}
        for minute, kind, command in self._plan():
            if now >= self._began + 60 * minute and kind not in done:
                self._desk.do(incidents[0].id, command)
                return

    def _plan(self) -> tuple[tuple[float, str, Command], ...]:
        actor = self._desk.actor
        return (
            (1, kinds.NOTE, lambda i, now: lifecycle.write(i, actor, now, kinds.NOTE, "rolling back")),
            (5, kinds.MESSAGE_QUEUED, lambda i, _: queue_message(i, actor, MessageKind.INITIAL, {"slack": "text"})),
            (16, kinds.ACKNOWLEDGED, lambda i, _: lifecycle.acknowledge(i, actor)),
        )


def main(path: str, url: str, begin: float, end: float, die_at: int, began: float | None = None) -> None:
    # Another boot each time: monotonic times of two runs cannot be compared.
    clock = FakeClock(now=begin)
    doom = Doom(die_at)
    journal = MortalJournal(Path(path), clock, f"boot {begin}")
    journal.doom = doom
    actor = system_actor("planc")
    sender = MortalSender(Webhook("hook", lambda: Secret(f"{url}/hook"), clock), doom)
    channels = dict.fromkeys(("slack", "pagerduty"), sender)
    dispatcher = Dispatcher(journal, channels, actor, clock, spawn=lambda work: work())
    keeper = Escalator(journal, Lease(journal.path), dispatcher, actor, clock)
    person = None if began is None else Person(Desk(journal, policy((LADDER[0], LADDER[1])), BOB), began)
    while clock.now() <= end:
        print(clock.now(), flush=True)
        if person is not None:
            person.act(clock.now())
        keeper.step()
        clock.advance(STEP)
    print("points", doom.passed, flush=True)


if __name__ == "__main__":
    main(
        sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]),
        float(sys.argv[6]) if len(sys.argv) > 6 else None,
    )  # fmt: skip  # rows as a person reads them
