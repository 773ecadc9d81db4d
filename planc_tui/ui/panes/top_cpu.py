"""Pane 2: the pods that use most CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from planc_tui.core import quantity
from planc_tui.core.cluster.topics import POD_USAGE
from planc_tui.core.cluster.usage import Usage, limit_percent
from planc_tui.core.table import Cell, Column, Tone
from planc_tui.core.text import clean
from planc_tui.ui.panes.base import Summary, View
from planc_tui.ui.panes.kube_cells import UNMEASURED, name_text, percent_cell
from planc_tui.ui.panes.top import SPARK, TOP_SORT, TopPane, pod_of, spark


class TopCpuPane(TopPane):
    """CPU now, of the limit, and over the last samples."""

    id = "top_cpu"
    title = "Top CPU"
    number = "2"
    aliases = ("topcpu", "cpu")
    columns = (
        Column("name", "NAME", 11, flex=1),
        Column("cpu", "CPU", 5, right=True),
        Column("limit", "%L", 4, right=True, priority=1),
        Column("trend", "", SPARK, priority=2),
    )
    sort_keys: ClassVar[Mapping[str, str]] = TOP_SORT

    def items(self, view: View) -> Sequence[Usage]:
        table = view.value(POD_USAGE)
        return () if table is None else table.by_cpu

    def cells(self, item: Usage, view: View) -> Sequence[Cell]:
        row = pod_of(item, view)
        limits = view.playbook.thresholds
        share = limit_percent(row, item, "cpu") if row is not None else None
        return (
            Cell(clean(name_text(item.namespace, item.name, view)), Tone.NORMAL if row is not None else Tone.DIM),
            Cell(quantity.cpu_text(item.cpu)),
            UNMEASURED if row is None else percent_cell(share, limits.cpu_warning, limits.cpu_bad, True),
            Cell(spark(item.history, "cpu"), Tone.DIM),
        )

    def summary(self, view: View) -> Summary:
        table = view.value(POD_USAGE)
        return Summary("" if table is None else f"{_cores(table.cpu)} in all")


def _cores(nanocores: int) -> str:
    """
    >>> _cores(250_000_000), _cores(2_340_000_000), _cores(12_340_000_000)
    ('250m', '2.3 cores', '12 cores')
    """
    if nanocores < quantity.NANO:
        return quantity.cpu_text(nanocores)
    cores = nanocores / quantity.NANO
    return f"{cores:.0f} cores" if cores >= 10 else f"{cores:.1f} cores"
