"""Applies the workload and waits for it; knows the nodes and the manifests.

Invariant: applying twice changes nothing, so that it also heals what a test did to the workload.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster.rig.api import Api, ApiError
from tests.cluster.rig.build import RigError, Say, last_lines
from tests.cluster.rig.control import kubernetes_version
from tests.cluster.rig.layout import ADMIN_CONTEXT, NAMESPACE, Endpoints

MANIFESTS = Path(__file__).parent / "manifests"
APP = "workflow-scalability-app"
WORKERS = "workflow-worker-pool"
# First roll out the older one, so that the current one has a revision to be undone to.
APP_VERSIONS = ("2.3.7", "2.4.0")
NODES = {
    "worker-eu-west-3a-1": ("eu-west-3a", "general"),
    "worker-eu-west-3a-2": ("eu-west-3a", "general"),
    "worker-eu-west-3b-1": ("eu-west-3b", "general"),
    "worker-eu-west-3c-1": ("eu-west-3c", "general"),
    "gpu-eu-west-3b-1": ("eu-west-3b", "gpu"),
}


def admin_api(endpoints: Endpoints) -> Api:
    """Returns a client with the administrator's certificate."""
    return Api(endpoints.apiserver, Path(endpoints.state) / "pki")


def kubectl(endpoints: Endpoints, *arguments: str, stdin: str | None = None, context: str | None = None) -> str:
    """Runs kubectl against this cluster and returns its output, broken UTF-8 in it as surrogates.

    Raises RigError with what it printed."""
    command = [kubectl_program(endpoints), f"--kubeconfig={endpoints.kubeconfig}"]
    if context or not endpoints.external_control_plane:
        command.append(f"--context={context or ADMIN_CONTEXT}")
    done = subprocess.run(
        [*command, *arguments],
        input=stdin,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
    )
    if done.returncode:
        raise RigError(f"kubectl {' '.join(arguments)}: {last_lines(done.stderr or done.stdout)}")
    return done.stdout


def kubectl_program(endpoints: Endpoints) -> str:
    """Returns the kubectl we built, or the one on PATH when the control plane is not ours and nothing was built."""
    built = Path(endpoints.bin) / "kubectl"
    return str(built) if built.exists() else "kubectl"


def manifest(endpoints: Endpoints, name: str, **more: str) -> str:
    """Returns a manifest with its ${NAME} values filled in."""
    values = {
        "METRICS_PORT": str(endpoints.ports["metrics_server"]),
        "PG_SOCKET": endpoints.postgres_socket_dir,
        "PG_PORT": str(endpoints.ports["postgres"]),
        "AMQP_PORT": str(endpoints.ports["amqp"]),
        "MANAGEMENT_PORT": str(endpoints.ports["management"]),
        "PROMETHEUS_PORT": str(endpoints.ports["prometheus"]),
        "LOG_DIR": f"{endpoints.logs}/pods",
        "KUBE_VERSION": kubernetes_version(),
        "POSTGRES_USER": endpoints.postgres_user.user,
        "POSTGRES_PASSWORD": endpoints.postgres_user.password,
        "POSTGRES_SUPERUSER": endpoints.postgres_superuser.user,
        "POSTGRES_SUPERPASSWORD": endpoints.postgres_superuser.password,
        "RABBITMQ_USER": endpoints.rabbitmq_user.user,
        "RABBITMQ_PASSWORD": endpoints.rabbitmq_user.password,
        **more,
    }
    text = (MANIFESTS / name).read_text(encoding="utf-8")
    return re.sub(r"\$\{([A-Z_]+)\}", lambda found: values[found.group(1)], text)


def apply(endpoints: Endpoints, text: str) -> None:
    """Applies manifests on the server's side, taking fields over from whoever changed them."""
    kubectl(endpoints, "apply", "--server-side", "--force-conflicts", "--field-manager=rig", "-f", "-", stdin=text)


def apply_cluster(endpoints: Endpoints) -> None:
    """Applies what the control plane itself needs, before kwok starts."""
    apply(endpoints, manifest(endpoints, "cluster.yaml"))
    api = admin_api(endpoints)
    for name, (zone, pool) in NODES.items():
        if not api.exists(f"/api/v1/nodes/{name}"):
            api.post("/api/v1/nodes", node(name, zone, pool))
    api.close()


def node(name: str, zone: str, pool: str) -> dict[str, Any]:
    """Returns a node with room for 4,000 pods; the address of its usage figures is an annotation."""
    capacity = {"cpu": "96", "memory": "384Gi", "ephemeral-storage": "1Ti", "pods": "4000"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/region": "eu-west-3",
                "topology.kubernetes.io/zone": zone,
                "node.kubernetes.io/instance-type": "m6i.24xlarge",
                "nodepool": pool,
                f"node-role.kubernetes.io/{pool}": "",
            },
            "annotations": {"metrics.k8s.io/resource-metrics-path": f"/metrics/nodes/{name}/metrics/resource"},
        },
        "status": {"capacity": capacity, "allocatable": capacity},
    }


def apply_workload(endpoints: Endpoints, say: Say) -> None:
    """Applies users' rights and the workload; the app in two revisions, one after the other."""
    apply(endpoints, manifest(endpoints, "rbac.yaml"))
    revisions = [version for version in APP_VERSIONS if version == APP_VERSIONS[-1] or not has_app(endpoints)]
    for version in revisions:
        say(f"workload: app {version}")
        apply(endpoints, manifest(endpoints, "workload.yaml", APP_VERSION=version))
        wait_until(lambda: app_observed(endpoints), 30, f"the rollout of app {version} to be seen")


def has_app(endpoints: Endpoints) -> bool:
    """Tells whether the app's Deployment is there."""
    return bool(kubectl(endpoints, "get", "deployment", APP, "-n", NAMESPACE, "--ignore-not-found", "-o", "name"))


def app_observed(endpoints: Endpoints) -> bool:
    """Tells whether the Deployment controller has seen the app's newest template."""
    path = "{.metadata.generation} {.status.observedGeneration}"
    shown = kubectl(endpoints, "get", "deployment", APP, "-n", NAMESPACE, "-o", f"jsonpath={path}").split()
    return len(shown) == 2 and shown[0] == shown[1]


def pods_not_ready(endpoints: Endpoints, namespace: str = NAMESPACE) -> tuple[int, int]:
    """Returns how many pods are not Ready, and how many there are."""
    shown = kubectl(
        endpoints,
        "get",
        "pods",
        "-n",
        namespace,
        "-o",
        'jsonpath={range .items[*]}{.status.conditions[?(@.type=="Ready")].status}{"\\n"}{end}',
    )
    states = shown.split("\n")[:-1]
    return sum(1 for state in states if state != "True"), len(states)


def wait_workload(endpoints: Endpoints, say: Say, seconds: float = 120) -> None:
    """Waits until every rollout is complete and every pod Ready."""
    deadline = time.monotonic() + seconds
    for kind in ("deployment", "statefulset", "daemonset"):
        left = max(1, int(deadline - time.monotonic()))
        kubectl(endpoints, "rollout", "status", kind, "-n", NAMESPACE, f"--timeout={left}s")
    wait_until(lambda: pods_not_ready(endpoints)[0] == 0, deadline - time.monotonic(), "all pods to be Ready")
    say(f"workload: {pods_not_ready(endpoints)[1]} pods Ready in {NAMESPACE}")


def wait_usage(endpoints: Endpoints, say: Say, seconds: float = 90) -> None:
    """Waits until metrics.k8s.io has figures, which takes two of its readings."""
    say("usage: waiting for two readings of metrics-server")
    api = admin_api(endpoints)
    wait_until(lambda: has_usage(api), seconds, "usage figures in metrics.k8s.io")
    api.close()


def has_usage(api: Api) -> bool:
    """Tells whether every node, and every container of every pod, has a usage figure other than zero."""
    try:
        nodes = api.get("/apis/metrics.k8s.io/v1beta1/nodes")["items"]
        usage = api.get(f"/apis/metrics.k8s.io/v1beta1/namespaces/{NAMESPACE}/pods")["items"]
        pods = api.get(f"/api/v1/namespaces/{NAMESPACE}/pods?resourceVersion=0")["items"]
    except (ApiError, OSError):
        return False
    used = [item for item in usage if all(part["usage"]["cpu"] != "0" for part in item["containers"])]
    return len(nodes) >= len(NODES) and len(used) >= len(pods) > 0


def wait_until(condition: Callable[[], bool], seconds: float, what: str, pause: float = 0.25) -> None:
    """Waits until the condition holds. Raises RigError naming `what` when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RigError(f"Waited {seconds:.0f} s in vain for {what}.")
        time.sleep(pause)
