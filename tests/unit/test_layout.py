"""Panes fill the screen without overlapping, at any size and with any set of panes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from planc_tui.ui.layout import Rect, Size, neighbour, size_class, slots

PANES = (
    "pods", "top_cpu", "top_memory", "hpa", "queues", "errors", "events", "database", "slo", "rollouts", "nodes",
    "alerts",
)  # fmt: skip  # rows as a person reads them


@given(
    st.integers(60, 300), st.integers(20, 100), st.sets(st.sampled_from(PANES), min_size=1),
    st.sampled_from(["", *PANES]),
)  # fmt: skip  # rows as a person reads them
def test_slots_tile_the_area(width: int, height: int, panes: set[str], zoomed: str) -> None:
    placed = slots(size_class(width, height), width, height - 4, sorted(panes), zoomed if zoomed in panes else "")
    seen = [[0] * width for _ in range(height - 4)]
    for rect in placed.values():
        for y in range(rect.y, rect.y + rect.height):
            for x in range(rect.x, rect.x + rect.width):
                seen[y][x] += 1
    if placed:
        assert all(count == 1 for row in seen for count in row)


def test_every_pane_of_the_table_has_room_for_a_title_and_a_row() -> None:
    for size, (width, height) in {Size.WIDE: (110, 34), Size.LARGE: (180, 45)}.items():
        placed = slots(size, width, height - 4, PANES)
        assert all(rect.height >= 3 and rect.width >= 24 for rect in placed.values()), placed


def test_the_classes_are_those_of_the_sketches() -> None:
    sizes = [(59, 24), (80, 24), (80, 19), (120, 40), (200, 50), (200, 30)]
    expected = [Size.TOO_SMALL, Size.ONE, Size.TOO_SMALL, Size.WIDE, Size.LARGE, Size.ONE]
    assert [size_class(*size) for size in sizes] == expected


def test_joints_meet_the_title_lines() -> None:
    placed = slots(Size.WIDE, 120, 36, PANES)
    assert placed["pods"].joint == ""
    assert placed["hpa"].joint == "┬"
    assert placed["queues"].joint == "├"


@given(st.sampled_from(PANES), st.sampled_from([(-1, 0), (1, 0), (0, -1), (0, 1)]))
def test_a_neighbour_lies_in_the_direction_asked_for(pane: str, way: tuple[int, int]) -> None:
    placed = slots(Size.LARGE, 200, 46, PANES)
    found = neighbour(placed, pane, *way)
    if found:
        here, there = placed[pane], placed[found]
        if way[0]:
            assert (there.x - here.x) * way[0] > 0
        else:
            assert (there.y - here.y) * way[1] > 0


def test_no_neighbour_beyond_the_edge() -> None:
    assert neighbour({"a": Rect(0, 0, 10, 10)}, "a", 1, 0) == ""
    assert neighbour({}, "a", 1, 0) == ""
