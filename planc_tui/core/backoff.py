"""When to try again after a failure.

Invariant: a source never stops trying, never tries in lock-step with others, and is back within 10 s of its
system's return: the longest wait is 5 s.
"""

from __future__ import annotations

import random

FIRST = 0.8
LONGEST = 5.0


class Backoff:
    """Doubling delays with jitter. longest: the last delay in seconds; fixed: the share of a delay that is not random.
    first: the first delay.

    >>> b = Backoff(random.Random(1)); delays = [b.next() for _ in range(9)]
    >>> all(0.4 <= d <= LONGEST for d in delays) and delays[-1] >= LONGEST / 2
    True
    """

    def __init__(
        self, rng: random.Random | None = None, longest: float = LONGEST, fixed: float = 0.5, first: float = FIRST
    ) -> None:
        self._rng = rng or random.Random()
        self._longest = longest
        self._fixed = fixed
        self._first = self._step = first

    def next(self, retry_after: float | None = None) -> float:
        """Seconds to wait now. A server's Retry-After is honoured up to twice the longest wait."""
        ceiling = self._step
        self._step = min(self._step * 2, self._longest)
        delay = ceiling * (self._fixed + self._rng.random() * (1 - self._fixed))
        if retry_after is not None:
            return max(delay, min(retry_after, 2 * self._longest))
        return delay

    def reset(self) -> None:
        """Start over after a success."""
        self._step = self._first
