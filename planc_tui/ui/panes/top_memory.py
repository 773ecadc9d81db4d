"""Pane 3: the pods that use most memory, how fast it grows, and when it reaches the limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from planc_tui.core import quantity
from planc_tui.core.age import coarse_age
from planc_tui.core.cluster.pods import PodRow
from planc_tui.core.cluster.topics import POD_USAGE
from planc_tui.core.cluster.usage import Usage, limit_percent, time_to_limit
from planc_tui.core.table import Cell, Column, Tone
from planc_tui.core.text import clean
from planc_tui.ui.panes.base import Summary, View
from planc_tui.ui.panes.kube_cells import UNMEASURED, name_text, percent_cell
from planc_tui.ui.panes.top import SPARK, TOP_SORT, TopPane, pod_of, spark

_SOON, _LATER = 600.0, 3600.0
_QUIET_SLOPE = 0.1  # MiB/min that are no trend
_FAR = 86400.0


class TopMemoryPane(TopPane):
    """Memory now, of the limit, its slope in MiB/min and the time left."""

    id = "top_memory"
    title = "Top memory"
    number = "3"
    aliases = ("topmem", "memory", "mem")
    columns = (
        Column("name", "NAME", 11, flex=1),
        Column("memory", "MEM", 6, right=True),
        Column("limit", "%L", 4, right=True, priority=1),
        Column("slope", "MiB/min", 7, right=True, priority=4),
        Column("full", "FULL", 4, right=True, priority=2),
        Column("trend", "", SPARK, priority=3),
    )
    sort_keys: ClassVar[Mapping[str, str]] = TOP_SORT

    def items(self, view: View) -> Sequence[Usage]:
        table = view.value(POD_USAGE)
        return () if table is None else table.by_memory

    def cells(self, item: Usage, view: View) -> Sequence[Cell]:
        row = pod_of(item, view)
        limits = view.playbook.thresholds
        share = limit_percent(row, item, "memory") if row is not None else None
        slope = item.slope
        return (
            Cell(clean(name_text(item.namespace, item.name, view)), Tone.NORMAL if row is not None else Tone.DIM),
            Cell(quantity.memory_text(item.memory)),
            UNMEASURED if row is None else percent_cell(share, limits.memory_warning, limits.memory_bad, True),
            Cell(_slope_text(slope), Tone.NORMAL if slope is not None else Tone.DIM),
            _full_cell(row, item, slope),
            Cell(spark(item.history, "memory"), Tone.DIM),
        )

    def text(self, item: Usage, column: str) -> str:
        if column == "slope":
            return "" if item.slope is None else _slope_text(item.slope)
        return super().text(item, column)

    def summary(self, view: View) -> Summary:
        table = view.value(POD_USAGE)
        if table is None:
            return Summary("")
        return Summary(f"{sum(u.memory for u in table.by_memory) / 2**30:.1f} GiB in all")


def _slope_text(per_second: float | None) -> str:
    """MiB per minute.

    >>> _slope_text(None), _slope_text(0.0), _slope_text(367001.6), _slope_text(-20000.0)
    ('…', '', '+21', '-1.1')
    """
    if per_second is None:
        return "…"
    per_minute = per_second * 60 / quantity.MEBI
    if abs(per_minute) < _QUIET_SLOPE:
        return ""
    return f"{per_minute:+.0f}" if abs(per_minute) >= 10 else f"{per_minute:+.1f}"


def _full_cell(row: PodRow | None, usage: Usage, slope: float | None) -> Cell:
    """Time until the limit, when memory keeps growing."""
    if row is None or usage.parts or not usage.growing:
        return Cell("")
    left = time_to_limit(usage.memory, row.memory_limit, slope)
    if left is None or left > _FAR:
        return Cell("")
    return Cell(coarse_age(left), Tone.CRIT if left < _SOON else Tone.WARN if left < _LATER else Tone.NORMAL)
