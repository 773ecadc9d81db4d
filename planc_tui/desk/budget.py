"""Measures the error budget that an incident spent, once it is over.

Invariant: measured from the first harm to the end by one query per objective, which is kept beside the figure; asked
for off the caller's thread, so that a Prometheus that hangs holds nothing up; what was not measured is not guessed.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from planc_tui.core.clock import Clock
from planc_tui.core.ports import PortError
from planc_tui.core.slo import MetricsPort, Objective, bad_query, bad_share, burn_rate, worst
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
RETRY = 60.0


@dataclass(frozen=True, slots=True)
class Spent:
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


def window(incident: Incident, now: float) -> float:
    """Whole seconds since the harm began, or since the declaration where nobody knows."""
    began = incident.declared_at if incident.impact_start is None else incident.impact_start
    return float(max(1, math.ceil(now - began)))


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
    """open_metrics: a way to Prometheus of the meter's own; raises PortError where there is none."""

    def __init__(
        self,
        journal: Journal,
        open_metrics: Callable[[], MetricsPort],
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
        self._next = 0.0

    def look(self, incident: Incident) -> None:
        """Measure when it is time; never waits."""
        now = self._journal.now()
        if self._busy or not self._objectives or self._clock.monotonic() < self._next or not due(incident, now):
            return
        self._busy = True
        self._spawn(lambda: self._measure(incident, window(incident, now)))

    def _measure(self, incident: Incident, seconds: float) -> None:
        try:
            draft = spent_draft(incident, self._ask(seconds), seconds)

            def decide(events: Sequence[Event], now: float) -> Sequence[Draft]:
                return (draft,) if due(fold(events), now) else ()

            self._journal.transact(incident.id, decide)
        except (PortError, JournalError) as error:
            log.info("the error budget of %s: %s", incident.id, clean(str(error), 200))
        finally:
            self._next = self._clock.monotonic() + RETRY
            self._busy = False

    def _ask(self, seconds: float) -> tuple[Spent, ...]:
        port = self._open()
        try:
            found = []
            for objective in self._objectives:
                query = bad_query(objective, seconds) or ""
                low = objective.kind == "availability" and not objective.bad
                share = bad_share(objective, worst(port.query(query), low_is_bad=low))
                found.append(spent_of(objective, share, seconds, query))
            return tuple(one for one in found if one is not None)
        finally:
            port.close()
