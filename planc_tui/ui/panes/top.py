"""What the two panes of the greediest pods share.

Invariant: usage without the pod it was measured on can be seen but not acted on.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from planc_tui.core import quantity
from planc_tui.core.cluster.listing import find
from planc_tui.core.cluster.pods import PodRow
from planc_tui.core.cluster.topics import POD_USAGE, PODS
from planc_tui.core.cluster.usage import Usage, belongs, samples
from planc_tui.core.store import Topic
from planc_tui.core.table import Target
from planc_tui.core.text import sparkline
from planc_tui.ui.panes.base import Pane, View

SPARK = 6
TOP_SORT: Mapping[str, str] = {"C": "cpu", "M": "memory", "N": "name"}


@lru_cache(maxsize=256)
def spark(history: bytes, what: str) -> str:
    """The last samples as bars. what: `cpu` or `memory`."""
    taken = samples(history)
    return sparkline([sample.cpu if what == "cpu" else sample.memory for sample in taken], SPARK)


def pod_of(usage: Usage, view: View) -> PodRow | None:
    """The pod that a usage belongs to; None when it has gone or was replaced."""
    row = find(view.value(PODS), usage.namespace, usage.name)
    return row if row is not None and belongs(usage, row) else None


class TopPane(Pane[Usage]):
    """A pane of pods by usage."""

    kinds = ("Pod",)
    topics: ClassVar[tuple[Topic[Any], ...]] = (POD_USAGE, PODS)

    def identity(self, item: Usage) -> str:
        return f"{item.namespace}/{item.name}"

    def target(self, item: Usage, view: View) -> Target | None:
        row = pod_of(item, view)
        return None if row is None else Target("Pod", row.name, row.namespace, row.uid, view.context)

    def sort_value(self, item: Usage, column: str) -> Any:
        return {"cpu": item.cpu, "memory": item.memory}.get(column, item.name)

    def text(self, item: Usage, column: str) -> str:
        if column == "cpu":
            return quantity.cpu_text(item.cpu)
        if column == "memory":
            return quantity.memory_text(item.memory)
        return item.name if column == "name" else ""

    def empty(self, view: View) -> str:
        return "metrics-server has measured no pod yet; new pods take up to a minute"
