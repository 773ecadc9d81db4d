"""Set the image of a container, as `kubectl set image` does.

Invariant: only the named container's image changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from planc_tui.actions.base import Change, Param, Plan, Ports, Receipt, Refusal, Risk, Verdict
from planc_tui.actions.kube import ApiAction, access, guard, kubectl, patch
from planc_tui.actions.workload import (
    KINDS,
    SHORT,
    blast_radius,
    containers_of,
    read_workload,
    refuse_gone,
    template_patch,
    verify_rollout,
)
from planc_tui.core.table import Target

_IMAGE = re.compile(r"[a-zA-Z0-9][\w.\-:/@]*\Z", re.ASCII)


class SetImage(ApiAction):
    """Run another image in one container."""

    id = "set-image"
    title = "Set image"
    key = "i"
    risk = Risk.MEDIUM
    kinds = KINDS
    params = (Param("image", "image"), Param("container", "container", "choice"))
    checked = "the image differs and is an image name; same uid and spec; dry run; permission to patch"
    undone = "the image before"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        return {**read_workload(ports.cluster, target), "context": ports.cluster.context}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        obj = seen["object"]
        found = containers_of(obj, args.get("container", ""))
        reason = refuse_gone(target, obj)
        if reason or isinstance(found, str):
            return Refusal(reason or str(found))
        if len(found) > 1:
            return Refusal("it has several containers: choose one")
        container, image = found[0], args.get("image", "").strip()
        if not _IMAGE.match(image):
            return Refusal(f"{image[:60]!r} is no image name: write registry/name:tag")
        before = str(container.get("image", ""))
        if image == before:
            return Refusal(f"it runs {image} already")
        body = template_patch(obj, [{"name": container["name"], "image": image}])
        words = ("set", "image", f"{SHORT[target.kind]}/{target.name}", f"{container['name']}={image}")
        return Plan(
            action=self.id,
            title=self.title,
            context=seen["context"],
            namespace=target.namespace,
            targets=(target,),
            changes=(Change(f"{container['name']} image", before, image),),
            risk=self.risk,
            blast=blast_radius(seen),
            equivalents=(kubectl(seen["context"], target.namespace, *words),),
            undo=f"image {before}",
            deadline=600.0,
            access=(access("patch", target.kind, target.namespace, target.name),),
            requests=(patch(target.kind, target.namespace, target.name, body),),
            guards=(guard(obj, target.kind),),
            payload={"container": container["name"], "before": before},
        )

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        return verify_rollout(ports, plan, receipt)

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        return self.id, plan.targets[0], {"container": plan.payload["container"], "image": plan.payload["before"]}
