"""The newest raw lines of one container, kept so that a stream that broke can go on where it was.

Invariant: after a reconnect every line is admitted exactly once: lines that were read before are recognised one by
one, also when many of them share a time stamp, when they are not in order, or when the file was rotated.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator

from planc_tui.core.logs.line import SECOND, parse_stamp

TAIL_BYTES = 131_072
# Stamps at the edge of what is kept that are watched for lines that come out of order.
TORN_STAMPS = 4


class Tail:
    """Chunks of whole lines, oldest dropped beyond `limit` bytes (the newest chunk always stays)."""

    def __init__(self, limit: int = TAIL_BYTES) -> None:
        self._limit = limit
        self._chunks: deque[bytes] = deque()
        self._bytes = 0
        # Lines that were dropped although others with their stamp may be kept: how many, by stamp.
        self._torn: dict[bytes, int] = {}

    @property
    def chunks(self) -> tuple[bytes, ...]:
        """What is kept, oldest first."""
        return tuple(self._chunks)

    def add(self, lines: bytes) -> None:
        """Keep `lines`, which end with a newline."""
        self._chunks.append(lines)
        self._bytes += len(lines)
        while self._bytes > self._limit and (len(self._chunks) > 1 or len(self._chunks[0]) > self._limit):
            self._drop()

    def _drop(self) -> None:
        oldest = self._chunks.popleft()
        self._bytes -= len(oldest)
        if len(oldest) > self._limit:
            at = oldest.find(b"\n", len(oldest) - self._limit - 1) + 1
            # One line longer than the limit: its start tells it from others.
            rest = oldest[at:] or oldest[oldest.rfind(b"\n", 0, -1) + 1 :][: self._limit - 1] + b"\n"
            oldest = oldest[:at]
            self._chunks.appendleft(rest)
            self._bytes += len(rest)
        if self._chunks:
            for stamp in (
                _stamp_text(oldest, oldest.rfind(b"\n", 0, len(oldest) - 1) + 1),
                _stamp_text(self._chunks[0], 0),
            ):
                if stamp:
                    self._torn[stamp] = self._torn.pop(stamp, 0)
            self._torn = {stamp: self._torn[stamp] for stamp in list(self._torn)[-TORN_STAMPS:]}
            for stamp in self._torn:
                self._torn[stamp] += oldest.count(stamp + b" ")

    def resume(self) -> Resume | None:
        """How to go on after the newest line; None when nothing with a time was ever read."""
        lines = [line for chunk in self._chunks for line in chunk.split(b"\n") if line]
        stamped = [(stamp[0], line) for line in lines if (stamp := parse_stamp(line)) is not None]
        if not stamped:
            return None
        return Resume(max(ts for ts, _ in stamped), lines, stamped[0], dict(self._torn))


class Resume:
    """Tells lines that were read before from new ones.

    since: whole second (in ns since the epoch) to ask the server from. first: time and text of the first line in
    `lines` that has a time; what comes before it and is older was read, or written before reading began. Beside
    `lines`, as many with a stamp as `torn` says were read."""

    def __init__(self, newest: int, lines: list[bytes], first: tuple[int, bytes], torn: dict[bytes, int]) -> None:
        self._newest = newest
        self.since = newest // SECOND * SECOND
        self._floor, anchor = first
        self._anchor = _key(anchor)
        self._before_anchor = True
        self._torn = torn
        # Hashes are enough within one process and keep no second copy of the lines.
        self._seen = Counter(map(_key, lines))

    def admit(self, lines: bytes) -> tuple[bytes, bool]:
        """The lines (each ending with a newline) that are new, and whether read ones may still follow."""
        fresh = []
        parts = lines.split(b"\n")
        for index, line in enumerate(parts[:-1]):
            stamp = parse_stamp(line)
            ts = None if stamp is None else stamp[0]
            if ts is not None and ts > self._newest + SECOND:
                fresh.extend(parts[index:-1])
                return b"".join(line + b"\n" for line in fresh), False
            if not self._read_before(line, ts):
                fresh.append(line)
        return b"".join(line + b"\n" for line in fresh), True

    def _read_before(self, line: bytes, ts: int | None) -> bool:
        if ts is not None and ts < self._floor and self._before_anchor:
            return True
        stamp = line.split(b" ", 1)[0]
        left = self._torn.get(stamp, 0)
        if left:
            self._torn[stamp] = left - 1
            return True
        key = _key(line)
        if key == self._anchor:
            self._before_anchor = False
        if self._seen.get(key, 0) > 0:
            self._seen[key] -= 1
            return True
        return False


def _key(line: bytes) -> int:
    # Very long lines are cut where a chunk ends, so only their start is the same each time.
    return hash(line[:4096])


def _stamp_text(lines: bytes, start: int) -> bytes:
    """The time stamp at `start`, as it is written."""
    end = lines.find(b" ", start, start + 40)
    return lines[start:end] if end > 0 else b""


def newest_first(chunks: tuple[bytes, ...]) -> Iterator[tuple[int, bytes]]:
    """Time and text of the lines in `chunks` from the newest back; lines without a stamp take their follower's."""
    ts = 0
    for chunk in reversed(chunks):
        end = len(chunk) - 1 if chunk.endswith(b"\n") else len(chunk)
        while end >= 0:
            start = chunk.rfind(b"\n", 0, end) + 1
            line = chunk[start:end]
            end = start - 1
            stamp = parse_stamp(line)
            if stamp is not None:
                ts = stamp[0]
                line = line[stamp[1] :]
            if line:
                yield ts, line
