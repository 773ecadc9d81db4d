"""Replace every pod of a workload, as `kubectl rollout restart` does.

Invariant: nothing but the annotation kubectl.kubernetes.io/restartedAt of the pod template changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from planc_tui.actions.base import Change, Plan, Ports, Receipt, Refusal, Risk, Verdict
from planc_tui.actions.kube import ApiAction, access, guard, kubectl, patch
from planc_tui.actions.workload import KINDS, SHORT, blast_radius, read_workload, refuse_gone, verify_rollout
from planc_tui.core.table import Target

ANNOTATION = "kubectl.kubernetes.io/restartedAt"


class RolloutRestart(ApiAction):
    """Restart by a new template annotation (kubectl's own, so its history stays readable)."""

    id = "rollout-restart"
    title = "Rollout restart"
    key = "r"
    risk = Risk.MEDIUM
    kinds = KINDS
    checked = "not paused, not deleted, same uid and spec; dry run; permission to patch"
    undone = "a restart has no undo; rollout undo returns to the template before it"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        return {
            **read_workload(ports.cluster, target),
            "now": ports.clock.now(),
            "context": ports.cluster.context,
        }

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        obj = seen["object"]
        gone = refuse_gone(target, obj)
        if gone:
            return Refusal(gone)
        if obj["spec"].get("paused"):
            return Refusal("the rollout is paused: resume it first", offer=("rollout-resume", {}))
        before = ((obj["spec"]["template"].get("metadata") or {}).get("annotations") or {}).get(ANNOTATION, "(never)")
        stamp = datetime.fromtimestamp(seen["now"], UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if before == stamp:
            return Refusal("it was restarted in this very second: look again")
        body = {"spec": {"template": {"metadata": {"annotations": {ANNOTATION: stamp}}}}}
        name = f"{SHORT[target.kind]}/{target.name}"
        return Plan(
            action=self.id,
            title=self.title,
            context=seen["context"],
            namespace=target.namespace,
            targets=(target,),
            changes=(Change(f"annotation {ANNOTATION}", before, stamp),),
            risk=self.risk,
            blast=blast_radius(seen),
            equivalents=(kubectl(seen["context"], target.namespace, "rollout", "restart", name),),
            undo="",
            deadline=600.0,
            access=(access("patch", target.kind, target.namespace, target.name),),
            requests=(patch(target.kind, target.namespace, target.name, body),),
            guards=(guard(obj, target.kind),),
        )

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        return verify_rollout(ports, plan, receipt)
