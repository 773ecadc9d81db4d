"""Set the image of a container, as `kubectl set image` does.

Invariant: only the named container's image changes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from planc_tui.actions.base import Change, Param, Plan, Receipt, Refusal
from planc_tui.actions.kube import patch, patch_plan
from planc_tui.actions.workload import (
    TemplateAction,
    one_container,
    replacing_pods,
    short,
    template_patch,
)
from planc_tui.core.table import Target

_IMAGE = re.compile(r"[a-zA-Z0-9][\w.\-:/@]*\Z", re.ASCII)


class SetImage(TemplateAction):
    """Run another image in one container."""

    id = "set-image"
    title = "Set image"
    key = "i"
    params = (Param("image", "image"), Param("container", "container", "choice"))
    checked = "the image differs and is an image name; same uid and spec; dry run; permission to patch"
    undone = "the image before"

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        obj = seen["object"]
        container = one_container(target, obj, args.get("container", ""))
        if isinstance(container, Refusal):
            return container
        image = args.get("image", "").strip()
        if not _IMAGE.match(image):
            return Refusal(f"{image[:60]!r} is no image name: write registry/name:tag")
        before = str(container.get("image", ""))
        if image == before:
            return Refusal(f"it runs {image} already")
        body = template_patch(obj, [{"name": container["name"], "image": image}])
        plan = replacing_pods(
            seen,
            patch_plan(
                self,
                seen,
                target,
                patch(target.kind, target.namespace, target.name, body),
                (Change(f"{container['name']} image", before, image),),
                ("set", "image", short(target), f"{container['name']}={image}"),
            ),
        )
        return replace(plan, undo=f"image {before}", payload={"container": container["name"], "before": before})

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        return self.id, plan.targets[0], {"container": plan.payload["container"], "image": plan.payload["before"]}
