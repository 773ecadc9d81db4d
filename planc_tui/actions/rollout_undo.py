"""Return a workload to an earlier revision, as `kubectl rollout undo` does.

Invariant: what is sent back is the revision's own template, verbatim as the server stores it, less the
pod-template-hash label; a paused Deployment is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from planc_tui.actions.base import Change, Param, Plan, Ports, Receipt, Refusal
from planc_tui.actions.kube import JSON_PATCH, STRATEGIC, Json, list_all, patch, patch_plan
from planc_tui.actions.template import differences
from planc_tui.actions.workload import (
    REVISION_LINE,
    TemplateAction,
    pods_selector,
    refuse_gone,
    replacing_pods,
    short,
)
from planc_tui.core.table import Target

LISTED = 4
REVISION = "deployment.kubernetes.io/revision"
# Annotations that stay the Deployment's own; all others come from the ReplicaSet (kubectl's rule).
KEPT = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        "deployment.kubernetes.io/revision-history",
        "deployment.kubernetes.io/desired-replicas",
        "deployment.kubernetes.io/max-replicas",
        "deprecated.deployment.rollback.to",
    }
)


class RolloutUndo(TemplateAction):
    """Undo to the revision before, or to a chosen one."""

    id = "rollout-undo"
    title = "Rollout undo"
    key = "u"
    params = (Param("revision", "to revision", "choice", help="empty: the one before the current"),)
    checked = "not paused, the revision exists and differs; same uid and spec; dry run; permission to patch"
    undone = "rollout undo to the revision it came from"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        seen = super().inspect(ports, target, args)
        kind = "ReplicaSet" if target.kind == "Deployment" else "ControllerRevision"
        selector = pods_selector(seen["object"])
        found = list_all(ports.cluster, kind, target.namespace, labelSelector=selector)
        owned = [item for item in found if _owner(item) == seen["object"]["metadata"]["uid"]]
        return {**seen, "revisions": owned}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        obj = seen["object"]
        gone = refuse_gone(target, obj)
        if gone:
            return Refusal(gone)
        if obj["spec"].get("paused"):
            return Refusal("the rollout is paused: resume it first", offer=("rollout-resume", {}))
        history = {number(item): item for item in seen["revisions"]}
        current = max(history, default=0)
        chosen = choose(history, args.get("revision", ""))
        if isinstance(chosen, Refusal):
            return chosen
        template = template_of(target.kind, history[chosen], obj)
        changes = differences(obj["spec"]["template"], template)
        if not changes:
            return Refusal(f"revision {chosen} has the template that runs now: nothing to undo")
        plan = replacing_pods(
            seen,
            patch_plan(
                self,
                seen,
                target,
                undo_request(target, obj, history[chosen], template),
                (Change(REVISION_LINE, str(current), str(chosen)), *changes),
                ("rollout", "undo", short(target), f"--to-revision={chosen}"),
            ),
        )
        return replace(
            plan,
            blast=(*plan.blast, *others(target.kind, history, obj, chosen)),
            warnings=_cause(history[chosen]),
            undo=f"rollout undo to revision {current}",
            payload={"from": current, "to": chosen, "choices": sorted(history, reverse=True)},
        )

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        return self.id, plan.targets[0], {"revision": str(plan.payload["from"])}


def others(kind: str, history: Mapping[int, Json], obj: Json, chosen: int) -> tuple[str, ...]:
    """A line for each other revision one could go back to, newest first, with what would differ from now."""
    lines: list[str] = []
    for revision in sorted(history, reverse=True):
        changes = differences(obj["spec"]["template"], template_of(kind, history[revision], obj))
        if revision == chosen or not changes:
            continue
        more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
        lines.append(f"revision {revision} instead (e): {changes[0].label} {changes[0].after}{more}")
    left = (f"and {len(lines) - LISTED} older revisions",) if len(lines) > LISTED else ()
    return (*lines[:LISTED], *left)


def number(item: Mapping[str, Any]) -> int:
    """Revision number of a ReplicaSet or ControllerRevision; 0 when it carries none."""
    if "revision" in item:
        return int(item["revision"])
    text = (item["metadata"].get("annotations") or {}).get(REVISION, "0")
    return int(text) if text.isdecimal() else 0


def choose(history: Mapping[int, Json], wanted: str) -> int | Refusal:
    """The revision to go back to: the wanted one, or the second highest.

    >>> choose({3: {}, 7: {}, 6: {}}, ""), choose({1: {}, 2: {}}, "1")
    (6, 1)
    """
    known = ", ".join(str(revision) for revision in sorted(history))
    if wanted:
        if not wanted.isdecimal() or len(wanted) > 18:
            return Refusal(f"a revision is a number, not {wanted[:20]!r}")
        if int(wanted) not in history:
            return Refusal(f"revision {wanted} is gone; there are {known or 'none'}")
        return int(wanted)
    if len(history) < 2:
        return Refusal("there is no earlier revision to return to")
    return sorted(history)[-2]


def template_of(kind: str, revision: Json, obj: Json) -> Json:
    """The pod template that a revision stands for."""
    if kind != "Deployment":
        template: Json = revision["data"]["spec"]["template"]
        return {key: value for key, value in template.items() if key != "$patch"}
    template = dict(revision["spec"]["template"])
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {
        key: value for key, value in (metadata.get("labels") or {}).items() if key != "pod-template-hash"
    }
    template["metadata"] = metadata
    return template


def undo_request(target: Target, obj: Json, revision: Json, template: Json) -> Any:
    """The patch that kubectl sends for this kind."""
    if target.kind != "Deployment":
        return patch(target.kind, target.namespace, target.name, revision["data"], style=STRATEGIC)
    own = obj["metadata"].get("annotations") or {}
    theirs = revision["metadata"].get("annotations") or {}
    annotations = {key: value for key, value in own.items() if key in KEPT}
    annotations |= {key: value for key, value in theirs.items() if key not in KEPT}
    operations: list[Json] = [
        {"op": "test", "path": "/metadata/uid", "value": obj["metadata"]["uid"]},
        {"op": "replace", "path": "/spec/template", "value": template},
    ]
    if own or annotations:
        operation = "replace" if own else "add"
        operations.append({"op": operation, "path": "/metadata/annotations", "value": annotations})
    return patch(target.kind, target.namespace, target.name, operations, style=JSON_PATCH)


def _owner(item: Mapping[str, Any]) -> str:
    for reference in item["metadata"].get("ownerReferences") or []:
        if reference.get("controller"):
            return str(reference["uid"])
    return ""


def _cause(item: Mapping[str, Any]) -> tuple[str, ...]:
    cause = (item["metadata"].get("annotations") or {}).get("kubernetes.io/change-cause", "")
    return (f"change cause of that revision: {cause}",) if cause else ()
