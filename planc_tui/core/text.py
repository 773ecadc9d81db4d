"""Makes text from outside harmless, and measures it in terminal cells.

Invariant: what `clean` and `clean_block` return holds no control or format character, no escape sequence and
nothing that changes the direction or the width of its neighbours; what `fit` returns is exactly as wide as told.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

from rich.cells import cell_len, get_character_cell_size

LINE_LIMIT = 4096
BLOCK_LIMIT = 2_000_000
ELLIPSIS = "…"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
BARS = "▁▂▃▄▅▆▇█"

# Raw text is cut to this many times the limit before anything else, so that a line of megabytes costs little.
# What escape sequences take from the limit comes out of the reserve.
_RESERVE = 4
_MAX_MARKS = 2

_ESCAPES = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]?"  # CSI: colours, cursor, modes
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)"  # OSC, DCS, SOS, PM, APC
    "|\x1b[ -/]*[0-~]?"  # two-character sequences, and any ESC that is left
)
_BREAKS = re.compile("\r\n|[\r\n\u2028\u2029]")
# Blank or joining characters that fonts draw as nothing.
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")


class _Table(dict[int, str]):
    """Translation of one character, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        result = _replace(char)
        if len(self) < 20_000:
            self[code] = result
        return result


def _replace(char: str) -> str:
    if char in "\t\n\r\v\f\x85":
        return " "
    category = unicodedata.category(char)
    if category in ("Cc", "Cf") or char in _INVISIBLE:
        return ""
    if category in ("Zs", "Zl", "Zp"):
        return " "
    if category in ("Cs", "Co", "Cn"):
        return REPLACEMENT
    if 0xFE00 <= ord(char) <= 0xFE0F or 0xE0100 <= ord(char) <= 0xE01EF or 0x180B <= ord(char) <= 0x180F:
        return ""
    return char


_TABLE = _Table()


def _few_marks(text: str) -> str:
    """Keep at most `_MAX_MARKS` zero-width characters after each visible one, and none before the first."""
    kept: list[str] = []
    marks = _MAX_MARKS
    for char in text:
        if char >= "\u0300" and get_character_cell_size(char) == 0:
            marks += 1
            if marks > _MAX_MARKS:
                continue
        else:
            marks = 0
        kept.append(char)
    return "".join(kept)


def clean(text: str | bytes, limit: int = LINE_LIMIT) -> str:
    """One harmless line, at most `limit` characters long; linear in the smaller of its length and the limit.

    >>> clean("a\\x1b[31mred\\x1b[0m\\tb\\x1b]0;title\\x07")
    'ared b'
    >>> clean(b"caf\\xc3\\xa9 \\xff")
    'café �'
    """
    raw = text[: limit * _RESERVE + 16]
    cut = len(raw) < len(text)
    line = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    if not (line.isascii() and line.isprintable()):
        if "\x1b" in line or not line.isascii():
            line = _ESCAPES.sub("", line)
        line = line.replace("\r\n", " ").translate(_TABLE)
        if not line.isascii():
            line = _few_marks(line)
    if len(line) > limit or cut:
        return line[: max(0, limit - 1)] + ELLIPSIS
    return line


def clean_block(text: str | bytes, limit: int = BLOCK_LIMIT) -> str:
    """Harmless text of many lines (YAML, SQL, stack traces): newlines stay, tabs become four spaces.

    limit: characters in all; each line is cut as `clean` does.
    """
    raw = text[: limit + 1]
    block = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    cut = len(block) > limit
    lines = [clean(line.replace("\t", "    ")) for line in _BREAKS.split(block[:limit])]
    if cut:
        lines.append(ELLIPSIS)
    return "\n".join(lines)


def cell_width(text: str) -> int:
    """Terminal cells that cleaned text takes."""
    return len(text) if text.isascii() else cell_len(text)


def _head(text: str, width: int) -> tuple[str, int]:
    """The longest start of `text` that fits `width` cells, and its width."""
    used = 0
    for index, char in enumerate(text):
        size = get_character_cell_size(char)
        if used + size > width:
            return text[:index], used
        used += size
    return text, used


def head_of(text: str, width: int) -> str:
    """The longest start of cleaned text that fits `width` cells, at least one character."""
    return text[: max(1, len(_head(text, width)[0]))]


def _tail(text: str, width: int) -> tuple[str, int]:
    """The longest end of `text` that fits `width` cells, without a leading zero-width mark, and its width."""
    used = 0
    start = len(text)
    for index in range(len(text) - 1, -1, -1):
        size = get_character_cell_size(text[index])
        if used + size > width:
            break
        used += size
        if size:
            start = index
    return text[start:], used


def fit(text: str, width: int, right: bool = False, middle: bool = False) -> str:
    """`text` (cleaned) padded or shortened to exactly `width` cells.

    right: pad on the left, for numbers. middle: shorten in the middle, so that both ends of a name stay.

    >>> fit("abc", 5), fit("abc", 5, right=True), fit("abcdefgh", 5), fit("abcdefgh", 5, middle=True)
    ('abc  ', '  abc', 'abcd…', 'ab…gh')
    """
    if width <= 0:
        return ""
    used = cell_width(text)
    if used > width:
        text, used = _shorten(text, width, middle)
    pad = " " * (width - used)
    return pad + text if right else text + pad


def _shorten(text: str, width: int, middle: bool) -> tuple[str, int]:
    if not middle or width < 5:
        head, used = _head(text, width - 1)
        return head + ELLIPSIS, used + 1
    # The end of a Kubernetes name tells siblings apart, so it gets the odd cell.
    tail, tail_used = _tail(text, width // 2)
    head, head_used = _head(text, width - 1 - tail_used)
    return head + ELLIPSIS + tail, head_used + 1 + tail_used


def sparkline(values: Sequence[float | None], width: int, low: float | None = 0.0, high: float | None = None) -> str:
    """The last `width` values as bars of one cell each, right-aligned; None and NaN leave a gap.

    low, high: value of the lowest and of the highest bar; None takes the smallest or largest value shown.

    >>> sparkline([0, 1, 2, None, 4], 6)
    ' ▁▃▅ █'
    """
    if width <= 0:
        return ""
    shown = list(values[-width:])
    known = [value for value in shown if value is not None and math.isfinite(value)]
    if not known:
        return " " * width
    floor = min(known) if low is None else low
    ceiling = max(known) if high is None else high
    span = ceiling - floor
    bars = []
    for value in shown:
        if value is None or not math.isfinite(value):
            bars.append(" ")
            continue
        share = 0.0 if span <= 0 else (value - floor) / span
        # Clamped before rounding: a span near the smallest float makes the share infinite.
        bars.append(BARS[round(min(1.0, max(0.0, share)) * (len(BARS) - 1))])
    return "".join(bars).rjust(width)
