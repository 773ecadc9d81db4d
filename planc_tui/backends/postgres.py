"""PostgreSQL, watched over one connection of its own (psycopg, synchronous).

Invariant: planc's connection is read-only, in autocommit, never idle in a transaction, and no call on it
takes longer than its limit, whatever the server and the network do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planc_tui.backends.pg_link import READ_TIMEOUT, PgLink
from planc_tui.core.database import DatabaseStatus, ServerSession, lock_forest, oldest_first
from planc_tui.core.text import clean

if TYPE_CHECKING:
    from psycopg import Cursor

SESSIONS_AT_MOST = 500
QUERY_LIMIT = 20_000
SETTINGS = {
    "statement_timeout": "5000",
    "lock_timeout": "1000",
    "idle_in_transaction_session_timeout": "10000",
    "default_transaction_read_only": "on",
}

SERVER = """
SELECT extract(epoch FROM clock_timestamp())::float8, current_setting('server_version'), current_user::text,
    current_database()::text, current_setting('max_connections')::int,
    current_setting('superuser_reserved_connections')::int
        + coalesce(current_setting('reserved_connections', true)::int, 0),
    pg_is_in_recovery(), coalesce((SELECT sum(numbackends) FROM pg_stat_database WHERE datid <> 0), 0)::int,
    pg_has_role('pg_read_all_stats', 'USAGE')
"""
CONNECTIONS = """
SELECT coalesce(nullif(state, ''), 'starting'), count(*)::int FROM pg_stat_activity
WHERE backend_type = 'client backend' GROUP BY 1 ORDER BY 2 DESC, 1
"""
START = """to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
# pg_blocking_pids() takes every lock of the lock manager for a moment: it is asked for waiting sessions alone.
ACTIVITY = f"""
WITH activity AS (
    SELECT *, CASE WHEN wait_event_type = 'Lock' THEN pg_blocking_pids(pid) ELSE '{{}}' END AS blockers
    FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_start IS NOT NULL
)
SELECT pid, {START},
    coalesce(usename::text, ''), coalesce(datname::text, ''), coalesce(application_name, ''),
    coalesce(nullif(client_hostname, ''), host(client_addr), 'local'), coalesce(state, ''),
    concat_ws(': ', wait_event_type, wait_event), coalesce(backend_type, ''), left(coalesce(query, ''), {QUERY_LIMIT}),
    extract(epoch FROM xact_start)::float8, extract(epoch FROM query_start)::float8,
    extract(epoch FROM state_change)::float8, blockers, count(*) OVER ()::int
FROM activity
"""
SESSIONS = f"""
{ACTIVITY}
WHERE (backend_type IN ('client backend', 'parallel worker') AND state <> 'idle')
    OR pid IN (SELECT unnest(blockers) FROM activity)
    OR (wait_event_type = 'Lock' AND backend_type <> 'client backend')
ORDER BY cardinality(blockers) = 0, coalesce(query_start, backend_start) LIMIT {SESSIONS_AT_MOST}
"""
HIDDEN = "hidden from planc"


class PostgresPort:
    """Reads one server's activity. Used by one thread at a time."""

    def __init__(self, link: PgLink) -> None:
        self._link = link

    @property
    def connected(self) -> bool:
        """Whether there is a connection that the server did not close."""
        return self._link.check()

    def connect(self) -> None:
        """Open a connection, if there is none. Raises PortError."""
        import psycopg

        try:
            self._link.open()
        except psycopg.Error as error:
            raise self._link.fault(error) from None

    def activity(self) -> DatabaseStatus:
        """One look at the server. Raises PortError."""
        import psycopg

        try:
            connection, cutter = self._link.open()
            with cutter.limit(READ_TIMEOUT):
                self._link.sent()
                status = _status(connection.execute(f"{SERVER};{CONNECTIONS};{SESSIONS}".encode()))
            self._link.answered()
            return status
        except psycopg.Error as error:
            raise self._link.fault(error) from None

    def close(self) -> None:
        """Drop the connection and the way to it."""
        self._link.close()


def _status(cursor: Cursor[Any]) -> DatabaseStatus:
    """Build the value from the three results of one round trip."""
    server = cursor.fetchone()
    cursor.nextset()
    counted = cursor.fetchall()
    cursor.nextset()
    rows = cursor.fetchall()
    sessions = oldest_first(session_of(row) for row in rows)
    assert server is not None  # a SELECT without FROM has one row
    now, version, user, database, most, reserved, in_recovery, backends, sees_all = server
    # A role without pg_monitor sees its own sessions alone; how many others there are is public.
    hidden = 0 if sees_all else max(0, backends - sum(count for _, count in counted))
    states = [(clean(state, 40), count) for state, count in counted]
    return DatabaseStatus(
        now=now,
        version=clean(version, 40),
        user=clean(user, 80),
        database=clean(database, 80),
        max_connections=most,
        reserved=reserved,
        connections=tuple([*states, (HIDDEN, hidden)] if hidden else states),
        sessions=sessions,
        active=rows[0][-1] if rows else 0,
        restricted=hidden > 0,
        in_recovery=in_recovery,
        locks=lock_forest({session.pid: session.blocked_by for session in sessions if session.blocked_by}),
    )


def session_of(row: tuple[Any, ...]) -> ServerSession:
    """A row of `ACTIVITY`, harmless."""
    pid, start, user, database, application, client, state, wait, kind, query, xact, begun, changed, blockers, _ = row
    return ServerSession(
        pid=pid,
        backend_start=start,
        user=clean(user, 80),
        database=clean(database, 80),
        application=clean(application, 80),
        client=clean(client, 80),
        state=clean(state, 40),
        wait=clean(wait, 60),
        backend_type=clean(kind, 40),
        query=_statement(query),
        transaction_start=xact,
        query_start=begun,
        state_change=changed,
        blocked_by=tuple(blockers),
    )


def _statement(query: str) -> str:
    """SQL as it was sent, harmless, line by line: the operator wants all of it, however long its lines are."""
    return "\n".join(clean(line, QUERY_LIMIT) for line in query.expandtabs(4).split("\n"))
