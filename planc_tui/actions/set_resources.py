"""Set limits and requests of a container, as `kubectl set resources` does.

Invariant: what is not named stays; a request above its limit and a quantity that does not parse never leave planc.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from planc_tui.actions.base import Change, Param, Plan, Ports, Receipt, Refusal, Verdict
from planc_tui.actions.kube import Json, get, patch, patch_plan
from planc_tui.actions.workload import (
    TemplateAction,
    containers_of,
    judge,
    one_container,
    refuse_gone,
    replacing_pods,
    short,
    template_patch,
)
from planc_tui.core.quantity import nano
from planc_tui.core.table import Target

_FIELDS = {
    "cpu-request": ("requests", "cpu"),
    "cpu-limit": ("limits", "cpu"),
    "memory-request": ("requests", "memory"),
    "memory-limit": ("limits", "memory"),
}
NONE = "none"


class SetResources(TemplateAction):
    """Change requests and limits of one container."""

    id = "set-resources"
    title = "Set limits and requests"
    key = "m"
    params = (
        Param("container", "container", "choice"),
        *(Param(key, key.replace("-", " "), "quantity", help="empty: as it is; none: remove") for key in _FIELDS),
    )
    checked = "quantities parse, request ≤ limit, something changes; same uid and spec; dry run; permission to patch"
    undone = "the values before; replaces the pods once more"

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        obj = seen["object"]
        container = one_container(target, obj, args.get("container", ""))
        if isinstance(container, Refusal):
            return container
        wanted = wanted_values(container.get("resources") or {}, args)
        if isinstance(wanted, str):
            return Refusal(wanted)
        changes, before = changed_values(container, wanted)
        if not changes:
            return Refusal("the values are so already")
        entry = {"name": container["name"], "resources": wanted}
        body = template_patch(obj, [entry])
        request = patch(target.kind, target.namespace, target.name, body)
        plan = replacing_pods(
            seen, patch_plan(self, seen, target, request, changes, _words(target, container["name"], body, wanted))
        )
        return replace(
            plan,
            undo="the values as they were; replaces the pods once more",
            payload={"container": container["name"], "before": before, "wanted": wanted},
        )

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        target = plan.targets[0]
        obj = get(ports.cluster, target.kind, target.namespace, target.name)
        found = containers_of(obj, plan.payload["container"])
        reason = refuse_gone(target, obj) or (found if isinstance(found, str) else "")
        if not reason and not isinstance(found, str):
            other = changed_values(found[0], plan.payload["wanted"])[0]
            reason = f"{other[0].label} is {other[0].before}, not {other[0].after}" if other else ""
        return judge(target.kind, obj, reason)

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        return self.id, plan.targets[0], {"container": plan.payload["container"], **plan.payload["before"]}


def wanted_values(resources: Json, args: Mapping[str, str]) -> Json | str:
    """The patch of `resources`, or what is wrong with it.

    >>> wanted_values({}, {"memory-limit": "8Gi"})
    {'limits': {'memory': '8Gi'}}
    >>> wanted_values({"requests": {"cpu": "2"}}, {"cpu-limit": "500m"})
    'cpu request 2 is above its limit 500m'
    """
    wanted: Json = {}
    for key, (kind, resource) in _FIELDS.items():
        text = args.get(key, "").strip()
        if not text:
            continue
        if text != NONE:
            try:
                negative = nano(text) < 0
            except ValueError:
                return f"{text[:20]!r} is no quantity: write 500m, 2, 512Mi or 8Gi, or none"
            if negative:
                return f"{key.replace('-', ' ')} cannot be negative"
        wanted.setdefault(kind, {})[resource] = None if text == NONE else text
    if not wanted:
        return "name at least one value"
    for resource in ("cpu", "memory"):
        request, limit = (_effective(resources, wanted, kind, resource) for kind in ("requests", "limits"))
        if request and limit and nano(request) > nano(limit):
            return f"{resource} request {request} is above its limit {limit}"
    return wanted


def changed_values(container: Json, wanted: Json) -> tuple[tuple[Change, ...], dict[str, str]]:
    """Lines of the card, and the arguments that put the values back."""
    changes: list[Change] = []
    before: dict[str, str] = {}
    for key, (kind, resource) in _FIELDS.items():
        if resource not in wanted.get(kind, {}):
            continue
        old = ((container.get("resources") or {}).get(kind) or {}).get(resource)
        new = wanted[kind][resource]
        if _same(old, new):
            continue
        before[key] = NONE if old is None else str(old)
        changes.append(Change(f"{container['name']} {key.replace('-', ' ')}", old or "(unset)", new or "(unset)"))
    return tuple(changes), before


def _same(old: str | None, new: str | None) -> bool:
    if old is None or new is None:
        return old is new
    return nano(old) == nano(new)


def _effective(resources: Json, wanted: Json, kind: str, resource: str) -> str | None:
    if resource in wanted.get(kind, {}):
        value: str | None = wanted[kind][resource]
        return value
    return (resources.get(kind) or {}).get(resource)


def _words(target: Target, container: str, body: Json, wanted: Json) -> tuple[str, ...]:
    """`kubectl set resources`, or the patch itself where a value is removed, which that command cannot do."""
    if any(value is None for part in wanted.values() for value in part.values()):
        return ("patch", short(target), "-p", json.dumps(body))
    flags = [f"--{kind}=" + ",".join(f"{key}={value}" for key, value in part.items()) for kind, part in wanted.items()]
    return ("set", "resources", short(target), f"--containers={container}", *flags)
