"""Asks the API server what this user may do, before anybody presses yes.

Invariant: a review that cannot be made is an unknown, never a yes.
"""

from __future__ import annotations

import msgspec

from planc_tui.actions.base import Access
from planc_tui.core.ports import ClusterPort, PortError

PATH = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class _Status(msgspec.Struct, gc=False):
    allowed: bool = False
    denied: bool = False
    reason: str = ""


class _Review(msgspec.Struct, gc=False):
    status: _Status = msgspec.field(default_factory=_Status)


class Permission(msgspec.Struct, frozen=True):
    """allowed: None when the server did not say. reason: one line for the card."""

    allowed: bool | None
    reason: str


def review(port: ClusterPort, accesses: tuple[Access, ...]) -> Permission:
    """Whether every access is allowed; names the first one that is not."""
    for access in accesses:
        permission = _one(port, access)
        if permission.allowed is not True:
            return permission
    return Permission(True, "yes")


def _one(port: ClusterPort, access: Access) -> Permission:
    attributes = {
        "verb": access.verb, "group": access.group, "resource": access.resource,
        "subresource": access.subresource, "namespace": access.namespace, "name": access.name,
    }  # fmt: skip  # rows as a person reads them
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
    }
    what = "/".join(part for part in (access.resource, access.subresource) if part)
    try:
        answer = port.request("POST", PATH, body=msgspec.json.encode(body), source="permissions", timeout=5.0)
        status = msgspec.json.decode(answer, type=_Review).status
    except PortError as error:
        return Permission(None, f"unknown: {error.message}")
    except msgspec.MsgspecError:
        return Permission(None, "unknown: the permission review could not be read")
    if status.allowed:
        return Permission(True, "yes")
    where = f" in {access.namespace}" if access.namespace else ""
    return Permission(False, f"no: your role lacks {access.verb} {what}{where}")
