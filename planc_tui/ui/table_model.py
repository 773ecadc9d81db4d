"""What a table shows and where its cursor is, without drawing anything.

Invariant: cursor and marks belong to objects, not to positions. When the object under the cursor disappears, nothing
is selected until the cursor is moved, so that a key never meets an object that merely slid under it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from msgspec import Struct, field

from planc_tui.core.filter import Filter
from planc_tui.core.table import Column
from planc_tui.core.text import cell_width
from planc_tui.ui.panes.base import Pane

T = TypeVar("T")
_SHORT = 10  # cells down to which a name gives room to a word that must be whole
_NAME = 8  # cells in which a shortened name can still be told


class TableModel(Struct, Generic[T]):
    """Rows of one table after filter and sort, with cursor, marks and scroll position.

    cursor: index into `rows`. selected: identity of the object under the cursor, "" while there is none.
    lost: what the title says after the selected object went. height: rows that fit on the screen.
    """

    source: Pane[T]
    rows: Sequence[T] = ()
    total: int = 0
    cursor: int = 0
    offset: int = 0
    selected: str = ""
    touched: bool = False
    lost: str = ""
    marks: dict[str, T] = field(default_factory=dict)
    sort: str = ""
    descending: bool = False
    filter: Filter = field(default_factory=lambda: Filter(""))
    height: int = 1
    _items: Sequence[T] = ()
    _texts: dict[str, tuple[T, str]] = field(default_factory=dict)

    def update(self, items: Sequence[T]) -> None:
        """Take new objects; the cursor stays on its object and the object on its line of the screen."""
        self._items = items
        self.total = len(items)
        self._arrange()
        if self.marks:
            self._keep_marks()

    def set_filter(self, new: Filter) -> None:
        """Show only what passes."""
        self.filter = new
        self._texts.clear()
        self._arrange()
        if self.lost:  # hidden by the filter that was just typed, not gone
            self._select(0)
            self.offset = 0

    def sort_by(self, column: str) -> None:
        """Sort by a column; the second time the other way round, the third time in the pane's own order."""
        first_descending = not any(c.id == column and not c.right for c in self.source.columns)
        if self.sort != column:
            self.sort, self.descending = column, first_descending
        elif self.descending == first_descending:
            self.descending = not first_descending
        else:
            self.sort = ""
        self._arrange()

    def flip(self) -> None:
        """Turn the sort order round."""
        if self.sort:
            self.descending = not self.descending
            self._arrange()

    def own_order(self) -> None:
        """Back to the pane's own order."""
        self.sort = ""
        self._arrange()

    def current(self) -> T | None:
        """The object under the cursor; None when there is none, when it went, or when it is out of sight."""
        if self.lost or not self.rows or not self.offset <= self.cursor < self.offset + self.height:
            return None
        item = self.rows[self.cursor]
        return item if self.source.identity(item) == self.selected else None

    def move_to(self, index: int) -> None:
        """Put the cursor on a row because somebody asked for it."""
        self.touched = True
        self._select(index)
        self._reveal()

    def move(self, rows: int) -> None:
        """Move the cursor up or down."""
        self.move_to(self.cursor + rows)

    def scroll(self, rows: int) -> None:
        """Move what is in sight and leave the cursor on its object unless it would go out of sight."""
        self.offset = self._bounded(self.offset + rows)
        if not self.offset <= self.cursor < self.offset + self.height:
            self.touched = True
            self._select(min(max(self.cursor, self.offset), self.offset + self.height - 1))

    def resize(self, height: int) -> None:
        """So many rows fit now."""
        if height != self.height:
            self.height = max(1, height)
            self.offset = self._bounded(self.offset)
            if self.touched:
                self._reveal()

    def toggle_mark(self) -> bool:
        """Mark the object under the cursor or take its mark away; False when there is none."""
        item = self.current()
        if item is None:
            return False
        if self.marks.pop(self.selected, None) is None:
            self.marks[self.selected] = item
        return True

    def hidden_marks(self) -> int:
        """Marked objects that the filter hides."""
        if not self.marks or not self.filter:
            return 0
        shown = {self.source.identity(item) for item in self.rows}
        return sum(1 for identity in self.marks if identity not in shown)

    def find(self, identity: str) -> bool:
        """Put the cursor on the object of that identity; False when it is not shown."""
        index = self._index(identity, self.cursor)
        if index is None:
            return False
        self.move_to(index)
        return True

    def _arrange(self) -> None:
        rows: Sequence[T] = self._items
        if self.filter:
            rows = [item for item in rows if self._passes(item)]
        if self.sort:
            rows = sorted(rows, key=self._sort_key(), reverse=self.descending)
            # Objects without a value come last either way.
            known = [item for item in rows if self.source.sort_value(item, self.sort) is not None]
            if len(known) != len(rows):
                rows = known + [item for item in rows if self.source.sort_value(item, self.sort) is None]
        self._follow(rows)

    def _sort_key(self) -> Callable[[T], Any]:
        source, column = self.source, self.sort

        def key(item: T) -> Any:
            value = source.sort_value(item, column)
            return (value is not None, value) if value is not None else (False,)

        return key

    def _passes(self, item: T) -> bool:
        source = self.source
        return self.filter.matches(
            lambda column: str(source.text(item, column)),
            lambda: self._everything(item),
            lambda: source.labels(item),
        )

    def _everything(self, item: T) -> str:
        """All columns of an object in one lower-case line, remembered while the object stays equal."""
        identity = self.source.identity(item)
        cached = self._texts.get(identity)
        if cached is not None and cached[0] is item:
            return cached[1]
        line = " ".join(str(self.source.text(item, column.id)) for column in self.source.columns).lower()
        if len(self._texts) > 2 * self.total + 1000:
            self._texts.clear()
        self._texts[identity] = (item, line)
        return line

    def _follow(self, rows: Sequence[T]) -> None:
        """Take `rows` and find the selected object in them."""
        line_on_screen = self.cursor - self.offset
        self.rows = rows
        index = self._index(self.selected, self.cursor) if self.selected else None
        if index is not None:
            self.cursor, self.lost = index, ""
            self.offset = self._bounded(index - line_on_screen) if self.touched else self._bounded(0)
            return
        if self.selected and self.touched:
            self.lost = self.lost or "the selected row is gone"
            self.cursor = min(self.cursor, max(0, len(rows) - 1))
            self.offset = self._bounded(self.offset)
            return
        self._select(0)
        self.offset = 0

    def _index(self, identity: str, near: int) -> int | None:
        identify, rows = self.source.identity, self.rows
        if near < len(rows) and identify(rows[near]) == identity:
            return near
        return next((i for i, item in enumerate(rows) if identify(item) == identity), None)

    def _select(self, index: int) -> None:
        self.lost = ""
        if not self.rows:
            self.cursor, self.selected = 0, ""
            return
        self.cursor = min(max(0, index), len(self.rows) - 1)
        self.selected = self.source.identity(self.rows[self.cursor])

    def _reveal(self) -> None:
        if self.cursor < self.offset:
            self.offset = self.cursor
        elif self.cursor >= self.offset + self.height:
            self.offset = self.cursor - self.height + 1
        self.offset = self._bounded(self.offset)

    def _bounded(self, offset: int) -> int:
        return max(0, min(offset, len(self.rows) - self.height))

    def _keep_marks(self) -> None:
        """Forget the marks of objects that are gone, and keep the newest version of the others."""
        present = {identity: item for item in self._items if (identity := self.source.identity(item)) in self.marks}
        self.marks = {identity: present[identity] for identity in self.marks if identity in present}


def fit_columns(
    columns: Sequence[Column], width: int, needs: Mapping[int, int] | None = None, gap: int = 1
) -> list[tuple[int, int]]:
    """Which columns are shown in `width` cells, and how wide: (index, cells).

    needs: cells that the longest text of a column takes, by index. Which columns are shown does not depend on it, so
    that they stay while texts come and go: the highest priority goes first when they do not fit. Then columns that
    flex give what they do not need, the others get what they need, from names too if they must, and the columns that
    flex share the rest as far as they need it. When even those of priority 0 do not fit, the widest shrink. Only for
    a word that must be whole (a status) columns of priority 2 and more give way, while it has no room.

    >>> fit_columns([Column("a", "A", 10, flex=1), Column("b", "B", 5), Column("c", "C", 9, priority=2)], 20, {0: 12})
    [(0, 12), (1, 5)]
    >>> fit_columns([Column("a", "A", 10, flex=1), Column("b", "B", 5, flex=1)], 16, {0: 4, 1: 30})
    [(0, 4), (1, 11)]
    """
    shown = list(range(len(columns)))

    def needed() -> int:
        return sum(columns[i].width for i in shown) + gap * max(0, len(shown) - 1)

    while needed() > width:
        droppable = [i for i in shown if columns[i].priority > 0]
        if not droppable:
            break
        shown.remove(_least(columns, droppable))
    while True:
        widths = {i: columns[i].width for i in shown}
        spare = width - needed()
        if spare < 0:
            _shrink(columns, widths, -spare)
        elif needs:
            _suit(columns, widths, needs, spare)
        minor = [i for i in shown if columns[i].priority > 1]
        cut = any(columns[i].whole and widths[i] < (needs or {}).get(i, 0) for i in shown)
        if not cut or not minor:
            return [(i, widths[i]) for i in shown]
        shown.remove(_least(columns, minor))


def _least(columns: Sequence[Column], among: Sequence[int]) -> int:
    """The column that goes first."""
    return max(among, key=lambda i: (columns[i].priority, i))


def _shrink(columns: Sequence[Column], widths: dict[int, int], missing: int) -> None:
    """Columns that flex give first, down to a width in which a name can still be told."""
    while missing > 0 and widths and max(widths.values()) > 1:
        flexible = [i for i in widths if columns[i].flex and widths[i] > _NAME]
        widths[max(flexible or widths, key=lambda i: widths[i])] -= 1
        missing -= 1


def _suit(columns: Sequence[Column], widths: dict[int, int], needs: Mapping[int, int], spare: int) -> None:
    """Give each column what its texts need, as far as there is room."""
    lack: dict[int, int] = {}
    for i, has in widths.items():
        need = max(needs.get(i, has), cell_width(columns[i].title), 1)
        if (columns[i].flex or columns[i].whole) and need < has:
            spare += has - need
            widths[i] = need
        elif need > has:
            lack[i] = need - has
    for i in [i for i in lack if not columns[i].flex]:
        wanted = lack.pop(i)
        while wanted > spare and (rich := [j for j in widths if columns[j].flex and widths[j] > _SHORT]):
            widths[max(rich, key=lambda j: widths[j])] -= 1
            spare += 1
        given = min(spare, wanted)
        widths[i] += given
        spare -= given
    while spare > 0 and lack:
        weight = sum(columns[i].flex for i in lack)
        shares = {i: min(lack[i], max(1, spare * columns[i].flex // weight)) for i in lack}
        for i, share in shares.items():
            given = min(share, spare)
            widths[i] += given
            lack[i] -= given
            spare -= given
        lack = {i: left for i, left in lack.items() if left > 0}
