"""What is known of an incident, as values.

Invariant: an `Incident` says nothing that its events do not say; it is rebuilt from them, never edited.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

from planc_tui.core.timeline import Event


class State(Enum):
    """Where an incident stands."""

    SUSPECTED = "suspected"
    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"
    REVIEW = "review"
    CLOSED = "closed"
    CANCELLED = "cancelled"

    @property
    def active(self) -> bool:
        """Whether the service is, or may be, still hurt."""
        return self in (State.SUSPECTED, State.OPEN, State.ACKNOWLEDGED, State.MITIGATED)

    @property
    def final(self) -> bool:
        """Whether nothing more is recorded."""
        return self in (State.CLOSED, State.CANCELLED)


class Role(Enum):
    """Who does what while it lasts."""

    COMMANDER = "commander"
    OPS = "ops"
    COMMUNICATIONS = "communications"
    SCRIBE = "scribe"


class MessageKind(Enum):
    """What a message to the team and the users is about."""

    INITIAL = "initial"
    UPDATE = "update"
    RESOLUTION = "resolution"


def in_language(english: str, french: str, language: str) -> str:
    """The text in `language`, or the English one where there is no other."""
    return french if language == "fr" and french else english


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """One level of the ladder. after: seconds since the anchor. who, does: in English, for the screen; who_fr, does_fr:
    for messages. channels: the first is tried first. number: what to dial when a channel is a telephone."""

    id: str
    after: float
    who: str
    does: str = ""
    channels: tuple[str, ...] = ()
    number: str = ""
    who_fr: str = ""
    does_fr: str = ""


class SeverityRule(msgspec.Struct, frozen=True, kw_only=True):
    """What one severity asks for; times in seconds. rank: 0 is the worst."""

    id: str
    rank: int
    name: str = ""
    deadline: float = 0.0
    update_every: float = 900.0
    ack_hold: float = 600.0
    snooze_max: float = 1800.0
    ladder: tuple[Rung, ...] = ()
    name_fr: str = ""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One point of the closing checklist. check: what planc can see for itself, "" when a person ticks it."""

    id: str
    text: str
    check: str = ""
    text_fr: str = ""


class ChannelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A channel as people know it. kind: slack, pagerduty, webhook, apprise, phone, file or copy. language: of what it
    is sent, "" for the playbook's."""

    id: str
    kind: str
    name: str
    language: str = ""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The rules of one incident, frozen when it is declared; times in seconds.

    environment: the word such as PROD. recovered_for: how long signals must be good before it counts as resolved.
    stale_after: no page goes out for an incident that nobody touched for so long."""

    severities: tuple[SeverityRule, ...]
    checklist: tuple[Check, ...] = ()
    channels: tuple[ChannelInfo, ...] = ()
    message_channels: tuple[str, ...] = ()
    first_message_after: float = 300.0
    grace: float = 10.0
    recovered_for: float = 300.0
    reopen_within: float = 86_400.0
    stale_after: float = 604_800.0
    major: tuple[str, ...] = ("P0", "P1")
    language: str = "en"
    environment: str = ""
    context: str = ""
    namespace: str = ""

    def severity(self, severity: str) -> SeverityRule:
        """The rule of a severity. Raises KeyError for an unknown one."""
        for rule in self.severities:
            if rule.id == severity:
                return rule
        raise KeyError(severity)

    def channel(self, channel: str) -> ChannelInfo | None:
        """The channel of that name, if the policy knows it."""
        return next((known for known in self.channels if known.id == channel), None)

    def language_of(self, channel: str) -> str:
        """The language of what a channel is sent."""
        known = self.channel(channel)
        return self.language if known is None or not known.language else known.language


class Ack(msgspec.Struct, frozen=True):
    """An acknowledgement. active_at: last human activity, which renews it."""

    by: str
    at: float
    active_at: float


class Snooze(msgspec.Struct, frozen=True):
    """Pages stop until `until`; the clock goes on."""

    by: str
    reason: str
    until: float


class Generation(msgspec.Struct, frozen=True):
    """One stretch during which each level is paged at most once. A new one begins at declaration, reopening, a lost
    acknowledgement and the end of a snooze. pages_from: epoch seconds before which it stays quiet."""

    number: int
    since: float
    pages_from: float


class Page(msgspec.Struct, frozen=True):
    """A page that became due. reached: who was reached, as a person or a system says; "" when unknown."""

    id: str
    seq: int
    at: float
    generation: int
    level: str
    who: str
    manual: bool = False
    reached: str = ""


class DeliveryState(Enum):
    """Where a delivery stands. CALL waits for a person to dial or paste."""

    QUEUED = "queued"
    CALL = "call"
    SENT = "sent"
    FAILED = "failed"
    DROPPED = "dropped"


class Delivery(msgspec.Struct, frozen=True):
    """One text on its way through one channel. Times are epoch seconds.

    page: id of the page it carries, "" for a message. tries: attempts begun. busy_until: an attempt is running until
    then at the latest. payload: what the channel needs beside the text."""

    id: str
    seq: int
    kind: str
    channel: str
    channel_kind: str
    queued_at: float
    text: str = ""
    page: str = ""
    level: str = ""
    generation: int = 0
    manual: bool = False
    tries: int = 0
    next_try: float = 0.0
    busy_until: float = 0.0
    state: DeliveryState = DeliveryState.QUEUED
    sent_at: float | None = None
    error: str = ""
    payload: Mapping[str, Any] = msgspec.field(default_factory=dict)

    @property
    def late_by(self) -> float:
        """Seconds between being queued and being sent; 0 while it is not sent."""
        return 0.0 if self.sent_at is None else max(0.0, self.sent_at - self.queued_at)


class Message(msgspec.Struct, frozen=True):
    """A message that was queued. at: epoch seconds."""

    id: str
    kind: MessageKind
    at: float
    by: str
    text: str
    channels: tuple[str, ...] = ()


class Entry(msgspec.Struct, frozen=True):
    """A line of the timeline. replaced_by: seq of the entry that corrects it, 0 when none does."""

    event: Event
    replaced_by: int = 0


class Todo(msgspec.Struct, frozen=True):
    """A follow-up. id is the seq of the entry that asked for it."""

    id: int
    text: str
    owner: str = ""
    due: str = ""
    done: bool = False


class Proof(msgspec.Struct, frozen=True):
    """Why it counts as resolved. override: the reason given when the signals did not show it."""

    verdict: str
    by: str
    at: float
    signals: tuple[str, ...] = ()
    held_for: float = 0.0
    override: str = ""


class Span(msgspec.Struct, frozen=True):
    """A stretch of time under one name. end is None while it lasts."""

    name: str
    start: float
    end: float | None = None

    def seconds(self, now: float) -> float:
        """Length up to `now`."""
        return max(0.0, (now if self.end is None else self.end) - self.start)


class Silence(msgspec.Struct, frozen=True):
    """An Alertmanager silence that belongs to the incident."""

    id: str
    until: float
    ended: bool = False


class Incident(msgspec.Struct, frozen=True):
    """Everything known of one incident. Times are epoch seconds UTC, None when unknown.

    anchor: where the ladder starts (declaration or reopening). seq: newest entry. at: time of the newest entry."""

    id: str
    title: str
    severity: str
    state: State
    policy: Policy
    declared_at: float
    anchor: float
    seq: int
    at: float
    declared_by: str = ""
    drill: bool = False
    impact_start: float | None = None
    detected_at: float | None = None
    detected_by: str = ""
    findings: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    cycle: int = 0
    generation: Generation = Generation(0, 0.0, 0.0)
    ack: Ack | None = None
    snooze: Snooze | None = None
    first_ack_at: float | None = None
    first_ack_by: str = ""
    first_page_at: float | None = None
    mitigated_at: float | None = None
    resolved_at: float | None = None
    closed_at: float | None = None
    touched_at: float = 0.0
    severities: tuple[Span, ...] = ()
    states: tuple[Span, ...] = ()
    roles: Mapping[str, str] = msgspec.field(default_factory=dict)
    pages: tuple[Page, ...] = ()
    deliveries: tuple[Delivery, ...] = ()
    messages: tuple[Message, ...] = ()
    caught_up: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    todos: tuple[Todo, ...] = ()
    ticks: Mapping[str, str] = msgspec.field(default_factory=dict)
    facts: Mapping[str, str] = msgspec.field(default_factory=dict)
    proof: Proof | None = None
    silences: tuple[Silence, ...] = ()
    reopened: int = 0
    exported: bool = False

    @property
    def rule(self) -> SeverityRule:
        """What the present severity asks for."""
        return self.policy.severity(self.severity)

    @property
    def worst(self) -> str:
        """The worst severity it ever had."""
        held = {span.name for span in self.severities} or {self.severity}
        return min(held, key=lambda name: self.policy.severity(name).rank)

    @property
    def pages_stopped(self) -> bool:
        """Whether the ladder is at rest: only an open, unacknowledged incident pages."""
        return self.state is not State.OPEN

    def message_of(self, kind: MessageKind) -> Message | None:
        """The newest message of a kind in this cycle."""
        return next((m for m in reversed(self.messages) if m.kind is kind and m.at >= self.anchor), None)

    def delivery(self, delivery: str) -> Delivery | None:
        """The delivery of that id."""
        return next((known for known in self.deliveries if known.id == delivery), None)
