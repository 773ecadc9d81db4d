"""Builds and reads API paths.

Invariant: every part of a built path is percent-encoded, so that no name can reach another object.
"""

from __future__ import annotations

from urllib.parse import quote

from msgspec import Struct


class ApiPath(Struct, frozen=True):
    """What a path asks for. Empty where the path does not say."""

    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def what(self) -> str:
        """Resource and subresource as RBAC names them."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def part(text: str) -> str:
    """One path part, percent-encoded.

    >>> part("a/../b c"), part("..")
    ('a%2F..%2Fb%20c', '%2E%2E')
    """
    quoted = quote(text, safe="")
    return quoted.replace(".", "%2E") if set(quoted) == {"."} else quoted


def service_proxy(namespace: str, name: str, port: int | str, path: str = "/", scheme: str = "") -> str:
    """Path through the API server to an HTTP service. path: quoted already; scheme: "https" or empty for http.

    >>> service_proxy("mon", "prom", 9090, "/api/v1/query")
    '/api/v1/namespaces/mon/services/prom:9090/proxy/api/v1/query'
    """
    return _proxy("services", namespace, name, port, path, scheme)


def pod_proxy(namespace: str, name: str, port: int | str, path: str = "/", scheme: str = "") -> str:
    """Path through the API server to an HTTP port of a pod."""
    return _proxy("pods", namespace, name, port, path, scheme)


def _proxy(kind: str, namespace: str, name: str, port: int | str, path: str, scheme: str) -> str:
    target = ":".join(part(str(item)) for item in (scheme, name, port) if item not in ("", "http"))
    return f"/api/v1/namespaces/{part(namespace)}/{kind}/{target}/proxy/{path.removeprefix('/')}"


def pod_path(namespace: str, pod: str, subresource: str = "") -> str:
    """Path of a pod or of one of its subresources (log, exec, portforward, eviction)."""
    end = f"/{part(subresource)}" if subresource else ""
    return f"/api/v1/namespaces/{part(namespace)}/pods/{part(pod)}{end}"


def read_path(path: str) -> ApiPath:
    """What `path` asks for.

    >>> read_path("/apis/apps/v1/namespaces/x/deployments/web/scale").what
    'deployments/scale'
    """
    parts = [piece for piece in path.split("?", 1)[0].split("/") if piece]
    if len(parts) >= 3 and parts[0] == "api":
        group, rest = "", parts[2:]
    elif len(parts) >= 4 and parts[0] == "apis":
        group, rest = parts[1], parts[3:]
    else:
        return ApiPath(resource=path.split("?", 1)[0])
    namespace = ""
    if len(rest) >= 3 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    rest = [*rest, "", "", ""][:3]
    return ApiPath(group=group, resource=rest[0], namespace=namespace, name=rest[1], subresource=rest[2])


def is_proxied(path: str) -> bool:
    """Whether the answer comes from a pod or service behind the API server rather than from the API server."""
    return read_path(path).subresource == "proxy"


def rbac_verb(method: str, path: str, watching: bool = False) -> str:
    """The RBAC verb of a request."""
    named = bool(read_path(path).name)
    if method in ("GET", "HEAD"):
        return "watch" if watching else ("get" if named else "list")
    verbs = {"POST": "create", "PUT": "update", "PATCH": "patch"}
    return verbs.get(method, "delete" if named else "deletecollection")
