"""Reads what fires in Alertmanager.

Invariant: two requests per read; an alert that is gone from the list is resolved only because the list was read.
"""

from __future__ import annotations

from planc_tui.core.alerts import AlertsPort, AlertsReport
from planc_tui.core.store import Topic

ALERTS: Topic[AlertsReport] = Topic("alerts", stale_after=65.0)


class AlertsSource:
    """Alerts and silences of one Alertmanager."""

    topic = ALERTS
    interval = 30.0

    def __init__(self, port: AlertsPort) -> None:
        self._port = port

    def read(self) -> AlertsReport:
        """What fires now. Raises PortError."""
        return self._port.report()

    def close(self) -> None:
        """Drop the connection to Alertmanager."""
        self._port.close()
