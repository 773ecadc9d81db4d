"""Commands against the journal, and a view of all incidents that follows it.

Invariant: a command is decided on the newest state and written in the same transaction; a refusal of a known incident
is written down too; what another console wrote is seen at the next `refresh`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from planc_tui.core.text import clean
from planc_tui.core.timeline import Actor, Draft, Event
from planc_tui.incident import kinds
from planc_tui.incident.fold import UnknownIncident, fold
from planc_tui.incident.lifecycle import Declaration, Outcome, Refusal, declare
from planc_tui.incident.model import Incident, Policy
from planc_tui.journal import Journal

REFUSED = "command.refused"
Command = Callable[[Incident, float], Outcome]


class _Refused(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


class Board:
    """All incidents of a journal, folded on as the journal grows. Safe to use from several threads."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._seq = 0
        self._incidents: dict[str, Incident] = {}

    def refresh(self) -> frozenset[str]:
        """Read what was added since the last time; names of the incidents it concerns. Raises JournalError."""
        with self._lock:
            if self._journal.head().seq == self._seq:
                return frozenset()
            changed: set[str] = set()
            for event in self._journal.events(after=self._seq):
                self._seq = event.seq
                if event.incident:
                    self._take(event)
                    changed.add(event.incident)
            return frozenset(changed)

    def _take(self, event: Event) -> None:
        known = self._incidents.get(event.incident)
        if known is None and event.type != kinds.DECLARED:
            return
        self._incidents[event.incident] = fold((event,), known)

    @property
    def incidents(self) -> tuple[Incident, ...]:
        """Every incident, oldest first."""
        with self._lock:
            return tuple(self._incidents.values())

    def get(self, incident: str) -> Incident | None:
        """One incident, None when there is none of that name."""
        with self._lock:
            return self._incidents.get(incident)

    def active(self) -> tuple[Incident, ...]:
        """Incidents that hurt or may hurt, the worst and oldest first."""
        found = [incident for incident in self.incidents if incident.state.active]
        return tuple(sorted(found, key=lambda i: (i.drill, i.rule.rank, i.declared_at)))

    def current(self) -> Incident | None:
        """The incident the screen shows: the worst active one, else one whose review is open."""
        active = self.active()
        if active:
            return active[0]
        unfinished = [incident for incident in self.incidents if not incident.state.final]
        return unfinished[-1] if unfinished else None


class Answer(Struct, frozen=True):
    """What a command did: the incident as it is now, or why it was refused."""

    incident: Incident | None
    refusal: Refusal | None = None
    written: tuple[Event, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it was done."""
        return self.refusal is None


class Desk:
    """What a person, or a script on their behalf, does with incidents."""

    def __init__(self, journal: Journal, policy: Policy, actor: Actor) -> None:
        self.journal = journal
        self.policy = policy
        self.actor = actor
        self.board = Board(journal)

    def incident(self, incident_id: str) -> Incident:
        """The newest state of one incident. Raises UnknownIncident and JournalError."""
        self.board.refresh()
        found = self.board.get(incident_id)
        if found is None:
            raise UnknownIncident(f"there is no incident {clean(incident_id, 40)}: planc incident list shows them")
        return found

    def declare(self, form: Declaration) -> Answer:
        """Open an incident under the next free number of the day. Raises JournalError."""
        day = datetime.fromtimestamp(self.journal.now(), UTC).strftime("%Y%m%d")
        prefix = f"INC-{day}-"
        taken = [name for name in self.journal.incidents() if name.startswith(prefix)]
        number = max((int(name.removeprefix(prefix)) for name in taken), default=0)
        while True:
            number += 1
            incident_id = f"{prefix}{number:03}"
            try:
                written = self.journal.transact(incident_id, self._declaring(incident_id, form))
            except _Refused as refused:
                return Answer(None, refused.refusal)
            # Another console may have taken the number meanwhile.
            if written:
                return Answer(self.incident(incident_id), written=written)

    def _declaring(self, incident_id: str, form: Declaration) -> Callable[[Sequence[Event], float], Sequence[Draft]]:
        def decide(events: Sequence[Event], now: float) -> Sequence[Draft]:
            if events:
                return ()
            outcome = declare(incident_id, form, self.policy, self.actor, now)
            if isinstance(outcome, Refusal):
                raise _Refused(outcome)
            return outcome

        return decide

    def do(self, incident_id: str, command: Command) -> Answer:
        """Decide `command` on the newest state and write what it says. Raises UnknownIncident and JournalError."""
        refusals: list[Refusal] = []

        def decide(events: Sequence[Event], now: float) -> Sequence[Draft]:
            if not events:
                raise UnknownIncident(f"there is no incident {clean(incident_id, 40)}: planc incident list shows them")
            incident = fold(events)
            outcome = command(incident, now)
            if not isinstance(outcome, Refusal):
                return outcome
            refusals.append(outcome)
            if incident.state.final:
                return ()
            data = {"reason": outcome.reason}
            return (Draft(incident.id, REFUSED, self.actor, f"refused: {outcome.reason}", data),)

        written = self.journal.transact(incident_id, decide)
        incident = self.incident(incident_id)
        return Answer(incident, refusals[0] if refusals else None, written)

    def note_event(self, type_: str, summary: str, data: Mapping[str, object], incident_id: str = "") -> Event | None:
        """Write something that happened onto the timeline, of no incident when none is named. Raises JournalError."""
        return self.journal.append(Draft(incident_id, type_, self.actor, summary, dict(data)))
