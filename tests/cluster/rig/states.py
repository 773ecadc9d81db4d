"""One pod for every STATUS that kubectl can print, with the status written by hand.

Invariant: a pod's name says its case, and EXPECTED says what kubectl prints for it; kwok leaves these pods alone.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.cluster.rig.api import MERGE, Api, ApiError

STATES_NAMESPACE = "states"
PODS = f"/api/v1/namespaces/{STATES_NAMESPACE}/pods"
NODE = "worker-eu-west-3a-1"
Json = dict[str, Any]


def now() -> str:
    """Returns the time as the API writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def waiting(reason: str, restarts: int = 0, last: Json | None = None) -> Json:
    """Returns the status of a waiting container; no reason is a container not looked at yet."""
    status: Json = {"state": {"waiting": {"reason": reason} if reason else {}}, "restartCount": restarts}
    return {**status, "lastState": {"terminated": last}} if last else status


def running(ready: bool = True, restarts: int = 0, last: Json | None = None) -> Json:
    """Returns the status of a running container."""
    status: Json = {"state": {"running": {"startedAt": now()}}, "ready": ready, "started": True}
    status["restartCount"] = restarts
    return {**status, "lastState": {"terminated": last}} if last else status


def ended(code: int, reason: str = "", signal: int = 0, restarts: int = 0) -> Json:
    """Returns the status of a terminated container."""
    return {"state": {"terminated": end(code, reason, signal)}, "restartCount": restarts}


def end(code: int, reason: str = "", signal: int = 0) -> Json:
    """Returns how a container ended."""
    ending: Json = {"exitCode": code, "startedAt": now(), "finishedAt": now()}
    if reason:
        ending["reason"] = reason
    if signal:
        ending["signal"] = signal
    return ending


@dataclass(frozen=True, slots=True)
class Case:
    """One pod: what kubectl prints, its phase, its containers' and init containers' status, and what is special.

    `initialized` and `ready` are conditions; `sidecars` counts the init containers, from the first, that restart.
    """

    expected: str
    phase: str
    containers: tuple[Json, ...] = ()
    inits: tuple[Json, ...] = ()
    initialized: bool = True
    ready: bool = False
    reason: str = ""
    sidecars: int = 0
    delete: bool = False
    gated: bool = False
    unscheduled: bool = False


def cases() -> dict[str, Case]:
    """Returns every case by pod name."""
    return {**plain_cases(), **init_cases(), **mixed_cases()}


def plain_cases() -> dict[str, Case]:
    """Returns pods whose STATUS comes from the phase or from a single container."""
    oom, failed = end(137, "OOMKilled"), end(1, "Error")
    return {
        "pending": Case("Pending", "Pending", unscheduled=True),
        "gated": Case("SchedulingGated", "Pending", gated=True, unscheduled=True),
        "creating": Case("ContainerCreating", "Pending", (waiting("ContainerCreating"),)),
        "initializing": Case("PodInitializing", "Pending", (waiting("PodInitializing"),)),
        "errimagepull": Case("ErrImagePull", "Pending", (waiting("ErrImagePull"),)),
        "imagepullbackoff": Case("ImagePullBackOff", "Pending", (waiting("ImagePullBackOff"),)),
        "invalidimage": Case("InvalidImageName", "Pending", (waiting("InvalidImageName"),)),
        "configerror": Case("CreateContainerConfigError", "Pending", (waiting("CreateContainerConfigError"),)),
        "runerror": Case("RunContainerError", "Running", (waiting("RunContainerError", 2, failed),)),
        "crashloop": Case("CrashLoopBackOff", "Running", (waiting("CrashLoopBackOff", 7, oom),)),
        "oomkilled": Case("OOMKilled", "Running", (ended(137, "OOMKilled", restarts=3),)),
        "error": Case("Error", "Failed", (ended(1, "Error"),)),
        "completed": Case("Completed", "Succeeded", (ended(0, "Completed"),)),
        "exitcode": Case("ExitCode:3", "Failed", (ended(3),)),
        "signal": Case("Signal:9", "Failed", (ended(0, signal=9),)),
        "deadline": Case("DeadlineExceeded", "Failed", reason="DeadlineExceeded"),
        "evicted": Case("Evicted", "Failed", reason="Evicted"),
        "nodeaffinity": Case("NodeAffinity", "Failed", reason="NodeAffinity"),
        "unknown": Case("Unknown", "Unknown"),
        "failed": Case("Failed", "Failed"),
        "running": Case("Running", "Running", (running(),), ready=True),
        "notready": Case("Running", "Running", (running(ready=False, restarts=2, last=failed),)),
        "unstarted": Case("Running", "Running", (waiting(""),)),
        "terminating": Case("Terminating", "Running", (running(),), ready=True, delete=True),
        "terminating-crash": Case("Terminating", "Running", (waiting("CrashLoopBackOff", 4, failed),), delete=True),
        # Deleting does not change the STATUS of a phase that is final.
        "completed-deleted": Case("Completed", "Succeeded", (ended(0, "Completed"),), delete=True),
        "nodelost": Case("Unknown", "Running", (running(),), ready=True, reason="NodeLost", delete=True),
    }


def init_cases() -> dict[str, Case]:
    """Returns pods with init containers and sidecars."""
    idle = (waiting("PodInitializing"),)
    done = ended(0, "Completed")
    still = waiting("PodInitializing")

    def case(expected: str, inits: tuple[Json, ...], phase: str = "Pending", sidecars: int = 0) -> Case:
        return Case(expected, phase, idle, inits, initialized=False, sidecars=sidecars)

    return {
        "init-0": case("Init:0/2", (running(ready=False), still)),
        "init-1": case("Init:1/2", (done, running(ready=False))),
        "init-waiting": case("Init:0/2", (still, still)),
        "init-error": case("Init:Error", (ended(1, "Error"), still)),
        "init-exitcode": case("Init:ExitCode:5", (ended(5), still)),
        "init-signal": case(
            "Init:Signal:15", (ended(0, signal=15) | {"state": {"terminated": end(143, signal=15)}}, still)
        ),
        "init-crash": case("Init:CrashLoopBackOff", (waiting("CrashLoopBackOff", 5, end(1, "Error")), still)),
        "init-image": case("Init:ImagePullBackOff", (waiting("ImagePullBackOff"), still)),
        "init-errimage": case("Init:ErrImagePull", (done, waiting("ErrImagePull"))),
        "init-oom": case("Init:OOMKilled", (ended(137, "OOMKilled"), still)),
        "init-failed": case("Init:Error", (ended(1, "Error"),), "Failed"),
        "sidecar-starting": case("Init:0/2", (running(ready=False) | {"started": False}, still), sidecars=1),
        "sidecar-then-init": case("Init:1/2", (running(), running(ready=False)), sidecars=1),
        "sidecar-crash": case("Init:CrashLoopBackOff", (waiting("CrashLoopBackOff", 3), still), sidecars=1),
        "sidecar-running": Case("Running", "Running", (running(restarts=1),), (running(),), ready=True, sidecars=1),
        "sidecar-restarts": Case(
            "Running",
            "Running",
            (running(),),
            (running(restarts=4, last=end(1, "Error")),),
            ready=True,
            sidecars=1,
        ),
        "sidecar-done": Case("Completed", "Succeeded", (ended(0, "Completed"),), (running(),), sidecars=1),
    }


def mixed_cases() -> dict[str, Case]:
    """Returns pods of several containers in different states."""
    done, oom = ended(0, "Completed"), end(137, "OOMKilled")
    crash = waiting("CrashLoopBackOff", 9, oom)
    return {
        "two-running": Case("Running", "Running", (running(restarts=1, last=oom), running(restarts=2)), ready=True),
        "one-crashing": Case("CrashLoopBackOff", "Running", (running(), crash)),
        "first-crashing": Case("CrashLoopBackOff", "Running", (crash, running())),
        "two-reasons": Case("ErrImagePull", "Running", (waiting("ErrImagePull"), crash)),
        "done-and-running": Case("NotReady", "Running", (done, running())),
        "done-and-ready": Case("Running", "Running", (done, running()), ready=True),
        "running-then-done": Case("NotReady", "Running", (running(), done)),
        "error-and-running": Case("Error", "Running", (ended(1, "Error", restarts=1), running())),
        "one-of-three": Case("Running", "Running", (running(), running(ready=False), running(ready=False))),
    }


EXPECTED = {name: case.expected for name, case in cases().items()}


def pod(name: str, case: Case) -> Json:
    """Returns the pod to create, bound to a node unless it waits for one."""
    containers = [{"name": f"c{index}", "image": f"image-{index}"} for index in range(max(1, len(case.containers)))]
    inits: list[Json] = []
    for index in range(len(case.inits)):
        container: Json = {"name": f"i{index}", "image": f"init-{index}"}
        if index < case.sidecars:
            container["restartPolicy"] = "Always"
        inits.append(container)
    annotations = {"test/manual": "true"}
    if case.delete:
        annotations["test/stuck"] = "true"
    spec: Json = {"containers": containers, "initContainers": inits, "terminationGracePeriodSeconds": 3600}
    if case.gated:
        spec["schedulingGates"] = [{"name": "test/gate"}]
    elif case.unscheduled:
        spec["nodeSelector"] = {"nodepool": "none"}
    else:
        spec["nodeName"] = NODE
    if case.phase in ("Succeeded", "Failed"):
        spec["restartPolicy"] = "Never"
    # Without a finalizer a finished pod would be gone at once.
    finalizers = ["test/hold"] if case.delete else []
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "annotations": annotations,
            "labels": {"app": "states"},
            "finalizers": finalizers,
        },
        "spec": spec,
    }


def status(case: Case) -> Json:
    """Returns the status to write."""
    flags = {
        "Initialized": case.initialized,
        "Ready": case.ready,
        "ContainersReady": case.ready,
        "PodScheduled": True,
    }
    conditions = [{"type": kind, "status": str(flag), "lastTransitionTime": now()} for kind, flag in flags.items()]
    body: Json = {"phase": case.phase, "conditions": conditions, "startTime": now(), "hostIP": "127.0.0.1"}
    if case.reason:
        body["reason"] = case.reason
        body["message"] = "set by a test"
    body["containerStatuses"] = named("c", "image", case.containers)
    body["initContainerStatuses"] = named("i", "init", case.inits)
    return body


def named(prefix: str, image: str, statuses: tuple[Json, ...]) -> list[Json]:
    """Returns container statuses with the fields that the API insists on."""
    return [
        {"name": f"{prefix}{index}", "image": f"{image}-{index}", "imageID": "", "ready": False, **item}
        for index, item in enumerate(statuses)
    ]


def create(api: Api) -> None:
    """Makes all pods anew."""
    remove(api)
    api.post("/api/v1/namespaces", {"metadata": {"name": STATES_NAMESPACE}})
    for name, case in cases().items():
        api.post(PODS, pod(name, case))
        if not case.unscheduled:
            api.patch(f"{PODS}/{name}/status", {"status": status(case)}, MERGE)
        if case.delete:
            api.delete(f"{PODS}/{name}")


def remove(api: Api, seconds: float = 60) -> None:
    """Removes the pods and their namespace, and waits until it is gone. Raises ApiError when it stays."""
    path = f"/api/v1/namespaces/{STATES_NAMESPACE}"
    if not api.exists(path):
        return
    for item in api.get(PODS)["items"]:
        pod_path = f"{PODS}/{item['metadata']['name']}"
        if item["metadata"].get("finalizers"):
            api.patch(pod_path, {"metadata": {"finalizers": None}})
        with contextlib.suppress(ApiError):
            api.delete(pod_path, grace_seconds=0)
    api.delete(path)
    deadline = time.monotonic() + seconds
    while api.exists(path):
        if time.monotonic() > deadline:
            raise ApiError(409, f"namespace {STATES_NAMESPACE} is not gone after {seconds:.0f} s")
        time.sleep(0.25)
