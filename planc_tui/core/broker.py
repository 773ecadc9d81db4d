"""RabbitMQ's queues: how deep, how fast, and whether they will ever be empty.

Invariant: a number the broker did not give is None, never 0; "drains in" is only said of a queue whose
depth was seen to fall.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Protocol

from msgspec import Struct

from planc_tui.core.steps import Steps

TREND_POINTS = 24
SLOPE_WINDOW = 60.0  # seconds of samples that decide whether a queue grows or drains
STEADY = 0.02  # messages per second: a slope below this is no movement


class QueueStat(Struct, frozen=True):
    """A queue as the broker reports it. Rates are messages per second. Over AMQP only ready and consumers
    are known.

    in_rate: published; out_rate: delivered or fetched. missing: the playbook names it, the broker has none.
    error: why the broker would not say.
    """

    name: str
    vhost: str = "/"
    ready: int | None = None
    unacked: int | None = None
    consumers: int | None = None
    in_rate: float | None = None
    out_rate: float | None = None
    state: str = ""
    kind: str = ""
    missing: bool = False
    error: str = ""

    @property
    def uid(self) -> str:
        """Identity within a broker."""
        return f"{self.vhost}/{self.name}"

    @property
    def depth(self) -> int | None:
        """Messages in the queue: ready, and those delivered but not yet acknowledged when that is known."""
        return None if self.ready is None else self.ready + (self.unacked or 0)


class Drain(Enum):
    """Where a queue is heading."""

    UNKNOWN = "?"
    EMPTY = "empty"
    DRAINING = "draining"
    STEADY = "steady"
    GROWING = "growing"
    NO_CONSUMERS = "no consumers"


class QueueRow(Struct, frozen=True):
    """A queue with its history. trend: depths, oldest first. slope: messages per second, from the depths
    seen.

    seconds: time to drain at that slope, when it drains.
    """

    stat: QueueStat
    trend: tuple[int, ...] = ()
    slope: float | None = None
    drain: Drain = Drain.UNKNOWN
    seconds: float | None = None

    @property
    def never(self) -> bool:
        """It holds messages and will not be empty unless something changes."""
        return self.drain in (Drain.NO_CONSUMERS, Drain.GROWING, Drain.STEADY)


class BrokerReport(Struct, frozen=True):
    """One answer of a broker. complete: every queue is in it, not only those the playbook names.

    note: what could not be had (such as the management API), for the pane. alarms: why the broker blocks publishers,
    None when it was not asked."""

    queues: tuple[QueueStat, ...]
    complete: bool
    note: str = ""
    alarms: tuple[str, ...] | None = None


class BrokerStatus(Struct, frozen=True):
    """The queues with their histories. blocked: whether an alarm stops publishers, None when nobody knows."""

    rows: tuple[QueueRow, ...]
    complete: bool
    note: str = ""
    alarms: tuple[str, ...] = ()
    blocked: bool | None = None


def slope(samples: Sequence[tuple[float, float]]) -> float | None:
    """Least-squares slope of (seconds, value) samples, in values per second; None for fewer than two moments.

    >>> slope([(0.0, 10.0), (5.0, 20.0), (10.0, 30.0)])
    2.0
    >>> slope([(0.0, 1.0)]) is None
    True
    """
    if len(samples) < 2:
        return None
    mean_t = sum(t for t, _ in samples) / len(samples)
    mean_v = sum(v for _, v in samples) / len(samples)
    spread = sum((t - mean_t) ** 2 for t, _ in samples)
    if spread <= 0.0:
        return None
    return sum((t - mean_t) * (v - mean_v) for t, v in samples) / spread


def heading(stat: QueueStat, rate: float | None) -> tuple[Drain, float | None]:
    """Where a queue is heading, and in how many seconds it is empty when it drains.

    rate: change of the depth in messages per second, None when it is not known yet.

    >>> heading(QueueStat("q", ready=100, consumers=2), -4.0)
    (<Drain.DRAINING: 'draining'>, 25.0)
    >>> heading(QueueStat("q", ready=100, consumers=0), -4.0)[0]
    <Drain.NO_CONSUMERS: 'no consumers'>
    """
    depth = stat.depth
    if depth is None:
        return Drain.UNKNOWN, None
    if depth == 0:
        return Drain.EMPTY, None
    if stat.consumers == 0:
        return Drain.NO_CONSUMERS, None
    if rate is None:
        return Drain.UNKNOWN, None
    if rate > STEADY:
        return Drain.GROWING, None
    if rate < -STEADY:
        return Drain.DRAINING, depth / -rate
    return Drain.STEADY, None


class QueueHistory:
    """Depths of every queue over time. A queue that goes is forgotten; one that comes back starts anew."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[tuple[float, int]]] = {}

    def feed(self, now: float, stats: Iterable[QueueStat]) -> tuple[QueueRow, ...]:
        """Take in one report at monotonic time `now`; returns its rows in the given order."""
        kept: dict[str, deque[tuple[float, int]]] = {}
        rows = []
        for stat in stats:
            samples = self._samples.get(stat.uid) or deque(maxlen=TREND_POINTS)
            if stat.depth is not None:
                samples.append((now, stat.depth))
                kept[stat.uid] = samples
            rows.append(self._row(stat, samples, now))
        self._samples = kept
        return tuple(rows)

    @staticmethod
    def _row(stat: QueueStat, samples: deque[tuple[float, int]], now: float) -> QueueRow:
        recent = [(moment, float(depth)) for moment, depth in samples if moment >= now - SLOPE_WINDOW]
        rate = slope(recent)
        drain, seconds = heading(stat, rate)
        return QueueRow(stat, tuple(depth for _, depth in samples), rate, drain, seconds)


class BrokerPort(Protocol):
    """RabbitMQ, read only."""

    def queues(self) -> Steps[BrokerReport]:
        """The queues now. Raises PortError when no way to the broker works."""
        ...

    def close(self) -> None:
        """Drop the connections; the next look opens them again."""
        ...
