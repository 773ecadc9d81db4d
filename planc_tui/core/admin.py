"""What actions ask of the database and the broker beyond reading them.

Invariant: the calls here are the only changes planc ever makes to them; no SQL comes from outside the backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from planc_tui.core.database import ServerSession


@dataclass(frozen=True, slots=True)
class VacuumProgress:
    """pg_stat_progress_vacuum of one table. done: 0 to 1, None before the size is known."""

    table: str
    phase: str
    done: float | None


class DatabaseAdmin(Protocol):
    """PostgreSQL, on a connection of its own."""

    def sessions(self) -> Sequence[ServerSession]:
        """Client backends other than planc's own. Raises PortError."""
        ...

    def cancel(self, session: ServerSession) -> bool:
        """Cancel the query of exactly this backend (pid and backend_start). False when it is gone."""
        ...

    def terminate(self, session: ServerSession) -> bool:
        """Terminate exactly this client backend. False when it is gone."""
        ...

    def vacuum_analyze(self, progress: Callable[[VacuumProgress], None], stop: Callable[[], bool]) -> bool:
        """VACUUM (ANALYZE) of the database. True when it ended, False when it was stopped. Raises PortError."""
        ...

    def close(self) -> None:
        """Drop the connection."""
        ...


@dataclass(frozen=True, slots=True)
class Message:
    """One message as it is stored and published again. properties: the AMQP basic properties that are set, as JSON
    values; headers keep their AMQP types through a tagged form of the backend. body: exact bytes."""

    body: bytes
    exchange: str = ""
    routing_key: str = ""
    redelivered: bool = False
    properties: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Depth:
    """What a passive declare says: messages that are ready, and consumers."""

    ready: int
    consumers: int


class BrokerAdmin(Protocol):
    """RabbitMQ, on a connection of its own."""

    def depth(self, queue: str) -> Depth:
        """Raises NotFound when there is no such queue, PortError otherwise."""
        ...

    def peek(self, queue: str, count: int) -> Sequence[Message]:
        """The first messages, put back afterwards (they are then marked as redelivered)."""
        ...

    def take(self, queue: str, keep: Callable[[Sequence[Message]], None], stop: Callable[[], bool]) -> Iterator[int]:
        """Take the messages that are ready now off the queue, batch by batch. A batch is acknowledged only after
        `keep` returned, so that nothing is lost when it raises. Yields how many are gone so far."""
        ...

    def publish(self, queue: str, messages: Sequence[Message]) -> None:
        """Publish to the queue through the default exchange, each confirmed by the broker. Raises PortError."""
        ...

    def close(self) -> None:
        """Drop the connection."""
        ...
