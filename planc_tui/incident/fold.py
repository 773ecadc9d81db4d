"""From events to the state of an incident.

Invariant: the same events always give the same state; an event of an unknown type, or one that does not fit the state,
only adds a line to the timeline. Times in the state never run backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from planc_tui.core.timeline import Event
from planc_tui.incident import kinds
from planc_tui.incident.model import (
    Ack,
    Delivery,
    DeliveryState,
    Entry,
    Generation,
    Incident,
    Message,
    MessageKind,
    Page,
    Policy,
    Proof,
    Silence,
    Snooze,
    Span,
    State,
    Todo,
)

Handler = Callable[[Incident, Event, float], Incident]

MANUAL_KINDS = frozenset({"phone", "copy"})
"""Channels that a person must use: planc shows the number or fills the clipboard."""


class UnknownIncident(Exception):
    """There is no such incident; the text is fit for the screen."""


def fold(events: Iterable[Event], start: Incident | None = None) -> Incident:
    """The incident its events describe; `start` continues from a state folded before.

    Raises UnknownIncident when no event declares it."""
    incident = start
    for event in events:
        if incident is None:
            if event.type != kinds.DECLARED:
                raise UnknownIncident(f"{event.incident} begins with {event.type}: its declaration is missing")
            incident = _declared(event)
        elif event.seq > incident.seq:
            incident = advance(incident, event)
    if incident is None:
        raise UnknownIncident("no such incident")
    return incident


def fold_all(events: Iterable[Event]) -> dict[str, Incident]:
    """Every incident of a journal, by id, in the order of declaration. Entries of no incident are left out."""
    grouped: dict[str, list[Event]] = {}
    for event in events:
        if event.incident:
            grouped.setdefault(event.incident, []).append(event)
    return {name: fold(own) for name, own in grouped.items() if own[0].type == kinds.DECLARED}


def advance(incident: Incident, event: Event) -> Incident:
    """The incident after one more event."""
    at = max(incident.at, event.recorded_at)
    handler = _HANDLERS.get(event.type)
    if handler is not None:
        incident = handler(incident, event, at)
    incident = replace(incident, seq=event.seq, at=at, entries=(*incident.entries, Entry(event)))
    if event.actor.is_human:
        ack = incident.ack
        incident = replace(
            incident, touched_at=at, ack=None if ack is None else replace(ack, active_at=max(ack.active_at, at))
        )
    return incident


def _declared(event: Event) -> Incident:
    data = event.data
    at = event.recorded_at
    state = State.SUSPECTED if data.get("suspected") else State.OPEN
    severity = str(data["severity"])
    who = event.actor.user
    return Incident(
        id=event.incident,
        title=str(data["title"]),
        severity=severity,
        state=state,
        policy=msgspec.convert(data["policy"], Policy),
        declared_at=at,
        anchor=at,
        seq=event.seq,
        at=at,
        declared_by=who,
        drill=bool(data.get("drill")),
        impact_start=_time(data.get("impact_start")),
        detected_at=_time(data.get("detected_at")) or at,
        detected_by=str(data.get("detected_by", "")),
        findings=tuple(map(str, data.get("findings", ()))),
        services=tuple(map(str, data.get("services", ()))),
        generation=Generation(0, at, at),
        touched_at=at,
        severities=(Span(severity, at),),
        states=(Span(state.value, at),),
        roles={"commander": who, "ops": who, "scribe": "planc"},
        entries=(Entry(event),),
        facts={name: text for name, text in _texts(data.get("facts")).items() if text},
    )


def _time(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _texts(value: Any) -> dict[str, str]:
    return {str(name): str(text) for name, text in value.items()} if isinstance(value, Mapping) else {}


def _turn(spans: tuple[Span, ...], name: str, at: float) -> tuple[Span, ...]:
    last = spans[-1]
    if last.name == name:
        return spans
    return (*spans[:-1], replace(last, end=max(at, last.start)), Span(name, max(at, last.start)))


def _enter(incident: Incident, state: State, at: float) -> Incident:
    return replace(incident, state=state, states=_turn(incident.states, state.value, at))


def _regenerate(incident: Incident, since: float, pages_from: float) -> Incident:
    number = incident.generation.number + 1
    return replace(incident, generation=Generation(number, since, pages_from))


def _drop_pages(incident: Incident) -> Incident:
    """Pages that are not out yet must never go out: whoever was to be called need not be any more."""
    return replace(
        incident,
        deliveries=tuple(
            replace(d, state=DeliveryState.DROPPED)
            if d.page and d.state in (DeliveryState.QUEUED, DeliveryState.CALL)
            else d
            for d in incident.deliveries
        ),
    )


def _confirmed(incident: Incident, _event: Event, at: float) -> Incident:
    if incident.state is not State.SUSPECTED:
        return incident
    incident = replace(incident, declared_at=at, anchor=at)
    return _enter(_regenerate(incident, at, at), State.OPEN, at)


def _acknowledged(incident: Incident, event: Event, at: float) -> Incident:
    if incident.state not in (State.OPEN, State.ACKNOWLEDGED):
        return incident
    who = event.actor.user
    incident = replace(
        incident,
        ack=Ack(who, at, at),
        snooze=None,
        first_ack_at=at if incident.first_ack_at is None else incident.first_ack_at,
        first_ack_by=incident.first_ack_by or who,
    )
    return _enter(_drop_pages(incident), State.ACKNOWLEDGED, at)


def _unacknowledged(incident: Incident, _event: Event, at: float) -> Incident:
    if incident.state is not State.ACKNOWLEDGED:
        return incident
    incident = replace(incident, ack=None, snooze=None)
    return _enter(_regenerate(incident, at, at + incident.policy.grace), State.OPEN, at)


def _ack_expired(incident: Incident, event: Event, at: float) -> Incident:
    if incident.state is not State.ACKNOWLEDGED:
        return incident
    since = min(at, event.occurred_at)
    return _enter(_regenerate(replace(incident, ack=None), since, since), State.OPEN, at)


def _snoozed(incident: Incident, event: Event, _at: float) -> Incident:
    snooze = Snooze(event.actor.user, str(event.data.get("reason", "")), float(event.data["until"]))
    incident = replace(incident, snooze=snooze)
    return _drop_pages(incident) if incident.state is State.OPEN else incident


def _snooze_ended(incident: Incident, event: Event, at: float) -> Incident:
    if incident.snooze is None:
        return incident
    incident = replace(incident, snooze=None)
    if incident.state is not State.OPEN:
        return incident
    since = min(at, event.occurred_at)
    return _regenerate(incident, since, since)


def _severity(incident: Incident, event: Event, at: float) -> Incident:
    severity = str(event.data["to"])
    return replace(incident, severity=severity, severities=_turn(incident.severities, severity, at))


def _mitigated(incident: Incident, _event: Event, at: float) -> Incident:
    if incident.state not in (State.OPEN, State.ACKNOWLEDGED):
        return incident
    incident = replace(incident, mitigated_at=at, ack=None, snooze=None)
    return _enter(_drop_pages(incident), State.MITIGATED, at)


def _resolved(incident: Incident, event: Event, at: float) -> Incident:
    data = event.data
    proof = Proof(
        verdict=str(data.get("verdict", "")),
        by=event.actor.user,
        at=at,
        signals=tuple(map(str, data.get("signals", ()))),
        held_for=float(data.get("held_for", 0.0)),
        override=str(data.get("override", "")),
    )
    mitigated = at if incident.mitigated_at is None else incident.mitigated_at
    incident = replace(incident, resolved_at=at, mitigated_at=mitigated, proof=proof, ack=None, snooze=None)
    return _enter(_drop_pages(incident), State.RESOLVED, at)


def _reopened(incident: Incident, _event: Event, at: float) -> Incident:
    incident = replace(
        incident,
        anchor=at,
        cycle=incident.cycle + 1,
        reopened=incident.reopened + 1,
        mitigated_at=None,
        resolved_at=None,
        proof=None,
    )
    return _enter(_regenerate(incident, at, at), State.OPEN, at)


def _review(incident: Incident, _event: Event, at: float) -> Incident:
    return _enter(incident, State.REVIEW, at)


def _closed(incident: Incident, _event: Event, at: float) -> Incident:
    return _enter(replace(incident, closed_at=at), State.CLOSED, at)


def _cancelled(incident: Incident, _event: Event, at: float) -> Incident:
    incident = replace(incident, closed_at=at, ack=None, snooze=None)
    return _enter(_drop_pages(incident), State.CANCELLED, at)


def _facts(incident: Incident, event: Event, _at: float) -> Incident:
    facts = {**incident.facts, **_texts(event.data.get("facts"))}
    impact = event.data.get("impact_start")
    detected = event.data.get("detected_at")
    return replace(
        incident,
        facts={name: text for name, text in facts.items() if text},
        impact_start=incident.impact_start if impact is None else _time(impact),
        detected_at=incident.detected_at if detected is None else _time(detected),
    )


def _exported(incident: Incident, _event: Event, _at: float) -> Incident:
    return replace(incident, exported=True)


def _role_assumed(incident: Incident, event: Event, _at: float) -> Incident:
    return replace(incident, roles={**incident.roles, str(event.data["role"]): str(event.data["who"])})


def _role_renounced(incident: Incident, event: Event, _at: float) -> Incident:
    return replace(incident, roles={r: who for r, who in incident.roles.items() if r != event.data.get("role")})


def _todo(incident: Incident, event: Event, _at: float) -> Incident:
    data = event.data
    todo = Todo(event.seq, str(data.get("text", "")), str(data.get("owner", "")), str(data.get("due", "")))
    return replace(incident, todos=(*incident.todos, todo))


def _todo_done(incident: Incident, event: Event, _at: float) -> Incident:
    done = event.data.get("todo")
    return replace(incident, todos=tuple(replace(t, done=True) if t.id == done else t for t in incident.todos))


def _corrected(incident: Incident, event: Event, _at: float) -> Incident:
    old = event.data.get("supersedes")
    return replace(
        incident,
        entries=tuple(replace(e, replaced_by=event.seq) if e.event.seq == old else e for e in incident.entries),
        todos=tuple(replace(t, text=str(event.data.get("text", ""))) if t.id == old else t for t in incident.todos),
    )


def _ticked(incident: Incident, event: Event, _at: float) -> Incident:
    ticks = dict(incident.ticks)
    ticks[str(event.data["check"])] = event.actor.user
    return replace(incident, ticks=ticks)


def _queued(incident: Incident, event: Event, at: float, **common: Any) -> tuple[Delivery, ...]:
    """The deliveries an event asks for."""
    return tuple(
        Delivery(
            id=str(item["id"]),
            seq=event.seq,
            kind=str(item["kind"]),
            channel=str(item["channel"]),
            channel_kind=str(item["channel_kind"]),
            queued_at=at,
            text=str(item.get("text", "")),
            generation=incident.generation.number,
            next_try=at,
            state=DeliveryState.CALL if item["channel_kind"] in MANUAL_KINDS else DeliveryState.QUEUED,
            payload=item.get("payload", {}),
            page=str(item.get("page", "")),
            level=str(item.get("level", "")),
            manual=bool(item.get("manual")),
            **common,
        )
        for item in event.data.get("deliveries", ())
    )


def _delivery_queued(incident: Incident, event: Event, at: float) -> Incident:
    return replace(incident, deliveries=(*incident.deliveries, *_queued(incident, event, at)))


def _page_due(incident: Incident, event: Event, at: float) -> Incident:
    data = event.data
    page = Page(
        id=str(data["page"]),
        seq=event.seq,
        at=at,
        generation=incident.generation.number,
        level=str(data["level"]),
        who=str(data["who"]),
        manual=bool(data.get("manual")),
    )
    incident = _delivery_queued(incident, event, at)
    first = at if incident.first_page_at is None else incident.first_page_at
    return replace(incident, pages=(*incident.pages, page), first_page_at=first)


def _page_reached(incident: Incident, event: Event, at: float) -> Incident:
    page, who = event.data.get("page"), str(event.data.get("who", ""))
    return replace(
        incident,
        pages=tuple(replace(p, reached=who) if p.id == page else p for p in incident.pages),
        deliveries=tuple(
            replace(d, state=DeliveryState.SENT, sent_at=at) if d.page == page and d.state is DeliveryState.CALL else d
            for d in incident.deliveries
        ),
    )


def _catch_up(incident: Incident, event: Event, _at: float) -> Incident:
    return replace(incident, caught_up=(*incident.caught_up, *map(str, event.data.get("missed", ()))))


def _message_queued(incident: Incident, event: Event, at: float) -> Incident:
    data = event.data
    deliveries = _queued(incident, event, at)
    message = Message(
        id=str(data["message"]),
        kind=MessageKind(data["kind"]),
        at=at,
        by=event.actor.user,
        text=str(data.get("text", "")),
        channels=tuple(d.channel for d in deliveries),
    )
    return replace(incident, messages=(*incident.messages, message), deliveries=(*incident.deliveries, *deliveries))


def _with_delivery(incident: Incident, event: Event, **changes: Any) -> Incident:
    which = event.data.get("delivery")
    return replace(
        incident, deliveries=tuple(replace(d, **changes) if d.id == which else d for d in incident.deliveries)
    )


def _delivery_started(incident: Incident, event: Event, at: float) -> Incident:
    until = float(event.data.get("until", at))
    return _with_delivery(incident, event, tries=int(event.data.get("try", 1)), busy_until=until)


def _delivery_sent(incident: Incident, event: Event, at: float) -> Incident:
    return _with_delivery(incident, event, state=DeliveryState.SENT, sent_at=at, busy_until=0.0, error="")


def _delivery_failed(incident: Incident, event: Event, at: float) -> Incident:
    old = incident.delivery(str(event.data.get("delivery")))
    changes: dict[str, Any] = {"busy_until": 0.0, "error": str(event.data.get("error", ""))}
    if old is not None and old.state is not DeliveryState.DROPPED:
        if event.data.get("final"):
            changes["state"] = DeliveryState.FAILED
        else:
            changes["next_try"] = float(event.data.get("next_try", at))
    return _with_delivery(incident, event, **changes)


def _silence_created(incident: Incident, event: Event, _at: float) -> Incident:
    silence = Silence(str(event.data["silence"]), float(event.data.get("until", 0.0)))
    return replace(incident, silences=(*incident.silences, silence))


def _silence_ended(incident: Incident, event: Event, _at: float) -> Incident:
    ended = event.data.get("silence")
    return replace(incident, silences=tuple(replace(s, ended=True) if s.id == ended else s for s in incident.silences))


def _action_result(incident: Incident, event: Event, _at: float) -> Incident:
    """An action that made or ended a silence says so in its receipt."""
    receipt = event.data.get("receipt")
    data = receipt.get("data") if isinstance(receipt, Mapping) else None
    if not isinstance(data, Mapping):
        return incident
    if "silence" in data:
        made = Silence(str(data["silence"]), _time(data.get("until")) or 0.0)
        return replace(incident, silences=(*incident.silences, made))
    ended = data.get("ended")
    return replace(incident, silences=tuple(replace(s, ended=True) if s.id == ended else s for s in incident.silences))


_HANDLERS: dict[str, Handler] = {
    kinds.ACTION_RESULT: _action_result,
    kinds.CONFIRMED: _confirmed,
    kinds.ACKNOWLEDGED: _acknowledged,
    kinds.UNACKNOWLEDGED: _unacknowledged,
    kinds.ACK_EXPIRED: _ack_expired,
    kinds.SNOOZED: _snoozed,
    kinds.SNOOZE_ENDED: _snooze_ended,
    kinds.SEVERITY: _severity,
    kinds.MITIGATED: _mitigated,
    kinds.RESOLVED: _resolved,
    kinds.REOPENED: _reopened,
    kinds.REVIEW: _review,
    kinds.CLOSED: _closed,
    kinds.CANCELLED: _cancelled,
    kinds.FACTS: _facts,
    kinds.EXPORTED: _exported,
    kinds.ROLE_ASSUMED: _role_assumed,
    kinds.ROLE_RENOUNCED: _role_renounced,
    kinds.TODO: _todo,
    kinds.TODO_DONE: _todo_done,
    kinds.CORRECTED: _corrected,
    kinds.TICKED: _ticked,
    kinds.PAGE_DUE: _page_due,
    kinds.PAGE_REACHED: _page_reached,
    kinds.CATCH_UP: _catch_up,
    kinds.MESSAGE_QUEUED: _message_queued,
    kinds.DELIVERY_QUEUED: _delivery_queued,
    kinds.DELIVERY_STARTED: _delivery_started,
    kinds.DELIVERY_SENT: _delivery_sent,
    kinds.DELIVERY_FAILED: _delivery_failed,
    kinds.SILENCE_CREATED: _silence_created,
    kinds.SILENCE_ENDED: _silence_ended,
}
