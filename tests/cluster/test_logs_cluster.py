"""Logs of real pods: nothing twice and nothing lost while the API server dies and comes back."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from planc_tui.backends.kubernetes.kubeconfig import load
from planc_tui.core.clock import SystemClock
from planc_tui.core.health import Health
from planc_tui.core.logs.book import LogSummary
from planc_tui.core.logs.lines import LineLog, RawLine
from planc_tui.core.logs.reader import stamped
from planc_tui.core.ports import ClusterPort
from planc_tui.core.stats import RequestStats
from planc_tui.core.store import Store
from planc_tui.sources.base import Feed
from planc_tui.sources.follow import Follower, LogTarget, Pace
from planc_tui.sources.kube import kube_feeds
from planc_tui.sources.logs import ERRORS, LogFeed, PodTargets
from tests.cluster.rig.layout import NAMESPACE
from tests.cluster.rig.logwriter import LogPlan, write_plan
from tests.cluster.rig.rig import Rig

pytestmark = pytest.mark.cluster
CLOCK = SystemClock()
SELECTOR = "app=workflow-scalability"


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> float:
    """Seconds until the condition held; fails after `seconds`."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"{what}: not within {seconds} s"
        time.sleep(0.1)
    return time.monotonic() - started


def plan(rig: Rig, **values: float) -> None:
    """Change what the pods write."""
    write_plan(Path(rig.endpoints.logs), LogPlan(**values))


@pytest.fixture
def writing(breakable_rig: Rig) -> Iterator[Rig]:
    """Pods that write 40 lines a second each, and the usual afterwards."""
    plan(breakable_rig, rate=40.0, error_share=0.2)
    yield breakable_rig
    plan(breakable_rig)


def port_of(rig: Rig, context: str | None = None) -> ClusterPort:
    """planc's own way to the cluster."""
    config = load({**os.environ, "KUBECONFIG": str(rig.endpoints.kubeconfig)}, Path.home())
    info = config.info(context, NAMESPACE)
    return config.open(info.context, info.namespace, RequestStats(), CLOCK)


def pods(rig: Rig) -> list[tuple[str, str]]:
    """Names and uids of the application's pods."""
    columns = "custom-columns=N:.metadata.name,U:.metadata.uid"
    shown = rig.kubectl("get", "pods", "-n", NAMESPACE, "-l", SELECTOR, "--no-headers", "-o", columns)
    return [(row.split()[0], row.split()[1]) for row in shown.splitlines()]


def written(rig: Rig, pod: str) -> list[tuple[int, bytes]]:
    """Time and text of every line of a pod's log, as kubectl prints them."""
    shown = rig.kubectl("logs", "-n", NAMESPACE, pod, "-c", "workflow-app", "--timestamps")
    return [stamped(line) for line in shown.encode(errors="surrogateescape").split(b"\n")[:-1]]


def test_every_line_once_over_a_killed_api_server(writing: Rig) -> None:
    port, pace = port_of(writing), Pace(CLOCK)
    followers: dict[str, Follower[RawLine]] = {}
    got: dict[str, list[tuple[int, bytes]]] = {}
    for name, uid in pods(writing):
        target = LogTarget(NAMESPACE, name, "workflow-app", uid)
        first = {"tailLines": "1"}
        followers[name] = Follower(port, CLOCK, target, LineLog(name, "workflow-app"), pace, first=first)
        got[name] = []
        followers[name].start()

    def collect() -> int:
        for name, follower in followers.items():
            got[name] += [(line.ts, line.text) for line in follower.collect()]
        return sum(map(len, got.values()))

    wait_for(lambda: collect() > 300, 20, "the first lines")
    for _ in range(2):
        writing.stop("kube-apiserver", kill=True)
        time.sleep(2.0)
        collect()
        writing.start("kube-apiserver")
        wanted = collect() + 600
        wait_for(lambda: collect() > wanted, 30, "lines after the return")  # noqa: B023 - called at once
    for name, follower in followers.items():
        everything = written(writing, name)
        end, _ = everything[-1]
        wait_for(lambda: collect() and got[name][-1][0] >= end, 20, f"the end of {name}")  # noqa: B023 - called at once
        follower.stop()
        read = [line for line in got[name] if line[0] <= end]
        assert read == everything[-len(read) :], name
        assert follower.reader.skipped == 0
    port.close()


def start_feeds(port: ClusterPort, store: Store, selector: str) -> list[Feed]:
    """Pods, pulse and logs, wanted."""
    kube = kube_feeds(port, store, CLOCK, NAMESPACE)
    logs = LogFeed(port, store, CLOCK, PodTargets(store, selector), gate=kube.link.up)
    kube.link.follow(logs)
    feeds: list[Feed] = [*kube.feeds, logs]
    for feed in feeds:
        feed.start()
        feed.want(any(topic.name in ("pods", "link", "errors") for topic in feed.topics))
    return feeds


def test_the_pane_sees_every_form_of_error_and_a_frozen_api_server(writing: Rig) -> None:
    port, store = port_of(writing), Store()
    feeds = start_feeds(port, store, SELECTOR)

    def summary() -> LogSummary:
        return store.get(ERRORS).value or LogSummary()

    def health() -> Health:
        return store.get(ERRORS).health(CLOCK.monotonic())

    wait_for(lambda: summary().matched == summary().followed == 6, 20, "all pods to be followed")
    wait_for(lambda: summary().pattern_count >= 6, 20, "the patterns of JSON, logfmt, klog, plain and traces")
    wait_for(lambda: any(line.trace for line in summary().errors), 10, "a stack trace with its line")
    assert health() is Health.LIVE
    writing.freeze("kube-apiserver")
    noticed = wait_for(lambda: health() is Health.STALE, 20, "the frozen server to be noticed")
    writing.thaw("kube-apiserver")
    back = wait_for(lambda: health() is Health.LIVE, 10, "the logs to be live again")
    print(f"noticed after {noticed:.1f} s, live again after {back:.1f} s")
    assert summary().lost == 0
    for feed in feeds:
        feed.stop()
    port.close()


def test_a_user_who_may_not_read_logs(rig: Rig) -> None:
    port, store = port_of(rig, "nologs"), Store()
    feeds = start_feeds(port, store, SELECTOR)
    wait_for(lambda: store.get(ERRORS).health(CLOCK.monotonic()) is Health.DENIED, 20, "the refusal")
    fault = store.get(ERRORS).fault
    assert fault is not None
    assert "log" in fault.message
    for feed in feeds:
        feed.stop()
    port.close()
