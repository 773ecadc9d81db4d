"""Read-only mode and its ten-minute key.

Invariant: in an environment that opens read-only nothing is changed unless somebody armed this console less than ten
minutes ago; arming always runs out by itself.
"""

from __future__ import annotations

from msgspec import Struct

from planc_tui.core.clock import Clock

ARMED_FOR = 600.0


class Mode(Struct, frozen=True):
    """What the header shows. remaining: seconds until this console is read-only again, None when it does not end.
    dry: `--dry-run`: everything up to the yes, nothing after it."""

    read_only: bool
    remaining: float | None = None
    dry: bool = False


class Arming:
    """Whether this console may change anything now.

    >>> from planc_tui.core.clock import FakeClock
    >>> clock = FakeClock(); arming = Arming(clock, protected=True)
    >>> arming.mode().read_only
    True
    >>> arming.arm(); clock.advance(599); arming.mode().remaining
    1.0
    >>> clock.advance(1); arming.mode().read_only
    True
    """

    def __init__(self, clock: Clock, *, protected: bool, dry: bool = False) -> None:
        self._clock = clock
        self._dry = dry
        self._protected = protected
        self._locked = False
        self._armed_until: float | None = None

    def mode(self) -> Mode:
        """The mode at this moment."""
        if self._locked:
            return Mode(read_only=True)
        if not self._protected:
            return Mode(read_only=False, dry=self._dry)
        remaining = 0.0 if self._armed_until is None else self._armed_until - self._clock.monotonic()
        if remaining > 0:
            return Mode(read_only=False, remaining=remaining, dry=self._dry)
        return Mode(read_only=True)

    def arm(self) -> None:
        """Allow changes: for ten minutes in a protected environment, until `disarm` elsewhere."""
        self._locked = False
        self._armed_until = self._clock.monotonic() + ARMED_FOR

    def disarm(self) -> None:
        """Back to read-only, at once."""
        self._locked = True
        self._armed_until = None
