"""Follows the journal for the screen.

Invariant: what another console or the escalator wrote is in the store within a second; the screen itself never reads
the journal.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from planc_tui.core.clock import Clock
from planc_tui.core.health import Health
from planc_tui.core.store import Fault, Store, Topic
from planc_tui.desk.desk import Desk
from planc_tui.desk.escalator import Escalator, pulse
from planc_tui.desk.evidence import Standing
from planc_tui.desk.scribe import Scribe
from planc_tui.incident.model import Incident
from planc_tui.journal import Beat, JournalError

log = logging.getLogger(__name__)
LOOK_EVERY = 0.5
PROBE_EVERY = 15.0
CONSOLE = "planc console"  # note in the pulse of an escalator that runs inside a console


class DeskState(Struct, frozen=True):
    """incident: the one the screen shows, None when there is none. keeper: who keeps the escalation clock, "" when
    nobody does, which is the red banner. fragile: the keeper is a console, and ends with it. standing: how the signals
    of the incident stand, None when it does not hurt."""

    incident: Incident | None
    keeper: str
    fragile: bool = False
    standing: Standing | None = None


DESK: Topic[DeskState] = Topic("desk", stale_after=math.inf)


class DeskFeed:
    """Reads new entries twice a second. Implements sources.base.Feed. keeper: makes an escalator for this console.
    scribe: writes down what this console sees."""

    def __init__(
        self,
        desk: Desk,
        store: Store,
        clock: Clock,
        keeper: Callable[[], Escalator] | None = None,
        scribe: Scribe | None = None,
    ) -> None:
        self._scribe = scribe
        self._probe_at = 0.0
        self._desk = desk
        self._store = store
        self._clock = clock
        self._wake = threading.Event()
        self._wanted = False
        self._stopped = False
        self._shown: DeskState | None = None
        self._make_keeper = keeper
        self._keeper: Escalator | None = None

    @property
    def name(self) -> str:
        return DESK.name

    @property
    def topics(self) -> Sequence[Topic[Any]]:
        return (DESK,)

    def start(self) -> None:
        threading.Thread(target=self._run, name="desk", daemon=True).start()

    def want(self, wanted: bool) -> None:
        if wanted != self._wanted:
            self._wanted = wanted
            self._store.want(DESK, wanted)
            self._wake.set()

    def kick(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()
        if self._keeper is not None:
            self._keeper.stop()

    def look(self) -> None:
        """Read what is new and put it into the store when the screen would differ."""
        try:
            self._desk.board.refresh()
            self._probe()
            current = self._desk.board.current()
            standing = None if self._scribe is None else self._scribe.look(current)
            beat = pulse(self._desk.journal, self._desk.journal.now())
        except JournalError as error:
            now = self._clock.monotonic()
            self._store.fail(DESK, Fault(Health.UNREACHABLE, error.message, error.hint, now, now + LOOK_EVERY))
            self._shown = None
            return
        if current is not None:
            self._keep()
        state = DeskState(current, beat.who if beat.alive else "", beat.note == CONSOLE, standing)
        if state != self._shown:
            self._shown = state
            self._store.put(DESK, state, self._clock.monotonic())

    def _probe(self) -> None:
        """Leave a sign of life: it says who else is here, and finds a full disk before it matters. Raises
        JournalError."""
        now = self._clock.monotonic()
        if now < self._probe_at:
            return
        actor = self._desk.actor
        name = f"console {actor.user} {actor.tty or actor.pid}"
        self._desk.journal.beat(Beat(name, actor.pid, actor.host, actor.user, self._desk.journal.now()))
        self._probe_at = now + PROBE_EVERY

    def _keep(self) -> None:
        """While an incident is not closed this console keeps the clock too, unless another process holds the lease."""
        if self._keeper is None and self._make_keeper is not None:
            self._keeper = keeper = self._make_keeper()
            threading.Thread(target=keeper.run, name="escalator", daemon=True).start()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.clear()
            if self._wanted:
                self.look()
            self._wake.wait(LOOK_EVERY if self._wanted else None)
