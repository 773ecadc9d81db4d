"""A poller reads on time, shares what it finds out about its system, and keeps planc within its budget."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from planc_tui.core.allowance import BUDGET, FORESEEN, RESERVE, Allowance, Plan
from planc_tui.core.clock import FakeClock
from planc_tui.core.health import Health
from planc_tui.core.ports import Denied, PortError, Unreachable
from planc_tui.core.stats import WINDOW, RequestStats
from planc_tui.core.steps import Steps
from planc_tui.core.store import Fault, Store, Topic
from planc_tui.sources.base import (
    FIRST_RETRY,
    LEEWAY,
    LONGEST_RETRY,
    PATIENCE,
    PATIENCE_AWAY,
    RETRY_LOGIN,
    TO_ANSWER,
    Poller,
)

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
        self.on_read: Callable[[], None] = lambda: None

    def read(self) -> Steps[int]:
        yield
        self.reads += 1
        self.on_read()
        if self.error is not None:
            raise self.error
        return self.reads

    def close(self) -> None:
        self.closed += 1


class Rig:
    """Pods and nodes of one metrics-server."""

    def __init__(self) -> None:
        self.clock, self.store, self.stats = FakeClock(monotonic=500.0), Store(), RequestStats()
        self.pods, self.nodes = Script(PODS), Script(NODES, 60.0)
        self.fellow = Poller(self.nodes, self.store, self.clock)
        allowance = Allowance(self.stats, self.clock)
        self.poller = Poller(self.pods, self.store, self.clock, allowance=allowance, fellows=(self.fellow,))
        self.poller.want(True)
        self.fellow.want(True)

    def health(self, topic: Topic[int]) -> Health:
        return self.store.get(topic).health(self.clock.monotonic())

    def others_ask(self, times: int) -> None:
        """Other sources of the console send requests."""
        for _ in range(times):
            self.stats.request("other", self.clock.monotonic())

    def lose_metrics_server(self) -> None:
        """Both are read, and the next read of the pods finds no answer."""
        self.poller.step()
        self.fellow.step()
        self.pods.error = Unreachable("metrics-server does not answer")
        self.clock.advance(10.0)
        self.poller.step()

    def run(self, poller: Poller[int], seconds: float) -> None:
        end = self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            left, wait = end - self.clock.monotonic(), poller.step()
            self.clock.advance(left if wait is None else min(wait, left))


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


def test_no_read_begins_in_a_minute_that_has_no_room(rig: Rig) -> None:
    rig.others_ask(BUDGET)
    rig.poller.kick()
    rig.run(rig.poller, WINDOW)
    assert rig.pods.reads == 0
    rig.clock.advance(0.1)
    rig.poller.step()
    assert rig.pods.reads == 1


def test_asking_again_and_again_reads_what_is_fresh_seldom_and_not_at_all_while_planc_asks_a_lot(rig: Rig) -> None:
    for _ in range(30):
        rig.poller.kick()
        rig.run(rig.poller, 1.0)
    assert rig.pods.reads == 30 / FIRST_RETRY
    rig.others_ask(BUDGET - RESERVE)
    before = rig.pods.reads
    for _ in range(6):
        rig.poller.kick()
        rig.run(rig.poller, 1.0)
    assert rig.pods.reads == before


def test_a_kick_reads_what_is_in_trouble_even_while_planc_asks_a_lot(rig: Rig) -> None:
    rig.run(rig.poller, 20.0)
    rig.store.fail(PODS, Fault(Health.UNREACHABLE, "the API server was away"))
    rig.others_ask(BUDGET - RESERVE)
    before = rig.pods.reads
    rig.poller.kick()
    rig.run(rig.poller, LONGEST_RETRY)
    assert rig.pods.reads == before + 1


def test_what_planc_changed_is_read_at_once_also_while_planc_asks_a_lot(rig: Rig) -> None:
    rig.poller.step()
    rig.others_ask(BUDGET - RESERVE)
    rig.poller.renew()
    rig.poller.step()
    assert rig.pods.reads == 2
    rig.run(rig.poller, 9.0)
    assert rig.pods.reads == 2
    rig.others_ask(BUDGET)
    rig.poller.renew()
    rig.poller.step()
    assert rig.pods.reads == 2, "the budget stands above it"


def test_a_change_while_it_is_read_is_read_once_more(rig: Rig) -> None:
    rig.pods.on_read = rig.poller.renew
    rig.poller.step()
    rig.pods.on_read = lambda: None
    rig.poller.step()
    assert rig.pods.reads == 2
    assert rig.poller.step() == pytest.approx(10.0)


def test_a_change_makes_no_try_of_what_is_away_come_sooner(rig: Rig) -> None:
    rig.pods.error = Unreachable("away")
    due = rig.poller.step()
    rig.poller.renew()
    assert rig.poller.step() == pytest.approx(due)
    assert rig.pods.reads == 1


def test_reads_wait_a_little_while_planc_asks_a_lot(rig: Rig) -> None:
    rig.others_ask(BUDGET - RESERVE)
    rig.poller.step()
    assert rig.pods.reads == 1, "the first one never waits"
    rig.run(rig.poller, 10.0 + PATIENCE)
    assert rig.pods.reads == 1
    rig.poller.step()
    assert rig.pods.reads == 2
    assert rig.health(PODS) is Health.LIVE


def test_a_source_that_slows_down_is_not_old_for_it(rig: Rig) -> None:
    rig.fellow.step()
    rig.clock.advance(60.0 * LEEWAY)
    assert rig.health(NODES) is Health.LIVE
    rig.clock.advance(0.1)
    assert rig.health(NODES) is Health.STALE


def test_while_others_have_to_try_again_a_read_waits_until_it_has_to(rig: Rig) -> None:
    allowance = Allowance(rig.stats, rig.clock)
    allowance.plan("sick", Plan(rig.clock.monotonic() + 8.0, 8.0, away=True))
    poller = Poller(rig.pods, rig.store, rig.clock, allowance=allowance)
    poller.want(True)
    rig.others_ask(BUDGET - RESERVE)
    at: list[float] = []
    rig.pods.on_read = lambda: at.append(rig.clock.monotonic())
    rig.pods.interval = 4.0
    rig.run(poller, 20.0)
    assert at[1] - at[0] == pytest.approx(PODS.stale_after - TO_ANSWER), "it is still in time"
    allowance.forget("sick")
    rig.others_ask(BUDGET - RESERVE)
    rig.run(poller, 20.0)
    assert at[-1] - at[-2] == pytest.approx(4.0 + PATIENCE)


def test_where_more_systems_answer_with_errors_than_there_is_room_for_each_is_tried_less_often(rig: Rig) -> None:
    allowance = Allowance(rig.stats, rig.clock)
    rig.pods.error = Unreachable("answers 500")
    poller = Poller(rig.pods, rig.store, rig.clock, allowance=allowance)
    poller.want(True)
    at: list[float] = []
    rig.pods.on_read = lambda: at.append(rig.clock.monotonic())
    for number in range(FORESEEN):
        allowance.plan(f"sick {number}", Plan(rig.clock.monotonic(), 8.0, away=True))
    rig.run(poller, 40.0)
    assert {round(after - before, 1) for before, after in pairwise(at[1:])} == {RETRY_LOGIN + PATIENCE_AWAY}


class Slow(Script):
    """A source whose reads take two requests."""

    def read(self) -> Steps[int]:
        yield
        self.reads += 1
        yield
        self.reads += 1
        return self.reads


class Long:
    """A poller of such a source."""

    def __init__(self, rig: Rig) -> None:
        self.source = Slow(PODS)
        self.poller = Poller(self.source, rig.store, rig.clock, allowance=Allowance(rig.stats, rig.clock))
        self.poller.want(True)


def test_each_request_of_a_read_waits_for_room_and_the_value_is_as_old_as_the_first_answer(rig: Rig) -> None:
    long, first = Long(rig), rig.clock.monotonic()
    assert long.poller.step() == 0.0
    rig.others_ask(BUDGET)
    rig.run(long.poller, 12.0)
    assert (long.source.reads, rig.store.get(PODS).value) == (1, None)
    rig.clock.advance(WINDOW - 11.9)
    assert long.poller.step() == pytest.approx(0.05)  # the next turn of the source is due
    assert (long.source.reads, rig.store.get(PODS).taken_at) == (2, first)


def test_a_read_that_nobody_needs_any_more_is_left_and_begins_anew(rig: Rig) -> None:
    long = Long(rig)
    long.poller.step()
    long.poller.want(False)
    assert long.poller.step() is None
    long.poller.want(True)
    rig.run(long.poller, 9.0)
    assert rig.store.get(PODS).value == 1 + 2


def test_what_fails_on_the_way_begins_anew(rig: Rig) -> None:
    class Broken(Slow):
        def read(self) -> Steps[int]:
            steps = super().read()
            yield next(steps)
            if self.error is not None:
                raise self.error
            return (yield from steps)

    source = Broken(PODS)
    source.error = Unreachable("away")
    poller = Poller(source, rig.store, rig.clock)
    poller.want(True)
    poller.step()
    assert rig.health(PODS) is Health.UNREACHABLE
    source.error = None
    rig.run(poller, LONGEST_RETRY)
    assert rig.health(PODS) is Health.LIVE


def test_fellows_share_the_silence_of_their_system_and_its_return(rig: Rig) -> None:
    rig.lose_metrics_server()
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


def test_what_a_fellow_read_before_a_short_absence_is_good_without_another_read(rig: Rig) -> None:
    rig.lose_metrics_server()
    assert rig.health(NODES) is Health.STALE
    rig.pods.error = None
    rig.clock.advance(10.0)
    rig.poller.step()
    rig.fellow.step()
    assert rig.nodes.reads == 1
    assert (rig.health(NODES), rig.store.get(NODES).taken_at) == (Health.LIVE, 500.0)


def test_a_fellow_whose_other_is_not_needed_any_more_shows_the_absence_until_it_has_asked_itself(rig: Rig) -> None:
    rig.fellow.step()
    rig.pods.error = Unreachable("silent")
    rig.poller.step()
    rig.poller.want(False)
    rig.poller.step()
    assert rig.health(NODES) is Health.STALE
    rig.run(rig.fellow, FIRST_RETRY + 1.0)
    assert (rig.nodes.reads, rig.health(NODES)) == (2, Health.LIVE)


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


def test_what_nobody_needs_any_more_and_what_is_refused_keeps_no_room_for_its_tries(rig: Rig) -> None:
    allowance = Allowance(rig.stats, rig.clock)
    poller = Poller(rig.pods, rig.store, rig.clock, allowance=allowance)
    poller.want(True)
    rig.others_ask(BUDGET - RESERVE - 2)
    rig.pods.error = Unreachable("silent")
    poller.step()
    assert allowance.crowded()
    poller.want(False)
    poller.step()
    assert not allowance.crowded()
    poller.want(True)
    rig.pods.error = Denied("may not list pods")
    rig.clock.advance(10.0)
    poller.step()
    assert rig.pods.reads == 2
    assert not allowance.crowded()


def test_retries_are_few_and_soon_enough(rig: Rig) -> None:
    rig.pods.error = Unreachable("refused")
    rig.run(rig.poller, 30.0)
    before = rig.pods.reads
    rig.run(rig.poller, 60.0)
    assert 60 / LONGEST_RETRY - 1 <= rig.pods.reads - before <= 60 / LONGEST_RETRY + 1
