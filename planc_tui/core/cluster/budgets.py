"""PodDisruptionBudgets as flat rows.

Invariant: `allowed` is the server's own count; planc never works it out itself.
"""

from __future__ import annotations

import sys

import msgspec

from planc_tui.core.cluster import wire
from planc_tui.core.cluster.listing import share_labels


class BudgetRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One disruption budget. rule: `min 2` or `max 25%`. allowed: evictions the server would grant now.
    selector: equality part; empty when it selects by expressions alone."""

    uid: str
    namespace: str
    name: str
    rule: str
    allowed: int
    healthy: int
    wanted: int
    expected: int
    selector: dict[str, str] = {}


def budget_row(budget: wire.Budget) -> BudgetRow:
    """The flat row of a disruption budget."""
    spec, status = budget.spec, budget.status
    by_minimum = spec.min_available is not None
    return BudgetRow(
        uid=budget.metadata.uid,
        namespace=sys.intern(budget.metadata.namespace),
        name=budget.metadata.name,
        rule=f"min {spec.min_available}" if by_minimum else f"max {spec.max_unavailable}",
        allowed=status.disruptions_allowed,
        healthy=status.current_healthy,
        wanted=status.desired_healthy,
        expected=status.expected_pods,
        selector=share_labels(spec.selector.match_labels if spec.selector else None),
    )
