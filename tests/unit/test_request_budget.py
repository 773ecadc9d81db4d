"""What planc sends to systems that nothing happens on, and to systems that are away."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from planc_tui.backends import http, pg_link, rabbitmq
from planc_tui.backends.rabbitmq import RabbitmqPort
from planc_tui.core.alerts import AlertsReport, Silence
from planc_tui.core.broker import QueueStat
from planc_tui.core.clock import FakeClock
from planc_tui.core.cluster.topics import NODE_USAGE, POD_USAGE
from planc_tui.core.database import DatabaseStatus
from planc_tui.core.ports import Unreachable
from planc_tui.core.slo import Sample
from planc_tui.core.stats import BUDGET, RequestStats
from planc_tui.core.store import Store, Topic
from planc_tui.playbook.loader import default
from planc_tui.sources import alerts, base, database, kube, link, metrics, queues, slo
from planc_tui.sources.alerts import ALERTS, AlertsSource
from planc_tui.sources.base import Poller, Source
from planc_tui.sources.database import DATABASE, DatabaseSource
from planc_tui.sources.kube import kube_feeds
from planc_tui.sources.link import LinkFeed
from planc_tui.sources.queues import QUEUES, QueueSource
from planc_tui.sources.slo import SLO, SloSource
from tests.unit.fakes import FakePort

# Requests a minute. A measurement counts as a pulse, so that pulses fill the gaps between measurements alone.
PULSES = 60 / metrics.INTERVAL * (metrics.INTERVAL // link.PULSE)
USAGE = 60 / metrics.INTERVAL + 60 / metrics.SELDOM_INTERVAL
BESIDE = (
    60 / database.INTERVAL
    + 60 / slo.INTERVAL
    + 60 / slo.BUDGET_EVERY
    + (1 + 1 / alerts.LOOKS_PER_SILENCES) * 60 / alerts.INTERVAL
)
QUEUES_BY = {
    "management": 60 / queues.INTERVAL + 60 / rabbitmq.ALARMS_EVERY,
    "AMQP": 60 / queues.INTERVAL,
    "AMQP, with a management API that does not answer": 60 / queues.INTERVAL + 60 / rabbitmq.LONGEST_RETRY,
}


@pytest.mark.parametrize("way", QUEUES_BY)
def test_all_sources_together_stay_within_the_budget(way: str) -> None:
    assert PULSES + USAGE + BESIDE + QUEUES_BY[way] <= 29


def test_trying_an_api_server_that_is_away_costs_no_more_than_its_pulses_and_usage() -> None:
    assert 60 / (sum(link.RETRY_AWAY) / 2) + BESIDE + QUEUES_BY["management"] <= BUDGET


def test_a_frozen_system_is_noticed_in_time_and_a_late_answer_makes_nothing_old() -> None:
    limits: dict[Topic[Any], tuple[float, float]] = {
        DATABASE: (database.INTERVAL, pg_link.READ_TIMEOUT),
        QUEUES: (queues.INTERVAL, http.READ_TIMEOUT),
        SLO: (slo.INTERVAL, http.READ_TIMEOUT),
        ALERTS: (alerts.INTERVAL, http.READ_TIMEOUT),
        POD_USAGE: (metrics.INTERVAL, metrics.DEADLINE),
        NODE_USAGE: (metrics.INTERVAL, metrics.DEADLINE),
    }
    for topic, (interval, limit) in limits.items():
        assert interval + limit <= 26
        assert interval + max(base.PATIENCE + 1, base.ANSWER) <= topic.stale_after <= 26
    assert link.PULSE + link.DEADLINE < 9
    assert link.PULSE + link.PATIENCE + link.DEADLINE < 13


class World(FakePort):
    """Everything that planc asks, as all of its ports. away: what answers nothing."""

    def __init__(self, away: str = "") -> None:
        super().__init__()
        self.clock, self.stats, self.away = FakeClock(monotonic=1000.0), RequestStats(), away
        self.sent: list[float] = []

    def _ask(self, what: str, times: int = 1) -> None:
        for _ in range(times):
            self.stats.request(what, self.clock.monotonic())
            self.sent.append(self.clock.monotonic())
            if what == self.away:
                raise Unreachable(f"{what} is away")

    def request(self, method: str, path: str, **_: Any) -> bytes:
        self._ask("metrics-server" if "metrics.k8s.io" in path and self.away != "API server" else "API server")
        return b'{"gitVersion":"v1.37.2"}' if path == "/version" else b'{"kind":"MetricsList","items":[]}'

    def activity(self) -> DatabaseStatus:
        self._ask("PostgreSQL")
        return DatabaseStatus(0.0, "15", "u", "d", 100)

    def queues(self) -> tuple[tuple[QueueStat, ...], int]:
        self._ask("RabbitMQ")
        return (), 0

    def alarms(self) -> tuple[str, ...]:
        self._ask("RabbitMQ")
        return ()

    def query(self, promql: str) -> tuple[Sample, ...]:
        self._ask("Prometheus")
        return ()

    def report(self, silences: Sequence[Silence] | None = None) -> AlertsReport:
        self._ask("Alertmanager", 2 if silences is None else 1)
        return AlertsReport()

    def feeds(self) -> list[LinkFeed | Poller[Any]]:
        """Feeds that ask all of it, needed."""
        store, crowded = Store(), lambda: self.stats.crowded(self.clock.monotonic())
        kube = kube_feeds(self, store, self.clock, "shop", Random(1), crowded)
        management: Any = self  # only what is called
        broker = RabbitmqPort((), "/", None, management, self.clock)
        ports: Any = self
        sources: list[Source[Any]] = [
            DatabaseSource(ports),
            QueueSource(broker, self.clock),
            SloSource(ports, default().slos, self.clock),
            AlertsSource(ports),
        ]
        found: list[LinkFeed | Poller[Any]] = [feed for feed in kube.feeds if isinstance(feed, LinkFeed | Poller)]
        found += [Poller(source, store, self.clock, None, 0.7, crowded) for source in sources]
        for feed in found:
            feed.want(True)
        return found

    def run(self, seconds: float) -> int:
        """Turn all feeds as their threads would. Returns the requests of the busiest minute after the first one."""
        due = dict.fromkeys(self.feeds(), 0.0)
        start = self.clock.monotonic()
        while (now := self.clock.monotonic()) < start + seconds:
            for feed, at in due.items():
                if at <= now:
                    wait = feed.step()
                    due[feed] = float("inf") if wait is None else now + wait
            self.clock.advance(0.1)
        later = [at for at in self.sent if at >= start + 60]
        return max(sum(first <= at < first + 60 for at in later) for first in later)


AWAY = ["", "API server", "metrics-server", "PostgreSQL", "RabbitMQ", "Prometheus", "Alertmanager"]


@pytest.mark.parametrize("away", AWAY)
def test_the_busiest_minute_is_within_the_budget(away: str) -> None:
    assert World(away).run(900) <= BUDGET


def test_a_system_that_is_away_is_tried_often_enough_to_be_live_ten_seconds_after_its_return() -> None:
    assert max(base.LONGEST_RETRY, kube.USAGE_RETRY) + base.PATIENCE_AWAY <= 9.5
    assert base.LONGEST_RETRY + base.PATIENCE_AWAY <= 8.5
    assert max(link.RETRY_AWAY) + link.DEADLINE <= 9.5
