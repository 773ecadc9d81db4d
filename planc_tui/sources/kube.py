"""Every Kubernetes feed of one console.

Invariant: all of them read one context and one scope; another namespace means other feeds, never the same ones turned
round while somebody looks at their rows.
"""

from __future__ import annotations

import random
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from planc_tui.core.allowance import Allowance
from planc_tui.core.clock import Clock
from planc_tui.core.cluster import topics, wire
from planc_tui.core.cluster.budgets import BudgetRow, budget_row
from planc_tui.core.cluster.events import EventTable, event_row
from planc_tui.core.cluster.hpa import HpaRow, hpa_row
from planc_tui.core.cluster.listing import RowTable
from planc_tui.core.cluster.nodes import NodeRow, node_row
from planc_tui.core.cluster.pods import PodRow, pod_row
from planc_tui.core.cluster.rollouts import (
    ReplicaSetRow,
    RolloutRow,
    daemonset_row,
    deployment_row,
    replicaset_row,
    statefulset_row,
)
from planc_tui.core.ports import ClusterPort
from planc_tui.core.store import Store
from planc_tui.sources.base import Feed, Poller
from planc_tui.sources.head_start import HeadStart
from planc_tui.sources.link import LinkFeed
from planc_tui.sources.metrics import node_metrics, pod_metrics
from planc_tui.sources.reflector import Reflector, Resource

W = TypeVar("W", bound=wire.Wire)
# Seconds after the pods: usage of thousands of them is one large answer, which is of no use before them.
USAGE_AFTER = 0.3
_CORE, _APPS = "/api/v1", "/apis/apps/v1"


def _pages(kind: type[W]) -> msgspec.json.Decoder[wire.Page[W]]:
    return msgspec.json.Decoder(wire.Page[kind])  # type: ignore[valid-type]  # a type made at run time


def _objects(kind: type[W]) -> msgspec.json.Decoder[W]:
    return msgspec.json.Decoder(kind)


_WORKLOADS, _WORKLOAD = _pages(wire.Workload), _objects(wire.Workload)

RESOURCES: tuple[Resource[Any, Any], ...] = (
    Resource(topics.PODS, _CORE, "pods", _pages(wire.Pod), _objects(wire.Pod), pod_row, RowTable[PodRow]),
    Resource(
        topics.HPAS,
        "/apis/autoscaling/v2",
        "horizontalpodautoscalers",
        _pages(wire.Hpa),
        _objects(wire.Hpa),
        hpa_row,
        RowTable[HpaRow],
        after=0.1,
    ),
    Resource(
        topics.DEPLOYMENTS,
        _APPS,
        "deployments",
        _WORKLOADS,
        _WORKLOAD,
        deployment_row,
        RowTable[RolloutRow],
        after=0.1,
    ),
    Resource(
        topics.STATEFULSETS,
        _APPS,
        "statefulsets",
        _WORKLOADS,
        _WORKLOAD,
        statefulset_row,
        RowTable[RolloutRow],
        after=0.1,
    ),
    Resource(
        topics.DAEMONSETS,
        _APPS,
        "daemonsets",
        _WORKLOADS,
        _WORKLOAD,
        daemonset_row,
        RowTable[RolloutRow],
        after=0.1,
    ),
    Resource(
        topics.REPLICASETS,
        _APPS,
        "replicasets",
        _WORKLOADS,
        _WORKLOAD,
        replicaset_row,
        RowTable[ReplicaSetRow],
    ),
    Resource(
        topics.NODES,
        _CORE,
        "nodes",
        _pages(wire.Node),
        _objects(wire.Node),
        node_row,
        RowTable[NodeRow],
        namespaced=False,
        after=0.1,
    ),
    Resource(
        topics.EVENTS,
        _CORE,
        "events",
        _pages(wire.Event),
        _objects(wire.Event),
        event_row,
        EventTable,
        after=0.3,
    ),
    Resource(
        topics.BUDGETS,
        "/apis/policy/v1",
        "poddisruptionbudgets",
        _pages(wire.Budget),
        _objects(wire.Budget),
        budget_row,
        RowTable[BudgetRow],
    ),
)

# Names of the sources whose requests are the lists that their watches begin with.
WATCHED = frozenset(resource.topic.name for resource in RESOURCES)


class KubeFeeds(Struct, frozen=True):
    """link: the API server's pulse; its `up` is the gate of every feed that goes through the API server.
    start: what lets the pods come first. feeds: all of them, the link first."""

    link: LinkFeed
    start: HeadStart
    feeds: tuple[Feed, ...]


def kube_feeds(
    port: ClusterPort,
    store: Store,
    clock: Clock,
    namespace: str,
    rng: random.Random | None = None,
    allowance: Allowance | None = None,
) -> KubeFeeds:
    """The feeds of one scope, idle and not started. namespace: empty for all namespaces. allowance: as of Poller."""
    link = LinkFeed(port, store, clock, rng, allowance)

    def heard() -> None:
        link.heard(clock.monotonic())

    start = HeadStart(clock)

    def of(resource: Resource[Any, Any]) -> Reflector[Any, Any]:
        if resource.topic is topics.PODS:
            return Reflector(port, store, clock, resource, namespace, link, rng, told=start.finish)
        return Reflector(port, store, clock, resource, namespace, link, rng, turn=start.turn(resource.after))

    reflectors = [of(resource) for resource in RESOURCES]

    def pods_are_measured() -> bool:
        return pods.wanted

    # What the pods' measurement finds out about metrics-server holds for the nodes', which is seldom, as well.
    nodes_source = node_metrics(port, heard, pods_are_measured)
    nodes = Poller(nodes_source, store, clock, link.up, start.turn(USAGE_AFTER), allowance, rng=rng)
    pods = Poller(
        pod_metrics(port, namespace, heard),
        store,
        clock,
        link.up,
        start.turn(USAGE_AFTER),
        allowance,
        (nodes,),
        rng=rng,
    )
    pollers = [pods, nodes]
    for reflector in reflectors:
        link.watch(reflector)
    for poller in pollers:
        link.follow(poller)
    return KubeFeeds(link, start, (link, *reflectors, *pollers))
