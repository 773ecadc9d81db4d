"""The topics that Kubernetes fills.

Invariant: a watched topic is confirmed by every pulse of the API server while its watch is open, so that silence for
longer than `stale_after` means that nobody vouches for its rows any more.
"""

from __future__ import annotations

from msgspec import Struct

from planc_tui.core.cluster.budgets import BudgetRow
from planc_tui.core.cluster.events import EventRow
from planc_tui.core.cluster.hpa import HpaRow
from planc_tui.core.cluster.listing import Listing
from planc_tui.core.cluster.nodes import NodeRow
from planc_tui.core.cluster.pods import PodRow
from planc_tui.core.cluster.rollouts import ReplicaSetRow, RolloutRow
from planc_tui.core.cluster.usage import UsageTable
from planc_tui.core.store import Topic

WATCHED = 20.0


class Link(Struct, frozen=True):
    """The way to the API server. version: `v1.37.2`, empty when it may not be read. rtt_ms: a recent round trip, None
    before one was measured; it follows real changes only. since: epoch seconds since when the server has answered
    without a break."""

    version: str
    rtt_ms: float | None
    since: float


LINK: Topic[Link] = Topic("link", WATCHED)
PODS: Topic[Listing[PodRow]] = Topic("pods", WATCHED)
NODES: Topic[Listing[NodeRow]] = Topic("nodes", WATCHED)
HPAS: Topic[Listing[HpaRow]] = Topic("hpas", WATCHED)
EVENTS: Topic[Listing[EventRow]] = Topic("events", WATCHED)
DEPLOYMENTS: Topic[Listing[RolloutRow]] = Topic("deployments", WATCHED)
STATEFULSETS: Topic[Listing[RolloutRow]] = Topic("statefulsets", WATCHED)
DAEMONSETS: Topic[Listing[RolloutRow]] = Topic("daemonsets", WATCHED)
REPLICASETS: Topic[Listing[ReplicaSetRow]] = Topic("replicasets", WATCHED)
BUDGETS: Topic[Listing[BudgetRow]] = Topic("budgets", WATCHED)
POD_USAGE: Topic[UsageTable] = Topic("pod usage", 26.0)
NODE_USAGE: Topic[UsageTable] = Topic("node usage", 26.0)
