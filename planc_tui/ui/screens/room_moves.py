"""Where one is in the war room: pane, row, and the way back.

Invariant: there is one current pane, and it is on the screen; the cursor moves only when somebody asks for it.
"""

from __future__ import annotations

from planc_tui.core.table import Tone
from planc_tui.ui.layout import Rect, Size, neighbour
from planc_tui.ui.procedures import Guide
from planc_tui.ui.screens.base import PlancScreen
from planc_tui.ui.widgets.pane_widget import PaneWidget
from planc_tui.ui.widgets.procedure_panel import ProcedurePanel


class RoomMoves(PlancScreen):
    """The keys that move."""

    def __init__(self) -> None:
        super().__init__()
        self.panes: dict[str, PaneWidget] = {}
        self.guide: Guide
        self.zoomed = ""
        self.size_class = Size.WIDE
        self.on_screen: tuple[str, ...] = ()
        self.rects: dict[str, Rect] = {}
        self._visited: list[str] = []
        self._visit = -1
        self._filter_before = ""

    @property
    def current(self) -> str:
        """Id of the pane that has, or will have, the focus."""
        return self._visited[self._visit] if self._visited else ""

    @property
    def pane(self) -> PaneWidget:
        """The pane that has the focus."""
        return self.panes[self.current]

    def place_panes(self) -> None:
        """Place the panes anew."""
        raise NotImplementedError  # Room places; a Textual screen cannot be an ABC too

    def show_message(self, text: str, tone: Tone = Tone.NORMAL) -> None:
        """One line in place of the hints, for a few seconds."""
        raise NotImplementedError  # Room shows; a Textual screen cannot be an ABC too

    def visit(self, pane_id: str) -> None:
        """Go to a pane; one that has no place in this layout is shown alone."""
        if pane_id == self.current:
            return
        del self._visited[self._visit + 1 :]
        self._visited = [*self._visited[-30:], pane_id]
        self._go(len(self._visited) - 1)

    def _go(self, index: int) -> None:
        self._visit = index
        if self.zoomed:
            self.zoomed = self.current
        if self.is_mounted:
            self.place_panes()

    # --- rows ---------------------------------------------------------------------------------------------------------

    def do_up(self, _: str = "") -> None:
        self._move(-1)

    def do_down(self, _: str = "") -> None:
        self._move(1)

    def do_page_up(self, _: str = "") -> None:
        self._move(-self.pane.model.height)

    def do_page_down(self, _: str = "") -> None:
        self._move(self.pane.model.height)

    def do_top(self, _: str = "") -> None:
        self._move(-len(self.pane.model.rows))

    def do_bottom(self, _: str = "") -> None:
        self._move(len(self.pane.model.rows))

    def _move(self, rows: int) -> None:
        self.pane.notice = ""
        self.pane.model.move(rows)
        self.pane.repaint()

    def do_next_pane(self, _: str = "") -> None:
        last = bool(self.on_screen) and self.current == self.on_screen[-1]
        if self.guide.open and (last or len(self.on_screen) == 1):
            self.set_focus(self.query_one(ProcedurePanel))
            return
        self._cycle(1)

    def do_previous_pane(self, _: str = "") -> None:
        self._cycle(-1)

    def _cycle(self, step: int) -> None:
        several = len(self.on_screen) > 1
        order = [pane_id for pane_id in self.panes if not several or pane_id in self.on_screen]
        if order:
            here = order.index(self.current) if self.current in order else 0
            self.visit(order[(here + step) % len(order)])

    def do_pane_left(self, _: str = "") -> None:
        self._neighbour(-1, 0)

    def do_pane_right(self, _: str = "") -> None:
        self._neighbour(1, 0)

    def do_pane_up(self, _: str = "") -> None:
        self._neighbour(0, -1)

    def do_pane_down(self, _: str = "") -> None:
        self._neighbour(0, 1)

    def _neighbour(self, dx: int, dy: int) -> None:
        if len(self.rects) < 2:
            self._cycle(dx or dy)
        elif found := neighbour(self.rects, self.current, dx, dy):
            self.visit(found)

    def do_last_pane(self, _: str = "") -> None:
        if self._visit > 0:
            self.visit(self._visited[self._visit - 1])

    def do_history_back(self, _: str = "") -> None:
        if self._visit > 0:
            self._go(self._visit - 1)

    def do_history_forward(self, _: str = "") -> None:
        if self._visit + 1 < len(self._visited):
            self._go(self._visit + 1)

    def do_zoom(self, _: str = "") -> None:
        self.zoomed = "" if self.zoomed else self.current
        self.place_panes()

    def do_back(self, _: str = "") -> None:
        """Undo the latest narrowing of the view: the filter, then the zoom."""
        if self.pane.clear_filter():
            return
        if self.zoomed:
            self.zoomed = ""
            self.place_panes()
        elif len(self.on_screen) == 1 and self.size_class is not Size.ONE:
            self.do_history_back()
        else:
            self.show_message("this is the top: type :q and enter to quit", Tone.DIM)
