"""Reads the database's activity.

Invariant: nothing is asked while no pane and no rule needs it, and one look is one request once there is a connection.
"""

from __future__ import annotations

from planc_tui.core.database import DatabasePort, DatabaseStatus
from planc_tui.core.steps import Steps
from planc_tui.core.store import Topic

DATABASE: Topic[DatabaseStatus] = Topic("database", stale_after=26.0)
INTERVAL = 15.0


class DatabaseSource:
    """PostgreSQL's sessions, every few seconds."""

    topic = DATABASE
    interval = INTERVAL

    def __init__(self, port: DatabasePort) -> None:
        self._port = port

    def read(self) -> Steps[DatabaseStatus]:
        """One look, over a connection that is opened first where there is none. Raises PortError."""
        if not self._port.connected:
            yield
            self._port.connect()
        yield
        return self._port.activity()

    def close(self) -> None:
        """Give the connection back to the server."""
        self._port.close()
