"""What the actions on Deployments, StatefulSets and DaemonSets share.

Invariant: whether a rollout is complete is decided as `kubectl rollout status` decides it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec.structs import replace

from planc_tui.actions.base import (
    Need,
    Outcome,
    Plan,
    Ports,
    Receipt,
    Refusal,
    Risk,
    Verdict,
)
from planc_tui.actions.kube import ApiAction, Json, get, list_all, selector_text
from planc_tui.actions.template import contradiction
from planc_tui.core.ports import ClusterPort, Denied
from planc_tui.core.table import Target
from planc_tui.core.text import clean

KINDS = ("Deployment", "StatefulSet", "DaemonSet")
REVISION_LINE = "revision"
SHORT = {"Deployment": "deploy", "StatefulSet": "sts", "DaemonSet": "ds"}


class TemplateAction(ApiAction):
    """Changes the pod template of a workload, and is over when its rollout is."""

    risk = Risk.MEDIUM
    needs = (Need("patch"),)
    kinds: ClassVar[tuple[str, ...]] = KINDS

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        return {**read_workload(ports.cluster, target), "context": ports.cluster.context}

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        return verify_rollout(ports, plan)


def replacing_pods(seen: Mapping[str, Any], plan: Plan) -> Plan:
    """A plan that changes the template, and so replaces every pod. seen: as of `read_workload`."""
    return replace(plan, blast=blast_radius(seen), deadline=600.0)


def short(target: Target) -> str:
    """The workload as kubectl takes it.

    >>> short(Target("Deployment", "api"))
    'deploy/api'
    """
    return f"{SHORT[target.kind]}/{target.name}"


def rollout_status(kind: str, obj: Mapping[str, Any]) -> Verdict:
    """`kubectl rollout status` for one object, in short words.

    >>> rollout_status("Deployment", {"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": {
    ...     "observedGeneration": 2, "updatedReplicas": 2, "replicas": 4, "availableReplicas": 3}}).progress
    '2/3 updated'
    """
    status = obj.get("status") or {}
    spec = obj.get("spec") or {}
    if int(obj["metadata"].get("generation") or 0) > int(status.get("observedGeneration") or 0):
        return Verdict(Outcome.PENDING, "waiting for the controller to see it")
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return Verdict(Outcome.RECOVERED, "changed; each pod follows when it is deleted (OnDelete)")
    return {"Deployment": _deployment, "StatefulSet": _stateful_set, "DaemonSet": _daemon_set}[kind](spec, status)


def _deployment(spec: Json, status: Json) -> Verdict:
    for condition in status.get("conditions") or []:
        if condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return Verdict(Outcome.FAILED, "exceeded its progress deadline")
    wanted = 1 if spec.get("replicas") is None else int(spec["replicas"])
    updated, total = int(status.get("updatedReplicas") or 0), int(status.get("replicas") or 0)
    available = int(status.get("availableReplicas") or 0)
    if updated < wanted:
        return Verdict(Outcome.PENDING, f"{updated}/{wanted} updated{_failure(status)}")
    if total > updated:
        return Verdict(Outcome.PENDING, f"{total - updated} old pods still stopping")
    if available < updated:
        return Verdict(Outcome.PENDING, f"{available}/{updated} available")
    return Verdict(Outcome.RECOVERED, f"{available}/{wanted} available")


def _failure(status: Json) -> str:
    """Why pods cannot be made, in the server's words (a quota, an admission)."""
    for condition in status.get("conditions") or []:
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return f"; {clean(str(condition.get('message', '')), 200)}"
    return ""


def _stateful_set(spec: Json, status: Json) -> Verdict:
    wanted = 1 if spec.get("replicas") is None else int(spec["replicas"])
    ready, updated = int(status.get("readyReplicas") or 0), int(status.get("updatedReplicas") or 0)
    if ready < wanted:
        return Verdict(Outcome.PENDING, f"{ready}/{wanted} ready")
    rolling = ((spec.get("updateStrategy") or {}).get("rollingUpdate")) or {}
    partition = int(rolling.get("partition") or 0)
    if partition > 0:
        if updated < wanted - partition:
            return Verdict(Outcome.PENDING, f"{updated}/{wanted - partition} updated")
    elif status.get("updateRevision") != status.get("currentRevision"):
        return Verdict(Outcome.PENDING, f"{updated}/{wanted} updated")
    return Verdict(Outcome.RECOVERED, f"{ready}/{wanted} ready")


def _daemon_set(_spec: Json, status: Json) -> Verdict:
    wanted = int(status.get("desiredNumberScheduled") or 0)
    updated = int(status.get("updatedNumberScheduled") or 0)
    available = int(status.get("numberAvailable") or 0)
    if updated < wanted:
        return Verdict(Outcome.PENDING, f"{updated}/{wanted} updated")
    if available < wanted:
        return Verdict(Outcome.PENDING, f"{available}/{wanted} available")
    return Verdict(Outcome.RECOVERED, f"{available}/{wanted} available")


def verify_rollout(ports: Ports, plan: Plan) -> Verdict:
    """Whether the template of the plan's target carries what the card said, and then its rollout."""
    target = plan.targets[0]
    obj = get(ports.cluster, target.kind, target.namespace, target.name)
    changes = [change for change in plan.changes if change.label != REVISION_LINE]
    return judge(target.kind, obj, refuse_gone(target, obj) or contradiction(obj["spec"]["template"], changes))


def judge(kind: str, obj: Mapping[str, Any], contradiction_: str) -> Verdict:
    """The rollout of an object that carries the change; otherwise what it says instead."""
    if contradiction_:
        return Verdict(Outcome.FAILED, f"{contradiction_}: not done, or changed since")
    return rollout_status(kind, obj)


def read_workload(port: ClusterPort, target: Target) -> Json:
    """The object, the HPA that owns its replicas and the budgets of its pods; `hidden` names what this user may not
    list. Raises PortError."""
    seen: Json = {"object": get(port, target.kind, target.namespace, target.name), "hpa": None, "budgets": []}
    hidden: list[str] = []
    try:
        seen["hpa"] = owning_hpa(port, target)
    except Denied:
        hidden.append("HPAs")
    try:
        seen["budgets"] = matching_budgets(port, target, seen["object"])
    except Denied:
        hidden.append("disruption budgets")
    return {**seen, "hidden": hidden}


def owning_hpa(port: ClusterPort, target: Target) -> Json | None:
    """The HorizontalPodAutoscaler that scales this workload, None when there is none."""
    for hpa in list_all(port, "HorizontalPodAutoscaler", target.namespace):
        reference = (hpa.get("spec") or {}).get("scaleTargetRef") or {}
        if (reference.get("kind"), reference.get("name")) == (target.kind, target.name):
            return hpa
    return None


def matching_budgets(port: ClusterPort, target: Target, obj: Json) -> list[Json]:
    """Disruption budgets that select the pods of this workload."""
    labels = (obj["spec"]["template"].get("metadata") or {}).get("labels") or {}
    budgets = list_all(port, "PodDisruptionBudget", target.namespace)
    return [budget for budget in budgets if selects((budget.get("spec") or {}).get("selector"), labels)]


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector matches these labels; an absent one matches nothing, an empty one everything.

    >>> selects({"matchLabels": {"app": "x"}}, {"app": "x", "tier": "web"}), selects(None, {})
    (True, False)
    """
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_matches(term, labels) for term in selector.get("matchExpressions") or [])


def _matches(term: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    present, value = term["key"] in labels, labels.get(term["key"])
    operator, values = term["operator"], term.get("values") or []
    if operator == "In":
        return present and value in values
    if operator == "NotIn":
        return not present or value not in values
    return present if operator == "Exists" else not present


def blast_radius(seen: Mapping[str, Any], replaced: int | None = None) -> tuple[str, ...]:
    """What a change of the pod template touches: pods, pace, budgets, the owning HPA."""
    spec = seen["object"]["spec"]
    status = seen["object"].get("status") or {}
    replicas = int(
        spec.get("replicas") if spec.get("replicas") is not None else status.get("currentNumberScheduled") or 0
    )
    lines = [f"replaces {replicas if replaced is None else replaced} pods{_pace(spec)}"]
    for budget in seen.get("budgets") or []:
        allowed = (budget.get("status") or {}).get("disruptionsAllowed", 0)
        lines.append(f"disruption budget {budget['metadata']['name']}: {allowed} may be down now")
    lines += [f"{what} are not known: your role may not list them" for what in seen.get("hidden") or []]
    hpa = seen.get("hpa")
    if hpa is not None:
        bounds = f"{hpa['spec'].get('minReplicas', 1)}‥{hpa['spec']['maxReplicas']}"
        lines.append(f"HPA {hpa['metadata']['name']} ({bounds}) stays in charge of the replicas")
    return tuple(lines)


def _pace(spec: Mapping[str, Any]) -> str:
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return ", each only when it is deleted (OnDelete)"
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return ", all at once"
    unavailable = (strategy.get("rollingUpdate") or {}).get("maxUnavailable")
    return "" if unavailable is None else f", at most {unavailable} down at a time"


def pods_selector(obj: Json) -> str:
    """Text of the workload's pod selector."""
    return selector_text(obj["spec"].get("selector") or {})


def refuse_gone(target: Target, obj: Json) -> str:
    """Why the row's object is not the one that was read; "" when it is."""
    if target.uid and obj["metadata"]["uid"] != target.uid:
        return f"{target.name} was replaced by another object of the same name since the row was drawn: look again"
    if obj["metadata"].get("deletionTimestamp"):
        return f"{target.name} is being deleted"
    return ""


def containers_of(obj: Mapping[str, Any], name: str, *, init: bool = False) -> list[Json] | str:
    """The containers a change is for: the named one, all of them for "" (init: init containers too), or why there
    is none."""
    spec = obj["spec"]["template"]["spec"]
    containers: list[Json] = list(spec.get("containers") or [])
    if name or init:
        containers += spec.get("initContainers") or []
    if not name:
        return containers
    found = [container for container in containers if container["name"] == name]
    known = ", ".join(container["name"] for container in containers)
    return found or f"there is no container {name!r}; there is {known}"


def one_container(target: Target, obj: Json, name: str) -> Json | Refusal:
    """The container that a change is for: the named one, or the only one."""
    found = containers_of(obj, name)
    reason = refuse_gone(target, obj)
    if reason or isinstance(found, str):
        return Refusal(reason or str(found))
    return found[0] if len(found) == 1 else Refusal("it has several containers: choose one")


def template_patch(obj: Mapping[str, Any], entries: list[Json]) -> Json:
    """A strategic merge patch of containers, each in the list that it is in.

    >>> template_patch({"spec": {"template": {"spec": {"containers": [{"name": "c"}]}}}}, [{"name": "c", "image": "i"}])
    {'spec': {'template': {'spec': {'containers': [{'name': 'c', 'image': 'i'}]}}}}
    """
    first = {container["name"] for container in obj["spec"]["template"]["spec"].get("initContainers") or []}
    parts: Json = {}
    for entry in entries:
        parts.setdefault("initContainers" if entry["name"] in first else "containers", []).append(entry)
    return {"spec": {"template": {"spec": parts}}}
