"""Reads the database's activity.

Invariant: nothing is asked while no pane and no rule needs it, and one look is one request.
"""

from __future__ import annotations

from planc_tui.core.database import DatabasePort, DatabaseStatus
from planc_tui.core.store import Topic

DATABASE: Topic[DatabaseStatus] = Topic("database", stale_after=26.0)
INTERVAL = 15.0


class DatabaseSource:
    """PostgreSQL's sessions, every few seconds."""

    topic = DATABASE
    interval = INTERVAL

    def __init__(self, port: DatabasePort) -> None:
        self._port = port
        self._connected = False

    @property
    def cost(self) -> int:
        """One request, and one for a connection where there is none."""
        return 1 if self._connected else 2

    def read(self) -> DatabaseStatus:
        """One look. Raises PortError."""
        self._connected = False
        status = self._port.activity()
        self._connected = True
        return status

    def close(self) -> None:
        """Give the connection back to the server."""
        self._connected = False
        self._port.close()
