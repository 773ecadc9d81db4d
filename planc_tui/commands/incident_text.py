"""Incidents on standard output, for people and for programs.

Invariant: JSON has the same keys whatever the state; text from outside is cleaned before a terminal sees it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import asdict

from planc_tui.core.text import clean
from planc_tui.desk.parcels import iso
from planc_tui.incident import kinds
from planc_tui.incident.checklist import points
from planc_tui.incident.clockview import ClockView, clock_view, span
from planc_tui.incident.kpi import Figure, Report
from planc_tui.incident.messages import long_span
from planc_tui.incident.model import Incident

NEWEST = 12
_QUIET = frozenset({kinds.DELIVERY_STARTED})


def brief(incident: Incident, now: float) -> dict[str, Any]:
    """What a list shows of one incident."""
    view = clock_view(incident, now)
    return {
        "id": incident.id,
        "title": incident.title,
        "severity": incident.severity,
        "state": incident.state.value,
        "declared_at": iso(incident.declared_at),
        "elapsed_seconds": round(view.elapsed, 1),
        "level": view.level,
        "acknowledged_by": view.acked_by,
        "drill": incident.drill,
    }


def full(incident: Incident, now: float) -> dict[str, Any]:
    """Everything `show` says as values."""
    view = clock_view(incident, now)
    clock = {key: value for key, value in asdict(view).items() if key not in ("state", "message", "calls")}
    return {
        **brief(incident, now),
        "clock": {**clock, "message": view.message.value, "calls": [asdict(call) for call in view.calls]},
        "impact_start": iso(incident.impact_start),
        "detected_at": iso(incident.detected_at),
        "mitigated_at": iso(incident.mitigated_at),
        "resolved_at": iso(incident.resolved_at),
        "closed_at": iso(incident.closed_at),
        "roles": dict(incident.roles),
        "facts": dict(incident.facts),
        "findings": list(incident.findings),
        "pages": [
            {"id": p.id, "level": p.level, "who": p.who, "at": iso(p.at), "by_hand": p.manual, "reached": p.reached}
            for p in incident.pages
        ],
        "deliveries": [
            {
                "id": d.id,
                "kind": d.kind,
                "channel": d.channel,
                "state": d.state.value,
                "tries": d.tries,
                "next_try": iso(d.next_try) if d.state.value == "queued" else None,
                "sent_at": iso(d.sent_at),
                "late_seconds": round(d.late_by, 1),
                "error": d.error,
            }
            for d in incident.deliveries
        ],
        "messages": [{"kind": m.kind.value, "at": iso(m.at), "text": m.text} for m in incident.messages],
        "todos": [asdict(todo) for todo in incident.todos],
        "checklist": [asdict(point) for point in points(incident)],
        "entries": [
            {
                "seq": e.event.seq,
                "at": iso(e.event.occurred_at),
                "recorded_at": iso(e.event.recorded_at),
                "type": e.event.type,
                "actor": e.event.actor.user,
                "summary": e.event.summary,
                "replaced_by": e.replaced_by or None,
            }
            for e in incident.entries
        ],
    }


def line(incident: Incident, now: float) -> str:
    """One incident in one line."""
    view = clock_view(incident, now)
    drill = " (drill)" if incident.drill else ""
    head = f"{incident.id}  {incident.severity}  {incident.state.value:<12}  {span(view.elapsed):>8}"
    return f"{head}  {clean(incident.title, 120)}{drill}"


def sheet(incident: Incident, now: float) -> str:
    """One incident on one page."""
    view = clock_view(incident, now)
    lines = [line(incident, now), f"  {clean(view.sentence)}", *_clock_lines(view)]
    roles = ", ".join(f"{role} {clean(who)}" for role, who in sorted(incident.roles.items()))
    lines.append(f"  {roles}")
    lines += [
        f"  ☎ call {clean(call.who)}: {clean(call.number) or 'no number in the playbook'} (page {call.page})"
        for call in view.calls
    ]
    for delivery in incident.deliveries:
        if delivery.state.value in ("queued", "failed"):
            error = f": {clean(delivery.error)}" if delivery.error else ""
            lines.append(f"  ✉ {delivery.kind} by {clean(delivery.channel)} {delivery.state.value}{error}")
    lines += ["", *entries(incident, NEWEST)]
    if not incident.state.active:
        lines += ["", *(f"  [{'x' if p.done else ' '}] {p.id:<14} {clean(p.text)}" for p in points(incident))]
    return "\n".join(lines)


def _clock_lines(view: ClockView) -> list[str]:
    parts = []
    if view.level:
        parts.append(f"reached {view.level} {clean(view.who)}")
    if view.deadline_left is not None:
        late = view.deadline_left < 0
        parts.append(f"deadline {'passed ' if late else 'in '}{span(abs(view.deadline_left))}")
    if view.message_in is not None:
        late = view.message_in < 0
        parts.append(f"{view.message.value} message {'overdue ' if late else 'due in '}{span(abs(view.message_in))}")
    return [f"  {'; '.join(parts)}"] if parts else []


def entries(incident: Incident, newest: int) -> list[str]:
    """The newest lines of the timeline."""
    shown = [entry for entry in incident.entries if entry.event.type not in _QUIET][-newest:]
    lines = []
    for entry in shown:
        event = entry.event
        mark = f" (corrected by {entry.replaced_by})" if entry.replaced_by else ""
        at = (iso(event.occurred_at) or "")[11:19]
        lines.append(
            f"  {event.seq:>5}  {at}  {clean(event.actor.user):<10} {clean(event.summary or event.type, 200)}{mark}"
        )
    return lines


def figures(report: Report) -> str:
    """The indicators as a table."""
    rows = [
        ("time to detect", report.detect),
        ("time to acknowledge", report.acknowledge),
        ("time to mitigate", report.mitigate),
        ("time to recover", report.recover),
        ("response time", report.respond),
    ]
    lines = [f"{'':<20} {'n':>3} {'?':>3} {'median':>10} {'p90':>10} {'mean':>10} {'target':>10}"]
    lines += [_figure_line(name, figure) for name, figure in rows]
    met, judged = report.in_time
    lines += [
        f"{'within deadline':<20} {met} of {judged}",
        f"{'P0/P1 this month':<20} {report.major_this_month} (fewer than {report.major_target} wanted), "
        f"{report.major_30_days} in 30 days",
        f"{'left out':<20} {report.left_out} (drills, false alarms, not confirmed)",
    ]
    return "\n".join(lines)


def _figure_line(name: str, figure: Figure) -> str:
    cells = [_cell(value) for value in (figure.median, figure.p90, figure.mean, figure.target)]
    note = "" if figure.met is None else ("  met" if figure.met else "  missed")
    few = "  too few to say much" if figure.few and figure.n else ""
    return f"{name:<20} {figure.n:>3} {figure.unknown:>3} " + " ".join(f"{cell:>10}" for cell in cells) + note + few


def _cell(seconds: float | None) -> str:
    return "-" if seconds is None else long_span(seconds)


def report_json(report: Report) -> dict[str, Any]:
    """The indicators as values."""

    def one(figure: Figure) -> dict[str, Any]:
        return {**asdict(figure), "few": figure.few, "met": figure.met}

    return {
        "mttd": one(report.detect),
        "mtta": one(report.acknowledge),
        "mttm": one(report.mitigate),
        "mttr": one(report.recover),
        "response": one(report.respond),
        "in_time": {"met": report.in_time[0], "of": report.in_time[1]},
        "major_this_month": report.major_this_month,
        "major_30_days": report.major_30_days,
        "major_target": report.major_target,
        "left_out": report.left_out,
        "incidents": [asdict(timing) for timing in report.timings],
    }


def table(incidents: Iterable[Incident], now: float) -> str:
    """One line per incident."""
    return "\n".join(line(incident, now) for incident in incidents)
