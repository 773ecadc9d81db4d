"""A session without a cluster: every pane gets data that never changes by itself.

`calm()` is an afternoon, `incident()` a night: a bad deploy, a backlog and a lock at the same time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from planc_tui.actions.arming import Arming
from planc_tui.actions.base import Ports
from planc_tui.actions.executor import Executor, Run
from planc_tui.actions.recorder import NoRecorder
from planc_tui.actions.registry import load
from planc_tui.core.admin import BrokerAdmin
from planc_tui.core.alerts import Alert, AlertsReport, Matcher, Silence
from planc_tui.core.broker import BrokerStatus, QueueHistory, QueueStat
from planc_tui.core.clock import FakeClock
from planc_tui.core.cluster import topics as kube
from planc_tui.core.cluster.events import EventRow
from planc_tui.core.cluster.hpa import HpaRow
from planc_tui.core.cluster.listing import Listing
from planc_tui.core.cluster.nodes import NodeRow
from planc_tui.core.cluster.pods import ContainerSpec, PodRow
from planc_tui.core.cluster.rollouts import ReplicaSetRow, RolloutRow
from planc_tui.core.cluster.usage import Usage, UsageTable, extended, usage_table
from planc_tui.core.database import DatabaseStatus, ServerSession, lock_forest
from planc_tui.core.findings import Finding
from planc_tui.core.logs.book import LogSummary
from planc_tui.core.logs.line import Level, LogLine
from planc_tui.core.logs.patterns import Pattern
from planc_tui.core.ports import ByteStream, ExecResult, Forward, NotConfigured, NotFound, PortError
from planc_tui.core.slo import Objective, SloReport, SloStatus, Verdict
from planc_tui.core.stats import RequestStats
from planc_tui.core.store import Fault, Store, Topic
from planc_tui.desk.desk import Desk
from planc_tui.playbook.loader import default
from planc_tui.playbook.model import Playbook
from planc_tui.sources.alerts import ALERTS
from planc_tui.sources.database import DATABASE
from planc_tui.sources.findings import FINDINGS
from planc_tui.sources.hub import Hub
from planc_tui.sources.logs import ERRORS
from planc_tui.sources.queues import QUEUES
from planc_tui.sources.slo import SLO
from planc_tui.ui.session import Identity

NOW = 1_795_530_720.0  # 2026-11-24 14:32 UTC
NAMESPACE = "workflow-scalability"
GIB = 1 << 30
MIB = 1 << 20
Data = Mapping[str, tuple[Topic[Any], Any]]


def container(name: str, image: str, cpu: int, memory: int) -> ContainerSpec:
    """cpu: millicores, memory: MiB; requests are half the limits."""
    return ContainerSpec(name, image, cpu * 500_000, cpu * 1_000_000, memory * MIB // 2, memory * MIB)


def pod(name: str, status: str = "Running", **fields: Any) -> PodRow:
    """A pod as the reflector hands it over; `ago`: age in seconds, `restarted`: seconds since the last restart."""
    rank = fields.pop("rank", 2)
    ago, restarted = fields.pop("ago", 10_800), fields.pop("restarted", 0)
    app = name.rsplit("-", 2)[0]
    spec = container(app, f"registry.example/{app}:1.9.1", 1000, 1024)
    values: dict[str, Any] = {
        "uid": f"uid-{name}", "namespace": NAMESPACE, "name": name, "status": status, "phase": "Running",
        "ready": 1 if rank >= 2 else 0, "total": 1, "restarts": 0,
        "last_restart": NOW - restarted if restarted else 0.0, "created": NOW - ago,
        "node": f"node-{len(name) % 3}", "rank": rank, "containers": (spec,),
        "cpu_request": spec.cpu_request, "cpu_limit": spec.cpu_limit,
        "memory_request": spec.memory_request, "memory_limit": spec.memory_limit,
        "owner_kind": "ReplicaSet", "owner_name": app, "labels": {"app": app},
    }  # fmt: skip  # rows as a person reads them
    return PodRow(**{**values, **fields})


def listing(rows: Sequence[Any]) -> Listing[Any]:
    """Rows in the order the reflector keeps."""
    return Listing(tuple(sorted(rows, key=lambda row: (row.namespace, row.name))))


def usage(pods: Sequence[PodRow], cpu: Callable[[int], int], memory: Callable[[int, int], int]) -> UsageTable:
    """Eight measurements of each pod. cpu: millicores of the pod's index; memory: MiB of index and sample."""
    found: dict[tuple[str, str], Usage] = {}
    for index, row in enumerate(pods):
        history = b""
        for sample in range(8):
            load = cpu(index) * (90 + sample * 3 % 11) // 100
            history = extended(history, NOW - 105 + sample * 15, load * 1_000_000, memory(index, sample) * MIB)
        found[row.namespace, row.name] = Usage(
            namespace=row.namespace, name=row.name, cpu=cpu(index) * 1_000_000, memory=memory(index, 7) * MIB,
            at=NOW, history=history,
        )  # fmt: skip  # rows as a person reads them
    return usage_table(found)


def calm_pods() -> list[PodRow]:
    """24 healthy pods."""
    app = [pod(f"{NAMESPACE}-app-7d9f8c6b5-{tail}") for tail in ("x2k1p", "9qqwz", "b7c2d", "c4m8t", "h5j9s", "m2n4v")]
    work = [pod(f"{NAMESPACE}-worker-5b6d7f9c8-{tail}", ago=172_800) for tail in ("2lkq8", "4wz7c", "8vbn2", "d9xk4")]
    more = [pod(f"{NAMESPACE}-worker-5b6d7f9c8-q{i}w{i}e", ago=172_800) for i in range(8)]
    single = [pod("postgres-0", ago=864_000), pod("rabbitmq-0", ago=864_000), pod("maintenance-page-6f7c9-zx4cv")]
    return [*app, *work, *more, *single]


def broken_pods() -> list[PodRow]:
    """The same after a bad deploy."""
    rows = {row.name: row for row in calm_pods()}
    app = f"{NAMESPACE}-app-7d9f8c6b5-"
    bad = [
        pod(app + "x2k1p", "CrashLoopBackOff", rank=0, restarts=7, restarted=12, ago=120),
        pod(app + "9qqwz", "OOMKilled", rank=0, restarts=4, restarted=41, ago=540, oom_at=NOW - 41),
        pod(app + "h5j9s", "ContainerCreating", rank=1, ago=30, phase="Pending"),
    ]
    rows.update((row.name, row) for row in bad)
    return list(rows.values())


def node(name: str, **fields: Any) -> NodeRow:
    """A node of 8 cores and 32 GiB."""
    values: dict[str, Any] = {
        "uid": f"uid-{name}", "name": name, "ready": True, "cpu": 8_000_000_000, "memory": 32 * GIB, "pods": 110,
        "version": "v1.37.2", "created": NOW - 8_640_000,
    }  # fmt: skip  # rows as a person reads them
    return NodeRow(**{**values, **fields})


def nodes_usage() -> UsageTable:
    """Usage of three nodes."""
    found = {
        ("", f"node-{i}"): Usage(
            namespace="", name=f"node-{i}", cpu=(i + 2) * 1_100_000_000, memory=(i * 5 + 9) * GIB, at=NOW
        )
        for i in range(3)
    }
    return usage_table(found)


def hpa(name: str, metrics: tuple[str, ...], low: int, high: int, now: int, **fields: Any) -> HpaRow:
    """An autoscaler of one Deployment."""
    values: dict[str, Any] = {
        "uid": f"uid-hpa-{name}", "namespace": NAMESPACE, "name": name, "target_kind": "Deployment",
        "target_name": name, "metrics": metrics, "minimum": low, "maximum": high, "current": now, "desired": now,
        "able": True, "active": True, "created": NOW - 8_640_000,
    }  # fmt: skip  # rows as a person reads them
    return HpaRow(**{**values, **fields})


def rollout(name: str, desired: int, image: str, **fields: Any) -> RolloutRow:
    """A Deployment."""
    values: dict[str, Any] = {
        "uid": f"uid-{name}", "kind": "Deployment", "namespace": NAMESPACE, "name": name, "desired": desired,
        "updated": desired, "ready": desired, "available": desired, "current": desired, "revision": "7",
        "changed": NOW - 10_800, "created": NOW - 8_640_000, "containers": (container(name, image, 1000, 1024),),
    }  # fmt: skip  # rows as a person reads them
    return RolloutRow(**{**values, **fields})


def event(
    number: int, reason: str, about: str, message: str, ago: int, count: int = 1, kind: str = "Warning"
) -> EventRow:
    """An event about a pod."""
    return EventRow(
        uid=f"uid-event-{number}", namespace=NAMESPACE, name=f"{about}.{number}", kind="Pod", object=about,
        object_uid=f"uid-{about}", type=kind, reason=reason, message=message, source="kubelet", count=count,
        first=NOW - ago * 3, last=NOW - ago,
    )  # fmt: skip  # rows as a person reads them


def sessions() -> tuple[ServerSession, ...]:
    """One session that forgot its transaction, and two that wait for it."""
    stamp = "2026-11-24 14:25:58.{:06d}+00"

    def session(pid: int, state: str, query: str, ago: float, blocked: tuple[int, ...] = ()) -> ServerSession:
        return ServerSession(
            pid, stamp.format(pid), "app", "workflow", "workflow-app", "10.1.2.3", state,
            "Lock: transactionid" if blocked else "", "client backend", query,
            NOW - ago, NOW - ago, NOW - ago, blocked,
        )  # fmt: skip  # rows as a person reads them

    return (
        session(4121, "idle in transaction", "UPDATE orders SET state = 'paid' WHERE id = 4711", 362),
        session(4177, "active", "UPDATE orders SET state = 'sent' WHERE id = 4711", 358, (4121,)),
        session(4190, "active", "SELECT * FROM orders WHERE id = 4711 FOR UPDATE", 341, (4121,)),
        session(4203, "active", "SELECT count(*) FROM tasks WHERE done IS NULL", 12),
    )


def database(troubled: bool) -> DatabaseStatus:
    """PostgreSQL with 31 or 96 of 100 connections."""
    open_sessions = sessions() if troubled else sessions()[3:]
    waits = {s.pid: s.blocked_by for s in open_sessions if s.blocked_by}
    states = (("idle", 60), ("active", 33), ("idle in transaction", 3)) if troubled else (("idle", 29), ("active", 2))
    return DatabaseStatus(
        NOW, "15.8", "planc", "workflow", 100, 3, states, open_sessions, states[1][1], locks=lock_forest(waits)
    )


def broker(troubled: bool) -> BrokerStatus:
    """Two queues with a history of a minute."""
    history = QueueHistory()
    rows: tuple[Any, ...] = ()
    for step in range(12):
        depth = 1500 + step * 31 if troubled else 12 + step % 3
        rows = history.feed(
            step * 5.0,
            (
                QueueStat(
                    "tasks", ready=depth, unacked=212 if troubled else 4, consumers=20, in_rate=148.0, out_rate=117.0
                ),
                QueueStat(
                    "dead_letter", ready=57 if troubled else 0, unacked=0, consumers=0, in_rate=0.2, out_rate=0.0
                ),
            ),
        )
    return BrokerStatus(rows, True)


def alerts(troubled: bool) -> AlertsReport:
    """Two firing and one silenced on the bad night, nothing otherwise."""
    if not troubled:
        return AlertsReport()
    where = {"namespace": NAMESPACE, "service": "api"}

    def alert(name: str, severity: str, age: float, says: str, silence: str = "") -> Alert:
        labels = {"alertname": name, "severity": severity, **where}
        return Alert(
            name.lower(), labels, NOW - age, annotations={"summary": says}, silenced_by=(silence,) * bool(silence)
        )

    matchers = (Matcher("alertname", "PodRestarts"),)
    return AlertsReport(
        (
            alert("LatencyHigh", "critical", 180, "P95 2.4 s"),
            alert("QueueGrowing", "warning", 120, "1,841 messages wait"),
            alert("PodRestarts", "warning", 900, "7 restarts", "s-1"),
        ),
        (Silence("s-1", matchers, NOW - 600, NOW + 1200, "alice", "known"),),
    )


def objectives(troubled: bool) -> SloReport:
    """Three objectives."""

    def slo(name: str, kind: Any, target: float, unit: Any, **figures: Any) -> SloStatus:
        verdict = figures.pop("verdict", Verdict.MET)
        return SloStatus(Objective(name, name, kind, target, unit, "up"), verdict, **figures)

    if troubled:
        return SloReport((
            slo("P95 latency", "latency", 100, "ms", value=2400.0, budget_left=0.31, burn_short=41.0, burn_long=18.0,
                verdict=Verdict.BURNING),
            slo("Errors", "error_rate", 0.1, "percent", value=4.1, budget_left=0.2, burn_short=41.0, burn_long=9.0,
                verdict=Verdict.MISSED),
            slo("Availability", "availability", 99.9, "percent", value=99.98, budget_left=0.54, burn_short=0.2,
                burn_long=0.4),
        ))  # fmt: skip  # rows as a person reads them
    return SloReport((
        slo("P95 latency", "latency", 100, "ms", value=48.0, budget_left=0.91, burn_short=0.1, burn_long=0.1),
        slo("Errors", "error_rate", 0.1, "percent", value=0.02, budget_left=0.88, burn_short=0.2, burn_long=0.2),
        slo("Availability", "availability", 99.9, "percent", value=99.99, budget_left=0.93, burn_short=0.1,
            burn_long=0.1),
    ))  # fmt: skip  # rows as a person reads them


def log_summary(troubled: bool) -> LogSummary:
    """Errors of the last minutes."""
    if not troubled:
        return LogSummary(18, 18, 50, 52_000, 0, per_minute=(0, 0, 1, 0, 0, 0, 0, 0), last_minute=0)
    first = f"{NAMESPACE}-app-7d9f8c6b5-c4m8t"

    def line(ago: float, text: str, name: str = first) -> LogLine:
        return LogLine(int((NOW - ago) * 1e9), name, "app", Level.ERROR, text)

    lines = tuple(line(1.6 + i * 2.1, f"request 8f1c{i}: connection refused to postgres:5432", first) for i in range(8))
    refused = "connection refused to postgres:<n>"
    patterns = (
        Pattern(refused, 131, int((NOW - 136) * 1e9), int(NOW * 1e9), Level.ERROR, 6, lines[:2]),
        Pattern("timeout after <n> ms on queue tasks", 44, int((NOW - 115) * 1e9), int(NOW * 1e9), Level.ERROR, 5, ()),
        Pattern("deadlock detected", 3, int((NOW - 60) * 1e9), int((NOW - 20) * 1e9), Level.ERROR, 2, ()),
    )
    return LogSummary(18, 18, 50, 61_240, 0, lines, 150, (1, 1, 2, 1, 9, 60, 140, 214), 214, patterns, len(patterns))


def data(troubled: bool) -> Data:
    """A value for every topic."""
    pods = broken_pods() if troubled else calm_pods()
    app, worker = f"{NAMESPACE}-app", f"{NAMESPACE}-worker"
    image = "registry.example/workflow-app:1.9.2" if troubled else "registry.example/workflow-app:1.9.1"
    hpas = [
        hpa(app, ("cpu: 91%/60%",) if troubled else ("cpu: 41%/60%",), 3, 20, 20 if troubled else 6,
            limited="TooManyReplicas" if troubled else ""),
        hpa(worker, ("tasks: 92/100",), 2, 40, 12),
    ]  # fmt: skip  # rows as a person reads them
    stuck: dict[str, Any] = (
        {"updated": 3, "ready": 3, "available": 3, "stuck": True, "changed": NOW - 720, "revision": "8",
         "problem": "ProgressDeadlineExceeded", "progress": "3 of 6 updated pods are available"}
        if troubled else {}
    )  # fmt: skip  # rows as a person reads them
    rollouts = [rollout(app, 6, image, **stuck), rollout(worker, 12, "registry.example/workflow-worker:1.9.1")]
    crashed = f"{app}-7d9f8c6b5-x2k1p"
    events = [
        event(1, "BackOff", crashed, "Back-off restarting failed container app", 10, 9),
        event(2, "Unhealthy", crashed, "Readiness probe failed: HTTP probe failed with statuscode: 503", 25, 31),
        event(3, "FailedScheduling", f"{app}-7d9f8c6b5-h5j9s", "0/3 nodes are available: insufficient cpu", 40, 2),
    ]
    normal = [event(9, "Pulled", f"{worker}-5b6d7f9c8-2lkq8", "Container image already present", 7_000, 1, "Normal")]
    found: list[tuple[Topic[Any], Any]] = [
        (kube.LINK, kube.Link("v1.37.2", 14.0, NOW - 3600)),
        (kube.PODS, listing(pods)),
        (kube.POD_USAGE, usage(pods, lambda i: 980 - i * 43 if troubled else 120 + i * 7,
                               lambda i, t: 960 - i * 40 + (t * 6 if i < 2 else 0) if troubled else 300 + i * 5)),
        (kube.HPAS, listing(hpas)),
        (kube.NODES, listing([node("node-0"), node("node-1", pressures=("memory",) if troubled else ()),
                              node("node-2", cordoned=troubled)])),
        (kube.NODE_USAGE, nodes_usage()),
        (kube.EVENTS, listing([*events, *normal] if troubled else normal)),
        (kube.DEPLOYMENTS, listing(rollouts)),
        (kube.STATEFULSETS, listing([rollout("postgres", 1, "postgres:15.8", kind="StatefulSet")])),
        (kube.DAEMONSETS, listing([])),
        (kube.REPLICASETS, listing([ReplicaSetRow(uid="uid-rs-7", namespace=NAMESPACE, name=f"{app}-7d9f8c6b5",
                                                  revision=7, desired=3, ready=3, created=NOW - 10_800,
                                                  owner_name=app, owner_uid=f"uid-{app}")])),
        (DATABASE, database(troubled)),
        (QUEUES, broker(troubled)),
        (SLO, objectives(troubled)),
        (ALERTS, alerts(troubled)),
        (ERRORS, log_summary(troubled)),
        (FINDINGS, findings() if troubled else ()),
    ]  # fmt: skip  # rows as a person reads them
    return {topic.name: (topic, value) for topic, value in found}


def findings() -> tuple[Finding, ...]:
    """What the rules say of the bad night."""
    return (
        Finding("latency", "P1", "P95 2.4 s, above 2 s for 3 min", NOW - 180, "high-latency", pane="slo"),
        Finding("queue", "P1", "queue tasks 1,841, above 1,000", NOW - 120, "high-latency", pane="queues"),
        Finding("hpa", "P2", "HPA at maximum 20/20", NOW - 90, "", pane="hpa"),
        Finding("oom", "P2", "a pod ran out of memory", NOW - 41, "", pane="pods"),
    )


class FakeFeed:
    """Fills topics at once and never again."""

    def __init__(self, store: Store, clock: FakeClock, found: Data) -> None:
        self._store, self._clock, self._data = store, clock, found
        self._topics = tuple(topic for topic, _ in found.values())
        self.started = False
        self.kicked = 0

    @property
    def name(self) -> str:
        return "fake"

    @property
    def topics(self) -> Sequence[Topic[Any]]:
        return self._topics

    def start(self) -> None:
        self.started = True

    def want(self, wanted: bool) -> None:
        for topic, value in self._data.values():
            self._store.want(topic, wanted)
            if wanted and self._store.get(topic).value is None:
                self._store.put(topic, value, self._clock.monotonic())

    def kick(self) -> None:
        self.kicked += 1

    def stop(self) -> None:
        self.started = False


class FakeCluster:
    """Answers GET from a table of paths. Raises NotFound for others."""

    context = "prod-eu"
    server = "10.0.0.1:6443"

    def __init__(self, answers: Mapping[str, bytes] | None = None) -> None:
        self.answers = dict(answers or {})
        self.asked: list[tuple[str, str]] = []

    def request(self, method: str, path: str, **_: Any) -> bytes:
        self.asked.append((method, path))
        if path not in self.answers:
            raise NotFound(f"{path} does not exist")
        return self.answers[path]

    def stream(self, path: str, **_: Any) -> ByteStream:
        raise NotFound(f"{path} does not exist")

    def forward(self, namespace: str, pod: str, port: int) -> Forward:
        raise NotFound("no forwards here")

    def execute(self, *_: Any, **__: Any) -> ExecResult:
        raise NotFound("no exec here")

    def close(self) -> None:
        """Nothing is open."""


def _absent() -> NoReturn:
    raise NotConfigured("not configured")


def _ignore(_: Run) -> None:
    """Nobody watches the runs of a fake."""


class FakeSession:
    """A session over a FakeFeed."""

    def __init__(
        self, store: Store, clock: FakeClock, found: Data, word: str = "PROD", namespace: str = NAMESPACE
    ) -> None:
        self.feed = FakeFeed(store, clock, found)
        self.hub = Hub([self.feed], clock)
        self.identity = Identity("prod-eu", "prod-eu", "ana", "10.0.0.1:6443", namespace, "PROD", True)
        self.playbook: Playbook = default()
        self.cluster = FakeCluster()
        self.stats = RequestStats()
        self.arming = Arming(clock, protected=True)
        self.desk: Desk | None = None
        self.journal_trouble = ""
        self.broker: Callable[[], BrokerAdmin] = _absent
        ports = Ports(self.cluster, clock, _absent, _absent, self.playbook)
        self.executor = Executor(ports, load()[0], NoRecorder("no journal"), self.arming, Path("."), "ana", _ignore)
        self.closed = False

    def close(self) -> None:
        self.closed = True


class FakeConnector:
    """Opens fake sessions at once, or fails as told. `store`: of the latest session."""

    def __init__(self, found: Data, clock: FakeClock | None = None, error: PortError | None = None) -> None:
        self.clock = clock or FakeClock(now=NOW, monotonic=1000.0)
        self.data = found
        self.error = error
        self.store = Store()
        self.sessions: list[FakeSession] = []
        self.asked: list[tuple[str | None, str | None]] = []
        self.hang = False
        self.release = threading.Event()

    def connect(self, store: Store, context: str | None, namespace: str | None) -> FakeSession:
        self.asked.append((context, namespace))
        if self.hang:
            self.release.wait()
        if self.error is not None:
            raise self.error
        self.store = store
        session = FakeSession(store, self.clock, self.data, namespace=namespace or NAMESPACE)
        session.hub.start()
        self.sessions.append(session)
        return session

    def contexts(self) -> tuple[str, ...]:
        return ("prod-eu", "staging-eu", "kind-local")

    def fail(self, topic: Topic[Any], fault: Fault) -> None:
        """A source of the latest session fails."""
        self.store.fail(topic, fault)


def pods_of(connector: FakeConnector) -> list[PodRow]:
    """The pods that the latest session shows."""
    found = connector.store.get(kube.PODS).value
    return [] if found is None else list(found.rows)


def calm() -> FakeConnector:
    """All is well."""
    return FakeConnector(data(troubled=False))


def incident() -> FakeConnector:
    """A bad deploy, a backlog and a lock."""
    return FakeConnector(data(troubled=True))
