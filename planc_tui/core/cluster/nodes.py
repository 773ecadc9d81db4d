"""Nodes as flat rows.

Invariant: heartbeats change nothing in a row, so that a quiet cluster's nodes are equal from minute to minute.
"""

from __future__ import annotations

import sys

import msgspec

from planc_tui.core import quantity
from planc_tui.core.cluster import wire
from planc_tui.core.cluster.listing import share, share_labels
from planc_tui.core.cluster.wire import epoch

# Conditions that are bad when they are true.
_PRESSURES = {
    "MemoryPressure": "memory",
    "DiskPressure": "disk",
    "PIDPressure": "pids",
    "NetworkUnavailable": "network",
}
_ROLE_PREFIX = "node-role.kubernetes.io/"


class NodeRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One node. ready: None when it does not say or the control plane lost it. pressures: memory, disk, pids, network.
    taints: `key=value:effect`. Allocatable is in nanocores and bytes. namespace is always empty."""

    uid: str
    name: str
    namespace: str = ""
    ready: bool | None
    reason: str = ""
    pressures: tuple[str, ...] = ()
    cordoned: bool = False
    taints: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    cpu: int = 0
    memory: int = 0
    pods: int = 0
    version: str = ""
    created: float = 0.0
    labels: dict[str, str] = {}

    @property
    def status(self) -> str:
        """kubectl's STATUS column; a node whose kubelet fell silent is NotReady, as kubectl says."""
        word = "Unknown" if self.reason == _NO_CONDITION else "Ready" if self.ready else "NotReady"
        return f"{word},SchedulingDisabled" if self.cordoned else word


_NO_CONDITION = "no Ready condition"


def _amount(amounts: dict[str, str], name: str, unit: int) -> int:
    """In whole units of `unit` billionths; 0 when missing or not readable."""
    try:
        return -(-quantity.nano(amounts[name]) // unit) if name in amounts else 0
    except ValueError:
        return 0


def _roles(labels: dict[str, str]) -> tuple[str, ...]:
    found = {key.removeprefix(_ROLE_PREFIX) for key in labels if key.startswith(_ROLE_PREFIX)}
    found.add(labels.get("kubernetes.io/role", ""))
    return tuple(sorted(found - {""}))


def _taint(taint: wire.Taint) -> str:
    """As kubectl prints it.

    >>> _taint(wire.Taint(key="gpu", value="yes", effect="NoSchedule"))
    'gpu=yes:NoSchedule'
    """
    return f"{taint.key}{'=' + taint.value if taint.value else ''}:{taint.effect}"


def node_row(node: wire.Node) -> NodeRow:
    """The flat row of a node."""
    meta, status = node.metadata, node.status
    conditions = {condition.type: condition for condition in status.conditions or ()}
    ready = conditions.get("Ready")
    amounts = status.allocatable or {}
    reason = _NO_CONDITION if ready is None else "" if ready.status == "True" else ready.reason
    return NodeRow(
        uid=meta.uid,
        name=meta.name,
        ready=None if ready is None or ready.status == "Unknown" else ready.status == "True",
        reason=reason,
        pressures=share(
            tuple(word for kind, word in _PRESSURES.items() if (c := conditions.get(kind)) and c.status == "True")
        ),
        cordoned=node.spec.unschedulable,
        taints=share(tuple(_taint(taint) for taint in node.spec.taints or ())),
        roles=share(_roles(meta.labels or {})),
        cpu=_amount(amounts, "cpu", 1),
        memory=_amount(amounts, "memory", quantity.NANO),
        pods=_amount(amounts, "pods", quantity.NANO),
        version=sys.intern(status.node_info.kubelet_version),
        created=epoch(meta.creation_timestamp),
        labels=share_labels(meta.labels),
    )
