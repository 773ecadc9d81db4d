"""The area of the panes.

Invariant: panes are placed by `ui.layout` alone.
"""

from __future__ import annotations

from textual.geometry import NULL_OFFSET, NULL_SPACING, Region, Size
from textual.layout import ArrangeResult, Layout, WidgetPlacement
from textual.message import Message
from textual.widget import Widget

from planc_tui.ui.layout import Rect


class SlotLayout(Layout):
    """Puts each child where `rects` says, by widget id; children without a rectangle are not shown."""

    name = "slots"

    def __init__(self) -> None:
        self.rects: dict[str, Rect] = {}

    def arrange(self, parent: Widget, children: list[Widget], size: Size, greedy: bool = True) -> ArrangeResult:
        placements = []
        for order, child in enumerate(children):
            rect = self.rects.get(child.id or "")
            if rect is not None:
                region = Region(rect.x, rect.y, rect.width, rect.height)
                placements.append(WidgetPlacement(region, NULL_OFFSET, NULL_SPACING, child, order))
        return placements


class PaneGrid(Widget):
    """Container of all panes."""

    DEFAULT_CSS = "PaneGrid { width: 1fr; height: 1fr; }"

    class Resized(Message):
        """The area has another size: the panes must be placed anew."""

    def __init__(self) -> None:
        super().__init__(id="grid")
        self.slots = SlotLayout()

    @property
    def layout(self) -> Layout:
        return self.slots

    @property
    def is_container(self) -> bool:
        return True

    def on_resize(self) -> None:
        self.post_message(self.Resized())

    def place(self, rects: dict[str, Rect]) -> None:
        """Show exactly these widgets, by id, at these places."""
        if rects != self.slots.rects:
            self.slots.rects = rects
            for child in self.children:
                child.display = child.id in rects
            # Textual keeps an arrangement by size and children; other rectangles for both the same need a new one.
            self._clear_arrangement_cache()
            self.refresh(layout=True)
