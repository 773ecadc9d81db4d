"""Measures the error budget that an incident spent, once it is over.

Invariant: measured from the first harm to the end, whenever it is asked, by one query per objective, which is kept
beside the figure; asked for off the caller's thread, so that a Prometheus that hangs holds nothing up; what was not
measured is not guessed.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from msgspec import Struct

from planc_tui.core.backoff import Backoff
from planc_tui.core.clock import Clock
from planc_tui.core.ports import PortError
from planc_tui.core.slo import MetricsPort, Objective, at, bad_query, bad_share, burn_rate, worst
from planc_tui.core.text import clean
from planc_tui.core.timeline import Draft, Event
from planc_tui.desk.dispatch import Spawn, in_thread
from planc_tui.incident import kinds
from planc_tui.incident.escalation import ESCALATOR
from planc_tui.incident.fold import fold
from planc_tui.incident.model import Incident
from planc_tui.journal import Journal, JournalError

log = logging.getLogger(__name__)

SETTLED = 60.0  # seconds until Prometheus has counted the end
FIRST_RETRY, LONGEST_RETRY = 60.0, 3600.0

OpenMetrics = Callable[[str], AbstractContextManager[MetricsPort]]
"""A way to the Prometheus that sees this context, for one measurement; raises PortError where there is none."""


class Spent(Struct, frozen=True):
    """What one objective lost. percent: of the budget of its whole period."""

    objective: Objective
    percent: float
    query: str


def due(incident: Incident, now: float) -> bool:
    """Whether it is over, counted, and not measured since."""
    over = incident.resolved_at
    if over is None or incident.state.active or incident.state.final or now - over < SETTLED:
        return False
    measured = (entry.event for entry in incident.entries if entry.event.type == kinds.SPENT)
    return all(event.recorded_at < over for event in measured)


class Harm(Struct, frozen=True):
    """From when to when it hurt. seconds: whole ones, since the declaration where nobody knows the start. end: epoch
    seconds, when Prometheus has counted it."""

    seconds: float
    end: float

    def query(self, objective: Objective) -> str:
        """PromQL of the share that missed in that time; "" without a budget."""
        query = bad_query(objective, self.seconds)
        return "" if query is None else at(query, self.end)


def harm(incident: Incident) -> Harm:
    """That of an incident that is over."""
    began = incident.declared_at if incident.impact_start is None else incident.impact_start
    end = (incident.resolved_at or began) + SETTLED
    return Harm(float(max(1, math.ceil(end - began))), end)


def spent_of(objective: Objective, share: float | None, seconds: float, query: str) -> Spent | None:
    """budget spent = burn rate * window / period (SRE workbook, chapter 5). share: that missed in the window."""
    burn = burn_rate(share, objective.allowed)
    return None if burn is None else Spent(objective, 100.0 * burn * seconds / objective.period, query)


def spent_draft(incident: Incident, found: Sequence[Spent], seconds: float) -> Draft:
    """The entry; one without figures says that nothing could be measured."""
    data = {
        "seconds": seconds,
        "spent": {one.objective.id: round(one.percent, 6) for one in found},
        "names": {one.objective.id: one.objective.name for one in found},
        "queries": {one.objective.id: one.query for one in found},
    }
    told = ", ".join(f"{one.objective.name} {one.percent:.1f} %" for one in found) or "not measured: no traffic"
    return Draft(incident.id, kinds.SPENT, ESCALATOR, f"error budget spent: {clean(told, 300)}", data)


class BudgetMeter:
    """open_metrics: a way to Prometheus of the meter's own."""

    def __init__(
        self,
        journal: Journal,
        open_metrics: OpenMetrics,
        objectives: Sequence[Objective],
        clock: Clock,
        spawn: Spawn = in_thread,
    ) -> None:
        self._journal = journal
        self._open = open_metrics
        self._objectives = tuple(one for one in objectives if bad_query(one, one.period))
        self._clock = clock
        self._spawn = spawn
        self._busy = False
        self._waits: dict[str, Backoff] = {}
        self._next: dict[str, float] = {}

    @property
    def busy(self) -> bool:
        """Whether Prometheus is being asked."""
        return self._busy

    def look(self, incident: Incident) -> None:
        """Measure when it is time; never waits."""
        now = self._journal.now()
        early = self._clock.monotonic() < self._next.get(incident.id, 0.0)
        if self._busy or early or not self._objectives or not due(incident, now):
            return
        self._busy = True
        self._spawn(lambda: self._measure(incident, harm(incident)))

    def _measure(self, incident: Incident, over: Harm) -> None:
        try:
            draft = spent_draft(incident, self._ask(incident.policy.context, over), over.seconds)

            def decide(events: Sequence[Event], now: float) -> Sequence[Draft]:
                return (draft,) if due(fold(events), now) else ()

            self._journal.transact(incident.id, decide)
        except (PortError, JournalError) as error:
            log.info("the error budget of %s: %s", incident.id, clean(str(error), 200))
        finally:
            wait = self._waits.setdefault(incident.id, Backoff(longest=LONGEST_RETRY, fixed=1.0, first=FIRST_RETRY))
            self._next[incident.id] = self._clock.monotonic() + wait.next()
            self._busy = False

    def _ask(self, context: str, over: Harm) -> tuple[Spent, ...]:
        found = []
        with self._open(context) as port:
            for objective in self._objectives:
                query = over.query(objective)
                low = objective.kind == "availability" and not objective.bad
                share = bad_share(objective, worst(port.query(query), low_is_bad=low))
                found.append(spent_of(objective, share, over.seconds, query))
        return tuple(one for one in found if one is not None)
