"""Numbers in words that stand still: few digits, one unit.

Invariant: a number that is worse than a limit never reads as if it met it, because rounding goes towards the worse.
"""

from __future__ import annotations

import math


def grouped(value: int) -> str:
    """A count with thousands separated.

    >>> grouped(1840)
    '1,840'
    """
    return f"{value:,}"


def short(value: float) -> str:
    """A number in three significant figures at most, without trailing zeros.

    >>> short(0.0), short(0.1234), short(14.44), short(99.6), short(1234.6), short(25_300)
    ('0', '0.123', '14.4', '99.6', '1,235', '25,300')
    """
    if not math.isfinite(value):
        return "∞" if value > 0 else "?"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def rate(value: float | None) -> str:
    """Messages per second; nothing for what is not known.

    >>> rate(31.26), rate(0.04), rate(0.0), rate(None)
    ('31/s', '0.04/s', '0/s', '')
    """
    if value is None:
        return ""
    digits = 0 if abs(value) >= 10 else 1 if abs(value) >= 1 else 2
    text = f"{value:,.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return f"{'0' if text in ('-0', '') else text}/s"


def signed_rate(value: float | None) -> str:
    """A change per second with its sign.

    >>> signed_rate(31.2), signed_rate(-4.0), signed_rate(0.001)
    ('+31/s', '-4/s', '0/s')
    """
    text = rate(value)
    return f"+{text}" if value is not None and value > 0 and text != "0/s" else text


def percent_down(value: float, target: float) -> str:
    """A percentage that should be high, cut (not rounded) to one figure more than its target has.

    >>> percent_down(99.98996, 99.99), percent_down(100.0, 99.99), percent_down(99.99, 99.99)
    ('99.989%', '100%', '99.99%')
    """
    figures = len(f"{target:.6f}".rstrip("0").partition(".")[2]) + 1
    # A sum of floats may fall short of the figure it stands for by the last bit.
    scaled = math.floor(value * 10**figures + 1e-6) / 10**figures
    return f"{scaled:.{figures}f}".rstrip("0").rstrip(".") + "%"


def percent_up(value: float, target: float = 0.0) -> str:
    """A percentage that should be low, rounded up to three significant figures, and not finer than a hundredth of its
    target, where one is given.

    >>> percent_up(0.1), percent_up(0.10001), percent_up(4.1), percent_up(0.0)
    ('0.1%', '0.101%', '4.1%', '0%')
    >>> percent_up(0.00301, 0.1), percent_up(0.0301, 0.1), percent_up(5.004, 0.1)
    ('0.004%', '0.031%', '5.01%')
    """
    if value <= 0:
        return "0%"
    figures = 2 - math.floor(math.log10(value))
    if target > 0:
        figures = min(figures, 2 - math.floor(math.log10(target)))
    scale = 10**figures
    return f"{math.ceil(value * scale - 1e-6) / scale:.10f}".rstrip("0").rstrip(".") + "%"


def latency(seconds: float) -> str:
    """A response time, rounded up to three significant figures.

    >>> latency(0.0917), latency(0.1001), latency(2.4), latency(0.00051)
    ('91.7 ms', '101 ms', '2.4 s', '0.51 ms')
    """
    value, unit = (seconds, "s") if seconds >= 1 else (seconds * 1000, "ms")
    return f"{percent_up(value)[:-1]} {unit}"
