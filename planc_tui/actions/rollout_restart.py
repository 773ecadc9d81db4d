"""Replace every pod of a workload, as `kubectl rollout restart` does.

Invariant: nothing but the annotation kubectl.kubernetes.io/restartedAt of the pod template changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from planc_tui.actions.base import Change, Plan, Ports, Refusal
from planc_tui.actions.kube import patch, patch_plan
from planc_tui.actions.workload import (
    TemplateAction,
    refuse_gone,
    replacing_pods,
    short,
)
from planc_tui.core.table import Target

ANNOTATION = "kubectl.kubernetes.io/restartedAt"


class RolloutRestart(TemplateAction):
    """Restart by a new template annotation (kubectl's own, so its history stays readable)."""

    id = "rollout-restart"
    title = "Rollout restart"
    key = "r"
    checked = "not paused, not deleted, same uid and spec; dry run; permission to patch"
    undone = "a restart has no undo; rollout undo returns to the template before it"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        return {**super().inspect(ports, target, args), "now": ports.clock.now()}

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
        request = patch(target.kind, target.namespace, target.name, body)
        change = Change(f"annotation {ANNOTATION}", before, stamp)
        return replacing_pods(
            seen, patch_plan(self, seen, target, request, (change,), ("rollout", "restart", short(target)))
        )
