"""The playbook's part about people: who is called when, what they are told, and what the team measures itself against.

Invariant: a text exists in every language, and no secret is inside: only where to find it.
"""

from __future__ import annotations

from typing import Literal

from planc_tui.core.rules import Seconds
from planc_tui.playbook.systems import Part, SecretFrom

Language = Literal["en", "fr"]
Check = Literal["", "recovered", "resolution_sent", "exported", "timeline", "root_cause", "actions", "review_date"]


class Words(Part, frozen=True, kw_only=True):
    """A text in each language of the messages. A plain text in the file stands for all of them."""

    en: str = ""
    """In English."""
    fr: str = ""
    """In French."""

    def of(self, language: str) -> str:
        """The text in `language`, or in the other one where it is missing."""
        first, second = (self.fr, self.en) if language == "fr" else (self.en, self.fr)
        return first or second


class Severity(Part, frozen=True, kw_only=True):
    """How bad an incident is, and what that asks of the team. Listed from the worst down."""

    id: str
    """Short name, such as P0."""
    name: Words
    """What it is called."""
    definition: Words
    """When it applies."""
    examples: tuple[Words, ...] = ()
    """Examples that are shown beside it."""
    answer_within: Seconds
    """Deadline counted from the declaration."""
    update_every: Seconds = 900.0
    """Time between messages."""
    acknowledged_for: Seconds = 600.0
    """How long an acknowledgement holds without activity."""
    snooze_at_most: Seconds = 1800.0
    """Longest snooze."""


class Level(Part, frozen=True, kw_only=True):
    """One rung of the escalation ladder."""

    id: str
    """Short name, such as L2."""
    after: Seconds
    """Reached when so much time has passed since the declaration."""
    who: Words
    """Who is called."""
    does: Words
    """What they do."""
    channel: str
    """Channel that reaches them."""
    otherwise: tuple[str, ...] = ()
    """Channels that are tried in turn when that one fails."""
    contact: str = ""
    """Contact behind the channel."""


class Escalation(Part, frozen=True, kw_only=True):
    """Who is called when. The ladder is copied into an incident when it is declared."""

    levels: tuple[Level, ...]
    """The ladder, from the first level up."""
    per_severity: dict[str, tuple[Level, ...]] = {}
    """Ladders of single severities, where they differ."""
    grace: Seconds = 10.0
    """Time between losing an acknowledgement and the next page."""

    def ladder(self, severity: str) -> tuple[Level, ...]:
        """The levels that an incident of `severity` climbs."""
        return self.per_severity.get(severity) or self.levels


class Messages(Part, frozen=True, kw_only=True):
    """Templates of the messages, with `{field}` where a fact goes, and when they are due."""

    initial: Words
    """The first one."""
    update: Words
    """While it lasts."""
    resolution: Words
    """When it is over."""
    first_after: Seconds = 300.0
    """When the first is due."""
    channels: tuple[str, ...] = ()
    """Channels that messages go to."""


class Contact(Part, frozen=True, kw_only=True):
    """A person or a rota."""

    id: str
    """Short name."""
    name: Words
    """Who it is."""
    number: str = ""
    """Telephone number, shown large."""
    email: str = ""
    """Mail address."""
    note: str = ""
    """Anything else, such as working hours."""


class Channel(Part, frozen=True, kw_only=True):
    """A way to reach people."""

    id: str
    """Short name."""
    kind: Literal["slack", "pagerduty", "webhook", "apprise", "phone", "file", "copy"]
    """phone shows a number, file writes to a folder, copy puts the text into the terminal's clipboard."""
    name: Words
    """What it is called."""
    url: SecretFrom | None = None
    """Webhook of slack and webhook, or the address of apprise: all of them are secrets."""
    key: SecretFrom | None = None
    """Routing key of pagerduty, or the key that signs a webhook."""
    endpoint: str = ""
    """Base URL of pagerduty when it is not the usual one."""
    room: str = ""
    """Room of slack, for people to read."""
    number: str = ""
    """Number of phone; the contact's when left out."""
    path: str = ""
    """Folder of file."""
    language: Language | None = None
    """Language of what is sent; the playbook's when left out."""


class Objectives(Part, frozen=True, kw_only=True):
    """What the team measures itself against."""

    time_to_recovery: Seconds = 1800.0
    """Objective for the time from impact to recovery of one incident."""
    mttd: Seconds = 120.0
    """Mean time to detect."""
    mtta: Seconds = 300.0
    """Mean time to acknowledge."""
    mttr: Seconds = 1800.0
    """Mean time to recover."""
    major_severities: tuple[str, ...] = ("P0", "P1")
    """Severities that count as major."""
    major_incidents_per_month: int = 2
    """There should be fewer than this."""


class ChecklistItem(Part, frozen=True, kw_only=True):
    """One point to tick before an incident is closed."""

    id: str
    """Short name."""
    text: Words
    """What must be true."""
    check: Check = ""
    """What planc can see for itself; empty when a person ticks it."""
