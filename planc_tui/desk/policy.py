"""The part of a playbook that is frozen into an incident.

Invariant: the policy is complete: changing the playbook later changes no incident that is declared. Names are kept in
both languages: the screen is in English, whatever the messages are in.
"""

from __future__ import annotations

from planc_tui.incident.model import ChannelInfo, Check, Policy, Rung, SeverityRule
from planc_tui.playbook.model import Level, Playbook, Severity


def policy_of(playbook: Playbook, *, environment: str = "", context: str = "", namespace: str = "") -> Policy:
    """What `playbook` says about incidents."""
    return Policy(
        severities=tuple(_severity(playbook, severity, rank) for rank, severity in enumerate(playbook.severities)),
        checklist=tuple(
            Check(id=item.id, text=item.text.of("en"), check=item.check, text_fr=item.text.fr)
            for item in playbook.checklist
        ),
        channels=tuple(
            ChannelInfo(id=channel.id, kind=channel.kind, name=channel.name.of("en"), language=channel.language or "")
            for channel in playbook.channels
        ),
        message_channels=playbook.messages.channels,
        first_message_after=playbook.messages.first_after,
        grace=playbook.escalation.grace,
        recovered_for=max((p.recovered_for for p in playbook.procedures if p.recovered), default=300.0),
        major=playbook.objectives.major_severities,
        language=playbook.language,
        environment=environment,
        context=context,
        namespace=namespace or playbook.namespace,
    )


def _severity(playbook: Playbook, severity: Severity, rank: int) -> SeverityRule:
    return SeverityRule(
        id=severity.id,
        rank=rank,
        name=severity.name.of("en"),
        name_fr=severity.name.fr,
        deadline=severity.answer_within,
        update_every=severity.update_every,
        ack_hold=severity.acknowledged_for,
        snooze_max=severity.snooze_at_most,
        ladder=tuple(_rung(playbook, level) for level in playbook.escalation.ladder(severity.id)),
    )


def _rung(playbook: Playbook, level: Level) -> Rung:
    channel = playbook.channel(level.channel)
    contact = next((known for known in playbook.contacts if known.id == level.contact), None)
    number = (channel.number if channel is not None else "") or (contact.number if contact is not None else "")
    return Rung(
        id=level.id,
        after=level.after,
        who=level.who.of("en"),
        does=level.does.of("en"),
        channels=(level.channel, *level.otherwise),
        number=number,
        who_fr=level.who.fr,
        does_fr=level.does.fr,
    )
