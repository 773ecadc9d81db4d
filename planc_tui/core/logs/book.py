"""Everything the errors pane shows, kept in bounded memory.

Invariant: what was dropped is counted: `lost` are lines nobody read, `older` are errors that were read and counted
in patterns and rates but are no longer listed.
"""

from __future__ import annotations

import heapq
from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator

from msgspec import Struct, field

from planc_tui.core.logs.line import SECOND, LogLine, level_of
from planc_tui.core.logs.patterns import Pattern, PatternTable
from planc_tui.core.logs.tail import newest_first
from planc_tui.core.text import clean

BIN = 10
MINUTES = 20
LISTED = 500
RECENT_LINES = 300


class Rate:
    """Errors per minute over the last `MINUTES` minutes, by the time in the lines, in bins of `BIN` seconds.

    Minutes are those of the clock: what happened stays in its bar, and the bars move once a minute."""

    def __init__(self) -> None:
        self._bins: deque[int] = deque([0] * (MINUTES * 60 // BIN), maxlen=MINUTES * 60 // BIN)
        self._newest = 0

    def add(self, ts: int, now: float) -> None:
        """One error at `ts` (ns). A time in the future of `now` (epoch seconds) counts as now."""
        self.roll(now)
        back = max(0, self._newest - int(min(ts / SECOND, now)) // BIN)
        if back < len(self._bins):
            self._bins[len(self._bins) - 1 - back] += 1

    def roll(self, now: float) -> bool:
        """Move to `now`; whether a bin that held something moved."""
        current = int(now) // BIN
        steps = min(current - self._newest, len(self._bins))
        if steps <= 0:
            return False
        moved = any(self._bins)
        self._bins.extend([0] * steps)
        self._newest = current
        return moved

    @property
    def last_minute(self) -> int:
        """Errors of the last 50 to 60 seconds."""
        return sum(list(self._bins)[-60 // BIN :])

    @property
    def per_minute(self) -> tuple[int, ...]:
        """Errors of each of the last `MINUTES` minutes of the clock, oldest first; the last one is not over yet."""
        bins = list(self._bins)
        each = 60 // BIN
        begun = len(bins) - self._newest % each - 1
        ends = range(begun, 0, -each)
        return (*(sum(bins[max(0, end - each) : end]) for end in reversed(ends)), sum(bins[begun:]))


class Reorder:
    """Holds lines for `window` seconds after they came, and lets them out in the order of their time."""

    def __init__(self, window: float = 0.5) -> None:
        self._window = window
        self._heap: list[tuple[int, int, LogLine]] = []
        self._arrivals: deque[tuple[float, int]] = deque()
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, line: LogLine, now: float) -> None:
        """Take a line that came at monotonic time `now`."""
        self._count += 1
        heapq.heappush(self._heap, (line.ts, self._count, line))
        self._arrivals.append((now, line.ts))

    def ready(self, now: float) -> list[LogLine]:
        """Lines whose turn has come: all up to the latest time among those that waited long enough."""
        limit = -1
        while self._arrivals and self._arrivals[0][0] <= now - self._window:
            limit = max(limit, self._arrivals.popleft()[1])
        out = []
        while self._heap and self._heap[0][0] <= limit:
            out.append(heapq.heappop(self._heap)[2])
        return out


class RecentLines(Struct, frozen=True):
    """Raw ends of the followed logs, read when somebody wants lines of every level."""

    tails: tuple[tuple[str, str, tuple[bytes, ...]], ...] = ()

    def lines(self, count: int = RECENT_LINES) -> tuple[LogLine, ...]:
        """The newest `count` lines of all containers, newest first."""
        streams = [_backwards(index, chunks) for index, (_, _, chunks) in enumerate(self.tails)]
        out: list[LogLine] = []
        for number, (negative, index, text) in enumerate(heapq.merge(*streams, key=lambda item: item[:2])):
            if number >= count:
                break
            pod, container, _ = self.tails[index]
            # Lines of one container at the same time are told apart by their place among them.
            same = out[-1].seq + 1 if out and (out[-1].ts, out[-1].pod) == (-negative, pod) else 0
            out.append(LogLine(-negative, pod, container, level_of(text), clean(text), seq=same))
        return tuple(out)


def _backwards(index: int, chunks: tuple[bytes, ...]) -> Iterator[tuple[int, int, bytes]]:
    return ((-ts, index, text) for ts, text in newest_first(chunks))


class LogSummary(Struct, frozen=True):
    """What is known of the followed logs.

    matched: containers the selector matches; followed: those with an open stream; limit: most that may be open.
    lines: lines read; lost: lines thrown away unread; errors: newest first; older: errors no longer listed;
    per_minute: errors of the last minutes, oldest first; last_minute: errors of the last 60 s;
    pattern_count: patterns known, of which `patterns` are the most frequent; other: errors of forgotten patterns;
    notes: sanitised sentences about what is not followed."""

    matched: int = 0
    followed: int = 0
    limit: int = 0
    lines: int = 0
    lost: int = 0
    errors: tuple[LogLine, ...] = ()
    older: int = 0
    per_minute: tuple[int, ...] = ()
    last_minute: int = 0
    patterns: tuple[Pattern, ...] = ()
    pattern_count: int = 0
    other: int = 0
    notes: tuple[str, ...] = ()
    recent: RecentLines = field(default_factory=RecentLines)


class ErrorBook:
    """Collects finished error lines. Call it from one thread, or under one lock."""

    def __init__(self, patterns: int = 20, listed: int = LISTED, window: float = 0.5) -> None:
        self._shown_patterns = patterns
        self._patterns = PatternTable()
        self._rate = Rate()
        self._reorder = Reorder(window)
        self._listed = listed
        self._list: list[LogLine] = []
        self.older = 0

    def add(self, found: Iterable[tuple[LogLine, str]], now: float, monotonic: float) -> None:
        """Count errors, each with the message to group it by. now: epoch seconds."""
        for line, message in found:
            self._patterns.add(message, line)
            self._rate.add(line.ts, now)
            self._reorder.push(line, monotonic)

    def advance(self, now: float, monotonic: float) -> bool:
        """List the lines whose turn has come; whether anything to show changed."""
        ready = self._reorder.ready(monotonic)
        for line in ready:
            # A line that comes later than the window still goes where its time says.
            insort(self._list, line, key=lambda other: other.ts)
        surplus = len(self._list) - self._listed
        if surplus > 0:
            del self._list[:surplus]
            self.older += surplus
        return self._rate.roll(now) or bool(ready)

    def summary(self, base: LogSummary) -> LogSummary:
        """`base` with the errors, patterns and rates filled in."""
        return LogSummary(
            matched=base.matched,
            followed=base.followed,
            limit=base.limit,
            lines=base.lines,
            lost=base.lost,
            notes=base.notes,
            recent=base.recent,
            errors=tuple(reversed(self._list)),
            older=self.older,
            per_minute=self._rate.per_minute,
            last_minute=self._rate.last_minute,
            patterns=tuple(self._patterns.top(self._shown_patterns)),
            pattern_count=len(self._patterns),
            other=self._patterns.other,
        )
