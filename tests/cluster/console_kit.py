"""The real `planc` in a pseudo-terminal: start, type, read the screen, measure, end.

Invariant: every byte that planc sends is kept with its time; a console that a test started ends with the test.
"""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import statistics
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path
from types import TracebackType

import pyte

ROOT = Path(__file__).parents[2]
LARGE, SMALL = (200, 50), (80, 24)
# pyte knows neither the keyboard protocol nor the queries for modes.
_FRAME_BEGINS, _FRAME_ENDS = b"\x1b[?2026h", b"\x1b[?2026l"
_UNKNOWN = re.compile(rb"\x1b\[[<>=][0-9;]*u|\x1b\[\?\d+\$p")
_MODES = ("1049", "1000", "1003", "1006", "1004", "2004")


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from a key press to the first byte on the terminal."""

    p50: float
    p95: float
    count: int

    def __str__(self) -> str:
        return f"p50 {self.p50 * 1000:.0f} ms, p95 {self.p95 * 1000:.0f} ms, {self.count} keys"


class Console:
    """`planc` with arguments, a home of its own and a terminal of `size` cells.

    program: what to run instead of `-m planc_tui.cli`'s main, as arguments of Python."""

    def __init__(
        self,
        home: Path,
        *arguments: str,
        size: tuple[int, int] = LARGE,
        program: Sequence[str] = ("-c", "from planc_tui.cli import main; main()"),
        **environ: str,
    ) -> None:
        self.size = size
        self._columns, self._lines = size
        self._screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._screen)
        self._fed = 0
        self.raw = bytearray()
        self.chunks: list[tuple[float, int]] = []
        self._fresh = threading.Condition()
        self.started = time.monotonic()
        self._fd, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        env = {**os.environ, **_home(home), "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **environ}
        command = [sys.executable, *program, *arguments]
        self._process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=env, cwd=ROOT, start_new_session=True
        )
        os.close(slave)
        self._reader = threading.Thread(target=self._read, name="console-reader", daemon=True)
        self._reader.start()

    def __enter__(self) -> Console:
        return self

    def __exit__(self, _k: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join(5)
        self.hang_up()

    @property
    def pid(self) -> int:
        """Process id of planc."""
        return self._process.pid

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._fd, 65536)
            except OSError:
                return
            if not data:
                return
            if b"\x1b[?2026$p" in data:
                os.write(self._fd, b"\x1b[?2026;2$y")
            with self._fresh:
                self.raw += data
                self.chunks.append((time.monotonic(), len(data)))
                self._fresh.notify_all()

    # --- the screen ---------------------------------------------------------------------------------------------

    def lines(self) -> list[str]:
        """What the terminal shows now."""
        with self._fresh:
            data = bytes(self.raw[self._fed :])
            self._fed = len(self.raw)
        # A sequence that is cut in two by this moment would be taken for text: wait for its end.
        cut = data.rfind(b"\x1b")
        if cut >= 0 and len(data) - cut < 16 and not re.match(rb"\x1b(\[[0-9;?<>=$]*[@-~]|[^\[])", data[cut:]):
            self._fed -= len(data) - cut
            data = data[:cut]
        # A terminal shows a frame when it is whole; half of one would be taken for what somebody sees.
        begun = data.rfind(_FRAME_BEGINS)
        if begun > data.rfind(_FRAME_ENDS):
            self._fed -= len(data) - begun
            data = data[:begun]
        self._stream.feed(_UNKNOWN.sub(b"", data))
        return list(self._screen.display)

    def screen(self) -> str:
        """What the terminal shows now, as one text."""
        return "\n".join(line.rstrip() for line in self.lines())

    def title(self, pane: str) -> str:
        """The part of a title line that belongs to the pane: from its name to the next dividing line."""
        found = re.search(rf"─(?:\d )?({re.escape(pane)}\b[^┬┼├┤│\n]*)", self.screen())
        return found.group(1) if found else ""

    def wait(self, what: Callable[[], bool], seconds: float, why: str) -> float:
        """Wait until `what` is true; returns the seconds that took. Fails with the screen."""
        started = time.monotonic()
        while not what():
            took = time.monotonic() - started
            assert took < seconds, f"{why}: not within {seconds:.0f} s\n{self.screen()}"
            assert self._process.poll() is None, f"{why}: planc has ended\n{self.tail()}"
            with self._fresh:
                self._fresh.wait(0.1)
        return time.monotonic() - started

    def wait_for(self, text: str, seconds: float = 15.0) -> float:
        """Wait until the screen shows a text; returns the seconds that took."""
        return self.wait(lambda: text in self.screen(), seconds, repr(text))

    def wait_gone(self, text: str, seconds: float = 15.0) -> float:
        """Wait until the screen no longer shows a text."""
        return self.wait(lambda: text not in self.screen(), seconds, f"no {text!r}")

    def tail(self) -> str:
        """The end of what was sent, after the alternate screen was left."""
        return bytes(self.raw).rsplit(b"\x1b[?1049l", 1)[-1].decode(errors="replace")

    # --- keys ---------------------------------------------------------------------------------------------------

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._fd, keys.encode())

    def command(self, text: str) -> None:
        """Type a command line and enter."""
        for part in (":", text, "\r"):
            self.press(part)
            time.sleep(0.3)

    def latency(self, keys: Sequence[str] = ("\x1b[B", "\x1b[A"), count: int = 24, gap: float = 0.07) -> Latency:
        """Press keys in turn, each when the terminal has been quiet for `gap` seconds, and time the first byte."""
        took: list[float] = []
        for index in range(count):
            self._quiet(gap)
            with self._fresh:
                before = len(self.raw)
                pressed = time.monotonic()
                self.press(keys[index % len(keys)])
                while len(self.raw) == before and time.monotonic() - pressed < 3.0:
                    self._fresh.wait(0.5)
                took.append(time.monotonic() - pressed)
        return Latency(statistics.median(took), sorted(took)[max(0, int(len(took) * 0.95) - 1)], len(took))

    def _quiet(self, gap: float, most: float = 2.0) -> None:
        end = time.monotonic() + most
        while time.monotonic() < end:
            with self._fresh:
                last = self.chunks[-1][0] if self.chunks else 0.0
                if time.monotonic() - last >= gap:
                    return
                self._fresh.wait(gap)

    def sent_during(self, seconds: float) -> bytes:
        """The bytes that planc sends within so many seconds from now."""
        with self._fresh:
            before = len(self.raw)
        time.sleep(seconds)
        with self._fresh:
            return bytes(self.raw[before:])

    # --- the end ------------------------------------------------------------------------------------------------

    def kill(self, number: signal.Signals) -> None:
        """Send planc a signal."""
        self._process.send_signal(number)

    def hang_up(self) -> None:
        """Close the terminal; planc gets no signal, for it is not its session's."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    def ended(self, seconds: float = 10.0) -> int:
        """Exit code once planc has ended; 128 + the signal that ended it."""
        code = self._process.wait(seconds)
        time.sleep(0.1)
        return code if code >= 0 else 128 - code

    def modes_left_on(self) -> list[str]:
        """Terminal modes that were set and not reset, "25" for a hidden cursor."""
        raw, left = bytes(self.raw), []
        for mode in _MODES:
            switched = re.findall(rb"\x1b\[\?" + mode.encode() + rb"([hl])", raw)
            if switched and switched[-1] == b"h":
                left.append(mode)
        if (re.findall(rb"\x1b\[\?25([hl])", raw) or [b"h"])[-1] == b"l":
            left.append("25")
        return left


def _home(home: Path) -> dict[str, str]:
    """Environment of a person who has nothing configured."""
    for name in ("config", "state", "cache", "share"):
        (home / name).mkdir(parents=True, exist_ok=True)
    parts = {f"XDG_{name}_HOME": part for name, part in
             (("CONFIG", "config"), ("STATE", "state"), ("CACHE", "cache"), ("DATA", "share"))}  # fmt: skip  # as read
    return {"HOME": str(home), "TZ": "UTC", **{name: str(home / part) for name, part in parts.items()}}


def main() -> None:
    """Print planc's screen after some seconds: python -m tests.cluster.console_kit SECONDS ARGUMENTS."""
    with Console(Path("/tmp/console-kit"), *sys.argv[2:], size=LARGE) as console:
        time.sleep(float(sys.argv[1]))
        with contextlib.suppress(BrokenPipeError):
            print(console.screen())


if __name__ == "__main__":
    main()
