"""Messages as they would go out: the playbook's template, filled in, per channel and language.

Invariant: what is shown here is what is queued; a channel gets its own language; what people told in one message stands
in the next until they say otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from planc_tui.incident.escalation import message_kind_due
from planc_tui.incident.messages import Rendered, fields, render, told
from planc_tui.incident.model import Incident, MessageKind
from planc_tui.playbook.model import Playbook, Words


class ChannelText(Struct, frozen=True):
    """The text of one channel. missing: fields that still have to be filled in."""

    channel: str
    name: str
    kind: str
    language: str
    rendered: Rendered


class Composed(Struct, frozen=True):
    """A message before it is sent. previous: the newest message of the incident, to start from; "" for none."""

    kind: MessageKind
    texts: tuple[ChannelText, ...]
    previous: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """Fields that any of the texts lacks."""
        return tuple(dict.fromkeys(name for text in self.texts for name in text.rendered.missing))


def compose(
    playbook: Playbook,
    incident: Incident,
    now: float,
    kind: MessageKind | None = None,
    live: Mapping[str, str] | None = None,
    channels: Sequence[str] = (),
) -> Composed:
    """Fill the template of `kind` (the one that is due when left out) in for each channel (the playbook's when none
    is named). live: facts of the moment by field name."""
    kind = kind or message_kind_due(incident)
    template = _template(playbook, kind)
    texts = []
    for name in channels or incident.policy.message_channels:
        channel = playbook.channel(name)
        language = (channel.language if channel is not None else None) or playbook.language
        known = fields(incident, now, language, live, _told(playbook, incident, language))
        info = incident.policy.channel(name)
        texts.append(
            ChannelText(
                channel=name,
                name=name if info is None else info.name,
                kind="" if info is None else info.kind,
                language=language,
                rendered=render(template.of(language), known),
            )
        )
    previous = incident.messages[-1].text if incident.messages else ""
    return Composed(kind, tuple(texts), previous)


def _told(playbook: Playbook, incident: Incident, language: str) -> dict[str, str]:
    """What was told in this language since the incident began, the newest last word on each field."""
    found: dict[str, str] = {}
    for message in incident.messages:
        if message.at < incident.anchor:
            continue
        template = _template(playbook, message.kind).of(language)
        for delivery in incident.deliveries:
            if delivery.id.startswith(f"{message.id}/") and incident.policy.language_of(delivery.channel) == language:
                found.update(told(template, delivery.text))
    return found


def _template(playbook: Playbook, kind: MessageKind) -> Words:
    match kind:
        case MessageKind.INITIAL:
            return playbook.messages.initial
        case MessageKind.UPDATE:
            return playbook.messages.update
        case MessageKind.RESOLUTION:
            return playbook.messages.resolution
