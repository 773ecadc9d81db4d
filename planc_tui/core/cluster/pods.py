"""Pods as flat rows, with the words kubectl prints.

Invariant: status, ready and restarts are those of `kubectl get pods` (printPod of Kubernetes 1.37), to the letter; a
row depends on its pod alone, never on the time, so that an unchanged pod is an equal row.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache

import msgspec

from planc_tui.core import quantity
from planc_tui.core.age import human_duration
from planc_tui.core.cluster import wire
from planc_tui.core.cluster.listing import share, share_labels
from planc_tui.core.cluster.wire import epoch

CRITICAL, WARNING, HEALTHY, FINISHED = 0, 1, 2, 3
_NODE_LOST = "NodeLost"
_FINISHED_PHASES = frozenset({"Succeeded", "Failed"})
# Words of a pod on its way up or down, or waiting for somebody: not well, but not broken either.
_PASSING = frozenset(
    {
        "Pending",
        "ContainerCreating",
        "PodInitializing",
        "Terminating",
        "SchedulingGated",
        "NotReady",
        "Running",
        "Evicted",
        "Init:PodInitializing",
        "Init:ContainerCreating",
    }
)


class ContainerSpec(msgspec.Struct, frozen=True, gc=False):
    """A container as its template asks for it. Amounts are nanocores and bytes; 0 means not set.
    sidecar: an init container that keeps running."""

    name: str
    image: str = ""
    cpu_request: int = 0
    cpu_limit: int = 0
    memory_request: int = 0
    memory_limit: int = 0
    sidecar: bool = False


class PodRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One pod. Times are epoch seconds, 0 when unknown. rank: CRITICAL, WARNING, HEALTHY or FINISHED.
    containers: those that run at the same time, sidecars included. init: names of the others.
    oom_at: when a container was last killed for memory. labels must not be changed."""

    uid: str
    namespace: str
    name: str
    status: str
    phase: str
    ready: int
    total: int
    restarts: int
    last_restart: float
    created: float
    node: str
    rank: int
    oom_at: float = 0.0
    deleted_at: float = 0.0
    containers: tuple[ContainerSpec, ...] = ()
    init: tuple[str, ...] = ()
    cpu_request: int = 0
    cpu_limit: int = 0
    memory_request: int = 0
    memory_limit: int = 0
    owner_kind: str = ""
    owner_name: str = ""
    owner_uid: str = ""
    labels: dict[str, str] = {}

    @property
    def oom(self) -> bool:
        """Whether a container was killed for memory, now or the last time it ended."""
        return self.oom_at > 0

    @property
    def healthy(self) -> bool:
        """Running and ready, or finished as it should."""
        return self.rank >= HEALTHY


class PodState(msgspec.Struct):
    """What kubectl's columns say. last_restart: epoch seconds, 0 when never."""

    status: str
    ready: int = 0
    total: int = 0
    restarts: int = 0
    last_restart: float = 0.0


def restarts_text(row: PodRow, now: float) -> str:
    """kubectl's RESTARTS column: `7 (5m ago)`."""
    if row.restarts and row.last_restart:
        return f"{row.restarts} ({human_duration(now - row.last_restart)} ago)"
    return str(row.restarts)


def pod_state(pod: wire.Pod) -> PodState:
    """The STATUS, READY and RESTARTS of `kubectl get pods`, after printPod of Kubernetes 1.37."""
    status, spec = pod.status, pod.spec
    state = PodState(status.reason or status.phase)
    conditions = status.conditions or ()
    if any(c.type == "PodScheduled" and c.reason == "SchedulingGated" for c in conditions):
        state.status = "SchedulingGated"
    sidecars = frozenset(c.name for c in spec.init_containers or () if c.restart_policy == "Always")
    state.total = len(spec.containers or ()) + len(sidecars)
    initializing = _init_state(state, status.init_container_statuses or (), sidecars, len(spec.init_containers or ()))
    if not initializing or _condition(conditions, "Initialized"):
        _main_state(state, status, sidecars)
    if pod.metadata.deletion_timestamp is not None:
        if status.reason == _NODE_LOST:
            state.status = "Unknown"
        elif status.phase not in _FINISHED_PHASES:
            state.status = "Terminating"
    return state


def _condition(conditions: Sequence[wire.PodCondition], kind: str) -> bool:
    return any(c.status == "True" for c in conditions if c.type == kind)


def _last_end(status: wire.ContainerStatus) -> float:
    last = status.last_state
    return 0.0 if last is None or last.terminated is None else epoch(last.terminated.finished_at)


def _ending(ended: wire.Terminated) -> str:
    """The word for an ended container: its reason, else its signal, else its exit code."""
    return ended.reason or (f"Signal:{ended.signal}" if ended.signal else f"ExitCode:{ended.exit_code}")


def _init_state(
    state: PodState, statuses: Sequence[wire.ContainerStatus], sidecars: frozenset[str], count: int
) -> bool:
    """Walk the init containers up to the first that is not done; true when there is one."""
    for index, status in enumerate(statuses):
        state.restarts += status.restart_count
        state.last_restart = max(state.last_restart, _last_end(status))
        now = status.state or _NO_STATE
        if now.terminated is not None and now.terminated.exit_code == 0:
            continue
        if status.name in sidecars and status.started:
            state.ready += status.ready
            continue
        if now.terminated is not None:
            state.status = f"Init:{_ending(now.terminated)}"
        elif now.waiting is not None and now.waiting.reason not in {"", "PodInitializing"}:
            state.status = f"Init:{now.waiting.reason}"
        else:
            state.status = f"Init:{index}/{count}"
        return True
    return False


def _main_state(state: PodState, status: wire.PodStatus, sidecars: frozenset[str]) -> None:
    """Walk the containers from the last to the first; the first one's trouble has the last word."""
    kept = [s for s in _walked(status.init_container_statuses or (), sidecars) if s.name in sidecars]
    state.restarts = sum(s.restart_count for s in kept)
    state.last_restart = max((_last_end(s) for s in kept), default=0.0)
    running, error = False, ""
    for container in reversed(status.container_statuses or ()):
        state.restarts += container.restart_count
        state.last_restart = max(state.last_restart, _last_end(container))
        now = container.state or _NO_STATE
        if now.waiting is not None and now.waiting.reason:
            state.status = now.waiting.reason
        elif now.terminated is not None:
            state.status = _ending(now.terminated)
            if now.terminated.exit_code != 0:
                error = state.status
        elif container.ready and now.running is not None:
            running = True
            state.ready += 1
    if state.status == "Completed":
        if running and _condition(status.conditions or (), "Ready"):
            state.status = "Running"
        elif error:
            state.status = error
        elif running:
            state.status = "NotReady"


def _walked(statuses: Sequence[wire.ContainerStatus], sidecars: frozenset[str]) -> Sequence[wire.ContainerStatus]:
    """The init containers kubectl looks at: up to and with the first that is not done."""
    for index, status in enumerate(statuses):
        now = status.state or _NO_STATE
        done = now.terminated is not None and now.terminated.exit_code == 0
        if not done and not (status.name in sidecars and status.started):
            return statuses[: index + 1]
    return statuses


_NO_STATE = wire.ContainerState()


def rank(state: PodState, phase: str) -> int:
    """How urgently a pod wants to be seen."""
    word = state.status
    if phase == "Succeeded" or word == "Completed":
        return FINISHED
    if word == "Running" and state.ready >= state.total:
        return HEALTHY
    if word in _PASSING or _init_progress(word):
        return WARNING
    return CRITICAL


def _init_progress(word: str) -> bool:
    """`Init:1/2` is progress, `Init:Error` is not.

    >>> _init_progress("Init:1/2"), _init_progress("Init:Error")
    (True, False)
    """
    return word.startswith("Init:") and word[5:6].isdigit()


def _killed_for_memory(status: wire.PodStatus) -> float:
    latest = 0.0
    for container in (*(status.container_statuses or ()), *(status.init_container_statuses or ())):
        for state in (container.state, container.last_state):
            ended = state.terminated if state is not None else None
            if ended is not None and ended.reason == "OOMKilled":
                latest = max(latest, epoch(ended.finished_at) or 1.0)
    return latest


@lru_cache(maxsize=4096)
def _amounts(cpu: str, memory: str) -> tuple[int, int]:
    """Nanocores and bytes; what cannot be read counts as not set."""
    try:
        return (quantity.nano(cpu) if cpu else 0), (quantity.value(memory) if memory else 0)
    except ValueError:
        return 0, 0


def _asked(resources: wire.Resources | None) -> tuple[int, int, int, int]:
    """CPU request and limit, memory request and limit."""
    requests = (resources.requests if resources else None) or _NOTHING
    limits = (resources.limits if resources else None) or _NOTHING
    cpu_request, memory_request = _amounts(requests.cpu, requests.memory)
    cpu_limit, memory_limit = _amounts(limits.cpu, limits.memory)
    # The API server fills a missing request from the limit; a template read elsewhere may lack it.
    return cpu_request or cpu_limit, cpu_limit, memory_request or memory_limit, memory_limit


_NOTHING = wire.Amounts()


def _container(container: wire.Container, sidecar: bool) -> ContainerSpec:
    cpu_request, cpu_limit, memory_request, memory_limit = _asked(container.resources)
    return ContainerSpec(container.name, container.image, cpu_request, cpu_limit, memory_request, memory_limit, sidecar)


def container_specs(spec: wire.PodSpec) -> tuple[ContainerSpec, ...]:
    """Containers that run at the same time, in the template's order, sidecars last; shared between equal pods."""
    made = [_container(c, False) for c in spec.containers or ()]
    made += [_container(c, True) for c in spec.init_containers or () if c.restart_policy == "Always"]
    return share(tuple(made))


def _totals(spec: wire.PodSpec, containers: tuple[ContainerSpec, ...]) -> tuple[int, int, int, int]:
    """CPU request and limit, memory request and limit of the pod. A limit is 0 as soon as one container has none;
    amounts set for the whole pod count before those of its containers."""
    cpu_limit = sum(c.cpu_limit for c in containers) if all(c.cpu_limit for c in containers) else 0
    memory_limit = sum(c.memory_limit for c in containers) if all(c.memory_limit for c in containers) else 0
    total = (
        sum(c.cpu_request for c in containers),
        cpu_limit,
        sum(c.memory_request for c in containers),
        memory_limit,
    )
    if spec.resources is None:
        return total
    own = _asked(spec.resources)
    return own[0] or total[0], own[1] or total[1], own[2] or total[2], own[3] or total[3]


def controller(owners: Sequence[wire.Owner] | None) -> wire.Owner | None:
    """The owner that manages an object."""
    return next((owner for owner in owners or () if owner.controller), None)


def pod_row(pod: wire.Pod) -> PodRow:
    """The flat row of a pod; repeated texts are shared."""
    meta, status = pod.metadata, pod.status
    state = pod_state(pod)
    containers = container_specs(pod.spec)
    cpu_request, cpu_limit, memory_request, memory_limit = _totals(pod.spec, containers)
    owner = controller(meta.owner_references)
    intern = sys.intern
    return PodRow(
        uid=meta.uid,
        namespace=intern(meta.namespace),
        name=meta.name,
        status=intern(state.status),
        phase=intern(status.phase),
        ready=state.ready,
        total=state.total,
        restarts=state.restarts,
        last_restart=state.last_restart,
        created=epoch(meta.creation_timestamp),
        node=intern(pod.spec.node_name),
        rank=rank(state, status.phase),
        oom_at=_killed_for_memory(status),
        deleted_at=epoch(meta.deletion_timestamp),
        containers=containers,
        init=share(tuple(c.name for c in pod.spec.init_containers or () if c.restart_policy != "Always")),
        cpu_request=cpu_request,
        cpu_limit=cpu_limit,
        memory_request=memory_request,
        memory_limit=memory_limit,
        owner_kind=intern(owner.kind) if owner else "",
        owner_name=intern(owner.name) if owner else "",
        owner_uid=intern(owner.uid) if owner else "",
        labels=share_labels(meta.labels),
    )


def unhealthy_first(rows: Sequence[PodRow]) -> list[PodRow]:
    """Broken, then passing, then well, then finished; the order within each stays."""
    return sorted(rows, key=_rank_of)


def _rank_of(row: PodRow) -> int:
    return row.rank


def matches(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Whether labels satisfy an equality selector; an empty one matches everything.

    >>> matches({"app": "x", "tier": "web"}, {"app": "x"})
    True
    """
    return all(labels.get(key) == wanted for key, wanted in selector.items())
