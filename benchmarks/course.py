"""What is measured of one program, one thing after another.

Invariant: every program goes the same way on the same cluster, so that its figures can be compared; a figure that
could not be taken is None, never zero.
"""

from __future__ import annotations

import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.measure import Cpu, percentile, pss
from benchmarks.programs import Program
from benchmarks.terminal import Ended, Terminal
from tests.cluster.rig.layout import Endpoints

Say = Callable[[str], None]
CHANGES = 200.0  # pod changes a second
SPACE = (0.12, 0.30)  # seconds between two presses: people, and no rhythm


@dataclass(frozen=True, slots=True)
class Course:
    """How long things are watched. starts: how often the start is measured; settle, settle_rival, quiet: seconds.
    planc's sparklines grow for the first minutes, which is a change: `settle` is longer than the longest of them."""

    starts: int = 3
    settle: float = 200.0
    settle_rival: float = 45.0
    quiet: float = 20.0
    presses: int = 60

    @classmethod
    def quick(cls) -> Course:
        """A short look: figures are rougher."""
        return cls(starts=1, settle=20.0, settle_rival=20.0, quiet=8.0, presses=20)


@dataclass(slots=True)
class Figures:
    """What was measured. Times in seconds, CPU in per cent of one core, memory in MiB, keys in ms."""

    program: str
    first_frame: float | None = None
    first_rows: float | None = None
    all_rows: float | None = None
    cpu_quiet: float | None = None
    bytes_quiet: float | None = None
    bytes_minute: int | None = None
    key_quiet: float | None = None
    keys_seen_quiet: int = 0
    cpu_changes: float | None = None
    bytes_changes: float | None = None
    key_changes: float | None = None
    keys_seen_changes: int = 0
    changes_per_second: float | None = None
    pss: float | None = None
    pss_after_changes: float | None = None
    requests_per_minute: int | None = None


def run(program: Program, endpoints: Endpoints, course: Course, say: Say) -> Figures:
    """Measure one program. Raises Ended when it ends or does not show the pods."""
    figures = Figures(program.name)
    starts = [start_times(program) for _ in range(course.starts)]
    figures.first_frame, figures.first_rows, figures.all_rows = (
        statistics.median(times) for times in zip(*starts, strict=True)
    )
    say(f"{program.name}: first frame {figures.first_frame:.2f} s, first rows {figures.first_rows:.2f} s")
    with Terminal(program.command, program.environment) as terminal:
        terminal.until(program.whole, 60, "whole list of pods")
        terminal.rest(course.settle if program.name == "planc" else course.settle_rival)
        quiet(terminal, program, course, figures)
        say(f"{program.name}: quiet, CPU {figures.cpu_quiet:.1f} %, {figures.bytes_quiet:.0f} bytes/s")
        changing(terminal, program, endpoints, course, figures)
        say(f"{program.name}: {figures.changes_per_second:.0f} changes/s, CPU {figures.cpu_changes:.1f} %")
        if program.name == "planc":
            figures.requests_per_minute = requests(terminal)
    return figures


def start_times(program: Program) -> tuple[float, float, float]:
    """Seconds from running the program to its first frame, the first pods, and all pods."""
    with Terminal(program.command, program.environment) as terminal:
        frame = terminal.until(program.frame, 30, "first frame")
        rows = frame if program.rows(terminal.text()) else terminal.until(program.rows, 60, "pods")
        whole = rows if program.whole(terminal.text()) else terminal.until(program.whole, 60, "whole list of pods")
        return frame - terminal.started, rows - terminal.started, whole - terminal.started


def quiet(terminal: Terminal, program: Program, course: Course, figures: Figures) -> None:
    """Nothing changes in the namespace. The clock and the ages move within a second of the full minute, which is a
    change: the seconds between are counted by themselves, and a whole minute beside them."""
    while not 4 <= time.time() % 60 <= 58 - course.quiet:
        terminal.rest(0.5)
    began, before, bytes_before = time.monotonic(), Cpu.of(terminal.pid), terminal.bytes
    figures.bytes_quiet = terminal.rest(course.quiet) / course.quiet
    figures.cpu_quiet = before.percent_until(Cpu.of(terminal.pid))
    terminal.rest(60 - (time.monotonic() - began))
    figures.bytes_minute = terminal.bytes - bytes_before
    figures.pss = pss(terminal.pid)
    figures.key_quiet, figures.keys_seen_quiet = key_p95(terminal, program, course.presses)


def changing(terminal: Terminal, program: Program, endpoints: Endpoints, course: Course, figures: Figures) -> None:
    """Pods change: first the CPU without keys, then the keys."""
    presses_take = course.presses * sum(SPACE) / 2 * 1.6 + 4
    seconds = course.quiet + 3 + presses_take
    with Churn(endpoints, seconds) as churn:
        terminal.rest(3)
        before = Cpu.of(terminal.pid)
        figures.bytes_changes = terminal.rest(course.quiet) / course.quiet
        figures.cpu_changes = before.percent_until(Cpu.of(terminal.pid))
        figures.key_changes, figures.keys_seen_changes = key_p95(terminal, program, course.presses)
        figures.pss_after_changes = pss(terminal.pid)
        while not churn.ended():
            terminal.read(0.2)
    figures.changes_per_second = churn.rate()


class Churn:
    """Changes pods from a process of its own, so that this one is free to read the terminal."""

    def __init__(self, endpoints: Endpoints, seconds: float) -> None:
        self._command = [sys.executable, "-m", "benchmarks.churn", endpoints.state, str(CHANGES), str(seconds)]
        self._seconds = seconds
        self._output = ""

    def __enter__(self) -> Churn:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        self._output = self._process.communicate()[0]

    def ended(self) -> bool:
        """Whether all changes are made."""
        return self._process.poll() is not None

    def rate(self) -> float | None:
        """Changes a second that were really made; None when the process did not say."""
        found = re.fullmatch(r"(\d+)\s*", self._output)
        return int(found[1]) / self._seconds if found else None


def key_p95(terminal: Terminal, program: Program, presses: int) -> tuple[float | None, int]:
    """95th percentile of the time from a key press until the cursor is seen elsewhere, in ms, and of how many."""
    rng = random.Random(11)
    times = []
    for number in range(presses):
        # Down and up by turns of five: the cursor stays among pods.
        took = terminal.press("j" if number // 5 % 2 == 0 else "k", program.cursor)
        if took is not None:
            times.append(took * 1000)
        terminal.rest(rng.uniform(*SPACE))
    return (percentile(times, 95), len(times)) if times else (None, 0)


def requests(terminal: Terminal) -> int | None:
    """Requests in the last minute, beyond watches, from planc's own page of statistics."""
    terminal.send(":stats\r")
    try:
        terminal.until(lambda text: total_requests(text) is not None, 5, "page of statistics")
    except Ended:
        return None
    return total_requests(terminal.text())


def total_requests(text: str) -> int | None:
    """The sum on the page of statistics; None when it is not shown.

    >>> total_requests(" 21 requests in the last minute, of 30")
    21
    """
    found = re.search(r"(\d+) requests in the last minute", text)
    return int(found[1]) if found else None


def kubectl_times(endpoints: Endpoints, environment: dict[str, str]) -> Figures:
    """`kubectl get pods` and `-w`: seconds to the first line, the last line, and the CPU and memory of a watch."""
    command = [f"{endpoints.bin}/kubectl", "get", "pods", "-n", endpoints.namespace]
    figures = Figures("kubectl get pods -w")
    started = time.monotonic()
    with subprocess.Popen([*command, "-w"], env=environment, stdout=subprocess.PIPE) as watch:
        assert watch.stdout is not None
        watch.stdout.readline()
        watch.stdout.readline()
        figures.first_rows = time.monotonic() - started
        reader = threading.Thread(target=watch.stdout.read, daemon=True)
        reader.start()
        time.sleep(5)
        before = Cpu.of(watch.pid)
        time.sleep(5)
        figures.cpu_quiet = before.percent_until(Cpu.of(watch.pid))
        figures.pss = pss(watch.pid)
        with Churn(endpoints, 10) as churn:
            time.sleep(1)
            before = Cpu.of(watch.pid)
            time.sleep(8)
            figures.cpu_changes = before.percent_until(Cpu.of(watch.pid))
            while not churn.ended():
                time.sleep(0.1)
        figures.changes_per_second = churn.rate()
        watch.terminate()
    started = time.monotonic()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    figures.all_rows = time.monotonic() - started
    return figures
