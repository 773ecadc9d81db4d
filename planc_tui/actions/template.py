"""What differs between two pod templates, in the lines of a confirm card.

Invariant: a secret's value cannot appear, because templates refer to secrets by name; every difference gives a line,
even one in a field that planc knows nothing about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from planc_tui.actions.base import Change
from planc_tui.core.text import clean

UNSET = "(unset)"


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """One line per image, variable, resource, annotation, and per other part that differs.

    >>> a = {"spec": {"containers": [{"name": "c", "image": "i:2", "env": [{"name": "A", "value": "1"}]}]}}
    >>> b = {"spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    >>> [(c.label, c.before, c.after) for c in differences(a, b)]
    [('c image', 'i:2', 'i:1'), ('c env A', '1', '(unset)')]
    """
    return tuple(_walk(before, after))


def contradiction(template: Mapping[str, Any], changes: Iterable[Change]) -> str:
    """What a template says otherwise than the lines of a card wanted it; "" when all of them hold.

    >>> now = {"spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    >>> contradiction(now, [Change("c image", "i:1", "i:2")]), contradiction(now, [Change("c image", "i:2", "i:1")])
    ('c image is i:1, not i:2', '')
    """
    names = [_named((template.get("spec") or {}).get(part)) for part in ("initContainers", "containers")]
    bare = {"spec": {"containers": [{"name": name} for name in names[1]]}}
    bare["spec"]["initContainers"] = [{"name": name} for name in names[0]]
    now = {line.label: line.after for line in _walk(bare, template)}
    now |= {f"container {name}": "yes" for part in names for name in part}
    for change in changes:
        found = now.get(change.label, "no" if change.label.startswith("container ") else UNSET)
        if found != change.after:
            return f"{change.label} is {found}, not {change.after}"
    return ""


def _walk(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    spec_before, spec_after = before.get("spec") or {}, after.get("spec") or {}
    for part in ("initContainers", "containers"):
        old, new = _named(spec_before.get(part)), _named(spec_after.get(part))
        for name in _keys(old, new):
            if name not in old or name not in new:
                yield Change(f"container {name}", *("yes" if name in side else "no" for side in (old, new)))
                continue
            yield from _container(name, old[name], new[name])
    for field in _keys(spec_before, spec_after):
        if field not in ("containers", "initContainers"):
            yield from _line(field, spec_before.get(field), spec_after.get(field))
    for part in ("labels", "annotations"):
        old = (before.get("metadata") or {}).get(part) or {}
        new = (after.get("metadata") or {}).get(part) or {}
        for key in _keys(old, new):
            if key != "pod-template-hash":
                yield from _line(f"{part[:-1]} {key}", old.get(key), new.get(key))


def _container(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    yield from _line(f"{name} image", old.get("image"), new.get("image"))
    env_old, env_new = env_values(old), env_values(new)
    for key in _keys(env_old, env_new):
        yield from _line(f"{name} env {key}", env_old.get(key), env_new.get(key))
    for kind in ("requests", "limits"):
        first = (old.get("resources") or {}).get(kind) or {}
        second = (new.get("resources") or {}).get(kind) or {}
        for key in _keys(first, second):
            yield from _line(f"{name} {kind} {key}", first.get(key), second.get(key))
    for field in _keys(old, new):
        if field not in ("name", "image", "env", "resources"):
            yield from _line(f"{name} {field}", old.get(field), new.get(field))


def env_values(container: Mapping[str, Any]) -> dict[str, str]:
    """Variables of a container as text; one from a Secret or ConfigMap shows where it comes from."""
    values: dict[str, str] = {}
    for entry in container.get("env") or []:
        source = entry.get("valueFrom")
        values[entry["name"]] = _source(source) if source else str(entry.get("value", ""))
    return values


def _source(source: Mapping[str, Any]) -> str:
    for kind, reference in source.items():
        where = reference.get("name") or reference.get("fieldPath") or reference.get("resource") or ""
        return f"(from {kind} {where}{'/' + reference['key'] if reference.get('key') else ''})"
    return "(from nothing)"


def _named(containers: Any) -> dict[str, Mapping[str, Any]]:
    return {container["name"]: container for container in containers or []}


def _keys(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys([*old, *new]))


def _line(label: str, old: Any, new: Any) -> Iterator[Change]:
    if old != new:
        yield Change(clean(label), _text(old), _text(new))


def _text(value: Any) -> str:
    if value is None:
        return UNSET
    return clean(value if isinstance(value, str) else repr(value), 120)
