"""Objects as YAML that `kubectl apply` takes back.

Invariant: what only the server may set is removed, everything else stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from planc_tui.actions.kube import Json

_META = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink", "ownerReferences")
_ANNOTATIONS = ("kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision")
_SERVICE = ("clusterIP", "clusterIPs", "healthCheckNodePort", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")


def restorable(kind: str, obj: Mapping[str, Any]) -> bool:
    """Whether an object is the team's own: what the cluster makes by itself would only collide when restored."""
    name = obj["metadata"]["name"]
    if kind == "ConfigMap":
        return bool(name != "kube-root-ca.crt")
    if kind == "Secret":
        return obj.get("type") != "kubernetes.io/service-account-token"
    return True


def for_apply(kind: str, api_version: str, obj: Mapping[str, Any]) -> Json:
    """The object without what only the server sets.

    >>> service = {"metadata": {"name": "a", "uid": "u"}, "spec": {"clusterIP": "10.0.0.1"}, "status": {}}
    >>> for_apply("Service", "v1", service)
    {'apiVersion': 'v1', 'kind': 'Service', 'metadata': {'name': 'a'}, 'spec': {}}
    """
    metadata = {key: value for key, value in obj["metadata"].items() if key not in _META}
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key not in _ANNOTATIONS}
    metadata.pop("annotations", None)
    if annotations:
        metadata["annotations"] = annotations
    rest = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata", "status")}
    if kind == "Service" and isinstance(rest.get("spec"), dict) and rest["spec"].get("clusterIP") != "None":
        rest["spec"] = {key: value for key, value in rest["spec"].items() if key not in _SERVICE}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def as_yaml(objects: Iterable[Json]) -> bytes:
    """Objects as one YAML stream."""
    text: str = yaml.safe_dump_all(objects, sort_keys=False, allow_unicode=True, default_flow_style=False)
    return text.encode()
