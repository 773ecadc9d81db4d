"""Delete or evict pods, one or several in one plan.

Invariant: every request carries the uid of the pod that was shown, so a replacement of the same name is never hit; an
eviction respects disruption budgets, a delete says that it does not.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
from msgspec.structs import replace

from planc_tui.actions.base import (
    ApiRequest,
    Change,
    Guard,
    Need,
    Outcome,
    Param,
    Plan,
    Ports,
    Receipt,
    Refusal,
    Risk,
    Verdict,
)
from planc_tui.actions.kube import ApiAction, Json, get, guard, kubectl, list_all, needed, path_of
from planc_tui.actions.workload import refuse_gone, selects
from planc_tui.core.ports import Denied, NotFound
from planc_tui.core.table import Target


class PodDelete(ApiAction):
    """Delete pods; their controller starts new ones."""

    id = "pod-delete"
    title = "Delete pod"
    key = "ctrl+d"
    risk = Risk.LOW
    needs = (Need("delete"),)
    kinds: ClassVar[tuple[str, ...]] = ("Pod",)
    params = (Param("grace", "grace period in seconds", "int", help="empty: the pod's own"),)
    checked = "same uid by a precondition, who replaces it, budgets; dry run; permission to delete"
    undone = "its controller starts a new one; a bare pod is gone"
    verb: ClassVar[str] = "delete"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        pods = [get(ports.cluster, "Pod", target.namespace, target.name)]
        pods += [get(ports.cluster, "Pod", also.namespace, also.name) for also in more_targets(args)]
        budgets = known_budgets(ports, target.namespace)
        replicas = wanted_pods(ports, target.namespace, controller(pods[0]))
        return {"pods": pods, "budgets": budgets, "replicas": replicas or 0, "context": ports.cluster.context}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        targets = (target, *more_targets(args))
        pods: list[Json] = seen["pods"]
        for one, pod in zip(targets, pods, strict=True):
            gone = refuse_gone(one, pod)
            if gone:
                return Refusal(gone)
        grace = parse_grace(args.get("grace", ""))
        if isinstance(grace, str):
            return Refusal(grace)
        share = len(pods) / seen["replicas"] if seen["replicas"] else 0.0
        risk = Risk.HIGH if share > 0.5 and len(pods) > 1 else Risk.MEDIUM if len(pods) > 1 else self.risk
        names = [pod["metadata"]["name"] for pod in pods]
        return Plan(
            action=self.id,
            title=self.title if len(pods) == 1 else f"{self.title}s ({len(pods)})",
            context=seen["context"],
            namespace=target.namespace,
            targets=targets,
            changes=tuple(Change(name, "running", self._after(pod)) for name, pod in zip(names, pods, strict=True)),
            risk=risk,
            blast=self._blast(seen, pods, share),
            warnings=tuple(f"{name} has no controller: nothing replaces it" for name in bare(pods)),
            equivalents=self._commands(seen["context"], target.namespace, pods, grace),
            undo="" if bare(pods) else "the controller starts new pods",
            confirm_word=names[0],
            deadline=180.0,
            access=tuple(replace(one, name=pod.name) for pod in targets for one in needed(self, pod)),
            requests=tuple(self._request(pod, grace) for pod in pods),
            guards=tuple(Guard(g.path, g.uid, name=g.name) for g in (guard(pod, "Pod") for pod in pods)),
            payload={"owners": owners(pods)},
        )

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        gone = sum(is_gone(ports, target) for target in plan.targets)
        if gone < len(plan.targets):
            return Verdict(Outcome.PENDING, f"{gone}/{len(plan.targets)} gone")
        return replaced(ports, plan, f"{gone}/{len(plan.targets)} gone")

    def _after(self, pod: Json) -> str:
        owner = controller(pod)
        return f"deleted, replaced by {owner['kind']} {owner['name']}" if owner else "deleted for good"

    def _request(self, pod: Json, grace: int | None) -> ApiRequest:
        meta = pod["metadata"]
        body: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": meta["uid"]}}
        if grace is not None:
            body["gracePeriodSeconds"] = grace
        path = path_of("Pod", meta["namespace"], meta["name"])
        return ApiRequest("DELETE", path, msgspec.json.encode(body), label=meta["name"])

    def _commands(self, context: str, namespace: str, pods: list[Json], grace: int | None) -> tuple[str, ...]:
        names = [pod["metadata"]["name"] for pod in pods]
        flags = [] if grace is None else [f"--grace-period={grace}", *(["--force"] if grace == 0 else [])]
        return (kubectl(context, namespace, "delete", "pod", *names, *flags),)

    def _blast(self, seen: Mapping[str, Any], pods: list[Json], share: float) -> tuple[str, ...]:
        lines = [f"{len(pods)} of {seen['replicas']} pods ({share:.0%})" if seen["replicas"] else f"{len(pods)} pods"]
        if seen["budgets"] is None:
            lines.append("disruption budgets are not known: your role may not list them")
        for budget in seen["budgets"] or ():
            selector = (budget.get("spec") or {}).get("selector")
            if any(selects(selector, pod["metadata"].get("labels") or {}) for pod in pods):
                allowed = (budget.get("status") or {}).get("disruptionsAllowed", 0)
                lines.append(f"disruption budget {budget['metadata']['name']}: {allowed} may be down now")
        return tuple(lines)


class PodEvict(PodDelete):
    """Evict pods through the eviction API, which honours disruption budgets."""

    id = "pod-evict"
    title = "Evict pod"
    needs = (Need("create", "eviction"),)
    key = "E"
    checked = "same uid by a precondition, budgets (by the server); dry run; permission to create evictions"
    verb = "evict"

    def _after(self, pod: Json) -> str:
        owner = controller(pod)
        return f"evicted, replaced by {owner['kind']} {owner['name']}" if owner else "evicted for good"

    def _request(self, pod: Json, grace: int | None) -> ApiRequest:
        return eviction(pod["metadata"], grace)

    def _commands(self, context: str, namespace: str, pods: list[Json], grace: int | None) -> tuple[str, ...]:
        """kubectl has no evict: the very bodies that planc sends, each bound to its pod's uid."""
        found: list[str] = []
        for pod in pods:
            body = shlex.quote(eviction(pod["metadata"], grace).body.decode())
            raw = path_of("Pod", namespace, pod["metadata"]["name"], "eviction")
            found.append(f"echo {body} | " + kubectl(context, "", "create", "--raw", raw, "-f", "-"))
        return tuple(found)


def eviction(meta: Mapping[str, Any], grace: int | None = None) -> ApiRequest:
    """The eviction of one pod, bound to its uid."""
    options: Json = {"preconditions": {"uid": meta["uid"]}}
    if grace is not None:
        options["gracePeriodSeconds"] = grace
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
        "deleteOptions": options,
    }
    path = path_of("Pod", meta["namespace"], meta["name"], "eviction")
    return ApiRequest("POST", path, msgspec.json.encode(body), label=meta["name"])


def controller(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    """The controlling owner reference; empty for a bare pod."""
    for reference in pod["metadata"].get("ownerReferences") or []:
        if reference.get("controller"):
            found: Mapping[str, Any] = reference
            return found
    return {}


def owners(pods: list[Json]) -> list[Json]:
    """Kind, name and uid of every controller of these pods, once each."""
    found = {str(owner["uid"]): owner for owner in map(controller, pods) if owner}
    return [{"kind": owner["kind"], "name": owner["name"], "uid": uid} for uid, owner in found.items()]


def wanted_pods(ports: Ports, namespace: str, owner: Mapping[str, Any]) -> int | None:
    """How many pods a controller keeps; None where that is not known. Raises PortError."""
    if owner.get("kind") not in ("ReplicaSet", "StatefulSet"):
        return None
    try:
        found = get(ports.cluster, owner["kind"], namespace, owner["name"])
    except (NotFound, Denied):
        return None
    return int(found["spec"].get("replicas", 1)) if found["metadata"]["uid"] == owner["uid"] else None


def replaced(ports: Ports, plan: Plan, said: str) -> Verdict:
    """Whether the controllers of the pods that went have as many ready ones as they keep. Raises PortError."""
    wanted = {one["uid"]: wanted_pods(ports, plan.namespace, one) for one in plan.payload.get("owners", ())}
    needed = sum(count or 0 for count in wanted.values())
    if not needed:
        return Verdict(Outcome.RECOVERED, said)
    pods = list_all(ports.cluster, "Pod", plan.namespace)
    ready = sum(1 for pod in pods if wanted.get(controller(pod).get("uid", "")) and is_ready(pod))
    return Verdict(Outcome.RECOVERED if ready >= needed else Outcome.PENDING, f"{said}, {ready}/{needed} ready")


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is Ready and stays."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def known_budgets(ports: Ports, namespace: str) -> list[Json] | None:
    """The disruption budgets of a namespace; None when this user may not list them. Raises PortError."""
    try:
        return list_all(ports.cluster, "PodDisruptionBudget", namespace)
    except Denied:
        return None


def bare(pods: list[Json]) -> list[str]:
    """Names of the pods that nothing replaces."""
    return [pod["metadata"]["name"] for pod in pods if not controller(pod)]


def more_targets(args: Mapping[str, str]) -> tuple[Target, ...]:
    """Further marked pods, handed over as JSON in the argument `also`."""
    return msgspec.json.decode(args["also"], type=tuple[Target, ...]) if args.get("also") else ()


def parse_grace(text: str) -> int | str | None:
    """Seconds, None for the pod's own, or what is wrong.

    >>> parse_grace(""), parse_grace("5"), parse_grace("-3")
    (None, 5, 'a grace period is 0 to 3600 seconds')
    """
    text = text.strip()
    if not text:
        return None
    good = text.isdecimal() and len(text) <= 4 and int(text) <= 3600
    return int(text) if good else "a grace period is 0 to 3600 seconds"


def is_gone(ports: Ports, target: Target) -> bool:
    """Whether the pod of this uid no longer exists. Raises PortError."""
    try:
        pod = get(ports.cluster, "Pod", target.namespace, target.name)
    except NotFound:
        return True
    return bool(pod["metadata"]["uid"] != target.uid) and bool(target.uid)
