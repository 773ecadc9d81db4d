"""From readings to facts to findings: what is old or missing is unknown, and nothing is worked out twice."""

from __future__ import annotations

from typing import Any

import pytest

from planc_tui.core import derive
from planc_tui.core.broker import BrokerStatus, Drain, QueueRow, QueueStat
from planc_tui.core.clock import FakeClock
from planc_tui.core.cluster import topics as kube
from planc_tui.core.cluster.events import EventRow
from planc_tui.core.cluster.hpa import HpaRow
from planc_tui.core.cluster.listing import Listing
from planc_tui.core.cluster.nodes import NodeRow
from planc_tui.core.cluster.pods import ContainerSpec, PodRow
from planc_tui.core.cluster.rollouts import RolloutRow
from planc_tui.core.cluster.usage import Usage, extended, usage_table
from planc_tui.core.database import DatabaseStatus, LockNode, ServerSession
from planc_tui.core.facts import FACTS
from planc_tui.core.findings import Finding, Known
from planc_tui.core.health import Health
from planc_tui.core.logs.book import LogSummary
from planc_tui.core.slo import Objective, SloReport, SloStatus, Verdict
from planc_tui.core.store import Fault, Store, Topic
from planc_tui.playbook.loader import default
from planc_tui.sources.database import DATABASE
from planc_tui.sources.findings import FINDINGS, FactReader, FindingsFeed, rule_topics
from planc_tui.sources.logs import ERRORS
from planc_tui.sources.queues import QUEUES
from planc_tui.sources.slo import SLO

NOW = 1_795_530_720.0
APP = "workflow-scalability-app"
MIB = 1 << 20


def pod(name: str, **fields: Any) -> PodRow:
    """A healthy pod of the application with limits of one core and 1 GiB."""
    spec = ContainerSpec("c", cpu_limit=1_000_000_000, memory_limit=1024 * MIB)
    values: dict[str, Any] = {
        "uid": f"uid-{name}", "namespace": "ns", "name": name, "status": "Running", "phase": "Running", "ready": 1,
        "total": 1, "restarts": 0, "last_restart": 0.0, "created": NOW - 9000, "node": "n", "rank": 2,
        "containers": (spec,), "cpu_limit": spec.cpu_limit, "memory_limit": spec.memory_limit,
        "labels": {"app": "workflow-scalability"},
    }  # fmt: skip  # rows as a person reads them
    return PodRow(**{**values, **fields})


def used(row: PodRow, millicores: int, *mebibytes: int) -> Usage:
    """Usage with one sample a minute, the last one now."""
    history = b""
    for index, amount in enumerate(mebibytes):
        at = NOW - 60 * (len(mebibytes) - 1 - index)
        history = extended(history, at, millicores * 1_000_000, amount * MIB)
    return Usage(
        namespace=row.namespace, name=row.name, cpu=millicores * 1_000_000, memory=mebibytes[-1] * MIB, at=NOW,
        history=history,
    )  # fmt: skip  # rows as a person reads them


def rollout(**fields: Any) -> RolloutRow:
    """The application's Deployment, 6 of 6."""
    values: dict[str, Any] = {
        "uid": "u", "kind": "Deployment", "namespace": "ns", "name": APP, "desired": 6, "updated": 6, "ready": 6,
        "available": 6, "current": 6, "changed": NOW - 7200,
    }  # fmt: skip  # rows as a person reads them
    return RolloutRow(**{**values, **fields})


def hpa(**fields: Any) -> HpaRow:
    """An autoscaler that is content."""
    values: dict[str, Any] = {
        "uid": "u", "namespace": "ns", "name": "app", "target_kind": "Deployment", "target_name": APP, "metrics": (),
        "minimum": 1, "maximum": 20, "current": 20, "desired": 20, "able": True, "active": True,
    }  # fmt: skip  # rows as a person reads them
    return HpaRow(**{**values, **fields})


def event(reason: str, **fields: Any) -> EventRow:
    """A warning of five minutes ago."""
    values: dict[str, Any] = {
        "uid": reason, "namespace": "ns", "name": reason, "kind": "Pod", "object": "a", "object_uid": "u",
        "type": "Warning", "reason": reason, "message": "m", "source": "kubelet", "count": 9, "first": NOW - 9000,
        "last": NOW - 300,
    }  # fmt: skip  # rows as a person reads them
    return EventRow(**{**values, **fields})


def slo(kind: Any, unit: Any, **figures: Any) -> SloStatus:
    """An objective with figures."""
    return SloStatus(Objective(kind, kind, kind, 1.0, unit, "q"), Verdict.MISSED, **figures)


WORST: dict[Topic[Any], Any] = {
    kube.LINK: kube.Link("v1.37.2", 3.0, NOW),
    kube.PODS: Listing(
        (
            pod("a"),
            pod("b", status="CrashLoopBackOff", rank=0, restarts=7, last_restart=NOW - 30),
            pod("c", status="OOMKilled", rank=0, oom_at=NOW - 30),
            pod("d", status="ContainerCreating", phase="Pending", rank=1),
            pod("e", status="Completed", phase="Succeeded", rank=3, oom_at=NOW - 5000),
        )
    ),
    kube.DEPLOYMENTS: Listing((rollout(ready=0, stuck=True, changed=NOW - 60), rollout(name="workflow-worker-pool"))),
    kube.HPAS: Listing((hpa(limited="TooManyReplicas"), hpa(name="x", able=False))),
    kube.NODES: Listing(
        (NodeRow(uid="1", name="n1", ready=None), NodeRow(uid="2", name="n2", ready=True, pressures=("disk",)))
    ),
    kube.EVENTS: Listing((event("A"), event("B", last=NOW - 700), event("C", type="Normal"))),
    kube.POD_USAGE: usage_table(
        {
            ("ns", "a"): used(pod("a"), 970, 500, 600, 700, 800),
            ("ns", "b"): used(pod("b"), 930, 100, 100, 100, 100),
        }
    ),
    QUEUES: BrokerStatus(
        (
            QueueRow(QueueStat("tasks", ready=1700, unacked=140), drain=Drain.DRAINING, seconds=600.0),
            QueueRow(QueueStat("mail", ready=3), drain=Drain.NO_CONSUMERS),
            QueueRow(QueueStat("dead_letter", ready=5000), drain=Drain.NO_CONSUMERS),
            QueueRow(QueueStat("gone", missing=True)),
        ),
        complete=True,
        blocked=True,
    ),
    DATABASE: DatabaseStatus(
        NOW, "15", "u", "d", 100, connections=(("idle", 90), ("active", 6)),
        sessions=(
            ServerSession(7, "t", state="idle in transaction", transaction_start=NOW - 900),
            ServerSession(8, "t", state="active", query_start=NOW - 400, transaction_start=NOW - 400, blocked_by=(7,)),
        ),
        locks=(LockNode(7, blocks=1), LockNode(8, depth=1, parent=7)),
    ),
    SLO: SloReport(
        (
            slo("availability", "percent", value=99.2, budget_left=-0.5, burn_short=41.0, burn_long=12.0),
            slo("error_rate", "percent", value=4.1, burn_short=20.0),
            slo("latency", "ms", value=2400.0),
        )
    ),
    ERRORS: LogSummary(matched=2, followed=2, last_minute=214),
}  # fmt: skip  # rows as a person reads them
EXPECTED = {
    "pods_unhealthy": (3, "b"), "pods_crash_looping": (1, "b"), "pods_oom_killed": (1, "c"), "pods_pending": (1, "d"),
    "restarts_10m": (1, ""), "app_ready": (0, APP), "app_unavailable_percent": (100, APP), "app_down": (1, APP),
    "app_changed_30m": (1, APP), "worker_ready": (6, "workflow-worker-pool"), "rollouts_stuck": (1, APP),
    "hpa_at_max": (1, "app"), "hpa_unable": (1, "x"), "nodes_not_ready": (1, "n1"), "nodes_pressure": (1, "n2"),
    "cpu_percent": (95, ""), "cpu_percent_max": (97, "a"), "memory_percent_max": (78, "a"), "memory_slope": (100, "a"),
    "memory_minutes_left": (2.24, "a"), "warnings_10m": (1, "a"), "queue_depth": (1840, "tasks"),
    "dead_letter_depth": (5000, "dead_letter"), "queues_without_consumers": (1, "mail"),
    "queue_minutes_to_drain": (10, "tasks"), "broker_blocked": (1, ""), "database_refused": (0, ""),
    "database_connections_percent": (96, ""), "database_longest_query": (400, "pid 8"),
    "database_longest_transaction": (900, "pid 7"), "database_blocked": (1, "pid 7"), "latency_p95": (2.4, "latency"),
    "error_percent": (4.1, "error_rate"), "availability_percent": (99.2, "availability"),
    "burn_short": (41, "availability"), "burn_long": (12, "availability"),
    "budget_left_percent": (-50, "availability"), "log_errors_per_minute": (214, ""), "cluster_unreachable": (0, ""),
}  # fmt: skip  # rows as a person reads them


class Bench:
    """A store with readings, looked at on a fake clock."""

    def __init__(self, readings: dict[Topic[Any], Any]) -> None:
        self.clock = FakeClock(NOW)
        self.store = Store()
        self.playbook = default()
        self.feed = FindingsFeed(self.store, self.clock, self.playbook)
        self.feed.want(True)
        self.readings = dict(readings)
        for topic in readings:
            self.store.want(topic, True)

    def run(self, seconds: int) -> dict[str, Finding]:
        """A second at a time, with every reading confirmed. Returns the findings in the store."""
        for _ in range(seconds):
            for topic, value in self.readings.items():
                if self.store.get(topic).value is not value:
                    self.store.put(topic, value, self.clock.monotonic())
                else:
                    self.store.confirm(topic, self.clock.monotonic())
            self.feed.look()
            self.clock.advance(1)
        return {finding.id: finding for finding in self.store.get(FINDINGS).value or ()}


def test_every_fact_from_live_readings() -> None:
    bench = Bench(WORST)
    bench.run(1)
    seen = bench.feed.facts
    assert {name: known.subject for name, known in seen.items()} == {name: who for name, (_, who) in EXPECTED.items()}
    assert {name: known.value for name, known in seen.items()} == pytest.approx(
        {name: value for name, (value, _) in EXPECTED.items()}, rel=0.02
    )
    assert set(FACTS) - set(EXPECTED) == {"alerts_firing"}


@pytest.mark.parametrize("topic", list(WORST), ids=lambda topic: topic.name)
def test_old_or_missing_readings_are_unknown(topic: Topic[Any]) -> None:
    family = {name for name, fact in FACTS.items() if topic in _feeds(fact.topic)}
    bench = Bench({other: value for other, value in WORST.items() if other is not topic})
    bench.run(1)
    assert not family & set(bench.feed.facts)
    bench = Bench(WORST)
    bench.run(1)
    del bench.readings[topic]
    bench.run(max(60, round(topic.stale_after) + 5))
    assert not family & set(bench.feed.facts), "stale"


def _feeds(family: str) -> tuple[Topic[Any], ...]:
    from planc_tui.sources.findings import sources_of

    return sources_of(family, default()) if family != "database" else (DATABASE,)


def test_listings_that_still_arrive_are_unknown() -> None:
    bench = Bench({kube.PODS: Listing((pod("a", rank=0, status="Error"),), complete=False)})
    bench.run(1)
    assert bench.feed.facts == {}


def test_a_bad_night_by_plan_c_and_a_good_morning() -> None:
    bench = Bench(WORST)
    found = bench.run(180)
    assert {
        "app-down",
        "latency-high",
        "queue-long",
        "dead-letters",
        "hpa-at-max",
        "locks",
        "connections-short",
    } <= set(found)
    assert found["latency-high"].text == "P95 latency is 2.4 s, above 2 s"
    assert found["queue-long"].procedure == "high-latency"
    assert found["queue-long"].since == NOW
    assert found["locks"].text == "1 sessions wait for a lock, behind pid 7"
    assert next(iter(found)) == "app-down", "the worst first"
    bench.readings[QUEUES] = BrokerStatus((QueueRow(QueueStat("tasks", ready=0), drain=Drain.EMPTY),), complete=True)
    assert "queue-long" in bench.run(20)
    assert "queue-long" not in bench.run(60)


def test_an_away_system_keeps_its_findings_as_unconfirmed() -> None:
    bench = Bench(WORST)
    bench.run(180)
    del bench.readings[SLO]
    bench.store.fail(SLO, Fault(Health.UNREACHABLE, "refused"))
    found = bench.run(120)
    assert not found["latency-high"].confirmed
    assert found["queue-long"].confirmed


@pytest.mark.parametrize(
    ("link", "fault", "refused"),
    [
        ("live", Health.UNREACHABLE, 1.0),
        ("live", Health.LOGIN_EXPIRED, 1.0),
        ("live", Health.NOT_CONFIGURED, None),
        ("away", Health.UNREACHABLE, None),
    ],
)
def test_database_refused_only_when_the_way_is_open(link: str, fault: Health, refused: float | None) -> None:
    bench = Bench({kube.LINK: WORST[kube.LINK], DATABASE: WORST[DATABASE]})
    assert bench.playbook.systems.postgres is not None
    assert bench.playbook.systems.postgres.via
    bench.run(1)
    del bench.readings[DATABASE]
    bench.store.fail(DATABASE, Fault(fault, "no"))
    if link == "away":
        del bench.readings[kube.LINK]
        bench.store.fail(kube.LINK, Fault(Health.UNREACHABLE, "no"))
    bench.run(1)
    known = bench.feed.facts.get("database_refused")
    assert (None if known is None else known.value) == refused


def test_nothing_changed_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(WORST)
    bench.run(250)
    seq = bench.store.get(FINDINGS).seq
    worked_out: list[float] = []

    def counted(rows: Any, usage: Any, is_app: Any) -> dict[str, Known]:
        worked_out.append(1.0)
        return original(rows, usage, is_app)

    original = derive.usage_facts
    monkeypatch.setattr(derive, "usage_facts", counted)
    reader: FactReader = bench.feed._facts
    reader.read(bench.clock.now(), bench.clock.monotonic())
    before = len(worked_out)
    for _ in range(8):
        reader.read(bench.clock.now(), bench.clock.monotonic())
    assert len(worked_out) == before
    bench.run(5)
    assert bench.store.get(FINDINGS).seq == seq
    assert bench.store.get(FINDINGS).health(bench.clock.monotonic()) is Health.LIVE


def test_restarts_are_counted_from_what_was_seen() -> None:
    restarts = derive.Restarts()
    assert restarts.count([pod("a", restarts=50, last_restart=NOW - 5000)], NOW) == 0
    assert (
        restarts.count([pod("a", restarts=53, last_restart=NOW), pod("b", restarts=2, last_restart=NOW - 1)], NOW) == 4
    )
    assert restarts.count([], NOW + 300) == 4
    assert restarts.count([], NOW + 700) == 0


def test_rules_keep_no_costly_source_busy() -> None:
    names = {topic.name for topic in rule_topics(default())}
    assert ERRORS.name not in names
    assert {kube.PODS.name, QUEUES.name, DATABASE.name, SLO.name, kube.LINK.name} <= names
