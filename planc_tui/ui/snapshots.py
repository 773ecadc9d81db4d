"""What the pane showed before an action and after it, for the timeline.

Invariant: the rows are those of the pane the target came from, cleaned, at most forty, with how fresh they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planc_tui.actions.executor import Run
from planc_tui.actions.runs import RUNS
from planc_tui.core.text import clean
from planc_tui.incident import kinds
from planc_tui.ui.notebook import Notebook
from planc_tui.ui.widgets.pane_widget import PaneWidget

if TYPE_CHECKING:
    from planc_tui.ui.screens.room import Room

ROWS = 40
CELL = 200


class Snapshots:
    """Takes the two pictures of every run of this console."""

    def __init__(self, room: Room, notebook: Notebook) -> None:
        self._room = room
        self._notebook = notebook
        self._open: dict[str, str] = {}  # run > id of its pane

    def before(self, run: Run) -> None:
        """The picture at the yes."""
        kind = run.plan.targets[0].kind if run.plan.targets else ""
        widget = self._pane_of(kind)
        if widget is not None:
            self._open[run.id] = widget.pane.id
            self._take(run, "before", widget)

    def refresh(self) -> None:
        """The other picture, for runs that are over."""
        if not self._open:
            return
        for run in self._room.planc.store.peek(RUNS).value or ():
            if run.state.over and run.id in self._open:
                self._take(run, "after", self._room.panes[self._open.pop(run.id)])

    def _pane_of(self, kind: str) -> PaneWidget | None:
        """The pane in use when it lists such objects, else the first on the screen that does, else the first."""
        panes = self._room.panes
        order = dict.fromkeys((self._room.current, *self._room.on_screen, *panes))
        return next((panes[name] for name in order if name in panes and kind in panes[name].pane.kinds), None)

    def _take(self, run: Run, when: str, widget: PaneWidget) -> None:
        pane, planc = widget.pane, self._room.planc
        # A pane that is not on the screen does not follow its readings.
        view = None if pane.id in self._room.on_screen else planc.view_for(pane.topics)
        rows = widget.model.rows if view is None else tuple(pane.items(view))
        shown = [[clean(str(pane.text(item, column.id)), CELL) for column in pane.columns] for item in rows[:ROWS]]
        health = planc.store.peek(pane.topics[0]).health(planc.clock.monotonic())
        data = {
            "run": run.id, "when": when, "pane": pane.id, "health": health.name.lower(), "total": len(rows),
            "columns": [column.title or column.id for column in pane.columns], "rows": shown,
        }  # fmt: skip  # rows as a person reads them
        text = f"{pane.title} {when} {clean(run.plan.title, 60)}: {len(rows)} rows"
        self._notebook.write(kinds.SNAPSHOT, text, data)
