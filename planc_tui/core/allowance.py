"""Says which source may ask now, so that planc's own load on a sick system stays small.

Invariant: requests that claim their place first stay within the budget together, whatever is away and however often
somebody asks again. A read begins before it has to only if everything that is planned for the next minute still finds
its place after it; where the plans are more than the budget, who has the least time left goes first.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from planc_tui.core.clock import Clock
from planc_tui.core.stats import WINDOW, RequestStats

# Requests a minute that planc allows itself beyond the watches.
BUDGET = 30
# Requests of the budget that reads which can wait leave free: for tries after a failure, and for what waited enough.
# Each source that is away keeps more of them, for it tries more often than it would read.
RESERVE, RESERVE_AWAY = 19, 4
# Room is planned for the tries of one more system that answers with errors, as long as fewer than this many do:
# requests that were sent hold their place for a minute, so that it would be too late then. Seconds between its tries.
FORESEEN, FORESEEN_EVERY = 2, 8.5
# Seconds between two requests once more is planned than the budget, and requests of the last minute from which on they
# are kept: together at once they would use up the minute, and none could be sent before its end.
SPACING, SPACED_FROM = 0.9 * WINDOW / BUDGET, 23
# Seconds within which who was refused asks again, and the least and the most that it waits before.
ASKS_AGAIN = 1.0
SOONEST, LOOK_AGAIN = 0.05, 0.25


class Plan(Struct, frozen=True):
    """Requests to come: one at monotonic time `at` at the latest, and then one every `every` seconds. free: whether
    most likely none is sent. away: whether they are tries."""

    at: float
    every: float
    free: bool = False
    away: bool = False

    @property
    def rate(self) -> float:
        """Requests a minute."""
        return 0.0 if self.free else WINDOW / self.every

    def after(self, now: float) -> Plan:
        """What follows a request at monotonic time `now`."""
        return Plan(now + self.every, self.every, self.free, self.away)

    def times(self, now: float) -> Iterator[float]:
        """When it asks within the window that begins now. A try that is answered may be followed by another request."""
        at = max(self.at, now)
        if self.away and at < now + WINDOW:
            yield at
        while not self.free and at < now + WINDOW:
            yield at
            at += self.every


class _Waiting(Struct, frozen=True):
    """Who was refused. deadline, seen: when it is due at the latest and when it asked, monotonic seconds."""

    deadline: float
    seen: float

    def goes_before(self, deadline: float, now: float) -> bool:
        """Whether who is due at `deadline` waits for it."""
        return self.deadline < deadline and self.seen > now - ASKS_AGAIN


class Allowance:
    """What the sources of one console may still ask in this minute. Thread-safe."""

    def __init__(self, stats: RequestStats, clock: Clock) -> None:
        self._stats = stats
        self._clock = clock
        self._plans: dict[str, Plan] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._lock = threading.Lock()

    def crowded(self, spare: int = 0) -> bool:
        """Whether the last minute has room left only for what cannot wait any more, and for `spare` requests."""
        reserve = RESERVE + spare + RESERVE_AWAY * self.away()
        return self._stats.last_minute(self._clock.monotonic()) >= BUDGET - reserve

    def away(self) -> int:
        """Sources whose system answers with errors: their tries need room."""
        with self._lock:
            return sum(plan.away for plan in self._plans.values())

    def claim(self, who: str, plan: Plan) -> float:
        """0 when the first request of `plan` may be sent now; `settle` follows when it is answered. Otherwise the
        seconds after which to ask again; who does so goes before who has more time."""
        now = self._clock.monotonic()
        then = plan.after(now)
        with self._lock:
            self._waiting[who] = _Waiting(plan.at, now)
            first = sum(one.goes_before(plan.at, now) for one in self._waiting.values())
            sent = self._stats.recent(now)
            if len(sent) >= SPACED_FROM and self._overloaded() and (first or now < sent[-1] + SPACING):
                return _soon(max(sent[-1] + SPACING, _room_at(sent, first)) - now)
            if now < plan.at and not self._fits(sent, who, Plan(now, WINDOW), then):
                return LOOK_AGAIN
            if not self._stats.claim(who, now, BUDGET - first):
                return _soon(_room_at(sent, first) - now)
            del self._waiting[who]
            self._plans[who] = then
            return 0.0

    def _overloaded(self) -> bool:
        """Whether more is planned for a minute than the budget."""
        return sum(plan.rate for plan in self._plans.values()) > BUDGET

    def _fits(self, sent: Sequence[float], who: str, read: Plan, then: Plan) -> bool:
        """Whether everything that is planned finds its place in the minute that begins with this read."""
        now = read.at
        others = [plan for name, plan in self._plans.items() if name != who]
        planned = [read, then, *others]
        if sum(plan.away for plan in planned) < FORESEEN:
            planned.append(Plan(now + FORESEEN_EVERY, FORESEEN_EVERY))
        return fits(sent, [at for plan in planned for at in plan.times(now)])

    def settle(self, who: str) -> None:
        """A request that was claimed is answered, or was never sent."""
        self._stats.settle(who)

    def plan(self, who: str, plan: Plan) -> None:
        """What `who` is going to ask."""
        with self._lock:
            self._plans[who] = plan

    def forget(self, who: str) -> None:
        """`who` does not ask any more."""
        with self._lock:
            self._plans.pop(who, None)
            self._waiting.pop(who, None)


def fits(sent: Sequence[float], planned: Iterable[float]) -> bool:
    """Whether no minute has more requests than the budget. sent: monotonic times of the last minute, in order.
    planned: times of the minute to come.

    >>> fits([0.0] * 29, [1.0]), fits([0.0] * 29, [1.0, 59.0]), fits([0.0] * 29, [1.0, 60.5])
    (True, False, True)
    """
    passed = 0
    for asked, at in enumerate(sorted(planned), 1):
        while passed < len(sent) and sent[passed] <= at - WINDOW:
            passed += 1
        if len(sent) - passed + asked > BUDGET:
            return False
    return True


def _room_at(sent: Sequence[float], first: int) -> float:
    """When the last minute has room for one request after `first` others, as things are.

    >>> _room_at([1.0, 2.0] + [3.0] * (BUDGET - 2), 1), _room_at([1.0], 0)
    (62.0, -inf)
    """
    leave = len(sent) + first + 1 - BUDGET
    return sent[min(leave, len(sent)) - 1] + WINDOW if leave > 0 and sent else float("-inf")


def _soon(seconds: float) -> float:
    return min(max(seconds, SOONEST), LOOK_AGAIN)
