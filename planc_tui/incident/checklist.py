"""The points to see to before an incident is closed.

Invariant: a point that planc can see for itself is ticked by what happened and by nothing else; the others are ticked
by a person, whose name stays beside them.
"""

from __future__ import annotations

from msgspec import Struct

from planc_tui.incident import kinds
from planc_tui.incident.model import Check, DeliveryState, Incident, MessageKind, State, in_language


class Point(Struct, frozen=True):
    """One point as it stands. by: who or what ticked it. automatic: planc ticks it."""

    id: str
    text: str
    done: bool
    by: str = ""
    automatic: bool = False


def points(incident: Incident, language: str = "en") -> tuple[Point, ...]:
    """All points, in the playbook's order."""
    return tuple(_point(incident, check, language) for check in incident.policy.checklist)


def open_points(incident: Incident) -> tuple[Point, ...]:
    """The points that are not ticked."""
    return tuple(point for point in points(incident) if not point.done)


def _point(incident: Incident, check: Check, language: str) -> Point:
    text = in_language(check.text, check.text_fr, language)
    if check.check:
        seen = _seen(incident, check.check)
        return Point(check.id, text, bool(seen), seen, automatic=True)
    by = incident.ticks.get(check.id, "")
    return Point(check.id, text, bool(by), by)


def _seen(incident: Incident, check: str) -> str:
    """What shows that a point is done; "" when nothing does."""
    match check:
        case "recovered":
            return _recovered(incident)
        case "resolution_sent":
            return _resolution(incident)
        case "exported":
            return "exported" if incident.exported else ""
        case "timeline":
            written = sum(entry.event.type in kinds.WRITTEN for entry in incident.entries)
            return f"{len(incident.entries)} entries, {written} by hand" if written else ""
        case "root_cause" | "review_date":
            return incident.facts.get(check, "")
        case "actions":
            owned = [todo for todo in incident.todos if todo.owner]
            return f"{len(owned)} with an owner" if owned else ""
        case _:
            return incident.ticks.get(check, "")


def _recovered(incident: Incident) -> str:
    if incident.proof is None or incident.state not in (State.RESOLVED, State.REVIEW, State.CLOSED):
        return ""
    return f"override: {incident.proof.override}" if incident.proof.override else "signals are good"


def _resolution(incident: Incident) -> str:
    message = incident.message_of(MessageKind.RESOLUTION)
    if message is None:
        return ""
    sent = [
        delivery.channel
        for delivery in incident.deliveries
        if delivery.id.startswith(f"{message.id}/") and delivery.state is DeliveryState.SENT
    ]
    return ", ".join(sent)
