"""Writes down what planc itself sees: findings that come and go, and while an incident is open how bad it gets, what
it costs and the recovery.

Invariant: each change is written once, however many consoles look; only the console on the incident's own context
writes onto its timeline; nothing is written while nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from planc_tui.core.clock import Clock
from planc_tui.core.findings import Facts, Finding
from planc_tui.core.health import Health
from planc_tui.core.slo import SloReport
from planc_tui.core.store import Store
from planc_tui.core.timeline import Draft, Event
from planc_tui.desk.budget import BudgetMeter
from planc_tui.desk.desk import Desk
from planc_tui.desk.evidence import EvidenceWatch, Standing
from planc_tui.desk.observations import FINDING_TYPES, budget_drafts, finding_drafts, worst_drafts
from planc_tui.incident import lifecycle
from planc_tui.incident.escalation import ESCALATOR
from planc_tui.incident.fold import fold
from planc_tui.incident.model import Incident
from planc_tui.playbook.model import Playbook
from planc_tui.sources.findings import FINDINGS
from planc_tui.sources.slo import SLO

# Shorter than the age at which evidence counts no more, so that a script can rely on it.
WITNESS_EVERY = lifecycle.EVIDENCE_AGE * 0.75


class Scribe:
    """facts: what is known at this moment, by name. meter: measures what an incident cost, None where nobody can."""

    def __init__(
        self,
        desk: Desk,
        store: Store,
        playbook: Playbook,
        clock: Clock,
        facts: Callable[[], Facts],
        meter: BudgetMeter | None = None,
    ) -> None:
        self._meter = meter
        self._desk = desk
        self._store = store
        self._clock = clock
        self._facts = facts
        self._watch = EvidenceWatch(playbook)
        self._witnessed = 0.0
        self._proven = False
        self._logged: frozenset[str] | None = None

    def look(self, incident: Incident | None) -> Standing | None:
        """Write what changed, and say how the signals stand. Raises JournalError."""
        if incident is not None and incident.policy.context not in ("", self._desk.policy.context):
            incident = None
        monotonic = self._clock.monotonic()
        reading = self._store.peek(FINDINGS)
        live = reading.health(monotonic) is Health.LIVE
        findings = reading.value or ()
        standing = self._watch.look(incident, live, findings, self._facts(), monotonic)
        report = self._measured(monotonic)
        if incident is not None and report is not None:
            self._note_objectives(incident, report)
        if incident is not None and self._meter is not None:
            self._meter.look(incident)
        if incident is None or not incident.state.active:
            self._proven = False
            if live:
                self._log_findings(findings, report)
            return standing
        self._logged = None
        if live:
            self._note_findings(incident, findings, report)
        if standing is not None:
            self._note_recovery(incident, standing, monotonic)
        return standing

    def _measured(self, monotonic: float) -> SloReport | None:
        """The objectives, when they are of this moment."""
        reading = self._store.get(SLO)
        return reading.value if reading.health(monotonic) is Health.LIVE else None

    @property
    def _where(self) -> Mapping[str, str]:
        policy = self._desk.policy
        return {"context": policy.context, "namespace": policy.namespace}

    def _note_findings(self, incident: Incident, findings: Sequence[Finding], report: SloReport | None) -> None:
        where = self._where

        def decide(events: Sequence[Event], _now: float) -> Sequence[Draft]:
            return finding_drafts(incident.id, events, findings, report, where)

        if decide([entry.event for entry in incident.entries], 0.0):
            self._desk.journal.transact(incident.id, decide)

    def _log_findings(self, findings: Sequence[Finding], report: SloReport | None) -> None:
        """While nothing is open they land in the journal too: what nobody declared can be looked up later."""
        present = frozenset(finding.id for finding in findings)
        if present == self._logged:
            return
        where = self._where

        def decide(events: Sequence[Event], _now: float) -> Sequence[Draft]:
            here = [event for event in events if all(event.data.get(name) == text for name, text in where.items())]
            return finding_drafts("", here, findings, report, where)

        self._desk.journal.transact(None, decide, FINDING_TYPES)
        self._logged = present

    def _note_objectives(self, incident: Incident, report: SloReport) -> None:
        """How bad it gets while it lasts; the error budgets when it begins, when it is over, and once more when
        Prometheus has counted the end."""

        def decide(events: Sequence[Event], now: float) -> Sequence[Draft]:
            return _objective_drafts(fold(events), report, now)

        if _objective_drafts(incident, report, self._desk.journal.now()):
            self._desk.journal.transact(incident.id, decide)

    def _note_recovery(self, incident: Incident, standing: Standing, monotonic: float) -> None:
        """What a script resolves with: while the signals prove the recovery, and once when they no longer do."""
        evidence = standing.evidence(monotonic)
        needed = incident.policy.recovered_for if evidence.needed is None else evidence.needed
        proven = evidence.good_for is not None and evidence.good_for >= needed
        due = proven and (not self._proven or monotonic - self._witnessed >= WITNESS_EVERY)
        if due or (self._proven and not proven):
            self._desk.journal.append(lifecycle.witness(incident, ESCALATOR, evidence))
            self._witnessed = monotonic
        self._proven = proven


def _objective_drafts(incident: Incident, report: SloReport, now: float) -> tuple[Draft, ...]:
    worst = worst_drafts(incident, report) if incident.state.active else ()
    return (*worst, *budget_drafts(incident, report, now))


def figures(facts: Facts) -> dict[str, float]:
    """What is known now as plain numbers, for the entries of an action."""
    return {name: round(known.value, 6) for name, known in sorted(facts.items())}
