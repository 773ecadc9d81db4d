"""The lines of one pod's log as a person reads them: a bounded buffer, a filter, a view that can stand still.

Invariant: while the view stands still it shows exactly the same lines, whatever comes or is dropped behind it; what
came meanwhile and what was dropped is counted.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from planc_tui.core.logs.line import Level, clock_text, level_of
from planc_tui.core.logs.reader import LogReader, stamped
from planc_tui.core.text import clean

BUFFER_LINES = 20_000
BUFFER_BYTES = 16_777_216
MARK = "\N{BOX DRAWINGS LIGHT HORIZONTAL}"
_OVERHEAD = 120


class RawLine(NamedTuple):
    """A line as it came. ts: ns since the epoch. container: sanitised; MARK for a mark that a person set."""

    ts: int
    container: str
    text: bytes


class LineLog(LogReader[RawLine]):
    """Reads every line of one container."""

    def read(self, whole: bytes) -> list[RawLine]:
        lines = []
        ts = self.newest
        for raw in whole[:-1].split(b"\n"):
            at, text = stamped(raw)
            ts = at or ts
            lines.append(RawLine(ts, self.container, text))
        return lines


Matcher = Callable[[bytes], bool]


def matcher(text: str) -> Matcher:
    """A test for the raw text of a line: words as they are, `!words` for lines without them, `re:` for a pattern;
    upper and lower case are the same. Raises ValueError for a pattern that cannot be read.

    >>> matcher("no db")(b"ERROR No DB"), matcher("!get")(b"GET /"), matcher("re:^a.c$")(b"abc")
    (True, False, True)
    """
    if text.startswith("!") and len(text) > 1:
        inner = matcher(text[1:])
        return lambda raw: not inner(raw)
    if text.startswith("re:"):
        try:
            pattern = re.compile(text[3:].encode(), re.IGNORECASE)
        except re.error as error:
            raise ValueError(f"not a pattern: {error}") from error
        return lambda raw: pattern.search(raw) is not None
    needle = text.lower().encode()
    return lambda raw: needle in raw.lower()


class Ring:
    """Lines in order, the oldest dropped beyond a number of lines or bytes. total: lines ever added."""

    def __init__(self, max_lines: int = BUFFER_LINES, max_bytes: int = BUFFER_BYTES) -> None:
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._bytes = 0
        self.lines: list[RawLine] = []
        self.total = 0

    @property
    def dropped(self) -> int:
        """Lines that are no longer kept."""
        return self.total - len(self.lines)

    def add(self, batch: Sequence[RawLine], by_time: bool = False) -> None:
        """Append lines; by_time: put them among the newest lines where their time says, later ones below equals."""
        if not batch:
            return
        self.total += len(batch)
        self._bytes += sum(len(line.text) + _OVERHEAD for line in batch)
        if by_time and self.lines and min(line.ts for line in batch) < self.lines[-1].ts:
            at = bisect_right(self.lines, min(line.ts for line in batch), key=lambda line: line.ts)
            self.lines[at:] = sorted([*self.lines[at:], *batch], key=lambda line: line.ts)
        else:
            self.lines.extend(sorted(batch, key=lambda line: line.ts) if by_time else batch)
        self._trim()

    def clear(self) -> None:
        """Drop every line."""
        self.lines = []
        self._bytes = 0

    def _trim(self) -> None:
        # Cutting a list at its start moves all of it, so a tenth more is let in before it is cut.
        if len(self.lines) <= self._max_lines * 1.1 and self._bytes <= self._max_bytes:
            return
        cut = max(0, len(self.lines) - self._max_lines)
        left = self._bytes - sum(len(line.text) + _OVERHEAD for line in self.lines[:cut])
        while left > self._max_bytes * 0.9 and cut < len(self.lines) - 1:
            left -= len(self.lines[cut].text) + _OVERHEAD
            cut += 1
        del self.lines[:cut]
        self._bytes = left


class LineBuffer:
    """What the log screen shows. Call it under one lock when lines come from another thread."""

    def __init__(self, max_lines: int = BUFFER_LINES, max_bytes: int = BUFFER_BYTES) -> None:
        self._limits = (max_lines, max_bytes)
        self._all = Ring(max_lines, max_bytes)
        self._kept: Ring | None = None
        self._still: list[RawLine] | None = None
        self._still_total = 0
        self._matches: Matcher | None = None
        self.filter = ""

    def __len__(self) -> int:
        return len(self.shown)

    @property
    def shown(self) -> list[RawLine]:
        """The lines of the view, oldest first; not to be changed."""
        return self._ring.lines if self._still is None else self._still

    @property
    def total(self) -> int:
        """Lines that came."""
        return self._all.total

    @property
    def dropped(self) -> int:
        """Lines that came and are no longer kept."""
        return self._ring.dropped

    @property
    def still(self) -> bool:
        """Whether the view stands still."""
        return self._still is not None

    @property
    def waiting(self) -> int:
        """Lines for this view that came since it stands still."""
        return 0 if self._still is None else self._ring.total - self._still_total

    @property
    def highlighting(self) -> bool:
        """Whether lines that do not match stay in the view."""
        return self._matches is not None and self._kept is None

    def add(self, batch: Sequence[RawLine], by_time: bool = False) -> None:
        """New lines; see Ring.add."""
        self._all.add(batch, by_time)
        if self._kept is not None:
            # The filter is applied as lines come, so that matches outlive the flood around them.
            self._kept.add([line for line in batch if self._passes(line)], by_time)

    def stand_still(self) -> None:
        """Keep showing exactly what is shown now."""
        if self._still is None:
            self._still = list(self._ring.lines)
            self._still_total = self._ring.total

    def go_on(self) -> None:
        """Show what there is, as it comes."""
        self._still = None

    def look_for(self, text: str, *, highlight: bool = False) -> None:
        """Show only lines that match, or all with the matching ones highlighted; "" shows all.

        Raises ValueError and changes nothing when the filter cannot be read."""
        matches = matcher(text) if text else None
        still = self._still is not None
        self._matches, self.filter = matches, text
        self._kept = None
        if matches is not None and not highlight:
            self._kept = Ring(*self._limits)
            self._kept.add([line for line in self._all.lines if self._passes(line)])
        self._still = None
        if still:
            self.stand_still()

    def matches(self, line: RawLine) -> bool:
        """Whether the line is one that is looked for."""
        return self._matches is not None and self._matches(line.text)

    def next_match(self, start: int, step: int) -> int | None:
        """Index of the next line from `start` on in direction `step` (1 or -1) that matches; goes round."""
        lines = self.shown
        for distance in range(1, len(lines) + 1):
            index = (start + step * distance) % len(lines)
            if self.matches(lines[index]):
                return index
        return None

    def clear(self) -> None:
        """Forget every line, not the counts."""
        self._all.clear()
        if self._kept is not None:
            self._kept.clear()
        self._still = None

    @property
    def _ring(self) -> Ring:
        return self._all if self._kept is None else self._kept

    def _passes(self, line: RawLine) -> bool:
        return line.container == MARK or (self._matches is not None and self._matches(line.text))


def line_text(line: RawLine, *, stamps: bool, container: bool) -> str:
    """A line for the screen, sanitised."""
    if line.container == MARK:
        return f"{MARK * 3} mark at {clock_text(line.ts, millis=False)} UTC {MARK * 3}"
    parts = [clock_text(line.ts)] if stamps and line.ts else []
    if container:
        parts.append(line.container)
    parts.append(clean(line.text))
    return " ".join(parts)


def line_level(line: RawLine) -> Level:
    """The level of a line; a mark has none."""
    return Level.UNKNOWN if line.container == MARK else level_of(line.text)
