"""Ways to a system that runs in the cluster or beside it: directly, by port-forward, or by the API server's proxy.

Invariant: a broken way is closed and built anew at the next use, so a pod that was replaced is found again; nothing
is opened before it is needed.
"""

from __future__ import annotations

import re
from typing import Literal, Protocol
from urllib.parse import quote

import msgspec

from planc_tui.core.ports import BadAnswer, ClusterPort, Forward, NotConfigured, NotFound, PortError, Unreachable

_VIA = re.compile(r"(pod|svc|service)/([a-z0-9](?:[-a-z0-9.]*[a-z0-9])?):([a-z0-9-]+)")


class Via(msgspec.Struct, frozen=True):
    """A way through the cluster, as the playbook writes it. port: number, or a Service port's name."""

    kind: Literal["pod", "service"]
    name: str
    port: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}:{self.port}"


def parse_via(text: str) -> Via:
    """Read `pod/NAME:PORT` or `service/NAME:PORT` (or `svc/`). Raises NotConfigured for anything else.

    >>> parse_via("pod/postgres-0:5432")
    Via(kind='pod', name='postgres-0', port='5432')
    >>> str(parse_via("svc/alertmanager:9093"))
    'service/alertmanager:9093'
    """
    found = _VIA.fullmatch(text)
    if found is None or (found[1] == "pod" and not found[3].isdecimal()):
        raise NotConfigured(f"cannot read via: {text}", hint="write via: pod/NAME:PORT or via: service/NAME:PORT")
    return Via("pod" if found[1] == "pod" else "service", found[2], found[3])


class Address(msgspec.Struct, frozen=True):
    """Where to connect to. name: the host that certificates and password files know it by."""

    host: str
    port: int
    name: str


class Route(Protocol):
    """A way to a TCP port."""

    @property
    def label(self) -> str:
        """The way in words for messages."""
        ...

    def address(self) -> Address:
        """Where to connect now; builds the way when there is none. Raises PortError."""
        ...

    def lost(self) -> str:
        """The connection broke: take the way down. Returns what is known of why, may be empty."""
        ...

    def close(self) -> None:
        """Take the way down; never blocks."""
        ...


class Direct:
    """A host and port that this machine reaches itself."""

    def __init__(self, host: str, port: int) -> None:
        self._address = Address(host, port, host)

    @property
    def label(self) -> str:
        return f"{self._address.host}:{self._address.port}"

    def address(self) -> Address:
        return self._address

    def lost(self) -> str:
        return ""

    def close(self) -> None:
        """Nothing to take down."""


class Tunnel:
    """A port-forward through the API server to a pod, or to a ready pod behind a Service."""

    def __init__(self, cluster: ClusterPort, namespace: str, via: Via) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._via = via
        self._forward: Forward | None = None

    @property
    def label(self) -> str:
        return f"{self._namespace}/{self._via}"

    def address(self) -> Address:
        if self._forward is None:
            if self._via.kind == "pod":
                pod, port = self._via.name, int(self._via.port)
            else:
                pod, port = pod_of_service(self._cluster, self._namespace, self._via)
            self._forward = self._cluster.forward(self._namespace, pod, port)
        return Address("127.0.0.1", self._forward.port, self._via.name)

    def lost(self) -> str:
        reason = "" if self._forward is None else self._forward.last_error
        self.close()
        return reason

    def close(self) -> None:
        forward, self._forward = self._forward, None
        if forward is not None:
            forward.close()


class _Port(msgspec.Struct):
    port: int = 0
    name: str = ""
    target: int | str = msgspec.field(default=0, name="targetPort")


class _ServiceSpec(msgspec.Struct):
    selector: dict[str, str] | None = None
    ports: list[_Port] | None = None


class _Service(msgspec.Struct):
    spec: _ServiceSpec


class _Meta(msgspec.Struct):
    name: str = ""
    deletion: str | None = msgspec.field(default=None, name="deletionTimestamp")


class _ContainerPort(msgspec.Struct):
    name: str = ""
    number: int = msgspec.field(default=0, name="containerPort")


class _Container(msgspec.Struct):
    ports: list[_ContainerPort] | None = None


class _PodSpec(msgspec.Struct):
    containers: list[_Container] | None = None


class _Condition(msgspec.Struct):
    type: str = ""
    status: str = ""


class _PodStatus(msgspec.Struct):
    conditions: list[_Condition] | None = None


class _Pod(msgspec.Struct):
    metadata: _Meta
    spec: _PodSpec = msgspec.field(default_factory=_PodSpec)
    status: _PodStatus = msgspec.field(default_factory=_PodStatus)

    @property
    def ready(self) -> bool:
        """Takes traffic and is not on its way out."""
        conditions = self.status.conditions or ()
        return self.metadata.deletion is None and any(
            condition.type == "Ready" and condition.status == "True" for condition in conditions
        )


class _Pods(msgspec.Struct):
    items: list[_Pod] | None = None


def pod_of_service(cluster: ClusterPort, namespace: str, via: Via) -> tuple[str, int]:
    """A ready pod behind a Service and the port of that pod, as `kubectl port-forward service/...` picks them.

    Raises PortError.
    """
    base = f"/api/v1/namespaces/{quote(namespace, safe='')}"
    label = f"service/{via.name}"
    try:
        service = _decode(cluster.request("GET", f"{base}/services/{quote(via.name, safe='')}", source="reach"))
        if not service.spec.selector:
            raise NotConfigured(f"{label} has no selector", hint="give a pod: via: pod/NAME:PORT")
        port = next((p for p in service.spec.ports or () if via.port in (str(p.port), p.name)), None)
        if port is None:
            raise NotConfigured(f"{label} has no port {via.port}")
        selector = ",".join(f"{key}={value}" for key, value in sorted(service.spec.selector.items()))
        raw = cluster.request("GET", f"{base}/pods", query={"labelSelector": selector}, source="reach")
        pods = msgspec.json.decode(raw, type=_Pods).items or []
    except NotFound:
        raise Unreachable(f"{label} does not exist in {namespace}") from None
    except msgspec.DecodeError:
        raise BadAnswer(f"the API server's answer about {label} is not readable") from None
    ready = [pod for pod in pods if pod.ready]
    if not ready:
        raise Unreachable(f"{label} has no ready pod")
    return ready[0].metadata.name, _target_port(ready[0], port, label)


def _decode(raw: bytes) -> _Service:
    return msgspec.json.decode(raw, type=_Service)


def _target_port(pod: _Pod, port: _Port, label: str) -> int:
    target = port.target or port.port
    if isinstance(target, int):
        return target
    if target.isdecimal():
        return int(target)
    for container in pod.spec.containers or ():
        for open_port in container.ports or ():
            if open_port.name == target:
                return open_port.number
    raise Unreachable(f"{label}: pod {pod.metadata.name} has no port named {target}")


def service_proxy_path(namespace: str, via: Via, scheme: str) -> str:
    """API path that proxies HTTP to a Service (or a pod).

    >>> service_proxy_path("ns", Via("service", "prometheus", "9090"), "http")
    '/api/v1/namespaces/ns/services/prometheus:9090/proxy'
    """
    prefix = "https:" if scheme == "https" else ""
    target = quote(f"{prefix}{via.name}:{via.port}", safe=":")
    return f"/api/v1/namespaces/{quote(namespace, safe='')}/{via.kind}s/{target}/proxy"


def broken(route: Route, error: PortError) -> PortError:
    """Take the way down after `error`; where the way itself knows why, that becomes the message."""
    reason = route.lost()
    return Unreachable(f"port-forward to {route.label}: {reason}", hint=error.hint) if reason else error
