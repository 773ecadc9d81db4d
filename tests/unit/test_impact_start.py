"""When the impact began: the breached objective is walked back to its first bad sample, once per miss."""

from __future__ import annotations

from planc_tui.core.clock import FakeClock
from planc_tui.core.ports import Unreachable
from planc_tui.core.slo import Sample, last_good_query
from planc_tui.playbook.model import Slo, Words
from planc_tui.sources.slo import SloSource
from tests.steps import complete

LATENCY = Slo(id="p95", name=Words(en="P95"), kind="latency", objective=100, unit="ms", query="p95")


class FakeMetrics:
    """A Prometheus with one figure."""

    def __init__(self) -> None:
        self.figure = 2.4
        self.last_good: float | None = 1_000.0
        self.broken = False
        self.walks = 0

    def query(self, promql: str) -> tuple[Sample, ...]:
        if "timestamp(" in promql:
            self.walks += 1
            if self.broken:
                raise Unreachable("gone")
            return () if self.last_good is None else (Sample({}, self.last_good),)
        return (Sample({"planc": "0"}, self.figure), Sample({}, self.figure))

    def close(self) -> None:
        """Nothing to close."""


def test_first_bad_sample_follows_the_last_good_one_and_is_asked_for_once() -> None:
    port, clock = FakeMetrics(), FakeClock()
    source = SloSource(port, [LATENCY], clock)
    for _ in range(5):
        assert complete(source.read()).slos[0].missed_since == 1_015.0
        clock.advance(300)
    assert port.walks == 1
    port.figure = 0.05
    assert complete(source.read()).slos[0].missed_since is None
    port.figure, port.last_good = 3.0, 2_000.0
    assert complete(source.read()).slos[0].missed_since == 2_015.0
    assert port.walks == 2


def test_a_walk_that_fails_is_tried_again_later_and_takes_nothing_else_away() -> None:
    port, clock = FakeMetrics(), FakeClock()
    source = SloSource(port, [LATENCY], clock)
    port.broken = True
    status = complete(source.read()).slos[0]
    assert (status.value, status.missed_since) == (2400.0, None)
    complete(source.read())
    assert port.walks == 1
    port.broken = False
    clock.advance(61)
    assert complete(source.read()).slos[0].missed_since == 1_015.0


def test_no_sample_is_unknown_and_not_now() -> None:
    port = FakeMetrics()
    port.last_good = None
    assert complete(SloSource(port, [LATENCY], FakeClock()).read()).slos[0].missed_since is None


def test_availability_is_good_above_its_target() -> None:
    slo = Slo(id="a", name=Words(en="a"), kind="availability", objective=99.9, unit="percent", query="avail[$window]")
    source = SloSource(FakeMetrics(), [slo], FakeClock())
    assert ">= 0.999)" in last_good_query(source._objectives[0])
    assert "avail[5m]" in last_good_query(source._objectives[0])
