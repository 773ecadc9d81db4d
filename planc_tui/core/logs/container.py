"""Finds the errors in one container's log, each with its stack trace.

Invariant: a chunk that says nothing of errors costs one search over its bytes and no work per line.
"""

from __future__ import annotations

from planc_tui.core.logs.line import Level, LogLine, Suspects, level_of
from planc_tui.core.logs.reader import LogReader, stamped
from planc_tui.core.logs.tail import TAIL_BYTES
from planc_tui.core.logs.trace import OpenTrace

Found = tuple[LogLine, str]
"""An error line and the message to group it by."""


class ContainerLog(LogReader[Found]):
    """Reads the errors of one container."""

    def __init__(self, pod: str, container: str, tail_bytes: int = TAIL_BYTES) -> None:
        super().__init__(pod, container, tail_bytes)
        self._open: OpenTrace | None = None
        self._seq = 0

    def flush(self) -> list[Found]:
        """The error that was waiting for more of its stack trace."""
        if self._open is None:
            return []
        self._seq += 1
        done = self._open.close(self.pod, self.container, self._seq)
        self._open = None
        return [done]

    def read(self, whole: bytes) -> list[Found]:
        found: list[Found] = []
        suspects = Suspects(whole.lower())
        pos = 0
        size = len(whole)
        while pos < size:
            if self._open is not None:
                pos = self._more(whole, pos)
                if pos >= size:
                    break
                found += self.flush()
            hit = suspects.next(pos)
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
            if not self._open.takes(stamped(whole[pos:end])[1]):
                return pos
            pos = end + 1
        return pos

    def _begin(self, line: bytes) -> None:
        ts, text = stamped(line)
        level = level_of(text)
        if level >= Level.ERROR:
            self._open = OpenTrace(ts or self.newest, level, text)
