"""Set the number of replicas, through the scale subresource as `kubectl scale` does.

Invariant: a workload whose replicas an HPA owns is not scaled, because the HPA would put it back within seconds; the
HPA's minReplicas is offered instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from planc_tui.actions.base import Change, Need, Param, Plan, Ports, Receipt, Refusal, Risk, Verdict
from planc_tui.actions.kube import MERGE, ApiAction, get, patch, patch_plan
from planc_tui.actions.workload import judge, read_workload, refuse_gone, short
from planc_tui.core.table import Target

# More than this is a slip of the finger; a larger fleet is scaled through its HPA's bounds.
ABSURD = 1000


class Scale(ApiAction):
    """Scale a workload that no HPA owns."""

    id = "scale"
    title = "Scale"
    key = "s"
    risk = Risk.MEDIUM
    needs = (Need("patch", "scale"),)
    kinds = ("Deployment", "StatefulSet")
    params = (Param("replicas", "replicas", "int"),)
    checked = "no owning HPA, a sane and changed number; same uid; dry run; permission to patch the scale"
    undone = "scale back to the number before"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        return {**read_workload(ports.cluster, target), "context": ports.cluster.context}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        obj = seen["object"]
        now = replicas_of(obj)
        wanted = parse_count(args.get("replicas", ""), "replicas")
        reason = refuse_gone(target, obj) or (wanted if isinstance(wanted, str) else "")
        if reason or isinstance(wanted, str):
            return Refusal(reason)
        # An autoscaler stands still while its target has no replicas, so 0 stays 0 and a start from 0 is ours.
        if seen["hpa"] is not None and wanted and now:
            return _owned(seen["hpa"], wanted)
        if wanted == now:
            return Refusal(f"it has {now} replicas already")
        body = {"spec": {"replicas": wanted}}
        plan = patch_plan(
            self,
            seen,
            target,
            patch(target.kind, target.namespace, target.name, body, style=MERGE, subresource="scale"),
            (Change("replicas", str(now), str(wanted)),),
            ("scale", short(target), f"--replicas={wanted}"),
        )
        return replace(
            plan,
            risk=scale_risk(now, wanted),
            blast=(f"starts {wanted - now} pods" if wanted > now else f"stops {now - wanted} of {now} pods",),
            warnings=_warnings(seen, now, wanted),
            undo=f"scale back to {now}",
            deadline=300.0,
            payload={"before": now, "after": wanted},
        )

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        target = plan.targets[0]
        obj = get(ports.cluster, target.kind, target.namespace, target.name)
        now, wanted = replicas_of(obj), plan.payload["after"]
        return judge(target.kind, obj, "" if now == wanted else f"the replicas are {now}, not {wanted}")

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        return self.id, plan.targets[0], {"replicas": str(plan.payload["before"])}


def replicas_of(obj: Mapping[str, Any]) -> int:
    """spec.replicas, whose default is 1."""
    replicas = obj["spec"].get("replicas")
    return 1 if replicas is None else int(replicas)


def parse_count(text: str, what: str) -> int | str:
    """A number of replicas, or why it is none.

    >>> parse_count("10", "replicas"), parse_count("-1", "replicas")
    (10, 'replicas must be 0 or more, not -1')
    """
    try:
        value = int(text.strip())
    except ValueError:
        return f"{what} must be a whole number, not {text.strip()[:20]!r}"
    if value < 0:
        return f"{what} must be 0 or more, not {value}"
    if value > ABSURD:
        return f"{what} {value} is more than planc sets ({ABSURD}): use kubectl if you mean it"
    return value


def scale_risk(now: int, wanted: int) -> Risk:
    """Stopping everything, or more than half of a workload, asks for its name."""
    return Risk.HIGH if wanted == 0 or wanted < now / 2 else Risk.MEDIUM


def _warnings(seen: Mapping[str, Any], now: int, wanted: int) -> tuple[str, ...]:
    lines = [f"{what} are not known: your role may not list them" for what in seen["hidden"] if what == "HPAs"]
    if seen["hpa"] is not None:
        name = seen["hpa"]["metadata"]["name"]
        lines.append(f"HPA {name} stands still from now on" if now else f"HPA {name} takes over again")
    return tuple(lines)


def _owned(hpa: Mapping[str, Any], wanted: int) -> Refusal:
    name, spec = hpa["metadata"]["name"], hpa["spec"]
    bounds = f"{spec.get('minReplicas', 1)}‥{spec['maxReplicas']}"
    return Refusal(
        f"HPA {name} ({bounds}) owns the replicas and would put them back: set its minReplicas instead",
        offer=(
            "hpa-bounds",
            {"hpa": name, "min": str(max(1, wanted)), "max": str(max(int(spec["maxReplicas"]), wanted))},
        ),
    )
