"""The benchmark: python -m benchmarks [--pods N] [--state DIR] [--json FILE] [--quick].

Invariant: a cluster that was started here is stopped here; one that was running is left as it was found, but for the
number of its extra pods.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import programs
from benchmarks.course import Course, Figures, kubectl_times, run
from benchmarks.measure import machine, wait_until_calm
from benchmarks.report import table, verdicts
from benchmarks.terminal import Ended
from planc_tui import __version__
from tests.cluster.rig import load
from tests.cluster.rig.build import RigError
from tests.cluster.rig.faults import USUAL_TRAFFIC
from tests.cluster.rig.layout import Endpoints, endpoints_file
from tests.cluster.rig.logwriter import LogPlan, write_plan
from tests.cluster.rig.rig import Rig, down, up

STATE = Path(".cluster-bench")
LOG_LINES = 20_000.0  # asked of the cluster; how many come is measured
# The usual log lines and changing traffic would be changes on the screen.
SILENT = LogPlan(rate=0.0, error_share=0.0)


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    top.add_argument("--pods", type=int, default=5000, help="pods in the namespace")
    top.add_argument("--state", type=Path, default=STATE, help="folder of the cluster; one that runs there is used")
    top.add_argument("--json", type=Path, help="write the figures to this file, too")
    top.add_argument("--quick", action="store_true", help="shorter, and rougher figures")
    top.add_argument("--no-rivals", action="store_true", help="planc alone")
    top.add_argument("--no-logs", action="store_true", help="without the minute of log lines")
    return top


def say(text: str) -> None:
    """One line of progress."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def main() -> int:
    """Returns 1 when planc misses a target, 2 when it could not be measured."""
    options = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # else the cluster would be left behind
    found = endpoints_file(options.state).exists()
    try:
        try:
            return measured(up(options.state, say), options)
        finally:
            if not found:
                down(options.state, say)
    except (RigError, Ended) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 2


def measured(rig: Rig, options: argparse.Namespace) -> int:
    """Run everything on a cluster that is up and print what was found."""
    endpoints = rig.endpoints
    load.scale(endpoints, options.pods, say)
    write_plan(Path(endpoints.logs), SILENT)
    rig.set_traffic(error_ratio=0.0)
    course = Course.quick() if options.quick else Course()
    say(f"the cluster has settled: {wait_until_calm():.0%} of the cores are used")
    before = machine()
    try:
        with load.still(endpoints):
            figures = compared(endpoints, options, course)
        logs = None if options.no_logs else log_minute(endpoints, 15.0 if options.quick else 60.0)
    finally:
        write_plan(Path(endpoints.logs), LogPlan())
        rig.set_traffic(**USUAL_TRAFFIC)
    result: dict[str, Any] = {
        "planc": __version__,
        "python": sys.version.split()[0],
        "machine": {"before": before, "after": machine()},
        "pods": options.pods,
        "programs": [asdict(one) for one in figures],
        "targets_met": verdicts(figures[0]),
        "logs": logs,
    }
    print(f"{options.pods:,} pods; {before} before, {machine()} after\n")
    print(table(figures))
    if logs is not None:
        print(f"\n{log_line(logs)}")
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    else:
        print(f"\n{json.dumps(result)}")
    return 0 if all(result["targets_met"].values()) else 1


def compared(endpoints: Endpoints, options: argparse.Namespace, course: Course) -> list[Figures]:
    """planc, then what else is there."""
    home = programs.temporary_home()
    try:
        figures = [run(programs.planc(endpoints, home, options.pods), endpoints, course, say)]
        if options.no_rivals:
            return figures
        rival = programs.k9s(endpoints, home, options.pods)
        if rival is None:
            say("k9s is not there: python -m tests.cluster.rig build --rivals")
        else:
            figures.append(run(rival, endpoints, course, say))
        figures.append(kubectl_times(endpoints, programs.base_environment(endpoints, home)))
        return figures
    finally:
        shutil.rmtree(home, ignore_errors=True)


def log_minute(endpoints: Endpoints, seconds: float) -> dict[str, Any] | None:
    """Follow 50 pods that log as fast as the cluster serves; None when that failed."""
    say("log lines of 50 pods")
    write_plan(Path(endpoints.logs), LogPlan(0.0, 0.0, LOG_LINES / 50))
    time.sleep(3)
    command = [sys.executable, "-m", "benchmarks.logs", "--kubeconfig", endpoints.kubeconfig]
    command += ["--namespace", endpoints.namespace, "--selector", "app=load", "--streams", "50"]
    command += ["--seconds", str(seconds), "--lines", "20000"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        say(f"the log benchmark failed: {done.stderr.strip().splitlines()[-1:]}")
        return None
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def log_line(logs: dict[str, Any]) -> str:
    """What the log benchmark found, in one line."""
    seen = logs["follow"]
    first, last, most = seen["memory"]
    return (
        f"Logs: {seen['containers']} pods for {seen['seconds']:.0f} s, {seen['lines'] / seen['seconds']:,.0f} lines/s, "
        f"{seen['lost']:,} lost and counted, CPU {seen['cpu_percent']:.0f} %, "
        f"memory {first:.0f} to {last:.0f} MiB (highest {most:.0f})"
    )


if __name__ == "__main__":
    sys.exit(main())
