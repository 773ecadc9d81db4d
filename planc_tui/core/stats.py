"""Counts requests per source, so that planc's own load on a sick system can be shown and tested.

Invariant: every request a backend sends is counted once, when it is sent; streams are counted apart.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass

WINDOW = 60.0
# Requests a minute that planc allows itself beyond the watches.
BUDGET = 30
# Requests of the budget that are kept free, for what cannot wait: tries after a failure, and reads that waited enough.
RESERVE = 7


@dataclass(frozen=True, slots=True)
class SourceLoad:
    """Load of one source. last_minute: requests in the last 60 s; total and streams since the start."""

    source: str
    last_minute: int
    total: int
    streams: int
    bytes_in: int


class RequestStats:
    """Thread-safe request counts, in all and over the last minute."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._recent: dict[str, deque[float]] = {}
        self._total: dict[str, int] = {}
        self._streams: dict[str, int] = {}
        self._bytes: dict[str, int] = {}

    def request(self, source: str, now: float) -> None:
        """One request sent at monotonic time `now`."""
        with self._lock:
            recent = self._recent.setdefault(source, deque())
            recent.append(now)
            self._trim(recent, now)
            self._total[source] = self._total.get(source, 0) + 1

    def stream(self, source: str) -> None:
        """One watch or log stream opened."""
        with self._lock:
            self._streams[source] = self._streams.get(source, 0) + 1

    def received(self, source: str, count: int) -> None:
        """`count` bytes of an answer arrived (before decompression where that is known)."""
        with self._lock:
            self._bytes[source] = self._bytes.get(source, 0) + count

    def crowded(self, now: float) -> bool:
        """Whether the last minute has room left only for what cannot wait any more."""
        with self._lock:
            for recent in self._recent.values():
                self._trim(recent, now)
            return sum(map(len, self._recent.values())) >= BUDGET - RESERVE

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
                )
                for name in names
            )

    @staticmethod
    def _trim(recent: deque[float], now: float) -> None:
        while recent and recent[0] < now - WINDOW:
            recent.popleft()
