"""A reflector lists, watches and survives what API servers do to it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.core.clock import FakeClock
from planc_tui.core.cluster.listing import Listing
from planc_tui.core.cluster.pods import PodRow
from planc_tui.core.cluster.topics import PODS
from planc_tui.core.health import Health
from planc_tui.core.ports import BadAnswer, Denied, Gone, LoginExpired, Throttled, Unreachable
from planc_tui.core.store import Reading, Store
from planc_tui.sources.kube import RESOURCES
from planc_tui.sources.reflector import GATHER, KEPT_UNWANTED, Lines, Reflector
from tests.unit.fakes import FakePort, Piece, bookmark, error, event, page, pod

PATH = "/api/v1/namespaces/shop/pods"


@dataclass
class OpenGate:
    """A link that notes what it is told."""

    open: bool = True
    suspected: int = 0
    heard_at: list[float] = field(default_factory=list)

    def up(self) -> bool:
        return self.open

    def nudge(self) -> None:
        """Nothing waits for it here."""

    def heard(self, now: float) -> None:
        self.heard_at.append(now)

    def suspect(self) -> None:
        self.suspected += 1


class Rig:
    """One pods reflector, wanted, that a test turns by hand."""

    def __init__(self) -> None:
        self.port, self.clock, self.gate, self.store = FakePort(), FakeClock(monotonic=1000.0), OpenGate(), Store()
        self.feed: Reflector[Any, PodRow] = Reflector(
            self.port, self.store, self.clock, RESOURCES[0], "shop", self.gate, random.Random(1)
        )
        self.feed.want(True)

    def turn(self, *pieces: Piece | Callable[[], None]) -> float | None:
        """One step, with a watch that sends `pieces` and lasts two seconds."""
        if pieces:
            self.port.watch(PATH, [*pieces, lambda: self.clock.advance(2)])
        return self.feed.step()

    @property
    def reading(self) -> Reading[Listing[PodRow]]:
        return self.store.get(PODS)

    @property
    def health(self) -> Health:
        return self.reading.health(self.clock.monotonic())

    def names(self) -> list[str]:
        return [row.name for row in self.reading.value or ()]

    def versions(self) -> list[str]:
        """Resource versions that the watches started from."""
        return [asked.query["resourceVersion"] for asked in self.port.streams]


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_pages_are_shown_as_they_come_and_the_last_one_makes_it_whole(rig: Rig) -> None:
    seen: list[tuple[int, bool, int]] = []

    def look() -> None:
        if (value := rig.reading.value) is not None:
            seen.append((len(value), value.complete, value.expected))

    rig.port.on_request = look
    rig.port.answer(
        PATH,
        page([pod("a"), pod("b")], token="t1", remaining=3),
        page([pod("c"), pod("d")], token="t2", remaining=1),
        page([pod("e")]),
    )
    rig.turn(look)
    assert seen == [(2, False, 5), (4, False, 5), (5, True, 5)]
    assert [r.query for r in rig.port.requests] == [
        {"limit": "500"},
        {"limit": "500", "continue": "t1"},
        {"limit": "500", "continue": "t2"},
    ]
    asked = rig.port.streams[0]
    assert (asked.query["watch"], asked.query["allowWatchBookmarks"], asked.timeout) == ("true", "true", 90.0)
    assert 240 <= int(asked.query["timeoutSeconds"]) <= 300
    assert rig.versions() == ["100"]


def test_events_change_rows_and_the_next_watch_goes_on_from_the_last_one(rig: Rig) -> None:
    rig.port.answer(PATH, page([pod("a"), pod("b")]))
    delay = rig.turn(
        event("ADDED", pod("c", version=101)),
        event("MODIFIED", pod("a", version=102, status={"reason": "Evicted", "containerStatuses": None})),
        event("DELETED", pod("b", version=103)),
        event("NOVEL", pod("x", version=1)),
        bookmark(140),
    )
    assert rig.names() == ["a", "c"]
    assert rig.reading.value is not None
    assert rig.reading.value.rows[0].status == "Evicted"
    assert delay is not None
    assert delay < 1
    rig.turn()
    assert rig.versions() == ["100", "140"]
    assert len(rig.port.requests) == 1


def test_changes_gather_after_one_that_was_waited_for_and_a_backlog_is_taken_in_at_once(rig: Rig) -> None:
    """A change is shown before planc rests, and rests are for streams that have nothing more to give."""
    rig.port.answer(PATH, page([pod("a")]))
    began = rig.clock.monotonic()
    first, *backlog = (event("ADDED", pod(name, version=101 + number)) for number, name in enumerate("bcd"))
    rig.turn(lambda: rig.clock.advance(3), first, *backlog)
    assert rig.names() == ["a", "b", "c", "d"]
    taken_in = [at - began for at in rig.gate.heard_at[-3:]]
    assert taken_in == pytest.approx([3, 3 + GATHER, 3 + GATHER])


@given(st.integers(0, 10_000))
def test_lines_may_be_cut_anywhere(seed: int) -> None:
    data = event("ADDED", pod("a")) + b"\n\r\n" + event("ADDED", pod("é")) + bookmark(9) + b'{"type":'
    rng, lines, got = random.Random(seed), Lines(), []
    while data:
        size = rng.randint(1, 400)
        got += lines.feed(data[:size])
        data = data[size:]
    assert got == [line.rstrip(b"\n") for line in (event("ADDED", pod("a")), event("ADDED", pod("é")), bookmark(9))]


def test_a_line_without_an_end_is_not_collected_for_ever() -> None:
    lines = Lines()
    for _ in range(32):
        lines.feed(b"x" * 1024 * 1024)
    with pytest.raises(BadAnswer):
        lines.feed(b"x")


def test_a_change_that_changes_no_row_wakes_nobody(rig: Rig) -> None:
    rig.port.answer(PATH, page([pod("a")]))
    quiet: list[frozenset[str]] = []
    rig.turn(
        lambda: quiet.append(rig.store.drain()),
        event("MODIFIED", pod("a", version=105, metadata={"managedFields": [{"time": "x"}], "generation": 4})),
        bookmark(106),
        lambda: quiet.append(rig.store.drain()),
    )
    assert quiet == [frozenset({"pods"}), frozenset()]
    rig.turn()
    assert rig.versions()[-1] == "106"


@pytest.mark.parametrize("gone", [error(410, "too old"), Gone("too old")])
def test_410_lists_again_and_keeps_the_rows_meanwhile(rig: Rig, gone: bytes | Gone) -> None:
    rig.port.answer(PATH, page([pod("a"), pod("b")]), page([pod("b"), pod("c")], version=500))
    rig.clock.advance(60)
    rig.turn(lambda: rig.clock.advance(60), gone)
    assert rig.names() == ["a", "b"]
    rig.turn()
    assert rig.names() == ["b", "c"]
    assert rig.versions() == ["100", "500"]


def test_410_as_an_answer_to_the_watch(rig: Rig) -> None:
    rig.port.answer(PATH, page([pod("a")]), page([pod("b")], version=500))
    rig.port.watch(PATH, Gone("too old"))
    first = rig.feed.step()
    assert first is not None
    assert first >= 0.4, "a list that is too old at once must not be repeated at once"
    rig.feed.step()
    assert rig.names() == ["b"]


def test_a_list_that_expires_while_paged_is_read_in_one_piece(rig: Rig) -> None:
    rig.port.answer(PATH, page([pod("a")], token="t1"), Gone("expired"), page([pod("a"), pod("b")]))
    rig.turn()
    assert rig.names() == ["a", "b"]
    assert [r.query for r in rig.port.requests][-1] == {}


def test_other_errors_of_a_watch_wait_and_go_on_from_the_same_place(rig: Rig) -> None:
    rig.port.answer(PATH, page([pod("a")]))
    delay = rig.turn(bookmark(120), lambda: rig.clock.advance(30), error(500, "etcd is ill"))
    assert delay is not None
    assert delay >= 0.4
    fault = rig.reading.fault
    assert fault is not None
    assert "etcd is ill" in fault.message
    assert rig.health is Health.STALE
    rig.turn()
    assert rig.versions() == ["100", "120"]
    assert len(rig.port.requests) == 1


def test_a_broken_line_ends_the_watch_but_not_what_came_before_it(rig: Rig) -> None:
    rig.port.answer(PATH, page([pod("a")]))
    rig.turn(event("ADDED", pod("b", version=101)) + b"<html>502</html>\n" + event("ADDED", pod("c", version=102)))
    assert rig.names() == ["a", "b"]
    assert rig.reading.fault is not None
    rig.turn(event("ADDED", pod("c", version=102)))
    assert rig.versions() == ["100", "101"]
    assert rig.names() == ["a", "b", "c"]


def test_an_object_that_cannot_be_read_costs_no_other(rig: Rig) -> None:
    bad = pod("bad", spec={"containers": "none"})
    rig.port.answer(PATH, page([pod("a"), bad]))
    rig.turn(event("ADDED", bad), event("ADDED", pod("b")))
    assert rig.names() == ["a", "b"]


@pytest.mark.parametrize("answer", [b"<html>login</html>", b"{}", b'{"kind":"Status"}', b"[]", b"", b'{"kind":"PodLi'])
def test_garbage_is_no_empty_cluster(rig: Rig, answer: bytes) -> None:
    rig.port.answer(PATH, answer)
    rig.turn()
    assert rig.reading.value is None
    assert rig.health is Health.UNREACHABLE
    assert rig.gate.suspected == 1


@pytest.mark.parametrize("garbage", [b"\x00\xff{not it", b"<html>\n", b'{"type":"ADDED","obj'])
def test_garbage_is_shown_and_does_not_prove_that_the_server_lives(rig: Rig, garbage: bytes) -> None:
    rig.port.answer(PATH, page([pod("a")]))
    listed = rig.clock.monotonic()
    rig.turn(garbage)
    assert rig.health is Health.STALE
    assert rig.names() == ["a"]
    assert rig.gate.heard_at == [listed]
    assert rig.gate.suspected == 1


def test_a_watch_that_is_told_to_slow_down_makes_the_link_look(rig: Rig) -> None:
    rig.port.answer(PATH, Throttled("slow", retry_after=1.0))
    rig.turn()
    assert rig.gate.suspected == 1


def test_rows_without_a_watch_are_not_live_while_the_link_holds_requests_back(rig: Rig) -> None:
    rig.port.answer(PATH, page([pod("a")]))
    rig.turn(bookmark(101))
    seen = [rig.health]
    rig.gate.open = False
    assert rig.feed.step() == 5.0
    assert [*seen, rig.health] == [Health.LIVE, Health.STALE]
    assert rig.names() == ["a"]


def test_null_items_are_no_items(rig: Rig) -> None:
    rig.port.answer(PATH, page(None))
    rig.turn()
    assert rig.reading.value == Listing((), True, 0)


@pytest.mark.parametrize(
    ("refusal", "health", "least", "most"),
    [
        (Denied("no", verb="list", resource="pods"), Health.DENIED, 30, 30),
        (LoginExpired("expired", hint="log in"), Health.LOGIN_EXPIRED, 8, 8),
        (Throttled("slow", retry_after=4.0), Health.UNREACHABLE, 4, 4),
        (Unreachable("refused"), Health.UNREACHABLE, 0.4, 0.8),
        (RuntimeError("surprise"), Health.UNREACHABLE, 0.4, 0.8),
    ],
)
def test_refusals_are_shown_and_not_hurried(
    rig: Rig, refusal: Exception, health: Health, least: float, most: float
) -> None:
    rig.port.answer(PATH, refusal)  # type: ignore[arg-type]  # one of them is no PortError on purpose
    if not isinstance(refusal, (Denied, LoginExpired, Throttled, Unreachable)):
        rig.port.on_request = _raise(refusal)
    delay = rig.turn()
    assert rig.health is health
    assert delay is not None
    assert least <= delay <= most


def _raise(error: Exception) -> Callable[[], None]:
    def act() -> None:
        raise error

    return act


def test_never_a_tight_loop(rig: Rig) -> None:
    """A server that closes every watch at once is asked less and less often."""
    rig.port.answer(PATH, page([pod("a")]))
    waits = [rig.feed.step() or 0.0 for _ in range(10)]
    assert min(waits) >= 1.0
    assert max(waits) <= 8.0
    assert waits[-1] >= 4.0
    waits = []
    rig.port.answers[PATH].clear()
    rig.port.watches[PATH].extend([Unreachable("refused")] * 10)
    waits = [rig.feed.step() or 0.0 for _ in range(10)]
    assert waits[-1] >= 4.0
    assert max(waits) <= 8.0


def test_closed_gate_sends_nothing(rig: Rig) -> None:
    rig.gate.open = False
    assert rig.feed.step() == 5.0
    assert rig.port.requests == []
    assert rig.port.streams == []


def test_unwanted_closes_the_watch_keeps_the_rows_a_minute_and_then_forgets(rig: Rig) -> None:
    rig.port.answer(PATH, page([pod("a")]))
    assert rig.turn(lambda: rig.feed.want(False), event("ADDED", pod("b"))) == 0.0
    assert rig.port.opened[-1].closed
    assert rig.names() == ["a"]
    assert rig.feed.step() == pytest.approx(KEPT_UNWANTED)
    rig.clock.advance(30)
    rig.feed.want(True)
    rig.turn()
    assert len(rig.port.requests) == 1, "within the minute it goes on from where it was"
    rig.feed.want(False)
    rig.clock.advance(KEPT_UNWANTED + 1)
    assert rig.feed.step() is None
    assert rig.reading.value is None
    assert rig.reading.taken_at is None
    rig.feed.want(True)
    rig.turn()
    assert len(rig.port.requests) == 2


def test_only_an_open_watch_vouches_for_its_rows(rig: Rig) -> None:
    rig.port.answer(PATH, page([pod("a")]))
    seen: list[tuple[bool, Health]] = []

    def pulse() -> None:
        rig.clock.advance(15)
        rig.feed.confirm(rig.clock.monotonic())
        seen.append((True, rig.health))

    def away() -> None:
        rig.feed.doubt()
        rig.clock.advance(30)
        rig.feed.confirm(rig.clock.monotonic())
        seen.append((False, rig.health))

    rig.turn(pulse, pulse, pulse, away)
    assert seen == [(True, Health.LIVE)] * 3 + [(False, Health.STALE)]
    rig.clock.advance(30)
    rig.feed.confirm(rig.clock.monotonic())
    assert rig.health is Health.STALE


def test_kick_reopens_a_watch_that_is_in_doubt_and_no_other(rig: Rig) -> None:
    rig.port.answer(PATH, page([pod("a")]))
    rig.turn(rig.feed.kick, event("ADDED", pod("b")))
    assert rig.names() == ["a", "b"]
    assert rig.turn(rig.feed.doubt, rig.feed.kick, event("ADDED", pod("c"))) == 0.0
    assert rig.names() == ["a", "b"]


def test_a_silent_watch_is_reopened_without_a_fault(rig: Rig) -> None:
    rig.port.answer(PATH, page([pod("a")]))
    delay = rig.turn(lambda: rig.clock.advance(90), Unreachable("nothing for 90 s"))
    assert delay is not None
    assert delay < 1
    assert rig.reading.fault is None
    assert rig.gate.suspected == 1


def test_memory_stays_flat_under_a_flood_of_changes(rig: Rig) -> None:
    rig.port.answer(PATH, page([pod("a")]))
    flood: list[Piece] = [event("MODIFIED", pod("a", version=200 + i)) for i in range(500)]
    flood += [event(kind, pod(f"p{i}", version=900)) for i in range(200) for kind in ("ADDED", "DELETED")]
    rig.turn(*flood)
    assert rig.names() == ["a"]
    assert rig.reading.value is not None
    assert len(rig.reading.value.rows) == 1


def test_paths_of_all_namespaces_and_of_cluster_resources() -> None:
    by_name = {resource.topic.name: resource for resource in RESOURCES}
    assert by_name["pods"].path("") == "/api/v1/pods"
    assert by_name["nodes"].path("shop") == "/api/v1/nodes"
    assert by_name["hpas"].path("shop") == "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"


def test_a_standing_refusal_is_asked_about_once_a_minute(rig: Rig) -> None:
    rig.port.answer(PATH, Denied("no", verb="list", resource="pods"))
    assert [rig.feed.step() for _ in range(4)] == [30, 60, 60, 60]
    rig.port.answers[PATH].clear()
    rig.port.answer(PATH, page([pod("a")]))
    rig.turn()
    assert rig.health is Health.LIVE
