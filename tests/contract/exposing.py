"""Gives a real server on loopback a Service of the test cluster, so that the API server's proxy leads to it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from planc_tui.backends.kubernetes.transport import ApiPort
from planc_tui.core.ports import NotFound
from tests.systems_kit import Relay


def own_address() -> str:
    """An address of this machine that is not loopback, which Kubernetes refuses for endpoints; "" without one."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return ""
        found = str(probe.getsockname()[0])
    return "" if found.startswith("127.") else found


@contextmanager
def exposing(port: ApiPort, space: str, target: int) -> Iterator[str]:
    """The name of a Service whose port `web` leads to `target` on loopback, where Kubernetes lets no Service go.

    The API server's proxy goes to addresses of pods alone, so a pod that is never started lends its name."""
    address = own_address()
    if not address:
        pytest.skip("a Service needs an address of this machine beside loopback")
    relay = Relay(("127.0.0.1", target), address)
    name = f"contract-{uuid.uuid4().hex[:8]}"
    core, slices = f"/api/v1/namespaces/{space}", f"/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices"
    web = {"name": "web", "port": relay.port, "protocol": "TCP"}
    reference = {"kind": "Pod", "name": name, "namespace": space}
    gated = {"schedulingGates": [{"name": "planc/contract"}], "containers": [{"name": "web", "image": "web"}]}
    made: list[tuple[str, dict[str, Any]]] = [
        (f"{core}/pods", {"kind": "Pod", "spec": gated}),
        (f"{core}/services", {"kind": "Service", "spec": {"ports": [{"name": "web", "port": 9090}]}}),
        (slices, {"kind": "EndpointSlice", "addressType": "IPv4", "ports": [web],
                  "endpoints": [{"addresses": [address], "targetRef": reference, "conditions": {"ready": True}}]}),
    ]  # fmt: skip  # rows as a person reads them
    try:
        for path, body in made:
            labels = {"kubernetes.io/service-name": name}
            body |= {"apiVersion": path[1:].split("/namespaces")[0].removeprefix("api/").removeprefix("apis/")}
            port.request("POST", path, body=json.dumps({**body, "metadata": {"name": name, "labels": labels}}).encode())
        status = json.dumps({"status": {"podIP": address, "podIPs": [{"ip": address}]}}).encode()
        patch = "application/merge-patch+json"
        port.request("PATCH", f"{core}/pods/{name}/status", body=status, content_type=patch)
        yield name
    finally:
        for path, _ in reversed(made):
            with suppress(NotFound):
                port.request("DELETE", f"{path}/{name}", query={"gracePeriodSeconds": "0"})
        relay.close()
