"""What a console sees, as entries for the journal.

Invariant: pure; an entry is made only for what differs from what the journal says already, so that any number of
consoles write each change once; every figure comes with the question that measured it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from planc_tui.core.findings import Finding, show
from planc_tui.core.slo import Objective, SloReport, SloStatus, Verdict, bad_query, figure_query
from planc_tui.core.text import clean
from planc_tui.core.timeline import Draft, Event
from planc_tui.desk.queries import behind
from planc_tui.incident import kinds
from planc_tui.incident.escalation import ESCALATOR
from planc_tui.incident.model import Incident

# Budgets are measured every five minutes: only after that does a figure hold the whole incident.
SETTLED_AFTER = 360.0
# A figure is written down again when it misses its target by this much more than before.
WORSE_BY = 1.25
FINDING_TYPES = (kinds.FINDING_RAISED, kinds.FINDING_CLEARED)

_FACTS = {"availability": "availability_percent", "error_rate": "error_percent", "latency": "latency_p95"}


def finding_drafts(
    incident: str,
    events: Sequence[Event],
    findings: Sequence[Finding],
    report: SloReport | None = None,
    where: Mapping[str, str] | None = None,
) -> tuple[Draft, ...]:
    """Entries for findings that are new, and for those that are gone, against what the timeline says already.

    incident: "" while none is open. where: context and namespace that were looked at."""
    place = dict(where or {})
    noted: dict[str, str] = {}
    for event in events:
        name = str(event.data.get("finding", ""))
        if event.type == kinds.FINDING_RAISED:
            noted[name] = event.summary
        elif event.type == kinds.FINDING_CLEARED:
            noted.pop(name, None)
    present = {finding.id: finding for finding in findings}
    raised = [
        Draft(
            incident,
            kinds.FINDING_RAISED,
            ESCALATOR,
            clean(found.text, 300),
            {**place, **_finding(found, report, place.get("namespace", ""))},
            found.since,
        )
        for name, found in present.items()
        if name not in noted
    ]
    cleared = [
        Draft(incident, kinds.FINDING_CLEARED, ESCALATOR, f"no longer: {said}", {**place, "finding": name})
        for name, said in noted.items()
        if name not in present
    ]
    return (*raised, *cleared)


def _finding(found: Finding, report: SloReport | None, namespace: str) -> dict[str, object]:
    return {
        "finding": found.id,
        "severity": found.severity,
        "facts": dict(found.facts),
        "query": behind((name for name, _ in found.facts), report, namespace),
    }


def worst_drafts(incident: Incident, report: SloReport) -> tuple[Draft, ...]:
    """Entries for objectives that are missed worse than ever in this incident."""
    noted: dict[str, float] = {}
    for entry in incident.entries:
        if entry.event.type == kinds.WORST:
            noted[str(entry.event.data.get("slo", ""))] = float(entry.event.data.get("missed_by", 0.0))
    return tuple(
        _worst(incident, status, missed_by)
        for status in report.slos
        if status.verdict in (Verdict.MISSED, Verdict.BURNING)
        and (missed_by := _missed_by(status)) > 0
        and missed_by > noted.get(status.objective.id, 0.0) * WORSE_BY
    )


def _missed_by(status: SloStatus) -> float:
    """How far the figure is beyond its target, in the objective's unit; 0 where it is met or unknown."""
    if status.value is None:
        return 0.0
    distance = status.value - status.objective.target
    return max(0.0, -distance if status.objective.kind == "availability" else distance)


def _worst(incident: Incident, status: SloStatus, missed_by: float) -> Draft:
    objective = status.objective
    shown = figure_text(objective, status.value or 0.0)
    data = {
        "slo": objective.id,
        "name": objective.name,
        "value": status.value,
        "unit": objective.unit,
        "text": shown,
        "missed_by": missed_by,
        "query": figure_query(objective),
    }
    return Draft(incident.id, kinds.WORST, ESCALATOR, clean(f"worst so far: {objective.name} {shown}", 200), data)


def figure_text(objective: Objective, value: float) -> str:
    """A figure of an objective, as findings show it."""
    return show(_FACTS[objective.kind], value / 1000 if objective.unit == "ms" else value)


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
