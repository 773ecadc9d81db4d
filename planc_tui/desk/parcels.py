"""What is handed to a channel for one delivery.

Invariant: a text that is late says so itself; a parcel is made right before it is sent, from the newest state.
"""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import Any

from planc_tui.core.notify import Parcel
from planc_tui.incident.clockview import clock_view
from planc_tui.incident.messages import clock_time, long_span
from planc_tui.incident.model import Delivery, Incident
from planc_tui.incident.outbox import LADDER_KINDS, LATE
from planc_tui.incident.words import named


def dedup_key(incident: Incident) -> str:
    """The one key under which pagers know the incident; at most 255 characters."""
    return f"planc/{incident.policy.environment or 'default'}/{incident.id}"[:255]


def iso(at: float | None) -> str | None:
    """RFC 3339 in UTC with milliseconds.

    >>> iso(1_795_478_343.716)
    '2026-11-23T23:59:03.716Z'
    """
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parcel_for(incident: Incident, delivery: Delivery, now: float) -> Parcel:
    """The parcel of a delivery as of `now`."""
    language = incident.policy.language_of(delivery.channel)
    late = max(0.0, now - delivery.queued_at)
    state = named(incident.state.value, language)
    text = delivery.text or f"{incident.severity} {incident.id} {incident.title}: {state}"
    if late > LATE and delivery.kind not in LADDER_KINDS:
        word = "retard de" if language == "fr" else "late by"
        text = f"[{word} {long_span(late, language)}] {text}"
    view = clock_view(incident, now)
    return Parcel(
        id=delivery.id,
        kind=delivery.kind,
        text=text,
        incident=incident.id,
        title=incident.title,
        severity=incident.severity,
        state=incident.state.value,
        at=now,
        rank=incident.rule.rank,
        level=delivery.level or view.level,
        dedup=dedup_key(incident),
        late_by=late if late > LATE else 0.0,
        language=language,
        sender=f"planc@{socket.gethostname()}",
        environment=incident.policy.environment,
        facts=_facts(incident, now, language),
        record=_record(incident, view.level, now),
    )


def _facts(incident: Incident, now: float, language: str) -> tuple[tuple[str, str], ...]:
    view = clock_view(incident, now)
    french = language == "fr"
    level = f", {view.level}" if view.level else ""
    start = incident.declared_at if incident.impact_start is None else incident.impact_start
    upcoming = "-" if view.message_in is None else clock_time(now + view.message_in)
    return (
        ("État" if french else "Status", f"{named(incident.state.value, language)}{level}"),
        ("Pilote" if french else "Commander", incident.roles.get("commander", "-")),
        ("Depuis" if french else "Since", clock_time(start)),
        ("Prochain point" if french else "Next update", upcoming),
    )


def _record(incident: Incident, level: str, now: float) -> dict[str, Any]:
    """The incident as a receiver of planc's own webhook sees it."""
    return {
        "id": incident.id,
        "title": incident.title,
        "severity": incident.severity,
        "state": incident.state.value,
        "level": level,
        "impact_start": iso(incident.impact_start),
        "detected_at": iso(incident.detected_at),
        "declared_at": iso(incident.declared_at),
        "acked_at": iso(incident.first_ack_at),
        "mitigated_at": iso(incident.mitigated_at),
        "resolved_at": iso(incident.resolved_at),
        "roles": dict(incident.roles),
        "services": list(incident.services),
        "environment": incident.policy.environment,
        "namespace": incident.policy.namespace,
        "drill": incident.drill,
        "elapsed_seconds": round(max(0.0, now - incident.anchor), 1),
    }
