"""Facts from readings.

Invariant: a fact is in the result only when its reading tells it; what the reading leaves open stays unknown. All
functions are pure: values and the time in, facts out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from planc_tui.core.alerts import AlertsReport
from planc_tui.core.broker import BrokerStatus, Drain, QueueStat
from planc_tui.core.cluster.events import EventRow
from planc_tui.core.cluster.hpa import HpaRow
from planc_tui.core.cluster.nodes import NodeRow
from planc_tui.core.cluster.pods import PodRow
from planc_tui.core.cluster.rollouts import RolloutRow
from planc_tui.core.cluster.usage import (
    UsageTable,
    limit_percent,
    request_percent,
    time_to_limit,
)
from planc_tui.core.database import DatabaseStatus, ServerSession
from planc_tui.core.findings import Known
from planc_tui.core.slo import SloReport, SloStatus
from planc_tui.core.table import Target
from planc_tui.core.text import clean

TEN_MINUTES = 600.0
HALF_AN_HOUR = 1800.0
MIB = 1_048_576
NEVER_MINUTES = 1_000_000.0
"""Minutes that stand for "not at this pace"."""

_PENDING = frozenset({"Pending", "ContainerCreating", "PodInitializing", "SchedulingGated"})


class Names(Struct, frozen=True):
    """What the playbook calls the parts of the system; "" for what there is not."""

    app: str
    app_kind: str = "Deployment"
    worker: str = ""
    worker_kind: str = "Deployment"
    dead_letter: str = ""


Found = dict[str, Known]


def _pod(row: PodRow) -> tuple[str, Target]:
    return clean(row.name), Target("Pod", row.name, row.namespace, row.uid)


def _counted(rows: Sequence[PodRow]) -> Known:
    """How many, and one of them."""
    if not rows:
        return Known(0)
    subject, target = _pod(rows[0])
    return Known(len(rows), subject, target)


class Restarts:
    """Container restarts of the last ten minutes, from the counts seen one after another."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._seen: deque[tuple[float, int]] = deque()

    def count(self, rows: Iterable[PodRow], now: float) -> int:
        """Restarts between `now` (epoch seconds) and ten minutes before; of a pod that is seen for the first time,
        its last restart."""
        counts = {}
        for row in rows:
            counts[row.uid] = row.restarts
            before = self._counts.get(row.uid)
            if before is None:
                if row.restarts and row.last_restart > now - TEN_MINUTES:
                    self._seen.append((row.last_restart, 1))
            elif row.restarts > before:
                self._seen.append((now, row.restarts - before))
        self._counts = counts
        self._seen = deque(item for item in self._seen if item[0] > now - TEN_MINUTES)
        return sum(count for _, count in self._seen)


def pod_facts(rows: Sequence[PodRow], restarts: int, now: float) -> Found:
    """Facts about the pods of the namespace."""
    unhealthy = sorted((row for row in rows if not row.healthy), key=lambda row: row.rank)
    return {
        "pods_unhealthy": _counted(unhealthy),
        "pods_crash_looping": _counted([row for row in unhealthy if row.status.endswith("CrashLoopBackOff")]),
        "pods_oom_killed": _counted([row for row in rows if row.oom_at > now - TEN_MINUTES]),
        "pods_pending": _counted([row for row in unhealthy if _is_pending(row)]),
        "restarts_10m": Known(restarts),
    }


def _is_pending(row: PodRow) -> bool:
    return row.phase == "Pending" and (row.status in _PENDING or row.status.startswith("Init:"))


def rollout_facts(rows: Sequence[RolloutRow], names: Names, now: float) -> Found:
    """Facts about the workloads of the kinds that are known."""
    stuck = [row for row in rows if row.stuck]
    found: Found = {"rollouts_stuck": Known(0)}
    if stuck:
        found["rollouts_stuck"] = Known(len(stuck), clean(stuck[0].name), _workload(stuck[0]))
    app = next((row for row in rows if (row.kind, row.name) == (names.app_kind, names.app)), None)
    if app is not None:
        name, target = clean(app.name), _workload(app)
        found["app_ready"] = Known(app.ready, name, target)
        found["app_down"] = Known(float(app.desired > 0 and app.ready == 0), name, target)
        missing = max(0, app.desired - app.ready)
        found["app_unavailable_percent"] = Known(100.0 * missing / app.desired if app.desired else 0.0, name, target)
        if app.changed:
            found["app_changed_30m"] = Known(float(app.changed > now - HALF_AN_HOUR), name, target)
    worker = next((row for row in rows if (row.kind, row.name) == (names.worker_kind, names.worker)), None)
    if worker is not None:
        found["worker_ready"] = Known(worker.ready, clean(worker.name), _workload(worker))
    return found


def _workload(row: RolloutRow) -> Target:
    return Target(row.kind, row.name, row.namespace, row.uid)


def hpa_facts(rows: Sequence[HpaRow]) -> Found:
    """Facts about autoscalers."""
    return {
        "hpa_at_max": _autoscalers([row for row in rows if row.wants_more]),
        "hpa_unable": _autoscalers([row for row in rows if row.unable]),
    }


def _autoscalers(rows: Sequence[HpaRow]) -> Known:
    if not rows:
        return Known(0)
    first = rows[0]
    target = Target("HorizontalPodAutoscaler", first.name, first.namespace, first.uid)
    return Known(len(rows), clean(first.name), target)


def node_facts(rows: Sequence[NodeRow]) -> Found:
    """Facts about nodes."""
    return {
        "nodes_not_ready": _nodes([row for row in rows if row.ready is not True]),
        "nodes_pressure": _nodes([row for row in rows if row.pressures]),
    }


def _nodes(rows: Sequence[NodeRow]) -> Known:
    if not rows:
        return Known(0)
    return Known(len(rows), clean(rows[0].name), Target("Node", rows[0].name, "", rows[0].uid))


def event_facts(rows: Sequence[EventRow], now: float) -> Found:
    """Facts about events."""
    recent = [row for row in rows if row.warning and row.last > now - TEN_MINUTES]
    return {"warnings_10m": Known(len(recent), clean(recent[0].object) if recent else "")}


def usage_facts(rows: Sequence[PodRow], usage: UsageTable, is_app: Callable[[Mapping[str, str]], bool]) -> Found:
    """Facts about what pods use. is_app: whether a pod with these labels belongs to the application."""
    measured = [(row, used) for row in rows if (used := usage.of(row)) is not None]
    found: Found = {}
    _highest(found, "cpu_percent_max", [(limit_percent(row, used, "cpu"), row) for row, used in measured])
    _highest(found, "memory_percent_max", [(limit_percent(row, used, "memory"), row) for row, used in measured])
    app = []
    for row, used in measured:
        if is_app(row.labels):
            limit = limit_percent(row, used, "cpu")
            app.append(limit if limit is not None else request_percent(row, used, "cpu"))
    known = [share for share in app if share is not None]
    if known:
        found["cpu_percent"] = Known(sum(known) / len(known))
    slopes = [(row, used, used.slope) for row, used in measured]
    _highest(found, "memory_slope", [(None if s is None else s * 60 / MIB, row) for row, _, s in slopes])
    if "memory_slope" in found:
        left = [
            (seconds / 60, row)
            for row, used, pace in slopes
            if used.growing and (seconds := time_to_limit(used.memory, row.memory_limit, pace)) is not None
        ]
        first = min(left, key=lambda item: item[0], default=None)
        found["memory_minutes_left"] = (
            Known(NEVER_MINUTES) if first is None else Known(min(first[0], NEVER_MINUTES), *_pod(first[1]))
        )
    return found


def _highest(found: Found, name: str, values: Iterable[tuple[float | None, PodRow]]) -> None:
    """Put the highest of the known values under `name`, if there is one."""
    best: tuple[float, PodRow] | None = None
    for value, row in values:
        if value is not None and (best is None or value > best[0]):
            best = (value, row)
    if best is not None:
        found[name] = Known(best[0], *_pod(best[1]))


def queue_facts(status: BrokerStatus, names: Names) -> Found:
    """Facts about queues and their broker."""
    found: Found = {}
    known = [row for row in status.rows if row.stat.depth is not None]
    work = [row for row in known if row.stat.name != names.dead_letter]
    if work:
        deepest = max(work, key=lambda row: row.stat.depth or 0)
        found["queue_depth"] = _queue(float(deepest.stat.depth or 0), deepest.stat)
        alone = [row for row in work if row.drain is Drain.NO_CONSUMERS]
        found["queues_without_consumers"] = _queue(float(len(alone)), alone[0].stat) if alone else Known(0)
    dead = next((row for row in known if row.stat.name == names.dead_letter), None)
    if dead is not None:
        found["dead_letter_depth"] = _queue(float(dead.stat.depth or 0), dead.stat)
    draining = [(row.seconds, row.stat) for row in work if row.drain is Drain.DRAINING and row.seconds is not None]
    if draining:
        seconds, stat = max(draining, key=lambda item: item[0])
        found["queue_minutes_to_drain"] = _queue(seconds / 60, stat)
    if status.blocked is not None:
        found["broker_blocked"] = Known(float(status.blocked))
    return found


def _queue(value: float, stat: QueueStat) -> Known:
    return Known(value, clean(stat.name), Target("Queue", stat.name, stat.vhost, stat.uid))


def database_facts(status: DatabaseStatus) -> Found:
    """Facts about PostgreSQL."""
    clients = [session for session in status.sessions if session.backend_type == "client backend"]
    running = [one for one in clients if one.state == "active" and one.query_start is not None]
    slow = min(running, key=lambda one: one.query_start or 0.0, default=None)
    oldest = status.longest_transaction
    root = max((node for node in status.locks if node.depth == 0), key=lambda node: node.blocks, default=None)
    blocker = None if root is None else status.session(root.pid)
    found = {
        "database_connections_percent": Known(100.0 * status.full),
        "database_longest_query": _session(slow, status.now - (slow.query_start or 0.0) if slow else 0.0),
        "database_longest_transaction": _session(
            oldest, status.now - (oldest.transaction_start or 0.0) if oldest else 0.0
        ),
        "database_blocked": _session(blocker, float(status.blocked)),
    }
    if root is not None and blocker is None:
        found["database_blocked"] = Known(float(status.blocked), f"pid {root.pid}")
    return found


def _session(session: ServerSession | None, value: float) -> Known:
    if session is None:
        return Known(max(0.0, value))
    return Known(max(0.0, value), f"pid {session.pid}", Target("Session", str(session.pid), uid=session.uid))


def slo_facts(report: SloReport) -> Found:
    """Facts about objectives. Of several of one kind, the first that is known."""
    found: Found = {}
    for kind, name in (
        ("availability", "availability_percent"),
        ("error_rate", "error_percent"),
        ("latency", "latency_p95"),
    ):
        slo = next((one for one in report.slos if one.objective.kind == kind and one.value is not None), None)
        if slo is not None and slo.value is not None:
            value = slo.value / 1000 if slo.objective.unit == "ms" else slo.value
            found[name] = _objective(slo, value)
    for window, name in (("burn_short", "burn_short"), ("burn_long", "burn_long")):
        burns = [(burn, one) for one in report.slos if (burn := getattr(one, window)) is not None]
        if burns:
            burn, one = max(burns, key=lambda item: item[0])
            found[name] = _objective(one, burn)
    budgets = [(one.budget_left, one) for one in report.slos if one.budget_left is not None]
    if budgets:
        left, one = min(budgets, key=lambda item: item[0])
        found["budget_left_percent"] = _objective(one, 100.0 * left)
    return found


def _objective(slo: SloStatus, value: float) -> Known:
    name = slo.objective.name
    return Known(value, clean(name), Target("SLO", name, uid=slo.objective.id))


def alert_facts(report: AlertsReport) -> Found:
    """Alerts that reach somebody; the newest one names them."""
    firing = [alert for alert in report.alerts if alert.firing]
    newest = max(firing, key=lambda alert: alert.started, default=None)
    if newest is None:
        return {"alerts_firing": Known(0.0)}
    target = Target("Alert", newest.name, newest.labels.get("namespace", ""), newest.fingerprint)
    return {"alerts_firing": Known(float(len(firing)), newest.name, target)}
