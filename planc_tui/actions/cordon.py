"""Cordon and uncordon a node.

Invariant: only spec.unschedulable changes; no pod is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec.structs import replace

from planc_tui.actions.base import Change, Need, Outcome, Plan, Ports, Receipt, Refusal, Risk, Verdict
from planc_tui.actions.kube import ApiAction, get, list_all, patch, patch_plan
from planc_tui.actions.workload import refuse_gone
from planc_tui.core.table import Target


class Cordon(ApiAction):
    """Keep new pods off a node."""

    id = "cordon"
    title = "Cordon"
    key = "w"
    risk = Risk.MEDIUM
    needs = (Need("patch"),)
    kinds = ("Node",)
    checked = "not cordoned yet; same uid; dry run; permission to patch"
    undone = "uncordon"
    unschedulable: ClassVar[bool] = True
    opposite: ClassVar[str] = "uncordon"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        node = get(ports.cluster, "Node", "", target.name)
        pods = list_all(ports.cluster, "Pod", "", fieldSelector=f"spec.nodeName={target.name}")
        return {"object": node, "pods": len(pods), "context": ports.cluster.context}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        obj = seen["object"]
        now = bool(obj["spec"].get("unschedulable"))
        gone = refuse_gone(target, obj)
        if gone or now == self.unschedulable:
            return Refusal(gone or f"{target.name} is {'cordoned' if now else 'not cordoned'} already")
        body = {"spec": {"unschedulable": True if self.unschedulable else None}}
        stays = f"{seen['pods']} pods run there and stay"
        request = patch("Node", "", target.name, body)
        change = Change("takes new pods", _yes(not now), _yes(now))
        return replace(
            patch_plan(self, seen, target, request, (change,), (self.id, target.name)),
            blast=(stays if self.unschedulable else "the scheduler may use it again",),
            undo=self.opposite,
            deadline=30.0,
        )

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        node = get(ports.cluster, "Node", "", plan.targets[0].name)
        if bool(node["spec"].get("unschedulable")) == self.unschedulable:
            return Verdict(Outcome.RECOVERED, "cordoned" if self.unschedulable else "takes pods again")
        return Verdict(Outcome.FAILED, "not done, or changed back since")

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        return self.opposite, plan.targets[0], {}


class Uncordon(Cordon):
    """Let new pods on a node again."""

    id = "uncordon"
    title = "Uncordon"
    key = "u"
    checked = "cordoned; same uid; dry run; permission to patch"
    undone = "cordon"
    unschedulable = False
    opposite = "cordon"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
