"""Digits three rows high, for a clock that is read in one glance.

Invariant: every digit is as wide as every other, so a running clock stands still.
"""

from __future__ import annotations

_GLYPHS = {
    "0": ("█▀█", "█ █", "▀▀▀"),
    "1": (" ▀█", "  █", "  ▀"),
    "2": ("▀▀█", "█▀▀", "▀▀▀"),
    "3": ("▀▀█", " ▀█", "▀▀▀"),
    "4": ("█ █", "▀▀█", "  ▀"),
    "5": ("█▀▀", "▀▀█", "▀▀▀"),
    "6": ("█▀▀", "█▀█", "▀▀▀"),
    "7": ("▀▀█", "  █", "  ▀"),
    "8": ("█▀█", "█▀█", "▀▀▀"),
    "9": ("█▀█", "▀▀█", "▀▀▀"),
    ":": ("▄", "▄", " "),
    "-": ("   ", "▀▀▀", "   "),
    "+": ("   ", "▀█▀", "   "),
    " ": ("", "", ""),
}
ROWS = 3


def big(text: str) -> tuple[str, str, str]:
    """Three rows that draw digits, colons, signs and spaces.

    >>> print("\\n".join(big("10:4")))
     ▀█ █▀█ ▄ █ █
      █ █ █ ▄ ▀▀█
      ▀ ▀▀▀     ▀
    """
    glyphs = [_GLYPHS.get(char, ("   ", "   ", "   ")) for char in text]
    first, second, third = (" ".join(glyph[row] for glyph in glyphs) for row in range(ROWS))
    return first, second, third
