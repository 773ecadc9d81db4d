"""Pane 11: nodes, and what they use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from planc_tui.core import quantity
from planc_tui.core.age import age_since, utc
from planc_tui.core.cluster.nodes import NodeRow
from planc_tui.core.cluster.topics import NODE_USAGE, NODES
from planc_tui.core.cluster.usage import Usage
from planc_tui.core.store import Topic
from planc_tui.core.table import Cell, Column, Target, Tone
from planc_tui.core.text import clean
from planc_tui.ui.panes.base import Pane, Summary, View
from planc_tui.ui.panes.kube_cells import UNMEASURED, arriving, aside, glyph, live, percent_cell

_ORDER = {Tone.CRIT: 0, Tone.WARN: 1, Tone.OK: 2}


class NodeItem(msgspec.Struct, frozen=True, gc=False):
    """A node with what it uses."""

    node: NodeRow
    usage: Usage | None


class NodesPane(Pane[NodeItem]):
    """Ready, pressures, cordoned, usage of what is allocatable."""

    id = "nodes"
    title = "Nodes"
    kinds = ("Node",)
    aliases = ("node", "nodes", "no")
    topics: ClassVar[tuple[Topic[Any], ...]] = (NODES, NODE_USAGE)
    columns = (
        Column("glyph", "", 1),
        Column("name", "NAME", 12, flex=2),
        Column("status", "STATUS", 14, flex=3),
        Column("cpu", "CPU", 7, right=True, priority=2),
        Column("cpu_percent", "CPU%", 4, right=True, priority=1),
        Column("memory", "MEM", 8, right=True, priority=2),
        Column("memory_percent", "MEM%", 4, right=True, priority=1),
        Column("roles", "ROLES", 10, flex=1, priority=5),
        Column("version", "VERSION", 8, priority=4),
        Column("age", "AGE", 4, right=True, priority=3),
    )
    sort_keys: ClassVar[Mapping[str, str]] = {"N": "name", "S": "status", "C": "cpu", "M": "memory", "A": "age"}

    def items(self, view: View) -> Sequence[NodeItem]:
        listing, usage = view.value(NODES), view.value(NODE_USAGE)
        by_name = {} if usage is None else usage.by_name
        return sorted((NodeItem(row, by_name.get(("", row.name))) for row in listing or ()), key=_order)

    def identity(self, item: NodeItem) -> str:
        return item.node.uid

    def cells(self, item: NodeItem, view: View) -> Sequence[Cell]:
        row, usage, tone = item.node, item.usage, _tone(item.node)
        loud = tone if tone in (Tone.CRIT, Tone.WARN) else Tone.NORMAL
        fresh, limits = live(view, NODE_USAGE), view.playbook.thresholds
        plain = Tone.NORMAL if fresh else Tone.STALE
        cpu, memory = _percents(item)
        return (
            glyph(tone),
            Cell(clean(row.name)),
            Cell(clean(_status(row)), loud),
            Cell(quantity.cpu_text(usage.cpu), plain) if usage else UNMEASURED,
            percent_cell(cpu, limits.cpu_warning, limits.cpu_bad, fresh),
            Cell(quantity.memory_text(usage.memory), plain) if usage else UNMEASURED,
            percent_cell(memory, limits.memory_warning, limits.memory_bad, fresh),
            Cell(clean(",".join(row.roles)), Tone.DIM),
            Cell(clean(row.version), Tone.DIM),
            Cell(age_since(row.created, view.now), Tone.DIM),
        )

    def summary(self, view: View) -> Summary:
        listing = view.value(NODES)
        if listing is None:
            return Summary("")
        if (early := arriving(listing, "nodes")) is not None:
            return early
        ready = sum(1 for row in listing.rows if row.ready)
        cordoned = sum(1 for row in listing.rows if row.cordoned)
        worst = min((_ORDER[_tone(row)] for row in listing.rows), default=2)
        text = f"{ready}/{len(listing)} ready" + (f" · {cordoned} cordoned" if cordoned else "")
        return Summary(text + aside(view, NODE_USAGE), (Tone.CRIT, Tone.WARN, Tone.OK)[worst])

    def target(self, item: NodeItem, view: View) -> Target | None:
        return Target("Node", item.node.name, "", item.node.uid, view.context)

    def tone(self, item: NodeItem) -> Tone:
        tone = _tone(item.node)
        return Tone.NORMAL if tone is Tone.OK else tone

    def sort_value(self, item: NodeItem, column: str) -> Any:
        usage = item.usage
        if column in ("cpu", "memory"):
            return -1 if usage is None else usage.cpu if column == "cpu" else usage.memory
        if column in ("cpu_percent", "memory_percent"):
            percent = _percents(item)[column == "memory_percent"]
            return -1 if percent is None else percent
        return -item.node.created if column == "age" else self.text(item, column)

    def text(self, item: NodeItem, column: str) -> str:
        row, usage = item.node, item.usage
        plain = {"name": row.name, "status": _status(row), "roles": ",".join(row.roles), "version": row.version}
        plain["age"] = utc(row.created)
        if column in plain or usage is None:
            return plain.get(column, "")
        if column in ("cpu", "memory"):
            return quantity.cpu_text(usage.cpu) if column == "cpu" else quantity.memory_text(usage.memory)
        if column in ("cpu_percent", "memory_percent"):
            percent = _percents(item)[column == "memory_percent"]
            return "" if percent is None else f"{percent}%"
        return ""

    def labels(self, item: NodeItem) -> Mapping[str, str]:
        return item.node.labels

    def empty(self, view: View) -> str:
        return "no nodes"


def _percents(item: NodeItem) -> tuple[int | None, int | None]:
    """CPU and memory used of what is allocatable."""
    row, usage = item.node, item.usage
    if usage is None:
        return None, None
    return quantity.percent(usage.cpu, row.cpu), quantity.percent(usage.memory, row.memory)


def _status(row: NodeRow) -> str:
    """kubectl's word, then whether it is closed to new pods, and what presses.

    >>> _status(NodeRow(uid="u", name="n", ready=True, pressures=("disk",), cordoned=True))
    'Ready cordoned disk pressure'
    """
    closed = ["cordoned"] if row.cordoned else []
    return " ".join([row.status.partition(",")[0], *closed, *(f"{what} pressure" for what in row.pressures)])


def _tone(row: NodeRow) -> Tone:
    if not row.ready:
        return Tone.CRIT
    return Tone.WARN if row.pressures or row.cordoned else Tone.OK


def _order(item: NodeItem) -> int:
    return _ORDER[_tone(item.node)]
