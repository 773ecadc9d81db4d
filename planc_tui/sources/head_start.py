"""Lets the pods come first when a session opens: whatever else loads or lists then takes the same interpreter, and the
first rows come later for it.

Invariant: nothing waits longer than `LIMIT` and its own seconds, whatever becomes of the pods.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from planc_tui.core.clock import Clock

LIMIT = 1.0


class HeadStart:
    """One session's. `finish` is called when the pods have come, or failed to."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._over = threading.Event()

    def finish(self) -> None:
        """The others may begin."""
        self._over.set()

    def turn(self, after: float) -> Callable[[], None]:
        """What a feed calls on its own thread before it begins: waits for the pods, and `after` seconds more."""

        def wait() -> None:
            self._over.wait(LIMIT)
            self._clock.sleep(after)

        return wait


def at_once() -> None:
    """The turn of a feed that waits for no other."""
