"""Time enters planc here only, so that every duration that matters can be tested with a fake clock.

Invariant: wall time is seconds since the Unix epoch in UTC and is for showing and for comparing with times that
servers report; ages and deadlines of planc itself use the monotonic time, which never jumps.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Source of time for everything that reads or shows it."""

    def now(self) -> float:
        """Wall time in seconds since the Unix epoch, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow, from an arbitrary start."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait; never on the UI thread."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class FakeClock:
    """A clock that moves only when told to.

    >>> clock = FakeClock(now=100.0)
    >>> clock.advance(2.5)
    >>> clock.now(), clock.monotonic()
    (102.5, 2.5)
    """

    def __init__(self, now: float = 1_795_478_400.0, monotonic: float = 0.0) -> None:
        self._now = now
        self._monotonic = monotonic
        self._lock = threading.Lock()

    def now(self) -> float:
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        with self._lock:
            return self._monotonic

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move both times forward by `seconds`."""
        with self._lock:
            self._now += seconds
            self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Move the wall time alone, as an NTP correction or a suspended machine does."""
        with self._lock:
            self._now += seconds
