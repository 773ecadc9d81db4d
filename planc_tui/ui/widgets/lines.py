"""A widget made of lines that knows what it last painted.

Invariant: a line goes to the terminal only when its text or its colours differ from what is there; a widget whose
content did not change costs no byte.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import get_character_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from planc_tui.core.text import cell_width, clean, fit
from planc_tui.ui import theme

Line = Sequence[Segment]


class Painter:
    """Puts one line together, from left to right, exactly `width` cells wide."""

    __slots__ = ("_segments", "_used", "_width")

    def __init__(self, width: int) -> None:
        self._width = width
        self._used = 0
        self._segments: list[Segment] = []

    @property
    def left(self) -> int:
        """Cells not used yet."""
        return self._width - self._used

    def add(self, text: str, style: Style) -> Painter:
        """Append text, shortened when the line is full. Neighbours of one style become one segment."""
        if not text or self.left <= 0:
            return self
        if not text.isprintable():  # whoever forgot to clean it: nothing raw reaches the terminal
            text = clean(text)
        used = cell_width(text)
        if used > self.left:
            text, used = (text[: self.left] if text.isspace() else fit(text, self.left)), self.left
        self._used += used
        if self._segments and self._segments[-1].style is style:
            text = self._segments.pop().text + text
        self._segments.append(Segment(text, style))
        return self

    def to(self, column: int, style: Style, fill: str = " ") -> Painter:
        """Fill up to `column`, counted from the left."""
        return self.add(fill * max(0, column - self._used), style)

    def finish(self, style: Style, fill: str = " ") -> list[Segment]:
        """The line, filled to its width."""
        self.to(self._width, style, fill)
        return self._segments


class LinesWidget(Widget):
    """Base of everything planc draws. Subclasses implement `line`; call `repaint` whenever something may differ."""

    ALLOW_SELECT = False

    DEFAULT_CSS = """
    LinesWidget { width: 1fr; height: 1fr; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes=classes)
        self._painted: list[Strip] = []
        self._painted_width = -1

    def line(self, y: int, width: int) -> Line:
        """Segments of line `y`, exactly `width` cells wide."""
        raise NotImplementedError  # each widget draws its own; a Textual widget cannot be an ABC too

    def prepare(self, width: int, height: int) -> None:
        """Called once before the lines of a painting are asked for."""

    def repaint(self) -> None:
        """Build every line and send the changed ones to the terminal."""
        width, height = self.size
        if not (width and height):
            self._painted = []
            return
        fresh = self._build(width, height)
        old = self._painted
        if width != self._painted_width or len(old) != height:
            self._painted, self._painted_width = fresh, width
            self.refresh()
            return
        regions: list[Region] = []
        for y, strip in enumerate(fresh):
            before, after = list(old[y]), list(strip)
            if before != after:
                old[y] = strip
                start, end = changed_span(before, after, width)
                regions.append(Region(start, y, end - start, 1))
        if regions:
            self.refresh(*regions)

    def _build(self, width: int, height: int) -> list[Strip]:
        self.prepare(width, height)
        return [Strip(self.line(y, width), width) for y in range(height)]

    def on_resize(self) -> None:
        self.repaint()

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Draw with the focus as it is now; `on_focus` and `on_blur` are called before it changes."""
        super().watch_has_focus(_has_focus)
        self.repaint()

    def render_line(self, y: int) -> Strip:
        width, height = self.size
        if len(self._painted) != height or self._painted_width != width:
            self._painted, self._painted_width = self._build(width, height), width
        if y < len(self._painted):
            return self._painted[y]
        return Strip.blank(width, theme.style())


def changed_span(before: Line, after: Line, width: int) -> tuple[int, int]:
    """First and last (exclusive) cell in which two lines of `width` cells differ."""
    start = _alike(before, after, forward=True)
    return start, max(start + 1, width - _alike(before, after, forward=False))


def _alike(before: Line, after: Line, forward: bool) -> int:
    """Cells that are the same from one end."""
    step = 1 if forward else -1
    cells = 0
    for old, new in zip(before[::step], after[::step], strict=False):
        if old == new:
            cells += cell_width(new.text)
            continue
        # Inside a segment only plain characters can be told apart by cell; wide ones and marks are sent whole.
        if old.style == new.style and _plain(old.text) and _plain(new.text):
            cells += _equal(old.text[::step], new.text[::step])
        break
    return cells


def _plain(text: str) -> bool:
    return text.isascii() or all(get_character_cell_size(char) == 1 for char in text)


def _equal(one: str, other: str) -> int:
    """Length of the common start."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
