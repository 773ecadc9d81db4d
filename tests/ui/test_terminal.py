"""What a real terminal sees: the first frame soon, and everything as it was before when planc ends, however it ends."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from fcntl import ioctl
from pathlib import Path
from types import TracebackType

import pyte
import pytest

from planc_tui.ui.first_frame import PANES, frame
from planc_tui.ui.panes.registry import load_panes

ROOT = Path(__file__).parents[2]
COLUMNS, LINES = 120, 40
# Modes that Textual sets: alternate screen, hidden cursor, mouse, focus, bracketed paste.
MODES = ("1049", "1000", "1003", "1006", "1004", "2004")


class Terminal:
    """A pseudo-terminal with a console in it."""

    def __init__(
        self,
        behaviour: str,
        *arguments: str,
        module: str = "tests.ui.pty_console",
        errors: Path | None = None,
        **environ: str,
    ) -> None:
        """errors: where its standard error goes, in place of the terminal."""
        self.raw = b""
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            if errors is not None:
                os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
            env = {**os.environ, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **environ}
            os.execve(sys.executable, [sys.executable, "-m", module, behaviour, *arguments], env)
        ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.code: int | None = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)

    def read(self, seconds: float) -> None:
        """Take what comes within so many seconds, answering the query for synchronised output."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            ready, _, _ = select.select([self._fd], [], [], left)
            if not ready:
                return
            try:
                data = os.read(self._fd, 65536)
            except OSError:
                return
            if not data:
                return
            self.raw += data
            if b"\x1b[?2026$p" in data:
                os.write(self._fd, b"\x1b[?2026;2$y")
            # pyte knows neither the keyboard protocol nor the pixel queries.
            self._stream.feed(re.sub(rb"\x1b\[[<>=][0-9;]*u|\x1b\[\?\d+\$p", b"", data))

    def wait_for(self, text: str, seconds: float = 15.0) -> None:
        """Read until the screen shows `text`."""
        end = time.monotonic() + seconds
        while text not in "\n".join(self.screen.display):
            assert time.monotonic() < end, "\n".join(self.screen.display)
            self.read(0.05)

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self._fd, keys.encode())

    def ended(self, seconds: float = 10.0) -> int:
        """Exit code, or 128 + the signal."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read(0.01)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.read(0.1)
                self.code = os.waitstatus_to_exitcode(status)
                return self.code if self.code >= 0 else 128 - self.code
        raise AssertionError("planc did not end")

    def modes_left_on(self) -> list[str]:
        """Modes that were set and not reset."""
        left = []
        for mode in MODES:
            switched = re.findall(rb"\x1b\[\?" + mode.encode() + rb"([hl])", self.raw)
            assert switched, f"mode {mode} was never set"
            if switched[-1] == b"h":
                left.append(mode)
        if re.findall(rb"\x1b\[\?25([hl])", self.raw)[-1] == b"l":
            left.append("25")
        return left


def test_first_frame_then_data_then_the_command_line_quits() -> None:
    with Terminal("normal") as terminal:
        terminal.wait_for("Pods")
        terminal.wait_for("CrashLoopBackOff")
        terminal.press("\x03q\x1b")
        terminal.read(0.3)
        terminal.press(":q\r")
        assert terminal.ended() == 0
        assert terminal.modes_left_on() == []


def test_quitting_with_a_hung_system_takes_no_time() -> None:
    with Terminal("hang") as terminal:
        terminal.wait_for("connecting")
        terminal.press(":q")
        terminal.read(0.5)
        started = time.monotonic()
        terminal.press("\r")
        assert terminal.ended() == 0
        assert time.monotonic() - started < 1.0
        assert terminal.modes_left_on() == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_leave_the_terminal_as_it_was(number: signal.Signals, code: int) -> None:
    with Terminal("normal") as terminal:
        terminal.wait_for("CrashLoopBackOff")
        os.kill(terminal.pid, number)
        assert terminal.ended() == code
        assert terminal.modes_left_on() == []


def test_crash_restores_the_terminal_says_one_line_and_shows_no_values() -> None:
    with Terminal("crash") as terminal:
        terminal.wait_for("CrashLoopBackOff")
        terminal.press("\x03")
        assert terminal.ended() == 1
        assert terminal.modes_left_on() == []
        after = terminal.raw.rsplit(b"\x1b[?1049l", 1)[1].decode()
        assert "planc failed (KeyError)" in after
        assert "hunter2" not in after
        assert "Traceback" not in after
        log = Path(os.environ["XDG_STATE_HOME"]) / "planc" / "planc.log"
        assert "KeyError" in log.read_text()


def test_without_colours_no_colour_is_sent() -> None:
    with Terminal("normal", NO_COLOR="1") as terminal:
        terminal.wait_for("CrashLoopBackOff")
        numbers = {part for sgr in re.findall(rb"\x1b\[([0-9;]*)m", terminal.raw) for part in sgr.split(b";")}
        assert not numbers & {b"38", b"48", b"31", b"41"}, "colours in spite of NO_COLOR"
        assert b"7" in numbers, "the selected row stands out by being reversed"


def test_idle_terminal_gets_nothing() -> None:
    with Terminal("normal") as terminal:
        terminal.wait_for("CrashLoopBackOff")
        terminal.read(2.0)
        before = len(terminal.raw)
        terminal.read(3.0)
        sent = terminal.raw[before:]
        assert sent == b"", sent


def test_what_is_wrong_at_a_look_is_said_without_a_frame(tmp_path: Path) -> None:
    empty = tmp_path / "kubeconfig"
    empty.write_text("contexts: []")
    with Terminal("--context", "prod", module="tests.ui.pty_planc", KUBECONFIG=str(empty)) as terminal:
        assert terminal.ended() == 1
        assert b"\x1b[?1049h" not in terminal.raw
        assert str(empty) in terminal.raw.decode()
        assert b"Traceback" not in terminal.raw


def test_what_is_wrong_before_the_console_opens_is_said_on_the_terminal_as_it_was(tmp_path: Path) -> None:
    broken = tmp_path / "kubeconfig"
    broken.write_text("contexts: [ # prod")
    with Terminal("--context", "prod", module="tests.ui.pty_planc", KUBECONFIG=str(broken)) as terminal:
        assert terminal.ended() == 1
        assert terminal.raw.startswith(b"\x1b[?1049h"), "the first frame comes before anything is loaded"
        assert b"Pods" in terminal.raw
        after = terminal.raw.rsplit(b"\x1b[?1049l", 1)[1].decode()
        assert str(broken) in after
        assert "Traceback" not in after
        assert re.findall(rb"\x1b\[\?25([hl])", terminal.raw)[-1] == b"h"


KUBECONFIG = """
clusters: [{name: c, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: u, user: {}}]
contexts: [{name: shop, context: {cluster: c, user: u}}]
current-context: shop
"""


def test_a_console_whose_errors_go_to_a_file_draws_on_the_terminal_all_the_same(tmp_path: Path) -> None:
    kubeconfig, errors = tmp_path / "kubeconfig", tmp_path / "errors"
    kubeconfig.write_text(KUBECONFIG)
    with Terminal(
        "--context", "shop", module="tests.ui.pty_planc", errors=errors, KUBECONFIG=str(kubeconfig)
    ) as terminal:
        terminal.wait_for("refused", 30)
        terminal.press(":q\r")
        assert terminal.ended() == 0
        assert terminal.modes_left_on() == []
    assert errors.read_text() == ""


@pytest.mark.parametrize("moment", ["starting", "handed over"])
def test_a_signal_while_the_console_is_loading_leaves_the_terminal_as_it_was(moment: str) -> None:
    with Terminal(moment, module="tests.ui.pty_first_frame") as terminal:
        terminal.wait_for(moment)
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.ended() == 143
        assert terminal.raw.rstrip().endswith(b"\x1b[?25h\x1b[?1049l")
        if moment == "handed over":
            assert b"\x1b[?1000l" in terminal.raw


def test_first_frame_names_the_panes_as_they_are_called() -> None:
    for pane in load_panes().panes:
        assert PANES[pane.id] == f"{pane.number} {pane.title}".strip()
    assert "\x1b[2m┬─4 HPA" in frame(120, 40)
