"""Durations as people write them.

Invariant: a number without a unit is never guessed at; only 0 needs none.
"""

from __future__ import annotations

import math
import re

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|[smhdw])")
_WHOLE = re.compile(r"(?:[0-9]{1,9}(?:\.[0-9]{1,6})?(?:ms|[smhdw]))+")
LONGEST = 10 * 366 * 86_400.0

PATTERN = r"^(0|([0-9]+(\.[0-9]+)?(ms|[smhdw]))+)$"
"""The same for JSON schema."""


def parse_duration(text: str) -> float:
    """Seconds of `15m`, `90s`, `1h30m`, `2d` or `0`. Raises ValueError that says how to write it.

    >>> parse_duration("1h30m"), parse_duration("250ms"), parse_duration("0")
    (5400.0, 0.25, 0.0)
    """
    compact = text.strip()
    if compact == "0":
        return 0.0
    if not _WHOLE.fullmatch(compact):
        raise ValueError("a duration needs a unit, such as 90s, 15m or 1h30m")
    seconds = math.fsum(float(number) * _UNITS[unit] for number, unit in _PART.findall(compact))
    if seconds > LONGEST:
        raise ValueError("a duration of more than ten years is a mistake")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest text that `parse_duration` reads back, exact to the millisecond.

    >>> format_duration(5400), format_duration(900), format_duration(2_592_000), format_duration(0.25)
    ('1h30m', '15m', '30d', '250ms')
    """
    left = round(seconds * 1000)
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, round(_UNITS[unit] * 1000))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0"
