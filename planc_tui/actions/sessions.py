"""Cancel queries, terminate sessions, free a lock tree, vacuum.

Invariant: a session is its pid together with its backend_start; both are checked by the server in the statement that
acts. Client backends only, never planc's own; nothing else is ever executed as SQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from planc_tui.actions.base import (
    Action,
    Change,
    Drift,
    Outcome,
    Param,
    Plan,
    Ports,
    Receipt,
    Refusal,
    Report,
    Risk,
    Stopped,
    Verdict,
)
from planc_tui.core.database import ServerSession, lock_forest
from planc_tui.core.ports import PortError
from planc_tui.core.table import Target
from planc_tui.core.text import clean


class CancelQuery(Action):
    """Cancel what a session runs; the session stays."""

    id = "cancel-query"
    title = "Cancel query"
    key = "x"
    risk = Risk.MEDIUM
    kinds: ClassVar[tuple[str, ...]] = ("Session",)
    checked = "pid and backend_start, client backend, not planc's own"
    undone = "cannot be undone; the client sees an error"
    function: ClassVar[str] = "pg_cancel_backend"
    after: ClassVar[str] = "query cancelled"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        sessions = tuple(ports.database().sessions())
        return {"sessions": sessions, "now": ports.clock.now(), "context": ports.cluster.context}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        chosen = self.choose(seen, target, args)
        if isinstance(chosen, Refusal):
            return chosen
        return self._plan(seen, target, chosen)

    def choose(
        self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]
    ) -> Sequence[ServerSession] | Refusal:
        """The sessions to act on."""
        found = [session for session in seen["sessions"] if session.uid == target.uid]
        if not found:
            return Refusal(f"session {target.name} is gone, or its pid belongs to another one now")
        if found[0].state == "idle" and self.function == "pg_cancel_backend":
            return Refusal("the session is idle: there is no query to cancel")
        if found[0].idle_in_transaction and self.function == "pg_cancel_backend":
            return Refusal("it is idle in transaction, cancelling frees nothing: terminate it", offer=("terminate", {}))
        return found

    def recheck(self, ports: Ports, plan: Plan) -> Drift | None:
        """Every listed session must still exist with the same backend_start."""
        here = {session.uid for session in ports.database().sessions()}
        gone = [target.name for target in plan.targets if target.uid not in here]
        if len(gone) == len(plan.targets):
            return Drift(f"session {', '.join(gone[:3])} is gone")
        return None

    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        """Act on each session once. Raises PortError, Stopped; both say what was done."""
        done: list[int] = []
        act = ports.database().cancel if self.function == "pg_cancel_backend" else ports.database().terminate
        for raw in plan.payload["sessions"]:
            session = msgspec.convert(raw, ServerSession)
            try:
                report(f"{len(done)}/{len(plan.targets)} done")
                if act(session):
                    done.append(session.pid)
            except Stopped:
                raise Stopped(f"{len(done)} of {len(plan.targets)} done") from None
            except PortError as error:
                error.message = f"{error.message}; {len(done)} of {len(plan.targets)} done"
                raise
        return Receipt({"done": done})

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        here = {session.uid: session for session in ports.database().sessions()}
        left = [raw for raw in plan.payload["sessions"] if self._still(here, msgspec.convert(raw, ServerSession))]
        if left:
            return Verdict(Outcome.PENDING, f"{len(left)} of {len(plan.targets)} still there")
        return Verdict(Outcome.RECOVERED, f"{len(plan.targets)} {self.after}")

    def _still(self, here: Mapping[str, ServerSession], before: ServerSession) -> bool:
        now = here.get(before.uid)
        return now is not None and now.state == "active" and now.query_start == before.query_start

    def _plan(self, seen: Mapping[str, Any], target: Target, chosen: Sequence[ServerSession]) -> Plan:
        forest = {node.pid: node.blocks for node in lock_forest({s.pid: s.blocked_by for s in seen["sessions"]})}
        targets = tuple(Target("Session", str(s.pid), "", s.uid, target.context) for s in chosen)
        blocked = sum(forest.get(session.pid, 0) for session in chosen)
        return Plan(
            action=self.id,
            title=self.title if len(chosen) == 1 else f"{self.title} ({len(chosen)})",
            context=seen["context"],
            targets=targets,
            changes=tuple(Change(_who(s), _doing(s, seen["now"]), self.after) for s in chosen),
            risk=self.risk,
            blast=(f"{len(chosen)} sessions; frees {blocked} that wait for them",),
            equivalents=tuple(f"SELECT {self.function}({session.pid});" for session in chosen[:5]),
            confirm_word=str(chosen[0].pid),
            deadline=30.0,
            payload={"sessions": [msgspec.to_builtins(session) for session in chosen]},
        )


class Terminate(CancelQuery):
    """End a session; its transaction is rolled back."""

    id = "terminate"
    title = "Terminate session"
    key = "t"
    risk = Risk.HIGH
    undone = "cannot be undone; the transaction is rolled back and the client must connect again"
    function = "pg_terminate_backend"
    after = "session terminated"

    def _still(self, here: Mapping[str, ServerSession], before: ServerSession) -> bool:
        return before.uid in here


class TerminateOlder(Terminate):
    """Terminate every client session whose query or transaction is older than N minutes, as one listed plan."""

    id = "terminate-older"
    title = "Terminate old sessions"
    key = "O"
    kinds = ("Session", "Database")
    params = (Param("minutes", "older than minutes", "int", default="5"),)

    def choose(
        self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]
    ) -> Sequence[ServerSession] | Refusal:
        text = args.get("minutes", "") or "5"
        if not text.isdigit() or not 0 < int(text) <= 10_080:
            return Refusal(f"minutes must be a whole number from 1 to 10080, not {text[:20]!r}")
        before = seen["now"] - 60 * int(text)
        old = [s for s in seen["sessions"] if s.state != "idle" and (s.since or seen["now"]) < before]
        return old or Refusal(f"no client session has been busy for more than {text} minutes")


class FreeLocks(Terminate):
    """Terminate the root of the lock tree that a session stands in."""

    id = "free-locks"
    title = "Free lock tree"
    key = "b"

    def choose(
        self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]
    ) -> Sequence[ServerSession] | Refusal:
        by_pid = {session.pid: session for session in seen["sessions"]}
        start = next((session for session in seen["sessions"] if session.uid == target.uid), None)
        if start is None:
            return Refusal(f"session {target.name} is gone, or its pid belongs to another one now")
        parents = {node.pid: node.parent for node in lock_forest({s.pid: s.blocked_by for s in seen["sessions"]})}
        if start.pid not in parents:
            return Refusal("the session neither blocks nor waits")
        pid = start.pid
        while (parent := parents[pid]) is not None:
            pid = parent
        root = by_pid.get(pid)
        if root is None:
            return Refusal("the root is a prepared transaction: it ends with COMMIT PREPARED or ROLLBACK PREPARED")
        return [root]


class Vacuum(Action):
    """VACUUM (ANALYZE) of the whole database, with its progress."""

    id = "vacuum-analyze"
    title = "VACUUM ANALYZE"
    key = "V"
    risk = Risk.MEDIUM
    kinds = ("Session", "Database")
    checked = "the role may vacuum (PostgreSQL says so table by table)"
    undone = "nothing to undo"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        sessions = tuple(ports.database().sessions())
        busy = sum(session.state == "active" for session in sessions)
        return {"busy": busy, "context": ports.cluster.context}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        return Plan(
            action=self.id,
            title=self.title,
            context=seen["context"],
            targets=(Target("Database", "database", "", "database", target.context),),
            changes=(Change("dead rows and statistics", "as they are", "cleaned and fresh"),),
            risk=self.risk,
            blast=(f"reads every table while {seen['busy']} queries run; takes no lock that blocks reads or writes",),
            equivalents=("VACUUM (ANALYZE);",),
            undo="nothing to undo",
            deadline=3600.0,
        )

    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        """Runs until done or cancelled. Raises PortError, Stopped."""

        def show(progress: Any) -> None:
            share = "" if progress.done is None else f" {progress.done:.0%}"
            report(f"{clean(progress.table)}: {clean(progress.phase)}{share}")

        if not ports.database().vacuum_analyze(show, lambda: report.cancelled):
            raise Stopped("the vacuum was cancelled; tables done by then stay done")
        return Receipt({"ended": True})

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        if receipt.data.get("ended"):
            return Verdict(Outcome.RECOVERED, "vacuumed and analysed")
        return Verdict(Outcome.UNKNOWN, "look at pg_stat_user_tables.last_vacuum")


def _who(session: ServerSession) -> str:
    return clean(f"{session.pid} {session.user} {session.application}".rstrip(), 60)


def _doing(session: ServerSession, now: float) -> str:
    since = "" if session.since is None else f" {max(0.0, now - session.since) / 60:.0f} min"
    return clean(f"{session.state}{since}: {session.query}", 160)
