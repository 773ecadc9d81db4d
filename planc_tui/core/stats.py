"""Counts requests per source, so that planc's own load on a sick system can be shown and kept small.

Invariant: every request a backend sends is counted once, when it is sent; streams are counted apart.
"""

from __future__ import annotations

import threading
from bisect import insort
from collections import deque
from collections.abc import Collection

from msgspec import Struct

WINDOW = 60.0


class SourceLoad(Struct, frozen=True):
    """Load of one source. last_minute: requests in the last 60 s; total and streams since the start. budgeted: whether
    its requests are of the budget."""

    source: str
    last_minute: int
    total: int
    streams: int
    bytes_in: int
    budgeted: bool = True


class RequestStats:
    """Thread-safe request counts, in all and over the last minute.

    listed: sources whose requests are the lists that their watches begin with; they are not of the budget."""

    def __init__(self, listed: Collection[str] = ()) -> None:
        self._listed = frozenset(listed)
        self._claims: set[str] = set()
        self._lock = threading.Lock()
        self._recent: dict[str, deque[float]] = {}
        self._budgeted: deque[float] = deque()  # of all sources together, in order
        self._total: dict[str, int] = {}
        self._streams: dict[str, int] = {}
        self._bytes: dict[str, int] = {}

    def request(self, source: str, now: float) -> None:
        """One request sent at monotonic time `now`."""
        with self._lock:
            for recent in self._counted_in(source):
                insort(recent, now)
                self._trim(recent, now)
            self._claims.discard(source)
            self._total[source] = self._total.get(source, 0) + 1

    def withdraw(self, source: str) -> None:
        """The newest request of `source` was never sent: no connection could be made."""
        with self._lock:
            if self._recent.get(source):
                newest = self._recent[source][-1]
                for recent in self._counted_in(source):
                    recent.remove(newest)
                self._total[source] -= 1

    def stream(self, source: str) -> None:
        """One watch or log stream opened."""
        with self._lock:
            self._streams[source] = self._streams.get(source, 0) + 1

    def received(self, source: str, count: int) -> None:
        """`count` bytes of an answer arrived (before decompression where that is known)."""
        with self._lock:
            self._bytes[source] = self._bytes.get(source, 0) + count

    def last_minute(self, now: float) -> int:
        """Requests of the budget in the last minute."""
        with self._lock:
            self._trim(self._budgeted, now)
            return len(self._budgeted)

    def recent(self, now: float) -> list[float]:
        """When the requests of the budget in the last minute were sent, in order; claimed ones count as sent now."""
        with self._lock:
            self._trim(self._budgeted, now)
            return [*self._budgeted, *[now] * len(self._claims)]

    def claim(self, source: str, now: float, most: int) -> bool:
        """Keep room for a request of `source`, unless that makes more than `most` in the last minute."""
        with self._lock:
            self._trim(self._budgeted, now)
            if len(self._budgeted) + len(self._claims) >= most:
                return False
            self._claims.add(source)
            return True

    def settle(self, source: str) -> None:
        """The request that room was kept for was sent, or never will be."""
        with self._lock:
            self._claims.discard(source)

    def _counted_in(self, source: str) -> tuple[deque[float], ...]:
        own = self._recent.setdefault(source, deque())
        return (own,) if source in self._listed else (own, self._budgeted)

    def loads(self, now: float) -> tuple[SourceLoad, ...]:
        """One entry per source, by name."""
        with self._lock:
            names = sorted({*self._total, *self._streams, *self._bytes})
            for recent in self._recent.values():
                self._trim(recent, now)
            return tuple(
                SourceLoad(
                    name,
                    len(self._recent.get(name, ())),
                    self._total.get(name, 0),
                    self._streams.get(name, 0),
                    self._bytes.get(name, 0),
                    name not in self._listed,
                )
                for name in names
            )

    @staticmethod
    def _trim(recent: deque[float], now: float) -> None:
        while recent and recent[0] < now - WINDOW:
            recent.popleft()
