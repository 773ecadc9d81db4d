"""Kubernetes quantities: `250m`, `1Gi`, `12e6`.

Invariant: parsing is exact in integers of a billionth (the smallest quantity there is); rounding goes away from zero,
as the API machinery's Value and MilliValue do, so that planc and `kubectl top` print the same number.
"""

from __future__ import annotations

import re
from functools import lru_cache

NANO = 1_000_000_000
MEBI = 1024 * 1024
_LARGEST = 2**63 - 1

_SHAPE = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][+-]?\d{1,4})?", re.ASCII)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_MOST_EXPONENT = 30  # 10^30 is beyond every quantity the API machinery can hold


def _divide_up(value: int, by: int) -> int:
    """Division that rounds away from zero.

    >>> _divide_up(1, 1000), _divide_up(-1, 1000), _divide_up(2000, 1000)
    (1, -1, 2)
    """
    return -(-value // by) if value >= 0 else value // by


@lru_cache(maxsize=8192)
def nano(text: str) -> int:
    """The quantity in billionths, rounded away from zero below one billionth. Raises ValueError.

    >>> nano("250m"), nano("0.5Ki"), nano("1.5"), nano("12e6") == 12_000_000 * NANO
    (250000000, 512000000000, 1500000000, True)
    >>> nano("1K")
    Traceback (most recent call last):
        ...
    ValueError: not a quantity: '1K'
    """
    found = _SHAPE.fullmatch(text)
    if found is None or not (found[2] or found[3]):
        raise ValueError(f"not a quantity: {text[:40]!r}")
    sign, whole, fraction, suffix = found[1], found[2] or "", found[3] or "", found[4] or ""
    digits = int(whole + fraction or "0")
    value = _scaled(digits, len(fraction), suffix, text)
    return -value if sign == "-" else value


def _scaled(digits: int, places: int, suffix: str, text: str) -> int:
    if suffix in _BINARY:
        exact = _divide_up((digits << _BINARY[suffix]) * NANO, 10**places)
        return min(exact, _LARGEST * NANO)
    exponent = _DECIMAL[suffix] if suffix in _DECIMAL else int(suffix[1:])
    if exponent > _MOST_EXPONENT:
        raise ValueError(f"not a quantity: {text[:40]!r}")
    power = exponent + 9 - places
    return digits * 10**power if power >= 0 else _divide_up(digits, 10**-power)


def value(text: str) -> int:
    """The quantity in whole units (bytes, cores), rounded up. Raises ValueError.

    >>> value("1Gi"), value("100m")
    (1073741824, 1)
    """
    return _divide_up(nano(text), NANO)


def milli(text: str) -> int:
    """The quantity in thousandths, rounded up. Raises ValueError.

    >>> milli("1500u"), milli("2")
    (2, 2000)
    """
    return _divide_up(nano(text), 1_000_000)


def usage_nano(text: str) -> int:
    """Like `nano`, for usage figures, which are nearly always whole billionths and never the same twice.

    >>> usage_nano("123456789n"), usage_nano("5m")
    (123456789, 5000000)
    """
    if text[-1:] == "n" and text[:-1].isdecimal():
        return int(text[:-1])
    return nano(text)


def usage_bytes(text: str) -> int:
    """Like `value`, quick for the `12345Ki` of usage figures.

    >>> usage_bytes("2Ki"), usage_bytes("1Mi")
    (2048, 1048576)
    """
    if text[-2:] == "Ki" and text[:-2].isdecimal():
        return int(text[:-2]) << 10
    return value(text)


def millicores(nanocores: int) -> int:
    """Whole millicores, rounded up.

    >>> millicores(123456789)
    124
    """
    return _divide_up(nanocores, 1_000_000)


def cpu_text(nanocores: int) -> str:
    """CPU the way `kubectl top` prints it.

    >>> cpu_text(123456789)
    '124m'
    """
    return f"{millicores(nanocores)}m"


def memory_text(size: int) -> str:
    """Memory the way `kubectl top` prints it: whole MiB, rounded down.

    >>> memory_text(3 * MEBI - 1)
    '2Mi'
    """
    return f"{size // MEBI}Mi"


def percent(used: int, available: int) -> int | None:
    """Whole per cent, cut like `kubectl top` does; None when there is nothing to compare with.

    >>> percent(999, 1000), percent(1, 0)
    (99, None)
    """
    return None if available <= 0 else int(used / available * 100)
