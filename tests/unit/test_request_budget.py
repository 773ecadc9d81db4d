"""What planc sends to systems that nothing happens on."""

from __future__ import annotations

from planc_tui.sources import database, link, metrics, queues, slo
from planc_tui.sources.alerts import ALERTS, AlertsSource
from planc_tui.sources.database import DATABASE
from planc_tui.sources.queues import QUEUES
from planc_tui.sources.slo import SLO

INTERVALS = (
    link.PULSE,
    metrics.POD_INTERVAL,
    metrics.NODE_INTERVAL,
    database.INTERVAL,
    queues.MANAGEMENT_INTERVAL,
    slo.INTERVAL,
    AlertsSource.interval / 2,  # alerts, and silences
)


def test_all_sources_together_stay_within_thirty_requests_a_minute() -> None:
    assert sum(60 / interval for interval in INTERVALS) <= 30


def test_one_late_answer_does_not_make_a_reading_old() -> None:
    for topic, interval in (
        (DATABASE, database.INTERVAL),
        (QUEUES, queues.MANAGEMENT_INTERVAL),
        (SLO, slo.INTERVAL),
        (ALERTS, AlertsSource.interval),
    ):
        assert topic.stale_after >= 2 * interval
