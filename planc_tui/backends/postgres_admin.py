"""What planc changes in PostgreSQL: it cancels queries, terminates sessions, and vacuums.

Invariant: the server itself checks, in the statement that acts, that the pid is still that of the backend that was
chosen, that it is a client's, and that it is not planc's. No other SQL is ever executed here.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from planc_tui.backends.pg_link import APPLICATION, READ_TIMEOUT, PgLink, first_line
from planc_tui.backends.postgres import ACTIVITY, SETTINGS, START, session_of
from planc_tui.core.admin import VacuumEnd, VacuumProgress
from planc_tui.core.database import ServerSession, oldest_first
from planc_tui.core.ports import Denied, PortError, Rejected, Unreachable
from planc_tui.core.text import clean

if TYPE_CHECKING:
    from psycopg import Connection, Error

ACTING_NAME = "planc actions"
POLL = 0.5  # seconds between two looks at a vacuum's progress
CANCEL_TIMEOUT = 3.0
ACTING = {**SETTINGS, "default_transaction_read_only": "off"}
VACUUMING = {"statement_timeout": "0", "lock_timeout": "0", "default_transaction_read_only": "off"}

OTHERS = f"""backend_type = 'client backend' AND pid <> pg_backend_pid()
    AND coalesce(application_name, '') NOT IN ('{APPLICATION}', '{ACTING_NAME}')"""
CLIENTS = f"{ACTIVITY} WHERE {OTHERS}"
EXACTLY = f"FROM pg_stat_activity WHERE pid = %s::int AND {START} = %s AND {OTHERS}"
TERMINATE = f"SELECT pg_terminate_backend(pid) {EXACTLY}"
# A client that has begun its next query since must not have that one cancelled.
CANCEL = (
    f"SELECT pg_cancel_backend(pid) {EXACTLY} AND state = 'active' AND extract(epoch FROM query_start)::float8 = %s"
)
NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"
VACUUM = "VACUUM (ANALYZE)"
PROGRESS = """
SELECT relid::regclass::text, phase, CASE WHEN heap_blks_total > 0
    THEN heap_blks_scanned::float8 / heap_blks_total END FROM pg_stat_progress_vacuum WHERE pid = %s
UNION ALL
SELECT relid::regclass::text, phase, CASE WHEN sample_blks_total > 0
    THEN sample_blks_scanned::float8 / sample_blks_total END FROM pg_stat_progress_analyze WHERE pid = %s
LIMIT 1
"""
SIGNAL_HINT = "GRANT pg_signal_backend TO planc's role; a superuser's session needs a superuser"
# Catalogs that a plain owner may not vacuum are left out for everybody, every time.
_CATALOG = re.compile(r'"(pg|sql)_\w+"')


class PostgresAdmin:
    """Acts on one server. acting, vacuuming: make links with the settings of these names. One connection is kept, for
    one call at a time; a vacuum has its own."""

    def __init__(self, acting: Callable[[], PgLink], vacuuming: Callable[[], PgLink]) -> None:
        self._link = acting()
        self._vacuuming = vacuuming
        self._lock = threading.Lock()

    def now(self) -> float:
        """The server's clock, epoch seconds UTC. Raises PortError."""
        with self._connected() as connection:
            row = connection.execute(NOW.encode()).fetchone()
        return float(row[0]) if row is not None else 0.0

    def sessions(self) -> Sequence[ServerSession]:
        """Every client backend other than planc's own, oldest first. Raises PortError."""
        with self._connected() as connection:
            rows = connection.execute(CLIENTS.encode()).fetchall()
        return oldest_first(session_of(row) for row in rows)

    def cancel(self, session: ServerSession) -> bool:
        """Cancel the query that was seen. False when it is not there any more. Raises PortError."""
        return self._signal(CANCEL, (session.pid, session.backend_start, session.query_start))

    def terminate(self, session: ServerSession) -> bool:
        """Terminate exactly this client backend. False when it is gone. Raises PortError."""
        return self._signal(TERMINATE, (session.pid, session.backend_start))

    def vacuum_analyze(self, progress: Callable[[VacuumProgress], None], stop: Callable[[], bool]) -> VacuumEnd:
        """VACUUM (ANALYZE) of the database; see DatabaseAdmin. Raises PortError."""
        link = self._vacuuming()
        try:
            return _Vacuum(link, self._look).run(progress, stop)
        finally:
            link.close()

    def close(self) -> None:
        """Drop the connection and the way to it."""
        with self._lock:
            self._link.close()

    def _signal(self, sql: str, values: tuple[Any, ...]) -> bool:
        with self._connected() as connection:
            row = connection.execute(sql.encode(), values).fetchone()
        return row is not None and bool(row[0])

    def _look(self, pid: int) -> VacuumProgress | None:
        """What the vacuum or analyze of backend `pid` does now. Raises PortError."""
        with self._connected() as connection:
            row = connection.execute(PROGRESS.encode(), (pid, pid)).fetchone()
        return None if row is None else VacuumProgress(clean(row[0], 120), clean(row[1], 60), row[2])

    @contextmanager
    def _connected(self) -> Iterator[Connection[Any]]:
        """The connection for one quick call; its errors become PortErrors."""
        import psycopg

        with self._lock:
            try:
                self._link.check()
                connection, cutter = self._link.open()
                self._link.sent()
                with cutter.limit(READ_TIMEOUT):
                    yield connection
            except psycopg.Error as error:
                raise fault_of(self._link, error) from None


class _Vacuum:
    """One vacuum on a thread of its own, watched and stopped from the caller's."""

    def __init__(self, link: PgLink, look: Callable[[int], VacuumProgress | None]) -> None:
        self._link = link
        self._look = look
        self._ended = threading.Event()
        self._error: Error | None = None
        self._skipped: list[str] = []

    def run(self, progress: Callable[[VacuumProgress], None], stop: Callable[[], bool]) -> VacuumEnd:
        """Until it ended or was stopped. Raises PortError, and what `progress` raises."""
        import psycopg

        try:
            connection, cutter = self._link.open()
        except psycopg.Error as error:
            raise fault_of(self._link, error) from None
        connection.add_notice_handler(self._noticed)
        threading.Thread(target=self._work, args=(connection,), name="vacuum", daemon=True).start()
        stopped = False
        try:
            while not self._ended.wait(POLL):
                if stopped := stop():
                    break
                self._show(connection.info.backend_pid, progress)
        finally:
            if not self._ended.is_set():
                self._cancel(connection)
            if not self._ended.wait(CANCEL_TIMEOUT):
                cutter.cut()
        if self._error is None:
            return VacuumEnd(skipped=tuple(self._skipped))
        if stopped and self._error.sqlstate == "57014":
            return VacuumEnd(stopped=True, skipped=tuple(self._skipped))
        if stopped:
            raise Unreachable("PostgreSQL does not answer: it is not known whether the vacuum goes on")
        if self._error.sqlstate == "57014":
            raise Rejected("somebody cancelled the vacuum; tables done by then stay done")
        raise fault_of(self._link, self._error)

    def _work(self, connection: Connection[Any]) -> None:
        import psycopg

        try:
            self._link.sent()
            connection.execute(VACUUM.encode())
        except psycopg.Error as error:
            self._error = error
        finally:
            self._ended.set()

    def _noticed(self, notice: Any) -> None:
        text = clean(notice.message_primary or "", 200)
        if notice.severity_nonlocalized == "WARNING" and not _CATALOG.search(text):
            self._skipped.append(text)

    def _show(self, pid: int, progress: Callable[[VacuumProgress], None]) -> None:
        try:
            seen = self._look(pid)
        except PortError:
            return  # the vacuum goes on, whether it can be watched or not
        if seen is not None:
            progress(seen)

    def _cancel(self, connection: Connection[Any]) -> None:
        import psycopg

        try:
            connection.cancel_safe(timeout=CANCEL_TIMEOUT)
        except psycopg.Error:
            return  # the caller cuts the connection next


def fault_of(link: PgLink, error: Error) -> PortError:
    """What to say about an error: a server that refuses says why itself."""
    state = error.sqlstate or ""
    if state == "42501":
        return Denied(first_line(str(error)), verb="signal", resource="this session", hint=SIGNAL_HINT)
    if state and state[:2] not in ("08", "28", "53", "57", "3D"):
        return Rejected(first_line(str(error)), reason=state)
    return link.fault(error)
