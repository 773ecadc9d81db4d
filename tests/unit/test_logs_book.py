"""Going on after a reconnect, merging by time, rates and bounds."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.core.logs.book import ErrorBook, LogSummary, Rate, RecentLines, Reorder
from planc_tui.core.logs.container import ContainerLog
from planc_tui.core.logs.line import SECOND, Level, LogLine, parse_stamp
from planc_tui.core.logs.tail import Tail, newest_first

START = 1_795_530_000


def raw(ts: int, text: str) -> bytes:
    """A line as the kubelet sends it; ts in ns after START."""
    seconds, nanos = divmod(ts, SECOND)
    day = datetime.fromtimestamp(START + seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{day}.{nanos:09d}Z {text}\n".encode()


def since(log: list[bytes], ts: int | None) -> bytes:
    """What the server sends from time `ts` (ns since the epoch) on, in file order."""
    if ts is None:
        return b"".join(log)
    return b"".join(line for line in log if (stamp := parse_stamp(line)) is not None and stamp[0] >= ts)


# Few different times and texts, so that equal stamps, equal lines and disorder are common.
TIMES = st.lists(st.integers(0, 30).map(lambda step: step * SECOND // 10), min_size=1, max_size=60)


@given(TIMES, st.data())
def test_every_line_once_over_any_reconnects(times: list[int], data: st.DataObject) -> None:
    """The log grows while the stream breaks at any byte; each line is read once, in file order, and none of those
    that were there before reading began."""
    log = [raw(ts, f"line {ts % 3}") for ts in sorted(times)]
    reader = ContainerLog("p", "c", tail_bytes=data.draw(st.sampled_from([150, 400, 100_000])))
    start = 0
    disorder = data.draw(st.booleans())
    if disorder:
        for index in range(0, len(log) - 1, 5):
            log[index], log[index + 1] = log[index + 1], log[index]
    else:
        # Lines with the same time as the first one read cannot be told from it.
        start = log.index(data.draw(st.sampled_from(log)))
    written = start
    while written < len(log):
        ts = reader.reconnect()
        written = data.draw(st.integers(written + 1, len(log)))
        sent = since(log[:written], ts) if reader.lines else b"".join(log[start:written])
        cut = data.draw(st.integers(0, len(sent))) if written < len(log) else len(sent)
        piece = data.draw(st.integers(1, 200))
        for at in range(0, cut, piece):
            reader.feed(sent[at : min(cut, at + piece)])
        if written == len(log) and cut < len(sent):
            written -= 1
    if not disorder or b"".join(reader.tail) == b"".join(log):
        assert reader.lines == len(log) - start
    assert reader.lines <= len(log)


@pytest.mark.parametrize("piece", [38, 42])
def test_the_edge_of_what_is_kept_may_be_out_of_order(piece: int) -> None:
    log = [raw(ts, "line 0") for ts in [0] * 10 + [SECOND // 10, 0] + [SECOND // 10] * 3]
    for read in range(1, len(log)):
        reader = ContainerLog("p", "c", tail_bytes=150)
        for part in (b"".join(log[:read]), b"".join(log)):
            reader.reconnect()
            for at in range(0, len(part), piece):
                reader.feed(part[at : at + piece])
        assert reader.lines == len(log), read


@given(TIMES, st.integers(1, 59), st.integers(50, 300))
def test_nothing_twice_and_nothing_lost_in_a_flood(times: list[int], at: int, limit: int) -> None:
    """Only the end of what was read is remembered; with times in order that is enough."""
    log = [raw(ts, "same") for ts in sorted(times)]
    tail = Tail(limit)
    for line in log[:at]:
        tail.add(line)
    resume = tail.resume()
    assert resume is not None
    fresh, _ = resume.admit(since(log, resume.since))
    assert fresh == b"".join(log[at:])


def test_a_rotated_file_loses_nothing() -> None:
    log = [raw(index * SECOND // 100, f"n{index}") for index in range(50)]
    reader = ContainerLog("p", "c")
    reader.feed(b"".join(log[:30]))
    ts = reader.reconnect()
    reader.feed(since(log[40:], ts))
    assert reader.lines == 40


def test_lines_thrown_away_are_counted_and_the_next_starts_clean() -> None:
    reader = ContainerLog("p", "c")
    reader.feed(raw(0, "a") + b"2026-11")
    reader.skip(7)
    reader.feed(b"half of one\n" + raw(1, "ERROR b"))
    assert [line.text for line, _ in reader.flush()] == ["ERROR b"]
    assert (reader.lines, reader.skipped) == (2, 7)


@given(st.lists(st.binary(max_size=40).map(lambda part: part.replace(b"\n", b"") + b"\n"), max_size=60))
def test_tail_is_bounded_and_keeps_the_newest(lines: list[bytes]) -> None:
    tail = Tail(100)
    for line in lines:
        tail.add(line)
    kept = b"".join(tail.chunks)
    assert b"".join(lines).endswith(kept)
    assert len(kept) <= 100


@given(st.lists(st.tuples(st.integers(0, 100), st.floats(0, 0.4)), max_size=80))
def test_merge_is_in_order_when_lines_are_late_by_less_than_the_window(items: list[tuple[int, float]]) -> None:
    """Line number n is written at its time and comes up to 0.4 s later."""
    arrivals = sorted(((ts + late, ts) for ts, late in items), key=lambda item: item[0])
    merge = Reorder(window=0.5)
    out: list[LogLine] = []
    for number, (arrived, ts) in enumerate(arrivals):
        out += merge.ready(arrived)
        merge.push(LogLine(ts * SECOND, "p", "c", Level.ERROR, str(number)), arrived)
    out += merge.ready(1000.0)
    assert [line.ts for line in out] == sorted(ts * SECOND for ts, _ in items)
    assert len(merge) == 0


def test_a_late_line_still_goes_to_its_place() -> None:
    book = ErrorBook(listed=3)
    for ts, at in ((5, 0.0), (7, 0.0), (6, 9.0), (8, 9.0)):
        book.add([(LogLine(ts, "p", "c", Level.ERROR, str(ts)), "m")], 100.0, at)
        book.advance(100.0, at + 1)
    summary = book.summary(LogSummary())
    assert [line.text for line in summary.errors] == ["8", "7", "6"]
    assert (summary.older, summary.patterns[0].count) == (1, 4)


def test_rate_counts_by_the_lines_own_time() -> None:
    rate = Rate()
    now = 1_000_000.0
    for back in (0, 5, 65, 65, 600, 5000, -300):
        rate.add(int((now - back) * SECOND), now)
    assert rate.last_minute == 3
    assert rate.per_minute[-1] == 3
    assert rate.per_minute[-2] == 2
    assert sum(rate.per_minute) == 6
    assert rate.roll(now + 60)
    assert rate.last_minute == 0
    assert rate.roll(now + 7200)
    assert not rate.roll(now + 7260), "nothing moves when all is zero"


def test_bars_move_once_a_minute() -> None:
    rate = Rate()
    begun = 1_000_020.0  # a full minute
    for back in (1, 61, 62, 125):
        rate.add(int((begun - back) * SECOND), begun)
    for later in range(0, 60, 10):
        rate.roll(begun + later)
        assert rate.per_minute[-5:] == (0, 1, 2, 1, 0)
    rate.roll(begun + 60)
    assert rate.per_minute[-5:] == (1, 2, 1, 0, 0)


@given(st.lists(st.lists(st.integers(0, 99), max_size=20).map(sorted), min_size=1, max_size=5), st.integers(0, 60))
def test_recent_lines_of_all_containers_are_merged(streams: list[list[int]], count: int) -> None:
    tails = tuple(
        (f"p{index}", "c", tuple(raw(ts, f"INFO {index} {ts}") for ts in stream))
        for index, stream in enumerate(streams)
    )
    lines = RecentLines(tails).lines(count)
    every = sorted((ts for stream in streams for ts in stream), reverse=True)
    assert [line.ts - START * SECOND for line in lines] == every[:count]
    assert all(line.text == f"INFO {line.pod[1:]} {line.ts - START * SECOND}" for line in lines)


def test_newest_first_over_chunks() -> None:
    chunks = (raw(1, "a") + raw(2, "b"), b"no stamp\n" + raw(3, "c"))
    assert [text for _, text in newest_first(chunks)] == [b"c", b"no stamp", b"b", b"a"]
    assert Counter(text for _, text in newest_first((b"x",))) == Counter([b"x"])
