"""An escalator on a fake clock that dies at a given point, for the kill tests.

Arguments: journal, URL of the recorder, epoch seconds to begin and to end at, and the point at which it kills itself
(0 for never). A point is each entry that is on disk, and each side of each network call.
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
from planc_tui.desk.dispatch import Dispatcher
from planc_tui.desk.escalator import Escalator
from planc_tui.journal import Journal
from planc_tui.journal.lease import Lease

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


def main(path: str, url: str, begin: float, end: float, die_at: int) -> None:
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
    while clock.now() <= end:
        print(clock.now(), flush=True)
        keeper.step()
        clock.advance(STEP)
    print("points", doom.passed, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
