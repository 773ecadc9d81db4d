"""Reads what fires in Alertmanager.

Invariant: an alert that is gone from the list is resolved only because the list was read; silences are read at every
fourth look, and at the next one when another set of silences keeps alerts quiet than before.
"""

from __future__ import annotations

from planc_tui.core.alerts import AlertsPort, AlertsReport
from planc_tui.core.store import Topic

ALERTS: Topic[AlertsReport] = Topic("alerts", stale_after=29.0)
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

    @property
    def cost(self) -> int:
        return 1 if self._known() is not None else 2

    def read(self) -> AlertsReport:
        """What fires now. Raises PortError."""
        last = self._known()
        # After a failure there is one look with the silences of before, because one request is sooner answered.
        looks, self._looks = self._looks, LOOKS_PER_SILENCES - 1
        if last is None:
            report = self._port.report()
            self._looks = 1
        else:
            report = self._port.report(last.silences)
            self._looks = looks + 1 if _muting(report) == _muting(last) else LOOKS_PER_SILENCES
        self._last = report
        return report

    def _known(self) -> AlertsReport | None:
        """The last report, as long as its silences are good for another look."""
        return self._last if self._looks < LOOKS_PER_SILENCES else None

    def close(self) -> None:
        """Drop the connection to Alertmanager."""
        self._last = None
        self._port.close()


def _muting(report: AlertsReport) -> frozenset[str]:
    """Ids of the silences that keep alerts quiet."""
    return frozenset(name for alert in report.alerts for name in alert.silenced_by)
