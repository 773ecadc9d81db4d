"""Breaks the cluster in the ways an on-call engineer meets, and heals all of them.

Invariant: every break is undone by `heal`, which is safe to call when nothing is broken.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from tests.cluster.rig import states
from tests.cluster.rig.api import STRATEGIC, Api, ApiError
from tests.cluster.rig.build import RigError
from tests.cluster.rig.layout import NAMESPACE, Endpoints
from tests.cluster.rig.logwriter import LogPlan, write_plan
from tests.cluster.rig.processes import Registry, Spec
from tests.cluster.rig.servers import fill_rabbitmq, log_file, set_depth
from tests.cluster.rig.workload import APP, APP_VERSIONS, WORKERS, admin_api, apply, manifest, wait_until

CORE = f"/api/v1/namespaces/{NAMESPACE}"
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"
LOCK_PART = "lockholder"
USUAL_TRAFFIC = {"rps": 120.0, "error_ratio": 0.00003, "latency_ms": 35.0}
BAD_DEPLOYS = {"bad-deploy": "oom", "error-deploy": "error", "image-deploy": "image"}
MEBIBYTE = 1 << 20
APP_CPU = "300500u"  # as in workload.yaml


@dataclass(frozen=True, slots=True)
class Scene:
    """What a break acts on."""

    endpoints: Endpoints
    registry: Registry
    api: Api
    count: int | None


def break_(endpoints: Endpoints, registry: Registry, kind: str, count: int | None = None) -> None:
    """Breaks one thing. Raises RigError with the known kinds."""
    if kind not in KINDS:
        raise RigError(f"Unknown kind {kind}. Kinds: {', '.join(KINDS)}")
    api = admin_api(endpoints)
    try:
        KINDS[kind][0](Scene(endpoints, registry, api, count))
    finally:
        api.close()


def bad_deploy(kind: str) -> Callable[[Scene], None]:
    """Returns a break that rolls out a template whose pods fail in the given way."""

    def deploy(scene: Scene) -> None:
        container = {"name": "workflow-app", "image": "registry.workflow.example.com/workflow-app:2.5.0-rc1"}
        template = {"metadata": {"annotations": {"test/crash": kind}}, "spec": {"containers": [container]}}
        scene.api.patch(f"{APPS}/deployments/{APP}", {"spec": {"template": template}}, STRATEGIC)

    return deploy


def backlog(scene: Scene) -> None:
    """Fills the queue tasks with `count` (5,000) messages and dead_letter with a tenth."""
    count = scene.count or 5000
    set_depth(scene.endpoints, "tasks", count)
    set_depth(scene.endpoints, "dead_letter", max(1, count // 10))


def dead_letter(scene: Scene) -> None:
    """Fills dead_letter with `count` (10,000) persistent messages."""
    set_depth(scene.endpoints, "dead_letter", scene.count or 10000)


def lock(scene: Scene) -> None:
    """Starts the process whose root session blocks two others, and waits until it does."""
    endpoints = scene.endpoints
    command = [sys.executable, "-m", "tests.cluster.rig.lockholder", endpoints.state]
    scene.registry.start(Spec(LOCK_PART, command, log_file(endpoints, LOCK_PART), kept=False))
    wait_until(lambda: blocked_sessions(endpoints) >= 2, 15, "two sessions to wait for the lock")


def blocked_sessions(endpoints: Endpoints) -> int:
    """Returns how many sessions wait for another one's lock."""
    with psycopg.connect(endpoints.postgres_dsn(endpoints.postgres_superuser)) as connection:
        row = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"
        ).fetchone()
    return int(row[0]) if row else 0


def errors(scene: Scene) -> None:
    """Makes a third of the log entries errors and 12 % of the requests fail."""
    write_plan(Path(scene.endpoints.logs), LogPlan(rate=2.0, error_share=0.35))
    set_traffic(scene.endpoints, error_ratio=0.12)


def high_latency(scene: Scene) -> None:
    """Raises the median latency to 2.6 s and the app's CPU above its target."""
    set_traffic(scene.endpoints, latency_ms=2600)
    busy(scene)


def busy(scene: Scene) -> None:
    """Sets the app pods' usage to 480m of the 500m they request, so that the HPA scales up."""
    annotate_app_pods(scene.api, {"test/cpu": "479500u"}, limit=None)


def leak(scene: Scene) -> None:
    """Makes `count` (1) app pods' memory grow by 1 MiB a second."""
    since = f"{time.time():.0f}"
    annotate_app_pods(scene.api, {"test/leak": f"{MEBIBYTE}", "test/leak-since": since}, scene.count or 1)


def oom_pod(scene: Scene) -> None:
    """Puts `count` (1) app pods into CrashLoopBackOff after an OOM kill; their Deployment is well."""
    annotate_app_pods(scene.api, {"test/crash": "oom"}, scene.count or 1)


def annotate_app_pods(api: Api, annotations: dict[str, str], limit: int | None) -> None:
    """Annotates the first `limit` app pods by name."""
    listed = api.get(f"{CORE}/pods?labelSelector=app%3Dworkflow-scalability")["items"]
    for name in sorted(item["metadata"]["name"] for item in listed)[:limit]:
        api.patch(f"{CORE}/pods/{name}", {"metadata": {"annotations": annotations}})


def break_node(status: str, kind: str, reason: str) -> Callable[[Scene], None]:
    """Returns a break that gives one node a condition (Ready False, say) which kwok then leaves alone."""

    def set_condition(scene: Scene) -> None:
        path = f"/api/v1/nodes/{BROKEN_NODE}"
        scene.api.patch(path, {"metadata": {"annotations": {"test/manual": "true"}}})
        condition = {"type": kind, "status": status, "reason": reason, "message": "set by a test"}
        scene.api.patch(f"{path}/status", {"status": {"conditions": [condition]}}, STRATEGIC)

    return set_condition


BROKEN_NODE = "worker-eu-west-3c-1"


def cordon(scene: Scene) -> None:
    """Cordons one node."""
    scene.api.patch(f"/api/v1/nodes/{BROKEN_NODE}", {"spec": {"unschedulable": True}})


def pod_states(scene: Scene) -> None:
    """Makes one pod per STATUS that kubectl knows, in namespace states."""
    states.create(scene.api)


KINDS: dict[str, tuple[Callable[[Scene], None], str]] = {
    **{name: (bad_deploy(crash), f"roll out an app whose pods fail ({crash})") for name, crash in BAD_DEPLOYS.items()},
    "backlog": (backlog, "COUNT (5000) messages in tasks, a tenth in dead_letter"),
    "dead-letter": (dead_letter, "COUNT (10000) messages in dead_letter"),
    "lock": (lock, "a session that blocks two others in PostgreSQL"),
    "errors": (errors, "errors and stack traces in the logs, 12 % failing requests"),
    "high-latency": (high_latency, "2.6 s median latency, busy app"),
    "busy": (busy, "app CPU above the HPA's target"),
    "leak": (leak, "COUNT (1) app pods growing by 1 MiB/s"),
    "oom-pod": (oom_pod, "COUNT (1) app pods in CrashLoopBackOff after an OOM kill"),
    "node-down": (break_node("False", "Ready", "KubeletNotReady"), "one node NotReady"),
    "node-pressure": (
        break_node("True", "MemoryPressure", "KubeletHasInsufficientMemory"),
        "memory pressure",
    ),
    "cordon": (cordon, "one node cordoned"),
    "states": (pod_states, "one pod per STATUS kubectl knows, in namespace states"),
}


def heal(endpoints: Endpoints, registry: Registry) -> None:
    """Undoes every break, on whatever part of the cluster is there."""
    write_plan(Path(endpoints.logs), LogPlan())
    recorded = registry.read()
    if LOCK_PART in recorded:
        registry.stop(LOCK_PART)
        registry.forget(LOCK_PART)
    if "exporter" in recorded:
        set_traffic(endpoints, **USUAL_TRAFFIC)
        fill_rabbitmq(endpoints)
    if "kube-apiserver" in recorded or "kubectl-proxy" in recorded:
        api = admin_api(endpoints)
        try:
            heal_kubernetes(endpoints, api)
        finally:
            api.close()


def heal_kubernetes(endpoints: Endpoints, api: Api) -> None:
    """Brings nodes, pods and workload back to what the manifests say."""
    states.remove(api)
    with contextlib.suppress(ApiError):
        heal_node(api)
    for deployment in (APP, WORKERS):
        # Applying does not remove what another field manager added, so take the breaks' own fields away first.
        template = {"metadata": {"annotations": {"test/crash": None}}}
        api.patch(f"{APPS}/deployments/{deployment}", {"spec": {"paused": None, "template": template}})
    apply(endpoints, manifest(endpoints, "workload.yaml", APP_VERSION=APP_VERSIONS[-1]))
    gone: dict[str, Any] = dict.fromkeys(("test/leak", "test/leak-since"))
    for item in api.get(f"{CORE}/pods?labelSelector=app%3Dworkflow-scalability")["items"]:
        annotations = item["metadata"].get("annotations", {})
        path = f"{CORE}/pods/{item['metadata']['name']}"
        if "test/crash" in annotations:
            with contextlib.suppress(ApiError):
                api.delete(path)
        elif "test/leak" in annotations or annotations.get("test/cpu") != APP_CPU:
            with contextlib.suppress(ApiError):
                api.patch(path, {"metadata": {"annotations": {**gone, "test/cpu": APP_CPU}}})


def heal_node(api: Api) -> None:
    """Lets kwok make the broken node Ready again, without pressure, schedulable."""
    path = f"/api/v1/nodes/{BROKEN_NODE}"
    conditions = [
        {"type": "Ready", "status": "Unknown"},
        {"type": "MemoryPressure", "status": "False", "reason": "KubeletHasSufficientMemory"},
    ]
    broken = "test/manual" in api.get(path)["metadata"].get("annotations", {})
    if broken:
        api.patch(f"{path}/status", {"status": {"conditions": conditions}}, STRATEGIC)
    api.patch(path, {"metadata": {"annotations": {"test/manual": None}}, "spec": {"unschedulable": None}})


def set_traffic(endpoints: Endpoints, **changes: float) -> None:
    """Changes what the exporter serves."""
    request = urllib.request.Request(f"{endpoints.exporter}/set", json.dumps(changes).encode(), method="PUT")
    with urllib.request.urlopen(request, timeout=5):
        pass
