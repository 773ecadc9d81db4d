"""Reads one Kubernetes object for the detail screens, and turns it into harmless lines.

Invariant: the values of a Secret are never shown; every line is cleaned; what is pure here stays pure, the requests
are in `fetch` and `fetch_events` alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from planc_tui.core.age import coarse_age
from planc_tui.core.ports import BadAnswer, ClusterPort
from planc_tui.core.table import Target, Tone
from planc_tui.core.text import clean, clean_block
from planc_tui.ui.screens.lines_screen import Row

DEADLINE = 8.0
_SOURCE = "details"
_PATHS = {
    "Pod": ("api/v1", "pods"),
    "Node": ("api/v1", "nodes"),
    "Event": ("api/v1", "events"),
    "Service": ("api/v1", "services"),
    "Secret": ("api/v1", "secrets"),
    "ConfigMap": ("api/v1", "configmaps"),
    "Deployment": ("apis/apps/v1", "deployments"),
    "StatefulSet": ("apis/apps/v1", "statefulsets"),
    "DaemonSet": ("apis/apps/v1", "daemonsets"),
    "ReplicaSet": ("apis/apps/v1", "replicasets"),
    "HorizontalPodAutoscaler": ("apis/autoscaling/v2", "horizontalpodautoscalers"),
    "PodDisruptionBudget": ("apis/policy/v1", "poddisruptionbudgets"),
    "Ingress": ("apis/networking.k8s.io/v1", "ingresses"),
    "Job": ("apis/batch/v1", "jobs"),
    "CronJob": ("apis/batch/v1", "cronjobs"),
}
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
Object = Mapping[str, Any]


def is_kubernetes(target: Target) -> bool:
    """Whether the object can be read from the API server."""
    return target.kind in _PATHS


def path_of(target: Target) -> str:
    """API path of one object.

    >>> path_of(Target("Pod", "a", "ns"))
    '/api/v1/namespaces/ns/pods/a'
    """
    group, resource = _PATHS[target.kind]
    scope = f"/namespaces/{quote(target.namespace, safe='')}" if target.namespace else ""
    return f"/{group}{scope}/{resource}/{quote(target.name, safe='')}"


def fetch(port: ClusterPort, target: Target) -> Object:
    """The object as the server has it now. Raises PortError."""
    return _decoded(port.request("GET", path_of(target), timeout=DEADLINE, source=_SOURCE))


def fetch_events(port: ClusterPort, target: Target) -> Sequence[Object]:
    """Its events. Raises PortError."""
    scope = f"/namespaces/{quote(target.namespace, safe='')}" if target.namespace else ""
    selector = f"involvedObject.name={target.name},involvedObject.kind={target.kind}"
    answer = port.request(
        "GET",
        f"/api/v1{scope}/events",
        query={"fieldSelector": selector, "limit": "200"},
        timeout=DEADLINE,
        source=_SOURCE,
    )
    items = _decoded(answer).get("items")
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def fetch_namespaces(port: ClusterPort) -> tuple[str, ...]:
    """Names of all namespaces. Raises PortError."""
    query = {"limit": "1000"}
    answer = _decoded(port.request("GET", "/api/v1/namespaces", query=query, timeout=DEADLINE, source=_SOURCE))
    items = answer.get("items") or ()
    return tuple(sorted(clean(str(_get(item, "metadata", "name"))) for item in items))


def _decoded(answer: bytes) -> Object:
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BadAnswer("the answer is not the object that was asked for")
    return found


def yaml_rows(found: Object, managed_fields: bool) -> list[Row]:
    """The object as YAML, keys in the server's order."""
    import yaml  # takes a while to import, and only details need it

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    shown = presentable(found, managed_fields)
    text = yaml.dump(shown, Dumper=dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return [(line, Tone.NORMAL) for line in clean_block(text).rstrip().split("\n")]


def presentable(found: Object, managed_fields: bool) -> dict[str, Any]:
    """A copy without managed fields unless asked for, and without the values of a Secret."""
    shown = dict(found)
    metadata = dict(shown.get("metadata") or {})
    if not managed_fields:
        metadata.pop("managedFields", None)
    if shown.get("kind") == "Secret":
        annotations = dict(metadata.get("annotations") or {})
        if _LAST_APPLIED in annotations:
            annotations[_LAST_APPLIED] = "(hidden)"
            metadata["annotations"] = annotations
        for part in ("data", "stringData"):
            if isinstance(shown.get(part), dict):
                shown[part] = dict.fromkeys(shown[part], "(hidden)")
    shown["metadata"] = metadata
    return shown


def _get(found: Any, *path: str | int) -> Any:
    """A value deep inside, or None wherever the way ends."""
    for step in path:
        if isinstance(step, int):
            if not isinstance(found, list) or step >= len(found):
                return None
            found = found[step]
        elif isinstance(found, Mapping):
            found = found.get(step)
        else:
            return None
    return found


def _age(stamp: Any, now: float) -> str:
    try:
        return coarse_age(now - datetime.fromisoformat(str(stamp).replace("Z", "+00:00")).timestamp())
    except ValueError:
        return "?"


def _field(label: str, value: Any, tone: Tone = Tone.NORMAL) -> Row:
    return f"{label:<14}{clean(str(value)) if value not in (None, '') else '–'}", tone


def pod_rows(pod: Object, now: float) -> list[Row]:
    """What one wants to know of a pod first. now: epoch seconds."""
    meta, status, spec = _get(pod, "metadata") or {}, _get(pod, "status") or {}, _get(pod, "spec") or {}
    owner = _get(meta, "ownerReferences", 0) or {}
    rows = [
        _field("phase", status.get("phase"), Tone.NORMAL if status.get("phase") == "Running" else Tone.WARN),
        _field("node", spec.get("nodeName")),
        _field("address", status.get("podIP")),
        _field("age", _age(meta.get("creationTimestamp"), now)),
        _field("owner", f"{owner.get('kind', '')} {owner.get('name', '')}".strip()),
        _field("service acct", spec.get("serviceAccountName")),
        _field("QoS", status.get("qosClass")),
        _field("uid", meta.get("uid"), Tone.DIM),
    ]
    if meta.get("deletionTimestamp"):
        rows.insert(0, _field("terminating", f"since {_age(meta['deletionTimestamp'], now)}", Tone.WARN))
    if status.get("reason") or status.get("message"):
        rows.insert(0, _field("reason", f"{status.get('reason', '')} {status.get('message', '')}", Tone.CRIT))
    states = _states(status)
    for kind, key in (("init container", "initContainers"), ("container", "containers")):
        for container in spec.get(key) or ():
            rows += _container_rows(kind, container, states.get(container.get("name"), {}), now)
    rows += _condition_rows(status.get("conditions") or (), now)
    labels = meta.get("labels") or {}
    if labels:
        rows += [("", Tone.DIM), ("labels", Tone.ACCENT)]
        rows += [(f"  {clean(str(key))}={clean(str(value))}", Tone.DIM) for key, value in sorted(labels.items())]
    return rows


def _states(status: Object) -> dict[str, Object]:
    found: dict[str, Object] = {}
    for key in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
        for one in status.get(key) or ():
            found[str(one.get("name"))] = one
    return found


def _container_rows(kind: str, container: Object, state: Object, now: float) -> list[Row]:
    name = clean(str(container.get("name", "")))
    words, tone = _state_words(state.get("state") or {}, now)
    rows: list[Row] = [
        ("", Tone.DIM),
        (f"{kind} {name}", Tone.ACCENT),
        _field("  state", words, tone),
        _field("  ready", "yes" if state.get("ready") else "no", Tone.NORMAL if state.get("ready") else Tone.WARN),
        _field("  restarts", state.get("restartCount", 0)),
    ]
    if state.get("lastState"):
        words, tone = _state_words(state["lastState"], now)
        rows.append(_field("  last state", words, tone))
    rows.append(_field("  image", container.get("image")))
    requests, limits = _get(container, "resources", "requests") or {}, _get(container, "resources", "limits") or {}
    for resource in ("cpu", "memory"):
        amount = f"{requests.get(resource, 'none')} requested, limit {limits.get(resource, 'none')}"
        rows.append(_field(f"  {resource}", amount, Tone.NORMAL if limits.get(resource) else Tone.DIM))
    ports = ", ".join(f"{p.get('containerPort')}/{p.get('protocol', 'TCP')}" for p in container.get("ports") or ())
    if ports:
        rows.append(_field("  ports", ports))
    return rows


def _state_words(state: Object, now: float) -> tuple[str, Tone]:
    """One line for a container state, with how it ended where it did."""
    if running := state.get("running"):
        return f"running for {_age(_get(running, 'startedAt'), now)}", Tone.NORMAL
    if waiting := state.get("waiting"):
        reason, message = waiting.get("reason") or "waiting", waiting.get("message") or ""
        calm = reason in ("ContainerCreating", "PodInitializing")
        return f"waiting: {reason} {message}".strip(), Tone.WARN if calm else Tone.CRIT
    if ended := state.get("terminated"):
        code = ended.get("exitCode", "?")
        how = f"signal {ended['signal']}" if ended.get("signal") else f"exit code {code}"
        words = f"ended: {ended.get('reason') or ''} ({how}), {_age(ended.get('finishedAt'), now)} ago"
        return f"{words} {ended.get('message') or ''}".strip(), Tone.DIM if code == 0 else Tone.CRIT
    return "unknown", Tone.UNKNOWN


def _condition_rows(conditions: Sequence[Object], now: float) -> list[Row]:
    if not conditions:
        return []
    rows: list[Row] = [("", Tone.DIM), ("conditions", Tone.ACCENT)]
    for one in conditions:
        good = one.get("status") == "True"
        words = "" if good else f"{one.get('reason') or ''} {one.get('message') or ''}".strip()
        since = _age(one.get("lastTransitionTime"), now)
        line = f"  {'●' if good else '▲'} {clean(str(one.get('type'))):<28}{since:>5}  {clean(words)}"
        rows.append((line.rstrip(), Tone.DIM if good else Tone.WARN))
    return rows


def event_rows(events: Sequence[Object], now: float) -> list[Row]:
    """Events of one object, newest first."""

    def when(event: Object) -> str:
        return str(
            event.get("lastTimestamp")
            or _get(event, "series", "lastObservedTime")
            or event.get("eventTime")
            or _get(event, "metadata", "creationTimestamp")
            or ""
        )

    rows: list[Row] = []
    for event in sorted(events, key=when, reverse=True):
        count = event.get("count") or _get(event, "series", "count") or 1
        warning = event.get("type") == "Warning"
        line = f"{'▲' if warning else ' '} {_age(when(event), now):>4} ×{count:<4} {event.get('reason', '')}: "
        message = clean(str(event.get("message", "")))
        rows.append((clean(line) + message, Tone.WARN if warning else Tone.DIM))
    return rows or [("no events in the last hour or so", Tone.DIM)]
