"""Pane 1: pods, unhealthy first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, ClassVar

import msgspec

from planc_tui.core import quantity
from planc_tui.core.age import age_since, utc
from planc_tui.core.cluster.pods import CRITICAL, FINISHED, HEALTHY, WARNING, PodRow
from planc_tui.core.cluster.topics import POD_USAGE, PODS
from planc_tui.core.cluster.usage import Usage, limit_percent, request_percent
from planc_tui.core.store import Topic
from planc_tui.core.table import Cell, Column, Target, Tone
from planc_tui.core.text import clean
from planc_tui.ui.panes.base import Pane, Summary, View
from planc_tui.ui.panes.kube_cells import UNMEASURED, arriving, aside, glyph, live, name_text, percent_cell

_TONES = {CRITICAL: Tone.CRIT, WARNING: Tone.WARN, HEALTHY: Tone.NORMAL, FINISHED: Tone.DIM}
_RECENT = 600.0  # a restart younger than this is news


class PodItem(msgspec.Struct, frozen=True, gc=False):
    """A pod with what it uses. rank: the pod's, or WARNING when its memory is nearly used up."""

    pod: PodRow
    usage: Usage | None
    rank: int


class PodsPane(Pane[PodItem]):
    """Pods with kubectl's words and what they use."""

    id = "pods"
    title = "Pods"
    number = "1"
    kinds = ("Pod",)
    aliases = ("pod", "pods", "po")
    topics: ClassVar[tuple[Topic[Any], ...]] = (PODS, POD_USAGE)
    columns = (
        Column("glyph", "", 1),
        Column("name", "NAME", 20, flex=3),
        Column("ready", "READY", 5, right=True, priority=1),
        Column("status", "STATUS", 17, whole=True),
        Column("restarts", "RESTARTS", 9, right=True, priority=1),
        Column("age", "AGE", 4, right=True, priority=3),
        Column("node", "NODE", 10, flex=1, priority=6),
        Column("cpu", "CPU", 6, right=True, priority=4),
        Column("cpu_request", "C%R", 4, right=True, priority=8),
        Column("cpu_limit", "C%L", 4, right=True, priority=5),
        Column("memory", "MEM", 7, right=True, priority=3),
        Column("memory_request", "M%R", 4, right=True, priority=7),
        Column("memory_limit", "M%L", 4, right=True, priority=2),
    )
    sort_keys: ClassVar[Mapping[str, str]] = {
        "C": "cpu",
        "M": "memory",
        "T": "restarts",
        "R": "ready",
        "A": "age",
        "N": "name",
        "S": "status",
        "O": "node",
    }

    def items(self, view: View) -> Sequence[PodItem]:
        listing, usage = view.value(PODS), view.value(POD_USAGE)
        if listing is None:
            return ()
        if usage is None:
            made = [PodItem(row, None, row.rank) for row in listing.rows]
        else:
            bad = view.playbook.thresholds.memory_bad
            made = [_joined(row, usage.of(row), bad) for row in listing.rows]
        made.sort(key=attrgetter("rank"))
        return made

    def identity(self, item: PodItem) -> str:
        return item.pod.uid

    def cells(self, item: PodItem, view: View) -> Sequence[Cell]:
        row, tone = item.pod, self.tone(item)
        return (
            glyph(tone),
            Cell(clean(name_text(row.namespace, row.name, view))),
            Cell(f"{row.ready}/{row.total}", Tone.NORMAL if row.healthy or row.ready == row.total else tone),
            Cell(clean(row.status), Tone.NORMAL if row.healthy else tone),
            _restarts(row, view),
            Cell(age_since(row.created, view.now), Tone.DIM),
            Cell(clean(row.node), Tone.DIM),
            *_usage_cells(item, view),
        )

    def summary(self, view: View) -> Summary:
        listing = view.value(PODS)
        if listing is None:
            return Summary("")
        if (early := arriving(listing, "pods")) is not None:
            return early
        counts = [0, 0, 0, 0]
        for row in listing.rows:
            counts[row.rank] += 1
        tone = Tone.CRIT if counts[CRITICAL] else Tone.WARN if counts[WARNING] else Tone.OK
        alive = len(listing) - counts[FINISHED]
        return Summary(f"{counts[HEALTHY]:,}/{alive:,} ready{aside(view, POD_USAGE)}", tone if alive else Tone.NORMAL)

    def target(self, item: PodItem, view: View) -> Target | None:
        return Target("Pod", item.pod.name, item.pod.namespace, item.pod.uid, view.context)

    def tone(self, item: PodItem) -> Tone:
        return _TONES[item.rank]

    def sort_value(self, item: PodItem, column: str) -> Any:
        row, usage = item.pod, item.usage
        if column == "restarts":
            return row.restarts, row.last_restart
        if column == "age":
            return -row.created
        if column == "ready":
            return row.ready - row.total, row.ready
        if usage is None:
            return -1 if column in _FIGURES else self.text(item, column)
        if column in ("cpu", "memory"):
            return usage.cpu if column == "cpu" else usage.memory
        if column in _FIGURES:
            percent = _percent(row, usage, column)
            return -1 if percent is None else percent
        return self.text(item, column)

    def text(self, item: PodItem, column: str) -> str:
        row, usage = item.pod, item.usage
        if column == "name":
            return row.name
        if column == "status":
            return row.status
        if column == "ready":
            return f"{row.ready}/{row.total}"
        if column == "restarts":
            return str(row.restarts)
        if column == "node":
            return row.node
        if column == "age":
            return utc(row.created)
        if column not in _FIGURES or usage is None:
            return ""
        if column in ("cpu", "memory"):
            return quantity.cpu_text(usage.cpu) if column == "cpu" else quantity.memory_text(usage.memory)
        percent = _percent(row, usage, column)
        return "" if percent is None else f"{percent}%"

    def labels(self, item: PodItem) -> Mapping[str, str]:
        return item.pod.labels

    def empty(self, view: View) -> str:
        return f"no pods in {view.namespace}" if view.namespace else "no pods"


_FIGURES = frozenset(("cpu", "cpu_request", "cpu_limit", "memory", "memory_request", "memory_limit"))


def _joined(row: PodRow, usage: Usage | None, bad: float) -> PodItem:
    nearly_full = (
        usage is not None
        and row.rank == HEALTHY
        and usage.memory >= row.memory_limit * bad / 100
        and (limit_percent(row, usage, "memory") or 0) >= bad
    )
    return PodItem(row, usage, WARNING if nearly_full else row.rank)


def _percent(row: PodRow, usage: Usage, column: str) -> int | None:
    what, _, of = column.partition("_")
    return request_percent(row, usage, what) if of == "request" else limit_percent(row, usage, what)


def _restarts(row: PodRow, view: View) -> Cell:
    if not row.restarts:
        return Cell("0", Tone.DIM)
    if not row.last_restart:
        return Cell(str(row.restarts))
    recent = view.now - row.last_restart < _RECENT
    loud = recent and row.rank != FINISHED
    many = row.restarts >= view.playbook.thresholds.restarts_warning
    tone = (Tone.CRIT if row.rank == CRITICAL and many else Tone.WARN) if loud else Tone.NORMAL
    return Cell(f"{row.restarts} ({age_since(row.last_restart, view.now)})", tone)


def _usage_cells(item: PodItem, view: View) -> Sequence[Cell]:
    row, usage = item.pod, item.usage
    if usage is None:
        return (UNMEASURED,) * 6
    fresh, limits = live(view, POD_USAGE), view.playbook.thresholds
    plain = Tone.NORMAL if fresh else Tone.STALE
    return (
        Cell(quantity.cpu_text(usage.cpu), plain),
        percent_cell(request_percent(row, usage, "cpu"), 1e9, 1e9, fresh),
        percent_cell(limit_percent(row, usage, "cpu"), limits.cpu_warning, limits.cpu_bad, fresh),
        Cell(quantity.memory_text(usage.memory), plain),
        percent_cell(request_percent(row, usage, "memory"), 1e9, 1e9, fresh),
        percent_cell(limit_percent(row, usage, "memory"), limits.memory_warning, limits.memory_bad, fresh),
    )
