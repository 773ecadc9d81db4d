"""VACUUM (ANALYZE) of the whole database, with its progress.

Invariant: it takes no lock that blocks reads or writes, it can be stopped at any time, and what the server leaves out
is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planc_tui.actions.base import (
    Action,
    Change,
    Outcome,
    Plan,
    Ports,
    Receipt,
    Refusal,
    Report,
    Risk,
    Stopped,
    Verdict,
)
from planc_tui.core.admin import VacuumProgress
from planc_tui.core.table import Target
from planc_tui.core.text import clean


class Vacuum(Action):
    """VACUUM (ANALYZE)."""

    id = "vacuum-analyze"
    title = "VACUUM ANALYZE"
    key = "V"
    risk = Risk.MEDIUM
    kinds = ("Session", "Database")
    checked = "the database answers; PostgreSQL says which tables the role may not vacuum"
    undone = "nothing to undo"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        sessions = ports.database().sessions()
        return {"busy": sum(session.state == "active" for session in sessions), "context": ports.cluster.context}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        beside = "1 active query" if seen["busy"] == 1 else f"{seen['busy']} active queries"
        return Plan(
            action=self.id,
            title=self.title,
            context=seen["context"],
            targets=(Target("Database", "database", "", "database", seen["context"]),),
            changes=(Change("dead rows and statistics", "as they are", "cleaned and fresh"),),
            risk=self.risk,
            blast=(f"reads every table beside {beside}; takes no lock that blocks reads or writes",),
            equivalents=("VACUUM (ANALYZE);",),
            undo=self.undone,
            deadline=3600.0,
        )

    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        """Runs until done or cancelled. Raises PortError, Stopped."""

        def show(progress: VacuumProgress) -> None:
            share = "" if progress.done is None else f" {progress.done:.0%}"
            report(f"{clean(progress.table)}: {clean(progress.phase)}{share}")

        try:
            end = ports.database().vacuum_analyze(show, lambda: report.cancelled)
        except Stopped:
            raise Stopped("the vacuum; tables done by then stay done") from None
        if end.stopped:
            raise Stopped("the vacuum; tables done by then stay done")
        return Receipt({"ended": True, "skipped": list(end.skipped)})

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        if not receipt.data.get("ended"):
            return Verdict(Outcome.UNKNOWN, "look at pg_stat_user_tables.last_vacuum")
        skipped = receipt.data.get("skipped") or ["nothing"]
        more = f" and {len(skipped) - 1} more" if len(skipped) > 1 else ""
        return Verdict(Outcome.RECOVERED, f"vacuumed and analysed; left out: {clean(skipped[0], 120)}{more}")
