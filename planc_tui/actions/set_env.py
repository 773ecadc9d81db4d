"""Set or remove environment variables of a workload's containers, several in one change.

Invariant: variables that are not named stay as they are, including where they come from; the undo puts back the
exact entries (a reference to a Secret stays a reference).
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from planc_tui.actions.base import Param, Plan, Receipt, Refusal
from planc_tui.actions.kube import Json, patch, patch_plan
from planc_tui.actions.template import differences
from planc_tui.actions.workload import (
    TemplateAction,
    containers_of,
    refuse_gone,
    replacing_pods,
    short,
    template_patch,
)
from planc_tui.core.table import Target

_NO_SOURCE = dict.fromkeys(("configMapKeyRef", "secretKeyRef", "fieldRef", "resourceFieldRef", "fileKeyRef"))
_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]*\Z")


class SetEnv(TemplateAction):
    """`kubectl set env` with the blast radius told first."""

    id = "set-env"
    title = "Set environment"
    key = "e"
    params = (
        Param("env", "NAME=value NAME2=value, NAME- removes", "pairs"),
        Param("container", "container", "choice", help="empty: every container"),
    )
    checked = "names are valid, something changes; same uid and spec; dry run; permission to patch"
    undone = "the entries before, references included"

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        obj = seen["object"]
        chosen = containers_of(obj, args.get("container", ""), init=True)
        entries = wanted_entries(args)
        reason = refuse_gone(target, obj)
        if reason or isinstance(chosen, str) or isinstance(entries, str):
            return Refusal(reason or str(chosen if isinstance(chosen, str) else entries))
        after = _applied(obj, {c["name"] for c in chosen}, entries)
        changes = differences(obj["spec"]["template"], after)
        if not changes:
            return Refusal("the variables have these values already")
        words = ["set", "env", short(target), *_words(entries)]
        if args.get("container"):
            words.append(f"--containers={args['container']}")
        body = template_patch(obj, [_env_patch(one["name"], entries, _order(one, entries)) for one in chosen])
        request = patch(target.kind, target.namespace, target.name, body)
        return replace(
            replacing_pods(seen, patch_plan(self, seen, target, request, changes, words)),
            undo="the variables as they were; replaces the pods once more",
            payload={"container": args.get("container", ""), "undo": _before(chosen, entries)},
        )

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        return "restore-env", plan.targets[0], {"entries": json.dumps(plan.payload["undo"])}


class RestoreEnv(TemplateAction):
    """Put back the entries that a set-env replaced."""

    id = "restore-env"
    title = "Restore environment"
    kinds = ()
    checked = "same as set environment"
    undone = "set environment again"

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        obj = seen["object"]
        gone = refuse_gone(target, obj)
        if gone:
            return Refusal(gone)
        wanted: dict[str, Json] = json.loads(args["entries"])
        known = {container["name"] for container in containers_of(obj, "", init=True) if isinstance(container, dict)}
        lost = sorted(set(wanted) - known)
        if lost:
            return Refusal(f"there is no container {lost[0]!r} any more: nothing to restore there")
        body = template_patch(obj, _restored(wanted))
        after = obj["spec"]["template"]
        for name, kept in wanted.items():
            after = _applied({"spec": {"template": after}}, {name}, kept["env"])
        changes = differences(obj["spec"]["template"], after)
        if not changes:
            return Refusal("the variables have their earlier values already")
        request = patch(target.kind, target.namespace, target.name, body)
        return replacing_pods(
            seen, patch_plan(self, seen, target, request, changes, ("patch", short(target), "-p", json.dumps(body)))
        )


def wanted_entries(args: Mapping[str, str]) -> list[Json] | str:
    """Patch entries from `A=1 B=2 C-`, or what is wrong with it.

    >>> wanted_entries({"env": "A=1 C-"})
    [{'name': 'A', 'value': '1', 'valueFrom': None}, {'name': 'C', '$patch': 'delete'}]
    >>> wanted_entries({"env": "1A=x"})
    "'1A' is no variable name: use letters, digits, - _ . and do not start with a digit"
    """
    entries: dict[str, Json] = {}
    for word in split_pairs(args.get("env", "")):
        name, equals, value = word.partition("=")
        removes = not equals and word.endswith("-")
        name = word[:-1] if removes else name
        if not equals and not removes:
            return f"{word!r} sets nothing: write NAME=value, or NAME- to remove"
        if not _NAME.match(name):
            return f"{name!r} is no variable name: use letters, digits, - _ . and do not start with a digit"
        if name in entries:
            return f"{name} is named twice"
        entries[name] = (
            {"name": name, "$patch": "delete"} if removes else {"name": name, "value": value, "valueFrom": None}
        )
    return list(entries.values()) or "name at least one variable: NAME=value"


def split_pairs(text: str) -> list[str]:
    """Words of a line in which quotes keep spaces together.

    >>> split_pairs("A=1 B='x y'")
    ['A=1', 'B=x y']
    """
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _applied(obj: Json, names: set[str], entries: list[Json]) -> Json:
    template: Json = json.loads(json.dumps(obj["spec"]["template"]))
    spec = template["spec"]
    for container in (*spec["containers"], *(spec.get("initContainers") or ())):
        if container["name"] not in names:
            continue
        env = {entry["name"]: entry for entry in container.get("env") or []}
        for entry in entries:
            env.pop(entry["name"], None) if "$patch" in entry else env.update({entry["name"]: _plain(entry)})
        container["env"] = list(env.values())
    return template


def _plain(entry: Json) -> Json:
    return {key: value for key, value in entry.items() if value is not None}


def _before(containers: list[Json], entries: list[Json]) -> dict[str, Json]:
    """For each container what undo needs: the old entries or a removal, and their order, because a variable can only
    refer to those before it."""
    named = [entry["name"] for entry in entries]
    result: dict[str, Json] = {}
    for container in containers:
        old = {entry["name"]: entry for entry in container.get("env") or []}
        env = [old.get(name, {"name": name, "$patch": "delete"}) for name in named]
        result[container["name"]] = {"env": env, "order": list(old)}
    return result


def _restored(wanted: Mapping[str, Json]) -> list[Json]:
    return [_env_patch(name, [_exact(entry) for entry in kept["env"]], kept["order"]) for name, kept in wanted.items()]


def _order(container: Json, entries: list[Json]) -> list[str]:
    """Names as they stand after the change: those of before in their order, then the new ones."""
    removed = {entry["name"] for entry in entries if "$patch" in entry}
    names = [entry["name"] for entry in (*(container.get("env") or ()), *entries)]
    return [name for name in dict.fromkeys(names) if name not in removed]


def _env_patch(name: str, entries: list[Json], order: list[str]) -> Json:
    """Without an order the server puts new variables first, where they cannot refer to the others."""
    place = {variable: number for number, variable in enumerate(order)}
    env = sorted(entries, key=lambda entry: place.get(entry["name"], len(place)))
    return {"name": name, "$setElementOrder/env": [{"name": variable} for variable in order], "env": env}


def _exact(entry: Json) -> Json:
    """A patch entry after which the variable is this one, whatever it was."""
    if "$patch" in entry:
        return entry
    if "valueFrom" in entry:
        return {"name": entry["name"], "value": None, "valueFrom": {**_NO_SOURCE, **entry["valueFrom"]}}
    return {"name": entry["name"], "value": entry.get("value", ""), "valueFrom": None}


def _words(entries: list[Json]) -> list[str]:
    return [f"{entry['name']}-" if "$patch" in entry else f"{entry['name']}={entry['value']}" for entry in entries]
