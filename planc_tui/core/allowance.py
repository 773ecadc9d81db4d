"""Says which source may ask now, so that planc's own load on a sick system stays small.

Invariant: reads that claim their place first stay within the budget together, whatever is away and however often
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
# Seconds between two reads once more is planned than the budget: together at once they would use up the minute, and
# none could begin before its end.
SPACING = 0.9 * WINDOW / BUDGET
# Seconds within which who was refused asks again.
ASKS_AGAIN = 1.0


class Plan(Struct, frozen=True):
    """Reads to come: one at monotonic time `at` at the latest, and then one every `every` seconds. cost: requests of
    the first, 0 where most likely none is sent; the others send no more than one. away: whether they are tries."""

    at: float
    every: float
    cost: int = 1
    away: bool = False

    @property
    def rate(self) -> float:
        """Requests a minute."""
        return min(1, self.cost) * WINDOW / self.every

    def after(self, read: float) -> Plan:
        """What follows a read at monotonic time `read`."""
        return Plan(read + self.every, self.every, min(1, self.cost), self.away)

    def times(self, now: float) -> Iterator[tuple[float, int]]:
        """When it asks within the window that begins now, and for how much."""
        at, cost = max(self.at, now), self.cost
        while cost and at < now + WINDOW:
            yield at, cost
            at, cost = at + self.every, min(1, cost)


class _Waiting(Struct, frozen=True):
    """A read that was refused. deadline, seen: when it is due at the latest and when it asked, monotonic seconds.
    cost: its requests."""

    deadline: float
    seen: float
    cost: int

    def goes_before(self, deadline: float, now: float) -> bool:
        """Whether a read that is due at `deadline` waits for it."""
        return self.deadline < deadline and self.seen > now - ASKS_AGAIN


class Allowance:
    """What the sources of one console may still ask in this minute. Thread-safe."""

    def __init__(self, stats: RequestStats, clock: Clock) -> None:
        self._stats = stats
        self._clock = clock
        self._plans: dict[str, Plan] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._lock = threading.Lock()

    def crowded(self) -> bool:
        """Whether the last minute has room left only for what cannot wait any more."""
        with self._lock:
            reserve = RESERVE + RESERVE_AWAY * sum(plan.away for plan in self._plans.values())
        return self._stats.last_minute(self._clock.monotonic()) >= BUDGET - reserve

    def full(self) -> bool:
        """Whether the last minute has no room left at all."""
        return self._stats.last_minute(self._clock.monotonic()) >= BUDGET

    def claim(self, who: str, plan: Plan, cost: int) -> bool:
        """Whether the first read of `plan` may begin now; `settle` follows when it is over. cost: requests that this
        one sends at most. Who is refused asks again within `ASKS_AGAIN` seconds, and goes before who has more time."""
        now = self._clock.monotonic()
        then = plan.after(now)
        with self._lock:
            self._waiting[who] = _Waiting(plan.at, now, cost)
            first = sum(one.cost for one in self._waiting.values() if one.goes_before(plan.at, now))
            sent = self._stats.recent(now)
            if self._overloaded() and (first or (sent and now < sent[-1] + SPACING)):
                return False
            if now < plan.at and not self._fits(sent, who, Plan(now, WINDOW, cost), then):
                return False
            if not self._stats.claim(who, now, cost, BUDGET - first):
                return False
            del self._waiting[who]
            self._plans[who] = then
            return True

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
        """A read that was claimed is over."""
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


def fits(sent: Sequence[float], planned: Iterable[tuple[float, int]]) -> bool:
    """Whether no minute has more requests than the budget. sent: monotonic times of the last minute, in order.
    planned: times of the minute to come, and requests at each.

    >>> fits([0.0] * 29, [(1.0, 1)]), fits([0.0] * 29, [(1.0, 1), (59.0, 1)]), fits([0.0] * 29, [(1.0, 1), (60.5, 1)])
    (True, False, True)
    """
    passed = asked = 0
    for at, cost in sorted(planned):
        asked += cost
        while passed < len(sent) and sent[passed] <= at - WINDOW:
            passed += 1
        if len(sent) - passed + asked > BUDGET:
            return False
    return True
