"""What a log line says, apart from when it was written and how bad it is.

Invariant: what comes out is one harmless line; a line of a form that is not known comes out whole.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec

from planc_tui.core.logs.line import HEAD
from planc_tui.core.text import clean

_MESSAGE = re.compile(rb'"(?:msg|message|@m|@mt|short_message)"\s*:\s*"((?:[^"\\]|\\.)*)')
_LOGFMT_MESSAGE = re.compile(rb'(?:^|\s)(?:msg|message)=(?:"((?:[^"\\]|\\.)*)"?|(\S+))')
_PREAMBLE = re.compile(
    r"^\W*(?:\d{4}[-/]\d\d[-/]\d\d[T ])?(?:\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?)?[\])]*\s*"
    r"(?:[EFWI]\d{4} [\d:.]+\s+\d+ )?"
    r"(?:[\[<(]?(?:ERROR|ERR|FATAL|CRITICAL|CRIT|SEVERE|PANIC|error|fatal|crit|alert|emerg|fail|Error)\b[\]>)]?"
    r"(?=[\s:|-]|$)[\s:|-]*)?"
)


def message_of(text: bytes) -> str:
    """What a line says, sanitised, without its own time and level; the `msg` of JSON and logfmt.

    >>> message_of(b'{"level":"error","msg":"no \\\\"x\\\\""}'), message_of(b"14:32:06.4 ERROR: timed out")
    ('no "x"', 'timed out')
    """
    if text.lstrip()[:1] == b"{":
        match = _MESSAGE.search(text, 0, 16 * HEAD)
        if match is not None:
            return clean(_unescape(match[1]))
    elif b"msg=" in text or b"message=" in text:
        match = _LOGFMT_MESSAGE.search(text, 0, 16 * HEAD)
        if match is not None:
            return clean(_unescape(match[1] if match[1] is not None else match[2]))
    line = clean(text).strip()
    said = _PREAMBLE.sub("", line) or line
    # klog quotes the message, which is the part that does not change.
    quoted = _KLOG_QUOTED.match(said)
    return said if quoted is None else f"{quoted[1]}{quoted[2]}{said[quoted.end() :]}"


_KLOG_QUOTED = re.compile(r"([\w.-]+\.go:\d+\] )\"((?:[^\"\\]|\\.)*)\"")
_ESCAPE = re.compile(rb"\\(.)")


def _unescape(raw: bytes) -> bytes:
    """JSON escapes that occur in messages; the rest stays as it is written."""
    if b"\\" not in raw:
        return raw
    return _ESCAPE.sub(lambda match: {b"n": b" ", b"t": b" ", b"r": b" "}.get(match[1], match[1]), raw)


_TIME_KEYS = frozenset({"time", "ts", "timestamp", "@timestamp", "@t", "t", "date", "datetime"})
_LEVEL_KEYS = frozenset({"level", "lvl", "severity", "severity_text", "levelname", "log.level", "loglevel", "@l"})
_MESSAGE_KEYS = ("msg", "message", "@m", "@mt", "short_message")
_LOGFMT_NOISE = re.compile(r"(?:^|(?<=\s))(?:time|ts|timestamp|t|level|lvl|severity)=(?:\"[^\"]*\"|\S*)\s*")
_LOGFMT_QUOTED = re.compile(r"(?:^|(?<=\s))(?:msg|message)=\"((?:[^\"\\]|\\.)*)\"\s*")
_OWN_TIME = re.compile(
    r"^\[?\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?: ?(?:Z|UTC|[+-]\d\d:?\d\d))?\]?\s+"
    r"|^\d\d:\d\d:\d\d(?:[.,]\d+)?\s+"
    r"|^[IWEF]\d{4} [\d:.]+\s+\d+ "
)


@lru_cache(maxsize=1024)
def brief(text: str) -> str:
    """A sanitised line for a narrow place: its own time is left out, JSON and logfmt begin with their message.

    >>> brief('{"time":"x","level":"error","msg":"no db","host":"pg","n":2}'), brief("2026-11-24 14:32:06 ERROR no")
    ('no db  host=pg n=2', 'ERROR no')
    >>> brief('time=2026-11-24T14:32:06Z level=error msg="no db" host=pg')
    'no db  host=pg'
    """
    if text.startswith("{"):
        return _brief_json(text)
    if "level=" in text or "lvl=" in text:
        match = _LOGFMT_QUOTED.search(text)
        if match is None:
            return _LOGFMT_NOISE.sub("", text) or text
        rest = _LOGFMT_NOISE.sub("", text[: match.start()] + text[match.end() :]).strip()
        message = match[1].replace('\\"', '"')
        return f"{message}  {rest}" if rest else message
    return _OWN_TIME.sub("", text) or text


def _brief_json(text: str) -> str:
    try:
        found: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text
    if not isinstance(found, dict):
        return text
    key = next((key for key in _MESSAGE_KEYS if isinstance(found.get(key), str)), None)
    if key is None:
        return text
    rest = " ".join(
        f"{name}={value}"
        for name, value in found.items()
        if name != key and name not in _TIME_KEYS and name not in _LEVEL_KEYS and not isinstance(value, dict | list)
    )
    return clean(f"{found[key]}  {rest}" if rest else found[key])
