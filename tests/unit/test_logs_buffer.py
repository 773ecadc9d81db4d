"""The buffer behind the log screen: order, bounds, filter, and a view that stands still."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.core.logs.line import Level
from planc_tui.core.logs.lines import MARK, LineBuffer, LineLog, RawLine, Ring, line_level, line_text, matcher

TEXTS = st.sampled_from([b"ERROR a", b"info b", b"", b"x" * 50])
BATCHES = st.lists(st.lists(st.tuples(st.integers(0, 50), TEXTS), max_size=8), max_size=20)


def lines(*items: tuple[int, bytes]) -> list[RawLine]:
    """Lines of one container."""
    return [RawLine(ts, "c", text) for ts, text in items]


@given(BATCHES, st.integers(1, 20), st.integers(200, 3000))
def test_the_ring_is_bounded_keeps_the_newest_and_counts_the_rest(
    batches: list[list[tuple[int, bytes]]], most: int, most_bytes: int
) -> None:
    ring = Ring(most, most_bytes)
    everything: list[RawLine] = []
    for batch in batches:
        ring.add(lines(*batch))
        everything += lines(*batch)
        assert len(ring.lines) <= most * 1.1 + 1
        assert sum(len(line.text) + 120 for line in ring.lines[:-1]) <= most_bytes
    assert ring.lines == everything[len(everything) - len(ring.lines) :]
    assert ring.total == len(everything) == len(ring.lines) + ring.dropped


@given(BATCHES)
def test_lines_of_several_containers_are_in_order_of_time(batches: list[list[tuple[int, bytes]]]) -> None:
    ring = Ring()
    for batch in batches:
        ring.add(lines(*batch), by_time=True)
    assert [line.ts for line in ring.lines] == sorted(ts for batch in batches for ts, _ in batch)


@given(BATCHES, st.integers(0, 20), st.booleans())
def test_a_still_view_stands_still_and_counts(batches: list[list[tuple[int, bytes]]], at: int, filtered: bool) -> None:
    buffer = LineBuffer(max_lines=10)
    if filtered:
        buffer.look_for("a")
    for batch in batches[:at]:
        buffer.add(lines(*batch))
    buffer.stand_still()
    before = list(buffer.shown)
    for batch in batches[at:]:
        buffer.add(lines(*batch))
    assert buffer.shown == before
    came = [text for batch in batches[at:] for _, text in batch]
    assert buffer.waiting == (sum(b"a" in text.lower() for text in came) if filtered else len(came))
    buffer.go_on()
    assert buffer.waiting == 0


def test_matches_outlive_the_flood_around_them() -> None:
    buffer = LineBuffer(max_lines=10)
    buffer.add(lines((1, b"needle one")))
    buffer.look_for("NEEDLE")
    for ts in range(2, 500):
        buffer.add(lines((ts, b"hay")))
    buffer.add(lines((500, b"a needle two")))
    assert [line.text for line in buffer.shown] == [b"needle one", b"a needle two"]
    buffer.look_for("")
    assert len(buffer) <= 11
    assert buffer.total == 500


def test_highlighting_keeps_the_lines_around() -> None:
    buffer = LineBuffer()
    buffer.add(lines((1, b"a"), (2, b"b"), (3, b"a")))
    buffer.look_for("b", highlight=True)
    assert [buffer.matches(line) for line in buffer.shown] == [False, True, False]
    assert buffer.next_match(0, 1) == 1
    assert buffer.next_match(1, 1) == 1, "goes round"
    assert buffer.next_match(0, -1) == 1
    buffer.look_for("nothing", highlight=True)
    assert buffer.next_match(0, 1) is None


def test_a_bad_pattern_changes_nothing() -> None:
    buffer = LineBuffer()
    buffer.add(lines((1, b"a"), (2, b"b")))
    buffer.look_for("a")
    with pytest.raises(ValueError, match="not a pattern"):
        buffer.look_for("re:(")
    assert (buffer.filter, len(buffer)) == ("a", 1)


@pytest.mark.parametrize(
    ("text", "raw", "expected"),
    [
        ("err", b"an ERROR", True),
        ("!err", b"an ERROR", False),
        ("!", b"wow!", True),
        ("re:^a.*z$", b"A to Z", True),
        ("!re:z$", b"a to z", False),
        ("é", "café".encode(), True),
        ("x", b"\xff\x00x", True),
    ],
)
def test_matchers(text: str, raw: bytes, expected: bool) -> None:
    assert matcher(text)(raw) is expected


def test_clearing_keeps_the_counts() -> None:
    buffer = LineBuffer()
    buffer.add(lines((1, b"a"), (2, b"b")))
    buffer.stand_still()
    buffer.clear()
    assert (len(buffer), buffer.total, buffer.still) == (0, 2, False)
    buffer.add(lines((3, b"c")))
    assert [line.text for line in buffer.shown] == [b"c"]


def test_marks_and_harmless_text() -> None:
    buffer = LineBuffer()
    buffer.look_for("zzz")
    buffer.add([RawLine(1_500_000_000, MARK, b"")])
    assert len(buffer) == 1, "a mark passes every filter"
    mark = buffer.shown[0]
    assert line_text(mark, stamps=True, container=True) == "─── mark at 00:00:01 UTC ───"
    assert line_level(mark) is Level.UNKNOWN
    evil = RawLine(1_500_000_000, "c", b"\x1b[31mERROR\x1b[0m \x1b]0;x\x07[b]b[/b]\x00")
    assert line_text(evil, stamps=True, container=True) == "00:00:01.500 c ERROR [b]b[/b]"
    assert line_text(evil, stamps=False, container=False) == "ERROR [b]b[/b]"


def test_line_reader_keeps_every_line_and_the_last_time() -> None:
    reader = LineLog("p", "c")
    got = reader.feed(b"1970-01-01T00:00:01Z a\nno stamp\r\n\n1970-01-01T00:00:02Z b\nhalf")
    assert [(line.ts // 10**9, line.text) for line in got] == [
        (1, b"a"), (1, b"no stamp"), (1, b""), (2, b"b"),
    ]  # fmt: skip  # rows as a person reads them
    assert [line.text for line in reader.feed(b"\n")] == [b"half"]
