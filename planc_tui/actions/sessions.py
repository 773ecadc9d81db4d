"""Cancel queries, terminate sessions, free a lock tree.

Invariant: a session is its pid together with its backend_start; both are checked by the server in the statement that
acts. Client backends only, never planc's own. Ages are measured by the server's clock.
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
from planc_tui.core.database import PREPARED, LockNode, ServerSession, lock_forest
from planc_tui.core.ports import Denied, PortError
from planc_tui.core.table import Target
from planc_tui.core.text import clean

# A backup is a client session like any other, and the last thing to lose in an incident.
BACKUPS = ("pg_dump", "pg_dumpall", "pg_basebackup")
MINUTES_AT_MOST = 10_080
Chosen = Sequence[ServerSession] | Refusal


class CancelQuery(Action):
    """Cancel what a session runs; the session stays."""

    id = "cancel-query"
    title = "Cancel query"
    key = "x"
    risk = Risk.MEDIUM
    kinds: ClassVar[tuple[str, ...]] = ("Session",)
    checked = "pid, backend_start and the query's start; client backend, not planc's own"
    undone = "cannot be undone; the client sees an error"
    after: ClassVar[str] = "cancelled"
    function: ClassVar[str] = "pg_cancel_backend"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        database = ports.database()
        return {"now": database.now(), "sessions": tuple(database.sessions()), "context": ports.cluster.context}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        chosen = self.choose(seen["sessions"], seen["now"], target, args)
        return chosen if isinstance(chosen, Refusal) else self._plan(seen, target, chosen)

    def choose(self, sessions: Sequence[ServerSession], now: float, target: Target, args: Mapping[str, str]) -> Chosen:
        """The sessions to act on."""
        session = _find(sessions, target)
        if session is None:
            return _gone(target)
        if session.idle_in_transaction:
            return Refusal("it is idle in transaction, cancelling frees nothing: terminate it", offer=("terminate", {}))
        if session.state != "active":
            return Refusal(f"the session is {session.state or 'not at work'}: there is no query to cancel")
        return [session]

    def recheck(self, ports: Ports, plan: Plan) -> Drift | None:
        """The query that was seen must be the one that runs."""
        here = {session.uid: session for session in ports.database().sessions()}
        (before,) = _listed(plan)
        now = here.get(before.uid)
        if now is None:
            return Drift(f"session {before.pid} is gone")
        return None if _same_query(before, now) else Drift("its query has ended")

    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        """Act on each session once. Raises PortError, Stopped; both say what was done."""
        listed, done, refused = _listed(plan), 0, ""
        for number, session in enumerate(listed):
            try:
                report(f"{number}/{len(listed)} asked")
                done += self.act(ports, session)
            except Denied as error:
                refused = error.message
            except Stopped:
                raise Stopped(self._summary(done, len(listed))) from None
            except PortError as error:
                error.message = f"{error.message}; {self._summary(done, len(listed))}"
                raise
        if refused and not done:
            raise Denied(refused, hint="sessions of superusers can be signalled by superusers alone")
        return Receipt({"done": done}, f"{self._summary(done, len(listed))}: {refused}" if refused else "")

    def act(self, ports: Ports, session: ServerSession) -> bool:
        """Ask the server once. False when the session is not what it was. Raises PortError."""
        return ports.database().cancel(session)

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        if receipt.partial:
            return Verdict(Outcome.FAILED, receipt.partial)
        here = {session.uid: session for session in ports.database().sessions()}
        listed = _listed(plan)
        left = sum(1 for before in listed if before.uid in here and self.still(before, here[before.uid]))
        if left:
            return Verdict(Outcome.PENDING, f"{left} of {len(listed)} still there")
        return Verdict(Outcome.RECOVERED, self._summary(receipt.data.get("done"), len(listed)))

    def still(self, before: ServerSession, now: ServerSession) -> bool:
        """Whether the effect is not there yet."""
        return _same_query(before, now)

    def _summary(self, done: int | None, listed: int) -> str:
        if done is None:
            return f"none of {listed} is there any more"
        return f"{done} of {listed} {self.after}" if done < listed else f"{done} {self.after}"

    def _plan(self, seen: Mapping[str, Any], target: Target, chosen: Sequence[ServerSession]) -> Plan:
        forest = _forest(seen["sessions"])
        blocks = {pid: node.blocks for pid, node in forest.items()}
        freed = sum(blocks.get(session.pid, 0) for session in chosen)
        return Plan(
            action=self.id,
            title=self.title,
            context=seen["context"],
            targets=tuple(Target("Session", str(s.pid), "", s.uid, seen["context"]) for s in chosen),
            changes=tuple(Change(_who(s), _doing(s, seen["now"], blocks.get(s.pid, 0)), self.after) for s in chosen),
            risk=self.risk,
            blast=(_blast(len(chosen), freed),),
            warnings=self.warnings(chosen),
            equivalents=(_sql(self.function, [self.exact(session) for session in chosen]),),
            confirm_word=str(chosen[0].pid) if len(chosen) == 1 else str(len(chosen)),
            deadline=30.0,
            payload={"sessions": [msgspec.to_builtins(session) for session in chosen]},
        )

    def warnings(self, chosen: Sequence[ServerSession]) -> tuple[str, ...]:
        """What to think of before the yes."""
        return ()

    def exact(self, session: ServerSession) -> Mapping[str, str]:
        """What tells the session from every other in SQL: expressions and their values."""
        return {**_identity(session), "extract(epoch FROM query_start)::float8": repr(session.query_start)}


class Terminate(CancelQuery):
    """End a session; its transaction is rolled back."""

    id = "terminate"
    title = "Terminate session"
    key = "t"
    risk = Risk.HIGH
    checked = "pid and backend_start; client backend, not planc's own"
    undone = "cannot be undone; the transaction is rolled back and the client must connect again"
    after = "terminated"
    function = "pg_terminate_backend"

    def choose(self, sessions: Sequence[ServerSession], now: float, target: Target, args: Mapping[str, str]) -> Chosen:
        session = _find(sessions, target)
        return _gone(target) if session is None else [session]

    def recheck(self, ports: Ports, plan: Plan) -> Drift | None:
        """Of the listed sessions one at least must be there; the server checks each."""
        here = {session.uid for session in ports.database().sessions()}
        if any(before.uid in here for before in _listed(plan)):
            return None
        return Drift("the session is gone" if len(plan.targets) == 1 else "all of them are gone")

    def act(self, ports: Ports, session: ServerSession) -> bool:
        return ports.database().terminate(session)

    def still(self, before: ServerSession, now: ServerSession) -> bool:
        return True

    def warnings(self, chosen: Sequence[ServerSession]) -> tuple[str, ...]:
        found = [f"{session.pid} is a backup ({session.application})" for session in chosen if _is_backup(session)]
        if len(chosen) == 1 and chosen[0].state == "active":
            found.append("it runs a query: cancelling that (x) may be enough and keeps the session")
        return tuple(found)

    def exact(self, session: ServerSession) -> Mapping[str, str]:
        return _identity(session)


class TerminateOlder(Terminate):
    """Terminate every client session whose query or transaction is older than N minutes, as one listed plan."""

    id = "terminate-older"
    title = "Terminate old sessions"
    key = "O"
    kinds = ("Session", "Database")
    params = (Param("minutes", "older than minutes", "int", default="5"),)
    checked = "each is listed; pid, backend_start and still in the same transaction; no backups, not planc's own"

    def choose(self, sessions: Sequence[ServerSession], now: float, target: Target, args: Mapping[str, str]) -> Chosen:
        text = args.get("minutes", "").strip() or "5"
        if not (text.isascii() and text.isdecimal() and 0 < int(text) <= MINUTES_AT_MOST):
            return Refusal(f"minutes must be a whole number from 1 to {MINUTES_AT_MOST}, not {text[:20]!r}")
        before = now - 60 * int(text)
        old = [s for s in sessions if (began := _began(s)) is not None and began < before and not _is_backup(s)]
        return old or Refusal(f"no client session has been busy for more than {text} minutes")

    def act(self, ports: Ports, session: ServerSession) -> bool:
        """Only while it is still at what made it old."""
        now = next((other for other in ports.database().sessions() if other.uid == session.uid), None)
        return now is not None and _began(now) == _began(session) and ports.database().terminate(session)

    def still(self, before: ServerSession, now: ServerSession) -> bool:
        return _began(now) == _began(before)

    def exact(self, session: ServerSession) -> Mapping[str, str]:
        began = "extract(epoch FROM coalesce(xact_start, query_start))::float8"
        return {**_identity(session), began: repr(_began(session))}


class FreeLocks(Terminate):
    """Terminate the root of the lock tree that a session stands in."""

    id = "free-locks"
    title = "Free lock tree"
    key = "b"
    checked = "it still blocks others; pid and backend_start; client backend, not planc's own"

    def choose(self, sessions: Sequence[ServerSession], now: float, target: Target, args: Mapping[str, str]) -> Chosen:
        start, forest = _find(sessions, target), _forest(sessions)
        if start is None:
            return _gone(target)
        if start.pid not in forest:
            return Refusal("the session neither blocks nor waits")
        pid = start.pid
        while (parent := forest[pid].parent) is not None:
            pid = parent
        if pid == PREPARED:
            return Refusal("the root is a prepared transaction: end it with COMMIT PREPARED or ROLLBACK PREPARED")
        root = next((session for session in sessions if session.pid == pid), None)
        return [root] if root else Refusal(f"the root, pid {pid}, is not a client's session: planc leaves it alone")

    def recheck(self, ports: Ports, plan: Plan) -> Drift | None:
        """It must block somebody still."""
        (before,) = _listed(plan)
        sessions = ports.database().sessions()
        if all(session.uid != before.uid for session in sessions):
            return Drift(f"session {before.pid} is gone")
        blocks = any(before.pid in session.blocked_by for session in sessions)
        return None if blocks else Drift(f"session {before.pid} blocks nobody any more")


def _listed(plan: Plan) -> list[ServerSession]:
    return [msgspec.convert(raw, ServerSession) for raw in plan.payload["sessions"]]


def _find(sessions: Sequence[ServerSession], target: Target) -> ServerSession | None:
    return next((session for session in sessions if session.uid == target.uid), None)


def _gone(target: Target) -> Refusal:
    return Refusal(f"session {target.name} is gone, or is no client's (planc leaves the server's and its own alone)")


def _forest(sessions: Sequence[ServerSession]) -> dict[int, LockNode]:
    return {node.pid: node for node in lock_forest({session.pid: session.blocked_by for session in sessions})}


def _same_query(before: ServerSession, now: ServerSession) -> bool:
    return now.state == "active" and now.query_start == before.query_start


def _began(session: ServerSession) -> float | None:
    """When the transaction or query that a session is at began; None when it is at none.

    >>> _began(ServerSession(1, "", state="idle", query_start=5.0))
    >>> _began(ServerSession(1, "", state="active", query_start=5.0, transaction_start=3.0))
    3.0
    """
    if session.state == "idle":
        return None
    return session.transaction_start if session.transaction_start is not None else session.query_start


def _is_backup(session: ServerSession) -> bool:
    return session.application in BACKUPS


def _blast(chosen: int, freed: int) -> str:
    sessions = "1 session" if chosen == 1 else f"{chosen} sessions"
    return f"{sessions}; frees {freed} that wait" if freed else f"{sessions}; nobody waits for a lock of theirs"


def _identity(session: ServerSession) -> Mapping[str, str]:
    return {"pid": str(session.pid), "backend_start": f"'{session.backend_start}'"}


def _sql(function: str, rows: Sequence[Mapping[str, str]]) -> str:
    """One statement for all of them, which signals nothing that is not what it was.

    >>> _sql("f", [{"pid": "3", "backend_start": "'then'"}])
    "SELECT f(pid) FROM pg_stat_activity WHERE (pid, backend_start) IN ((3, 'then'));"
    """
    columns, values = ", ".join(rows[0]), ", ".join(f"({', '.join(row.values())})" for row in rows)
    return f"SELECT {function}(pid) FROM pg_stat_activity WHERE ({columns}) IN ({values});"


def _who(session: ServerSession) -> str:
    return clean(f"{session.pid} {session.user} {session.application}".rstrip(), 60)


def _doing(session: ServerSession, now: float, blocks: int) -> str:
    began = _began(session)
    age = "" if began is None else f" {max(0.0, now - began) / 60:.0f} min"
    locks = f", blocks {blocks}" if blocks else ""
    return clean(f"{session.state}{age}{locks}: {session.query}", 160)
