"""Deployments, StatefulSets, DaemonSets and ReplicaSets as flat rows.

Invariant: whether a rollout is done, going on or stuck is what `kubectl rollout status` would say of the same object.
"""

from __future__ import annotations

import sys
from datetime import datetime

import msgspec

from planc_tui.core.cluster import wire
from planc_tui.core.cluster.listing import share, share_labels
from planc_tui.core.cluster.pods import ContainerSpec, container_specs, controller
from planc_tui.core.cluster.wire import epoch

REVISION = "deployment.kubernetes.io/revision"
RESTARTED = "kubectl.kubernetes.io/restartedAt"


class RolloutRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One workload. progress: why `kubectl rollout status` would still wait, empty when it is done.
    stuck: it exceeded its progress deadline or cannot make pods, and `problem` says so. changed: epoch seconds of the
    last change of the template, 0 when the object does not tell. selector: equality part; must not be changed."""

    uid: str
    kind: str
    namespace: str
    name: str
    desired: int
    updated: int
    ready: int
    available: int
    current: int
    revision: str = ""
    paused: bool = False
    progress: str = ""
    stuck: bool = False
    problem: str = ""
    changed: float = 0.0
    created: float = 0.0
    generation: int = 0
    containers: tuple[ContainerSpec, ...] = ()
    labels: dict[str, str] = {}
    selector: dict[str, str] = {}

    @property
    def done(self) -> bool:
        """Every wanted pod is of the last template and serves."""
        return not self.progress and not self.stuck

    @property
    def unavailable(self) -> int:
        """Wanted pods that cannot serve."""
        return max(0, self.desired - self.available)

    @property
    def images(self) -> tuple[str, ...]:
        """Images of the template, in its order."""
        return tuple(container.image for container in self.containers)


class ReplicaSetRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One revision of a Deployment. owner_uid: the Deployment's uid."""

    uid: str
    namespace: str
    name: str
    revision: int
    desired: int
    ready: int
    created: float
    owner_name: str = ""
    owner_uid: str = ""
    containers: tuple[ContainerSpec, ...] = ()


def _find(conditions: list[wire.Condition] | None, kind: str) -> wire.Condition | None:
    return next((condition for condition in conditions or () if condition.type == kind), None)


def _restarted_at(template: wire.Template) -> float:
    text = (template.metadata.annotations or {}).get(RESTARTED, "")
    try:
        return epoch(datetime.fromisoformat(text)) if text else 0.0
    except ValueError:
        return 0.0


def _row(kind: str, thing: wire.Workload, **counts: object) -> RolloutRow:
    """The fields all kinds fill alike."""
    meta, spec = thing.metadata, thing.spec
    fields: dict[str, object] = {
        "uid": meta.uid,
        "kind": kind,
        "namespace": sys.intern(meta.namespace),
        "name": meta.name,
        "paused": spec.paused,
        "created": epoch(meta.creation_timestamp),
        "generation": meta.generation,
        "containers": container_specs(spec.template.spec),
        "labels": share_labels(meta.labels),
        "selector": share_labels(spec.selector.match_labels if spec.selector else None),
    }
    return RolloutRow(**{**fields, **counts})  # type: ignore[arg-type]  # the names are RolloutRow's own


def deployment_row(thing: wire.Workload) -> RolloutRow:
    """A Deployment; done and stuck after kubectl's DeploymentStatusViewer."""
    status, desired = thing.status, _desired(thing)
    going = _find(status.conditions, "Progressing")
    failing = _find(status.conditions, "ReplicaFailure")
    late = going is not None and going.reason == "ProgressDeadlineExceeded"
    broken = failing is not None and failing.status == "True"
    changed = epoch(going.last_update_time) if going is not None else 0.0
    return _row(
        "Deployment",
        thing,
        desired=desired,
        updated=status.updated_replicas,
        ready=status.ready_replicas,
        available=status.available_replicas,
        current=status.replicas,
        revision=(thing.metadata.annotations or {}).get(REVISION, ""),
        progress=_deployment_progress(thing, desired),
        stuck=late or broken,
        problem=_deployment_problem(late, failing if broken else None),
        changed=changed or _restarted_at(thing.spec.template) or epoch(thing.metadata.creation_timestamp),
    )


def _desired(thing: wire.Workload) -> int:
    return 1 if thing.spec.replicas is None else thing.spec.replicas


def _deployment_problem(late: bool, failing: wire.Condition | None) -> str:
    if failing is not None:
        return share(failing.message or failing.reason or "pods cannot be created")
    return "exceeded its progress deadline" if late else ""


def _deployment_progress(thing: wire.Workload, desired: int) -> str:
    status = thing.status
    if thing.metadata.generation > status.observed_generation:
        return "waiting for the controller"
    if status.updated_replicas < desired:
        return f"{status.updated_replicas} of {desired} updated"
    if status.replicas > status.updated_replicas:
        return f"{status.replicas - status.updated_replicas} old to end"
    if status.available_replicas < status.updated_replicas:
        return f"{status.available_replicas} of {status.updated_replicas} available"
    return ""


def statefulset_row(thing: wire.Workload) -> RolloutRow:
    """A StatefulSet; done after kubectl's StatefulSetStatusViewer. It has no deadline, so it is never stuck."""
    status, desired = thing.status, _desired(thing)
    return _row(
        "StatefulSet",
        thing,
        desired=desired,
        updated=status.updated_replicas,
        ready=status.ready_replicas,
        available=status.available_replicas,
        current=status.replicas,
        revision=status.update_revision.rpartition("-")[2],
        progress=_statefulset_progress(thing, desired),
        changed=_changed(thing),
    )


def _changed(thing: wire.Workload) -> float:
    """The first template is as old as the object; later ones tell their time only if they were restarts."""
    if restarted := _restarted_at(thing.spec.template):
        return restarted
    return epoch(thing.metadata.creation_timestamp) if thing.metadata.generation <= 1 else 0.0


def _statefulset_progress(thing: wire.Workload, desired: int) -> str:
    status, strategy = thing.status, thing.spec.update_strategy
    if status.observed_generation == 0 or thing.metadata.generation > status.observed_generation:
        return "waiting for the controller"
    if status.ready_replicas < desired:
        return f"{status.ready_replicas} of {desired} ready"
    if strategy is None or strategy.type != "RollingUpdate":
        return ""
    if strategy.rolling_update is not None:
        wanted = desired - (strategy.rolling_update.partition or 0)
        return f"{status.updated_replicas} of {wanted} updated" if status.updated_replicas < wanted else ""
    if status.update_revision != status.current_revision:
        return f"{status.updated_replicas} of {desired} updated"
    return ""


def daemonset_row(thing: wire.Workload) -> RolloutRow:
    """A DaemonSet; done after kubectl's DaemonSetStatusViewer. It has no deadline, so it is never stuck."""
    status = thing.status
    return _row(
        "DaemonSet",
        thing,
        desired=status.desired_number_scheduled,
        updated=status.updated_number_scheduled,
        ready=status.number_ready,
        available=status.number_available,
        current=status.updated_number_scheduled,
        progress=_daemonset_progress(thing),
        changed=_changed(thing),
    )


def _daemonset_progress(thing: wire.Workload) -> str:
    status, strategy = thing.status, thing.spec.update_strategy
    desired = status.desired_number_scheduled
    if thing.metadata.generation > status.observed_generation:
        return "waiting for the controller"
    if (strategy is None or strategy.type == "RollingUpdate") and status.updated_number_scheduled < desired:
        return f"{status.updated_number_scheduled} of {desired} updated"
    return f"{status.number_available} of {desired} available" if status.number_available < desired else ""


def replicaset_row(thing: wire.Workload) -> ReplicaSetRow:
    """A ReplicaSet; a missing or unreadable revision counts as 0, as kubectl takes it."""
    owner = controller(thing.metadata.owner_references)
    text = (thing.metadata.annotations or {}).get(REVISION, "")
    return ReplicaSetRow(
        uid=thing.metadata.uid,
        namespace=sys.intern(thing.metadata.namespace),
        name=thing.metadata.name,
        revision=int(text) if text.isascii() and text.isdecimal() else 0,
        desired=_desired(thing),
        ready=thing.status.ready_replicas,
        created=epoch(thing.metadata.creation_timestamp),
        owner_name=owner.name if owner else "",
        owner_uid=owner.uid if owner else "",
        containers=container_specs(thing.spec.template.spec),
    )
