"""Durations and ages in words.

Invariant: `coarse_age` changes its text seldom, so that a quiet screen stays quiet; `human_duration` is kubectl's own
and is for comparing with kubectl.
"""

from __future__ import annotations

from datetime import UTC, datetime

MINUTE = 60
HOUR = 3600
DAY = 86400
YEAR = 365


def human_duration(seconds: float) -> str:
    """A duration with two or three significant figures, as kubectl's AGE column (apimachinery HumanDuration).

    >>> [human_duration(s) for s in (59, 119, 125, 600, 3 * 3600, 8.5 * 3600, 50 * 3600)]
    ['59s', '119s', '2m5s', '10m', '3h', '8h', '2d2h']
    """
    total = int(seconds)
    if total < -1:
        return "<invalid>"
    if total < 2 * MINUTE:
        return f"{max(0, total)}s"
    minutes, hours = total // MINUTE, total // HOUR
    if minutes < 10:
        return _two(minutes, "m", total % MINUTE, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 24 * 8:
        return _two(days, "d", hours % 24, "h")
    if days < YEAR * 2:
        return f"{days}d"
    if days < YEAR * 8:
        return _two(days // YEAR, "y", days % YEAR, "d")
    return f"{days // YEAR}y"


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large}{large_unit}{small}{small_unit}" if small else f"{large}{large_unit}"


def coarse_age(seconds: float) -> str:
    """An age in one unit; below a minute in steps of ten seconds. The future counts as now.

    >>> [coarse_age(s) for s in (-5, 9, 42, 61, 3599, 7300, 12 * 86400, 800 * 86400)]
    ['0s', '0s', '40s', '1m', '59m', '2h', '12d', '2y']
    """
    total = max(0, int(seconds))
    if total < MINUTE:
        return f"{total // 10 * 10}s"
    if total < HOUR:
        return f"{total // MINUTE}m"
    if total < DAY:
        return f"{total // HOUR}h"
    days = total // DAY
    return f"{days}d" if days < 2 * YEAR else f"{days // YEAR}y"


def age_since(then: float, now: float) -> str:
    """Coarse age of a moment given in epoch seconds; empty when it is not known (zero).

    From the first minute on it is the age at the last full minute of the clock: all ages of a screen change together,
    with the clock in the header, and a quiet screen stays quiet in between.

    >>> age_since(0, 100), age_since(40, 75), age_since(40, 100), age_since(40, 179), age_since(40, 181)
    ('', '30s', '1m', '1m', '2m')
    """
    if not then:
        return ""
    exact = now - then
    return coarse_age(exact if exact < MINUTE else max(MINUTE, now // MINUTE * MINUTE - then))


def utc(then: float) -> str:
    """A time that stays true when it is saved. then: epoch seconds; 0 is unknown.

    >>> utc(1_795_530_720.0), utc(0.0)
    ('2026-11-24T14:32:00Z', '')
    """
    return datetime.fromtimestamp(then, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if then else ""
