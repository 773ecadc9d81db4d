"""The tray: one line about the actions under way, and the last that ended.

Invariant: pure; a state is a glyph and a word before it is a colour.
"""

from __future__ import annotations

from collections.abc import Sequence

from planc_tui.actions.executor import Run, State
from planc_tui.core.table import Tone
from planc_tui.core.text import clean
from planc_tui.ui.card_text import named

Part = tuple[str, Tone]
SHOWN_AFTER = 30.0  # seconds that a run which is over stays on the line

_GLYPHS = {
    State.REQUESTED: "⟳",
    State.RUNNING: "⟳",
    State.ACCEPTED: "⟳",
    State.RECOVERED: "●",
    State.FAILED: "✖",
    State.REFUSED: "✖",
    State.CANCELLED: "▲",
    State.UNKNOWN: "?",
}
_TONES = {
    State.RECOVERED: Tone.OK,
    State.FAILED: Tone.CRIT,
    State.REFUSED: Tone.WARN,
    State.CANCELLED: Tone.WARN,
    State.UNKNOWN: Tone.WARN,
}


def glyph(state: State) -> str:
    """One cell for a state."""
    return _GLYPHS[state]


def tone_of(state: State) -> Tone:
    """How loud a state is."""
    return _TONES.get(state, Tone.ACCENT)


def took(run: Run, now: float) -> str:
    """Minutes and seconds that a run takes or took.

    >>> from planc_tui.actions.base import Plan, Risk
    >>> took(Run("1", Plan("a", "A", "c", (), (), Risk.LOW), State.RUNNING, "", 10.0), 93.5)
    '1:23'
    """
    seconds = int(max(0.0, (run.ended if run.ended is not None else now) - run.started))
    return f"{seconds // 60}:{seconds % 60:02d}" if run.started else "–"


def tray_line(runs: Sequence[Run], now: float) -> tuple[Part, ...]:
    """Runs that are under way, then the latest that ended less than half a minute ago; empty when there are none."""
    shown = [run for run in runs if not run.state.over]
    ended = [run for run in runs if run.ended is not None and now - run.ended < SHOWN_AFTER]
    parts: list[Part] = []
    for run in (*shown, *ended[-1:]):
        time = "" if run.state.over else f"  {took(run, now)}"
        word = f"{run.state.value} " if run.state.over else ""
        text = f"{glyph(run.state)} {run.plan.title} {named(run.plan.targets)}  {word}{clean(run.progress)}{time}    "
        parts.append((text, tone_of(run.state)))
    return tuple(parts)
