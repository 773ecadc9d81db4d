"""What is read of one container's log, chunk by chunk.

Invariant: a line is read when its newline has come; a chunk that says nothing of errors costs one search over its
bytes and no work per line. Memory is bounded whatever comes: a line longer than `LINE_BYTES` keeps its start.
"""

from __future__ import annotations

from planc_tui.core.logs.line import Level, LogLine, level_of, parse_stamp, suspicious
from planc_tui.core.logs.tail import TAIL_BYTES, Resume, Tail
from planc_tui.core.logs.trace import OpenTrace

LINE_BYTES = 65_536


class ContainerLog:
    """Reads one container's log. Call it from one thread.

    lines: lines read so far. skipped: lines that were thrown away unread."""

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
        self._open: OpenTrace | None = None
        self._seq = 0

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

    def feed(self, data: bytes) -> list[tuple[LogLine, str]]:
        """Read a chunk. Returns the errors that are complete now, each with the message to group it by."""
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
        return self._errors(whole)

    def flush(self) -> list[tuple[LogLine, str]]:
        """The error that was waiting for more of its stack trace; call it when none came for a while."""
        if self._open is None:
            return []
        self._seq += 1
        done = self._open.close(self.pod, self.container, self._seq)
        self._open = None
        return [done]

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

    def _errors(self, whole: bytes) -> list[tuple[LogLine, str]]:
        found: list[tuple[LogLine, str]] = []
        low = whole.lower()
        pos = 0
        size = len(whole)
        while pos < size:
            if self._open is not None:
                pos = self._more(whole, pos)
                if pos >= size:
                    break
                found += self.flush()
            hit = suspicious(low, pos)
            if hit < 0:
                break
            start = whole.rfind(b"\n", pos, hit) + 1 or pos
            end = whole.find(b"\n", hit)
            self._begin(whole[start:end])
            pos = end + 1
        return found

    def _more(self, whole: bytes, pos: int) -> int:
        """Give lines from `pos` on to the open error. Returns where the first line is that it does not take."""
        assert self._open is not None
        while pos < len(whole):
            end = whole.find(b"\n", pos)
            if not self._open.takes(_text(whole[pos:end])[1]):
                return pos
            pos = end + 1
        return pos

    def _begin(self, line: bytes) -> None:
        ts, text = _text(line)
        level = level_of(text)
        if level >= Level.ERROR:
            self._open = OpenTrace(ts or self.newest, level, text)


def _text(line: bytes) -> tuple[int, bytes]:
    """Time (0 when it has none) and text of a raw line."""
    if line.endswith(b"\r"):
        line = line[:-1]
    stamp = parse_stamp(line)
    return (0, line) if stamp is None else (stamp[0], line[stamp[1] :])
