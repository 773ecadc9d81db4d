"""What pods and nodes use, as metrics-server measured it, with a short history.

Invariant: a sample counts once, by metrics-server's own time; a trend is told only from four samples or more, and a pod
that was not measured has no usage, which is not the same as using nothing.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter

import msgspec

from planc_tui.core import quantity
from planc_tui.core.cluster import wire
from planc_tui.core.cluster.pods import PodRow
from planc_tui.core.cluster.wire import epoch

KEPT = 40
FEWEST_FOR_TREND = 4
_FIELDS = 3  # time, nanocores, bytes
_CELL = array("d").itemsize


class Usage(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What one pod or node uses. cpu: nanocores; memory: bytes; at: epoch seconds of the measurement.
    parts: the same for each container, only when there are several. history: see `samples`."""

    namespace: str
    name: str
    cpu: int
    memory: int
    at: float
    parts: tuple[tuple[str, int, int], ...] = ()
    history: bytes = b""


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of the history. cpu: nanocores, memory: bytes."""

    at: float
    cpu: float
    memory: float


@dataclass(frozen=True, slots=True)
class UsageTable:
    """Usage by (namespace, name), and in the order of who uses most."""

    by_name: Mapping[tuple[str, str], Usage] = field(default_factory=dict)
    by_cpu: tuple[Usage, ...] = ()
    by_memory: tuple[Usage, ...] = ()

    def of(self, row: PodRow) -> Usage | None:
        """Usage of a pod; None when it was not measured."""
        found = self.by_name.get((row.namespace, row.name))
        return None if found is None or not belongs(found, row) else found


def usage_table(by_name: Mapping[tuple[str, str], Usage]) -> UsageTable:
    """A table with its orders made."""
    everyone = by_name.values()
    return UsageTable(
        by_name,
        tuple(sorted(everyone, key=attrgetter("cpu"), reverse=True)),
        tuple(sorted(everyone, key=attrgetter("memory"), reverse=True)),
    )


def belongs(usage: Usage, row: PodRow) -> bool:
    """Whether a usage is this pod's: a StatefulSet's pod keeps its name when it is replaced."""
    return usage.at >= row.created


def extended(history: bytes, at: float, cpu: int, memory: int) -> bytes:
    """The history with one more sample, at most KEPT of them; unchanged when it holds the sample's time already."""
    if history and array("d", history[-_FIELDS * _CELL :])[0] >= at:
        return history
    return history[-(KEPT - 1) * _FIELDS * _CELL :] + array("d", (at, cpu, memory)).tobytes()


def samples(history: bytes) -> list[Sample]:
    """The measurements of a history, oldest first."""
    numbers = array("d", history)
    return [Sample(*numbers[i : i + _FIELDS]) for i in range(0, len(numbers), _FIELDS)]


def memory_slope(history: bytes) -> float | None:
    """Bytes per second by least squares over the history; None from fewer than four samples."""
    taken = samples(history)
    if len(taken) < FEWEST_FOR_TREND:
        return None
    return slope([s.at for s in taken], [s.memory for s in taken])


def slope(times: Sequence[float], values: Sequence[float]) -> float | None:
    """Least-squares slope; None when the times do not differ.

    >>> slope([0, 1, 2, 3], [5, 7, 9, 11])
    2.0
    """
    middle = math.fsum(times) / len(times)
    mean = math.fsum(values) / len(values)
    spread = math.fsum((t - middle) ** 2 for t in times)
    if spread <= 0:
        return None
    return math.fsum((t - middle) * (v - mean) for t, v in zip(times, values, strict=True)) / spread


def time_to_limit(used: int, limit: int, per_second: float | None) -> float | None:
    """Seconds until memory reaches its limit at this pace; None without a limit or when it does not grow."""
    if limit <= 0 or per_second is None or per_second <= 0:
        return None
    return max(0.0, (limit - used) / per_second)


def rising(history: bytes) -> bool:
    """Whether memory grew in most steps of the history: one jump alone is no leak."""
    taken = samples(history)
    if len(taken) < FEWEST_FOR_TREND:
        return False
    grown = sum(1 for a, b in pairwise(taken) if b.memory > a.memory)
    return grown * 2 > len(taken) - 1


def limit_percent(row: PodRow, usage: Usage, what: str) -> int | None:
    """Per cent of the limit. what: `cpu` or `memory`. Of several containers, the one nearest to its own limit counts,
    because that one is throttled or killed; None when no container has a limit."""
    if not usage.parts:
        limit = row.cpu_limit if what == "cpu" else row.memory_limit
        return quantity.percent(usage.cpu if what == "cpu" else usage.memory, limit)
    used = {name: (cpu if what == "cpu" else memory) for name, cpu, memory in usage.parts}
    shares = [
        quantity.percent(used[c.name], c.cpu_limit if what == "cpu" else c.memory_limit)
        for c in row.containers
        if c.name in used
    ]
    return max((share for share in shares if share is not None), default=None)


def request_percent(row: PodRow, usage: Usage, what: str) -> int | None:
    """Per cent of what the pod requests; None when it requests nothing."""
    if what == "cpu":
        return quantity.percent(usage.cpu, row.cpu_request)
    return quantity.percent(usage.memory, row.memory_request)


def pod_usage(metrics: wire.PodMetrics, before: Usage | None) -> Usage:
    """Usage of one pod, continuing the history of the reading before. Raises ValueError for a bad quantity."""
    cpu = memory = 0
    parts = []
    for container in metrics.containers or ():
        used = (
            quantity.usage_nano(container.usage.cpu or "0"),
            quantity.usage_bytes(container.usage.memory or "0"),
        )
        cpu += used[0]
        memory += used[1]
        parts.append((container.name, *used))
    return _continued(metrics.metadata, epoch(metrics.timestamp), cpu, memory, tuple(parts), before)


def node_usage(metrics: wire.NodeMetrics, before: Usage | None) -> Usage:
    """Usage of one node. Raises ValueError for a bad quantity."""
    cpu = quantity.usage_nano(metrics.usage.cpu or "0")
    memory = quantity.usage_bytes(metrics.usage.memory or "0")
    return _continued(metrics.metadata, epoch(metrics.timestamp), cpu, memory, (), before)


def _continued(
    meta: wire.Meta, at: float, cpu: int, memory: int, parts: tuple[tuple[str, int, int], ...], before: Usage | None
) -> Usage:
    return Usage(
        namespace=meta.namespace,
        name=meta.name,
        cpu=cpu,
        memory=memory,
        at=at,
        parts=parts if len(parts) > 1 else (),
        history=extended(before.history if before else b"", at, cpu, memory),
    )
