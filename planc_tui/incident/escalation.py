"""Who must be called when: a pure function of an incident and the time.

Invariant: within one generation each level is paged at most once; only an open incident that nobody acknowledged and
nobody snoozed pages; the lower bound of a level is inclusive, so at 15:00.0 level two is due.
"""

from __future__ import annotations

import hashlib

from msgspec import Struct

from planc_tui.core.timeline import Actor, Draft, Event
from planc_tui.incident import kinds
from planc_tui.incident.fold import advance
from planc_tui.incident.model import ChannelInfo, Incident, MessageKind, Rung, State, in_language

ESCALATOR = Actor("planc", kind="system")


class Due(Struct, frozen=True):
    """Levels to page now, and the levels that were passed over while nobody kept time."""

    now: tuple[Rung, ...] = ()
    missed: tuple[Rung, ...] = ()


def level_at(ladder: tuple[Rung, ...], elapsed: float) -> Rung | None:
    """The highest level reached `elapsed` seconds after the anchor; None before the first."""
    reached = [rung for rung in ladder if elapsed >= rung.after]
    return max(reached, key=lambda rung: rung.after) if reached else None


def held_until(incident: Incident) -> float | None:
    """When the acknowledgement lapses unless somebody does something; None when there is none."""
    if incident.ack is None:
        return None
    until = incident.ack.active_at + incident.rule.ack_hold
    return until if incident.snooze is None else max(until, incident.snooze.until)


def snoozed(incident: Incident, now: float) -> bool:
    """Whether pages are put off."""
    return incident.snooze is not None and now < incident.snooze.until


def stale(incident: Incident, now: float) -> bool:
    """Whether nobody touched the incident for so long that paging about it would only wake people."""
    return now - incident.touched_at > incident.policy.stale_after


def due_pages(incident: Incident, now: float) -> Due:
    """Levels to page at `now`. After a gap only the newest level is paged; the others are named as missed."""
    generation = incident.generation
    if incident.state is not State.OPEN or snoozed(incident, now) or stale(incident, now):
        return Due()
    if now < generation.pages_from:
        return Due()
    ladder = incident.rule.ladder
    paged = {page.level for page in incident.pages if page.generation == generation.number}
    began = level_at(ladder, generation.since - incident.anchor)
    floor = max(
        [0.0 if began is None else began.after, *(rung.after for rung in ladder if rung.id in paged)],
    )
    open_levels = [rung for rung in ladder if now - incident.anchor >= rung.after >= floor and rung.id not in paged]
    if not open_levels:
        return Due()
    newest = max(rung.after for rung in open_levels)
    return Due(
        tuple(rung for rung in open_levels if rung.after == newest),
        tuple(rung for rung in open_levels if rung.after < newest),
    )


def tick(incident: Incident, now: float) -> tuple[Draft, ...]:
    """What the keeper of the clock must write at `now`; nothing when nothing is due.

    The caller writes it in the same transaction in which it read the incident, which makes each page unique."""
    drafts: list[Draft] = []
    snooze = incident.snooze
    if snooze is not None and now >= snooze.until:
        draft = Draft(incident.id, kinds.SNOOZE_ENDED, ESCALATOR, "the snooze is over", occurred_at=snooze.until)
        drafts.append(draft)
        incident = after(incident, draft, now)
    lapse = held_until(incident)
    if incident.state is State.ACKNOWLEDGED and lapse is not None and now >= lapse and incident.ack is not None:
        text = f"the acknowledgement of {incident.ack.by} lapsed: no activity since"
        draft = Draft(incident.id, kinds.ACK_EXPIRED, ESCALATOR, text, {"by": incident.ack.by}, lapse)
        drafts.append(draft)
        incident = after(incident, draft, now)
    due = due_pages(incident, now)
    if due.missed:
        missed = [rung.id for rung in due.missed]
        text = f"{', '.join(missed)} passed while nobody kept the clock"
        drafts.append(Draft(incident.id, kinds.CATCH_UP, ESCALATOR, text, {"missed": missed}))
    drafts.extend(page_draft(incident, rung, ESCALATOR) for rung in due.now)
    return tuple(drafts)


def after(incident: Incident, draft: Draft, now: float) -> Incident:
    """The incident as it will be once `draft` is written at `now`."""
    happened = now if draft.occurred_at is None else draft.occurred_at
    return advance(
        incident,
        Event(incident.seq + 1, incident.id, draft.type, now, happened, draft.actor, draft.summary, draft.data),
    )


def page_id(incident: Incident, level: str, mark: str = "") -> str:
    """Names a page so that writing or sending it twice is seen. `mark` sets a page by hand apart."""
    text = f"{incident.id}|{incident.generation.number}|{level}|{mark}"
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def page_draft(incident: Incident, rung: Rung, actor: Actor, reason: str = "", *, manual: bool = False) -> Draft:
    """The entry that pages one level over its first channel. reason: why a person did not wait for the clock."""
    page = page_id(incident, rung.id, f"by hand {incident.seq}" if manual else "")
    channel = incident.policy.channel(rung.channels[0]) if rung.channels else None
    name = channel.name if channel is not None else "no channel"
    text = f"{rung.id} {rung.who} by {name}" + (f": {reason}" if reason else "")
    data = {
        "page": page,
        "level": rung.id,
        "who": rung.who,
        "manual": manual,
        "deliveries": [] if channel is None else [page_delivery(incident, rung, channel, page, manual=manual)],
    }
    return Draft(incident.id, kinds.PAGE_DUE, actor, text, data, key=f"page/{page}")


def page_delivery(
    incident: Incident, rung: Rung, channel: ChannelInfo, page: str, *, manual: bool = False
) -> dict[str, object]:
    """The delivery of a page over one channel, as the journal keeps it."""
    return {
        "id": hashlib.sha256(f"{page}|{channel.id}".encode()).hexdigest()[:24],
        "kind": "page",
        "channel": channel.id,
        "channel_kind": channel.kind,
        "page": page,
        "level": rung.id,
        "manual": manual,
        "text": _call(incident, rung, incident.policy.language_of(channel.id)),
        "payload": {"number": rung.number} if rung.number else {},
    }


def _call(incident: Incident, rung: Rung, language: str) -> str:
    """What the called person reads, in the language of the channel."""
    who, does = in_language(rung.who, rung.who_fr, language), in_language(rung.does, rung.does_fr, language)
    what = f"{incident.severity} {incident.id} {incident.title}"
    task = f" ({does})" if does else ""
    return f"{what} : on a besoin de vous, {who}{task}" if language == "fr" else f"{what}: {who} is needed{task}"


def message_due(incident: Incident, now: float) -> float | None:
    """Epoch seconds at which the next message is due; None when none is."""
    if incident.state is State.SUSPECTED or incident.state.final:
        return None
    if incident.state in (State.RESOLVED, State.REVIEW):
        if incident.message_of(MessageKind.RESOLUTION) is not None:
            return None
        return now if incident.resolved_at is None else incident.resolved_at
    sent = [message.at for message in incident.messages if message.at >= incident.anchor]
    if not sent:
        return incident.anchor + incident.policy.first_message_after
    return sent[-1] + incident.rule.update_every


def message_kind_due(incident: Incident) -> MessageKind:
    """The kind of message that comes next."""
    if not incident.state.active:
        return MessageKind.RESOLUTION
    return MessageKind.INITIAL if incident.message_of(MessageKind.INITIAL) is None else MessageKind.UPDATE
