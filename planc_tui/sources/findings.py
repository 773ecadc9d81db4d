"""Looks at the readings once a second and says what is wrong.

Invariant: only readings that are live count; a rule never keeps a costly source busy (the logs), and nothing is
written to the store while nothing changed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from planc_tui.core import derive
from planc_tui.core.clock import Clock
from planc_tui.core.cluster import topics as kube
from planc_tui.core.cluster.listing import Listing
from planc_tui.core.facts import FACTS
from planc_tui.core.findings import Facts, Finding, FindingsState, Known, step
from planc_tui.core.health import Health
from planc_tui.core.selector import selector
from planc_tui.core.store import Reading, Store, Topic
from planc_tui.playbook.model import Playbook
from planc_tui.sources.alerts import ALERTS
from planc_tui.sources.database import DATABASE
from planc_tui.sources.logs import ERRORS
from planc_tui.sources.queues import QUEUES
from planc_tui.sources.slo import SLO

log = logging.getLogger(__name__)
V = TypeVar("V")

FINDINGS: Topic[tuple[Finding, ...]] = Topic("findings", 15.0)
PERIOD = 1.0
CONFIRM = 5.0
# How often facts that depend on the time alone are worked out anew.
AGEING = 10.0

_ROLLOUTS = {
    "Deployment": kube.DEPLOYMENTS,
    "StatefulSet": kube.STATEFULSETS,
    "DaemonSet": kube.DAEMONSETS,
}
_SOURCES: Mapping[str, tuple[Topic[Any], ...]] = {
    "pods": (kube.PODS,),
    "rollouts": (kube.DEPLOYMENTS,),
    "hpas": (kube.HPAS,),
    "nodes": (kube.NODES,),
    "usage": (kube.PODS, kube.POD_USAGE),
    "events": (kube.EVENTS,),
    "queues": (QUEUES,),
    "database": (DATABASE, kube.LINK),
    "slo": (SLO,),
    "alerts": (ALERTS,),
    "logs": (ERRORS,),
    "link": (kube.LINK,),
}
# Following fifty logs is no work for a rule: what they say counts while somebody looks at them.
_COSTLY = frozenset({"logs"})
_AWAY = (Health.UNREACHABLE, Health.LOGIN_EXPIRED, Health.DENIED)


def rule_topics(playbook: Playbook) -> tuple[Topic[Any], ...]:
    """The topics that must be read for the playbook's rules, in a fixed order."""
    families = {FACTS[c.fact].topic for rule in playbook.rules for c in rule.conditions if c.fact in FACTS}
    wanted: dict[str, Topic[Any]] = {}
    for family in sorted(families - _COSTLY):
        for topic in sources_of(family, playbook):
            wanted[topic.name] = topic
    return tuple(wanted.values())


def sources_of(family: str, playbook: Playbook) -> tuple[Topic[Any], ...]:
    """The topics that a family of facts is made of."""
    if family != "rollouts":
        return _SOURCES.get(family, ())
    targets = playbook.targets
    kinds = {"Deployment", targets.app.kind, *([targets.worker.kind] if targets.worker else [])}
    return tuple(_ROLLOUTS[kind] for kind in sorted(kinds))


class FindingsFeed:
    """Keeps the findings up to date. Implements sources.base.Feed."""

    def __init__(self, store: Store, clock: Clock, playbook: Playbook) -> None:
        self._store = store
        self._clock = clock
        self._playbook = playbook
        self._facts = FactReader(store, playbook)
        self._state = FindingsState()
        self._shown: tuple[Finding, ...] | None = None
        self._confirmed_at = float("-inf")
        self._wanted = False
        self._stopped = False
        self._wake = threading.Event()

    @property
    def name(self) -> str:
        return FINDINGS.name

    @property
    def topics(self) -> Sequence[Topic[Any]]:
        return (FINDINGS,)

    @property
    def facts(self) -> Facts:
        """The facts of the last look, for whoever needs to show why."""
        return self._facts.last

    def start(self) -> None:
        threading.Thread(target=self._run, name="source-findings", daemon=True).start()

    def want(self, wanted: bool) -> None:
        if wanted == self._wanted:
            return
        self._wanted = wanted
        self._store.want(FINDINGS, wanted)
        self._wake.set()

    def kick(self) -> None:
        self._wake.set()

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.clear()
            if self._wanted:
                self._guarded_look()
            self._wake.wait(PERIOD if self._wanted else None)

    def _guarded_look(self) -> None:
        try:
            self.look()
        except Exception:
            # Without a confirmation the findings turn stale on the screen; the next look may succeed.
            log.exception("the findings could not be worked out")

    def look(self) -> None:
        """Look at the readings once."""
        now, monotonic = self._clock.now(), self._clock.monotonic()
        facts = self._facts.read(now, monotonic)
        self._state = step(self._state, self._playbook.rules, facts, now, monotonic)
        findings = self._state.findings
        if findings != self._shown:
            self._shown, self._confirmed_at = findings, monotonic
            self._store.put(FINDINGS, findings, monotonic)
        elif monotonic - self._confirmed_at >= CONFIRM:
            self._confirmed_at = monotonic
            self._store.confirm(FINDINGS, monotonic)


class FactReader:
    """Facts from the store; a family is worked out again only when one of its readings changed or time passed."""

    def __init__(self, store: Store, playbook: Playbook) -> None:
        targets = playbook.targets
        self._store = store
        self._playbook = playbook
        self._names = derive.Names(
            targets.app.name,
            targets.app.kind,
            targets.worker.name if targets.worker else "",
            targets.worker.kind if targets.worker else "Deployment",
            targets.rabbitmq.dead_letter if targets.rabbitmq else "",
        )
        self._restarts = derive.Restarts()
        self._families: Mapping[str, Callable[[float], Facts]] = {
            "pods": self._pods,
            "rollouts": self._rollouts,
            "hpas": lambda _: self._rows(kube.HPAS, derive.hpa_facts),
            "nodes": lambda _: self._rows(kube.NODES, derive.node_facts),
            "usage": self._usage,
            "events": lambda now: self._rows(kube.EVENTS, lambda rows: derive.event_facts(rows, now)),
            "queues": self._queues,
            "database": self._database,
            "slo": self._slo,
            "alerts": self._alerts,
            "logs": self._logs,
            "link": self._link,
        }
        self._cache: dict[str, tuple[object, Facts]] = {}
        self._monotonic = 0.0
        self.last: Facts = {}

    def read(self, now: float, monotonic: float) -> Facts:
        """Everything that is known at epoch time `now` and monotonic time `monotonic`."""
        self._monotonic = monotonic
        facts: dict[str, Known] = {}
        for family, derived in self._families.items():
            readings = [self._store.peek(topic) for topic in sources_of(family, self._playbook)]
            if family == "usage":
                # Pods change every moment in a rollout, but their usage and limits do not: the measurement decides.
                readings = [replace(readings[0], seq=0), *readings[1:]]
            key = (int(now / AGEING), *((reading.seq, reading.health(monotonic)) for reading in readings))
            cached = self._cache.get(family)
            if cached is None or cached[0] != key:
                cached = self._cache[family] = (key, derived(now))
            facts.update(cached[1])
        self.last = facts
        return facts

    def _reading(self, topic: Topic[V]) -> Reading[V] | None:
        """The reading when it is live, with its value made."""
        if self._store.peek(topic).health(self._monotonic) is not Health.LIVE:
            return None
        return self._store.get(topic)

    def _live(self, topic: Topic[V]) -> V | None:
        reading = self._reading(topic)
        return None if reading is None else reading.value

    def _listed(self, topic: Topic[Listing[V]]) -> Sequence[V] | None:
        """Rows of a listing that is live and whole."""
        listing = self._live(topic)
        return None if listing is None or not listing.complete else listing.rows

    def _rows(self, topic: Topic[Listing[V]], derived: Callable[[Sequence[V]], Facts]) -> Facts:
        rows = self._listed(topic)
        return {} if rows is None else derived(rows)

    def _pods(self, now: float) -> Facts:
        rows = self._listed(kube.PODS)
        return {} if rows is None else derive.pod_facts(rows, self._restarts.count(rows, now), now)

    def _rollouts(self, now: float) -> Facts:
        listed = [self._listed(_ROLLOUTS[topic_kind]) for topic_kind in self._kinds()]
        if any(rows is None for rows in listed):
            return {}
        return derive.rollout_facts([row for rows in listed for row in rows or ()], self._names, now)

    def _kinds(self) -> Sequence[str]:
        wanted = sources_of("rollouts", self._playbook)
        return [kind for kind, topic in _ROLLOUTS.items() if topic in wanted]

    def _usage(self, _: float) -> Facts:
        rows, usage = self._listed(kube.PODS), self._live(kube.POD_USAGE)
        if rows is None or usage is None:
            return {}
        text = self._playbook.targets.app.selector or self._playbook.logs.selector
        if text:
            return derive.usage_facts(rows, usage, selector(text))
        return derive.usage_facts(rows, usage, lambda labels: False)

    def _queues(self, _: float) -> Facts:
        status = self._live(QUEUES)
        return {} if status is None else derive.queue_facts(status, self._names)

    def _slo(self, _: float) -> Facts:
        report = self._live(SLO)
        return {} if report is None else derive.slo_facts(report)

    def _alerts(self, _: float) -> Facts:
        report = self._live(ALERTS)
        return {} if report is None else derive.alert_facts(report)

    def _logs(self, _: float) -> Facts:
        summary = self._live(ERRORS)
        if summary is None or not summary.followed:
            return {}
        return {"log_errors_per_minute": Known(summary.last_minute)}

    def _link(self, _: float) -> Facts:
        away = self._is_away(kube.LINK)
        return {} if away is None else {"cluster_unreachable": Known(float(away))}

    def _database(self, _: float) -> Facts:
        status = self._live(DATABASE)
        if status is not None:
            return {**derive.database_facts(status), "database_refused": Known(0.0)}
        system = self._playbook.systems.postgres
        if system is not None and system.via and self._is_away(kube.LINK) is not False:
            # The way leads through the API server: its silence says nothing about the database.
            return {}
        away = self._is_away(DATABASE)
        return {} if not away else {"database_refused": Known(1.0)}

    def _is_away(self, topic: Topic[Any]) -> bool | None:
        """Whether a system refuses or does not answer; None when nobody has tried."""
        reading = self._store.peek(topic)
        if reading.fault is not None:
            return True if reading.fault.health in _AWAY else None
        return False if reading.health(self._monotonic) is Health.LIVE else None
