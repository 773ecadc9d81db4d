"""A poller reads on time, shares what it finds out about its system, and keeps planc within its budget."""

from __future__ import annotations

import pytest

from planc_tui.core.clock import FakeClock
from planc_tui.core.health import Health
from planc_tui.core.ports import Denied, PortError, Unreachable
from planc_tui.core.store import Store, Topic
from planc_tui.sources.base import ANSWER, LONGEST_RETRY, PATIENCE, Poller

PODS: Topic[int] = Topic("pods' usage", 16.0)
NODES: Topic[int] = Topic("nodes' usage", 16.0)


class Script:
    """A source that gives what a test sets."""

    def __init__(self, topic: Topic[int], interval: float = 10.0) -> None:
        self.topic = topic
        self.interval = interval
        self.error: PortError | None = None
        self.reads = 0
        self.closed = 0

    def read(self) -> int:
        self.reads += 1
        if self.error is not None:
            raise self.error
        return self.reads

    def close(self) -> None:
        self.closed += 1


class Rig:
    """Pods and nodes of one metrics-server."""

    def __init__(self) -> None:
        self.clock, self.store, self.full = FakeClock(monotonic=500.0), Store(), False
        self.pods, self.nodes = Script(PODS), Script(NODES, 60.0)
        self.fellow = Poller(self.nodes, self.store, self.clock)
        self.poller = Poller(self.pods, self.store, self.clock, crowded=lambda: self.full, fellows=(self.fellow,))
        self.poller.want(True)
        self.fellow.want(True)

    def health(self, topic: Topic[int]) -> Health:
        return self.store.get(topic).health(self.clock.monotonic())

    def run(self, poller: Poller[int], seconds: float) -> None:
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            left = end - self.clock.monotonic()
            self.clock.advance(min(poller.step() or left, left))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_a_need_that_goes_and_comes_back_makes_no_read_come_sooner(rig: Rig) -> None:
    assert rig.poller.step() == 10.0
    for _ in range(5):
        rig.clock.advance(1.0)
        rig.poller.want(False)
        assert rig.poller.step() is None
        rig.poller.want(True)
        assert rig.poller.step() == pytest.approx(10.0 - (rig.clock.monotonic() - 500.0))
    assert (rig.pods.reads, rig.pods.closed) == (1, 5)
    assert rig.health(PODS) is Health.LIVE
    rig.poller.kick()
    rig.poller.step()
    assert rig.pods.reads == 2


def test_reads_wait_a_little_while_planc_asks_a_lot(rig: Rig) -> None:
    rig.full = True
    rig.poller.step()
    assert rig.pods.reads == 1, "the first one never waits"
    rig.run(rig.poller, 10.0 + PATIENCE)
    assert rig.pods.reads == 1
    rig.poller.step()
    assert rig.pods.reads == 2, "and no other one waits for long"
    assert rig.health(PODS) is Health.LIVE


def test_a_source_that_slows_down_is_not_old_for_it(rig: Rig) -> None:
    rig.fellow.step()
    rig.clock.advance(60.0 + ANSWER)
    assert rig.health(NODES) is Health.LIVE
    rig.clock.advance(0.1)
    assert rig.health(NODES) is Health.STALE


def test_fellows_share_the_silence_of_their_system_and_its_return(rig: Rig) -> None:
    rig.poller.step()
    rig.fellow.step()
    rig.pods.error = Unreachable("metrics-server does not answer")
    rig.clock.advance(10.0)
    rig.poller.step()
    assert (rig.health(PODS), rig.health(NODES)) == (Health.STALE, Health.STALE)
    fault = rig.store.get(NODES).fault
    assert fault is not None
    assert fault.message == "metrics-server does not answer"
    rig.run(rig.fellow, 120.0)
    assert rig.nodes.reads == 1, "one of them knocks, not both"
    rig.pods.error = None
    rig.poller.step()
    rig.fellow.step()
    assert (rig.health(PODS), rig.health(NODES)) == (Health.LIVE, Health.LIVE)


def test_a_fellow_goes_its_own_way_when_nobody_needs_the_other_or_it_is_refused(rig: Rig) -> None:
    rig.pods.error = Unreachable("silent")
    rig.poller.step()
    rig.poller.want(False)
    rig.poller.step()
    rig.fellow.step()
    assert rig.nodes.reads == 1
    rig.poller.want(True)
    rig.pods.error = Denied("may not list pods")
    rig.poller.kick()
    rig.poller.step()
    assert rig.health(NODES) is Health.LIVE


def test_retries_are_few_and_soon_enough(rig: Rig) -> None:
    rig.pods.error = Unreachable("refused")
    rig.run(rig.poller, 30.0)
    before = rig.pods.reads
    rig.run(rig.poller, 60.0)
    assert 60 / LONGEST_RETRY - 1 <= rig.pods.reads - before <= 60 / LONGEST_RETRY + 1
