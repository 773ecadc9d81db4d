"""Whether a queue drains, from the depths that were seen."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.core.broker import (
    TREND_POINTS,
    BrokerReport,
    Drain,
    QueueHistory,
    QueueRow,
    QueueStat,
    slope,
)
from planc_tui.core.clock import FakeClock
from planc_tui.core.steps import Steps
from planc_tui.sources.queues import QueueSource
from tests.steps import complete


def last(depths: Sequence[int | None], consumers: int | None = 2, every: float = 5.0) -> QueueRow:
    """The row after these depths were seen, one after the other."""
    history = QueueHistory()
    rows: tuple[QueueRow, ...] = ()
    for number, depth in enumerate(depths):
        rows = history.feed(number * every, [QueueStat("q", ready=depth, consumers=consumers)])
    return rows[0]


@pytest.mark.parametrize(
    ("depths", "consumers", "drain", "seconds"),
    [
        ([100, 80, 60], 2, Drain.DRAINING, 15.0),
        ([60, 80, 100], 2, Drain.GROWING, None),
        ([60, 60, 60], 2, Drain.STEADY, None),
        ([100, 80, 60], 0, Drain.NO_CONSUMERS, None),
        ([100, 50, 0], 2, Drain.EMPTY, None),
        ([0, 0], 0, Drain.EMPTY, None),
        ([100], 2, Drain.UNKNOWN, None),
        ([100, 80], None, Drain.DRAINING, 20.0),
        ([100, None], 2, Drain.UNKNOWN, None),
    ],
)
def test_drain(depths: list[int | None], consumers: int | None, drain: Drain, seconds: float | None) -> None:
    row = last(depths, consumers)
    assert (row.drain, row.seconds) == (drain, pytest.approx(seconds) if seconds else None)
    assert row.never == (drain in (Drain.NO_CONSUMERS, Drain.GROWING, Drain.STEADY))


def test_a_queue_counts_what_is_delivered_but_not_acknowledged() -> None:
    history = QueueHistory()
    history.feed(0.0, [QueueStat("q", ready=100, unacked=0, consumers=1)])
    (row,) = history.feed(5.0, [QueueStat("q", ready=0, unacked=100, consumers=1)])
    assert row.drain is Drain.STEADY


def test_only_the_last_minute_decides_and_the_trend_is_bounded() -> None:
    row = last([10 * number for number in range(40)] + [390 - 20 * number for number in range(12)])
    assert row.drain is Drain.DRAINING
    assert len(row.trend) == TREND_POINTS


def test_a_queue_that_was_away_starts_anew() -> None:
    history = QueueHistory()
    history.feed(0.0, [QueueStat("q", ready=1000, consumers=1)])
    history.feed(5.0, [QueueStat("q", missing=True)])
    (row,) = history.feed(10.0, [QueueStat("q", ready=10, consumers=1)])
    assert (row.trend, row.drain) == ((10,), Drain.UNKNOWN)


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.lists(st.floats(0, 1e4), min_size=2, max_size=20, unique=True))
def test_slope_of_a_line_is_its_slope(factor: float, offset: float, moments: list[float]) -> None:
    if max(moments) - min(moments) < 1e-3:
        return
    found = slope([(moment, factor * moment + offset) for moment in moments])
    assert found == pytest.approx(factor, abs=1e-3 + abs(factor) * 1e-3)


class Script:
    """A broker that gives one report after the other."""

    def __init__(self, *reports: BrokerReport) -> None:
        self.reports = list(reports)

    def queues(self) -> Steps[BrokerReport]:
        yield
        return self.reports.pop(0)

    def close(self) -> None:
        return None


def test_source_keeps_the_trend_over_either_way_to_the_broker() -> None:
    clock = FakeClock()
    stat = QueueStat("q", ready=5, consumers=1)
    source = QueueSource(
        Script(BrokerReport((stat,), complete=True, alarms=("disk",)), BrokerReport((stat,), complete=False)), clock
    )
    first = complete(source.read())
    assert (first.blocked, first.alarms) == (True, ("disk",))
    clock.advance(10.0)
    second = complete(source.read())
    assert second.blocked is None
    assert second.rows[0].trend == (5, 5)
