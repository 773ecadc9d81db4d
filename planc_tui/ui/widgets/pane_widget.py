"""One pane on the screen: what it is told, and what keys and mouse do to it.

Invariant: whatever a pane's own code does wrong stays inside its frame.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace
from textual import events
from textual.message import Message

from planc_tui.core.filter import FilterError, parse_filter
from planc_tui.core.health import Health
from planc_tui.core.store import Reading
from planc_tui.core.table import Target, Tone
from planc_tui.core.text import clean
from planc_tui.ui.pane_state import trust
from planc_tui.ui.panes.base import Pane, Summary, View
from planc_tui.ui.table_model import TableModel
from planc_tui.ui.widgets.drawn_pane import FAILED, NOTHING, DrawnPane

log = logging.getLogger(__name__)


class PaneWidget(DrawnPane, can_focus=True):
    """One Pane: takes in readings, and what a person does to it: cursor, sort, filter, marks, pause."""

    class Opened(Message):
        """A row was chosen with the mouse."""

    class Zoomed(Message):
        """The title was double-clicked."""

        def __init__(self, pane_id: str) -> None:
            super().__init__()
            self.pane_id = pane_id

    def __init__(self, pane: Pane[Any]) -> None:
        super().__init__(pane)
        self.options: dict[str, bool] = {option.id: option.default for option in pane.options}
        self._all: Sequence[Any] = ()

    # --- data in ---------------------------------------------------------------------------------------------

    def update(self, view: View) -> None:
        """New readings, or a new option: ask the pane for its objects and paint what changed."""
        if self.paused_at and self._view is not None:
            self.tick(self._reading(view), view.monotonic)
            if self._view.options != self.options:
                self._view = replace(self._view, options=dict(self.options))
                self.rearrange()
            return
        view = replace(view, options=dict(self.options))
        self._view = view
        self._trust = trust(self._reading(view), view.monotonic)
        self._ask(view)
        self.repaint()

    def rearrange(self) -> None:
        """The same readings, shown another way: a paused pane follows its switches too."""
        if self._view is not None:
            self._ask(self._view)
            self.repaint()

    def later(self, now: float, monotonic: float) -> None:
        """The same readings some time later: paint the ages that changed."""
        if self._view is not None and not self.paused_at:
            self._view = replace(self._view, now=now, monotonic=monotonic)
            self.repaint()

    def tick(self, reading: Reading[Any], monotonic: float) -> None:
        """Follow the health alone, which time changes; cheap enough for every second."""
        fresh = trust(reading, monotonic)
        # A lazy reading is peeked at without its value.
        if reading.value is None and not self._trust.empty:
            fresh = replace(fresh, empty=False, dim=fresh.health is not Health.LIVE)
        if fresh != self._trust:
            self._trust = fresh
            self.repaint()

    def clear(self, message: str = "") -> None:
        """Forget everything: another session begins, or could not begin."""
        self.model, self._needs = TableModel(self.pane), {}
        self._view, self._summary, self._failed, self._all = None, Summary(""), False, ()
        self._trust = replace(NOTHING, notes=(message,), badge="✖ not connected") if message else NOTHING
        self.repaint()

    def _reading(self, view: View) -> Reading[Any]:
        return view.reading(self.pane.topics[0])

    def _ask(self, view: View) -> None:
        try:
            items = self._all = self.pane.items(view)
            if self.faults_only:
                items = [item for item in items if self.pane.tone(item) in (Tone.CRIT, Tone.WARN)]
            self._summary = self.pane.summary(view)
            self.model.update(items)
            self._failed = False
        except Exception:
            self._fail()

    # --- what a person does ------------------------------------------------------------------------------------

    def target(self) -> Target | None:
        """Identity of the object under the cursor."""
        item = self.model.current()
        if item is None or self._view is None or self._failed:
            return None
        return self.pane.target(item, self._view)

    def targets(self) -> list[Target]:
        """Identities of the marked objects, or of the one under the cursor."""
        current = self.model.current()
        items = list(self.model.marks.values()) or ([] if current is None else [current])
        if self._view is None or self._failed:
            return []
        found = (self.pane.target(item, self._view) for item in items)
        return [target for target in found if target is not None]

    def detail(self) -> tuple[str, ...]:
        """Lines about the object under the cursor that need no request."""
        return () if self.model.current() is None else self.detail_of(self.model.selected) or ()

    def detail_of(self, identity: str) -> tuple[str, ...] | None:
        """The same about the object of that identity; None when there is no such object now."""
        view, identify = self._view, self.pane.identity
        try:
            item = next((item for item in self._all if identify(item) == identity), None)
            return None if item is None or view is None else self.pane.detail(item, view)
        except Exception:
            log.exception("details of pane %s failed", self.pane.id)
            return (FAILED,)

    @property
    def blank(self) -> bool:
        """Whether it is known that there is no object at all."""
        return self._trust.health is Health.LIVE and not self._trust.empty and not self._failed and not self._all

    @property
    def doubt(self) -> tuple[str, Tone]:
        """Why what is shown may not be what is: paused, stale, denied; "" while it is live."""
        if self.paused_at:
            return f"‖ paused at {self.paused_at}", Tone.WARN
        return ("", Tone.DIM) if self._trust.health is Health.LIVE else (self._trust.badge, self._trust.tone)

    def set_filter(self, typed: str) -> str:
        """Apply a filter while it is typed; returns what is wrong with it, or ""."""
        try:
            new = parse_filter(typed, [column.id for column in self.pane.columns])
        except FilterError as error:
            return str(error)
        try:
            self.model.set_filter(new)
        except Exception:
            self._fail()
        self.repaint()
        notes = new.notes
        if "label:" in typed.lower() and not any(self.pane.labels(item) for item in self._all):
            notes = (*notes, "the rows of this pane have no labels")
        return "; ".join(notes)

    def sort_by(self, column: str) -> None:
        """Sort by a column; again turns round, once more goes back to the pane's own order."""
        try:
            self.model.sort_by(column)
        except Exception:
            log.exception("pane %s cannot sort by %s", self.pane.id, column)
            self.model.sort = ""
            self.notice = f"cannot sort by {column}"
        self.repaint()

    def sort_beside(self, step: int) -> None:
        """Sort by the next visible column to the left or right of the sorted one."""
        ids = [self.pane.columns[index].id for index, _ in self._columns]
        if ids:
            here = ids.index(self.model.sort) if self.model.sort in ids else (-1 if step > 0 else 0)
            self.model.sort = ""
            self.sort_by(ids[(here + step) % len(ids)])

    def toggle_option(self, option: str, view: View) -> None:
        """Turn one of the pane's switches."""
        self.options[option] = not self.options.get(option, False)
        self.update(view)

    def toggle_pause(self, stamp: str, view: View) -> None:
        """Stand still from `stamp` (a time of day) on, or go on."""
        self.paused_at = "" if self.paused_at else stamp
        self.update(view)
        self.repaint()

    def clear_filter(self) -> bool:
        """Show everything again; False when there was no filter."""
        if not self.model.filter and not self.faults_only:
            return False
        self.faults_only = False
        self.set_filter("")
        return True

    def copied_names(self) -> list[str]:
        """Names of the marked objects, or of the one under the cursor."""
        current = self.model.current()
        items = list(self.model.marks.values()) or ([] if current is None else [current])
        return [self._copied_name(item) for item in items]

    def _copied_name(self, item: Any) -> str:
        target = None if self._view is None else self.pane.target(item, self._view)
        if target is not None:
            return clean(target.name)
        return " ".join(clean(str(self.pane.text(item, column.id))) for column in self.pane.columns).strip()

    def table_text(self) -> tuple[list[str], list[list[str]]]:
        """Headings and plain text of every row that passes the filter, for saving; no column without a single text."""
        columns = self.pane.columns
        rows = [[clean(str(self.pane.text(item, c.id))) for c in columns] for item in self.model.rows]
        kept = [i for i in range(len(columns)) if not rows or any(row[i] for row in rows)]
        return [columns[i].title or columns[i].id for i in kept], [[row[i] for i in kept] for row in rows]

    # --- focus and mouse -------------------------------------------------------------------------------------------

    def on_blur(self) -> None:
        self._hover = -1

    def on_click(self, event: events.Click) -> None:
        """Select a row, open it the second time, sort by a heading, zoom by the title."""
        y = event.y
        if y == 0:
            if event.chain == 2:
                self.post_message(self.Zoomed(self.pane.id))
            return
        if self._heading and y == len(self._notes) + 1:
            if (column := self._column_at(event.x - len(self.joint))) is not None:
                self.sort_by(column)
            return
        index = self.model.offset + y - self._first_row()
        if 0 <= index < len(self.model.rows) and y >= self._first_row():
            self.model.move_to(index)
            self.repaint()
            if event.chain == 2:
                self.post_message(self.Opened())

    def _column_at(self, x: int) -> str | None:
        left = 1
        for index, width in self._columns:
            if left <= x < left + width + 1:
                return self.pane.columns[index].id
            left += width + 1
        return None

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.model.scroll(3)
        self.repaint()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.model.scroll(-3)
        self.repaint()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self._hover_on(event.y if event.y >= self._first_row() else -1)

    def on_leave(self) -> None:
        self._hover_on(-1)

    def _hover_on(self, y: int) -> None:
        if y != self._hover:
            self._hover = y
            self.repaint()
