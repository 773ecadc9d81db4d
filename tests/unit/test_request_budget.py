"""What planc sends to systems that nothing happens on, and to systems that are away."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise, permutations, product
from math import ceil, inf
from random import Random
from typing import Any

import pytest

from planc_tui.backends import http, pg_link, rabbitmq
from planc_tui.backends.rabbitmq import RabbitmqPort
from planc_tui.core.alerts import Alert, AlertsReport, Silence
from planc_tui.core.allowance import BUDGET, Allowance
from planc_tui.core.answer_limit import AnswerLimit
from planc_tui.core.broker import QueueStat
from planc_tui.core.clock import FakeClock
from planc_tui.core.cluster.topics import LINK, NODE_USAGE, POD_USAGE
from planc_tui.core.database import DatabaseStatus
from planc_tui.core.health import Health
from planc_tui.core.ports import LoginExpired, NoAnswer, NoConnection, PortError, ServiceAway, Unreachable
from planc_tui.core.slo import Sample
from planc_tui.core.stats import RequestStats
from planc_tui.core.store import Store, Topic
from planc_tui.playbook.loader import default
from planc_tui.sources import alerts, base, database, link, metrics, queues, slo
from planc_tui.sources.alerts import ALERTS, AlertsSource
from planc_tui.sources.base import Poller, Source
from planc_tui.sources.database import DATABASE, DatabaseSource
from planc_tui.sources.kube import USAGE_AFTER, WATCHED, kube_feeds
from planc_tui.sources.link import LinkFeed
from planc_tui.sources.queues import QUEUES, QueueSource
from planc_tui.sources.slo import SLO, SloSource
from planc_tui.wiring import SYSTEMS_AFTER
from tests.unit.fakes import FakePort

Feed = LinkFeed | Poller[Any]

# Requests a minute. A measurement counts as a pulse, so that pulses fill the gaps between measurements alone.
PULSES = 60 / metrics.INTERVAL * (metrics.INTERVAL // link.PULSE)
USAGE = 60 / metrics.INTERVAL + 60 / metrics.SELDOM_INTERVAL
BESIDE = 60 / database.INTERVAL + 60 / slo.INTERVAL + 60 / slo.BUDGET_EVERY + 60 / alerts.INTERVAL
# Seconds that planc waits for an answer, as long as answers come.
PATIENT_FOR = {
    "API server": link.DEADLINE,
    "metrics-server": metrics.DEADLINE,
    "PostgreSQL": pg_link.READ_TIMEOUT,
    "RabbitMQ": http.READ_TIMEOUT,
    "Prometheus": http.READ_TIMEOUT,
    "Alertmanager": http.READ_TIMEOUT,
}
# Who says what a topic says; usage comes by way of the API server.
SYSTEM_OF = {
    LINK.name: "API server",
    POD_USAGE.name: "metrics-server",
    NODE_USAGE.name: "metrics-server",
    DATABASE.name: "PostgreSQL",
    QUEUES.name: "RabbitMQ",
    SLO.name: "Prometheus",
    ALERTS.name: "Alertmanager",
}
# Seconds of an absence after which its panes say why: a value that was read just before it is old after 30.
TOLD_WITHIN = 31.0
# Seconds after which the sources no longer ask all at once, as they do at the start.
SETTLED = 150.0
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
        assert interval + base.PATIENCE + limit <= 31
        assert max(interval + base.PATIENCE + 1, interval * base.LEEWAY) <= topic.stale_after <= 1.75 * interval
    assert link.PULSE + link.DEADLINE < 9
    assert link.PULSE + link.PATIENCE + link.DEADLINE < 13


class World(FakePort):
    """Everything that planc asks, as all of its ports.

    away: what is away, from `gone` to `back` (seconds since the start). how: "stopped" takes no connection, "frozen"
    takes a request and does not answer, "sick" answers at once that something is wrong, and "refusing" that the login
    is; of all or of each. old: what was shown as old though it is well. untold: what did not say in time that it is
    away."""

    def __init__(
        self,
        away: frozenset[str] = frozenset(),
        how: str | Mapping[str, str] = "sick",
        gone: float = 0.0,
        back: float = inf,
    ) -> None:
        super().__init__()
        self.clock, self.stats, self.store = FakeClock(monotonic=1000.0), RequestStats(WATCHED), Store()
        self.away, self.gone, self.back = away, 1000.0 + gone, 1000.0 + back
        self.how = dict.fromkeys(away, how) if isinstance(how, str) else how
        self.answered: dict[str, list[float]] = defaultdict(list)
        self.sent: list[float] = []
        self.tries: dict[str, list[float]] = defaultdict(list)
        self.old: set[str] = set()
        self.untold: set[str] = set()
        self.whole_at = inf
        self.limits = {what: AnswerLimit(usual) for what, usual in PATIENT_FOR.items()}
        self.waits: dict[str, float] = {}

    def state(self, what: str) -> str:
        """How `what` is away now; empty when it is there."""
        return self.how[what] if what in self.away and self.gone <= self.clock.monotonic() < self.back else ""

    def _ask(self, what: str, source: str) -> None:
        now = self.clock.monotonic()
        gone = self.state(what)
        self.stats.request(source, now)
        unreached = gone == "stopped" and what != "metrics-server"  # the API server answers for it
        if unreached:
            self.stats.withdraw(source)
        else:
            self.sent.append(now)
        if gone:
            self.tries[what].append(now)
            raise self._fault(what, unreached)
        self.limits[what].settle()
        self.answered[what].append(now)

    def _fault(self, what: str, unreached: bool) -> PortError:
        if self.how[what] == "refusing" and what != "metrics-server":  # the login is the API server's
            return LoginExpired(f"{what} does not accept the login")
        if self.how[what] != "frozen":
            if what == "metrics-server":
                return ServiceAway("the API server says so")
            return (NoConnection if unreached else Unreachable)(f"{what} is away")
        self.waits[what] = PATIENT_FOR[what] if what == "API server" else self.limits[what].seconds
        self.clock.advance(self.waits[what])
        silence = NoAnswer(f"{what} is silent")
        self.limits[what].settle(silence)
        return silence

    def request(self, method: str, path: str, *, source: str = "", **_: Any) -> bytes:
        measured = "metrics.k8s.io" in path and "API server" not in self.away
        self._ask("metrics-server" if measured else "API server", source)
        return b'{"gitVersion":"v1.37.2"}' if path == "/version" else b'{"kind":"MetricsList","items":[]}'

    def queues(self) -> tuple[tuple[QueueStat, ...], int]:
        self._ask("RabbitMQ", "queues")
        return (), 0

    def alarms(self) -> tuple[str, ...]:
        self._ask("RabbitMQ", "queues")
        return ()

    def query(self, promql: str) -> tuple[Sample, ...]:
        self._ask("Prometheus", "slo")
        return ()

    def list_silences(self) -> tuple[Silence, ...]:
        self._ask("Alertmanager", "alerts")
        return ()

    def report(self, silences: Sequence[Silence] | None = None) -> AlertsReport:
        self._ask("Alertmanager", "alerts")
        return AlertsReport((Alert("f", {"alertname": "muted"}, 0.0, silenced_by=("s",)),))

    def sources(self) -> list[Source[Any]]:
        """What is read beside the cluster."""
        management: Any = self  # only what is called
        ports: Any = self
        amqp: Any = Connection(self, "RabbitMQ", "queues")
        broker = RabbitmqPort(("tasks",), "/", amqp, management, self.clock)
        return [
            DatabaseSource(Connection(self, "PostgreSQL", "database")),
            QueueSource(broker, self.clock),
            SloSource(ports, default().slos, self.clock),
            AlertsSource(ports),
        ]

    def feeds(self) -> list[Feed]:
        """Feeds that ask all of it, needed."""
        allowance, rng = Allowance(self.stats, self.clock), Random(1)
        kube = kube_feeds(self, self.store, self.clock, "shop", rng, allowance)
        found: list[Feed] = [feed for feed in kube.feeds if isinstance(feed, LinkFeed | Poller)]
        found += [Poller(source, self.store, self.clock, allowance=allowance, rng=rng) for source in self.sources()]
        for feed in found:
            feed.want(True)
        return found

    def run(self, seconds: float, press_every: float = 0.0) -> None:
        """Turn all feeds as their threads would, in tenths of a second. press_every: seconds between two presses of
        ctrl-r, 0 for none."""
        feeds = self.feeds()
        start = now = self.clock.monotonic()
        due = {feed: start + self._begins_after(feed) - 1e-6 for feed in feeds}  # sums of tenths are not exact
        reading = due.copy()
        pressed = start + press_every if press_every else inf
        while now < start + seconds:
            if now >= start + SETTLED and (now < self.back or self.whole_at < inf):
                self._look_for_old(now, feeds)
            if self.gone + TOLD_WITHIN <= now < self.back:
                self._look_for_untold(feeds)
            if now >= pressed:
                pressed = now + press_every
                for feed in feeds:
                    feed.kick()
            for feed in feeds:
                if now >= due[feed] or (now >= reading[feed] and feed._wake.is_set()):
                    feed._wake.clear()
                    wait = feed.step()
                    reading[feed] = self.clock.monotonic()
                    due[feed] = inf if wait is None else reading[feed] + wait
                    self.clock.advance(now - reading[feed])  # the others do not wait with it
            if now >= self.back and self.whole_at == inf:
                self._look_whether_whole(now, feeds)
            woken = [reading[feed] for feed in feeds if feed._wake.is_set()]
            self.clock.advance(max(1, ceil((min(pressed, *due.values(), *woken) - now) * 10 - 1e-6)) / 10)
            now = self.clock.monotonic()

    def _begins_after(self, feed: Feed) -> float:
        """Seconds after the pods, as its thread waits; the pods come at once here."""
        if isinstance(feed, LinkFeed):
            return 0.0
        return USAGE_AFTER if "usage" in feed.name else SYSTEMS_AFTER

    def _look_whether_whole(self, now: float, feeds: Sequence[Feed]) -> None:
        if all(self.store.peek(topic).health(now) is Health.LIVE for feed in feeds for topic in feed.topics):
            self.whole_at = now

    def _look_for_old(self, now: float, feeds: Sequence[Feed]) -> None:
        """What grew old since the last turn, and no turn made fresh: so it is looked for before each. What was away is
        old until it is read again."""
        absent = self.away if self.gone <= now and self.whole_at == inf else frozenset()
        for topic in (topic for feed in feeds for topic in feed.topics if SYSTEM_OF[topic.name] not in absent):
            reading = self.store.peek(topic)
            if reading.fault is None and reading.health(now) is Health.STALE:
                self.old.add(topic.name)

    def _look_for_untold(self, feeds: Sequence[Feed]) -> None:
        for topic in (topic for feed in feeds for topic in feed.topics if SYSTEM_OF[topic.name] in self.away):
            if self.store.peek(topic).fault is None:
                self.untold.add(topic.name)

    @property
    def busiest(self) -> int:
        """Requests of the busiest minute."""
        return max((bisect_right(self.sent, first + 59.9) - i for i, first in enumerate(self.sent)), default=0)

    @property
    def return_unseen(self) -> float:
        """Seconds from the return until everything is live again; of frozen systems, until the first answer of the last
        of those that no request waited at."""
        if "frozen" not in self.how.values():
            return self.whole_at - self.back
        longest = 0.0
        for what, tries in self.tries.items():
            held = tries[-1] + self.waits.get(what, 0.0) > self.back
            if not held:  # else the request that waits is answered at once
                longest = max(longest, next(at for at in self.answered[what] if at >= self.back) - self.back)
        return longest

    @property
    def blind(self) -> float:
        """The longest time in which something that came back would not have been noticed, once all has settled."""
        gaps = [0.0]
        for what, tries in self.tries.items():
            pending = self.waits.get(what, 0.0)
            settled = [at for at in tries if at >= 1000.0 + SETTLED]
            gaps += [after - before - pending for before, after in pairwise(settled)]
        return max(gaps)


class Connection:
    """A system of the world that is asked over a connection; to open it is a request, too."""

    def __init__(self, world: World, what: str, source: str) -> None:
        self._world, self._what, self._source, self._open = world, what, source, False

    @property
    def connected(self) -> bool:
        """Who stops, or ends the sessions and does not let them in again, closes what was open."""
        return self._open and self._world.state(self._what) not in ("stopped", "refusing")

    def connect(self) -> None:
        self._world._ask(self._what, self._source)
        self._open = True

    def _ask(self) -> None:
        assert self._open
        self._open = False
        self.connect()

    def activity(self) -> DatabaseStatus:
        self._ask()
        return DatabaseStatus(0.0, "15", "u", "d", 100)

    def depths(self, names: Sequence[str]) -> tuple[QueueStat, ...]:
        self._ask()
        return ()

    def close(self) -> None:
        self._open = False


SYSTEMS = ("metrics-server", "PostgreSQL", "RabbitMQ", "Prometheus", "Alertmanager")
HOW = ("stopped", "frozen", "sick")
ERRORS = ("sick", "refusing")
EVERY_WAY = (*HOW, "refusing")


def some_away(count: int) -> list[frozenset[str]]:
    """Every choice of `count` systems. While the API server is away, metrics-server is as well."""
    without = [frozenset(chosen) for chosen in combinations(SYSTEMS, count)]
    return without + [frozenset(["API server", *chosen]) for chosen in combinations(SYSTEMS[1:], count - 1)]


@pytest.mark.parametrize("how", HOW)
def test_a_step_of_a_read_sends_no_more_than_one_request(how: str) -> None:
    world = World(frozenset(SYSTEMS), how, 300.0, 700.0)
    sources, failed = world.sources(), 0
    for _ in range(100):
        for source in sources:
            before = len(world.sent)
            try:
                for _ in source.read():
                    assert len(world.sent) - before <= 1, source.topic.name
                    before = len(world.sent)
            except PortError:
                failed += 1
            assert len(world.sent) - before <= 1, source.topic.name
        world.clock.advance(10.0)
    assert 0 < failed < 100 * len(sources)


def test_nothing_is_old_and_the_busiest_minute_is_within_the_budget_while_all_is_well() -> None:
    world = World()
    world.run(900)
    assert world.busiest <= BUDGET
    assert world.old == set()


@pytest.mark.parametrize("how", EVERY_WAY)
@pytest.mark.parametrize("away", some_away(1), ids=", ".join)
def test_one_system_that_is_away_makes_no_other_old_and_its_return_is_noticed(away: frozenset[str], how: str) -> None:
    world = World(away, how)
    world.run(900)
    assert world.busiest <= BUDGET
    assert world.old == set()
    assert world.blind <= 9.4


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_the_busiest_minute_is_within_the_budget_however_many_systems_are_away(count: int, how: str) -> None:
    # A system that answers at once that something is wrong costs a request a try: three of them ask for more than the
    # budget.
    blind = {"stopped": 9.2, "frozen": 3.7, "sick": 9.2 if count == 2 else 14.9}[how]
    for away in some_away(count):
        world = World(away, how)
        world.run(400)
        assert world.busiest <= BUDGET, away
        assert world.blind <= blind, away


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_the_first_minute_asks_for_everything_once_and_is_within_the_budget_too(count: int, how: str) -> None:
    within = 9.9 if how != "sick" or count <= 2 else 12.9
    for away, gone, lasted in product(some_away(count), (5.0, 25.0), (30.0, 45.0)):
        world = World(away, how, gone, gone + lasted)
        world.run(gone + lasted + 40.0)
        assert world.busiest <= BUDGET, (away, gone, lasted)
        assert world.return_unseen <= within, (away, gone, lasted)


@pytest.mark.parametrize("how", EVERY_WAY)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_whenever_it_goes_and_however_long_it_is_away_the_return_is_seen_in_time(count: int, how: str) -> None:
    # Three that answer with errors ask for more than the budget.
    within = {3: 12.9, 4: 16.9, 5: 23.9}[count] if how in ERRORS and count > 2 else 9.9
    rng, choices = Random(count), some_away(count)
    for turn in range(60):
        gone, lasted = rng.uniform(2.0, 200.0), rng.uniform(12.0, 140.0)
        world = World(choices[turn % len(choices)], how, gone, gone + lasted)
        world.run(gone + lasted + 30.0)
        assert world.busiest <= BUDGET, (world.away, gone, lasted)
        assert world.return_unseen <= within, (world.away, gone, lasted)
        assert world.old == set() or (how in ERRORS and count > 2), (world.away, gone, lasted)
        assert world.untold == set(), (world.away, gone, lasted)


def test_two_that_are_away_in_different_ways_are_seen_in_time_and_make_no_other_old() -> None:
    rng = Random(7)
    for away, hows in product(some_away(2), permutations(EVERY_WAY, 2)):
        gone, lasted = rng.uniform(2.0, 200.0), rng.uniform(12.0, 140.0)
        world = World(away, dict(zip(sorted(away), hows, strict=True)), gone, gone + lasted)
        world.run(gone + lasted + 30.0)
        assert world.busiest <= BUDGET, (world.how, gone, lasted)
        assert world.return_unseen <= 9.9, (world.how, gone, lasted)
        assert world.old == set(), (world.how, gone, lasted)
        assert world.untold == set(), (world.how, gone, lasted)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_pressing_the_key_again_and_again_stays_within_the_budget(count: int, how: str) -> None:
    for away in some_away(count):
        world = World(away, how)
        world.run(300, press_every=0.5)
        assert world.busiest <= BUDGET, away


def test_pressing_the_key_again_and_again_makes_nothing_old_while_all_is_well() -> None:
    world = World()
    world.run(600, press_every=0.5)
    assert world.busiest <= BUDGET
    assert world.old == set()


def test_a_system_that_is_away_is_tried_often_enough_to_be_live_ten_seconds_after_its_return() -> None:
    assert base.LONGEST_RETRY + base.PATIENCE_AWAY <= 9.5
    assert base.LONGEST_RETRY + base.PATIENCE_AWAY <= 8.5
    assert max(link.RETRY_AWAY) + link.DEADLINE <= 9.5
