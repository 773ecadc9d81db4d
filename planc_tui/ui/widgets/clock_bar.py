"""The escalation clock, large, for as long as an incident is open.

Invariant: what it says is a function of the incident and the time; it takes no room when there is no incident.
"""

from __future__ import annotations

from planc_tui.core.table import Tone
from planc_tui.core.text import cell_width
from planc_tui.incident.clockview import ClockView, span
from planc_tui.ui import theme
from planc_tui.ui.big_digits import big
from planc_tui.ui.incident_text import fitting_clock_rows
from planc_tui.ui.widgets.lines import Line, LinesWidget, Painter


class ClockBar(LinesWidget):
    """Elapsed time in large digits; beside it level, deadlines, and when the next message is due."""

    DEFAULT_CSS = "ClockBar { height: 3; display: none; }"

    def __init__(self) -> None:
        super().__init__(id="clock")
        self._view: ClockView | None = None

    def show(self, view: ClockView | None) -> None:
        """Replace what is shown; None takes the bar away."""
        self._view = view
        wanted = view is not None
        if self.display != wanted:
            self.display = wanted
        self.repaint()

    def line(self, y: int, width: int) -> Line:
        painter = Painter(width).add(" ", theme.style())
        view = self._view
        if view is None:
            return painter.finish(theme.style())
        digits = big(span(view.elapsed))[y]
        tone = Tone.CRIT if view.state.active and view.acked_left is None else Tone.ACCENT
        painter.add(digits, theme.tone_style(tone)).add("  ", theme.style())
        for text, shade in fitting_clock_rows(view, painter.left)[y]:
            if painter.left >= min(12, cell_width(text)):
                painter.add(text, theme.tone_style(shade))
        return painter.finish(theme.style())
