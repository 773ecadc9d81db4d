"""How one pane looks: a title line, and below it the table or the reason why there is none.

Invariant: cells are built for visible rows only; whatever a pane's own code does wrong stays inside its frame.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any

from rich.style import Style
from textual.strip import Strip

from planc_tui.core.health import Health
from planc_tui.core.table import Cell, Column, Tone
from planc_tui.core.text import cell_width, clean, fit
from planc_tui.ui import theme
from planc_tui.ui.pane_state import Trust, wrap
from planc_tui.ui.panes.base import Pane, Summary, View
from planc_tui.ui.table_model import TableModel, fit_columns
from planc_tui.ui.widgets.lines import Line, LinesWidget, Painter

log = logging.getLogger(__name__)

FAILED = "planc: this pane failed (logged)"
NOTHING = Trust(Health.CONNECTING, "… connecting", Tone.DIM, ("connecting",), False, True)
_ENDS_MATTER = frozenset(("name", "pod", "node", "image"))  # columns that are shortened in the middle
_HEADING_FROM = 7  # lines of a pane from which its columns get a heading


class DrawnPane(LinesWidget):
    """Draws what is known of one Pane, and where the cursor, the sort, the filter and the marks are."""

    def __init__(self, pane: Pane[Any]) -> None:
        super().__init__(id=f"pane-{pane.id}")
        self.pane = pane
        self.model: TableModel[Any] = TableModel(pane)
        self.joint = ""
        self.paused_at = ""
        self.faults_only = False
        self.notice = ""
        self._view: View | None = None
        self._trust = NOTHING
        self._summary = Summary("")
        self._failed = False
        self._logged: set[str] = set()
        self._hover = -1
        self._columns: list[tuple[int, int]] = []
        self._cells: list[Sequence[Cell]] = []
        self._needs: dict[int, int] = {}
        self._needs_for = 0
        self._heading = False
        self._notes: list[str] = []
        self._mono = False

    def prepare(self, width: int, height: int) -> None:
        inner = width - len(self.joint)
        self._mono = bool(self.app.no_color)
        self._notes = self._body_notes(inner - 2, height - 1)
        has_titles = any(column.title for column in self.pane.columns)
        self._heading = height >= _HEADING_FROM and has_titles and bool(self.model.rows)
        self.model.resize(height - self._first_row())
        self._prepare_cells(inner)
        # One cell at either edge stays free: the cursor's on the left, air on the right.
        self._columns = fit_columns(self.pane.columns, inner - 2, self._needs)

    def _prepare_cells(self, width: int) -> None:
        """Cells of the rows in sight, and what their columns need.

        A column that once needed more keeps it until the pane gets another width: figures must not move to and fro."""
        if width != self._needs_for:
            self._needs, self._needs_for = {}, width
        model, view = self.model, self._view
        self._cells = []
        if self._failed or view is None:
            return
        needs = self._needs
        for item in model.rows[model.offset : model.offset + model.height]:
            cells = self.pane.cells(item, view)
            self._cells.append(cells)
            for index, cell in enumerate(cells):
                if cell.span:
                    break
                if len(cell.text) > needs.get(index, 0) or not cell.text.isascii():
                    needs[index] = max(needs.get(index, 0), min(width, cell_width(cell.text)))

    def _body_notes(self, width: int, height: int) -> list[str]:
        if self._failed:
            return [FAILED]
        if self._trust.notes:
            return wrap(self._trust.notes, width, height if self._trust.empty else 2)
        if not self.model.rows and self._view is not None:
            if self.model.filter or self.faults_only:
                return ["nothing passes the filter"]
            return wrap((clean(self.pane.empty(self._view)),), width, height)
        return []

    def _first_row(self) -> int:
        return 1 + len(self._notes) + self._heading

    def _build(self, width: int, height: int) -> list[Strip]:
        """All lines; when the pane cannot draw one of them, the lines that say so."""
        if not self._failed:
            try:
                return super()._build(width, height)
            except Exception:
                self._fail()
        return super()._build(width, height)

    def line(self, y: int, width: int) -> Line:
        if y == 0:
            return self._title(width)
        painter = self._edge(y, width)
        if y <= len(self._notes):
            calm = self._trust.tone is Tone.DIM or self._trust.health is Health.LIVE
            tone = Tone.DIM if calm and not self._failed else Tone.WARN
            return painter.add(" " + self._notes[y - 1], theme.tone_style(tone)).finish(theme.style())
        if self._heading and y == len(self._notes) + 1:
            return self._headings(painter)
        index = self.model.offset + y - self._first_row()
        if self._failed or index - self.model.offset >= len(self._cells):
            return painter.finish(theme.style())
        return self._row(painter, index, y)

    def _edge(self, y: int, width: int) -> Painter:
        painter = Painter(width)
        if self.joint:
            painter.add("│" if y else self.joint, theme.style(theme.RULE))
        return painter

    def _title(self, width: int) -> Line:
        focused = self.has_focus
        rule = theme.style(theme.ACCENT if focused else theme.RULE)
        name = theme.style(theme.ACCENT if focused else theme.BRIGHT, bold=True)
        painter = self._edge(0, width).add("─", rule)
        right = self._status(painter.left - len(self.pane.title) - 4)
        if self.pane.number:
            painter.add(self.pane.number + " ", theme.style(theme.ACCENT if focused else theme.FAINT))
        painter.add(self.pane.title, name)
        space = min(cell_width(self._summary.text), painter.left - _breadth(right) - 3)
        if space > 3:
            tone = Tone.STALE if self._trust.dim else self._summary.tone
            painter.add("  " + fit(clean(self._summary.text), space).rstrip(), theme.tone_style(tone))
        painter.add(" ", rule).to(width - _breadth(right), rule, "─")
        for text, tone in right:
            painter.add(" ", rule).add(text, theme.tone_style(tone)).add(" ", rule)
        return painter.finish(rule, "─")

    def _status(self, space: int) -> list[tuple[str, Tone]]:
        """What stands at the right of the title in at most `space` cells, the most important last.

        What merely informs yields to the first words of the summary, what warns does not."""
        parts = self._status_parts()
        summary = min(24, cell_width(self._summary.text)) + 3
        while len(parts) > 1 and _breadth(parts) > space - summary and parts[0][1] is not Tone.WARN:
            parts.pop(0)
        while len(parts) > 1 and _breadth(parts) > space:
            first, tone = parts.pop(0)
            if (left := space - _breadth(parts) - 2) > 8:
                return [(fit(first, left), tone), *parts]
        return parts

    def _status_parts(self) -> list[tuple[str, Tone]]:
        model = self.model
        parts: list[tuple[str, Tone]] = []
        if len(model.rows) > model.height > 0:
            last = min(len(model.rows), model.offset + model.height)
            parts.append((f"{model.offset + 1}‥{last} of {len(model.rows)}", Tone.DIM))
        if model.filter:
            parts.append((f"filter: {clean(model.filter.text, 24)} {len(model.rows)} of {model.total}", Tone.ACCENT))
        if self.faults_only:
            parts.append(("faults only", Tone.ACCENT))
        if model.marks:
            hidden = model.hidden_marks()
            parts.append((f"{len(model.marks)} marked" + (f", {hidden} hidden" if hidden else ""), Tone.ACCENT))
        if model.lost or self.notice:
            parts.append((model.lost or self.notice, Tone.WARN))
        if self.paused_at:
            parts.append((f"‖ paused at {self.paused_at}", Tone.WARN))
        parts.append((self._trust.badge, self._trust.tone))
        return parts

    def _headings(self, painter: Painter) -> Line:
        quiet, sorted_by = theme.style(theme.FAINT), theme.style(theme.ACCENT)
        painter.add(" ", quiet)
        chosen = self.model.sort or self.pane.default_sort
        for position, (index, width) in enumerate(self._columns):
            column = self.pane.columns[index]
            arrow = ("↓" if self.model.descending else "↑") if column.id == self.model.sort else ""
            title = column.title[: width - len(arrow)] + arrow
            painter.add(" " if position else "", quiet)
            painter.add(fit(title, width, column.right), sorted_by if column.id == chosen else quiet)
        return painter.finish(quiet)

    def _row(self, painter: Painter, index: int, y: int) -> Line:
        model, pane = self.model, self.pane
        item = model.rows[index]
        cells = self._cells[index - model.offset]
        here = index == model.cursor
        selected = here and self.has_focus and not model.lost
        ground = theme.SELECTED if selected else theme.HOVER if y == self._hover else theme.BACKGROUND
        row_tone = pane.tone(item)
        self._gutter(painter, pane.identity(item), here, ground)
        styles: dict[Tone, Style] = {}
        for position, (column_index, width) in enumerate(self._columns):
            cell = cells[column_index] if column_index < len(cells) else Cell("")
            if cell.tone not in styles:
                styles[cell.tone] = theme.cell_style(cell.tone, row_tone, ground, self._trust.dim, self._mono)
            painter.add(" " if position else "", styles[cell.tone])
            if cell.span:
                painter.add(fit(_safe(cell.text), painter.left - 1), styles[cell.tone])
                break
            painter.add(_cell_text(cell, pane.columns[column_index], width), styles[cell.tone])
        return painter.finish(theme.cell_style(Tone.NORMAL, row_tone, ground, self._trust.dim, self._mono))

    def _gutter(self, painter: Painter, identity: str, here: bool, ground: str) -> None:
        marked = identity in self.model.marks
        glyph = "▪" if marked else "›" if here and self.has_focus else " "
        if here and self.model.lost:
            glyph = "┄"
        painter.add(glyph, theme.style(theme.ACCENT, ground, reverse=self._mono and ground == theme.SELECTED))

    def _fail(self) -> None:
        """Where a pane's own mistakes end: each kind is logged once."""
        error = sys.exception()
        kind = type(error).__name__
        if kind not in self._logged:
            self._logged.add(kind)
            log.error("pane %s failed", self.pane.id, exc_info=error)
        self._failed = True
        self._summary = Summary("")


def _breadth(parts: list[tuple[str, Tone]]) -> int:
    return sum(cell_width(text) + 2 for text, _ in parts)


def _safe(text: str) -> str:
    """Panes hand over cleaned text; one that forgot must not reach the terminal raw."""
    return text if text.isprintable() else clean(text)


def _cell_text(cell: Cell, column: Column, width: int) -> str:
    return fit(_safe(cell.text), width, column.right, middle=column.id in _ENDS_MATTER)
