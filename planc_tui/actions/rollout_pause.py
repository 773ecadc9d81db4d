"""Pause and resume the rollout of a Deployment.

Invariant: only spec.paused changes; pods that run keep running.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from msgspec.structs import replace

from planc_tui.actions.base import Change, Need, Outcome, Plan, Ports, Receipt, Refusal, Risk, Verdict
from planc_tui.actions.kube import ApiAction, get, patch, patch_plan
from planc_tui.actions.workload import refuse_gone, short
from planc_tui.core.table import Target


class RolloutPause(ApiAction):
    """Hold a rollout where it is."""

    id = "rollout-pause"
    title = "Pause rollout"
    risk = Risk.MEDIUM
    needs = (Need("patch"),)
    kinds = ("Deployment",)
    checked = "not paused yet; same uid and spec; dry run; permission to patch"
    undone = "resume"
    paused: ClassVar[bool] = True
    verb: ClassVar[str] = "pause"
    opposite: ClassVar[str] = "rollout-resume"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        found = get(ports.cluster, target.kind, target.namespace, target.name)
        return {"object": found, "context": ports.cluster.context}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        obj = seen["object"]
        now = bool(obj["spec"].get("paused"))
        gone = refuse_gone(target, obj)
        if gone or now == self.paused:
            return Refusal(gone or f"the rollout is {'paused' if now else 'not paused'} already")
        body = {"spec": {"paused": True if self.paused else None}}
        plan = patch_plan(
            self,
            seen,
            target,
            patch(target.kind, target.namespace, target.name, body),
            (Change("paused", str(now).lower(), str(self.paused).lower()),),
            ("rollout", self.verb, short(target)),
        )
        return replace(
            plan,
            blast=("no pod is touched; later changes wait" if self.paused else "changes made meanwhile roll out now",),
            undo="resume the rollout" if self.paused else "pause it again",
            deadline=60.0,
        )

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        target = plan.targets[0]
        obj = get(ports.cluster, target.kind, target.namespace, target.name)
        if bool(obj["spec"].get("paused")) != self.paused:
            return Verdict(
                Outcome.FAILED, f"it is {'not paused' if self.paused else 'paused'}: not done, or changed since"
            )
        seen = int((obj.get("status") or {}).get("observedGeneration") or 0) >= int(obj["metadata"]["generation"])
        return Verdict(Outcome.RECOVERED if seen else Outcome.PENDING, "paused" if self.paused else "resumed")

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        return self.opposite, plan.targets[0], {}


class RolloutResume(RolloutPause):
    """Let a paused rollout go on."""

    id = "rollout-resume"
    title = "Resume rollout"
    checked = "paused; same uid and spec; dry run; permission to patch"
    undone = "pause"
    paused = False
    verb = "resume"
    opposite = "rollout-pause"
