"""Pane 4: horizontal pod autoscalers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from planc_tui.core.age import age_since
from planc_tui.core.cluster.hpa import HpaRow, targets_text
from planc_tui.core.cluster.topics import HPAS
from planc_tui.core.store import Topic
from planc_tui.core.table import Cell, Column, Target, Tone
from planc_tui.core.text import clean
from planc_tui.ui.panes.base import Pane, Summary, View
from planc_tui.ui.panes.kube_cells import arriving, glyph, name_text

_ORDER = {Tone.CRIT: 0, Tone.WARN: 1, Tone.UNKNOWN: 2, Tone.OK: 3}


class HpaPane(Pane[HpaRow]):
    """Current and target of every metric, bounds and replicas; at max and unable to scale stand out."""

    id = "hpa"
    title = "HPA"
    number = "4"
    kinds = ("HorizontalPodAutoscaler",)
    aliases = ("hpa", "hpas", "autoscaler")
    topics: ClassVar[tuple[Topic[Any], ...]] = (HPAS,)
    columns = (
        Column("glyph", "", 1),
        Column("name", "NAME", 12, flex=2),
        Column("targets", "TARGETS", 13, flex=2),
        Column("bounds", "MIN‥MAX", 7, right=True, priority=2),
        Column("replicas", "REPLICAS", 8, right=True),
        Column("state", "", 8, flex=1, priority=1),
    )
    sort_keys: ClassVar[Mapping[str, str]] = {"N": "name", "R": "replicas", "S": "state"}

    def items(self, view: View) -> Sequence[HpaRow]:
        listing = view.value(HPAS)
        return () if listing is None else sorted(listing.rows, key=_order)

    def identity(self, item: HpaRow) -> str:
        return item.uid

    def cells(self, item: HpaRow, view: View) -> Sequence[Cell]:
        tone = _tone(item)
        changing = item.desired != item.current
        replicas = f"{item.current}›{item.desired}" if changing else f"{item.current} of {item.maximum}"
        return (
            glyph(tone),
            Cell(clean(name_text(item.namespace, item.name, view))),
            Cell(clean(_targets(item))),
            Cell(_bounds(item), Tone.DIM),
            Cell(replicas, Tone.ACCENT if changing else tone if item.at_max else Tone.NORMAL),
            Cell(clean(_state(item)), tone if tone in (Tone.CRIT, Tone.WARN) else Tone.DIM),
        )

    def summary(self, view: View) -> Summary:
        listing = view.value(HPAS)
        if listing is None:
            return Summary("")
        if (early := arriving(listing, "autoscalers")) is not None:
            return early
        unable = sum(1 for row in listing.rows if row.unable)
        full = sum(1 for row in listing.rows if row.at_max)
        words = [f"{unable} unable to scale"] if unable else []
        words += [f"{full} at max"] if full else []
        return Summary(" · ".join(words), Tone.CRIT if unable else Tone.WARN if full else Tone.OK)

    def target(self, item: HpaRow, view: View) -> Target | None:
        return Target("HorizontalPodAutoscaler", item.name, item.namespace, item.uid, view.context)

    def tone(self, item: HpaRow) -> Tone:
        tone = _tone(item)
        return Tone.NORMAL if tone is Tone.OK else tone

    def sort_value(self, item: HpaRow, column: str) -> Any:
        return item.current if column == "replicas" else self.text(item, column)

    def text(self, item: HpaRow, column: str) -> str:
        made = {
            "name": lambda: item.name,
            "targets": lambda: _targets(item),
            "bounds": lambda: _bounds(item),
            "replicas": lambda: str(item.current),
            "state": lambda: _state(item),
        }.get(column)
        return made() if made else ""

    def detail(self, item: HpaRow, view: View) -> tuple[str, ...]:
        lines = [
            f"scales {item.target_kind}/{item.target_name}: {item.current} replicas, {item.desired} wanted,"
            f" {_bounds(item)} allowed",
            f"kubectl shows {targets_text(item.metrics)}",
            *(f"metric {metric}" for metric in item.metrics),
            f"last scaled {age_since(item.scaled_at, view.now)} ago" if item.scaled_at else "never scaled",
        ]
        if item.limited:
            more = ": its metrics ask for more than the maximum" if item.wants_more else ""
            lines.append(f"limited by {item.limited}{more}")
        if item.problem:
            lines.append(item.problem)
        return tuple(clean(line) for line in lines)

    def empty(self, view: View) -> str:
        return "no autoscalers"


def _tone(row: HpaRow) -> Tone:
    if row.unable:
        return Tone.CRIT
    if row.at_max:
        return Tone.WARN
    return Tone.UNKNOWN if row.able is None else Tone.OK


def _order(row: HpaRow) -> int:
    return _ORDER[_tone(row)]


def _targets(row: HpaRow) -> str:
    """`cpu 70%/60%`: kubectl's words without its colon, all metrics."""
    return ", ".join(text.replace(": ", " ", 1) for text in row.metrics) or "no metric"


def _bounds(row: HpaRow) -> str:
    return f"{1 if row.minimum is None else row.minimum}‥{row.maximum}"


def _state(row: HpaRow) -> str:
    if row.unable:
        return f"UNABLE {row.problem.partition(':')[0]}"
    if row.limited == "ScalingDisabled":
        return "disabled, scaled to 0"
    if row.at_max:
        return "AT MAX"
    return "no answer yet" if row.able is None else ""
