"""What pods and nodes use, as metrics-server measured it, with a short history.

Invariant: a sample counts once, by metrics-server's own time; a trend is told only from four samples or more, and a pod
that was not measured has no usage, which is not the same as using nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter, gt, mul
from struct import Struct

import msgspec

from planc_tui.core import quantity
from planc_tui.core.cluster import wire
from planc_tui.core.cluster.pods import PodRow
from planc_tui.core.cluster.wire import epoch

KEPT = 40
FEWEST_FOR_TREND = 4
# Epoch seconds, nanocores, bytes: thousands of pods have a history, so each sample takes twelve bytes.
_SAMPLE = Struct("<Iff")
_UNPACK = tuple(Struct("<" + "Iff" * count) for count in range(KEPT + 1))


class Usage(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What one pod or node uses. cpu: nanocores; memory: bytes; at: epoch seconds of the measurement.
    parts: the same for each container, only when there are several. history: see `samples`.
    slope: of memory, bytes per second, None from fewer than four samples; growing: whether it grew in most steps."""

    namespace: str
    name: str
    cpu: int
    memory: int
    at: float
    parts: tuple[tuple[str, int, int], ...] = ()
    history: bytes = b""
    slope: float | None = None
    growing: bool = False

    def __post_init__(self) -> None:
        # Worked out once per measurement: rules and panes ask for it much more often.
        pace, growing = memory_trend(self.history)
        msgspec.structs.force_setattr(self, "slope", pace)
        msgspec.structs.force_setattr(self, "growing", growing)


class Sample(msgspec.Struct, frozen=True):
    """One measurement of the history. cpu: nanocores, memory: bytes."""

    at: float
    cpu: float
    memory: float


class UsageTable(msgspec.Struct, frozen=True):
    """Usage by (namespace, name), and in the order of who uses most. cpu: nanocores of all together."""

    by_name: Mapping[tuple[str, str], Usage] = msgspec.field(default_factory=dict)
    by_cpu: tuple[Usage, ...] = ()
    by_memory: tuple[Usage, ...] = ()
    cpu: int = 0

    def of(self, row: PodRow) -> Usage | None:
        """Usage of a pod; None when it was not measured."""
        found = self.by_name.get((row.namespace, row.name))
        return None if found is None or not belongs(found, row) else found


def usage_table(by_name: Mapping[tuple[str, str], Usage]) -> UsageTable:
    """A table with its orders made. Who shows the same number stands by name: a billionth of a core moves no row."""
    everyone = sorted(by_name.values(), key=attrgetter("namespace", "name"))
    return UsageTable(
        by_name,
        tuple(sorted(everyone, key=lambda one: -quantity.millicores(one.cpu))),
        tuple(sorted(everyone, key=lambda one: -(one.memory // quantity.MEBI))),
        sum(one.cpu for one in everyone),
    )


def belongs(usage: Usage, row: PodRow) -> bool:
    """Whether a usage is this pod's: a StatefulSet's pod keeps its name when it is replaced."""
    return usage.at >= row.created


def extended(history: bytes, at: float, cpu: int, memory: int) -> bytes:
    """The history with one more sample, at most KEPT of them; unchanged when it holds the sample's time already."""
    if history and _SAMPLE.unpack_from(history, len(history) - _SAMPLE.size)[0] >= int(at):
        return history
    return history[-(KEPT - 1) * _SAMPLE.size :] + _SAMPLE.pack(max(0, int(at)), cpu, memory)


def samples(history: bytes) -> list[Sample]:
    """The measurements of a history, oldest first."""
    return [Sample(*numbers) for numbers in _SAMPLE.iter_unpack(history)]


def memory_trend(history: bytes) -> tuple[float | None, bool]:
    """Memory's pace in bytes per second, by least squares over the history, and whether it grew in most steps: one
    jump alone is no leak. None, false from fewer than four samples; a swing below 1 MiB is no trend."""
    count = len(history) // _SAMPLE.size
    if count < FEWEST_FOR_TREND:
        return None, False
    numbers = _UNPACK[count].unpack(history)
    memory: tuple[float, ...] = numbers[2::3]
    if max(memory) - min(memory) < quantity.MEBI:
        return 0.0, False
    grown: int = sum(map(gt, memory[1:], memory))
    return slope(numbers[0::3], memory), grown * 2 > count - 1


def slope(times: Sequence[float], values: Sequence[float]) -> float | None:
    """Least-squares slope; None when the times do not differ.

    >>> slope([0, 1, 2, 3], [5, 7, 9, 11])
    2.0
    """
    count, start, base = len(times), times[0], values[0]
    # Both are taken from their first value, so that the sums stay small and exact enough.
    xs, ys = [t - start for t in times], [v - base for v in values]
    sum_x, sum_y = sum(xs), sum(ys)
    spread = count * sum(map(mul, xs, xs)) - sum_x * sum_x
    return None if spread <= 0 else (count * sum(map(mul, xs, ys)) - sum_x * sum_y) / spread


def time_to_limit(used: int, limit: int, per_second: float | None) -> float | None:
    """Seconds until memory reaches its limit at this pace; None without a limit or when it does not grow."""
    if limit <= 0 or per_second is None or per_second <= 0:
        return None
    return max(0.0, (limit - used) / per_second)


def limit_percent(row: PodRow, usage: Usage, what: str) -> int | None:
    """Per cent of the limit. what: `cpu` or `memory`. Of several containers, the one nearest to its own limit counts,
    because that one is throttled or killed; None when no container has a limit."""
    if not usage.parts:
        limit = row.cpu_limit if what == "cpu" else row.memory_limit
        return quantity.percent(_shown(usage.cpu) if what == "cpu" else usage.memory, limit)
    used = {name: (_shown(cpu) if what == "cpu" else memory) for name, cpu, memory in usage.parts}
    shares = [
        quantity.percent(used[c.name], c.cpu_limit if what == "cpu" else c.memory_limit)
        for c in row.containers
        if c.name in used
    ]
    return max((share for share in shares if share is not None), default=None)


def request_percent(row: PodRow, usage: Usage, what: str) -> int | None:
    """Per cent of what the pod requests; None when it requests nothing."""
    if what == "cpu":
        return quantity.percent(_shown(usage.cpu), row.cpu_request)
    return quantity.percent(usage.memory, row.memory_request)


def _shown(cpu: int) -> int:
    """Nanocores of the whole millicores that are shown: a share is of the number beside it."""
    return quantity.millicores(cpu) * 1_000_000


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
