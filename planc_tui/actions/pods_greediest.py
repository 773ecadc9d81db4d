"""Delete the N pods of a workload that use most memory, in one plan.

Invariant: the pods are chosen from a fresh measurement and listed with their figures before anybody is asked; each is
deleted by its uid.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from planc_tui.actions.base import Need, Param, Plan, Ports, Refusal
from planc_tui.actions.kube import get, list_all
from planc_tui.actions.pod_delete import PodDelete, known_budgets
from planc_tui.actions.workload import KINDS, pods_selector
from planc_tui.core.ports import BadAnswer
from planc_tui.core.quantity import MEBI, value
from planc_tui.core.table import Target


class PodsGreediest(PodDelete):
    """The greediest pods first."""

    id = "pods-greediest"
    title = "Delete greediest pods"
    needs = (Need("delete", "", "Pod"),)
    key = "D"
    kinds = KINDS
    params = (Param("count", "how many", "int", default="1"),)
    checked = "a fresh measurement of memory; same uids by preconditions; budgets; dry run; permission to delete"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        obj = get(ports.cluster, target.kind, target.namespace, target.name)
        selector = pods_selector(obj)
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{target.namespace}/pods"
        answer = ports.cluster.request("GET", path, query={"labelSelector": selector}, source="actions")
        try:
            usage = {item["metadata"]["name"]: _memory(item) for item in msgspec.json.decode(answer)["items"]}
        except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
            raise BadAnswer("the usage of the pods could not be read: is metrics-server well?") from None
        return {
            "found": list_all(ports.cluster, "Pod", target.namespace, labelSelector=selector),
            "usage": usage,
            "budgets": known_budgets(ports, target.namespace),
            "replicas": int(obj["spec"].get("replicas") or 0),
            "context": ports.cluster.context,
        }

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        text = args.get("count", "").strip() or "1"
        if not text.isdecimal() or len(text) > 4 or int(text) < 1:
            return Refusal(f"how many must be a whole number of 1 or more, not {text[:20]!r}")
        usage: Mapping[str, int] = seen["usage"]
        alive = [pod for pod in seen["found"] if not pod["metadata"].get("deletionTimestamp")]
        measured = [pod for pod in alive if pod["metadata"]["name"] in usage]
        ranked = sorted(measured, key=lambda pod: -usage[pod["metadata"]["name"]])[: int(text)]
        if not ranked:
            return Refusal("no pod of it has been measured yet: metrics-server takes a minute")
        targets = [
            Target("Pod", p["metadata"]["name"], target.namespace, p["metadata"]["uid"], target.context) for p in ranked
        ]
        also = json.dumps([msgspec.to_builtins(one) for one in targets[1:]])
        plan = super().plan({**seen, "pods": ranked}, targets[0], {"also": also if targets[1:] else ""})
        if isinstance(plan, Refusal):
            return plan
        changes = tuple(
            replace(change, before=f"{usage[change.label] / MEBI:.0f} Mi of memory") for change in plan.changes
        )
        return replace(plan, changes=changes)


def _memory(item: Mapping[str, Any]) -> int:
    return sum(value(container["usage"]["memory"]) for container in item["containers"])
