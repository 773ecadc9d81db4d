"""Set minReplicas and maxReplicas of an HPA.

Invariant: nothing but the two bounds changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from planc_tui.actions.base import Change, Drift, Need, Outcome, Param, Plan, Ports, Receipt, Refusal, Risk, Verdict
from planc_tui.actions.kube import MERGE, ApiAction, get, patch, patch_plan
from planc_tui.actions.scale import parse_count
from planc_tui.actions.workload import refuse_gone
from planc_tui.core.table import Target

KIND = "HorizontalPodAutoscaler"


class HpaBounds(ApiAction):
    """Raise or lower the bounds of an autoscaler."""

    id = "hpa-bounds"
    title = "HPA bounds"
    key = "b"
    risk = Risk.MEDIUM
    needs = (Need("patch"),)
    kinds = (KIND,)
    params = (Param("min", "minReplicas", "int"), Param("max", "maxReplicas", "int"))
    checked = "1 ≤ min ≤ max, changed; same uid and spec; dry run; permission to patch"
    undone = "the bounds before"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        name = args.get("hpa") or target.name
        return {"object": get(ports.cluster, KIND, target.namespace, name), "context": ports.cluster.context}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        obj = seen["object"]
        if target.kind != KIND:
            target = Target(KIND, obj["metadata"]["name"], target.namespace, obj["metadata"]["uid"], target.context)
        before = bounds_of(obj)
        after = wanted_bounds(before, args)
        reason = refuse_gone(target, obj) or (after if isinstance(after, str) else "")
        if reason or isinstance(after, str):
            return Refusal(reason)
        if after == before:
            return Refusal(f"the bounds are {before[0]}‥{before[1]} already")
        current = int((obj.get("status") or {}).get("currentReplicas") or 0)
        body = {"spec": {"minReplicas": after[0], "maxReplicas": after[1]}}
        text = f'{{"spec":{{"minReplicas":{after[0]},"maxReplicas":{after[1]}}}}}'
        lines = zip(("minReplicas", "maxReplicas"), before, after, strict=True)
        plan = patch_plan(
            self,
            seen,
            target,
            patch(KIND, target.namespace, target.name, body, style=MERGE),
            tuple(Change(label, str(old), str(new)) for label, old, new in lines if old != new),
            ("patch", "hpa", target.name, "--type=merge", "-p", text),
        )
        return replace(
            plan,
            risk=Risk.HIGH if after[1] < current / 2 else self.risk,
            blast=(_effect(current, after),),
            undo=f"bounds {before[0]}‥{before[1]}",
            deadline=180.0,
            payload={"before": before, "after": after},
        )

    def recheck(self, ports: Ports, plan: Plan) -> Drift | None:
        """An HPA's generation does not follow its spec on every server, and its resourceVersion moves all the time."""
        target = plan.targets[0]
        now = bounds_of(get(ports.cluster, KIND, target.namespace, target.name))
        return None if now == tuple(plan.payload["before"]) else Drift(f"the bounds are {now[0]}‥{now[1]} now")

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        target = plan.targets[0]
        obj = get(ports.cluster, KIND, target.namespace, target.name)
        low, high = plan.payload["after"]
        if bounds_of(obj) != (low, high):
            now = "‥".join(str(bound) for bound in bounds_of(obj))
            return Verdict(Outcome.FAILED, f"the bounds are {now}, not {low}‥{high}: not done, or changed since")
        current = int((obj.get("status") or {}).get("currentReplicas") or 0)
        inside = low <= current <= high
        return Verdict(Outcome.RECOVERED if inside else Outcome.PENDING, f"{current} replicas of {low}‥{high}")

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        low, high = plan.payload["before"]
        return self.id, plan.targets[0], {"min": str(low), "max": str(high)}


def bounds_of(obj: Mapping[str, Any]) -> tuple[int, int]:
    """(minReplicas, maxReplicas); the least defaults to 1."""
    spec = obj["spec"]
    return int(spec.get("minReplicas", 1)), int(spec["maxReplicas"])


def wanted_bounds(before: tuple[int, int], args: Mapping[str, str]) -> tuple[int, int] | str:
    """The bounds asked for, an empty one unchanged; or why they cannot be.

    >>> wanted_bounds((3, 20), {"min": "10"}), wanted_bounds((3, 20), {"min": "30"})
    ((10, 20), 'minReplicas 30 is above maxReplicas 20: raise both')
    """
    values: list[int] = []
    for key, name, old in zip(("min", "max"), ("minReplicas", "maxReplicas"), before, strict=True):
        value = parse_count(args.get(key) or str(old), name)
        if isinstance(value, str):
            return value
        values.append(value)
    low, high = values
    if low < 1:
        return "minReplicas must be 1 or more"
    if low > high:
        return f"minReplicas {low} is above maxReplicas {high}: raise both"
    return low, high


def _effect(current: int, after: tuple[int, int]) -> str:
    if current < after[0]:
        return f"the HPA starts {after[0] - current} pods soon"
    if current > after[1]:
        return f"the HPA stops {current - after[1]} of {current} pods soon"
    return f"{current} replicas now, inside the new bounds"
