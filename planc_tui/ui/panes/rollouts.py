"""Pane 10: rollouts of Deployments, StatefulSets and DaemonSets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from planc_tui.core.age import age_since, utc
from planc_tui.core.cluster.rollouts import RolloutRow
from planc_tui.core.cluster.topics import DAEMONSETS, DEPLOYMENTS, STATEFULSETS
from planc_tui.core.store import Topic
from planc_tui.core.table import Cell, Column, Target, Tone
from planc_tui.core.text import clean
from planc_tui.ui.panes.base import Pane, Summary, View
from planc_tui.ui.panes.kube_cells import aside, glyph, name_text

_HASH = 5  # characters of the hash that stands for the revision of a StatefulSet
_KINDS = {"Deployment": "deploy", "StatefulSet": "sts", "DaemonSet": "ds"}
_ORDER = {Tone.CRIT: 0, Tone.WARN: 1, Tone.OK: 2, Tone.DIM: 3}


class RolloutsPane(Pane[RolloutRow]):
    """Wanted, updated and ready pods, revision and image; stuck rollouts first."""

    id = "rollouts"
    title = "Rollouts"
    number = "0"
    kinds = ("Deployment", "StatefulSet", "DaemonSet")
    aliases = ("rollout", "rollouts", "deploy", "deployment", "deployments", "sts", "ds")
    topics: ClassVar[tuple[Topic[Any], ...]] = (DEPLOYMENTS, STATEFULSETS, DAEMONSETS)
    columns = (
        Column("glyph", "", 1),
        Column("kind", "KIND", 6, priority=5),
        Column("name", "NAME", 14, flex=3),
        Column("ready", "READY", 5, right=True),
        Column("updated", "UPD", 5, right=True, priority=4),
        Column("revision", "REV", 5, right=True, priority=2),
        Column("image", "IMAGE", 10, flex=1, priority=3),
        Column("changed", "AGE", 4, right=True, priority=1),
        Column("state", "", 10, flex=4, priority=1),
    )
    sort_keys: ClassVar[Mapping[str, str]] = {"N": "name", "R": "ready", "A": "changed", "S": "state"}

    def items(self, view: View) -> Sequence[RolloutRow]:
        rows = [row for topic in (DEPLOYMENTS, STATEFULSETS, DAEMONSETS) for row in view.value(topic) or ()]
        return sorted(rows, key=_order)

    def identity(self, item: RolloutRow) -> str:
        return item.uid

    def cells(self, item: RolloutRow, view: View) -> Sequence[Cell]:
        tone = _tone(item)
        loud = tone if tone in (Tone.CRIT, Tone.WARN) else Tone.NORMAL
        return (
            glyph(tone),
            Cell(_KINDS[item.kind], Tone.DIM),
            Cell(clean(name_text(item.namespace, item.name, view))),
            Cell(f"{item.ready}/{item.desired}", loud if item.ready < item.desired else Tone.NORMAL),
            Cell(f"{item.updated}/{item.desired}", Tone.ACCENT if item.updated < item.desired else Tone.DIM),
            Cell(clean(item.revision)[:_HASH], Tone.DIM),
            Cell(clean(_images(item)), Tone.DIM),
            Cell(age_since(item.changed, view.now), Tone.DIM),
            Cell(clean(_state(item)), loud),
        )

    def summary(self, view: View) -> Summary:
        listings = [view.value(topic) for topic in (DEPLOYMENTS, STATEFULSETS, DAEMONSETS)]
        if all(listing is None for listing in listings):
            return Summary("")
        rows = [row for listing in listings for row in listing or ()]
        stuck = sum(1 for row in rows if row.stuck)
        going = sum(1 for row in rows if not row.done and not row.stuck)
        words = [f"{stuck} stuck"] if stuck else []
        words += [f"{going} in progress"] if going else []
        text = " · ".join(words) or f"{len(rows)} done"
        tone = Tone.CRIT if stuck else Tone.WARN if going else Tone.OK
        return Summary(text + aside(view, STATEFULSETS, DAEMONSETS), tone)

    def target(self, item: RolloutRow, view: View) -> Target | None:
        return Target(item.kind, item.name, item.namespace, item.uid, view.context)

    def tone(self, item: RolloutRow) -> Tone:
        tone = _tone(item)
        return Tone.NORMAL if tone is Tone.OK else tone

    def sort_value(self, item: RolloutRow, column: str) -> Any:
        if column == "ready":
            return item.ready - item.desired
        if column == "updated":
            return item.updated - item.desired
        return item.changed if column == "changed" else self.text(item, column)

    def text(self, item: RolloutRow, column: str) -> str:
        made = {
            "kind": lambda: item.kind,
            "name": lambda: item.name,
            "ready": lambda: f"{item.ready}/{item.desired}",
            "updated": lambda: f"{item.updated}/{item.desired}",
            "revision": lambda: item.revision,
            "image": lambda: ", ".join(item.images),
            "changed": lambda: utc(item.changed),
            "state": lambda: _state(item),
        }.get(column)
        return made() if made else ""

    def labels(self, item: RolloutRow) -> Mapping[str, str]:
        return item.labels

    def empty(self, view: View) -> str:
        return "no deployments, statefulsets or daemonsets"


def _tone(row: RolloutRow) -> Tone:
    if row.stuck or (row.desired > 0 and row.available == 0 and row.progress):
        return Tone.CRIT
    if row.progress or row.paused or row.unavailable:
        return Tone.WARN
    return Tone.OK if row.desired else Tone.DIM


def _order(row: RolloutRow) -> int:
    return _ORDER[_tone(row)]


def _images(row: RolloutRow) -> str:
    """Images without the registry's name."""
    return ", ".join(image.rpartition("/")[2] for image in row.images)


def _state(row: RolloutRow) -> str:
    if row.stuck:
        return f"STUCK {row.problem}"
    if row.paused:
        return f"paused, {row.progress}" if row.progress else "paused"
    if not row.progress and row.unavailable:
        return f"{row.unavailable} unavailable"
    return row.progress or ("" if row.desired else "scaled to 0")
