"""Takes the chunks of one container's log apart into whole lines, over broken streams.

Invariant: a line is read when its newline has come, and once, however often the stream breaks. Memory is bounded
whatever comes: a line longer than `LINE_BYTES` keeps its start.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from planc_tui.core.logs.line import parse_stamp
from planc_tui.core.logs.tail import TAIL_BYTES, Resume, Tail

LINE_BYTES = 65_536
T = TypeVar("T")


class LogReader(ABC, Generic[T]):
    """Reads one container's log. Call it from one thread. T is what it makes of the lines.

    pod, container: sanitised names. lines: lines read so far; skipped: lines that were thrown away unread;
    newest: latest time (ns) read."""

    def __init__(self, pod: str, container: str, tail_bytes: int = TAIL_BYTES) -> None:
        self.pod = pod
        self.container = container
        self.lines = 0
        self.skipped = 0
        self.newest = 0
        self._tail = Tail(tail_bytes)
        self._carry = b""
        self._overlong = False
        self._resume: Resume | None = None

    @property
    def tail(self) -> tuple[bytes, ...]:
        """The newest raw lines, oldest chunk first."""
        return self._tail.chunks

    def reconnect(self) -> int | None:
        """Get ready for a new stream. Returns the time (ns) to ask the server from, None to begin afresh."""
        self._carry = b""
        self._overlong = False
        self._resume = self._tail.resume()
        return None if self._resume is None else self._resume.since

    def skip(self, count: int) -> None:
        """`count` lines were thrown away before they got here; the next chunk starts within a line."""
        self.skipped += count
        self._carry = b""
        self._overlong = True

    def feed(self, data: bytes) -> list[T]:
        """Read a chunk. Returns what is complete now."""
        whole = self._whole_lines(data)
        if whole and self._resume is not None:
            whole, going_on = self._resume.admit(whole)
            if not going_on:
                self._resume = None
        if not whole:
            return []
        self.lines += whole.count(b"\n")
        self._tail.add(whole)
        stamp = parse_stamp(whole[whole.rfind(b"\n", 0, len(whole) - 1) + 1 :])
        if stamp is not None:
            self.newest = max(self.newest, stamp[0])
        return self.read(whole)

    @abstractmethod
    def read(self, whole: bytes) -> list[T]:
        """Make something of new lines, each of which ends with a newline."""

    def flush(self) -> list[T]:
        """What was waiting for more lines; called when none came for a while."""
        return []

    def _whole_lines(self, data: bytes) -> bytes:
        """The complete lines of what was carried over and `data`."""
        end = data.rfind(b"\n") + 1
        if not end:
            if not self._overlong:
                self._carry += data[: max(0, LINE_BYTES - len(self._carry))]
            return b""
        if self._overlong:
            start = data.find(b"\n") + 1
            self._overlong = False
            whole = data[start:end]
        elif len(self._carry) >= LINE_BYTES:
            whole = self._carry + data[data.find(b"\n") : end]
        else:
            whole = self._carry + data[:end]
        self._carry = data[end : end + LINE_BYTES]
        return whole


def stamped(line: bytes) -> tuple[int, bytes]:
    """Time (0 when it has none) and text of a raw line."""
    if line.endswith(b"\r"):
        line = line[:-1]
    stamp = parse_stamp(line)
    return (0, line) if stamp is None else (stamp[0], line[stamp[1] :])
