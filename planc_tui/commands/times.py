"""Times and spans as people type them.

Invariant: a time without a zone is UTC, and a time of day is the last one that has passed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from planc_tui.playbook.duration import parse_duration

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?(?:\s*(?:Z|UTC))?", re.IGNORECASE)


def parse_time(text: str, now: float) -> float:
    """Epoch seconds of `14:05`, `2026-11-24T14:05:00Z` or `10m ago`. Raises ValueError that says how to write it.

    >>> now = 1_795_478_400.0
    >>> parse_time("10m ago", now) - now, parse_time("23:59", now) - now, parse_time("00:00", now) - now
    (-600.0, -60.0, 0.0)
    >>> parse_time("2026-11-24T00:00:00+01:00", now) - now
    -3600.0
    """
    text = text.strip()
    if text == "now":
        return now
    if text.endswith("ago"):
        return now - parse_duration(text.removesuffix("ago"))
    match = _CLOCK.fullmatch(text)
    if match:
        today = datetime.fromtimestamp(now, UTC)
        at = today.replace(hour=int(match[1]), minute=int(match[2]), second=int(match[3] or 0), microsecond=0)
        return (at if at.timestamp() <= now else at - timedelta(days=1)).timestamp()
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text[:40]} is not a time: write 14:05, 2026-11-24T14:05Z or 10m ago") from None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
