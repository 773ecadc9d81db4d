"""Which lines belong to the error above them: stack traces of Java, Python, Go and Node.

Invariant: a line that starts a message of its own is never taken into the trace above it; a trace is bounded, and
what is left out of it is counted.
"""

from __future__ import annotations

import re
from enum import Enum

from planc_tui.core.logs.line import Level, LogLine, level_of
from planc_tui.core.logs.message import message_of
from planc_tui.core.text import clean

TRACE_LINES = 120
TRACE_BYTES = 16_384

_CAUSE = re.compile(
    rb"Caused by: |Suppressed: |\.\.\. \d+ (?:more|common)|During handling of the above |The above exception was "
    rb"|Traceback \(most recent call last\)|goroutine \d+ \[|created by |\[signal |exit status \d|Node\.js v\d"
    rb"|[})\]]+,?$"
)
_EXCEPTION = re.compile(rb"(?:[A-Za-z_$][\w$]*\.)*[A-Za-z_$][\w$]*(?:Exception|Error|Exit|Interrupt)(?::|$)")
_GO_FRAME = re.compile(rb"[^\s(]+\(.*\)$|[^\s(]+\.\(\*\w+\)\.\w+\(.*\)$|panic\(")


class _Mode(Enum):
    """What kind of trace is open."""

    NONE = 0
    PYTHON = 1
    GO = 2


class OpenTrace:
    """An error line that may still get lines. `text` is the line without its stamp."""

    def __init__(self, ts: int, level: Level, text: bytes) -> None:
        self.ts = ts
        self.level = level
        self._head = text
        self._lines: list[bytes] = []
        self._bytes = 0
        self._cut = 0
        self._indented = False
        self._mode = _Mode.NONE
        self._enter(text)

    def takes(self, text: bytes) -> bool:
        """Add `text` when it belongs to this error; False when it starts something new."""
        if not self._continues(text):
            return False
        self._enter(text)
        self._indented = text[:1] in (b" ", b"\t") or not text
        if len(self._lines) < TRACE_LINES and self._bytes + len(text) <= TRACE_BYTES:
            self._lines.append(text)
            self._bytes += len(text)
        else:
            self._cut += 1
        return True

    def close(self, pod: str, container: str, seq: int) -> tuple[LogLine, str]:
        """The finished line, and the message to group it by: for a bare Python traceback that is its last line."""
        message = message_of(self._head)
        if self._head.startswith(b"Traceback (most recent call last)"):
            last = next((line for line in reversed(self._lines) if line[:1] not in (b" ", b"\t", b"")), b"")
            message = message_of(last) if last else message
        trace = tuple(clean(line.replace(b"\t", b"    ")) for line in self._lines)
        while trace and not trace[-1].strip():
            trace = trace[:-1]
        line = LogLine(self.ts, pod, container, self.level, clean(self._head), trace, self._cut, seq)
        return line, message

    def _continues(self, text: bytes) -> bool:
        if not text or text[:1] in (b" ", b"\t"):
            return True
        if _CAUSE.match(text) is not None:
            return True
        if self._mode is _Mode.PYTHON and self._indented:
            return level_of(text) is Level.UNKNOWN or _EXCEPTION.match(text) is not None
        if self._mode is _Mode.GO and _GO_FRAME.match(text) is not None:
            return True
        # Java and Python print the exception itself on the line after the logger's own.
        return not self._lines and _EXCEPTION.match(text) is not None

    def _enter(self, text: bytes) -> None:
        if text.startswith(b"Traceback (most recent call last)"):
            self._mode = _Mode.PYTHON
        elif text.startswith((b"panic: ", b"goroutine ", b"fatal error: ")):
            self._mode = _Mode.GO
