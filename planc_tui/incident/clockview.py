"""What the escalation clock says at one moment.

Invariant: a pure function of the incident and the time, so every console shows the same second.
"""

from __future__ import annotations

from msgspec import Struct

from planc_tui.incident.escalation import held_until, level_at, message_due, message_kind_due, stale
from planc_tui.incident.fold import MANUAL_KINDS
from planc_tui.incident.lifecycle import next_rung
from planc_tui.incident.model import DeliveryState, Incident, MessageKind, Rung, State


class Call(Struct, frozen=True):
    """A page that waits for a person to dial."""

    page: str
    level: str
    who: str
    number: str


class ClockView(Struct, frozen=True):
    """One reading of the clock. Spans are seconds; negative means overdue; None means there is none.

    level: highest level reached, with who and by which channel. acked_left: until the acknowledgement lapses.
    next_in: until the next level is paged, if nobody acknowledges. unreached: levels whose page failed everywhere.
    sentence: all of it in one line."""

    incident: str
    title: str
    severity: str
    state: State
    elapsed: float
    impact: float | None
    level: str
    who: str
    channel: str
    acked_by: str
    acked_left: float | None
    snoozed_left: float | None
    next_level: str
    next_who: str
    next_channel: str
    next_in: float | None
    deadline_left: float | None
    message: MessageKind
    message_in: float | None
    calls: tuple[Call, ...]
    sentence: str
    drill: bool = False
    unreached: tuple[str, ...] = ()


def span(seconds: float) -> str:
    """A span as people read clocks.

    >>> span(192), span(3723), span(-61)
    ('03:12', '1:02:03', '-01:01')
    """
    whole = int(abs(seconds))
    hours, rest = divmod(whole, 3600)
    text = f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60:02}:{rest % 60:02}"
    return f"-{text}" if seconds < 0 and whole else text


def clock_view(incident: Incident, now: float) -> ClockView:
    """The clock of an incident at `now` (epoch seconds on the journal's time line)."""
    now = max(now, incident.at)
    present = _present(incident, now)
    upcoming = next_rung(incident, now) if incident.state is State.OPEN else None
    lapse = held_until(incident)
    until = incident.snooze.until if incident.snooze is not None else None
    due = message_due(incident, now)
    over = incident.resolved_at if not incident.state.active else None
    end = now if over is None else over
    active = incident.state.active
    return ClockView(
        incident=incident.id,
        title=incident.title,
        severity=incident.severity,
        state=incident.state,
        elapsed=max(0.0, end - incident.anchor),
        impact=None if incident.impact_start is None else max(0.0, end - incident.impact_start),
        level="" if present is None else present.id,
        who="" if present is None else present.who,
        channel=_channel(incident, present),
        acked_by="" if incident.ack is None else incident.ack.by,
        acked_left=None if lapse is None else lapse - now,
        snoozed_left=None if until is None else until - now,
        next_level="" if upcoming is None else upcoming.id,
        next_who="" if upcoming is None else upcoming.who,
        next_channel=_channel(incident, upcoming),
        next_in=None if upcoming is None else upcoming.after - (now - incident.anchor),
        deadline_left=incident.anchor + incident.rule.deadline - now if active and incident.rule.deadline else None,
        message=message_kind_due(incident),
        message_in=None if due is None else due - now,
        calls=_calls(incident),
        sentence=_sentence(incident, upcoming, now),
        drill=incident.drill,
        unreached=_unreached(incident) if active else (),
    )


def _present(incident: Incident, now: float) -> Rung | None:
    """The highest level that time or a page has reached."""
    ladder = incident.rule.ladder
    end = now if incident.resolved_at is None or incident.state.active else incident.resolved_at
    by_time = level_at(ladder, end - incident.anchor)
    paged = {page.level for page in incident.pages if page.at >= incident.anchor}
    if incident.state is not State.OPEN:
        by_time = by_time if by_time is not None and by_time.id in paged else None
    candidates = [rung for rung in ladder if rung.id in paged or rung is by_time]
    return max(candidates, key=lambda rung: rung.after, default=None)


def _channel(incident: Incident, rung: Rung | None) -> str:
    if rung is None or not rung.channels:
        return ""
    first = rung.channels[0]
    known = incident.policy.channel(first)
    return first if known is None else known.name


def _unreached(incident: Incident) -> tuple[str, ...]:
    """Levels that were called in this cycle and that no channel could be handed the page for."""
    found: dict[str, bool] = {}
    for page in incident.pages:
        if page.at >= incident.anchor:
            ways = [delivery for delivery in incident.deliveries if delivery.page == page.id]
            lost = all(way.state is DeliveryState.FAILED for way in ways)
            found[page.level] = found.get(page.level, True) and lost
    return tuple(level for level, lost in found.items() if lost)


def _calls(incident: Incident) -> tuple[Call, ...]:
    who = {page.id: page.who for page in incident.pages}
    return tuple(
        Call(d.page, d.level, who.get(d.page, ""), str(d.payload.get("number", "")))
        for d in incident.deliveries
        if d.page and d.channel_kind in MANUAL_KINDS and d.state is DeliveryState.CALL
    )


def _sentence(incident: Incident, upcoming: Rung | None, now: float) -> str:
    match incident.state:
        case State.SUSPECTED:
            return "suspected: confirm it or cancel it"
        case State.ACKNOWLEDGED:
            return _acked(incident, now)
        case State.MITIGATED:
            return "mitigated: resolve it once the signals hold"
        case State.RESOLVED | State.REVIEW:
            return "resolved: the checklist is open"
        case State.CLOSED:
            return "closed"
        case State.CANCELLED:
            return "cancelled: a false alarm"
        case State.OPEN:
            return _unacked(incident, upcoming, now)


def _acked(incident: Incident, now: float) -> str:
    lapse = held_until(incident)
    if incident.ack is None or lapse is None:
        return "acknowledged"
    left = lapse - now
    if left <= 0:
        return f"the acknowledgement of {incident.ack.by} has lapsed: paging again"
    return f"{incident.ack.by} is on it; without activity pages go out again in {span(left)}"


def _unacked(incident: Incident, upcoming: Rung | None, now: float) -> str:
    if stale(incident, now):
        return "nobody has touched this for days: no more pages go out"
    if incident.snooze is not None and now < incident.snooze.until:
        return f"snoozed by {incident.snooze.by} for {span(incident.snooze.until - now)}: {incident.snooze.reason}"
    if upcoming is None:
        return "nobody has acknowledged: the last level was called"
    by = _channel(incident, upcoming)
    how = f" by {by}" if by else ""
    left = upcoming.after - (now - incident.anchor)
    return f"nobody has acknowledged: {upcoming.id} {upcoming.who}{how} in {span(left)}"
