"""A program in a pseudo terminal: what it wrote and when, and the screen that comes of it.

Invariant: times are those of reading, taken before the bytes are interpreted; nothing is answered to the program but
what a terminal would.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import pyte

COLUMNS, LINES = 200, 50
READ = 65536
_MODE_QUERY = re.compile(rb"\x1b\[\?2026\$p")
# pyte takes the private parts of these for text.
_UNKNOWN_TO_PYTE = re.compile(rb"\x1b\[[<>=?][0-9;]*[a-zA-Z$]|\x1b\[\?[0-9;]*\$[a-z]|\x1bP.*?\x1b\\", re.DOTALL)
_KEPT = re.compile(rb"\x1b\[\?[0-9;]*[hl]")


class Ended(Exception):
    """The program ended, or did not show in time what was waited for. The message holds its last screen."""


class Terminal:
    """Runs `command` in a pseudo terminal of 200x50. started: monotonic seconds just before it was run."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        self.bytes = 0
        self.started = time.monotonic()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            with contextlib.suppress(OSError):
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
                os.execve(command[0], list(command), dict(environment))
            os._exit(127)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the program: asked first, then killed."""
        for number, seconds in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                with contextlib.suppress(Ended):
                    self.read(0.05)
                if os.waitpid(self.pid, os.WNOHANG)[0]:
                    os.close(self._fd)
                    return

    def read(self, seconds: float) -> float | None:
        """Take in one piece of output within so many seconds; returns when it came, None when none did.

        Raises Ended when the program is gone.
        """
        ready, _, _ = select.select([self._fd], [], [], max(0.0, seconds))
        if not ready:
            return None
        try:
            data = os.read(self._fd, READ)
        except OSError:
            data = b""
        came = time.monotonic()
        if not data:
            raise Ended(f"the program ended; its screen was:\n{self.text()}")
        self.bytes += len(data)
        if _MODE_QUERY.search(data):
            os.write(self._fd, b"\x1b[?2026;2$y")
        self._stream.feed(_UNKNOWN_TO_PYTE.sub(lambda m: m[0] if _KEPT.fullmatch(m[0]) else b"", data))
        return came

    def send(self, keys: str) -> float:
        """Type; returns when."""
        now = time.monotonic()
        os.write(self._fd, keys.encode())
        return now

    def rest(self, seconds: float) -> int:
        """Take in output for so many seconds; returns how many bytes came."""
        before, deadline = self.bytes, time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.read(left)
        return self.bytes - before

    def until(self, shown: Callable[[str], bool], seconds: float, what: str) -> float:
        """Take in output until the screen's text shows something; returns when that output came.

        Raises Ended when it does not within so many seconds.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            came = self.read(left)
            if came is not None and shown(self.text()):
                return came
        raise Ended(f"no {what} within {seconds:.0f} s; the screen was:\n{self.text()}")

    def text(self) -> str:
        """The screen, line by line."""
        return "\n".join(line.rstrip() for line in self.screen.display)

    def press(self, key: str, looks: Callable[[pyte.Screen], object], seconds: float = 3.0) -> float | None:
        """Type a key and wait until what `looks` returns differs; seconds between, None when it did not change."""
        before, sent = looks(self.screen), self.send(key)
        while (left := sent + seconds - time.monotonic()) > 0:
            came = self.read(left)
            if came is not None and looks(self.screen) != before:
                return came - sent
        return None
