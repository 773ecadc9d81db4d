"""Following many containers: broken streams, limits, refusals, and what the screen is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.core.clock import FakeClock
from planc_tui.core.cluster.topics import PODS
from planc_tui.core.health import Health
from planc_tui.core.logs.book import LogSummary
from planc_tui.core.logs.container import ContainerLog, Found
from planc_tui.core.logs.line import format_stamp, parse_stamp
from planc_tui.core.ports import ByteStream, Denied, NotFound, PortError, Silent, Unreachable
from planc_tui.core.selector import selector
from planc_tui.core.store import Fault, Reading, Store
from planc_tui.sources.follow import Follower, Inbox, LogTarget, Pace, State
from planc_tui.sources.logs import ERRORS, LEAVE, LINGER, FollowSettings, LogFeed

NOW = 1_795_530_000


def line(second: float, text: str) -> bytes:
    """A line as the kubelet sends it, `second` after NOW."""
    ts = int((NOW + second) * 1_000_000) * 1000
    return f"{format_stamp(ts)[:-1]}.{ts % 1_000_000_000:09d}Z {text}\n".encode()


class Chunks:
    """A stream of given chunks that ends as told."""

    def __init__(self, chunks: list[bytes], error: PortError | None) -> None:
        self._chunks = chunks
        self._error = error

    def __iter__(self) -> Iterator[bytes]:
        yield from self._chunks
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self._chunks = []


@dataclass
class Server:
    """Logs by pod, and the requests for them. `cut`: bytes after which each stream breaks, None for never."""

    logs: dict[str, list[bytes]] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)
    refuse: PortError | None = None
    ends: PortError | None = None
    cut: int | None = None
    chunk: int = 50

    def stream(
        self, path: str, *, query: Mapping[str, str] | None = None, idle_timeout: float = 90.0, source: str = ""
    ) -> ByteStream:
        """The log named by the path, from `sinceTime` on or the last `tailLines`."""
        assert idle_timeout > 100
        assert source == "logs"
        asked = dict(query or {})
        self.asked.append(asked)
        if self.refuse is not None:
            raise self.refuse
        pod = path.split("/")[-2]
        if pod not in self.logs:
            raise NotFound("no such pod")
        lines = self.logs[pod]
        if "sinceTime" in asked:
            since = parse_stamp(asked["sinceTime"].encode())
            assert since is not None
            lines = [one for one in lines if (stamp := parse_stamp(one)) is not None and stamp[0] >= since[0]]
        elif "tailLines" in asked:
            lines = lines[-int(asked["tailLines"]) :]
        data = b"".join(lines)
        broken = self.cut is not None and self.cut < len(data)
        data = data[: self.cut] if broken else data
        chunks = [data[at : at + self.chunk] for at in range(0, len(data), self.chunk)]
        return Chunks(chunks, Unreachable("reset") if broken else self.ends)


def target(pod: str, priority: int = 1, restarts: int = 0) -> LogTarget:
    """The only container of `pod`."""
    return LogTarget("ns", pod, "app", f"uid-{pod}", restarts, priority)


def follower(server: Server, reader: ContainerLog) -> Follower[Found]:
    """A follower of pod `a` that is run by hand."""
    clock = FakeClock(NOW)
    return Follower(server, clock, target("a"), reader, Pace(clock, 0.0), first={"tailLines": "500"})  # type: ignore[arg-type]  # only `stream` is used


@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 40)), max_size=6),
    st.integers(1, 200),
)
def test_each_line_once_however_streams_break(steps: list[int], breaks: list[tuple[int, int]], chunk: int) -> None:
    """Lines in steps of a quarter second, many at the same time; streams break at any byte while the log grows."""
    lines, at = [], 0.0
    for number, step in enumerate(steps):
        at += step // 2 * 0.25
        lines.append(line(at, "ERROR twin" if step % 2 else f"ERROR number {number % 3}"))
    server, reader = Server(chunk=chunk), ContainerLog("a", "app")
    one = follower(server, reader)
    texts: list[str] = []
    for cut, grown in [*sorted(breaks, key=lambda pair: pair[1]), (1_000_000, len(lines))]:
        server.logs["a"] = lines[:grown]
        server.cut = cut
        assert 0.0 < (one.once() or 0.0) <= 30.0
        texts += [found.text for found, _ in one.collect()]
    texts += [found.text for found, _ in one.collect(flush_after=0.0)]
    assert reader.lines == len(lines)
    assert texts == [raw.split(b" ", 1)[1].decode().strip() for raw in lines]


def test_failures_are_spaced_and_told() -> None:
    server = Server()
    told: list[PortError] = []
    one = follower(server, ContainerLog("a", "app"))
    one._refused = told.append
    delays = [one.once() or 0.0 for _ in range(12)]
    assert min(delays) >= 1.0
    assert max(delays) > 10.0, "a pod that is not there is asked for seldom"
    server.refuse = Denied("no", verb="get", resource="pods/log")
    assert one.once() == 30.0
    assert told == [server.refuse]
    server.refuse = Unreachable("reset")
    assert max(one.once() or 99.0 for _ in range(12)) <= 5.0, "within 10 s of the return"
    assert one.state is State.FAILED


def test_a_container_with_nothing_to_say_is_no_failure() -> None:
    server = Server({"a": [line(0, "INFO x")]}, ends=Silent("nothing for 240 s"))
    one = follower(server, ContainerLog("a", "app"))
    assert one.once() == pytest.approx(1.0, abs=0.5)
    assert (one.state, one.error) == (State.ENDED, None)


def test_the_inbox_is_bounded_and_counts_what_it_drops() -> None:
    inbox = Inbox(limit=100)
    for _ in range(10):
        inbox.put(b"x\n" * 20, patience=0.0)
    first = inbox.take()
    inbox.put(b"y\n", patience=0.0)
    second = inbox.take()
    assert first == [b"x\n" * 40, 160]
    assert second == [b"y\n"]
    assert inbox.take() == []


class Bench:
    """A feed that is run by hand on a fake clock, with the pods it is told of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *pods: str, streams: int = 50) -> None:
        monkeypatch.setattr(Follower, "start", lambda self: None)
        self.clock = FakeClock(NOW)
        self.store = Store()
        self.server = Server({pod: [] for pod in pods})
        self.targets: list[LogTarget] | None = [target(pod) for pod in pods]
        self.up = True
        pods_now: Callable[[], list[LogTarget] | None] = lambda: self.targets  # noqa: E731  # a def would be longer
        settings = FollowSettings(streams=streams)
        self.feed = LogFeed(self.server, self.store, self.clock, pods_now, settings, lambda: self.up)  # type: ignore[arg-type]  # only `stream` is used
        self.feed.want(True)

    def run(self, seconds: float) -> LogSummary:
        """Let followers and the feed work for a while. Returns what the screen would show."""
        for _ in range(int(seconds * 2)):
            self.feed.step()
            for one in list(self.feed._followers.values()):
                if one.state is not State.ENDED or one._wake.is_set():
                    one._wake.clear()
                    one.once()
            self.clock.advance(0.5)
            self.feed.step()
        return self.reading().value or LogSummary()

    def reading(self) -> Reading[LogSummary]:
        """What the store holds of the errors."""
        return self.store.get(ERRORS)

    def health(self) -> Health:
        """The state the pane would show."""
        return self.reading().health(self.clock.monotonic())

    def more(self, pod: str, *lines: bytes) -> None:
        """The pod writes lines and its stream is opened anew."""
        self.server.logs[pod] += lines
        self.feed.kick()


def test_all_pods_are_merged_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, "a", "b")
    assert bench.health() is Health.CONNECTING
    bench.server.logs["a"] = [line(-3, "INFO x"), line(-2, "ERROR no db 1"), line(0, "ERROR no db 2")]
    bench.server.logs["b"] = [line(-1, "ERROR no db 3"), line(-0.9, "\tat b.c"), line(-0.5, "INFO y")]
    seen = bench.run(3)
    assert [(one.pod, one.text, one.trace) for one in seen.errors] == [
        ("a", "ERROR no db 2", ()),
        ("b", "ERROR no db 3", ("    at b.c",)),
        ("a", "ERROR no db 1", ()),
    ]
    assert [(pattern.template, pattern.count, pattern.pods) for pattern in seen.patterns] == [("no db <n>", 3, 2)]
    assert (seen.matched, seen.followed, seen.lines, seen.lost, seen.last_minute) == (2, 2, 6, 0, 3)
    assert bench.health() is Health.LIVE
    assert [one.text for one in seen.recent.lines(2)] == ["ERROR no db 2", "INFO y"]


def test_quiet_logs_stay_live_and_wake_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, "a")
    bench.run(3)
    seq = bench.reading().seq
    bench.run(60)
    assert bench.health() is Health.LIVE
    assert bench.reading().seq == seq


def test_the_limit_is_kept_and_said_and_worse_pods_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, "a", "b", "c", "d", streams=2)
    seen = bench.run(2)
    assert (seen.matched, seen.followed, seen.limit) == (4, 2, 2)
    bench.server.logs["d"] = [line(0, "ERROR d")]
    bench.targets = [target("a"), target("b"), target("c"), target("d", priority=0)]
    seen = bench.run(3)
    assert {one.target.pod for one in bench.feed._followers.values()} == {"a", "d"}
    assert [one.text for one in seen.errors] == ["ERROR d"]


def test_pods_join_and_leave_and_their_errors_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, "a")
    bench.server.logs["a"] = [line(0, "ERROR a")]
    bench.run(2)
    bench.server.logs["b"] = [line(1, "ERROR b")]
    bench.targets = [target("b")]
    seen = bench.run(LEAVE + 2)
    assert [one.text for one in seen.errors] == ["ERROR b", "ERROR a"]
    assert (seen.matched, seen.followed, seen.lines) == (1, 1, 2)
    assert "tailLines" not in bench.server.asked[-1], "a pod that joins is read from its start"


def test_a_refusal_is_one_fault_and_few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = [f"p{number}" for number in range(10)]
    bench = Bench(monkeypatch, *pods)
    bench.server.refuse = Denied("you may not read logs", verb="get", resource="pods/log")
    bench.run(60)
    assert bench.health() is Health.DENIED
    fault = bench.reading().fault
    assert fault is not None
    assert fault.message == "you may not read logs"
    assert len(bench.server.asked) <= 4
    bench.server.refuse = None
    bench.feed.kick()
    bench.run(3)
    assert bench.health() is Health.LIVE


def test_the_api_away_and_back(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, "a")
    bench.server.logs["a"] = [line(0, "ERROR one")]
    bench.run(2)
    bench.up = False
    asked = len(bench.server.asked)
    bench.run(30)
    assert bench.health() is Health.STALE
    assert len(bench.server.asked) == asked
    bench.up = True
    bench.more("a", line(0, "ERROR two"))
    seen = bench.run(3)
    assert bench.health() is Health.LIVE
    assert [one.text for one in seen.errors] == ["ERROR two", "ERROR one"]
    assert seen.lines == 2, "nothing twice"


def test_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, "a")
    bench.server.logs["a"] = [line(0, "ERROR one")]
    bench.run(2)
    bench.feed.want(False)
    bench.run(LINGER + 1)
    assert bench.feed.step() is None
    assert bench.feed._followers == {}
    bench.server.logs["a"] += [line(9, "ERROR two")]
    bench.feed.want(True)
    seen = bench.run(3)
    assert (seen.lines, seen.notes) == (2, ())
    bench.feed.want(False)
    bench.run(LINGER + 1)
    bench.clock.advance(3600)
    bench.feed.want(True)
    seen = bench.run(3)
    assert len(seen.notes) == 1
    assert seen.lines == 2


def test_unknown_pods_are_not_no_pods(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.targets = None
    bench.run(5)
    seen = [bench.health()]
    bench.store.fail(PODS, Fault(Health.DENIED, "not allowed to list pods"))
    bench.run(2)
    assert [*seen, bench.health()] == [Health.CONNECTING, Health.DENIED], "why pods are unknown is why logs are"


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("", {}, True),
        ("app=x", {"app": "x", "b": "c"}, True),
        ("app==x,b!=c", {"app": "x", "b": "c"}, False),
        ("app in (x, y), !gone", {"app": "y"}, True),
        ("app notin (x)", {}, True),
        ("app", {"app": ""}, True),
        ("!app", {"app": ""}, False),
    ],
)
def test_selectors(text: str, labels: dict[str, str], expected: bool) -> None:
    assert selector(text)(labels) is expected


def test_a_broken_selector_is_refused() -> None:
    with pytest.raises(ValueError, match="label selector"):
        selector("a b c")
