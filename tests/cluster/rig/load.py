"""Thousands of pods, and changes to them at a set rate, for the benchmark.

Invariant: the extra pods belong to one Deployment, so that removing it leaves the workload as it was.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

from tests.cluster.rig.api import STRATEGIC, Api, ApiError
from tests.cluster.rig.build import Say
from tests.cluster.rig.layout import NAMESPACE, Endpoints
from tests.cluster.rig.workload import APP, admin_api, wait_until

DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
LOAD_PODS = f"{PODS}?labelSelector=app%3Dload&resourceVersion=0"
HPA = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers/{APP}"
STILL_CPU = "7400u"
PROGRESS_SECONDS = 10.0
# The API server answers a patch in a few ms; four clients reach several hundred a second.
CHURN_CLIENTS = 4


def deployment(replicas: int) -> dict[str, Any]:
    """Returns the Deployment of the extra pods."""
    resources = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "load", "labels": {"app": "load"}},
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 1,
            "selector": {"matchLabels": {"app": "load"}},
            "template": {
                "metadata": {
                    "labels": {"app": "load"},
                    "annotations": {"test/cpu": STILL_CPU, "test/memory": "24Mi"},
                },
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{"name": "load", "image": "load:1", "resources": resources}],
                },
            },
        },
    }


def scale(endpoints: Endpoints, total: int, say: Say) -> None:
    """Brings the namespace to `total` pods by the Deployment load and waits until they are Ready; 0 removes it.

    Raises RigError when they are not there after a time that allows 30 pods a second.
    """
    api = admin_api(endpoints)
    try:
        others = len(api.get(f"{PODS}?labelSelector=app%21%3Dload&resourceVersion=0")["items"])
        wanted = max(0, total - others) if total else 0
        set_replicas(api, wanted)
        Progress(api, wanted, say).wait()
    finally:
        api.close()


def set_replicas(api: Api, replicas: int) -> None:
    """Creates, scales or removes the Deployment."""
    path = f"{DEPLOYMENTS}/load"
    if replicas == 0:
        with contextlib.suppress(ApiError):
            api.delete(path)
    elif api.exists(path):
        api.patch(path, {"spec": {"replicas": replicas}})
    else:
        api.post(DEPLOYMENTS, deployment(replicas))


class Progress:
    """Waits for the extra pods, with a line every ten seconds."""

    def __init__(self, api: Api, wanted: int, say: Say) -> None:
        self.api, self.wanted, self.say = api, wanted, say
        self.said_at = time.monotonic()

    def wait(self) -> None:
        """Waits until exactly the wanted pods are there and Ready."""
        wait_until(self.reached, 60 + self.wanted / 30 + self.present() / 30, f"{self.wanted} load pods", 1.0)

    def present(self) -> int:
        """Returns how many extra pods there are."""
        return len(self.api.get(LOAD_PODS)["items"])

    def reached(self) -> bool:
        """Tells whether the wanted number is reached."""
        if self.wanted:
            status = self.api.get(f"{DEPLOYMENTS}/load").get("status", {})
            ready, present = status.get("readyReplicas", 0), status.get("replicas", 0)
        else:
            ready, present = 0, self.present()
        if time.monotonic() - self.said_at > PROGRESS_SECONDS:
            self.said_at = time.monotonic()
            self.say(f"load: {ready} Ready of {present}, {self.wanted} wanted")
        return bool(ready == present == self.wanted)


@contextlib.contextmanager
def still(endpoints: Endpoints) -> Iterator[None]:
    """Keeps the usage that is measured from changing, for as long as the block lasts.

    kwok's counters and metrics-server's clock differ by up to a hundredth, which shows from 50 millicores on. So the
    workload's pods use less, and the HPA is kept from taking pods away for that.
    """
    api = admin_api(endpoints)
    hpa = api.get(HPA)["spec"]["minReplicas"]
    pods = api.get(f"{PODS}?labelSelector=app%21%3Dload")["items"]
    before = {pod["metadata"]["name"]: pod["metadata"].get("annotations", {}).get("test/cpu") for pod in pods}
    running = len([name for name in before if name.startswith(f"{APP}-")])
    try:
        set_usage(endpoints, running, dict.fromkeys(before, STILL_CPU))
        yield
    finally:
        set_usage(endpoints, hpa, before)


def set_usage(endpoints: Endpoints, replicas: int, usage: dict[str, str | None]) -> None:
    """Sets the fewest replicas of the HPA and what each pod uses; a pod that has gone is left out."""
    api = admin_api(endpoints)
    api.patch(HPA, {"spec": {"minReplicas": replicas}})
    for name, cpu in usage.items():
        with contextlib.suppress(ApiError):
            api.patch(f"{PODS}/{name}", {"metadata": {"annotations": {"test/cpu": cpu}}})
    api.close()


def churn(endpoints: Endpoints, rate: float, seconds: float) -> int:
    """Changes the status of `rate` load pods a second for `seconds`; returns how many changes were made."""
    api = admin_api(endpoints)
    names = [str(item["metadata"]["name"]) for item in api.get(LOAD_PODS)["items"]]
    api.close()
    if not names:
        return 0
    turns = itertools.count()
    # A run that follows another one must not set what is set already: that would be no change.
    base = int(time.time()) % 100_000
    done = [0] * CHURN_CLIENTS
    clients = [
        threading.Thread(target=change_pods, args=(endpoints, names, turns, base, rate, seconds, done, index))
        for index in range(CHURN_CLIENTS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return sum(done)


def change_pods(
    endpoints: Endpoints,
    names: list[str],
    turns: itertools.count[int],
    base: int,
    rate: float,
    seconds: float,
    done: list[int],
    index: int,
) -> None:
    """Takes turns with the other clients; turn n is due n / rate seconds after the start."""
    api = admin_api(endpoints)
    start = time.monotonic()
    for turn in turns:
        due = turn / rate
        if due >= seconds:
            break
        time.sleep(max(0.0, start + due - time.monotonic()))
        path = f"{PODS}/{names[turn % len(names)]}/status"
        with contextlib.suppress(ApiError):
            api.patch(path, changed_status(base + turn // len(names)), STRATEGIC)
            done[index] += 1
    api.close()


def changed_status(restarts: int) -> dict[str, Any]:
    """Returns a status that differs by its restart count alone: a visible change of one row."""
    running = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    container = {"name": "load", "image": "load:1", "imageID": "", "ready": True, "started": True, "state": running}
    return {"status": {"containerStatuses": [{**container, "restartCount": restarts}]}}
