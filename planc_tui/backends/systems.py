"""Builds the ports of the systems beside Kubernetes from the playbook.

Invariant: building sends nothing, imports no driver and never fails: a system that is not configured, or whose entry
cannot be used, gives a port that says so at every read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from planc_tui.backends.alertmanager import AlertmanagerPort
from planc_tui.backends.amqp import AmqpProbe, amqp_route
from planc_tui.backends.http import Http, HttpWriter, open_http
from planc_tui.backends.postgres import PostgresPort
from planc_tui.backends.prometheus import PrometheusPort
from planc_tui.backends.rabbitmq import ManagementApi, RabbitmqPort
from planc_tui.backends.reach import Route, Tunnel, parse_via
from planc_tui.backends.secrets import Credential, Vault
from planc_tui.core.alerts import AlertsPort, AlertsReport, Matcher
from planc_tui.core.broker import BrokerPort, BrokerReport
from planc_tui.core.clock import Clock
from planc_tui.core.database import DatabasePort, DatabaseStatus
from planc_tui.core.ports import ClusterPort, NotConfigured
from planc_tui.core.slo import MetricsPort, Sample
from planc_tui.core.stats import RequestStats
from planc_tui.playbook.model import HttpSystem, Playbook, RabbitmqSystem, SecretFrom

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Systems:
    """The ports of one session."""

    database: DatabasePort
    broker: BrokerPort
    metrics: MetricsPort
    alerts: AlertsPort


@dataclass(frozen=True, slots=True)
class Absent:
    """A system that planc has no way to; stands for any of the ports."""

    message: str
    hint: str

    def activity(self) -> DatabaseStatus:
        self._fail()

    def queues(self) -> BrokerReport:
        self._fail()

    def query(self, promql: str) -> tuple[Sample, ...]:
        self._fail()

    def report(self) -> AlertsReport:
        self._fail()

    def silence(self, matchers: Sequence[Matcher], starts: float, ends: float, by: str, comment: str) -> str:
        self._fail()

    def expire(self, silence: str) -> None:
        self._fail()

    def close(self) -> None:
        """Nothing to close."""

    def _fail(self) -> NoReturn:
        raise NotConfigured(self.message, hint=self.hint)


class Builder:
    """What all systems of one session share. namespace: where pods, Services and Secrets are."""

    def __init__(
        self, cluster: ClusterPort, namespace: str, stats: RequestStats, clock: Clock, environ: Mapping[str, str]
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._stats = stats
        self._clock = clock
        self._vault = Vault(cluster, namespace, environ)

    def database(self, playbook: Playbook) -> DatabasePort:
        """PostgreSQL."""
        system = playbook.systems.postgres
        if system is None or not (system.dsn or system.via):
            raise NotConfigured("PostgreSQL is not configured", hint="set systems.postgres in the playbook")
        route: Route | None = None
        if system.via:
            route = Tunnel(self._cluster, self._namespace, parse_via(system.via))
        credential = self._credential(system.password, "password of PostgreSQL")
        return PostgresPort(system, route, credential, self._stats, self._clock)

    def broker(self, playbook: Playbook) -> BrokerPort:
        """RabbitMQ, by whichever ways the playbook gives."""
        system = playbook.systems.rabbitmq
        target = playbook.targets.rabbitmq
        if system is None:
            raise NotConfigured("RabbitMQ is not configured", hint="set systems.rabbitmq in the playbook")
        names = () if target is None else (*target.queues, *((target.dead_letter,) if target.dead_letter else ()))
        probe = None
        if system.url or system.via:
            route = amqp_route(system, self._cluster, self._namespace)
            credential = self._credential(system.password, "password of RabbitMQ")
            probe = AmqpProbe(system, route, credential, self._stats, self._clock)
        management = None
        if system.management is not None:
            management = ManagementApi(self._management(system, system.management))
        return RabbitmqPort(names, system.vhost, probe, management, self._clock)

    def metrics(self, playbook: Playbook) -> MetricsPort:
        """Prometheus."""
        system = playbook.systems.prometheus
        if system is None:
            raise NotConfigured("Prometheus is not configured", hint="set systems.prometheus in the playbook")
        return PrometheusPort(self.http("Prometheus", system, key="systems.prometheus", source="slo"))

    def alerts(self, playbook: Playbook) -> AlertsPort:
        """Alertmanager."""
        system = playbook.systems.alertmanager
        if system is None:
            raise NotConfigured("Alertmanager is not configured", hint="set systems.alertmanager in the playbook")
        return AlertmanagerPort(self.http("Alertmanager", system, key="systems.alertmanager", source="alerts"))

    def http(self, name: str, system: HttpSystem, *, key: str, source: str) -> HttpWriter:
        """A way to any system that the playbook reaches over HTTP. Raises NotConfigured."""
        return self._http(name, system, key=key, source=source, user=system.user, password=system.password)

    def _management(self, broker: RabbitmqSystem, system: HttpSystem) -> Http:
        """The management API takes the broker's login when it names none of its own."""
        own = bool(system.user)
        return self._http(
            "RabbitMQ management",
            system,
            key="systems.rabbitmq.management",
            source="queues",
            user=system.user if own else broker.user,
            password=system.password if own else broker.password,
        )

    def _http(
        self, name: str, system: HttpSystem, *, key: str, source: str, user: str, password: SecretFrom | None
    ) -> HttpWriter:
        return open_http(
            name,
            system,
            key=key,
            user=user,
            password=self._credential(password, f"password of {name}"),
            token=self._credential(system.token, f"token of {name}"),
            cluster=self._cluster,
            namespace=self._namespace,
            stats=self._stats,
            clock=self._clock,
            source=source,
        )

    def _credential(self, where: SecretFrom | None, what: str) -> Credential:
        return Credential(self._vault, where, what)


def open_systems(
    playbook: Playbook,
    cluster: ClusterPort,
    namespace: str,
    stats: RequestStats,
    clock: Clock,
    environ: Mapping[str, str],
) -> Systems:
    """The ports of every system beside Kubernetes. namespace: the one that `via` and Secrets are in."""
    builder = Builder(cluster, namespace, stats, clock, environ)

    def build(make: Callable[[Playbook], P]) -> P | Absent:
        try:
            return make(playbook)
        except NotConfigured as error:
            return Absent(error.message, error.hint)

    return Systems(build(builder.database), build(builder.broker), build(builder.metrics), build(builder.alerts))
