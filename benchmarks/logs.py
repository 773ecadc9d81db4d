"""How many log lines planc can read: on made-up lines, and from the pods of a real cluster.

Run `python benchmarks/logs.py` for the first, and with `--kubeconfig FILE --selector app=load` for both.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from planc_tui.backends.kubernetes.kubeconfig import load
from planc_tui.core.clock import SystemClock
from planc_tui.core.logs.book import ErrorBook, LogSummary
from planc_tui.core.logs.container import ContainerLog
from planc_tui.core.logs.lines import LineBuffer, LineLog
from planc_tui.core.stats import RequestStats
from planc_tui.core.store import Store
from planc_tui.sources.kube import kube_feeds
from planc_tui.sources.logs import ERRORS, FollowSettings, LogFeed, PodTargets

CHUNK_LINES = 40


@dataclass(frozen=True, slots=True)
class Speed:
    """lines: read; microseconds: CPU per line."""

    what: str
    lines: int
    microseconds: float

    @property
    def per_second(self) -> int:
        """Lines that one core can read in a second."""
        return round(1_000_000 / self.microseconds)


@dataclass(frozen=True, slots=True)
class Follow:
    """A minute on a cluster. memory: resident MiB at the start of the measuring, at the end, and the highest."""

    containers: int
    seconds: float
    lines: int
    lost: int
    errors: int
    cpu_percent: float
    memory: tuple[float, float, float]


def made_up(count: int, errors: float) -> list[bytes]:
    """`count` lines as the kubelet sends them, in chunks; errors: share of error lines."""
    rng = random.Random(7)
    chunks, chunk = [], []
    for number in range(count):
        text = (
            f"ERROR workflow.engine request {number:x} failed after {number % 977} ms: no connection to db-{number % 7}"
            if rng.random() < errors
            else f"INFO workflow.engine request {number:x} done in {number % 97} ms status=200 path=/v1/orders/{number}"
        )
        chunk.append(
            f"2026-11-24T14:{number // 60000 % 60:02d}:{number // 1000 % 60:02d}.{number:09d}Z {text}\n".encode()
        )
        if len(chunk) == CHUNK_LINES:
            chunks.append(b"".join(chunk))
            chunk = []
    return chunks


def errors_speed(what: str, share: float, count: int) -> Speed:
    """Errors found, grouped and listed."""
    chunks = made_up(count, share)
    reader, book = ContainerLog("pod", "app"), ErrorBook()
    started = time.process_time()
    for number, chunk in enumerate(chunks):
        book.add(reader.feed(chunk), 0.0, number / 100)
        if number % 10 == 0:
            book.advance(0.0, number / 100)
    return Speed(what, reader.lines, (time.process_time() - started) * 1e6 / reader.lines)


def lines_speed(count: int) -> Speed:
    """Every line of one pod kept for the log screen."""
    chunks = made_up(count, 0.02)
    reader, buffer = LineLog("pod", "app"), LineBuffer()
    started = time.process_time()
    for chunk in chunks:
        buffer.add(reader.feed(chunk))
    return Speed("log screen, every line kept", reader.lines, (time.process_time() - started) * 1e6 / reader.lines)


def resident() -> float:
    """Resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1048576


def follow(kubeconfig: str, namespace: str, label_selector: str, streams: int, seconds: float) -> Follow:
    """Follow real pods for a while. Raises PortError when the cluster does not let us."""
    clock, store = SystemClock(), Store()
    config = load({**os.environ, "KUBECONFIG": kubeconfig}, Path.home())
    info = config.info(None, namespace)
    port = config.open(info.context, info.namespace, RequestStats(), clock)
    kube = kube_feeds(port, store, clock, info.namespace)
    logs = LogFeed(port, store, clock, PodTargets(store, label_selector), FollowSettings(streams=streams), kube.link.up)
    kube.link.follow(logs)
    feeds = [*kube.feeds, logs]
    for feed in feeds:
        feed.start()
        feed.want(any(topic.name in ("pods", "link", "errors") for topic in feed.topics))
    waiting = threading.Event()
    deadline = clock.monotonic() + 30
    while clock.monotonic() < deadline:
        waiting.wait(0.5)
        now = store.get(ERRORS).value
        if now is not None and now.followed and now.followed == min(now.matched, streams):
            break
    first, cpu, began = store.get(ERRORS).value or LogSummary(), time.process_time(), clock.monotonic()
    memory = [resident()]
    while clock.monotonic() - began < seconds:
        waiting.wait(0.25)
        # What the screen does: look four times a second.
        last = store.get(ERRORS).value or LogSummary()
        memory.append(resident())
    took = clock.monotonic() - began
    used = time.process_time() - cpu
    for feed in feeds:
        feed.stop()
    port.close()
    return Follow(
        last.followed,
        round(took, 1),
        last.lines - first.lines,
        last.lost - first.lost,
        sum(pattern.count for pattern in last.patterns) + last.other,
        round(100 * used / took, 1),
        (round(memory[0], 1), round(memory[-1], 1), round(max(memory), 1)),
    )


def main() -> None:
    """Measure, print a table, and JSON after it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=200_000, help="made-up lines per measurement")
    parser.add_argument("--kubeconfig", help="follow real pods too")
    parser.add_argument("--namespace", default="workflow-scalability")
    parser.add_argument("--selector", default="", help="label selector of the pods")
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    speeds = [
        errors_speed("quiet, no error", 0.0, options.lines),
        errors_speed("usual, 2 % errors", 0.02, options.lines),
        errors_speed("storm, every line an error", 1.0, options.lines // 4),
        lines_speed(options.lines),
    ]
    for speed in speeds:
        print(f"{speed.what:<32}{speed.microseconds:>8.2f} us/line{speed.per_second:>12,} lines/s")
    result: dict[str, object] = {"speeds": [asdict(speed) for speed in speeds]}
    if options.kubeconfig:
        seen = follow(options.kubeconfig, options.namespace, options.selector, options.streams, options.seconds)
        print(
            f"followed {seen.containers} containers for {seen.seconds} s: {seen.lines / seen.seconds:,.0f} lines/s, "
            f"{seen.lost:,} lost, CPU {seen.cpu_percent} % of a core, memory {seen.memory[0]} to {seen.memory[1]} MiB "
            f"(highest {seen.memory[2]})"
        )
        result["follow"] = asdict(seen)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
