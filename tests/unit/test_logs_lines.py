"""Levels, stamps, stack traces and patterns of log lines."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.core.logs.container import ContainerLog
from planc_tui.core.logs.line import (
    HEAD,
    Level,
    LogLine,
    Suspects,
    clock_text,
    format_stamp,
    level_of,
    parse_stamp,
)
from planc_tui.core.logs.message import brief, message_of
from planc_tui.core.logs.patterns import PatternTable, template_of
from planc_tui.core.logs.reader import LINE_BYTES

STAMP = b"2026-11-24T14:32:06.412345678Z "
TS = 1795530726412345678


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ('{"level":"error","msg":"x"}', Level.ERROR),
        ('{"ts":1,"severity":"CRITICAL"}', Level.FATAL),
        ('{"time":1,"level":50,"msg":"pino"}', Level.ERROR),
        ('{"name":"bunyan","level":60}', Level.FATAL),
        ('{"level":40}', Level.WARN),
        ('{"short_message":"gelf","level":3}', Level.ERROR),
        ('{"error":null,"level":"info","msg":"ERROR in text"}', Level.INFO),
        ('{"msg":"\\"level\\":\\"error\\"","level":"debug"}', Level.DEBUG),
        ('{"msg":"nothing said"}', Level.UNKNOWN),
        ("level=error msg=x", Level.ERROR),
        ('time="2026-11-24" level=warning msg="no error here"', Level.WARN),
        ("ts=1 lvl=crit", Level.FATAL),
        ("E1124 14:32:06.412345       1 reflector.go:138] failed", Level.ERROR),
        ("I1124 14:32:06.412345       1 main.go:1] error: none", Level.INFO),
        ("F1124 14:32:06.412345       1 main.go:1] bye", Level.FATAL),
        ("2026-11-24 14:32:06,412 - app.db - ERROR - no connection", Level.ERROR),
        ("ERROR:root:no connection", Level.ERROR),
        ("14:32:06.412 [main] ERROR com.example.App - no", Level.ERROR),
        ("2026/11/24 14:32:06 [error] 31#31: *1 upstream", Level.ERROR),
        ("2026-11-24 14:32:06.412 [error] <0.684.0> rabbit", Level.ERROR),
        ("[2026-11-24T14:32:06,412][ERROR][o.e.b.Bootstrap] x", Level.ERROR),
        ("2026-11-24 14:32:06 UTC [61] FATAL:  password authentication failed", Level.FATAL),
        ("2026-11-24 14:32:06 UTC [61] LOG:  checkpoint: no ERROR", Level.INFO),
        ("E, [2026-11-24T14:32:06.4 #1] ERROR -- : ruby", Level.ERROR),
        ("\x1b[31mERROR\x1b[0m rust", Level.ERROR),
        ("fail: Microsoft.AspNetCore[1]", Level.ERROR),
        ("error: relation does not exist", Level.ERROR),
        ("npm ERR! missing script", Level.ERROR),
        ("INFO done, 3 ERROR lines before", Level.INFO),
        ("WARN retry after ERROR", Level.WARN),
        ("Traceback (most recent call last):", Level.ERROR),
        ('Exception in thread "main" java.lang.IllegalStateException: x', Level.ERROR),
        ("java.lang.NullPointerException: x", Level.ERROR),
        ("TypeError: x is not a function", Level.ERROR),
        ("panic: runtime error: index out of range", Level.FATAL),
        ("fatal error: all goroutines are asleep", Level.FATAL),
        ("GET /errors/ERROR-7 200 0.3", Level.UNKNOWN),
        ("handled 0 errors", Level.UNKNOWN),
        ("", Level.UNKNOWN),
    ],
)
def test_levels(text: str, level: Level) -> None:
    assert level_of(text.encode()) is level


PIECES = st.sampled_from(
    ["ERROR", "fatal", "level=", '{"level":', '"level":"', "50", "E1124 14:32:06", "panic: ", "err", "[crit]", " ",
     ":", '"', "}", "x", "fail", "severity=3", "a.b.FooError", "\t", "Unhandled "]
)  # fmt: skip  # rows as a person reads them


@given(st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text(max_size=HEAD)))
def test_the_quick_search_misses_no_error(text: str) -> None:
    raw = text.replace("\x1b", "").encode()
    if level_of(raw) >= Level.ERROR:
        assert Suspects(raw.lower()).next(0) >= 0


@given(st.integers(1, 4_000_000_000), st.integers(0, 999_999_999), st.integers(-14 * 60, 14 * 60))
def test_stamps_round_trip(seconds: int, nanos: int, offset: int) -> None:
    local = datetime.fromtimestamp(seconds + offset * 60, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{nanos:09d}".rstrip("0").rstrip(".")
    hours, minutes = divmod(abs(offset), 60)
    zone = f"{'-' if offset < 0 else '+'}{hours:02d}:{minutes:02d}" if offset else "Z"
    line = f"{local}{fraction}{zone} text".encode()
    stamp = parse_stamp(line)
    assert stamp is not None
    assert stamp[0] == seconds * 1_000_000_000 + nanos
    assert line[stamp[1] :] == b"text"
    assert parse_stamp(format_stamp(stamp[0]).encode()) == (seconds * 1_000_000_000, 20)


@pytest.mark.parametrize("line", [b"", b"2026-99-24T14:32:06Z x", b"2026-11-24T14:32:06", b"hello", b"\xff" * 30])
def test_no_stamp_is_no_stamp(line: bytes) -> None:
    assert parse_stamp(line) is None


def test_clock() -> None:
    assert clock_text(TS) == "14:32:06.412"


def read(*texts: str, chunk: int | None = None) -> list[LogLine]:
    """The errors in `texts`, each stamped, fed in pieces of `chunk` bytes."""
    log = ContainerLog("app-1", "app")
    data = b"".join(STAMP + text.encode() + b"\n" for text in texts)
    found = []
    for start in range(0, len(data), chunk or len(data) or 1):
        found += log.feed(data[start : start + (chunk or len(data))])
    found += log.flush()
    assert log.lines == len(texts)
    return [line for line, _ in found]


JAVA = ["2026 ERROR c.e.App - no", "java.sql.SQLException: down", "\tat c.e.App.run(App.java:3)",
        "Caused by: java.net.ConnectException: refused", "\t... 12 more"]  # fmt: skip  # rows as a person reads them
PYTHON = ["Traceback (most recent call last):", '  File "a.py", line 1, in f', "    f()", "KeyError: 'x'", "",
          "During handling of the above exception, another exception occurred:", "",
          "Traceback (most recent call last):", '  File "a.py", line 3', "my.pkg.Oops: no"]  # fmt: skip  # as read
GO = ["panic: runtime error: index out of range [5] with length 3", "", "goroutine 1 [running]:",
      "main.(*Server).handle(0xc000, 0x1)", "\t/src/main.go:12 +0x1d", "created by main.run", "\t/src/main.go:8 +0x5",
      "exit status 2"]  # fmt: skip  # rows as a person reads them
NODE = ["TypeError: x is not a function", "    at f (/app/a.js:1:2)", "    at node:internal/main:1 {",
        "  code: 'E1'", "}"]  # fmt: skip  # rows as a person reads them


@pytest.mark.parametrize("trace", [JAVA, PYTHON, GO, NODE], ids=["java", "python", "go", "node"])
@pytest.mark.parametrize("chunk", [None, 7, 64])
def test_traces_stay_with_their_line(trace: list[str], chunk: int | None) -> None:
    after = ["INFO next", "ERROR second"]
    first, second = read("INFO before", *trace, *after, chunk=chunk)
    assert first.text == trace[0]
    assert [line.strip() for line in first.trace if line] == [line.strip() for line in trace[1:] if line]
    assert (second.text, second.trace) == ("ERROR second", ())


def test_a_bare_traceback_is_named_by_its_exception() -> None:
    log = ContainerLog("p", "c")
    log.feed(b"".join(STAMP + line.encode() + b"\n" for line in PYTHON))
    ((_, message),) = log.flush()
    assert message == "my.pkg.Oops: no"


def test_endless_traces_are_cut_and_counted() -> None:
    (line,) = read("ERROR x", *["    at y" for _ in range(500)])
    assert len(line.trace) + line.cut == 500
    assert len(line.trace) < 200


@given(st.lists(st.sampled_from([*JAVA, *PYTHON, *GO, *NODE, "INFO a", "x", ""]), max_size=30), st.integers(1, 90))
def test_chunks_do_not_matter(texts: list[str], chunk: int) -> None:
    assert read(*texts, chunk=chunk) == read(*texts)


def test_hostile_lines() -> None:
    log = ContainerLog("p", "c")
    huge = STAMP + b"ERROR " + b"A" * 1_000_000
    found = log.feed(huge[:500_000]) + log.feed(huge[500_000:]) + log.feed(b"\n")
    found += log.feed(STAMP + b"ERROR \x1b]0;t\x07\x1b[2J\x00\xff\xe2\x80\xae[bold]x\n") + log.flush()
    assert [line.level for line, _ in found] == [Level.ERROR, Level.ERROR]
    assert len(found[0][0].text) <= 4096
    assert found[1][0].text.replace("\N{REPLACEMENT CHARACTER}", "?") == "ERROR ?[bold]x"
    assert sum(map(len, log.tail)) < 2 * LINE_BYTES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"level":"error","msg":"no \\"db\\"\\n","x":1}', 'no "db" '),
        ('level=error msg="no db" x=1', "no db"),
        ("2026-11-24 14:32:06,412 ERROR no db", "no db"),
        ("[ERROR] no db", "no db"),
        ("E1124 14:32:06.412345       1 a.go:3] no db", "a.go:3] no db"),
        ('E1124 14:32:06.412345       1 a.go:3] "no db" err="x"', 'a.go:3] no db err="x"'),
        ("Errors happen", "Errors happen"),
    ],
)
def test_messages(text: str, message: str) -> None:
    assert message_of(text.encode()) == message


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ('{"ts":1,"level":50,"msg":"a\\u001b[31mb","err":{"x":1},"n":null}', "ab  n=None"),
        ('{"level":"error"}', '{"level":"error"}'),
        ('{"level":"error","msg":"cut of…', '{"level":"error","msg":"cut of…'),
        ("[1]", "[1]"),
        ("E1124 14:32:06.412345       1 a.go:3] no db", "a.go:3] no db"),
        ("[2026-11-24 14:32:06,412] ERROR x", "ERROR x"),
        ("2026-11-24 14:32:06 UTC FATAL x", "FATAL x"),
        ("level=error err=x", "err=x"),
        ("2026-11-24 14:32:06 ", "2026-11-24 14:32:06 "),
    ],
)
def test_brief(text: str, short: str) -> None:
    assert brief(text) == short


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("timeout after 31 ms on queue tasks", "timeout after 7 ms on queue tasks"),
        ("id 5f0c2b9e-1111-4222-8333-444455556666", "id 00000000-1111-4222-8333-444455556666"),
        ('no "orders" at 2026-11-24T14:32:06.4Z', 'no "users" at 2026-11-25T01:00:00Z'),
        ("peer 10.0.0.1:5432 gone for 1m3s", "peer 192.168.7.254:80 gone for 250ms"),
        ("at 0xc000012345 took 3.5e-3", "at 0x1 took 12"),
        ("user42 on app-7d9f4-x2k1p", "user7 on app-5c6b8-9qqwz"),
        ("peer [fe80::1]:443", "peer [2001:db8::7:1]:80"),
    ],
)
def test_same_pattern(one: str, other: str) -> None:
    assert template_of(one) == template_of(other)


def test_ports_of_names_stay() -> None:
    assert template_of("connection refused to postgres:5432") == "connection refused to postgres:5432"


@given(st.lists(st.tuples(st.text("abxy", max_size=3), st.integers(0, 50)), max_size=200))
def test_pattern_counts_add_up(added: list[tuple[str, int]]) -> None:
    table = PatternTable(capacity=8)
    for message, ts in added:
        table.add(message, LogLine(ts, "p", "c", Level.ERROR, message))
    top = table.top(100)
    assert sum(pattern.count for pattern in top) + table.other == table.total == len(added)
    assert len(table) <= 8
    assert [pattern.count for pattern in top] == sorted((pattern.count for pattern in top), reverse=True)
    assert all(pattern.first <= pattern.last for pattern in top)


@given(st.text(max_size=300))
def test_templates_are_bounded(message: str) -> None:
    assert len(template_of(message)) <= 240
