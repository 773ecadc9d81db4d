"""What is read from the kernel about one process, and the arithmetic on series of measurements.

Invariant: figures are of one process alone, taken from /proc; a percentile is a value that was measured.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest measured value that `percent` per cent of the values do not exceed (nearest rank).

    Raises ValueError without values.

    >>> percentile([5, 1, 4, 2, 3], 50), percentile(list(range(1, 101)), 95)
    (3, 95)
    """
    if not values:
        raise ValueError("a percentile of nothing")
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(0, rank - 1)]


def cpu_ticks(stat: str) -> int:
    """User and system time in clock ticks, from the text of /proc/PID/stat.

    The name in brackets may hold spaces and brackets, so fields are counted from the last bracket (proc(5)).
    """
    fields = stat.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def pss_mib(rollup: str) -> float:
    """Proportional set size in MiB, from the text of /proc/PID/smaps_rollup. Raises ValueError without it."""
    for line in rollup.splitlines():
        name, _, rest = line.partition(":")
        if name == "Pss":
            return int(rest.split()[0]) / 1024
    raise ValueError("smaps_rollup has no Pss")


def busy_share(before: str, after: str) -> float:
    """How much of all cores was used between two texts of /proc/stat, 0 to 1 (proc(5); waiting for a disk is no use).

    >>> round(busy_share("cpu  10 0 10 80 0 0 0 0 0 0", "cpu  15 0 15 170 0 0 0 0 0 0"), 3)
    0.1
    """
    spent = [int(new) - int(old) for old, new in zip(before.split()[1:9], after.split()[1:9], strict=True)]
    return 1 - (spent[3] + spent[4]) / max(1, sum(spent))


def wait_until_calm(most: float = 0.2, patience: float = 180.0, over: float = 5.0) -> float:
    """Wait until no more than the share `most` of all cores is used over `over` seconds, `patience` seconds at most.
    Returns the share that was used last."""
    stat = Path("/proc/stat")
    end = time.monotonic() + patience
    while True:
        before = stat.read_text(encoding="utf-8")
        time.sleep(over)
        share = busy_share(before, stat.read_text(encoding="utf-8"))
        if share <= most or time.monotonic() >= end:
            return share


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU time used by a process since a moment. seconds: of the clock."""

    ticks: int
    seconds: float

    @classmethod
    def of(cls, pid: int) -> Cpu:
        """Both clocks now."""
        return cls(cpu_ticks(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")), time.monotonic())

    def percent_until(self, later: Cpu) -> float:
        """Per cent of one core between two readings.

        >>> Cpu(100, 1.0).percent_until(Cpu(100 + TICKS, 5.0))
        25.0
        """
        return 100.0 * (later.ticks - self.ticks) / TICKS / (later.seconds - self.seconds)


def pss(pid: int) -> float:
    """Proportional set size of a process in MiB."""
    return pss_mib(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"))


def machine() -> str:
    """The machine in one line: cores, and what else runs on it."""
    load = os.getloadavg()
    return f"{os.cpu_count()} cores, load {load[0]:.2f} {load[1]:.2f} {load[2]:.2f} (1, 5, 15 minutes)"
