"""Where each pane is drawn at which size of terminal.

Invariant: slots never overlap, fill their area, and depend on nothing but the size and the table below.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

SMALLEST = (60, 20)


class Size(Enum):
    """Classes of terminal, by what fits."""

    TOO_SMALL = "too small"
    ONE = "one pane at a time"
    WIDE = "120x40"
    LARGE = "200x50"


class Slot(Struct, frozen=True):
    """A pane, or a stack of slots. weight: share of the space; least: cells below which it is not squeezed."""

    pane: str = ""
    weight: int = 1
    least: int = 3
    across: tuple[Slot, ...] = ()
    down: tuple[Slot, ...] = ()


class Rect(Struct, frozen=True):
    """A rectangle in cells. joint: how the line in its first column, which parts it from its neighbour, meets the
    title line; "" when there is no such line."""

    x: int
    y: int
    width: int
    height: int
    joint: str = ""


_TABLES: Mapping[Size, Slot] = {
    Size.WIDE: Slot(
        down=(
            Slot(
                weight=11,
                across=(Slot("pods", 58), Slot(weight=44, down=(Slot("hpa", 4), Slot("queues", 5)))),
            ),
            Slot(weight=8, across=(Slot("top_cpu", 28), Slot("top_memory", 30), Slot("database", 44))),
            Slot("errors", 9),
            Slot(weight=8, across=(Slot("events", 58), Slot("slo", 44))),
        )
    ),
    Size.LARGE: Slot(
        down=(
            Slot(
                weight=18,
                across=(
                    Slot("pods", 112),
                    Slot(weight=88, down=(Slot("hpa", 4), Slot("queues", 6), Slot("rollouts", 8))),
                ),
            ),
            Slot(
                weight=10,
                across=(Slot("top_cpu", 38), Slot("top_memory", 46), Slot("nodes", 52), Slot("database", 64)),
            ),
            Slot(
                weight=18,
                across=(
                    Slot("errors", 112),
                    Slot(weight=88, down=(Slot("events", 8), Slot("slo", 5), Slot("alerts", 5))),
                ),
            ),
        )
    ),
}


def size_class(width: int, height: int) -> Size:
    """The class of a terminal of so many cells.

    >>> size_class(120, 40), size_class(80, 24), size_class(59, 40)
    (<Size.WIDE: '120x40'>, <Size.ONE: 'one pane at a time'>, <Size.TOO_SMALL: 'too small'>)
    """
    if width < SMALLEST[0] or height < SMALLEST[1]:
        return Size.TOO_SMALL
    if width >= 180 and height >= 45:
        return Size.LARGE
    if width >= 110 and height >= 34:
        return Size.WIDE
    return Size.ONE


def slots(size: Size, width: int, height: int, panes: Collection[str], zoomed: str = "") -> dict[str, Rect]:
    """Rectangle of every pane that is on the screen. panes: the ids that exist; zoomed: the only one shown, if any.

    In the one-pane layout `zoomed` (or else the first pane) fills the area.
    """
    if zoomed or size not in _TABLES:
        only = zoomed or next(iter(panes), "")
        return {only: Rect(0, 0, width, height)} if only else {}
    root = _present(_TABLES[size], panes)
    found: dict[str, Rect] = {}
    if root is not None:
        _place(root, Rect(0, 0, width, height), found)
    return {pane: replace(rect, joint=_joint(rect, found.values())) for pane, rect in found.items()}


def _present(slot: Slot, panes: Collection[str]) -> Slot | None:
    """The slot without panes that do not exist."""
    if slot.pane:
        return slot if slot.pane in panes else None
    across = tuple(kept for part in slot.across if (kept := _present(part, panes)) is not None)
    down = tuple(kept for part in slot.down if (kept := _present(part, panes)) is not None)
    if not across and not down:
        return None
    return Slot(weight=slot.weight, least=slot.least, across=across, down=down)


def _joint(rect: Rect, rects: Collection[Rect]) -> str:
    """The character in which a dividing line meets the title line of the pane on its right.

    A title line on the left at the same height goes through; a dividing line above goes on.
    """
    if rect.x == 0:
        return ""
    through = any(other.x + other.width == rect.x and other.y == rect.y for other in rects)
    above = any(other.x == rect.x and other.y + other.height == rect.y for other in rects)
    if through:
        return "┼" if above else "┬"
    return "├"


def _place(slot: Slot, rect: Rect, found: dict[str, Rect]) -> None:
    if slot.pane:
        found[slot.pane] = rect
        return
    x, y = rect.x, rect.y
    for part, width in zip(slot.across, split(slot.across, rect.width), strict=True):
        _place(part, Rect(x, y, width, rect.height), found)
        x += width
    for part, height in zip(slot.down, split(slot.down, rect.height), strict=True):
        _place(part, Rect(rect.x, y, rect.width, height), found)
        y += height


def split(parts: Sequence[Slot], space: int) -> list[int]:
    """Cells for each part by weight; the sum is exactly `space`, the rounding goes to the largest."""
    if not parts:
        return []
    total = sum(part.weight for part in parts)
    sizes = [space * part.weight // total for part in parts]
    largest = max(range(len(parts)), key=lambda i: parts[i].weight)
    sizes[largest] += space - sum(sizes)
    return sizes


def neighbour(rects: Mapping[str, Rect], current: str, dx: int, dy: int) -> str:
    """The nearest pane to the left (dx -1), right (dx 1), above (dy -1) or below (dy 1) of `current`, or "".

    Panes that share the line of sight come first, then the nearest, then the topmost or leftmost.
    """
    here = rects.get(current)
    if here is None:
        return ""
    best: tuple[tuple[int, int, int], str] | None = None
    for pane, rect in rects.items():
        gap, shared, order = _relation(here, rect, dx, dy)
        if pane != current and gap >= 0 and shared > 0:
            rank = (gap, -min(shared, 3), order)
            if best is None or rank < best[0]:
                best = (rank, pane)
    return best[1] if best else ""


def _relation(here: Rect, there: Rect, dx: int, dy: int) -> tuple[int, int, int]:
    """Cells between two rectangles in a direction, cells they share across it, and an order among equals."""
    if dx:
        gap = there.x - here.x - here.width if dx > 0 else here.x - there.x - there.width
        shared = min(here.y + here.height, there.y + there.height) - max(here.y, there.y)
        return gap, shared, there.y
    gap = there.y - here.y - here.height if dy > 0 else here.y - there.y - there.height
    shared = min(here.x + here.width, there.x + there.width) - max(here.x, there.x)
    return gap, shared, there.x
