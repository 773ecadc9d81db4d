"""The words for how much one source can be trusted right now.

Invariant: nothing but LIVE means that what is on the screen is what the system says.
"""

from __future__ import annotations

from enum import Enum


class Health(Enum):
    """State of a source, in the words the screen uses."""

    IDLE = "idle"
    CONNECTING = "connecting"
    LIVE = "live"
    STALE = "stale"
    DENIED = "denied"
    LOGIN_EXPIRED = "login expired"
    UNREACHABLE = "unreachable"
    NOT_CONFIGURED = "not configured"

    @property
    def glyph(self) -> str:
        """One cell that says the state without colour."""
        return _GLYPHS[self]


_GLYPHS = {
    Health.IDLE: "○",
    Health.CONNECTING: "…",
    Health.LIVE: "●",
    Health.STALE: "◌",
    Health.DENIED: "⊘",
    Health.LOGIN_EXPIRED: "⚿",
    Health.UNREACHABLE: "✖",
    Health.NOT_CONFIGURED: "–",
}
