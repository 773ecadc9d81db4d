"""One frozen reading per topic, written by source threads and read by the screen.

Invariant: a failed read never erases the last good value, it only makes it visibly old; a reading is replaced as a
whole, so a reader never sees half of one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from planc_tui.core.health import Health

T = TypeVar("T")


class Topic(Struct, Generic[T], frozen=True):
    """Typed key of the store. `stale_after`: seconds without confirmation after which a value is old."""

    name: str
    stale_after: float = 15.0


class Fault(Struct, frozen=True):
    """Why the last read failed. `next_try`: monotonic seconds of the next try, None when it waits for an event."""

    health: Health
    message: str
    hint: str = ""
    since: float = 0.0
    next_try: float | None = None


class Reading(Struct, Generic[T], frozen=True):
    """What is known of a topic. `taken_at`: monotonic seconds at which `value` was last known to be true. `fresh_for`:
    seconds for which it counts as live, None for the topic's own."""

    topic: Topic[T]
    value: T | None = None
    taken_at: float | None = None
    fault: Fault | None = None
    wanted: bool = False
    seq: int = 0
    fresh_for: float | None = None

    def age(self, now: float) -> float | None:
        """Seconds since the value was known to be true; None when there never was one."""
        return None if self.taken_at is None else max(0.0, now - self.taken_at)

    def health(self, now: float) -> Health:
        """The state to show at monotonic time `now`."""
        if self.fault is not None:
            if self.fault.health is Health.UNREACHABLE and self.value is not None:
                return Health.STALE
            return self.fault.health
        if not self.wanted:
            return Health.IDLE
        age = self.age(now)
        if age is None:
            return Health.CONNECTING
        fresh = self.topic.stale_after if self.fresh_for is None else self.fresh_for
        return Health.LIVE if age <= fresh else Health.STALE


class Store:
    """Readings by topic, with one armed wake-up for however many changes.

    `on_dirty` is called from the writing thread: with False at most once until `drain` is called, and with True each
    time a topic has its first value, which somebody waits for.
    """

    def __init__(self, on_dirty: Callable[[bool], None] | None = None) -> None:
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._readings: dict[str, Reading[Any]] = {}
        self._lazy: dict[str, Callable[[], Any]] = {}
        self._dirty: set[str] = set()
        self._armed = False
        self._on_dirty = on_dirty

    def set_on_dirty(self, on_dirty: Callable[[bool], None] | None) -> None:
        """Install the wake-up; calls it at once when changes wait already."""
        with self._lock:
            self._on_dirty = on_dirty
            self._armed = pending = bool(self._dirty) and on_dirty is not None
        if pending and on_dirty is not None:
            on_dirty(True)

    def put(self, topic: Topic[T], value: T, now: float, fresh_for: float | None = None) -> None:
        """A good read at monotonic time `now`. fresh_for: seconds for which it is live, None for the topic's own."""
        with self._lock:
            self._lazy.pop(topic.name, None)
            old = self._get(topic)
            self._set(replace(old, value=value, taken_at=now, fault=None, seq=old.seq + 1, fresh_for=fresh_for))
            wake = self._mark(topic.name, first=old.taken_at is None)
        if wake is not None:
            wake()

    def put_lazy(self, topic: Topic[T], snapshot: Callable[[], T], now: float) -> None:
        """Like `put`, but the value is made when the screen next looks: for sources that change often.

        `snapshot` must be quick, must not raise and must not call the store."""
        with self._lock:
            self._lazy[topic.name] = snapshot
            old = self._get(topic)
            self._set(replace(old, taken_at=now, fault=None, seq=old.seq + 1))
            wake = self._mark(topic.name, first=old.taken_at is None)
        if wake is not None:
            wake()

    def confirm(self, topic: Topic[T], now: float) -> None:
        """The value has not changed and is known to be true at `now`. Wakes the screen only if that mends a fault."""
        with self._lock:
            old = self._get(topic)
            mended = old.fault is not None or not old.wanted or old.health(now) is not Health.LIVE
            self._set(replace(old, taken_at=now, fault=None))
            wake = self._mark(topic.name) if mended else None
        if wake is not None:
            wake()

    def fail(self, topic: Topic[T], fault: Fault) -> None:
        """A failed read; the last good value stays."""
        with self._lock:
            old = self._get(topic)
            if old.fault is not None and old.fault.health is fault.health:
                fault = replace(fault, since=old.fault.since)
            self._set(replace(old, fault=fault, seq=old.seq + 1))
            wake = self._mark(topic.name)
        if wake is not None:
            wake()

    def lift(self, topic: Topic[T]) -> None:
        """What was the fault is over; the last good value is as old as it is."""
        with self._lock:
            old = self._get(topic)
            if old.fault is None:
                return
            self._set(replace(old, fault=None, seq=old.seq + 1))
            wake = self._mark(topic.name)
        if wake is not None:
            wake()

    def want(self, topic: Topic[T], wanted: bool) -> None:
        """Note whether anybody needs this topic; an unneeded one shows as idle."""
        with self._lock:
            old = self._get(topic)
            if old.wanted == wanted:
                return
            self._set(replace(old, wanted=wanted, seq=old.seq + 1))
            wake = self._mark(topic.name)
        if wake is not None:
            wake()

    def get(self, topic: Topic[T]) -> Reading[T]:
        """The reading, with lazy values made."""
        # One reader at a time: another one must not see the new reading before its value is made.
        with self._making:
            with self._lock:
                snapshot = self._lazy.pop(topic.name, None)
            if snapshot is not None:
                value = snapshot()
                with self._lock:
                    reading = self._get(topic)
                    # A change that came meanwhile has its own number already, so this value needs one of its own.
                    self._set(replace(reading, value=value, seq=reading.seq + 1))
            with self._lock:
                return cast("Reading[T]", self._get(topic))

    def forget(self, topic: Topic[T]) -> None:
        """Drop the value of a topic that nobody needs, to free its memory."""
        with self._lock:
            self._lazy.pop(topic.name, None)
            old = self._get(topic)
            self._set(Reading(topic, wanted=old.wanted, seq=old.seq + 1))

    def peek(self, topic: Topic[T]) -> Reading[T]:
        """The reading for its health and age alone; a lazy value may be missing or old in it."""
        with self._lock:
            return cast("Reading[T]", self._get(topic))

    def drain(self) -> frozenset[str]:
        """Names of the topics that changed since the last drain; arms the wake-up again."""
        with self._lock:
            dirty = frozenset(self._dirty)
            self._dirty.clear()
            self._armed = False
            return dirty

    def _get(self, topic: Topic[Any]) -> Reading[Any]:
        found = self._readings.get(topic.name)
        return Reading(topic) if found is None else found

    def _set(self, reading: Reading[Any]) -> None:
        self._readings[reading.topic.name] = reading

    def _mark(self, name: str, *, first: bool = False) -> Callable[[], None] | None:
        self._dirty.add(name)
        if self._on_dirty is None or (self._armed and not first):
            return None
        self._armed = True
        return partial(self._on_dirty, first)
