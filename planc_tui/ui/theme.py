"""Colours and styles of the console.

Invariant: every colour only repeats what a word or a glyph says; one accent and three status colours, everything else
is a shade between the background and white. Healthy rows are quiet, trouble is bright.
"""

from __future__ import annotations

from functools import lru_cache

from rich.style import Style
from textual.theme import Theme

from planc_tui.core.health import Health
from planc_tui.core.table import Tone

BACKGROUND = "#0e1116"
RAISED = "#161b22"
SELECTED = "#22304a"
SELECTED_IDLE = "#1a212c"
HOVER = "#151a21"
RULE = "#2d3643"
FAINT = "#5d6878"
QUIET = "#8892a2"
TEXT = "#b9c2d0"
BRIGHT = "#eef2f8"
ACCENT = "#7cb0ff"
OK = "#7fc391"
WARN = "#e5b567"
CRIT = "#ff7b86"

_TONES = {
    Tone.DIM: QUIET,
    Tone.NORMAL: TEXT,
    Tone.ACCENT: ACCENT,
    Tone.OK: OK,
    Tone.WARN: WARN,
    Tone.CRIT: CRIT,
    Tone.UNKNOWN: QUIET,
    Tone.STALE: FAINT,
}
_LOUD = (Tone.WARN, Tone.CRIT)

HEALTH_TONE = {
    Health.IDLE: Tone.DIM,
    Health.CONNECTING: Tone.DIM,
    Health.LIVE: Tone.STALE,
    Health.STALE: Tone.WARN,
    Health.DENIED: Tone.WARN,
    Health.LOGIN_EXPIRED: Tone.WARN,
    Health.UNREACHABLE: Tone.CRIT,
    Health.NOT_CONFIGURED: Tone.DIM,
}

BADGES = {
    "red": ("#ffffff", "#b3263a"),
    "yellow": ("#14110a", "#d9a441"),
    "green": ("#ffffff", "#27744a"),
    "blue": ("#ffffff", "#2b5cb0"),
    "magenta": ("#ffffff", "#8d3fa3"),
    "grey": ("#ffffff", "#4a5565"),
}

THEME = Theme(
    name="planc",
    primary=ACCENT,
    accent=ACCENT,
    foreground=TEXT,
    background=BACKGROUND,
    surface=RAISED,
    panel=RAISED,
    success=OK,
    warning=WARN,
    error=CRIT,
    dark=True,
    variables={
        "block-cursor-background": SELECTED,
        "block-cursor-foreground": BRIGHT,
        "input-cursor-background": BRIGHT,
        "input-selection-background": f"{ACCENT} 35%",
        "scrollbar": RULE,
        "scrollbar-background": BACKGROUND,
    },
)


@lru_cache(maxsize=256)
def style(color: str = TEXT, background: str = BACKGROUND, bold: bool = False, reverse: bool = False) -> Style:
    """A style with every part set, so that a line never depends on what is beneath it."""
    return Style(color=color, bgcolor=background, bold=bold, reverse=reverse)


@lru_cache(maxsize=512)
def cell_style(cell: Tone, row: Tone, background: str = BACKGROUND, stale: bool = False, mono: bool = False) -> Style:
    """Style of one cell in a row of tone `row`; `stale` dims everything, `mono` marks the selection by reversing."""
    reverse = mono and background == SELECTED
    if stale:
        return style(FAINT, background, reverse=reverse)
    if cell is Tone.NORMAL:
        color = BRIGHT if row in _LOUD else _TONES[row]
        return style(color, background, reverse=reverse)
    return style(_TONES[cell], background, bold=cell is Tone.CRIT, reverse=reverse)


def tone_style(tone: Tone, background: str = BACKGROUND, bold: bool = False) -> Style:
    """Style of a text that stands outside a table."""
    return style(_TONES[tone], background, bold or tone is Tone.CRIT)


def badge_style(colour: str) -> Style:
    """Style of the environment's word on a ground of its own."""
    front, back = BADGES.get(colour, BADGES["grey"])
    return style(front, back, bold=True)
