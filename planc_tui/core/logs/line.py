"""One log line: the kubelet's time stamp before it and how bad it says it is.

Invariant: reading a line never fails. What cannot be read has no time and no level; `Suspects` finds every line
that `level_of` calls an error or worse, and a few others.
"""

from __future__ import annotations

import re
from calendar import timegm
from datetime import UTC, datetime
from enum import IntEnum

from msgspec import Struct

HEAD = 400
"""Bytes at the start of a line in which a level is looked for."""
SECOND = 1_000_000_000


class Level(IntEnum):
    """How bad a line says it is."""

    UNKNOWN = 0
    TRACE = 10
    DEBUG = 20
    INFO = 30
    WARN = 40
    ERROR = 50
    FATAL = 60


class LogLine(Struct, frozen=True):
    """A line with the lines that belong to it. ts: nanoseconds since the epoch by the container runtime's clock.

    text and trace are sanitised. cut: lines of the trace that were left out. seq: order of arrival."""

    ts: int
    pod: str
    container: str
    level: Level
    text: str
    trace: tuple[str, ...] = ()
    cut: int = 0
    seq: int = 0

    @property
    def order(self) -> tuple[int, int]:
        """Sort key: time, then arrival."""
        return (self.ts, self.seq)


class _Seconds:
    """Epoch seconds of the last date and time read, because neighbouring lines share it."""

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}

    def of(self, text: bytes) -> int | None:
        """Epoch seconds of `2026-11-24T14:32:06`, None when it is not a time."""
        found = self._known.get(text)
        if found is None:
            found = _seconds(text)
            if found is None:
                return None
            if len(self._known) > 512:
                self._known.clear()
            self._known[text] = found
        return found


_DATE = re.compile(rb"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)")


def _seconds(text: bytes) -> int | None:
    match = _DATE.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups())
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60 and year > 0):
        return None
    return timegm((year, month, day, hour, minute, second, 0, 0, 0))


_KNOWN = _Seconds()
_ZONE = re.compile(rb"(?:\.(\d{1,9})\d*)?(?:Z|([+-])(\d\d):(\d\d))(?: |$)")


def parse_stamp(line: bytes) -> tuple[int, int] | None:
    """Time of a line with an RFC 3339 stamp before it, in ns since the epoch, and where its text starts.

    >>> parse_stamp(b"1970-01-01T00:00:01.5Z hello")
    (1500000000, 23)
    >>> parse_stamp(b"hello") is None
    True
    """
    seconds = _KNOWN.of(line[:19])
    if seconds is None:
        return None
    match = _ZONE.match(line, 19)
    if match is None:
        return None
    fraction, sign, hours, minutes = match.groups()
    nanos = int(fraction.ljust(9, b"0")) if fraction else 0
    if sign:
        offset = int(hours) * 3600 + int(minutes) * 60
        seconds += offset if sign == b"-" else -offset
    return seconds * SECOND + nanos, match.end()


def format_stamp(ts: int) -> str:
    """RFC 3339 to the whole second below, as `sinceTime` wants it.

    >>> format_stamp(1_500_000_000)
    '1970-01-01T00:00:01Z'
    """
    return _utc(ts).strftime("%Y-%m-%dT%H:%M:%SZ")


def clock_text(ts: int, millis: bool = True) -> str:
    """Time of day in UTC for the screen.

    >>> clock_text(1_500_000_000), clock_text(1_500_000_000, millis=False)
    ('00:00:01.500', '00:00:01')
    """
    seconds, nanos = divmod(ts, SECOND)
    hour, rest = divmod(seconds % 86400, 3600)
    text = f"{hour:02d}:{rest // 60:02d}:{rest % 60:02d}"
    return f"{text}.{nanos // 1_000_000:03d}" if millis else text


def _utc(ts: int) -> datetime:
    return datetime.fromtimestamp(ts // SECOND, tz=UTC)


_WORDS = {
    b"trace": Level.TRACE,
    b"trc": Level.TRACE,
    b"finest": Level.TRACE,
    b"debug": Level.DEBUG,
    b"dbug": Level.DEBUG,
    b"dbg": Level.DEBUG,
    b"fine": Level.DEBUG,
    b"verbose": Level.DEBUG,
    b"info": Level.INFO,
    b"inf": Level.INFO,
    b"information": Level.INFO,
    b"informational": Level.INFO,
    b"notice": Level.INFO,
    b"log": Level.INFO,
    b"warn": Level.WARN,
    b"wrn": Level.WARN,
    b"warning": Level.WARN,
    b"error": Level.ERROR,
    b"err": Level.ERROR,
    b"fail": Level.ERROR,
    b"severe": Level.ERROR,
    b"fatal": Level.FATAL,
    b"critical": Level.FATAL,
    b"crit": Level.FATAL,
    b"panic": Level.FATAL,
    b"dpanic": Level.FATAL,
    b"alert": Level.FATAL,
    b"emerg": Level.FATAL,
    b"emergency": Level.FATAL,
}
_KLOG = {b"I": Level.INFO, b"W": Level.WARN, b"E": Level.ERROR, b"F": Level.FATAL}
# Severities of syslog, as GELF sends them.
_SYSLOG = (Level.FATAL, Level.FATAL, Level.FATAL, Level.ERROR, Level.WARN, Level.INFO, Level.INFO, Level.DEBUG)
_KEYS = rb"(?:log\.?level|log_level|levelname|severity_text|severity|level|lvl|@l)"

_ANSI = re.compile(rb"\x1b\[[0-9;]*m")
_JSON = re.compile(rb'"' + _KEYS + rb'"\s*:\s*(?:"([A-Za-z]+)|(\d+))', re.I)
_LOGFMT = re.compile(rb"(?:^|[\s{,])" + _KEYS + rb'="?(?:([A-Za-z]+)|(\d+))', re.I)
_KLOG_LINE = re.compile(rb"([IWEF])\d{4} \d\d:\d\d:\d\d")
_UPPER = re.compile(
    rb"(?<![A-Za-z0-9_/.-])(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|SEVERE|FATAL|CRITICAL|CRIT|PANIC"
    rb"|ALERT|EMERG|FINE|LOG)(?![A-Za-z0-9_/-])"
)
_BRACKETED = re.compile(
    rb"[\[<(](trace|debug|info|notice|warn|warning|error|err|fatal|critical|crit|panic|alert|emerg)\s*[\]>)]", re.I
)
_FIRST = re.compile(
    rb"(?:\S+ )??(trce|dbug|debug|info|warn|warning|fail|error|err|crit|critical|fatal error|fatal|panic)"
    rb"(?:\[\d+\])?:(?:\s|$)",
    re.I,
)
_CRASH = re.compile(
    rb"Traceback \(most recent call last\)|Exception in thread |Unhandled |Uncaught |panic: |fatal error: "
    rb"|(?:[A-Za-z_$][\w$]*\.)*[A-Za-z_$][\w$]*(?:Exception|Error)(?::|$)"
)
# Each of these is searched for by its first letters at about a nanosecond a byte; one pattern of alternatives, which
# has to stop at every letter that may begin one, takes five times as long as all of them together.
_WORDS_OF_ERRORS = (
    b"err", b"fatal", b"crit", b"panic", b"xcepti", b"tracebac", b"severe", b"emerg", b"alert", b"fail", b"uncaught",
    b"unhandled",
)  # fmt: skip  # rows as a person reads them
_NUMERIC = tuple(
    re.compile(key + rb"\"?\s*[:=]\s*\"?[0-9]")
    for key in (b"level", b"severity", b"severity_text", b"levelname", b"lvl", b"@l")
)
_KLOG_STARTS = (re.compile(rb"e\d{4} \d\d:\d\d:"), re.compile(rb"f\d{4} \d\d:\d\d:"))


class Suspects:
    """Finds, from left to right, where lines may say that they are errors. low: the text, lower-cased."""

    def __init__(self, low: bytes) -> None:
        self._low = low
        self._next: list[int] = [-2] * (len(_WORDS_OF_ERRORS) + len(_PATTERNS))

    def next(self, start: int) -> int:
        """The first place from `start` on, -1 when there is none. `start` may only grow from call to call."""
        best = -1
        for index, at in enumerate(self._next):
            if at != -1 and at < start:
                at = self._next[index] = self._find(index, start)
            if at != -1 and (best == -1 or at < best):
                best = at
        return best

    def _find(self, index: int, start: int) -> int:
        if index < len(_WORDS_OF_ERRORS):
            return self._low.find(_WORDS_OF_ERRORS[index], start)
        match = _PATTERNS[index - len(_WORDS_OF_ERRORS)].search(self._low, start)
        return -1 if match is None else match.start()


_PATTERNS = (*_NUMERIC, *_KLOG_STARTS)


def level_of(text: bytes) -> Level:
    """Level that a line (without its kubelet stamp) claims; UNKNOWN when it claims none.

    >>> level_of(b'{"time":1,"level":50,"msg":"x"}').name, level_of(b"E1124 14:32:06.1 1 x.go:1] no").name
    ('ERROR', 'ERROR')
    >>> level_of(b'ts=1 level=warn msg="error=0"').name, level_of(b"2026/11/24 14:32:06 [error] 31#31: no").name
    ('WARN', 'ERROR')
    """
    head = text[:HEAD]
    match = _KLOG_LINE.match(head)
    if match is not None:
        return _KLOG[match[1]]
    if b"\x1b" in head:
        head = _ANSI.sub(b" ", head)
    head = head.lstrip()
    if head.startswith(b"{"):
        match = _JSON.search(text, 0, 16 * HEAD)
        return Level.UNKNOWN if match is None else _named(match[1], match[2])
    match = _LOGFMT.search(head)
    if match is not None:
        found = _named(match[1], match[2])
        if found is not Level.UNKNOWN:
            return found
    return _plain(head)


def _plain(head: bytes) -> Level:
    found = [match for match in (_UPPER.search(head), _BRACKETED.search(head), _FIRST.match(head)) if match]
    if found:
        first = min(found, key=lambda match: match.start(1))
        return _WORDS.get(first[1].lower().split()[0], Level.TRACE)
    match = _CRASH.match(head)
    if match is None:
        return Level.UNKNOWN
    return Level.FATAL if match[0] in (b"panic: ", b"fatal error: ") else Level.ERROR


def _named(word: bytes | None, number: bytes | None) -> Level:
    if word:
        return _WORDS.get(word.lower(), Level.UNKNOWN)
    value = int(number or b"0") if number and len(number) < 4 else 0
    if value < len(_SYSLOG):
        return _SYSLOG[value] if number else Level.UNKNOWN
    return max((level for level in Level if level <= value), default=Level.UNKNOWN)
