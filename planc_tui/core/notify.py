"""What is handed to a channel, and what a channel may say when it fails.

Invariant: a parcel holds no secret; a failure says whether trying again makes sense.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from msgspec import Struct, field


class Parcel(Struct, frozen=True):
    """One text with what a channel needs to address it. Times are epoch seconds UTC.

    id: names the delivery, the same at every try, so that a receiver can drop a second copy. kind: page, acknowledge,
    resolve, initial, update, resolution or test. dedup: names the incident for systems that track it. late_by: seconds
    between when it should have gone and now. facts: short pairs such as Status and Level, for channels with fields."""

    id: str
    kind: str
    text: str
    incident: str
    title: str
    severity: str
    state: str
    at: float
    rank: int = 3
    level: str = ""
    dedup: str = ""
    late_by: float = 0.0
    language: str = "en"
    sender: str = ""
    environment: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)


class Sent(Struct, frozen=True):
    """A channel took it. status: HTTP status or 0. note: what it answered, short and clean."""

    status: int = 0
    note: str = ""


class SendFailed(Exception):
    """A channel did not take it. message: one line for people, without any secret.

    final: trying again makes no sense. configured: false when the channel has no address on this machine.
    retry_after: seconds the receiver asked to wait."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        final: bool = False,
        configured: bool = True,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.final = final
        self.configured = configured
        self.retry_after = retry_after


class Sender(Protocol):
    """One channel. `send` blocks at most some seconds, on a thread of its own."""

    @property
    def kind(self) -> str:
        """slack, pagerduty, webhook, apprise, file or another kind of the playbook."""
        ...

    def send(self, parcel: Parcel) -> Sent:
        """Hand it over once. Raises SendFailed."""
        ...

    def preview(self, parcel: Parcel) -> str:
        """What would be sent, as text; no secret inside."""
        ...
