"""The hub lets feeds read by need, and a while longer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from planc_tui.core.clock import FakeClock
from planc_tui.core.steps import Steps
from planc_tui.core.store import Store, Topic
from planc_tui.sources.base import Poller
from planc_tui.sources.hub import LINGER, Hub

A: Topic[int] = Topic("a")
B: Topic[int] = Topic("b")


class Noted:
    """A feed that notes what it is told."""

    def __init__(self, *topics: Topic[Any]) -> None:
        self.topics: Sequence[Topic[Any]] = topics
        self.name = topics[0].name
        self.wanted = False
        self.changes = 0
        self.ended = False

    def start(self) -> None: ...
    def kick(self) -> None: ...

    def want(self, wanted: bool) -> None:
        self.changes += wanted != self.wanted
        self.wanted = wanted

    def stop(self) -> None:
        self.ended = True


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(monotonic=100.0)


def test_a_feed_reads_while_anybody_needs_it_and_lingers_after_the_last(clock: FakeClock) -> None:
    a, b = Noted(A), Noted(B)
    hub = Hub([a, b], clock)
    hub.need("pane", [A])
    hub.need("rules", [A])
    assert (a.wanted, b.wanted) == (True, False)
    hub.need("pane", [])
    assert hub.step() is None, "the rules need it still"
    hub.need("rules", [])
    assert hub.step() == LINGER
    clock.advance(LINGER - 0.5)
    assert hub.step() == pytest.approx(0.5)
    assert (a.wanted, a.changes) == (True, 1)
    clock.advance(0.5)
    assert hub.step() is None
    assert (a.wanted, a.changes, b.changes) == (False, 2, 0)


def test_zooming_to_and_fro_closes_and_reopens_nothing(clock: FakeClock) -> None:
    a, b = Noted(A), Noted(B)
    hub = Hub([a, b], clock)
    for _ in range(50):
        for topic in (A, B):
            hub.need("zoomed", [topic])
            hub.step()
            clock.advance(LINGER - 1)
    assert (a.changes, b.changes) == (1, 1)


def test_the_linger_starts_anew_with_each_need(clock: FakeClock) -> None:
    a = Noted(A)
    hub = Hub([a], clock)
    for _ in range(2):
        hub.need("pane", [A])
        hub.need("pane", [])
        clock.advance(LINGER - 1)
        hub.step()
    assert a.wanted
    hub.need("another", [B])
    clock.advance(1)
    hub.step()
    assert not a.wanted


def test_the_end_waits_for_no_linger(clock: FakeClock) -> None:
    a = Noted(A)
    hub = Hub([a], clock)
    hub.need("pane", [A])
    hub.need("pane", [])
    hub.stop()
    assert a.ended


def test_what_planc_changed_is_read_again_by_who_polls_it_alone(clock: FakeClock) -> None:
    store = Store()
    reads: list[str] = []

    class Counted:
        interval, cost = 10.0, 1

        def __init__(self, topic: Topic[int]) -> None:
            self.topic = topic

        def read(self) -> Steps[int]:
            yield
            reads.append(self.topic.name)
            return 1

        def close(self) -> None: ...

    pollers = [Poller(Counted(topic), store, clock) for topic in (A, B)]
    hub = Hub([*pollers, Noted(A)], clock)
    hub.need("pane", [A, B])
    for poller in pollers:
        poller.step()
    hub.renew(A)
    for poller in pollers:
        poller.step()
    assert reads == ["a", "b", "a"]
