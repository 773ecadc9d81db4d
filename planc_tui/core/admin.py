"""What actions ask of the database and the broker beyond reading them.

Invariant: the calls here are the only changes planc ever makes to them; no SQL comes from outside the backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct, field

from planc_tui.core.database import ServerSession


class VacuumProgress(Struct, frozen=True):
    """What one VACUUM (ANALYZE) does now. done: 0 to 1, None before the size is known."""

    table: str
    phase: str
    done: float | None


class VacuumEnd(Struct, frozen=True):
    """How it ended. stopped: on request. skipped: what the server left out and why, in its words."""

    stopped: bool = False
    skipped: tuple[str, ...] = ()


class DatabaseAdmin(Protocol):
    """PostgreSQL, on connections of its own."""

    def now(self) -> float:
        """The server's clock, epoch seconds UTC: what the times of sessions are measured by. Raises PortError."""
        ...

    def sessions(self) -> Sequence[ServerSession]:
        """Every client backend other than planc's own, oldest first. Raises PortError."""
        ...

    def cancel(self, session: ServerSession) -> bool:
        """Cancel the query that was seen (pid, backend_start and query_start). False when it is not there any more.
        Raises PortError."""
        ...

    def terminate(self, session: ServerSession) -> bool:
        """Terminate exactly this client backend. False when it is gone. Raises PortError."""
        ...

    def vacuum_analyze(self, progress: Callable[[VacuumProgress], None], stop: Callable[[], bool]) -> VacuumEnd:
        """VACUUM (ANALYZE) of the database. What `progress` raises stops it and is raised again. Raises PortError."""
        ...

    def close(self) -> None:
        """Drop the connection."""
        ...


class Message(Struct, frozen=True):
    """One message as it is stored and published again. body: exact bytes. exchange and routing_key: how it came.

    properties: the AMQP basic properties that are set, as JSON values from which the backend makes the same bytes
    again; strings, booleans and plain numbers in them are what they look like."""

    body: bytes
    exchange: str = ""
    routing_key: str = ""
    redelivered: bool = False
    properties: Mapping[str, Any] = field(default_factory=dict)


class Depth(Struct, frozen=True):
    """What a passive declare says: messages that are ready, and consumers."""

    ready: int
    consumers: int


class BrokerAdmin(Protocol):
    """RabbitMQ, on connections of its own. Nothing is ever declared."""

    def depth(self, queue: str) -> Depth:
        """Raises NotFound when there is no such queue, PortError otherwise."""
        ...

    def peek(self, queue: str, count: int) -> Sequence[Message]:
        """The first messages, put back where they were. They are then marked as redelivered, and a queue with a
        delivery limit counts it: only for a person who asks. Raises PortError."""
        ...

    def take(self, queue: str, keep: Callable[[Sequence[Message]], None], stop: Callable[[], bool]) -> Iterator[int]:
        """Take the messages that are ready now off the queue, batch by batch. A batch is acknowledged only after
        `keep` returned; what `keep` raises leaves it in the queue and is raised again. Yields how many are gone for
        certain. Raises PortError."""
        ...

    def publish(
        self, queue: str, messages: Iterable[Message], confirmed: Callable[[int], None] = lambda count: None
    ) -> int:
        """Publish to the queue through the default exchange, in order. confirmed: told how many from the first on
        the broker has confirmed; what it raises ends it. Returns how many there were. Raises PortError."""
        ...

    def close(self) -> None:
        """Drop the connections."""
        ...
