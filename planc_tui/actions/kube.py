"""What the actions on Kubernetes objects share: paths, reads, and requests that are sent in order.

Invariant: objects are read and sent as plain JSON, so no field that planc does not know is ever lost; every write is
a patch, an eviction, or a delete with a uid precondition, and names planc as its field manager.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import quote, urlencode

import msgspec

from planc_tui.actions.base import Access, Action, ApiRequest, Change, Guard, Plan, Ports, Receipt, Report, Stopped
from planc_tui.actions.executor import send
from planc_tui.core.ports import BadAnswer, ClusterPort, PortError
from planc_tui.core.table import Target

MANAGER = "planc"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

Json = dict[str, Any]

_KINDS: dict[str, tuple[str, str, str]] = {
    # kind: (path prefix, API group, plural)
    "Pod": ("/api/v1", "", "pods"),
    "Node": ("/api/v1", "", "nodes"),
    "Service": ("/api/v1", "", "services"),
    "ConfigMap": ("/api/v1", "", "configmaps"),
    "Secret": ("/api/v1", "", "secrets"),
    "Event": ("/api/v1", "", "events"),
    "Deployment": ("/apis/apps/v1", "apps", "deployments"),
    "StatefulSet": ("/apis/apps/v1", "apps", "statefulsets"),
    "DaemonSet": ("/apis/apps/v1", "apps", "daemonsets"),
    "ReplicaSet": ("/apis/apps/v1", "apps", "replicasets"),
    "ControllerRevision": ("/apis/apps/v1", "apps", "controllerrevisions"),
    "HorizontalPodAutoscaler": ("/apis/autoscaling/v2", "autoscaling", "horizontalpodautoscalers"),
    "Ingress": ("/apis/networking.k8s.io/v1", "networking.k8s.io", "ingresses"),
    "PodDisruptionBudget": ("/apis/policy/v1", "policy", "poddisruptionbudgets"),
}


def path_of(kind: str, namespace: str, name: str = "", subresource: str = "") -> str:
    """API path of an object, or of the list when `name` is empty.

    >>> path_of("Deployment", "shop", "api", "scale")
    '/apis/apps/v1/namespaces/shop/deployments/api/scale'
    """
    prefix, _, plural = _KINDS[kind]
    parts = [prefix]
    if namespace and kind != "Node":
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(plural)
    parts += [quote(part, safe="") for part in (name, subresource) if part]
    return "/".join(parts)


def access(verb: str, kind: str, namespace: str, name: str = "", subresource: str = "") -> Access:
    """The permission that `verb` on this object needs."""
    _, group, plural = _KINDS[kind]
    return Access(verb, plural, group, subresource, "" if kind == "Node" else namespace, name)


def needed(action: Action, target: Target) -> tuple[Access, ...]:
    """The permissions that the action needs on this target whatever its values."""
    space = target.namespace
    return tuple(
        access(need.verb, need.kind, space, "", need.subresource)
        if need.kind
        else access(need.verb, target.kind, space, target.name, need.subresource)
        for need in action.needs
    )


def get(port: ClusterPort, kind: str, namespace: str, name: str) -> Json:
    """One object as JSON. Raises PortError; BadAnswer when it is no object."""
    return _decode(port.request("GET", path_of(kind, namespace, name), source="actions"), f"{kind.lower()} {name}")


def list_all(port: ClusterPort, kind: str, namespace: str, **query: str) -> list[Json]:
    """Every object of a list, page by page. query: labelSelector, fieldSelector. Raises PortError."""
    items: list[Json] = []
    token = ""
    while True:
        asked = {"limit": "500", **query, **({"continue": token} if token else {})}
        answer = port.request("GET", path_of(kind, namespace), query=asked, source="actions", timeout=30.0)
        page = _decode(answer, f"list of {_KINDS[kind][2]}")
        items += page.get("items") or []
        token = (page.get("metadata") or {}).get("continue") or ""
        if not token:
            return items


def _decode(answer: bytes, what: str) -> Json:
    try:
        found = msgspec.json.decode(answer)
    except msgspec.MsgspecError:
        found = None
    if not isinstance(found, dict):
        raise BadAnswer(f"the answer about the {what} could not be read")
    return cast(Json, found)


def guard(obj: Json, kind: str, *, exact: bool = False) -> Guard:
    """A guard on the object as it was read. exact: any change of it voids the plan, not only one of its spec."""
    meta = obj["metadata"]
    return Guard(
        path_of(kind, meta.get("namespace", ""), meta["name"]),
        meta["uid"],
        generation=int(meta.get("generation") or 0),
        resource_version=meta["resourceVersion"] if exact else "",
        name=f"{kind.lower()}/{meta['name']}",
    )


def patch(
    kind: str,
    namespace: str,
    name: str,
    body: object,
    *,
    style: str = STRATEGIC,
    subresource: str = "",
    label: str = "",
) -> ApiRequest:
    """A PATCH with planc as field manager."""
    return ApiRequest(
        "PATCH",
        path_of(kind, namespace, name, subresource),
        msgspec.json.encode(body),
        style,
        {"fieldManager": MANAGER},
        label or f"{kind.lower()}/{name}",
    )


def patch_plan(
    action: Action,
    seen: Mapping[str, Any],
    target: Target,
    request: ApiRequest,
    changes: tuple[Change, ...],
    words: Sequence[str],
) -> Plan:
    """What every plan of one patch has; `replace` adds what one has of its own.

    seen: `object` as it was read and `context`. words: the kubectl command behind the namespace."""
    return Plan(
        action=action.id,
        title=action.title,
        context=seen["context"],
        namespace=target.namespace,
        targets=(target,),
        changes=changes,
        risk=action.risk,
        equivalents=(kubectl(seen["context"], target.namespace, *words),),
        confirm_word=target.name,
        access=needed(action, target),
        requests=(request,),
        guards=(guard(seen["object"], target.kind),),
    )


def selector_text(selector: Mapping[str, Any]) -> str:
    """A LabelSelector as the text of a labelSelector query.

    >>> terms = [{"key": "t", "operator": "In", "values": ["a", "b"]}]
    >>> selector_text({"matchLabels": {"app": "x"}, "matchExpressions": terms})
    'app=x,t in (a,b)'
    """
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for term in selector.get("matchExpressions") or []:
        key, operator, values = term["key"], term["operator"], ",".join(term.get("values") or [])
        if operator in ("In", "NotIn"):
            parts.append(f"{key} {operator.lower()} ({values})")
        else:
            parts.append(key if operator == "Exists" else f"!{key}")
    return ",".join(parts)


def query_text(query: Mapping[str, str]) -> str:
    """Query part of a URL, for commands that people paste."""
    return urlencode(query)


class ApiAction(Action):
    """An action whose whole effect is the plan's requests, sent in order."""

    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        """Send each request once. A failure after the first says which were done. Raises PortError, Stopped."""
        done: list[str] = []
        for request in plan.requests:
            try:
                report(f"{len(done)}/{len(plan.requests)} {request.label}")
                send(ports, request)
            except (PortError, Stopped) as error:
                if done:
                    left = len(plan.requests) - len(done)
                    text = f"done: {', '.join(done)}; not done: {left} of {len(plan.requests)}"
                    if isinstance(error, Stopped):
                        raise Stopped(text) from error
                    error.message = f"{error.message} ({text})"
                raise
            done.append(request.label)
        return Receipt({"done": done})


def kubectl(context: str, namespace: str, *words: str) -> str:
    """The kubectl command that does the same, quoted so that it can be pasted.

    >>> kubectl("prod", "shop", "scale", "deploy/api", "--replicas=3")
    'kubectl --context prod -n shop scale deploy/api --replicas=3'
    """
    scope = ["-n", namespace] if namespace else []
    return shlex.join(["kubectl", "--context", context, *scope, *words])


def api_version(kind: str) -> str:
    """apiVersion of a kind, as a manifest writes it.

    >>> api_version("Deployment"), api_version("Secret")
    ('apps/v1', 'v1')
    """
    return _KINDS[kind][0].removeprefix("/apis/").removeprefix("/api/")
