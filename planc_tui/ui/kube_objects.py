"""Reads one Kubernetes object for the detail screens, and shows it as YAML.

Invariant: the values of a Secret are never shown; every line is cleaned; only what is named `fetch…` sends a request.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from planc_tui.core.ports import BadAnswer, ClusterPort
from planc_tui.core.table import Target, Tone
from planc_tui.core.text import clean, clean_block
from planc_tui.ui.screens.lines_screen import Row

DEADLINE = 8.0
_SOURCE = "details"
_PATHS = {
    "Pod": ("api/v1", "pods"),
    "Node": ("api/v1", "nodes"),
    "Namespace": ("api/v1", "namespaces"),
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
    return tuple(sorted(clean(str((item.get("metadata") or {}).get("name", ""))) for item in items))


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
