"""Send traffic to the maintenance page, and back.

Invariant: both annotations of the Ingress change together; the values before are kept in an annotation of planc's on
the Ingress itself, so that any console can restore them. Nothing is switched while the page's Service is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from planc_tui.actions.base import Change, Need, Outcome, Plan, Ports, Receipt, Refusal, Risk, Verdict
from planc_tui.actions.kube import MERGE, ApiAction, Json, get, guard, patch, patch_plan
from planc_tui.actions.workload import refuse_gone
from planc_tui.core.ports import NotFound
from planc_tui.core.table import Target

KEPT = "planc.dev/before-maintenance"
UNSET = "(unset)"


class MaintenanceOn(ApiAction):
    """Show the maintenance page instead of the application."""

    id = "maintenance-on"
    title = "Maintenance on"
    risk = Risk.HIGH
    needs = (Need("patch"),)
    kinds = ("Ingress",)
    checked = "the page's Service exists; not on yet; same uid; dry run; permission to patch"
    undone = "maintenance off, which restores the annotations as they were"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        page = ports.playbook.targets.maintenance
        service = ""
        if page is not None:
            try:
                get(ports.cluster, "Service", target.namespace, page.service)
            except NotFound:
                service = f"the Service {page.service} does not exist in {target.namespace}: create it first"
        return {
            "object": get(ports.cluster, "Ingress", target.namespace, target.name),
            "annotations": dict(page.annotations) if page is not None else {},
            "service": service,
            "context": ports.cluster.context,
        }

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        obj, wanted = seen["object"], seen["annotations"]
        now = obj["metadata"].get("annotations") or {}
        if not wanted:
            return Refusal("the playbook names no maintenance page: set targets.maintenance")
        reason = refuse_gone(target, obj) or seen["service"]
        if not reason and all(now.get(key) == value for key, value in wanted.items()):
            reason = "maintenance is on already"
        if reason:
            return Refusal(reason)
        before = {key: now.get(key) for key in wanted}
        if KEPT in now:
            before = parse_kept(now[KEPT], before)
        return annotation_plan(self, seen, target, wanted, {**wanted, KEPT: json.dumps(before, sort_keys=True)})

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        return verify_annotations(ports, plan)

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        return "maintenance-off", plan.targets[0], {}


class MaintenanceOff(ApiAction):
    """Show the application again."""

    id = "maintenance-off"
    title = "Maintenance off"
    risk = Risk.HIGH
    needs = (Need("patch"),)
    kinds = ("Ingress",)
    checked = "on now; same uid; dry run; permission to patch"
    undone = "maintenance on"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        page = ports.playbook.targets.maintenance
        return {
            "object": get(ports.cluster, "Ingress", target.namespace, target.name),
            "annotations": dict(page.annotations) if page is not None else {},
            "context": ports.cluster.context,
        }

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        obj = seen["object"]
        now = obj["metadata"].get("annotations") or {}
        gone = refuse_gone(target, obj)
        if gone:
            return Refusal(gone)
        wanted = seen["annotations"]
        # Without planc's note of the values before, only what says maintenance goes; other values are the team's own.
        ours = [key for key, value in wanted.items() if now.get(key) == value]
        if not ours and KEPT not in now:
            return Refusal("maintenance is off already")
        restored = parse_kept(now[KEPT], dict.fromkeys(wanted)) if KEPT in now else dict.fromkeys(ours)
        return annotation_plan(self, seen, target, restored, {**restored, KEPT: None})

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        return verify_annotations(ports, plan)

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        return "maintenance-on", plan.targets[0], {}


def annotation_plan(
    action: ApiAction, seen: Mapping[str, Any], target: Target, shown: Mapping[str, str | None], written: Json
) -> Plan:
    """A plan that writes annotations; None removes one."""
    obj = seen["object"]
    now = obj["metadata"].get("annotations") or {}
    body = {"metadata": {"annotations": written}}
    words = [f"{key}={value}" if value is not None else f"{key}-" for key, value in written.items()]
    plan = patch_plan(
        action,
        seen,
        target,
        patch("Ingress", target.namespace, target.name, body, style=MERGE),
        tuple(Change(key, now.get(key) or UNSET, value or UNSET) for key, value in shown.items()),
        ("annotate", "ingress", target.name, "--overwrite", *words),
    )
    return replace(
        plan,
        blast=(f"every request through Ingress {target.name}",),
        undo=action.undone,
        deadline=60.0,
        guards=(guard(obj, "Ingress", exact=True),),
        payload={"annotations": written},
    )


def verify_annotations(ports: Ports, plan: Plan) -> Verdict:
    """Whether the Ingress carries what the plan wrote."""
    target = plan.targets[0]
    now = get(ports.cluster, "Ingress", target.namespace, target.name)["metadata"].get("annotations") or {}
    if all(now.get(key) == value for key, value in plan.payload["annotations"].items()):
        return Verdict(Outcome.RECOVERED, "the Ingress carries the annotations")
    return Verdict(Outcome.FAILED, "the Ingress does not carry the annotations: not done, or changed since")


def parse_kept(text: str, fallback: Mapping[str, str | None]) -> dict[str, str | None]:
    """The values before maintenance, from planc's annotation; the fallback where it is missing or damaged.

    >>> parse_kept('{"a": "1", "b": null}', {"a": None, "b": "503"}), parse_kept("oops", {"a": None})
    ({'a': '1', 'b': None}, {'a': None})
    """
    try:
        found = json.loads(text)
    except ValueError:
        found = {}
    kept = found if isinstance(found, dict) else {}
    good = {key: value for key, value in kept.items() if value is None or isinstance(value, str)}
    return {key: good.get(key, value) for key, value in fallback.items()}
