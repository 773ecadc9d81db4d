"""What PostgreSQL is doing: connections, sessions, and who blocks whom.

Invariant: a session is known by its process id together with the start of its backend, because process ids
come back; every waiting session stands in the lock forest exactly once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field

PREPARED = 0  # pg_blocking_pids() gives 0 for a prepared transaction, which has no process


class ServerSession(Struct, frozen=True):
    """One backend of PostgreSQL. Times are epoch seconds UTC by the server's clock, None where it shows none.

    backend_start: exact text with microseconds, half of the identity. blocked_by: as pg_blocking_pids() says.
    hidden: the role planc logs in with may not see what this session does.
    """

    pid: int
    backend_start: str
    user: str = ""
    database: str = ""
    application: str = ""
    client: str = ""
    state: str = ""
    wait: str = ""
    backend_type: str = "client backend"
    query: str = ""
    transaction_start: float | None = None
    query_start: float | None = None
    state_change: float | None = None
    blocked_by: tuple[int, ...] = ()
    hidden: bool = False

    @property
    def uid(self) -> str:
        """Identity for selections and actions.

        >>> ServerSession(7, "2026-11-24T15:00:00.000001Z").uid
        '7/2026-11-24T15:00:00.000001Z'
        """
        return f"{self.pid}/{self.backend_start}"

    @property
    def idle_in_transaction(self) -> bool:
        """Holds its locks and its snapshot while it does nothing."""
        return self.state.startswith("idle in transaction")

    @property
    def since(self) -> float | None:
        """When it began what it is doing now: its query, or its idleness."""
        return self.state_change if self.state.startswith("idle") else self.query_start


class LockNode(Struct, frozen=True):
    """A session in the lock forest.

    depth: 0 for a root. parent: the blocker it stands under. also: its other blockers. blocks: how many
    sessions wait for it, directly or not. deadlocked: it waits, in a circle, for itself.
    """

    pid: int
    depth: int = 0
    parent: int | None = None
    also: tuple[int, ...] = ()
    blocks: int = 0
    deadlocked: bool = False


def lock_forest(waits: Mapping[int, Iterable[int]]) -> tuple[LockNode, ...]:
    """Who blocks whom, in drawing order: each root, then what waits for it, nearest first.

    waits: blockers by waiting pid, as pg_blocking_pids() gives them: duplicates come from parallel workers,
    0 is a prepared transaction, and a circle is a deadlock that PostgreSQL has not broken yet. The root
    that blocks most comes first. A session with several blockers stands under the first one drawn.

    >>> [(n.pid, n.depth, n.blocks) for n in lock_forest({2: [1], 3: [2, 2], 4: [0]})]
    [(1, 0, 2), (2, 1, 1), (3, 2, 0), (0, 0, 1), (4, 1, 0)]
    >>> [(n.pid, n.depth, n.deadlocked) for n in lock_forest({1: [2], 2: [1]})]
    [(1, 0, True), (2, 1, True)]
    """
    blockers = {pid: tuple(sorted(set(found) - {pid})) for pid, found in waits.items()}
    blockers = {pid: found for pid, found in blockers.items() if found}
    waiters: dict[int, list[int]] = {}
    for pid, found in blockers.items():
        for blocker in found:
            waiters.setdefault(blocker, []).append(pid)
    reach = {pid: _reachable(pid, waiters) for pid in {*waiters, *blockers}}
    counts = {pid: len(found - {pid}) for pid, found in reach.items()}
    order = sorted(waiters, key=lambda pid: (pid in blockers, -counts[pid], pid))
    nodes: list[LockNode] = []
    placed: set[int] = set()
    # Roots first; what they do not reach hangs below a circle, which is drawn from its most blocking member.
    for root in order:
        if root in placed or (root in blockers and root not in reach[root]):
            continue
        _draw(root, waiters, blockers, counts, reach, placed, nodes)
    return tuple(nodes)


def _reachable(start: int, waiters: Mapping[int, Sequence[int]]) -> frozenset[int]:
    """Every session that waits for `start`, directly or not; includes `start` itself when it waits in a
    circle."""
    found: set[int] = set()
    todo = list(waiters.get(start, ()))
    while todo:
        pid = todo.pop()
        if pid not in found:
            found.add(pid)
            todo.extend(waiters.get(pid, ()))
    return frozenset(found)


def _draw(
    root: int,
    waiters: Mapping[int, Sequence[int]],
    blockers: Mapping[int, tuple[int, ...]],
    counts: Mapping[int, int],
    reach: Mapping[int, frozenset[int]],
    placed: set[int],
    nodes: list[LockNode],
) -> None:
    """Append `root` and what waits for it, depth first, without recursion: chains can be hundreds long."""
    todo: list[tuple[int, int, int | None]] = [(root, 0, None)]
    while todo:
        pid, depth, parent = todo.pop()
        if pid in placed:
            continue
        placed.add(pid)
        also = tuple(blocker for blocker in blockers.get(pid, ()) if blocker != parent)
        nodes.append(LockNode(pid, depth, parent, also, counts[pid], pid in reach[pid]))
        below = sorted(waiters.get(pid, ()), key=lambda child: (-counts[child], child), reverse=True)
        todo.extend((child, depth + 1, pid) for child in below if child not in placed)


class DatabaseStatus(Struct, frozen=True):
    """One look at a server. now: the server's clock, epoch seconds UTC.

    connections: by state, largest first. reserved: connections only superusers may open. sessions: those
    that are not idle and those that block, oldest first, at most as many as were asked for; active: how
    many there are. restricted: some sessions hide what they do from planc's role.
    """

    now: float
    version: str
    user: str
    database: str
    max_connections: int
    reserved: int = 0
    connections: tuple[tuple[str, int], ...] = ()
    sessions: tuple[ServerSession, ...] = ()
    active: int = 0
    restricted: bool = False
    in_recovery: bool = False
    locks: tuple[LockNode, ...] = field(default=())

    @property
    def used(self) -> int:
        """Connections in use, planc's own included."""
        return sum(count for _, count in self.connections)

    @property
    def full(self) -> float:
        """Share of the connections an ordinary user can have that are in use, 0 to 1 and more."""
        return self.used / max(1, self.max_connections - self.reserved)

    @property
    def blocked(self) -> int:
        """Sessions that wait for another session's lock."""
        return sum(1 for session in self.sessions if session.blocked_by)

    @property
    def longest_transaction(self) -> ServerSession | None:
        """The client session whose transaction is the oldest."""
        open_ones = [
            session
            for session in self.sessions
            if session.transaction_start is not None and session.backend_type == "client backend"
        ]
        return min(open_ones, key=lambda session: session.transaction_start or 0.0, default=None)

    def session(self, pid: int) -> ServerSession | None:
        """The session of a process id in this look."""
        return next((session for session in self.sessions if session.pid == pid), None)


def oldest_first(sessions: Iterable[ServerSession]) -> tuple[ServerSession, ...]:
    """Sessions by how long they have been doing what they do; those that show no time come last."""
    return tuple(
        sorted(
            sessions,
            key=lambda one: (one.since is None, one.since if one.since is not None else 0.0, one.pid),
        )
    )


class DatabasePort(Protocol):
    """PostgreSQL, read only."""

    @property
    def connected(self) -> bool:
        """Whether there is a connection that the server did not close. Sends nothing."""
        ...

    def connect(self) -> None:
        """Open a connection. Raises PortError."""
        ...

    def activity(self) -> DatabaseStatus:
        """One look at the server, within 10 s. Raises PortError."""
        ...

    def close(self) -> None:
        """Drop the connection; the next look opens one again."""
        ...
