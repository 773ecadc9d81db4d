"""The cursor belongs to an object whatever happens to the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.core.filter import parse_filter
from planc_tui.core.store import Topic
from planc_tui.core.table import Cell, Column
from planc_tui.ui.panes.base import Pane, Summary, View
from planc_tui.ui.panes.pods import PodsPane
from planc_tui.ui.table_model import TableModel, fit_columns


class Things(Pane[tuple[str, int]]):
    """Rows of a name and a number."""

    id = "things"
    title = "Things"
    topics: ClassVar[tuple[Topic[Any], ...]] = (Topic("things"),)
    columns = (Column("name", "NAME", 8, flex=1), Column("size", "SIZE", 5, right=True))

    def items(self, view: View) -> Sequence[tuple[str, int]]:
        return ()

    def identity(self, item: tuple[str, int]) -> str:
        return item[0]

    def cells(self, item: tuple[str, int], view: View) -> Sequence[Cell]:
        return (Cell(item[0]), Cell(str(item[1])))

    def summary(self, view: View) -> Summary:
        return Summary("")

    def sort_value(self, item: tuple[str, int], column: str) -> Any:
        return item[0] if column == "name" else (None if item[1] < 0 else item[1])

    def text(self, item: tuple[str, int], column: str) -> str:
        return str(item[0] if column == "name" else item[1])

    def labels(self, item: tuple[str, int]) -> Mapping[str, str]:
        return {"odd": str(item[1] % 2)}


def model(*names: str, height: int = 5) -> TableModel[tuple[str, int]]:
    made: TableModel[tuple[str, int]] = TableModel(Things())
    made.resize(height)
    made.update([(name, index) for index, name in enumerate(names)])
    return made


ROWS = st.lists(st.tuples(st.sampled_from("abcdefghijkl"), st.integers(-1, 9)), unique_by=lambda r: r[0], max_size=12)


@given(st.lists(ROWS, min_size=1, max_size=6), st.lists(st.integers(-3, 3), min_size=6, max_size=6), st.data())
def test_selection_survives_everything(versions: list[Any], moves: list[int], data: st.DataObject) -> None:
    table = model(height=4)
    for rows, step in zip(versions, moves, strict=False):
        before = table.selected if table.touched else ""
        table.update(rows)
        if data.draw(st.booleans()):
            table.sort_by("size")
        names = [row[0] for row in rows]
        if before and before in names:
            assert table.rows[table.cursor][0] == before
            assert not table.lost
        elif before:
            assert table.lost or not rows
            assert table.current() is None
        assert sorted(row[0] for row in table.rows) == sorted(names)
        assert 0 <= table.offset <= max(0, len(rows) - table.height)
        table.move(step)
        if rows:
            assert table.current() == table.rows[table.cursor]


def test_untouched_cursor_keeps_the_worst_rows_in_sight() -> None:
    table = model("a", "b", "c", "d", "e", "f", "g")
    table.update([(name, 0) for name in ("x", "y", "z", "v", "w", "a", "b")])
    assert table.offset == 0
    assert table.current() is None, "the selected row slid out of sight: a key must not act on it"


def test_row_stays_on_its_line_of_the_screen() -> None:
    table = model(*"abcdefghij")
    table.move_to(6)
    line = table.cursor - table.offset
    table.update([("new", 0), ("newer", 1), *((name, 2) for name in "abcdefghij")])
    assert table.current() == ("g", 2)
    assert table.cursor - table.offset == line


def test_object_that_comes_back_is_selected_again() -> None:
    table = model("a", "b", "c")
    table.move_to(1)
    table.update([("a", 0), ("c", 0)])
    assert table.lost
    table.update([("a", 0), ("b", 5), ("c", 0)])
    assert table.current() == ("b", 5)
    assert not table.lost


def test_filter_hides_marks_without_forgetting_them_and_objects_that_went() -> None:
    table = model("a", "b", "c")
    for index in (0, 1):
        table.move_to(index)
        assert table.toggle_mark()
    table.set_filter(parse_filter("c", ["name", "size"]))
    assert [row[0] for row in table.rows] == ["c"]
    assert table.hidden_marks() == 2
    assert not table.lost
    table.update([("a", 7), ("c", 2)])
    assert table.marks == {"a": ("a", 7)}


def test_sort_turns_then_returns_and_unknown_values_stay_last() -> None:
    table = model()
    table.update([("a", 3), ("b", -1), ("c", 9)])
    orders = []
    for _ in range(3):
        table.sort_by("size")
        orders.append("".join(row[0] for row in table.rows))
    assert orders == ["cab", "acb", "abc"]


def test_scrolling_takes_the_cursor_along_at_the_edge_only() -> None:
    table = model(*"abcdefghij", height=3)
    table.scroll(1)
    assert table.current() == ("b", 1)
    table.move_to(2)
    table.scroll(1)
    assert table.current() == ("c", 2)


@pytest.mark.parametrize("size", [5_000])
def test_filter_text_is_remembered_between_updates(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0
    original = Things.text

    def counting(self: Things, item: tuple[str, int], column: str) -> str:
        nonlocal asked
        asked += 1
        return original(self, item, column)

    monkeypatch.setattr(Things, "text", counting)
    table = model()
    rows = [(f"row-{index}", index) for index in range(size)]
    table.set_filter(parse_filter("row-77", ["name", "size"]))
    table.update(rows)
    first = asked
    table.update([*rows[:-1], ("row-last", 1)])
    assert asked - first == 2, "only the row that changed is asked for its two columns"


@given(
    st.lists(
        st.builds(
            Column, st.just("x"), st.just("X"), st.integers(1, 30), st.integers(0, 3), st.booleans(), st.integers(0, 5)
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 200),
    st.dictionaries(st.integers(0, 11), st.integers(0, 90)),
)
def test_columns_fit(columns: list[Column], width: int, needs: dict[int, int]) -> None:
    fitted = fit_columns(columns, width, needs)
    assert [index for index, _ in fitted] == [index for index, _ in fit_columns(columns, width)], "needs hide nothing"
    used = sum(cells for _, cells in fitted) + len(fitted) - 1
    essential = [column for column in columns if column.priority == 0]
    assert all(cells >= 1 for _, cells in fitted)
    assert used <= width or used == 2 * len(fitted) - 1, "wider only when every column is one cell already"
    assert [index for index, _ in fitted] == sorted(index for index, _ in fitted)
    shown = [columns[index] for index, _ in fitted]
    assert all(any(kept is column for kept in shown) for column in essential)
    if used < width and used > 2 * len(fitted):
        short = [columns[i] for i, cells in fitted if cells < needs.get(i, 0)]
        assert not short, "no text is shortened while there is room"


def test_a_status_is_whole_at_every_width_a_console_has() -> None:
    columns, status = PodsPane.columns, 3
    for width in range(60, 200):
        longest = fit_columns(columns, width, {1: 60, status: 31})
        usual = fit_columns(columns, width, {1: 60, status: 9})
        assert dict(longest)[status] == 31, width
        assert {0, 1, 2, status, 4} <= dict(longest).keys() <= dict(usual).keys()


def test_room_goes_to_what_is_shortened() -> None:
    columns = [Column("name", "NAME", 20, flex=3), Column("status", "STATUS", 17, flex=1), Column("n", "N", 4)]
    assert fit_columns(columns, 43, {0: 9, 1: 26, 2: 3}) == [(0, 9), (1, 26), (2, 4)]
    fixed = [Column("name", "NAME", 20, flex=3), Column("status", "STATUS", 17, whole=True), Column("n", "N", 4)]
    assert fit_columns(fixed, 43, {0: 40, 1: 24, 2: 3}) == [(0, 13), (1, 24), (2, 4)], "a status is whole"
    assert fit_columns(fixed, 43, {0: 40, 1: 7, 2: 3}) == [(0, 30), (1, 7), (2, 4)], "and gives what it does not need"
    assert fit_columns(columns, 60, {0: 99, 1: 12, 2: 9}) == [(0, 37), (1, 12), (2, 9)], "figures before names"
