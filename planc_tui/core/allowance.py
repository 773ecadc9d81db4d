"""Says which source may ask now, so that planc's own load on a sick system stays small.

Invariant: reads that claim their place first stay within the budget together, whatever is away and however often
somebody asks again; nobody waits for ever, because who has the least time left goes first.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from planc_tui.core.clock import Clock
from planc_tui.core.ports import Denied, NoAnswer, NoConnection, NotConfigured
from planc_tui.core.stats import RequestStats

# Requests a minute that planc allows itself beyond the watches.
BUDGET = 30
# Requests of the budget that are kept free for what cannot wait: tries after a failure, and reads that waited enough.
# Each source that is away keeps more of them, for it tries more often than it would read. A console asks for everything
# once when it opens; from then on its reads take their time, so that tries find room in its first minute too.
RESERVE, RESERVE_AWAY = 19, 4
# Requests that are left to the pulse, which tells whether everything else of the cluster is true.
PULSE_SHARE, PULSE_SHARE_AWAY = 6, 10
# How many of them are kept free ahead of time.
PULSES_AHEAD = 3
# Tries of several systems that are away come this many seconds apart, once the last minute had that many requests:
# together at once they would use up the minute, and none could try again before its end.
TRY_SPACING, SPACED_FROM = 3.0, 18
# Requests that a read leaves to who is away.
KEPT_FOR_A_TRY = 1
# Seconds within which who was refused asks again.
ASKS_AGAIN = 1.0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A read that was refused. deadline, seen: when it is due at the latest and when it asked, monotonic seconds.
    cost: its requests."""

    deadline: float
    seen: float
    cost: int

    def goes_before(self, deadline: float, now: float) -> bool:
        """Whether a read that is due at `deadline` waits for it."""
        return self.deadline < deadline and self.seen > now - ASKS_AGAIN


class Allowance:
    """What the sources of one console may still ask in this minute. Thread-safe. pulse: name of the source of the
    pulse, which asks without a claim."""

    def __init__(self, stats: RequestStats, clock: Clock, pulse: str = "link") -> None:
        self._stats = stats
        self._clock = clock
        self._pulse = pulse
        self._away: dict[str, Exception] = {}
        self._tried = float("-inf")
        self._waiting: dict[str, _Waiting] = {}
        self._lock = threading.Lock()

    def crowded(self) -> bool:
        """Whether the last minute has room left only for what cannot wait any more."""
        with self._lock:
            reserve = RESERVE + RESERVE_AWAY * len(self._away.keys() - {self._pulse})
        return self._stats.last_minute(self._clock.monotonic()) >= BUDGET - reserve

    def full(self) -> bool:
        """Whether the last minute has no room left at all."""
        return self._stats.last_minute(self._clock.monotonic()) >= BUDGET

    def claim(self, who: str, deadline: float, cost: int) -> bool:
        """Whether the read of `who`, due at monotonic time `deadline` at the latest, may begin now; `settle` follows
        when it is over. cost: requests that it sends at most. Who is refused asks again within `ASKS_AGAIN` seconds,
        and goes before who has more time."""
        now = self._clock.monotonic()
        with self._lock:
            self._waiting[who] = _Waiting(deadline, now, cost)
            first = {name: one for name, one in self._waiting.items() if one.goes_before(deadline, now)}
            error = self._away.get(who)
            most = BUDGET - self._pulses(now) - sum(one.cost for one in first.values())
            if error is None:
                most -= self._kept_for_tries()
            elif isinstance(error, NoConnection):
                most = BUDGET  # most likely nothing will be sent
            elif self._too_close(now, first):
                return False
            if not self._stats.claim(who, now, cost, most):
                return False
            del self._waiting[who]
            if error is not None:
                self._tried = now
            return True

    def _kept_for_tries(self) -> int:
        """Requests that a read leaves to those who are tried again and again, because they answer that they fail."""
        away = [error for who, error in self._away.items() if who != self._pulse]
        return 0 if all(isinstance(error, NoConnection | NoAnswer) for error in away) else KEPT_FOR_A_TRY

    def _too_close(self, now: float, first: Iterable[str]) -> bool:
        """Whether a try has to wait for its turn among the tries."""
        soon = now < self._tried + TRY_SPACING or not self._away.keys().isdisjoint(first)
        return soon and self._stats.last_minute(now) >= SPACED_FROM

    def _pulses(self, now: float) -> int:
        """Requests to leave to the pulse now; one even when it had its share, as it has after an absence."""
        share = PULSE_SHARE_AWAY if self._pulse in self._away else PULSE_SHARE
        return max(1, min(PULSES_AHEAD, share - self._stats.last_minute(now, self._pulse)))

    def settle(self, who: str, error: Exception | None = None) -> None:
        """A read that was claimed is over: well, or with an error."""
        self._stats.settle(who)
        self.note(who, error)
        with self._lock:
            if error is None or isinstance(error, NoConnection):
                self._tried = float("-inf")  # who is back, or asked nothing, keeps nobody waiting

    def note(self, who: str, error: Exception | None) -> None:
        """What `who` reads answers, or is not read any more; or it is away for the reason of `error`."""
        with self._lock:
            if error is None or isinstance(error, Denied | NotConfigured):  # what is refused is tried seldom
                self._away.pop(who, None)
            else:
                self._away[who] = error
