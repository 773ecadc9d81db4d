"""Keeps the escalation clock without a screen.

Invariant: exactly one process of a machine pages, the one that holds the lease; everything it does follows from the
journal and the time, so it can die at any moment and the next one goes on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from msgspec import Struct

from planc_tui.core.clock import Clock
from planc_tui.core.text import clean
from planc_tui.core.timeline import Actor, Draft, Event
from planc_tui.desk.budget import BudgetMeter
from planc_tui.desk.desk import Board
from planc_tui.desk.dispatch import Dispatcher, Spawn, in_thread
from planc_tui.incident import kinds
from planc_tui.incident.escalation import ESCALATOR, tick
from planc_tui.incident.fold import fold
from planc_tui.incident.model import Incident, Silence
from planc_tui.journal import Beat, Journal, JournalError
from planc_tui.journal.lease import Lease

log = logging.getLogger(__name__)

NAME = "escalator"
LOOK_EVERY = 0.5
BEAT_EVERY = 5.0
DEAD_AFTER = 30.0
RETRY_SILENCE = 30.0

EndSilence = Callable[[str, str], None]
"""Ends an Alertmanager silence: its id, and the context of the incident that it was made for."""


class Pulse(Struct, frozen=True):
    """Whether somebody keeps the clock. age: seconds since the last sign of life; None when there never was one."""

    age: float | None
    who: str = ""
    note: str = ""

    @property
    def alive(self) -> bool:
        """False is the red banner: nobody will be paged."""
        return self.age is not None and self.age <= DEAD_AFTER


def pulse(journal: Journal, now: float) -> Pulse:
    """The heart of the escalator, as a console shows it. Raises JournalError."""
    beat = journal.last_beat(NAME)
    if beat is None:
        return Pulse(None)
    return Pulse(max(0.0, now - beat.beat_at), f"{beat.user}@{beat.host} pid {beat.pid}", beat.note)


class Escalator:
    """The loop. end_silence: for incidents that are over. note: shown with the pulse. spawn: how silences are ended,
    so that an Alertmanager that hangs holds up no page. meter: measures what an incident cost, None where nobody can.
    """

    def __init__(
        self,
        journal: Journal,
        lease: Lease,
        dispatcher: Dispatcher,
        actor: Actor,
        clock: Clock,
        end_silence: EndSilence | None = None,
        note: str = "",
        spawn: Spawn = in_thread,
        meter: BudgetMeter | None = None,
    ) -> None:
        self._journal = journal
        self._lease = lease
        self._dispatcher = dispatcher
        self._actor = actor
        self._clock = clock
        self._end_silence = end_silence
        self._note = note
        self._board = Board(journal)
        self._beaten: float | None = None
        self._spawn = spawn
        self._meter = meter
        self._silence_next = 0.0
        self._ending = False
        self._stop = threading.Event()

    @property
    def holds_lease(self) -> bool:
        """Whether this process is the one that pages."""
        return self._lease.held

    @property
    def busy(self) -> bool:
        """Whether something is on its way: a page, a message, the end of a silence or a measurement."""
        measuring = self._meter is not None and self._meter.busy
        return self._ending or measuring or self._dispatcher.busy > 0

    def step(self) -> bool:
        """One look: write what is due, begin what must be sent. False while another process does it.

        Raises JournalError."""
        if not self._lease.take():
            return False
        self._beat()
        self._board.refresh()
        now = self._journal.now()
        for incident in self._board.active():
            if tick(incident, now):
                self._journal.transact(incident.id, _due)
        self._board.refresh()
        self._dispatcher.step(self._board.incidents, self._journal.now())
        self._end_silences()
        if self._meter is not None:
            for incident in self._board.incidents:
                self._meter.look(incident)
        return True

    def run(self, look_every: float = LOOK_EVERY) -> None:
        """Look until `stop`; a journal that fails is tried again, for ever."""
        while not self._stop.is_set():
            try:
                self.step()
            except JournalError as error:
                log.error("escalator: %s", error.message)
            self._stop.wait(look_every)
        self.release()

    def release(self) -> None:
        """Let another process keep the clock."""
        self._lease.release()

    def stop(self) -> None:
        """End the loop soon; safe from any thread and from a signal handler."""
        self._stop.set()

    def _beat(self) -> None:
        now = self._clock.monotonic()
        if self._beaten is not None and now - self._beaten < BEAT_EVERY:
            return
        self._journal.beat(
            Beat(NAME, self._actor.pid, self._actor.host, self._actor.user, self._journal.now(), self._note)
        )
        self._beaten = now

    def _end_silences(self) -> None:
        """A silence must not outlive the incident it was made for."""
        if self._end_silence is None or self._ending or self._clock.monotonic() < self._silence_next:
            return
        end, now = self._end_silence, self._journal.now()
        over = [
            (incident, silence)
            for incident in self._board.incidents
            for silence in incident.silences
            if not incident.state.active and not silence.ended and silence.until > now
        ]
        if over:
            self._ending = True
            self._spawn(lambda: self._end_each(end, over))

    def _end_each(self, end: EndSilence, over: Sequence[tuple[Incident, Silence]]) -> None:
        try:
            ended = [self._ended(end, incident, silence.id) for incident, silence in over]
            if not all(ended):
                self._silence_next = self._clock.monotonic() + RETRY_SILENCE
        except JournalError as error:
            log.warning("silence: %s", error.message)
        finally:
            self._ending = False

    def _ended(self, end: EndSilence, incident: Incident, silence: str) -> bool:
        try:
            end(silence, incident.policy.context)
        except Exception as error:
            # Whatever the port says, the ladder goes on and the silence is tried again.
            log.warning("silence %s: %s", silence, clean(str(error), 120))
            return False
        draft = Draft(incident.id, kinds.SILENCE_ENDED, ESCALATOR, f"silence {silence} ended", {"silence": silence})
        self._journal.append(draft)
        return True


def _due(events: Sequence[Event], now: float) -> Sequence[Draft]:
    return tick(fold(events), now)
