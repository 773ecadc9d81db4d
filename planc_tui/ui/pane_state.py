"""What a pane's title and body say about how far its data can be trusted.

Invariant: only LIVE data is shown without a word about its age; every other state has a glyph, a word, and what is
known about why and what to do. Nothing here changes by itself while the data is live.
"""

from __future__ import annotations

import textwrap

from msgspec import Struct

from planc_tui.core.age import coarse_age
from planc_tui.core.health import Health
from planc_tui.core.store import Fault, Reading
from planc_tui.core.table import Tone
from planc_tui.core.text import clean
from planc_tui.ui.theme import HEALTH_TONE

_SOON = (5, 10, 30, 60)
# A try that takes longer than this, in seconds, is said to be under way.
PENDING = 3.0


class Trust(Struct, frozen=True):
    """health: the state; badge: its glyph and word for the title; notes: lines for the body; dim: data is old."""

    health: Health
    badge: str
    tone: Tone
    notes: tuple[str, ...] = ()
    dim: bool = False
    empty: bool = False


def trust(reading: Reading[object], monotonic: float) -> Trust:
    """How to show a reading at monotonic time `monotonic`."""
    health = reading.health(monotonic)
    known = reading.value is not None
    badge = _badge(health, reading.age(monotonic))
    dim = known and health is not Health.LIVE
    return Trust(health, badge, HEALTH_TONE[health], _notes(health, reading, monotonic), dim, not known)


def _badge(health: Health, age: float | None) -> str:
    if health is Health.LIVE:
        return health.glyph
    if age is not None and health is not Health.IDLE:
        return f"{health.glyph} {health.value} {coarse_age(age)}"
    return f"{health.glyph} {health.value}"


def _notes(health: Health, reading: Reading[object], monotonic: float) -> tuple[str, ...]:
    fault = reading.fault
    if fault is None:
        if health is Health.STALE:
            return ("no news for too long; what is below is old",)
        return () if health is Health.LIVE or reading.value is not None else (_waiting(health),)
    lines = [clean(fault.message) or health.value]
    if fault.hint:
        lines.append(_hint(health, fault))
    if soon := _next_try(fault, monotonic):
        lines.append(soon)
    return tuple(lines)


def _waiting(health: Health) -> str:
    return "not needed by anything on the screen" if health is Health.IDLE else "connecting"


def _hint(health: Health, fault: Fault) -> str:
    words = {Health.LOGIN_EXPIRED: "run: ", Health.NOT_CONFIGURED: "set: "}
    return words.get(health, "") + clean(fault.hint)


def _next_try(fault: Fault, monotonic: float) -> str:
    """When the source tries again, in steps that seldom change."""
    if fault.next_try is None:
        return ""
    left = fault.next_try - monotonic
    if left < -PENDING:
        return "trying again"
    within = next((step for step in _SOON if left <= step), None)
    return f"next try within {within}s" if within else f"next try in {coarse_age(left)}"


def wrap(notes: tuple[str, ...], width: int, height: int) -> list[str]:
    """The notes broken into lines of `width` characters, at most `height` of them.

    Every note has its first line before one has its second: why a system is away does not hide what to do about it.

    >>> wrap(("connection refused by the server", "next try within 5s"), 20, 2)
    ['connection refused …', 'next try within 5s']
    """
    broken = [textwrap.wrap(note, max(8, width)) or [""] for note in notes][: max(1, height)]
    spare = max(1, height) - len(broken)
    lines: list[str] = []
    for note in broken:
        more = min(spare, len(note) - 1)
        spare -= more
        shown = note[: 1 + more]
        if len(shown) < len(note):
            shown[-1] = f"{shown[-1][: max(8, width) - 2]} …"
        lines += shown
    return lines
