"""Messages from the playbook's templates, live facts and the timeline since the last one.

Invariant: a field that nobody filled in is named in the text, never left blank, and such a text is not sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct

from planc_tui.core.timeline import Actor, Draft
from planc_tui.incident import kinds
from planc_tui.incident.escalation import level_at, message_due
from planc_tui.incident.fold import MANUAL_KINDS
from planc_tui.incident.lifecycle import Outcome, Refusal
from planc_tui.incident.model import DeliveryState, Incident, MessageKind, State, in_language

LONGEST_TEXT = 10_000
NEWEST_STEPS = 6
# What only people know: it stands in the next message until somebody says otherwise.
TOLD_BY_PEOPLE = frozenset(
    {"impact", "users_affected", "expected_end", "blockers", "next_steps", "root_cause", "fix", "final_impact",
     "review_date"}
)  # fmt: skip  # rows as a person reads them
_FIELD = re.compile(r"\{([a-z_]+)\}")
_GAP = re.compile(r"⟨([a-z_]+)\?⟩")

_WORDS = {
    "en": {
        "unknown_end": "not known yet",
        "no_blockers": "nothing named",
        "open": "under way",
        "acknowledged": "under way",
        "mitigated": "partly resolved",
        "resolved": "resolved",
        "review": "resolved",
        "suspected": "being checked",
        "closed": "closed",
        "cancelled": "false alarm",
        "no_message": "none planned",
    },
    "fr": {
        "unknown_end": "pas encore connue",
        "no_blockers": "rien de signalé",
        "open": "en cours",
        "acknowledged": "en cours",
        "mitigated": "partiellement résolu",
        "resolved": "résolu",
        "review": "résolu",
        "suspected": "en cours de vérification",
        "closed": "clos",
        "cancelled": "fausse alerte",
        "no_message": "aucun prévu",
    },
}


class Rendered(Struct, frozen=True):
    """A text and the fields it still lacks, in order of appearance."""

    text: str
    missing: tuple[str, ...] = ()


def render(template: str, fields: Mapping[str, str]) -> Rendered:
    """Fill a template in. A field without value becomes `⟨name?⟩`.

    >>> render("P: {severity}, impact: {impact}", {"severity": "P0"})
    Rendered(text='P: P0, impact: ⟨impact?⟩', missing=('impact',))
    """
    missing: list[str] = []

    def put(match: re.Match[str]) -> str:
        name = match[1]
        value = fields.get(name, "").strip()
        if value:
            return value
        if name not in missing:
            missing.append(name)
        return f"⟨{name}?⟩"

    return Rendered(_FIELD.sub(put, template).strip(), tuple(missing))


def gaps(text: str) -> tuple[str, ...]:
    """Fields that an edited text still lacks.

    >>> gaps("impact: ⟨impact?⟩")
    ('impact',)
    """
    return tuple(dict.fromkeys(_GAP.findall(text)))


def told(template: str, text: str) -> dict[str, str]:
    """What people wrote into the lines of an earlier message, by field.

    >>> told("It is {severity}\\nImpact: {impact}\\nNext: {next_steps}.", "Hello\\nImpact: 4 % of users\\nNext: wait.")
    {'impact': '4 % of users', 'next_steps': 'wait'}
    """
    found: dict[str, str] = {}
    for line in template.splitlines():
        names = _FIELD.findall(line)
        if len(names) != 1 or names[0] not in TOLD_BY_PEOPLE:
            continue
        before, _, after = line.strip().partition(f"{{{names[0]}}}")
        pattern = re.compile(f"^{re.escape(before)}(.+){re.escape(after)}$", re.MULTILINE)
        match = pattern.search(text)
        if match and not gaps(match[1]):
            found[names[0]] = match[1].strip()
    return found


def fields(
    incident: Incident,
    now: float,
    language: str = "en",
    live: Mapping[str, str] | None = None,
    earlier: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Every field that can be filled. live: facts of the moment, such as symptoms from the findings; what people
    wrote down goes before it, and both go before what is derived. earlier: what was told in earlier messages; it stands
    where nothing better is known."""
    words = _WORDS.get(language, _WORDS["en"])
    anchor = incident.anchor
    level = level_at(incident.rule.ladder, now - anchor)
    start = anchor if incident.impact_start is None else incident.impact_start
    every = incident.rule.update_every
    upcoming = now + every if incident.state.active else message_due(incident, now)
    derived = {
        "incident": incident.id,
        "title": incident.title,
        "severity": incident.severity,
        "severity_name": in_language(incident.rule.name, incident.rule.name_fr, language),
        "environment": incident.policy.environment,
        "context": incident.policy.context,
        "namespace": incident.policy.namespace,
        "symptoms": "; ".join(incident.findings) or incident.title,
        "actions": "; ".join(steps(incident, 0.0)),
        "expected_end": words["unknown_end"],
        "started": clock_time(start),
        "declared": clock_time(incident.declared_at),
        "time": clock_time(now),
        "elapsed": long_span(now - anchor, language),
        "status": words[incident.state.value],
        "progress": "; ".join(steps(incident, last_message_at(incident))),
        "blockers": words["no_blockers"],
        "next_steps": "; ".join(todo.text for todo in incident.todos if not todo.done),
        "next_message": words["no_message"] if upcoming is None else clock_time(upcoming),
        "every": long_span(every, language),
        "commander": incident.roles.get("commander", ""),
        "level": "" if level is None else f"{level.id} {in_language(level.who, level.who_fr, language)}",
        "duration": long_span((incident.resolved_at or now) - start, language),
        "fix": "; ".join(_fixes(incident)),
        "final_impact": incident.facts.get("impact", ""),
    }
    unsaid = {"", words["unknown_end"], words["no_blockers"]}
    standing = {name: value for name, value in _filled(earlier).items() if derived.get(name, "") in unsaid}
    return {**derived, **standing, **_filled(live), **_filled(incident.facts)}


def _filled(live: Mapping[str, str] | None) -> dict[str, str]:
    return {name: value for name, value in (live or {}).items() if value}


def last_message_at(incident: Incident) -> float:
    """When the newest message of this cycle was written; the anchor before the first."""
    return max((m.at for m in incident.messages if m.at >= incident.anchor), default=incident.anchor)


def steps(incident: Incident, since: float) -> tuple[str, ...]:
    """What people and actions did since then, newest last, as one-liners."""
    told = {kinds.NOTE, kinds.DECISION, kinds.CORRECTED, kinds.MITIGATED}
    found = [
        entry.event.summary.splitlines()[0]
        for entry in incident.entries
        if entry.event.recorded_at >= since
        and not entry.replaced_by
        and entry.event.summary
        and (entry.event.type in told or entry.event.type == kinds.ACTION_RESULT)
    ]
    return tuple(found[-NEWEST_STEPS:])


def _fixes(incident: Incident) -> tuple[str, ...]:
    """The actions that were seen to help."""
    return tuple(
        entry.event.summary
        for entry in incident.entries
        if entry.event.type == kinds.ACTION_RESULT and entry.event.data.get("state") == "recovered"
    )


def clock_time(at: float) -> str:
    """A time of day in UTC.

    >>> clock_time(1_795_478_343.7)
    '23:59 UTC'
    """
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M UTC")


def long_span(seconds: float, language: str = "en") -> str:
    """A span in words that both languages share.

    >>> long_span(42), long_span(900), long_span(5580), long_span(93_600)
    ('42 s', '15 min', '1 h 33 min', '1 d 2 h')
    >>> long_span(93_600, "fr"), long_span(239.9996)
    ('1 j 2 h', '4 min')
    """
    # To the nearest second: times are kept to the millisecond, so four minutes can arrive as 239.9996 s.
    whole = max(0, round(seconds))
    day = "j" if language == "fr" else "d"
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} {day} {hours} h" if hours else f"{days} {day}"


def queue_message(incident: Incident, actor: Actor, kind: MessageKind, texts: Mapping[str, str]) -> Outcome:
    """Send a message: one text per channel id; the order of channels is kept."""
    if incident.state is State.SUSPECTED or incident.state.final:
        return Refusal(f"{incident.id} is {incident.state.value}: no message is due", "note it instead")
    if kind is MessageKind.RESOLUTION and incident.state.active:
        return Refusal("the incident is not resolved yet", "resolve it, then say so; or send an update")
    if not texts:
        return Refusal("no channel is named", "set messages.channels in the playbook or name one")
    unknown = [name for name in texts if incident.policy.channel(name) is None]
    if unknown:
        known = ", ".join(channel.id for channel in incident.policy.channels)
        return Refusal(f"there is no channel {unknown[0]}", f"use one of {known}")
    for text in texts.values():
        if not text.strip():
            return Refusal("the message is empty")
        if len(text) > LONGEST_TEXT:
            return Refusal(f"the message is too long ({len(text)} of {LONGEST_TEXT} characters)")
        if lacking := gaps(text):
            return Refusal(f"the message lacks: {', '.join(lacking)}", "fill these in, then send")
    message = f"{incident.id}-m{incident.seq + 1}"
    deliveries = [
        {
            "id": f"{message}/{name}",
            "kind": kind.value,
            "channel": name,
            "channel_kind": channel.kind,
            "text": text,
        }
        for name, text in texts.items()
        if (channel := incident.policy.channel(name)) is not None
    ]
    data = {"message": message, "kind": kind.value, "text": next(iter(texts.values())), "deliveries": deliveries}
    return (Draft(incident.id, kinds.MESSAGE_QUEUED, actor, f"{kind.value} message queued", data),)


def handed_over(incident: Incident, actor: Actor, delivery_id: str) -> Outcome:
    """A person pasted or read out a text that planc cannot send by itself."""
    delivery = incident.delivery(delivery_id)
    if delivery is None or delivery.state is not DeliveryState.CALL or delivery.channel_kind not in MANUAL_KINDS:
        return Refusal("there is no text waiting to be handed over by hand")
    data = {"delivery": delivery.id, "channel": delivery.channel, "by": actor.user}
    return (Draft(incident.id, kinds.DELIVERY_SENT, actor, f"{delivery.kind} by {delivery.channel}", data),)
