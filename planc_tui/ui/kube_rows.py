"""A Kubernetes object as lines that say first what one wants to know first.

Invariant: pure; every line is cleaned, and a part that is missing or of another shape is a dash, never an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from planc_tui.core.age import coarse_age
from planc_tui.core.table import Tone
from planc_tui.core.text import clean
from planc_tui.ui.kube_objects import Object
from planc_tui.ui.screens.lines_screen import Row

# Conditions that say that something is wrong when they hold.
_BAD_WHEN_TRUE = frozenset(
    (
        "MemoryPressure",
        "DiskPressure",
        "PIDPressure",
        "NetworkUnavailable",
        "ReplicaFailure",
        "DisruptionTarget",
        "ScalingLimited",
    )
)


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
    for kind, key in _CONTAINERS:
        for container in spec.get(key) or ():
            rows += _container_rows(kind, container, states.get(container.get("name"), {}), now)
    rows += _condition_rows(status.get("conditions") or (), now)
    labels = meta.get("labels") or {}
    if labels:
        rows += [("", Tone.DIM), ("labels", Tone.ACCENT)]
        rows += [(f"  {clean(str(key))}={clean(str(value))}", Tone.DIM) for key, value in sorted(labels.items())]
    return rows


_CONTAINERS = (
    ("init container", "initContainers"),
    ("container", "containers"),
    ("debug container", "ephemeralContainers"),
)


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
    return rows + _image_rows(container)


def _image_rows(container: Object) -> list[Row]:
    """Image, resources and ports of a container."""
    rows = [_field("  image", container.get("image"))]
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
        kind, value = clean(str(one.get("type"))), one.get("status")
        good = value == ("False" if kind in _BAD_WHEN_TRUE else "True")
        words = "" if good else f"{one.get('reason') or ''} {one.get('message') or ''}".strip()
        since = _age(one.get("lastTransitionTime"), now)
        glyph = "●" if good else "▲" if value in ("True", "False") else "?"
        line = f"  {glyph} {kind:<28}{clean(str(value)):<8}{since:>5}  {clean(words)}"
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


def status_rows(found: Object, now: float) -> list[Row]:
    """What one wants to know of a node, a workload or an autoscaler first. now: epoch seconds."""
    meta, status, spec = _get(found, "metadata") or {}, _get(found, "status") or {}, _get(found, "spec") or {}
    rows = [_field("age", _age(meta.get("creationTimestamp"), now)), _field("uid", meta.get("uid"), Tone.DIM)]
    if meta.get("deletionTimestamp"):
        rows.insert(0, _field("terminating", f"since {_age(meta['deletionTimestamp'], now)}", Tone.WARN))
    rows += _node_rows(spec, status) if "nodeInfo" in status else _workload_rows(spec, status)
    for container in _get(spec, "template", "spec", "containers") or ():
        rows += [("", Tone.DIM), (f"container {clean(str(container.get('name', '')))}", Tone.ACCENT)]
        rows += _image_rows(container)
    rows += _condition_rows(status.get("conditions") or (), now)
    labels = meta.get("labels") or {}
    if labels:
        rows += [("", Tone.DIM), ("labels", Tone.ACCENT)]
        rows += [(f"  {clean(str(key))}={clean(str(value))}", Tone.DIM) for key, value in sorted(labels.items())]
    return rows


def _node_rows(spec: Object, status: Object) -> list[Row]:
    """Whether it takes pods, what it has, what it runs."""
    info = status.get("nodeInfo") or {}
    closed = bool(spec.get("unschedulable"))
    rows = [_field("schedulable", "no, cordoned" if closed else "yes", Tone.WARN if closed else Tone.NORMAL)]
    for taint in spec.get("taints") or ():
        value = f"={taint['value']}" if taint.get("value") else ""
        rows.append(_field("taint", f"{taint.get('key')}{value}:{taint.get('effect')}", Tone.WARN))
    for resource in ("cpu", "memory", "pods"):
        amount = f"{_get(status, 'allocatable', resource) or '?'} of {_get(status, 'capacity', resource) or '?'}"
        rows.append(_field(resource, f"{amount} for pods"))
    return [
        *rows,
        *(_field(str(one.get("type", "")), one.get("address")) for one in status.get("addresses") or ()),
        _field("kubelet", info.get("kubeletVersion")),
        _field("system", f"{info.get('osImage') or ''} {info.get('kernelVersion') or ''}".strip()),
        _field("runtime", info.get("containerRuntimeVersion")),
    ]


_COUNTS = (
    ("wanted", ("replicas", "desiredNumberScheduled")),
    ("updated", ("updatedReplicas", "updatedNumberScheduled")),
    ("ready", ("readyReplicas", "numberReady")),
    ("available", ("availableReplicas", "numberAvailable")),
)


def _workload_rows(spec: Object, status: Object) -> list[Row]:
    """How many there are of how many, how they are replaced, and which pods they are."""
    rows: list[Row] = []
    wanted = spec.get("replicas", status.get("desiredNumberScheduled"))
    if wanted is not None:
        for label, names in _COUNTS:
            count = wanted if label == "wanted" else next((status[n] for n in names if status.get(n) is not None), 0)
            rows.append(_field(label, count, Tone.NORMAL if count == wanted else Tone.WARN))
    strategy = spec.get("strategy") or spec.get("updateStrategy") or {}
    if strategy:
        limits = strategy.get("rollingUpdate") or {}
        words = ", ".join(f"{key} {value}" for key, value in sorted(limits.items()))
        rows.append(_field("strategy", f"{strategy.get('type', '')} {words}".strip()))
    if spec.get("paused"):
        rows.append(_field("paused", "yes", Tone.WARN))
    selector = _get(spec, "selector", "matchLabels") or {}
    if selector:
        rows.append(_field("selector", ",".join(f"{key}={value}" for key, value in sorted(selector.items()))))
    return rows
