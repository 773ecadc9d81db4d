"""Writes down what planc itself sees while an incident is open: findings that come and go, and the recovery.

Invariant: each change is written once, however many consoles look; only the console on the incident's own context
writes; nothing is written while nothing changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from planc_tui.core.clock import Clock
from planc_tui.core.findings import Facts, Finding
from planc_tui.core.health import Health
from planc_tui.core.slo import SloReport, bad_query
from planc_tui.core.store import Store
from planc_tui.core.text import clean
from planc_tui.core.timeline import Draft, Event
from planc_tui.desk.desk import Desk
from planc_tui.desk.evidence import EvidenceWatch, Standing
from planc_tui.incident import kinds, lifecycle
from planc_tui.incident.escalation import ESCALATOR
from planc_tui.incident.fold import fold
from planc_tui.incident.model import Incident
from planc_tui.playbook.model import Playbook
from planc_tui.sources.findings import FINDINGS
from planc_tui.sources.slo import SLO

# Shorter than the age at which evidence counts no more, so that a script can rely on it.
WITNESS_EVERY = lifecycle.EVIDENCE_AGE * 0.75
# Budgets are measured every five minutes: only after that does a figure hold the whole incident.
SETTLED_AFTER = 360.0


class Scribe:
    """facts: what is known at this moment, by name."""

    def __init__(self, desk: Desk, store: Store, playbook: Playbook, clock: Clock, facts: Callable[[], Facts]) -> None:
        self._desk = desk
        self._store = store
        self._clock = clock
        self._facts = facts
        self._watch = EvidenceWatch(playbook)
        self._witnessed = 0.0
        self._proven = False

    def look(self, incident: Incident | None) -> Standing | None:
        """Write what changed, and say how the signals stand. Raises JournalError."""
        if incident is not None and incident.policy.context not in ("", self._desk.policy.context):
            incident = None
        monotonic = self._clock.monotonic()
        reading = self._store.peek(FINDINGS)
        live = reading.health(monotonic) is Health.LIVE
        findings = reading.value or ()
        standing = self._watch.look(incident, live, findings, self._facts(), monotonic)
        if incident is not None:
            self._note_budgets(incident, monotonic)
        if incident is None or not incident.state.active:
            self._proven = False
            return standing
        if live:
            self._note_findings(incident, findings)
        if standing is not None:
            self._note_recovery(incident, standing, monotonic)
        return standing

    def _note_findings(self, incident: Incident, findings: Sequence[Finding]) -> None:
        if not finding_drafts(incident.id, [entry.event for entry in incident.entries], findings):
            return

        def decide(events: Sequence[Event], _now: float) -> Sequence[Draft]:
            return finding_drafts(incident.id, events, findings)

        self._desk.journal.transact(incident.id, decide)

    def _note_budgets(self, incident: Incident, monotonic: float) -> None:
        """The error budgets when it begins, when it is over, and once more when Prometheus has counted the end."""
        reading = self._store.get(SLO)
        if reading.value is None or reading.health(monotonic) is not Health.LIVE:
            return
        report = reading.value

        def decide(events: Sequence[Event], now: float) -> Sequence[Draft]:
            return budget_drafts(fold(events), report, now)

        if budget_drafts(incident, report, self._desk.journal.now()):
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


def finding_drafts(incident: str, events: Sequence[Event], findings: Sequence[Finding]) -> tuple[Draft, ...]:
    """Entries for findings that are new, and for those that are gone, against what the timeline says already."""
    noted: dict[str, str] = {}
    for event in events:
        name = str(event.data.get("finding", ""))
        if event.type == kinds.FINDING_RAISED:
            noted[name] = event.summary
        elif event.type == kinds.FINDING_CLEARED:
            noted.pop(name, None)
    present = {finding.id: finding for finding in findings}
    raised = [
        Draft(incident, kinds.FINDING_RAISED, ESCALATOR, clean(found.text, 300), _data(found), found.since)
        for name, found in present.items()
        if name not in noted
    ]
    cleared = [
        Draft(incident, kinds.FINDING_CLEARED, ESCALATOR, f"no longer: {said}", {"finding": name})
        for name, said in noted.items()
        if name not in present
    ]
    return (*raised, *cleared)


def budget_drafts(incident: Incident, report: SloReport, now: float) -> tuple[Draft, ...]:
    """The entry of the moment that comes next, where it has come."""
    known = [status for status in report.slos if status.budget_left is not None]
    noted = [str(e.event.data.get("when", "")) for e in incident.entries if e.event.type == kinds.BUDGET]
    over = incident.resolved_at
    if not known or incident.state.final:
        return ()
    if incident.state.active or over is None:
        when = "" if "begin" in noted else "begin"
    elif "begin" not in noted or "counted" in noted:
        when = ""
    else:
        settled = now - over >= SETTLED_AFTER
        when = "counted" if settled else "" if "end" in noted else "end"
    if not when:
        return ()
    budgets = {status.objective.id: status.budget_left for status in known}
    names = {status.objective.id: status.objective.name for status in known}
    queries = {status.objective.id: bad_query(status.objective, status.objective.period) or "" for status in known}
    text = ", ".join(f"{names[name]} {100 * (left or 0.0):.1f} %" for name, left in budgets.items())
    data = {"when": when, "left": budgets, "names": names, "queries": queries}
    return (Draft(incident.id, kinds.BUDGET, ESCALATOR, f"error budget left: {clean(text, 300)}", data),)


def _data(finding: Finding) -> Mapping[str, object]:
    return {"finding": finding.id, "severity": finding.severity, "facts": dict(finding.facts)}


def figures(facts: Facts) -> dict[str, float]:
    """What is known now as plain numbers, for the entries of an action."""
    return {name: round(known.value, 6) for name, known in sorted(facts.items())}
