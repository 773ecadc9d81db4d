"""Who may ask when, so that everything that is planned finds its place in the budget."""

from __future__ import annotations

import pytest

from planc_tui.core.allowance import ASKS_AGAIN, BUDGET, FORESEEN, LOOK_AGAIN, SPACED_FROM, SPACING, Allowance, Plan
from planc_tui.core.clock import FakeClock
from planc_tui.core.stats import WINDOW, RequestStats

NOW = 1000.0


class Desk:
    """An allowance, and what others sent just now."""

    def __init__(self) -> None:
        self.clock, self.stats = FakeClock(monotonic=NOW), RequestStats()
        self.allowance = Allowance(self.stats, self.clock)

    def sent(self, times: int) -> None:
        for _ in range(times):
            self.stats.request("others", self.clock.monotonic())

    def wait(self, who: str, within: float, *, every: float = 30.0) -> float:
        """Seconds that a request which is due `within` seconds at the latest has to wait; without any it is sent and
        answered at once."""
        wait = self.allowance.claim(who, Plan(self.clock.monotonic() + within, every))
        if wait == 0:
            self.stats.request(who, self.clock.monotonic())
            self.allowance.settle(who)
        return wait

    def may(self, who: str, within: float, *, every: float = 30.0) -> bool:
        """Whether it is sent now."""
        return self.wait(who, within, every=every) == 0


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_read_that_can_wait_leaves_room_for_planned_tries_and_one_that_cannot_does_not(desk: Desk) -> None:
    for name in range(FORESEEN):
        desk.allowance.plan(f"away {name}", Plan(NOW + 6.0, 6.0, away=True))
    desk.sent(BUDGET - FORESEEN * (9 + 1) - 3)  # the next try of each may go on with another request
    assert desk.may("database", within=10.0), "this read, and two more of it in this minute"
    desk.sent(1)
    assert not desk.may("queues", within=10.0)
    assert desk.may("queues", within=0.0)


def test_room_is_left_for_systems_that_are_not_away_yet(desk: Desk) -> None:
    desk.sent(BUDGET - 4)
    assert not desk.may("database", within=20.0)


def test_what_nobody_plans_any_more_keeps_no_room(desk: Desk) -> None:
    desk.allowance.plan("away", Plan(NOW, 2.5, away=True))
    desk.sent(2)
    assert not desk.may("database", within=10.0)
    desk.allowance.forget("away")
    assert desk.may("database", within=10.0)


def test_tries_that_most_likely_send_nothing_keep_no_room(desk: Desk) -> None:
    for name in range(20):
        desk.allowance.plan(f"stopped {name}", Plan(NOW, 4.0, free=True))
    assert desk.may("database", within=10.0)


def test_who_has_the_least_time_left_goes_first_as_long_as_it_asks(desk: Desk) -> None:
    desk.sent(BUDGET)
    desk.clock.advance(WINDOW - 0.5)
    assert not desk.may("database", within=-9.0)
    desk.sent(BUDGET - 1)
    desk.clock.advance(0.6)
    assert not desk.may("queues", within=0.0)
    assert desk.may("database", within=-9.0)
    assert not desk.may("queues", within=0.0)


def test_who_is_refused_asks_again_when_there_is_room_and_soon_enough_to_keep_its_place(desk: Desk) -> None:
    desk.sent(BUDGET)
    assert desk.wait("database", within=0.0) == LOOK_AGAIN < ASKS_AGAIN
    desk.clock.advance(WINDOW - 0.1)
    assert desk.wait("database", within=0.0) == pytest.approx(0.1)
    desk.clock.advance(0.101)
    assert desk.may("database", within=0.0)


def test_systems_with_errors_are_away_and_those_that_take_no_connection_ask_for_nothing(desk: Desk) -> None:
    desk.allowance.plan("stopped", Plan(NOW, 8.0, free=True))
    desk.allowance.plan("well", Plan(NOW, 8.0))
    assert desk.allowance.away() == 0
    desk.allowance.plan("sick", Plan(NOW, 8.0, away=True))
    assert desk.allowance.away() == 1
    desk.allowance.forget("sick")
    assert desk.allowance.away() == 0


def test_who_does_not_ask_any_more_keeps_nobody_waiting(desk: Desk) -> None:
    desk.sent(BUDGET)
    desk.clock.advance(WINDOW - ASKS_AGAIN / 2)
    assert not desk.may("database", within=-5.0)
    desk.sent(BUDGET - 1)
    desk.clock.advance(ASKS_AGAIN / 2 + 0.1)
    assert not desk.may("queues", within=0.0)
    desk.clock.advance(ASKS_AGAIN / 2)
    assert desk.may("queues", within=0.0)


def test_more_plans_than_the_budget_are_spread_over_the_minute(desk: Desk) -> None:
    for number in range(5):
        desk.allowance.plan(f"away {number}", Plan(NOW + 8.0, 8.0, away=True))
    desk.sent(SPACED_FROM - 1)
    assert desk.may("away 0", within=0.0, every=8.0), "as long as there is much room"
    assert not desk.may("away 1", within=0.0, every=8.0)
    desk.clock.advance(SPACING + 0.1)
    assert desk.may("away 1", within=0.0, every=8.0)


def test_every_read_of_a_minute_is_within_the_budget_whoever_asks(desk: Desk) -> None:
    names = [f"source {number}" for number in range(8)]
    granted: list[float] = []
    for _ in range(1200):
        granted += [desk.clock.monotonic() for name in names if desk.may(name, within=0.0, every=3.0)]
        desk.clock.advance(0.25)
    assert len(granted) > BUDGET * 4
    assert all(later - first > WINDOW for first, later in zip(granted, granted[BUDGET:], strict=False))
