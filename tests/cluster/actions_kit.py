"""What the tests of the actions share: a bench with the real executor and port, twins, and kubectl as it is pasted.

Invariant: every object a test makes lives in a namespace or on a node of its own, which goes with the test.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from planc_tui.actions import registry
from planc_tui.actions.arming import Arming
from planc_tui.actions.base import Ports, Refusal
from planc_tui.actions.executor import Executor, Prepared, Run, State
from planc_tui.actions.kube import get
from planc_tui.actions.recorder import Entry
from planc_tui.backends.kubernetes import load
from planc_tui.core.clock import SystemClock
from planc_tui.core.ports import ClusterPort, NotConfigured
from planc_tui.core.stats import RequestStats
from planc_tui.core.table import Target
from planc_tui.playbook.loader import default
from planc_tui.playbook.model import Playbook
from tests.cluster.rig.layout import ADMIN_CONTEXT
from tests.cluster.rig.rig import Rig
from tests.cluster.rig.workload import kubectl_program

Json = dict[str, Any]
SERVER_SET = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "name", "selfLink")


class Memory:
    """A recorder in memory."""

    def __init__(self) -> None:
        self.kept: list[Entry] = []

    def record(self, kind: str, data: Mapping[str, Any]) -> None:
        self.kept.append(Entry(kind, 0.0, msgspec.json.decode(msgspec.json.encode(data))))

    def entries(self, kinds: Sequence[str]) -> Sequence[Entry]:
        return [entry for entry in self.kept if entry.type in kinds]


class Recording:
    """A ClusterPort that remembers every request and every command it passes on."""

    def __init__(self, port: ClusterPort) -> None:
        self._port = port
        self.sent: list[tuple[str, str]] = []

    @property
    def context(self) -> str:
        return self._port.context

    @property
    def server(self) -> str:
        return self._port.server

    def request(self, method: str, path: str, **more: Any) -> bytes:
        self.sent.append((method, path))
        return self._port.request(method, path, **more)

    def execute(self, *where: Any, **more: Any) -> Any:
        self.sent.append(("EXEC", "/".join(str(part) for part in where[:3])))
        return self._port.execute(*where, **more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [sent for sent in self.sent if sent[0] != "GET"]


def open_port(rig: Rig, context: str = ADMIN_CONTEXT, kubeconfig: Path | None = None) -> ClusterPort:
    """The backend's port of a context of the test cluster. kubeconfig: another way to it."""
    config = load({}, Path.home(), kubeconfig=str(kubeconfig or rig.endpoints.kubeconfig))
    return config.open(context, rig.endpoints.namespace, RequestStats(), SystemClock())


def no_system() -> Any:
    raise NotConfigured("not configured")


class Bench:
    """The real executor on the real API server."""

    def __init__(
        self,
        rig: Rig,
        folder: Path,
        *,
        context: str = ADMIN_CONTEXT,
        protected: bool = False,
        who: str = "me",
        kubeconfig: Path | None = None,
    ) -> None:
        self.rig = rig
        self.clock = SystemClock()
        self.port = Recording(open_port(rig, context, kubeconfig))
        self.memory = Memory()
        self.arming = Arming(self.clock, protected=protected)
        self.playbook: Playbook = default()
        self.folder = folder
        self.seen: list[Run] = []
        self.over = threading.Event()
        self.executor = self.console(who)

    def console(self, who: str) -> Executor:
        """One more console on this machine."""
        ports = Ports(self.port, self.clock, no_system, no_system, self.playbook)
        actions, broken = registry.load()
        assert not broken
        return Executor(ports, actions, self.memory, self.arming, self.folder, who, self._changed)

    def use(self, playbook: Playbook) -> None:
        """Another playbook from here on."""
        self.playbook = playbook
        self.executor = self.console("me")

    def _changed(self, run: Run) -> None:
        self.seen.append(run)
        if run.state.over:
            self.over.set()

    def target(self, kind: str, name: str, namespace: str = "") -> Target:
        """The row of an object as it is now."""
        uid = get(self.port, kind, namespace, name)["metadata"]["uid"]
        return Target(kind, name, namespace, uid, self.port.context)

    def prepare(self, action: str, target: Target, **args: str) -> Prepared:
        """A card that may be confirmed."""
        prepared = self.executor.prepare(action, target, args)
        assert isinstance(prepared, Prepared), prepared
        assert not prepared.refused, prepared
        return prepared

    def refusal(self, action: str, target: Target, **args: str) -> Refusal:
        """The reason why there is no card."""
        refused = self.executor.prepare(action, target, args)
        assert isinstance(refused, Refusal), refused
        return refused

    def start(self, prepared: Prepared) -> Run:
        """Press yes."""
        self.over.clear()
        return self.executor.start(prepared)

    def finish(self, seconds: float = 90.0) -> Run:
        """The run's last state."""
        assert self.over.wait(seconds), self.seen[-1]
        return self.seen[-1]

    def run(self, prepared: Prepared, expected: State = State.RECOVERED) -> Run:
        """Press yes and wait for the end."""
        self.start(prepared)
        run = self.finish()
        assert run.state is expected, (run.state, run.progress)
        return run

    def act(self, action: str, target: Target, **args: str) -> Run:
        """Card, yes, recovered."""
        return self.run(self.prepare(action, target, **args))

    def take_back(self, run: Run) -> Run:
        """The undo that the run offers, gone through like any action."""
        offered = self.executor.undo(run)
        assert offered is not None
        action, target, args = offered
        return self.run(self.prepare(action, target, **args))

    def close(self) -> None:
        self.port.close()


@contextmanager
def bench_of(rig: Rig, folder: Path, **more: Any) -> Iterator[Bench]:
    """A bench that is closed."""
    made = Bench(rig, folder, **more)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def namespace_of(rig: Rig, name: str) -> Iterator[str]:
    """A namespace that goes, with what is in it, without being waited for."""
    full = f"{name}-{os.getpid()}-{time.time_ns() % 100000}"
    rig.kubectl("create", "namespace", full)
    try:
        yield full
    finally:
        rig.kubectl("delete", "namespace", full, "--wait=false")


def paste(rig: Rig, command: str, twin: tuple[str, str] | None = None) -> str:
    """Runs a card's command in a shell, as somebody who pastes it; twin: a name to replace and its replacement."""
    text = command.replace(*twin) if twin else command
    environment = {
        "PATH": f"{Path(kubectl_program(rig.endpoints)).parent}:/usr/bin:/bin",
        "KUBECONFIG": rig.endpoints.kubeconfig,
        "HOME": "/nonexistent",
    }
    done = subprocess.run(["sh", "-c", text], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (text, done.stderr)
    return done.stdout


def create(rig: Rig, *objects: Json) -> None:
    """Creates objects."""
    rig.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def workload(kind: str, name: str, namespace: str, *, replicas: int = 2, **spec: Any) -> Json:
    """A workload with two containers, an init container, references and resources; ready within seconds."""
    env = [
        {"name": "FIRST", "value": "1"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
        {"name": "LAST", "value": "$(TOKEN)-x"},
    ]
    app = {
        "name": "app",
        "image": "registry.example/app:1",
        "env": env,
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}},
    }
    side = {"name": "side", "image": "registry.example/side:1"}
    init = {"name": "init", "image": "registry.example/init:1", "env": [{"name": "FIRST", "value": "1"}]}
    pods = {"terminationGracePeriodSeconds": 0, "containers": [app, side], "initContainers": [init]}
    labels = {"app": name}
    made: Json = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "annotations": {"team": "workflow"}},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pods},
            **spec,
        },
    }
    if kind != "DaemonSet":
        made["spec"]["replicas"] = replicas
    if kind == "DaemonSet":
        made["spec"]["updateStrategy"] = {"rollingUpdate": {"maxUnavailable": "100%"}}
    if kind == "StatefulSet":
        made["spec"] |= {"serviceName": name, "podManagementPolicy": "Parallel"}
    return made


def plain_pod(name: str, namespace: str, node: str = "", **spec: Any) -> Json:
    """A pod that nothing replaces."""
    where = {"nodeName": node} if node else {}
    containers = [{"name": "c", "image": "i"}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": containers, **where, **spec},
    }


def budget(name: str, namespace: str, app: str, least: int | str) -> Json:
    """A disruption budget."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": app}}},
    }


def rolled_out(rig: Rig, namespace: str, *names: str) -> None:
    """Waits for rollouts."""
    for name in names:
        rig.kubectl("-n", namespace, "rollout", "status", name, "--timeout=90s")


def shape(port: ClusterPort, kind: str, namespace: str, name: str) -> Json:
    """Annotations and spec of an object with its own name taken out: what twins must have alike."""
    obj = get(port, kind, namespace, name)
    metadata = {key: value for key, value in obj["metadata"].items() if key not in SERVER_SET}
    text = json.dumps({"metadata": metadata, "spec": obj.get("spec")}).replace(name, "NAME")
    found: Json = json.loads(text)
    return found


def until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Waits for something that the cluster does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def with_backup(playbook: Playbook, folder: Path, recipients: tuple[str, ...] = ()) -> Playbook:
    """The playbook with another backup folder."""
    return msgspec.structs.replace(
        playbook, backup=msgspec.structs.replace(playbook.backup, folder=str(folder), recipients=recipients)
    )
