"""The API server's pulse decides what the Kubernetes panes say, and how often planc knocks."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from planc_tui.core.allowance import BUDGET, FORESEEN, Allowance
from planc_tui.core.clock import FakeClock
from planc_tui.core.cluster.listing import Listing
from planc_tui.core.cluster.pods import PodRow
from planc_tui.core.cluster.topics import LINK, PODS
from planc_tui.core.health import Health
from planc_tui.core.ports import Denied, LoginExpired, NotFound, PortError, Throttled, Unreachable
from planc_tui.core.stats import RequestStats
from planc_tui.core.store import Fault, Store, Topic
from planc_tui.sources.link import DEADLINE, PULSE, RETRY_AWAY, SECOND_LOOK, LinkFeed
from tests.unit.fakes import FakePort

VERSION = b'{"major":"1","gitVersion":"v1.37.2"}'
PATH = "/version"
NOTHING: Listing[PodRow] = Listing()


@dataclass
class Watch:
    """A watcher that notes what it is told."""

    wanted: bool = True
    name: str = "pods"
    topics: Sequence[Topic[Any]] = (PODS,)
    said: list[str] = field(default_factory=list)

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def want(self, wanted: bool) -> None: ...

    def kick(self) -> None:
        self.said.append("kick")

    def confirm(self, now: float) -> None:
        self.said.append("confirm")

    def doubt(self) -> None:
        self.said.append("doubt")


class Busy(Allowance):
    """crowds: what a test says of the last minute. absent: how many other systems answer with errors."""

    crowds, absent = False, 0

    def crowded(self, spare: int = 0) -> bool:
        return self.crowds

    def away(self) -> int:
        return self.absent


class Rig:
    def __init__(self) -> None:
        self.port, self.clock, self.store, self.watch = FakePort(), FakeClock(monotonic=1000.0), Store(), Watch()
        self.stats = RequestStats()
        self.busy = Busy(self.stats, self.clock)
        self.link = LinkFeed(self.port, self.store, self.clock, random.Random(1), self.busy)
        self.link.watch(self.watch)
        self.link.want(True)
        self.store.want(PODS, True)
        self.store.put(PODS, NOTHING, 1000.0)

    def answer(self, *answers: bytes | PortError) -> None:
        self.port.answers[PATH].clear()
        self.port.answer(PATH, *answers)

    def run(self, seconds: float) -> int:
        """Turn it for a while as its thread would; returns how many requests it sent."""
        before, end = len(self.port.requests), self.clock.monotonic() + seconds
        while self.clock.monotonic() < end:
            self.clock.advance(self.link.step() or seconds)
        return len(self.port.requests) - before

    @property
    def health(self) -> Health:
        return self.store.get(LINK).health(self.clock.monotonic())


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.answer(VERSION)
    return rig


def test_a_quiet_server_costs_ten_requests_a_minute(rig: Rig) -> None:
    assert rig.run(60) == 10
    assert rig.health is Health.LIVE
    link = rig.store.get(LINK).value
    assert link is not None
    assert link.version == "v1.37.2"
    assert set(rig.watch.said) == {"confirm"}
    assert {asked.timeout for asked in rig.port.requests} == {DEADLINE}


def test_a_pulse_makes_room_for_what_cannot_wait_and_never_for_long(rig: Rig) -> None:
    rig.answer(VERSION)
    rig.run(14)
    rig.busy.crowds = True
    assert 5 <= rig.run(60) <= 6
    assert rig.health is Health.LIVE
    rig.answer(Unreachable("gone"))
    rig.run(14)
    assert rig.health is not Health.LIVE


def test_while_several_systems_answer_with_errors_it_waits_longer_and_nothing_is_old_for_it(rig: Rig) -> None:
    rig.run(14)
    rig.busy.crowds, rig.busy.absent = True, FORESEEN
    end = rig.clock.monotonic() + 60
    before = len(rig.port.requests)
    while rig.clock.monotonic() < end:
        assert rig.health is Health.LIVE
        rig.clock.advance(rig.link.step() or 0.0)
    assert 4 <= len(rig.port.requests) - before <= 5


def test_in_a_minute_without_room_nothing_is_asked_and_what_nobody_vouches_for_turns_stale(rig: Rig) -> None:
    rig.run(14)
    for _ in range(BUDGET):
        rig.stats.request("others", rig.clock.monotonic())
    assert rig.run(59) == 0
    assert rig.health.value == "stale"
    assert rig.run(10) >= 1
    assert rig.health is Health.LIVE


def test_a_kick_hastens_no_pulse_while_all_is_well_or_planc_asks_a_lot(rig: Rig) -> None:
    def asked(seconds: int) -> int:
        before = len(rig.port.requests)
        for _ in range(4 * seconds):
            rig.link.kick()
            rig.link.step()
            rig.clock.advance(0.25)
        return len(rig.port.requests) - before

    assert asked(60) == 10
    rig.answer(Unreachable("gone"))
    asked(6)
    assert asked(60) > 60 / RETRY_AWAY[0]
    rig.busy.crowds = True
    assert asked(60) <= 60 / RETRY_AWAY[0] + 1


def test_a_lively_watch_makes_the_pulse_rare(rig: Rig) -> None:
    rig.link.step()
    for _ in range(60):
        rig.clock.advance(1)
        rig.link.heard(rig.clock.monotonic())
        rig.link.step()
    assert len(rig.port.requests) == 3
    assert rig.health is Health.LIVE
    assert rig.watch.said.count("confirm") >= 10


def test_a_measurement_every_twenty_seconds_spares_a_pulse(rig: Rig) -> None:
    rig.link.step()
    measured = [rig.clock.monotonic() + 20 * number for number in range(4)]
    before, end = len(rig.port.requests), rig.clock.monotonic() + 60
    while rig.clock.monotonic() < end:
        if rig.clock.monotonic() >= measured[0]:
            rig.link.heard(measured.pop(0))
        wait = rig.link.step() or 60.0
        rig.clock.advance(min(wait, measured[0] - rig.clock.monotonic()))
    assert len(rig.port.requests) - before == 9
    assert rig.health is Health.LIVE


def test_silence_is_noticed_within_nine_seconds_even_after_a_lively_watch(rig: Rig) -> None:
    rig.link.step()
    for _ in range(20):
        rig.clock.advance(0.5)
        rig.link.heard(rig.clock.monotonic())
        rig.link.step()
    frozen = rig.clock.monotonic()
    rig.answer(Unreachable("no answer within 3 s"))
    rig.port.on_request = lambda: rig.clock.advance(3)
    while rig.link.up():
        rig.clock.advance(rig.link.step() or 1)
    assert rig.port.requests[-1].path == PATH
    assert rig.store.get(PODS).fault is not None
    noticed = rig.store.get(PODS).fault
    assert noticed is not None
    assert noticed.since - frozen <= 9.0


def test_away_marks_what_is_needed_and_nothing_else(rig: Rig) -> None:
    rig.link.step()
    idle = Watch(wanted=False, topics=(Topic("other"),))
    rig.link.watch(idle)
    rig.answer(Unreachable("refused"))
    requests = rig.run(60)
    assert not rig.link.up()
    assert 60 / RETRY_AWAY[1] <= requests <= 60 / RETRY_AWAY[0] + 1
    reading = rig.store.get(PODS)
    assert reading.health(rig.clock.monotonic()) is Health.STALE
    assert reading.fault is not None
    assert reading.fault.message == "refused"
    assert reading.fault.next_try is not None
    assert "doubt" in rig.watch.said
    assert rig.store.get(Topic("other")).fault is None


def test_back_again_kicks_everyone_at_once_and_looks_twice(rig: Rig) -> None:
    rig.link.step()
    rig.answer(Unreachable("refused"))
    rig.run(20)
    rig.watch.said.clear()
    rig.answer(VERSION)
    rig.run(6.6)
    assert rig.watch.said[0] == "kick"
    assert rig.watch.said.count("confirm") >= 2, "the second look vouches for the reopened watches"
    assert rig.health is Health.LIVE
    assert rig.link.up()


@pytest.mark.parametrize("absence", [Unreachable("refused"), Throttled("slow")])
def test_back_again_the_second_look_waits_for_nothing_but_room(rig: Rig, absence: PortError) -> None:
    rig.link.step()
    rig.answer(absence)
    rig.run(20)
    rig.busy.crowds = True
    rig.answer(VERSION)
    while not rig.link.up():
        rig.clock.advance(rig.link.step() or 0.0)
    rig.watch.said.clear()
    rig.run(SECOND_LOOK)
    assert "confirm" in rig.watch.said


def test_back_again_what_a_follower_measured_before_is_as_old_as_it_is(rig: Rig) -> None:
    usage: Topic[int] = Topic("usage", stale_after=15.0)
    rig.link.follow(Watch(name="usage", topics=(usage,)))
    rig.store.want(usage, True)
    rig.store.put(usage, 1, rig.clock.monotonic())
    rig.link.step()
    rig.answer(Unreachable("refused"))
    rig.run(8)
    assert rig.store.get(usage).health(rig.clock.monotonic()) is Health.STALE
    rig.answer(VERSION)
    rig.run(6)
    reading = rig.store.get(usage)
    assert (reading.fault, reading.taken_at) == (None, 1000.0)
    assert reading.health(1015.0) is Health.LIVE
    assert reading.health(1015.1) is Health.STALE


def test_a_server_that_has_enough_room_again_does_not_lift_what_a_follower_found_out_itself(rig: Rig) -> None:
    usage: Topic[int] = Topic("usage", stale_after=15.0)
    rig.link.follow(Watch(name="usage", topics=(usage,)))
    rig.store.want(usage, True)
    rig.answer(Throttled("slow"), VERSION)
    rig.link.step()
    rig.store.fail(usage, Fault(Health.DENIED, "may not list pods"))
    rig.run(6)
    assert rig.link.up()
    assert rig.store.get(usage).health(rig.clock.monotonic()) is Health.DENIED


@pytest.mark.parametrize("refusal", [Denied("no"), NotFound("no")])
def test_a_server_that_refuses_its_version_is_still_there(rig: Rig, refusal: PortError) -> None:
    rig.answer(refusal)
    rig.link.step()
    assert rig.link.up()
    assert rig.health is Health.LIVE
    assert rig.watch.said == ["confirm"]


def test_a_server_that_asks_to_slow_down_keeps_its_watches_and_gets_nothing_but_the_pulse(rig: Rig) -> None:
    rig.link.step()
    rig.watch.said.clear()
    rig.answer(Throttled("slow", retry_after=60.0))
    rig.clock.advance(6)
    assert PULSE <= (rig.link.step() or 0) <= RETRY_AWAY[1]
    assert not rig.link.up()
    assert rig.health is Health.LIVE
    assert rig.watch.said == ["confirm"]
    rig.link.heard(rig.clock.monotonic())
    asked = rig.run(24)
    assert 24 / RETRY_AWAY[1] - 1 <= asked <= 24 / RETRY_AWAY[0], "lively watches do not put the pulse off"
    assert set(rig.watch.said) == {"confirm"}
    rig.answer(VERSION)
    rig.run(6)
    assert rig.link.up()
    assert rig.watch.said.count("kick") == 1
    assert rig.watch.said[-1] == "confirm", "the second look vouches for what the kick reopened"


@pytest.mark.parametrize("garbage", [b"", b"{}", b"<html>", b'{"gitVersion":3}', b"[1]"])
def test_garbage_is_no_api_server(rig: Rig, garbage: bytes) -> None:
    rig.answer(garbage)
    rig.link.step()
    assert not rig.link.up()
    assert rig.health is Health.UNREACHABLE


def test_expired_login_is_its_own_state(rig: Rig) -> None:
    rig.answer(LoginExpired("token expired", hint="cloud login"))
    assert rig.link.step() == pytest.approx(6.0)
    fault = rig.store.get(PODS).fault
    assert fault is not None
    assert (fault.health, fault.hint) == (Health.LOGIN_EXPIRED, "cloud login")


def test_a_failing_feed_makes_it_look_soon_but_not_often(rig: Rig) -> None:
    rig.link.step()
    rig.clock.advance(0.2)
    for _ in range(50):
        rig.link.suspect()
    wait = rig.link.step()
    assert wait is not None
    assert 0.7 <= wait <= 0.8
    assert len(rig.port.requests) == 1
    rig.clock.advance(wait)
    rig.link.step()
    assert len(rig.port.requests) == 2


def test_a_failure_is_looked_into_however_lately_the_server_was_heard(rig: Rig) -> None:
    rig.link.step()
    rig.clock.advance(5.5)
    rig.link.heard(rig.clock.monotonic())
    rig.clock.advance(2.0)
    rig.answer(Unreachable("answers 500"))
    rig.link.suspect()
    rig.link.step()
    assert len(rig.port.requests) == 2
    assert not rig.link.up()


def test_nobody_needs_anything(rig: Rig) -> None:
    rig.link.want(False)
    rig.watch.wanted = False
    assert rig.link.step() is None
    assert rig.port.requests == []


def test_the_first_answer_over_a_new_connection_is_no_round_trip(rig: Rig) -> None:
    def shown() -> float | None:
        link = rig.store.get(LINK).value
        return link.rtt_ms if link is not None else -1.0

    rig.port.on_request = lambda: rig.clock.advance(0.4)
    rig.link.step()
    assert shown() is None
    rig.port.on_request = lambda: rig.clock.advance(0.01)
    rig.run(PULSE + 0.1)
    assert shown() == pytest.approx(10)
    rig.answer(Unreachable("refused"))
    rig.run(8)
    rig.answer(VERSION)
    rig.port.on_request = lambda: rig.clock.advance(0.4)
    while not rig.link.up():
        rig.clock.advance(rig.link.step() or 0.0)
    assert shown() is None


def test_a_wavering_round_trip_changes_nothing_on_the_screen(rig: Rig) -> None:
    rig.port.on_request = lambda: rig.clock.advance(0.010)
    rig.run(PULSE + 0.1)
    rig.store.drain()
    for milliseconds in (12, 8, 14, 6):
        rig.port.on_request = lambda ms=milliseconds: rig.clock.advance(ms / 1000)  # type: ignore[misc]  # bound early
        rig.clock.advance(PULSE)
        rig.link.step()
    assert rig.store.drain() == frozenset()
    rig.port.on_request = lambda: rig.clock.advance(0.080)
    rig.clock.advance(PULSE)
    rig.link.step()
    link = rig.store.get(LINK).value
    assert link is not None
    assert link.rtt_ms == pytest.approx(80)
