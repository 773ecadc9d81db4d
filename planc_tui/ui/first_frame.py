"""A frame within a tenth of a second, while the console itself is still being loaded.

Invariant: whatever happens before the console takes over, the terminal is as it was when the message about it is
printed. Loads nothing but the standard library and the layout.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import termios
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, TextIO

from planc_tui.ui.layout import Rect, size_class, slots

PANES = {
    "pods": "1 Pods", "top_cpu": "2 Top CPU", "top_memory": "3 Top memory", "hpa": "4 HPA", "queues": "5 Queues",
    "errors": "6 Errors", "events": "7 Events", "database": "8 Database", "slo": "9 SLO", "rollouts": "0 Rollouts",
    "nodes": "Nodes", "alerts": "Alerts",
}  # fmt: skip  # rows as a person reads them
_HEADER = 3
_FOOTER = 1
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"
_LEAVE = "\x1b[?25h\x1b[?1049l"
# Whatever the console may have switched on by then: mouse, focus reports, bracketed paste, the keyboard protocol.
_LEAVE_CONSOLE = "\x1b[<u\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1004l\x1b[?2004l" + _LEAVE
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class FirstFrame:
    """Shown on entering; taken away on leaving unless `handed_over` was called."""

    def __init__(self, out: TextIO, columns: int, lines: int) -> None:
        self._out = out
        self._size = (columns, lines)
        self._shown = False
        self._settings: list[Any] | None = None
        self._before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> FirstFrame:
        self._shown = True
        with contextlib.suppress(termios.error, OSError, ValueError):
            self._settings = termios.tcgetattr(sys.stdin.fileno())
        for number in _ENDING:
            self._before[number] = signal.signal(number, self._ended)
        self._write(_ENTER + frame(*self._size))
        return self

    def __exit__(self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        if self._shown:
            self._shown = False
            self._restore()
            self._write(_LEAVE)

    def hand_over(self) -> None:
        """The console paints over the frame, and restores the terminal from here on.

        Until it has put its own signal handlers in place, a signal still ends here."""
        self._shown = False

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ended(self, number: int, _frame: FrameType | None) -> None:
        if self._shown:
            sys.exit(128 + number)
        self._write(_LEAVE_CONSOLE)
        if self._settings is not None:
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSANOW, self._settings)
        os._exit(128 + number)

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def frame(columns: int, lines: int) -> str:
    """The titles of the panes where they will be, as text for the terminal; colours are the terminal's own."""
    parts = [_at(1, 1, "\x1b[1m planc\x1b[0m"), _at(2, 2, "\x1b[2mstarting\x1b[0m")]
    height = lines - _HEADER - _FOOTER
    for pane, rect in slots(size_class(columns, lines), columns, height, tuple(PANES)).items():
        parts.append(_title(pane, rect))
        if rect.joint:
            parts += [_at(rect.x + 1, rect.y + _HEADER + 1 + y, "\x1b[2m│\x1b[0m") for y in range(1, rect.height)]
    return "".join(parts)


def _title(pane: str, rect: Rect) -> str:
    name = PANES[pane]
    rest = max(0, rect.width - len(rect.joint) - len(name) - 2)
    return _at(rect.x + 1, rect.y + _HEADER + 1, f"\x1b[2m{rect.joint}─{name} {'─' * rest}\x1b[0m")


def _at(x: int, y: int, text: str) -> str:
    return f"\x1b[{y};{x}H{text}"
