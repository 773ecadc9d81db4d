"""Keeps the rows of one Kubernetes resource by listing it once and watching it from there.

Invariant: rows are never dropped because a request failed; a watch is never reopened in a tight loop; nothing is sent
while nobody needs the rows, nor while the API server is known to be away.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from msgspec import Struct

from planc_tui.core.backoff import Backoff
from planc_tui.core.clock import Clock
from planc_tui.core.cluster import wire
from planc_tui.core.cluster.listing import Identified, Listing, Table
from planc_tui.core.health import Health
from planc_tui.core.ports import BadAnswer, ByteStream, ClusterPort, Denied, Gone, NotFound, Throttled, Unreachable
from planc_tui.core.store import Fault, Store, Topic
from planc_tui.core.text import clean
from planc_tui.sources.base import RETRY_DENIED, fault_of, retry_delay
from planc_tui.sources.head_start import at_once

log = logging.getLogger(__name__)

PAGE = 500
PAGE_DEADLINE = 10.0
LIST_DEADLINE = 30.0
IDLE = 90.0
KEPT_UNWANTED = 60.0
SPACING = 1.0
LONGEST_BACKOFF = 8.0
# Seconds in which changes gather: to wake for each one costs more than to take it in.
GATHER = 0.05
_WAITED = 0.001
_TIMEOUT = (240, 300)
_MOST_PENDING = 32 * 1024 * 1024


class _HasMeta(Protocol):
    @property
    def metadata(self) -> wire.Meta: ...


W = TypeVar("W", bound=_HasMeta)
R = TypeVar("R", bound=Identified)


class Resource(Struct, Generic[W, R], frozen=True):
    """How one kind is read. prefix and plural: `/api/v1` and `pods`. namespaced: whether it lives in namespaces.
    after: seconds after the pods that it begins when a session opens."""

    topic: Topic[Listing[R]]
    prefix: str
    plural: str
    pages: msgspec.json.Decoder[wire.Page[W]]
    objects: msgspec.json.Decoder[W]
    row: Callable[[W], R]
    table: Callable[[], Table[R]]
    namespaced: bool = True
    after: float = 0.0

    def path(self, namespace: str) -> str:
        """The collection's path; of all namespaces when `namespace` is empty."""
        scope = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{self.prefix}{scope}/{self.plural}"


class Gate(Protocol):
    """What a reflector needs of the link."""

    def up(self) -> bool: ...
    def nudge(self) -> None: ...
    def heard(self, now: float) -> None: ...
    def suspect(self) -> None: ...


class Lines:
    """Cuts a stream of chunks into lines; the rest of the last one waits for the next chunk."""

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Whole lines, without empty ones. Raises BadAnswer when a line does not end."""
        head, newline, tail = chunk.rpartition(b"\n")
        if not newline:
            self._pending.append(chunk)
            self._size += len(chunk)
            if self._size > _MOST_PENDING:
                raise BadAnswer("the watch sent a line without an end")
            return []
        whole = b"".join((*self._pending, head))
        self._pending, self._size = ([tail], len(tail)) if tail else ([], 0)
        return [line for line in whole.split(b"\n") if line.strip()]

    @property
    def unfinished(self) -> bool:
        """Whether the last line waits for its end."""
        return self._size > 0


class Reflector(Generic[W, R]):
    """One resource in one scope. Implements sources.base.Feed and sources.link.Watcher.

    turn: waits on its thread until it may begin. told: called after rows, or a failure, went to the store."""

    def __init__(
        self,
        port: ClusterPort,
        store: Store,
        clock: Clock,
        resource: Resource[W, R],
        namespace: str,
        gate: Gate,
        rng: random.Random | None = None,
        turn: Callable[[], None] = at_once,
        told: Callable[[], None] = at_once,
    ) -> None:
        self._turn = turn
        self._told = told
        self._port = port
        self._store = store
        self._clock = clock
        self._resource = resource
        self._topic = resource.topic
        self._path = resource.path(namespace)
        self._gate = gate
        self._rng = rng or random.Random()
        self._backoff = Backoff(self._rng, LONGEST_BACKOFF)
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._table = resource.table()
        self._version = ""
        self._loaded = False
        self._stream: ByteStream | None = None
        self._doubtful = False
        self._wanted = False
        self._stopped = False
        self._listed_at = float("-inf")
        self._refusals = 0
        self._unwanted_at = 0.0

    @property
    def name(self) -> str:
        return self._topic.name

    @property
    def topics(self) -> Sequence[Topic[Any]]:
        return (self._topic,)

    @property
    def wanted(self) -> bool:
        """Whether anybody needs the rows."""
        return self._wanted

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"source-{self.name}", daemon=True).start()

    def want(self, wanted: bool) -> None:
        if wanted == self._wanted:
            return
        self._wanted = wanted
        self._unwanted_at = self._clock.monotonic()
        self._store.want(self._topic, wanted)
        if not wanted:
            self._end_stream()
        self._gate.nudge()
        self._wake.set()

    def kick(self) -> None:
        if self._doubtful:
            self._end_stream()
        self._backoff.reset()
        self._wake.set()

    def stop(self) -> None:
        self._stopped = True
        self._end_stream()
        self._wake.set()

    def confirm(self, now: float) -> None:
        if self._stream is not None and not self._doubtful and self._wanted:
            self._store.confirm(self._topic, now)

    def doubt(self) -> None:
        self._doubtful = True

    def _end_stream(self) -> None:
        stream = self._stream
        if stream is not None:
            stream.close()

    def _run(self) -> None:
        self._turn()
        while not self._stopped:
            self._wake.clear()
            self._wake.wait(self.step())

    def step(self) -> float | None:
        """List or watch until that ends. Returns seconds to sleep, None to sleep until woken."""
        if not self._wanted:
            return self._rest()
        if not self._gate.up():
            return self._held_back()
        try:
            if not self._version:
                self._list()
            return self._watch()
        except _NotNeededError:
            return 0.0
        except Gone:
            return self._start_over()
        except Exception as error:
            return self._failed(error)

    def _rest(self) -> float | None:
        """Nobody needs the rows: keep them for a while, in case somebody comes back."""
        if not self._loaded:
            return None
        left = self._unwanted_at + KEPT_UNWANTED - self._clock.monotonic()
        if left > 0:
            return left
        self._loaded, self._version = False, ""
        with self._lock:
            self._table.clear()
        self._store.forget(self._topic)
        return None

    def _held_back(self) -> float:
        """No watch is open and none may be opened: the rows must not pass for live, whatever the link says of them."""
        if self._store.peek(self._topic).fault is None:
            message = "waits until the API server takes requests again"
            self._store.fail(self._topic, Fault(Health.UNREACHABLE, message, since=self._clock.monotonic()))
        return 5.0

    def _start_over(self) -> float:
        self._version = ""
        recent = self._clock.monotonic() - self._listed_at < 5.0
        return self._backoff.next() if recent else 0.05

    def _failed(self, error: Exception) -> float:
        if not self._wanted:
            return 0.0
        now = self._clock.monotonic()
        delay = self._refused() if isinstance(error, (Denied, NotFound)) else retry_delay(error, self._backoff)
        self._store.fail(self._topic, fault_of(error, now, now + delay))
        self._told()
        if isinstance(error, (Unreachable, BadAnswer, Throttled)):
            self._gate.suspect()
        return delay

    def _refused(self) -> float:
        """A refusal seldom mends itself, and with every resource refused the tries still have to stay few."""
        self._refusals += 1
        return RETRY_DENIED if self._refusals == 1 else 2 * RETRY_DENIED

    # ------------------------------------------------------------------ list

    def _list(self) -> None:
        """Read every page; the first load shows each page as it comes. Raises PortError."""
        with self._lock:
            self._table.begin()
        try:
            version = self._pages(PAGE)
        except Gone:
            # The list changed too much while it was being paged: one answer with everything cannot expire.
            with self._lock:
                self._table.begin()
            version = self._pages(0)
        with self._lock:
            self._table.commit()
        self._version, self._loaded = version, True
        self._listed_at = self._clock.monotonic()
        self._doubtful = False
        self._refusals = 0
        self._backoff.reset()
        self._publish()

    def _pages(self, limit: int) -> str:
        """Put all pages into the table; returns the list's resource version."""
        token, count, first_load = "", 0, not self._loaded
        while True:
            if self._stopped or not self._wanted:
                raise _NotNeededError
            query = {"limit": str(limit)} if limit else {}
            if token:
                query["continue"] = token
            deadline = PAGE_DEADLINE if limit else LIST_DEADLINE
            body = self._port.request("GET", self._path, query=query, timeout=deadline, source=self.name)
            page = self._decode_page(body)
            self._gate.heard(self._clock.monotonic())
            items = page.items or []
            rows = [self._resource.row(item) for item in items]
            count += len(rows)
            token = page.metadata.continue_
            with self._lock:
                self._table.put(rows, count + (page.metadata.remaining_item_count or 0))
            if not token:
                return page.metadata.resource_version
            if first_load:
                self._publish()

    def _decode_page(self, body: bytes) -> wire.Page[W]:
        try:
            page = self._resource.pages.decode(body)
        except msgspec.ValidationError:
            page = self._decode_singly(body)
        except msgspec.DecodeError:
            raise BadAnswer(f"the list of {self._resource.plural} is not JSON") from None
        if not page.kind.endswith("List"):
            raise BadAnswer(f"the answer is not a list of {self._resource.plural}")
        return page

    def _decode_singly(self, body: bytes) -> wire.Page[W]:
        """A page with an object that does not decode: keep the others. Raises BadAnswer."""
        try:
            raw = wire.RAW_PAGE.decode(body)
        except msgspec.DecodeError:
            raise BadAnswer(f"the answer is not a list of {self._resource.plural}") from None
        items = []
        for item in raw.items or ():
            try:
                items.append(self._resource.objects.decode(item))
            except msgspec.ValidationError as error:
                log.warning("one of the %s is not readable: %s", self._resource.plural, clean(str(error), 200))
        return wire.Page(kind=raw.kind, metadata=raw.metadata, items=items)

    def _publish(self) -> None:
        self._store.put_lazy(self._topic, self._snapshot, self._clock.monotonic())
        self._told()

    def _snapshot(self) -> Listing[R]:
        with self._lock:
            return self._table.snapshot()

    # ----------------------------------------------------------------- watch

    def _watch(self) -> float:
        """Watch until the stream ends. Returns seconds to wait before the next one. Raises PortError."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(self._rng.randint(*_TIMEOUT)),
        }
        opened = self._clock.monotonic()
        stream = self._port.stream(self._path, query=query, idle_timeout=IDLE, source=self.name)
        self._doubtful = False
        self._stream = stream
        try:
            if self._wanted and not self._stopped:
                self._follow(stream)
        except _RefusedError:
            raise
        except (Unreachable, Throttled) as error:
            log.info("the watch of %s ended: %s", self.name, error.message)
            self._gate.suspect()
        finally:
            self._stream = None
            stream.close()
        lasted = self._clock.monotonic() - opened
        if not self._wanted or self._doubtful:
            return 0.0
        if lasted < SPACING:
            return max(SPACING, self._backoff.next())
        self._backoff.reset()
        return 0.05

    def _follow(self, stream: ByteStream) -> None:
        lines = Lines()
        asked = self._clock.monotonic()
        for chunk in stream:
            waited = self._clock.monotonic() - asked > _WAITED
            whole = lines.feed(chunk)
            if whole and self._apply(whole):
                self._publish()
            if whole:  # only what could be read proves that an API server lives
                self._gate.heard(self._clock.monotonic())
            if not self._wanted or self._stopped:
                return
            if waited:
                self._clock.sleep(GATHER)
            asked = self._clock.monotonic()
        if lines.unfinished and self._wanted and not self._stopped:
            raise BadAnswer(f"the watch of {self._resource.plural} ended in the middle of a line")

    def _apply(self, lines: list[bytes]) -> bool:
        """Take in watch lines, all that came before a bad one too; true when rows changed. Raises PortError."""
        changes: list[tuple[bool, R]] = []
        problem: Exception | None = None
        for line in lines:
            try:
                change = self._read(line)
            except (Gone, Unreachable, BadAnswer) as error:
                problem = error
                break
            if change is not None:
                changes.append(change)
        changed = False
        with self._lock:
            for keep, row in changes:
                changed = (self._table.put((row,)) if keep else self._table.remove(row)) or changed
        if problem is not None:
            if changed:
                self._publish()
            raise problem
        return changed

    def _read(self, line: bytes) -> tuple[bool, R] | None:
        """One watch line: whether to keep the row, and the row; None when it changes no row."""
        try:
            event = wire.EVENT.decode(line)
            if event.type == "ERROR":
                raise _watch_error(wire.STATUS.decode(event.object))
            if event.type == "BOOKMARK":
                self._version = wire.MARK.decode(event.object).metadata.resource_version or self._version
                return None
        except msgspec.DecodeError:
            raise BadAnswer(f"the watch of {self._resource.plural} sent something that is not an event") from None
        if event.type not in {"ADDED", "MODIFIED", "DELETED"}:
            return None
        return self._read_object(event)

    def _read_object(self, event: wire.WatchEvent) -> tuple[bool, R] | None:
        try:
            thing = self._resource.objects.decode(event.object)
        except msgspec.ValidationError as error:
            log.warning("one of the %s is not readable: %s", self._resource.plural, clean(str(error), 200))
            return None
        if not thing.metadata.uid:
            return None
        self._version = thing.metadata.resource_version or self._version
        return event.type != "DELETED", self._resource.row(thing)


class _NotNeededError(Exception):
    """Nobody needs the rows any more."""


class _RefusedError(Unreachable):
    """The server ended the watch with an error of its own."""


def _watch_error(status: wire.Status) -> Gone | _RefusedError:
    """An ERROR line: 410 means list again, anything else means wait and go on from the same place."""
    text = clean(status.message or status.reason or f"code {status.code}", 200)
    return Gone(text) if status.code == 410 else _RefusedError(f"the watch was refused: {text}")
