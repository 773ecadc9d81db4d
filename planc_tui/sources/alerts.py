"""Reads what fires in Alertmanager.

Invariant: an alert that is gone from the list is resolved only because the list was read; silences are read at every
fourth look, and at the next one when another set of silences keeps alerts quiet than before.
"""

from __future__ import annotations

from planc_tui.core.alerts import AlertsPort, AlertsReport
from planc_tui.core.store import Topic

ALERTS: Topic[AlertsReport] = Topic("alerts", stale_after=30.0)
INTERVAL = 20.0
LOOKS_PER_SILENCES = 4


class AlertsSource:
    """Alerts and silences of one Alertmanager."""

    topic = ALERTS
    interval = INTERVAL

    def __init__(self, port: AlertsPort) -> None:
        self._port = port
        self._last: AlertsReport | None = None
        self._looks = 0

    def read(self) -> AlertsReport:
        """What fires now. Raises PortError."""
        last, self._last = self._last, None
        if last is None or self._looks >= LOOKS_PER_SILENCES:
            report = self._port.report()
            self._looks = 1
        else:
            report = self._port.report(last.silences)
            self._looks += 1
            if _muting(report) != _muting(last):
                self._looks = LOOKS_PER_SILENCES
        self._last = report
        return report

    def close(self) -> None:
        """Drop the connection to Alertmanager."""
        self._last = None
        self._port.close()


def _muting(report: AlertsReport) -> frozenset[str]:
    """Ids of the silences that keep alerts quiet."""
    return frozenset(name for alert in report.alerts for name in alert.silenced_by)
