"""PostgreSQL's sessions: who blocks whom as a tree, then what is running, oldest first.

Invariant: a row is a session by pid and start of its backend; a session planc may not see is named as hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from msgspec import Struct

from planc_tui.core.age import coarse_age
from planc_tui.core.database import PREPARED, DatabaseStatus, LockNode, ServerSession
from planc_tui.core.store import Topic
from planc_tui.core.table import Cell, Column, Target, Tone
from planc_tui.core.text import clean
from planc_tui.playbook.model import Thresholds
from planc_tui.sources.database import DATABASE
from planc_tui.ui.panes.base import Pane, Summary, View

_MARKS = {Tone.CRIT: "✖", Tone.WARN: "▲", Tone.NORMAL: "●", Tone.DIM: "●", Tone.UNKNOWN: "?"}


class SessionLine(Struct, frozen=True):
    """A session, its place in the lock tree if it has one, and its judgement; or a line that only says something."""

    session: ServerSession | None
    tone: Tone
    now: float = 0.0
    node: LockNode | None = None
    note: str = ""

    @property
    def age(self) -> float | None:
        """Seconds that the session has been doing what it does."""
        if self.session is None or self.session.since is None:
            return None
        return max(0.0, self.now - self.session.since)


class DatabasePane(Pane[SessionLine]):
    """Connections by state, the lock tree, sessions that are not idle."""

    id = "database"
    title = "Database"
    number = "8"
    kinds = ("Session",)
    aliases = ("db", "database", "sessions", "postgres")
    topics: ClassVar[tuple[Topic[Any], ...]] = (DATABASE,)
    columns = (
        Column("mark", "", 1),
        Column("pid", "PID", 9),
        Column("state", "STATE", 10),
        Column("age", "FOR", 4, right=True),
        Column("locks", "LOCKS", 10, priority=2),
        Column("user", "USER", 9, priority=4),
        Column("application", "APPLICATION", 12, priority=3),
        Column("client", "CLIENT", 13, priority=5),
        Column("wait", "WAIT", 14, priority=6),
        Column("query", "QUERY", 18, flex=1, priority=1),
    )
    sort_keys = {"A": "age", "U": "user", "S": "state"}

    def items(self, view: View) -> Sequence[SessionLine]:
        status = view.value(DATABASE)
        if status is None:
            return ()
        limits = view.playbook.thresholds
        known = {session.pid: session for session in status.sessions}
        lines = [_overview(status, limits)]
        if status.restricted:
            grant = f"{status.user} sees its own sessions only: GRANT pg_monitor TO {status.user}"
            lines.append(SessionLine(None, Tone.WARN, note=grant))
        lines.extend(_locked(node, known.get(node.pid), status.now) for node in status.locks)
        drawn = {node.pid for node in status.locks}
        lines.extend(
            SessionLine(session, judge(session, status.now, limits), status.now)
            for session in status.sessions
            if session.pid not in drawn
        )
        if status.active > len(status.sessions):
            lines.append(
                SessionLine(None, Tone.WARN, note=f"{status.active - len(status.sessions)} more are not shown")
            )
        return lines

    def identity(self, item: SessionLine) -> str:
        if item.session is not None:
            return item.session.uid
        return f"lock {item.node.pid}" if item.node is not None else "overview" if item.now else f"note {item.note}"

    def cells(self, item: SessionLine, view: View) -> Sequence[Cell]:
        tone = item.tone
        if item.session is None and item.node is None:
            mark = "" if tone in (Tone.DIM, Tone.NORMAL) else f"{_MARKS[tone]} "
            return (Cell(f"{mark}{item.note}", tone, span=True),)
        if item.session is None:
            return (Cell(_MARKS[tone], tone), Cell(_pid(item), tone), Cell(_hidden(item), tone, span=True))
        session = item.session
        return (
            Cell(_MARKS[tone], Tone.OK if tone is Tone.DIM else tone),
            Cell(_pid(item), tone),
            Cell(_state(item), tone),
            Cell("" if item.age is None else coarse_age(item.age), tone),
            Cell(_locks(item), tone),
            Cell(session.user, Tone.DIM if tone is Tone.DIM else Tone.NORMAL),
            Cell(session.application, Tone.DIM if tone is Tone.DIM else Tone.NORMAL),
            Cell(session.client, Tone.DIM),
            Cell(session.wait, Tone.DIM),
            Cell(clean(session.query, 400), tone),
        )

    def summary(self, view: View) -> Summary:
        status = view.value(DATABASE)
        if status is None:
            return Summary("")
        tone = connection_tone(status, view.playbook.thresholds)
        text = f"{status.used}/{status.max_connections} connections"
        if status.blocked:
            text += f" · {status.blocked} blocked"
            tone = Tone.CRIT
        return Summary(text, tone)

    def target(self, item: SessionLine, view: View) -> Target | None:
        if item.session is None:
            return None
        return Target("Session", str(item.session.pid), uid=item.session.uid, context=view.context)

    def tone(self, item: SessionLine) -> Tone:
        return item.tone

    def sort_value(self, item: SessionLine, column: str) -> Any:
        session = item.session
        if session is None:
            return None
        values: dict[str, Any] = {
            "mark": {Tone.CRIT: 0, Tone.WARN: 1}.get(item.tone, 2),
            "pid": session.pid,
            "state": session.state,
            "age": item.age,
            "locks": item.node.blocks if item.node is not None else None,
            "user": session.user,
            "application": session.application,
            "client": session.client,
            "wait": session.wait,
            "query": session.query,
        }
        return values.get(column)

    def text(self, item: SessionLine, column: str) -> str:
        session = item.session
        if session is None:
            return ""
        match column:
            case "mark":
                return item.tone.value
            case "locks":
                return _locks(item)
            case "age":
                return "" if item.age is None else f"{item.age:.0f}"
            case "query":
                return clean(session.query)
        return str(self.sort_value(item, column))

    def detail(self, item: SessionLine, view: View) -> tuple[str, ...]:
        session = item.session
        if session is None:
            return (item.note or _hidden(item),)

        def age(then: float | None) -> str:
            return "not known" if then is None else f"{coarse_age(item.now - then)} ago"

        lines = [
            f"pid            {session.pid}, backend started {session.backend_start}",
            f"user           {session.user}   database {session.database}",
            f"application    {session.application or 'not given'}   client {session.client}",
            f"state          {session.state}, since {age(session.state_change)}",
            f"transaction    began {age(session.transaction_start)}"
            if session.transaction_start
            else "transaction    none",
            f"query          began {age(session.query_start)}",
            f"waits for      {session.wait or 'nothing'}",
        ]
        if session.blocked_by:
            lines.append(f"blocked by     {', '.join(_name(pid) for pid in dict.fromkeys(session.blocked_by))}")
        if item.node is not None and item.node.blocks:
            lines.append(f"blocks         {item.node.blocks} sessions")
        return (*lines, "", *(session.query.splitlines() or ("(no query)",)))

    def empty(self, view: View) -> str:
        return "every session is idle"


def judge(session: ServerSession, now: float, limits: Thresholds) -> Tone:
    """How bad a session is that neither waits nor blocks."""
    if session.backend_type != "client backend" or session.since is None:
        return Tone.DIM
    age = now - session.since
    if age >= limits.query_bad:
        return Tone.CRIT
    return Tone.WARN if age >= limits.query_warning else Tone.DIM


def connection_tone(status: DatabaseStatus, limits: Thresholds) -> Tone:
    """How near the server is to refusing connections."""
    used = 100.0 * status.used / max(1, status.max_connections)
    if used >= limits.connections_bad:
        return Tone.CRIT
    return Tone.WARN if used >= limits.connections_warning else Tone.NORMAL


def _overview(status: DatabaseStatus, limits: Thresholds) -> SessionLine:
    """The first line: the longest transaction, which must not be cut off, then connections by state."""
    parts = []
    longest = status.longest_transaction
    if longest is not None and longest.transaction_start is not None:
        age = coarse_age(status.now - longest.transaction_start)
        parts.append(f"longest transaction {age} ({longest.pid})")
    parts += [f"{count} {state}" for state, count in status.connections]
    if status.reserved:
        parts.append(f"{status.reserved} reserved")
    if status.in_recovery:
        parts.append("standby")
    tone = connection_tone(status, limits)
    return SessionLine(None, Tone.DIM if tone is Tone.NORMAL else tone, status.now, note=" · ".join(parts))


def _locked(node: LockNode, session: ServerSession | None, now: float) -> SessionLine:
    root = node.depth == 0 or node.deadlocked
    return SessionLine(session, Tone.CRIT if root else Tone.WARN, now, node)


def _pid(item: SessionLine) -> str:
    node = item.node
    if node is None:
        return str(item.session.pid) if item.session is not None else ""
    branch = "" if node.depth == 0 else "  " * (min(node.depth, 3) - 1) + "└ "
    return branch + (str(node.pid) if node.pid != PREPARED else "prepared")


def _state(item: SessionLine) -> str:
    """The state in few cells."""
    session = item.session
    if session is None:
        return ""
    if session.blocked_by:
        return "waiting"
    return session.state.replace("idle in transaction (aborted)", "idle in tx!").replace(
        "idle in transaction", "idle in tx"
    )


def _locks(item: SessionLine) -> str:
    node = item.node
    if node is None:
        return ""
    if node.deadlocked:
        return "deadlock"
    return f"blocks {node.blocks}" if node.blocks else f"by {_name(node.parent)}" if node.parent is not None else ""


def _hidden(item: SessionLine) -> str:
    node = item.node
    if node is None:
        return ""
    if node.pid == PREPARED:
        return f"a prepared transaction blocks {node.blocks}: see pg_prepared_xacts"
    return f"blocks {node.blocks}; its session is hidden from planc's role"


def _name(pid: int | None) -> str:
    return "a prepared transaction" if pid == PREPARED else str(pid)
