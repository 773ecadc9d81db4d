"""Reads what fires in Alertmanager.

Invariant: an alert that is gone from the list is resolved only because the list was read; what fires never waits for
who silenced it, which is read once for each set of silences that keeps alerts quiet.
"""

from __future__ import annotations

from planc_tui.core.alerts import AlertsPort, AlertsReport, Silence
from planc_tui.core.steps import Steps
from planc_tui.core.store import Topic

ALERTS: Topic[AlertsReport] = Topic("alerts", stale_after=29.0)
INTERVAL = 20.0


class AlertsSource:
    """Alerts and silences of one Alertmanager."""

    topic = ALERTS
    interval = INTERVAL

    def __init__(self, port: AlertsPort) -> None:
        self._port = port
        self._silences: tuple[Silence, ...] = ()
        self._unread: frozenset[str] = frozenset()
        self._read: frozenset[str] = frozenset()

    def read(self) -> Steps[AlertsReport]:
        """What fires now, and the silences that the last look missed. Raises PortError."""
        # Forgotten before it is asked: a try after a failure asks for what fires alone.
        unread, self._unread = self._unread, frozenset()
        if unread:
            yield
            self._silences = self._port.list_silences()
            self._read |= unread
        yield
        report = self._port.report(self._silences)
        self._read &= _muting(report)
        self._unread = _muting(report) - self._read
        return report

    def close(self) -> None:
        """Drop the connection to Alertmanager."""
        self._unread = self._read = frozenset()
        self._port.close()


def _muting(report: AlertsReport) -> frozenset[str]:
    """Ids of the silences that keep alerts quiet."""
    return frozenset(name for alert in report.alerts for name in alert.silenced_by)
