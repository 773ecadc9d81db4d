"""kubectl is the oracle: what planc says of pods, usage, autoscalers, nodes and rollouts is what kubectl says.

The cluster moves while it is looked at, so each comparison is between kubectl and what planc read just before or just
after it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from planc_tui.backends.kubernetes import load
from planc_tui.core import quantity
from planc_tui.core.clock import SystemClock
from planc_tui.core.cluster.hpa import targets_text
from planc_tui.core.cluster.listing import Listing
from planc_tui.core.cluster.pods import restarts_text
from planc_tui.core.cluster.topics import DAEMONSETS, DEPLOYMENTS, HPAS, NODES, PODS, STATEFULSETS
from planc_tui.core.health import Health
from planc_tui.core.ports import ClusterPort
from planc_tui.core.stats import RequestStats
from planc_tui.core.store import Store, Topic
from planc_tui.sources.hub import Hub
from planc_tui.sources.kube import kube_feeds
from planc_tui.sources.metrics import node_metrics, pod_metrics
from tests.cluster.rig.layout import NAMESPACE
from tests.cluster.rig.rig import Rig
from tests.cluster.rig.states import EXPECTED, create, remove
from tests.cluster.rig.workload import admin_api
from tests.steps import complete

pytestmark = pytest.mark.cluster

WATCHED: tuple[Topic[Any], ...] = (PODS, HPAS, NODES, DEPLOYMENTS, STATEFULSETS, DAEMONSETS)
TRIES = 8
SCALER = "planc-oracle"
SCALERS = [
    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1500Mi"}}},
    {
        "type": "ContainerResource",
        "containerResource": {
            "name": "cpu",
            "container": "workflow-app",
            "target": {"type": "Utilization", "averageUtilization": 70},
        },
    },
    {
        "type": "Pods",
        "pods": {"metric": {"name": "hits"}, "target": {"type": "AverageValue", "averageValue": "1500m"}},
    },
    {
        "type": "Object",
        "object": {
            "metric": {"name": "rate"},
            "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "s"},
            "target": {"type": "Value", "value": "2k"},
        },
    },
    {
        "type": "External",
        "external": {"metric": {"name": "depth"}, "target": {"type": "AverageValue", "averageValue": "30"}},
    },
]


class Eyes:
    """planc's feeds of all namespaces on the test cluster."""

    def __init__(self, rig: Rig) -> None:
        clock = SystemClock()
        config = load({}, Path.home(), kubeconfig=str(rig.endpoints.kubeconfig))
        self.port: ClusterPort = config.open("planc-test", NAMESPACE, RequestStats(), clock)
        self.store, self.clock = Store(), clock
        self.hub = Hub(kube_feeds(self.port, self.store, clock, "").feeds, clock)
        self.hub.start()
        self.hub.need("test", WATCHED)

    def rows(self, topic: Topic[Listing[Any]]) -> tuple[Any, ...]:
        """Rows of a topic, once they are whole and live."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            reading = self.store.get(topic)
            live = reading.health(self.clock.monotonic()) is Health.LIVE
            if live and reading.value is not None and reading.value.complete:
                return reading.value.rows
            time.sleep(0.05)
        raise AssertionError(f"{topic.name} is not live: {self.store.get(topic).fault}")

    def close(self) -> None:
        self.hub.stop()
        self.port.close()


@pytest.fixture(scope="module")
def eyes(rig: Rig) -> Iterator[Eyes]:
    made = Eyes(rig)
    yield made
    made.close()


def table(rig: Rig, *arguments: str) -> dict[str, list[str]]:
    """kubectl's table as columns by the first two (or the first, without namespaces); a column may hold one blank."""
    lines = rig.kubectl(*arguments, "--no-headers").splitlines()
    width = 2 if "-A" in arguments else 1
    cells = [re.split(r"\s{2,}", line.strip()) for line in lines]
    return {"/".join(row[:width]): row[width:] for row in cells}


def agree(look: Callable[[], Any], oracle: Callable[[], Any]) -> None:
    """kubectl's answer equals what planc says before or after it, within a few tries."""
    before = after = answer = None
    for _ in range(TRIES):
        before, answer, after = look(), oracle(), look()
        if answer in (before, after):
            return
        time.sleep(0.5)
    assert after == answer


@pytest.fixture(scope="module")
def states(rig: Rig) -> Iterator[None]:
    api = admin_api(rig.endpoints)
    create(api)
    yield
    remove(api)
    api.close()


@pytest.mark.usefixtures("states")
def test_every_pod_state_is_kubectls_own(rig: Rig, eyes: Eyes) -> None:
    def look() -> dict[str, list[str]]:
        now = time.time()
        return {
            f"{row.namespace}/{row.name}": [f"{row.ready}/{row.total}", row.status, restarts_text(row, now)]
            for row in eyes.rows(PODS)
        }

    deadline = time.monotonic() + 10
    while sum(name.startswith("states/") for name in look()) < len(EXPECTED) and time.monotonic() < deadline:
        time.sleep(0.1)
    agree(look, lambda: {name: cells[:3] for name, cells in table(rig, "get", "pods", "-A").items()})
    words = {cells[1] for name, cells in look().items() if name.startswith("states/")}
    assert {"CrashLoopBackOff", "Terminating", "Completed", "Evicted"} <= words


def test_usage_is_what_kubectl_top_prints(rig: Rig, eyes: Eyes) -> None:
    pods, nodes = pod_metrics(eyes.port, ""), node_metrics(eyes.port)

    def look_at_pods() -> dict[str, list[str]]:
        return {
            "/".join(key): [quantity.cpu_text(usage.cpu), quantity.memory_text(usage.memory)]
            for key, usage in complete(pods.read()).by_name.items()
        }

    def look_at_nodes() -> dict[str, list[str]]:
        rows = {row.name: row for row in eyes.rows(NODES)}
        return {
            name: [
                quantity.cpu_text(usage.cpu),
                f"{quantity.percent(usage.cpu, rows[name].cpu)}%",
                quantity.memory_text(usage.memory),
                f"{quantity.percent(usage.memory, rows[name].memory)}%",
            ]
            for (_, name), usage in complete(nodes.read()).by_name.items()
        }

    agree(look_at_pods, lambda: table(rig, "top", "pods", "-A"))
    agree(look_at_nodes, lambda: table(rig, "top", "nodes"))


@pytest.fixture
def scalers(rig: Rig) -> Iterator[None]:
    """Autoscalers with every kind of metric on a Deployment that does not exist."""

    def autoscaler(index: int, metrics: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": f"{SCALER}-{index}", "namespace": "other", "labels": {"test": SCALER}},
            "spec": {
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "absent"},
                "maxReplicas": 4,
                "metrics": metrics,
            },
        }

    made = [autoscaler(i, [metric]) for i, metric in enumerate(SCALERS)] + [autoscaler(9, SCALERS)]
    rig.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": made}))
    yield
    rig.kubectl("delete", "hpa", "-n", "other", "-l", f"test={SCALER}")


@pytest.mark.usefixtures("scalers")
def test_autoscalers_are_what_kubectl_get_hpa_prints(rig: Rig, eyes: Eyes) -> None:
    def look() -> dict[str, list[str]]:
        return {
            f"{row.namespace}/{row.name}": [
                f"{row.target_kind}/{row.target_name}",
                targets_text(row.metrics),
                str(row.minimum),
                str(row.maximum),
                str(row.current),
            ]
            for row in eyes.rows(HPAS)
        }

    agree(look, lambda: {name: cells[:5] for name, cells in table(rig, "get", "hpa", "-A").items()})
    assert sum(SCALER in name for name in look()) == len(SCALERS) + 1


def test_nodes_are_what_kubectl_get_nodes_prints(rig: Rig, eyes: Eyes) -> None:
    def look() -> dict[str, list[str]]:
        return {row.name: [row.status, ",".join(row.roles) or "<none>"] for row in eyes.rows(NODES)}

    def oracle() -> dict[str, list[str]]:
        return {name: cells[:2] for name, cells in table(rig, "get", "nodes").items()}

    agree(look, oracle)
    name = min(look())
    rig.kubectl("cordon", name)
    try:
        agree(look, oracle)
        assert look()[name][0] == "Ready,SchedulingDisabled"
    finally:
        rig.kubectl("uncordon", name)


def test_rollouts_are_done_when_kubectl_says_so(rig: Rig, eyes: Eyes) -> None:
    done = re.compile(r"success|complete \d|roll out complete")

    def look() -> dict[str, bool]:
        topics = (DEPLOYMENTS, STATEFULSETS, DAEMONSETS)
        return {
            f"{row.kind.lower()}.apps/{row.name}": row.done
            for topic in topics
            for row in eyes.rows(topic)
            if row.namespace == NAMESPACE
        }

    def oracle() -> dict[str, bool]:
        names = rig.kubectl("get", "deployments,statefulsets,daemonsets", "-n", NAMESPACE, "-o", "name").split()
        asked = {n: rig.kubectl("rollout", "status", n, "-n", NAMESPACE, "--watch=false") for n in names}
        return {name: bool(done.search(text)) for name, text in asked.items()}

    agree(look, oracle)
