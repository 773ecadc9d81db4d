"""What many error lines have in common: the message with its changing parts taken out.

Invariant: memory is bounded; patterns that had to be forgotten are counted, so that the counts always add up to the
number of lines added.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence

from msgspec import Struct

from planc_tui.core.logs.line import Level, LogLine

TEMPLATE_CHARS = 240
CAPACITY = 400
SAMPLES = 5

_QUOTED = re.compile(r"\"[^\"]{1,200}\"|(?<!\w)'[^']{1,200}'(?!\w)")
_DIGIT = re.compile(r"\d")
_PARTS = re.compile(
    r"(?P<uuid>\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b)"
    r"|(?P<time>\b\d{4}[-/]\d\d[-/]\d\d(?:T\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?(?:Z|[+-]\d\d:?\d\d)?"
    r"|\b\d\d:\d\d:\d\d(?:[.,]\d+)?)"
    r"|(?P<ip>\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b|\[[0-9a-fA-F:]*::?[0-9a-fA-F:]*\](?::\d+)?"
    r"|\b(?:[0-9a-fA-F]{1,4}:){3,7}:?[0-9a-fA-F]{1,4}\b)"
    r"|(?P<hex>\b0x[0-9a-fA-F]+\b)"
    r"|(?P<port>(?<=[A-Za-z]):\d{2,5}\b)"
    r"|(?P<dur>\b(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d))+\b)"
    r"|(?P<n>(?<![\w.])[-+]?\d[\d,_]*(?:\.\d+)*(?:[eE][-+]?\d+)?%?(?![\w]))"
    r"|(?P<word>\b\w*\d\w*\b)"
)
_ID = re.compile(r"(?=\w*\d)(?=\w*[A-Za-z])\w{4,}")
_DIGITS = re.compile(r"\d+")


def template_of(message: str) -> str:
    """The message with numbers, ids, addresses, times, durations and quoted text replaced by their kind.

    >>> template_of("request 8f1c failed after 31.5ms: connection refused to postgres:5432")
    'request <id> failed after <dur>: connection refused to postgres:5432'
    >>> template_of('no row 17 for "bob" at 10.1.2.3:99 on app-7d9f4b6c-x2k1p')
    'no row <n> for <str> at <ip> on app-<id>-<id>'
    """
    text = message[: 2 * TEMPLATE_CHARS]
    if '"' in text or "'" in text:
        text = _QUOTED.sub("<str>", text)
    # Everything else that changes has a digit in it, which most words have not.
    words = [_PARTS.sub(_mask, word) if _DIGIT.search(word) else word for word in text.split(" ")]
    return " ".join(words)[:TEMPLATE_CHARS]


def _mask(match: re.Match[str]) -> str:
    kind = match.lastgroup
    text = match[0]
    if kind == "port":
        return text
    if kind != "word":
        return f"<{kind}>"
    # `user42` is a word with a number; what mixes them otherwise is an id.
    letters = _DIGITS.sub("", text)
    if text.startswith(letters):
        return f"{letters}<n>"
    return "<id>" if _ID.fullmatch(text) else _DIGITS.sub("<n>", text)


class Pattern(Struct, frozen=True):
    """A template with how often and when it was seen. first, last: ns since the epoch. samples: newest last."""

    template: str
    count: int
    first: int
    last: int
    level: Level
    pods: int
    samples: tuple[LogLine, ...]


class _Entry:
    """Running figures of one template."""

    __slots__ = ("count", "first", "last", "level", "pods", "samples", "template")

    def __init__(self, template: str, ts: int) -> None:
        self.template = template
        self.count = 0
        self.first = ts
        self.last = ts
        self.level = Level.UNKNOWN
        self.pods: set[str] = set()
        self.samples: deque[LogLine] = deque(maxlen=SAMPLES)

    def add(self, line: LogLine) -> None:
        self.count += 1
        self.first = min(self.first, line.ts)
        self.last = max(self.last, line.ts)
        self.level = max(self.level, line.level)
        if len(self.pods) < 1000:
            self.pods.add(line.pod)
        self.samples.append(line)

    def frozen(self) -> Pattern:
        return Pattern(
            self.template, self.count, self.first, self.last, self.level, len(self.pods), tuple(self.samples)
        )


class PatternTable:
    """Patterns by template. total: lines added; other: lines of patterns that were forgotten."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._entries: dict[str, _Entry] = {}
        self.total = 0
        self.other = 0

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, message: str, line: LogLine) -> None:
        """Count one error line under the template of `message`."""
        template = template_of(message)
        entry = self._entries.get(template)
        if entry is None:
            if len(self._entries) >= self._capacity:
                self._forget()
            entry = self._entries[template] = _Entry(template, line.ts)
        entry.add(line)
        self.total += 1

    def top(self, count: int) -> Sequence[Pattern]:
        """The most frequent patterns; of equals the one seen last."""
        ranked = sorted(self._entries.values(), key=lambda entry: (-entry.count, -entry.last, entry.template))
        return tuple(entry.frozen() for entry in ranked[:count])

    def clear(self) -> None:
        """Forget everything, counts too."""
        self._entries.clear()
        self.total = 0
        self.other = 0

    def _forget(self) -> None:
        """Drop the lesser half at once, so that a stream of ever new messages stays cheap."""
        ranked = sorted(self._entries.values(), key=lambda entry: (entry.count, entry.last))
        for entry in ranked[: len(ranked) // 2 + 1]:
            self.other += entry.count
            del self._entries[entry.template]
