"""Follows the log of one container, through broken streams, and hands over what it says in batches.

Invariant: every line the server sends is read once or counted as lost; a stream that ends is opened again, spaced
in time, from where it was. The thread of a follower reads and waits only; the work on lines is the caller's.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Generic, TypeVar
from urllib.parse import quote

from msgspec import Struct

from planc_tui.core.backoff import Backoff
from planc_tui.core.clock import Clock
from planc_tui.core.health import Health
from planc_tui.core.logs.line import SECOND, format_stamp
from planc_tui.core.logs.reader import LogReader
from planc_tui.core.ports import ByteStream, ClusterPort, NotFound, PortError, Rejected, Silent, Unreachable
from planc_tui.sources.base import retry_delay

log = logging.getLogger(__name__)
T = TypeVar("T")

IDLE_TIMEOUT = 240.0
PENDING_BYTES = 524_288
PATIENCE = 1.0
SPACING = 0.05
SETTLED = 30.0


class LogTarget(Struct, frozen=True):
    """One container to follow. restarts: its restart count, so that a new start is followed at once.
    priority: the lowest are followed first when not all can be."""

    namespace: str
    pod: str
    container: str
    uid: str
    restarts: int = 0
    priority: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """What stays the same while the container lives."""
        return (self.uid, self.container)

    @property
    def path(self) -> str:
        """API path of its log."""
        return f"/api/v1/namespaces/{quote(self.namespace, safe='')}/pods/{quote(self.pod, safe='')}/log"


class Pace:
    """Spaces the opening of streams, so that a rollout of a hundred pods is no burst of requests."""

    def __init__(self, clock: Clock, spacing: float = SPACING) -> None:
        self._clock = clock
        self._spacing = spacing
        self._next = 0.0
        self._lock = threading.Lock()

    def turn(self) -> float:
        """Seconds to wait before opening; each call takes a turn of its own."""
        with self._lock:
            now = self._clock.monotonic()
            at = max(now, self._next)
            self._next = at + self._spacing
            return at - now


class State(Enum):
    """Where a follower is."""

    WAITING = "waiting"
    OPEN = "open"
    ENDED = "ended"
    FAILED = "failed"
    STOPPED = "stopped"


class Inbox:
    """Chunks that were received and not yet read, at most `limit` bytes of them."""

    def __init__(self, limit: int = PENDING_BYTES) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._room = threading.Event()
        self._chunks: deque[bytes | int] = deque()
        self._bytes = 0
        self._lost = 0
        self._closed = False

    def put(self, chunk: bytes, patience: float = PATIENCE) -> None:
        """Add a chunk; waits `patience` seconds for room (the server is held back meanwhile), then drops and
        counts it."""
        for _ in range(int(patience / 0.05)):
            if self._closed or not self._full(chunk):
                break
            self._room.clear()
            self._room.wait(0.05)
        with self._lock:
            if self._full(chunk):
                self._lost += chunk.count(b"\n")
                return
            if self._lost:
                self._chunks.append(self._lost)
                self._lost = 0
            self._chunks.append(chunk)
            self._bytes += len(chunk)

    def close(self) -> None:
        """Nobody waits for room any more."""
        self._closed = True
        self._room.set()

    def _full(self, chunk: bytes) -> bool:
        return self._bytes > 0 and self._bytes + len(chunk) > self._limit

    def take(self) -> list[bytes | int]:
        """Everything received since: runs of bytes, and counts of lines lost between them."""
        if not self._bytes and not self._lost:
            return []
        with self._lock:
            items = list(self._chunks)
            if self._lost:
                items.append(self._lost)
            self._chunks.clear()
            self._bytes = 0
            self._lost = 0
        self._room.set()
        return _joined(items)


def _joined(items: list[bytes | int]) -> list[bytes | int]:
    out: list[bytes | int] = []
    run: list[bytes] = []
    for item in items:
        if isinstance(item, bytes):
            run.append(item)
            continue
        if run:
            out.append(b"".join(run))
            run = []
        out.append(item)
    if run:
        out.append(b"".join(run))
    return out


class Follower(Generic[T]):
    """Follows one container on a daemon thread of its own. T is what its reader makes of the lines.

    first: query of the first open, when nothing was read yet. gate: false while the API is known to be away.
    not_before: oldest time (epoch seconds) to ask for, None for no limit. refused: told of Denied and LoginExpired,
    which concern all followers. follow: False reads what there is and ends."""

    def __init__(
        self,
        port: ClusterPort,
        clock: Clock,
        target: LogTarget,
        reader: LogReader[T],
        pace: Pace,
        *,
        first: Mapping[str, str],
        gate: Callable[[], bool] = lambda: True,
        refused: Callable[[PortError], None] = lambda error: None,
        not_before: float | None = None,
        follow: bool = True,
    ) -> None:
        self.target = target
        self.reader = reader
        self.state = State.WAITING
        self.error: PortError | None = None
        self.quiet_since = clock.monotonic()
        self._port = port
        self._clock = clock
        self._pace = pace
        self._first = dict(first)
        self._gate = gate
        self._refused = refused
        self._not_before = not_before
        self._follows = follow
        self._inbox = Inbox()
        self._found: list[T] = []
        self._reading = threading.Lock()
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._stream: ByteStream | None = None
        self._backoff = Backoff()
        self._settled = Backoff(longest=SETTLED)

    def start(self) -> None:
        """Begin to follow."""
        threading.Thread(target=self._run, name=f"log-{self.target.pod}", daemon=True).start()

    def kick(self) -> None:
        """Try now rather than later, unless a stream is open."""
        self._settled.reset()
        self._wake.set()

    def stop(self) -> None:
        """End without waiting."""
        self._stopped.set()
        self._wake.set()
        self._inbox.close()
        stream = self._stream
        if stream is not None:
            stream.close()

    def collect(self, flush_after: float = 0.5) -> list[T]:
        """Read what was received. Returns what is complete; what got no line for `flush_after` seconds is too."""
        with self._reading:
            return self._collect(flush_after)

    def tail(self) -> tuple[bytes, ...]:
        """The newest raw lines, oldest chunk first."""
        with self._reading:
            return self.reader.tail

    def _collect(self, flush_after: float) -> list[T]:
        found, self._found = self._found, []
        items = self._inbox.take()
        for item in items:
            if isinstance(item, bytes):
                found += self.reader.feed(item)
            else:
                self.reader.skip(item)
        now = self._clock.monotonic()
        if items:
            self.quiet_since = now
        elif now - self.quiet_since >= flush_after:
            found += self.reader.flush()
        return found

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._wake.clear()
            delay = self.once()
            if not self._stopped.is_set():
                self._wake.wait(delay)
        self.state = State.STOPPED

    def once(self) -> float | None:
        """One stream from open to end. Returns seconds to wait before the next, None when there is to be none."""
        if not self._gate():
            self.state = State.WAITING if self.error is None else State.FAILED
            return 1.0
        if self._stopped.wait(self._pace.turn()) or not self._gate():
            return 1.0
        try:
            return self._follow()
        except PortError as error:
            return self._failed(error)
        except Exception as error:
            log.error("unforeseen %s while following a log", type(error).__name__, exc_info=error)
            return self._failed(Unreachable(f"planc could not read the log ({type(error).__name__})"))

    def _follow(self) -> float | None:
        query = self._query()
        stream = self._port.stream(self.target.path, query=query, idle_timeout=IDLE_TIMEOUT, source="logs")
        self._stream = stream
        received = False
        try:
            if self._stopped.is_set():
                return 0.0
            self.state = State.OPEN
            self.error = None
            for chunk in stream:
                if not received:
                    received = True
                    self._backoff.reset()
                    self._settled.reset()
                self._inbox.put(chunk)
        except Silent:
            # The container writes nothing. Whether the server lives is the link's to find out.
            self._settled.reset()
        finally:
            self._stream = None
            stream.close()
        self.state = State.ENDED
        return None if not self._follows else max(1.0, self._settled.next())

    def _failed(self, error: PortError) -> float | None:
        if self._stopped.is_set():
            return 0.0
        self.error = error
        self.state = State.FAILED
        if error.health in (Health.DENIED, Health.LOGIN_EXPIRED):
            self._refused(error)
        if isinstance(error, (NotFound, Rejected)):
            # The container waits to start or is gone: nothing is broken, and asking often does not help.
            return None if not self._follows else max(1.0, self._settled.next())
        return retry_delay(error, self._backoff)

    def _query(self) -> dict[str, str]:
        query = {"container": self.target.container, "timestamps": "true"}
        if self._follows:
            query["follow"] = "true"
        with self._reading:
            self._found = self._collect(float("inf"))
            since = self.reader.reconnect()
        if since is None or not self._follows:
            return {**query, **self._first}
        if self._not_before is not None:
            since = max(since, int(self._not_before) * SECOND)
            self._not_before = None
        return {**query, "sinceTime": format_stamp(since)}
