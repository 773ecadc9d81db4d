"""The Kubernetes feeds while the API server and metrics-server are stopped, killed, frozen or refuse.

Every topic must say that it is old within nine seconds, keep its rows, and be live within ten seconds of the return.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from planc_tui.backends.kubernetes import load
from planc_tui.core.clock import SystemClock
from planc_tui.core.cluster.topics import (
    DEPLOYMENTS,
    EVENTS,
    HPAS,
    LINK,
    NODE_USAGE,
    NODES,
    POD_USAGE,
    PODS,
)
from planc_tui.core.health import Health
from planc_tui.core.ports import ClusterPort
from planc_tui.core.stats import RequestStats
from planc_tui.core.store import Store, Topic
from planc_tui.sources import metrics
from planc_tui.sources.base import PATIENCE
from planc_tui.sources.hub import LINGER, Hub
from planc_tui.sources.kube import kube_feeds
from tests.cluster.rig.layout import NAMESPACE
from tests.cluster.rig.rig import Rig

pytestmark = pytest.mark.cluster

TOPICS: tuple[Topic[Any], ...] = (LINK, PODS, DEPLOYMENTS, HPAS, NODES, EVENTS, POD_USAGE, NODE_USAGE)
NOTICED = 9.0
BACK = 10.0


class Eyes:
    """The feeds of one namespace, all needed."""

    def __init__(self, rig: Rig, context: str) -> None:
        self.clock, self.stats, self.store = SystemClock(), RequestStats(), Store()
        config = load({}, Path.home(), kubeconfig=str(rig.endpoints.kubeconfig))
        self.port: ClusterPort = config.open(context, NAMESPACE, self.stats, self.clock)
        self.hub = Hub(kube_feeds(self.port, self.store, self.clock, NAMESPACE).feeds, self.clock)
        self.hub.start()
        self.hub.need("test", TOPICS)

    def health(self, topic: Topic[Any]) -> Health:
        return self.store.get(topic).health(self.clock.monotonic())

    def healths(self) -> dict[str, str]:
        return {topic.name: self.health(topic).value for topic in TOPICS}

    def requests(self) -> int:
        return sum(load.total for load in self.stats.loads(self.clock.monotonic()))

    def watches(self) -> int:
        """How many were ever opened."""
        return sum(load.streams for load in self.stats.loads(self.clock.monotonic()))

    def wait(self, done: Callable[[], bool], seconds: float, what: str) -> float:
        """Seconds it took. Fails after `seconds`."""
        started = time.monotonic()
        while time.monotonic() - started < seconds:
            if done():
                return time.monotonic() - started
            time.sleep(0.05)
        raise AssertionError(f"{what} took more than {seconds} s: {self.healths()}")

    def wait_live(self, seconds: float) -> float:
        return self.wait(lambda: set(self.healths().values()) == {"live"}, seconds, "to be live")

    def wait_old(self, seconds: float) -> float:
        return self.wait(lambda: "live" not in self.healths().values(), seconds, "to be noticed")

    def names(self) -> list[str]:
        listing = self.store.get(PODS).value
        return [row.name for row in listing or ()]

    def close(self) -> None:
        self.hub.stop()
        self.port.close()


@pytest.fixture
def eyes(breakable_rig: Rig) -> Iterator[Eyes]:
    made = Eyes(breakable_rig, "planc-test")
    made.wait_live(40)
    yield made
    made.close()


def test_a_frozen_api_server(breakable_rig: Rig, eyes: Eyes) -> None:
    names = eyes.names()
    breakable_rig.freeze("apiserver")
    try:
        eyes.wait_old(NOTICED)
        assert eyes.names() == names
        before = eyes.requests()
        time.sleep(20)
        assert eyes.requests() - before <= 10, "at most thirty requests a minute while it is away"
    finally:
        breakable_rig.thaw("apiserver")
    eyes.wait_live(BACK)
    assert eyes.names() == names


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_an_api_server_that_ends_and_returns(breakable_rig: Rig, eyes: Eyes, kill: bool) -> None:
    names = eyes.names()
    breakable_rig.stop("apiserver", kill=kill)
    try:
        eyes.wait_old(NOTICED)
        fault = eyes.store.get(PODS).fault
        assert fault is not None
        assert fault.health is Health.UNREACHABLE
        assert fault.next_try is not None
        assert eyes.names() == names
    finally:
        breakable_rig.start("apiserver")
    eyes.wait_live(BACK)
    breakable_rig.kubectl("label", "pod", names[0], "-n", NAMESPACE, "test=after", "--overwrite")
    eyes.wait(lambda: _label(eyes, names[0]) == "after", 5, "a change after the return")
    breakable_rig.kubectl("label", "pod", names[0], "-n", NAMESPACE, "test-")


def _label(eyes: Eyes, name: str) -> str:
    listing = eyes.store.get(PODS).value
    return next((row.labels.get("test", "") for row in listing or () if row.name == name), "")


def test_metrics_server_away_concerns_usage_alone(breakable_rig: Rig, eyes: Eyes) -> None:
    breakable_rig.stop("metrics-server")
    try:
        eyes.wait(lambda: eyes.store.get(POD_USAGE).fault is not None, 30, "the missing metrics-server")
        fault = eyes.store.get(POD_USAGE).fault
        assert fault is not None
        assert "metrics-server" in fault.message
        assert {eyes.health(topic) for topic in (LINK, PODS, DEPLOYMENTS, HPAS, NODES, EVENTS)} == {Health.LIVE}
    finally:
        breakable_rig.start("metrics-server")
    eyes.wait_live(45)


def test_a_frozen_metrics_server_makes_all_usage_old(breakable_rig: Rig, eyes: Eyes) -> None:
    breakable_rig.freeze("metrics-server")
    try:
        usage = (POD_USAGE, NODE_USAGE)
        # It may freeze just after a read; the next one begins as late as in a crowded minute, and waits for its answer.
        noticed = metrics.INTERVAL + PATIENCE + metrics.DEADLINE + 0.5
        eyes.wait(
            lambda: all(eyes.health(topic) is Health.STALE for topic in usage), noticed, "the frozen metrics-server"
        )
        assert {eyes.health(topic) for topic in (LINK, PODS, NODES)} == {Health.LIVE}
    finally:
        breakable_rig.thaw("metrics-server")
    eyes.wait_live(BACK)


def test_nobody_looking_costs_nothing(eyes: Eyes) -> None:
    eyes.hub.need("test", ())
    time.sleep(LINGER + 1)
    before = eyes.requests()
    time.sleep(12)
    assert eyes.requests() == before
    assert eyes.health(PODS) is Health.IDLE
    eyes.hub.need("test", TOPICS)
    eyes.wait_live(BACK)


def test_requests_stay_within_the_budget_and_quiet_watches_open(eyes: Eyes) -> None:
    time.sleep(1)
    before, watches = eyes.requests(), eyes.watches()
    time.sleep(30)
    assert eyes.requests() - before <= 15
    assert eyes.watches() == watches


def test_what_a_restricted_user_may_not_see_is_denied_and_no_more(rig: Rig) -> None:
    eyes = Eyes(rig, "viewer")
    try:
        eyes.wait(lambda: eyes.health(PODS) is Health.LIVE, 15, "the pods")
        eyes.wait(lambda: eyes.health(NODES) is Health.DENIED, 15, "the refusal")
        fault = eyes.store.get(NODES).fault
        assert fault is not None
        assert "list" in fault.message
        assert "nodes" in fault.message
        assert eyes.health(LINK) is Health.LIVE
    finally:
        eyes.close()


def test_an_expired_login_says_so_everywhere(rig: Rig) -> None:
    eyes = Eyes(rig, "expired")
    try:
        eyes.wait(lambda: set(eyes.healths().values()) == {"login expired"}, 15, "the expired login")
    finally:
        eyes.close()
