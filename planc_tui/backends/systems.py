"""Builds the ports of the systems beside Kubernetes from the playbook.

Invariant: building sends nothing, imports no driver and never fails: a system that is not configured, or whose entry
cannot be used, gives a port that says so at every read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, TypeVar

from msgspec import Struct

from planc_tui.backends.alertmanager import AlertmanagerPort
from planc_tui.backends.amqp import HEARTBEAT, AmqpLink, AmqpProbe, Connector, amqp_route
from planc_tui.backends.http import Http, HttpWriter, open_http
from planc_tui.backends.pg_link import APPLICATION, PgLink
from planc_tui.backends.postgres import SETTINGS, PostgresPort
from planc_tui.backends.prometheus import PrometheusPort
from planc_tui.backends.rabbitmq import ManagementApi, RabbitmqPort
from planc_tui.backends.reach import Tunnel, parse_via
from planc_tui.backends.secrets import Credential, Vault
from planc_tui.core.alerts import AlertsPort, AlertsReport, Matcher, Silence
from planc_tui.core.broker import BrokerPort, BrokerReport
from planc_tui.core.clock import Clock
from planc_tui.core.database import DatabasePort, DatabaseStatus
from planc_tui.core.ports import ClusterPort, NotConfigured
from planc_tui.core.slo import MetricsPort, Sample
from planc_tui.core.stats import RequestStats
from planc_tui.core.steps import Steps
from planc_tui.playbook.model import HttpSystem, Playbook, RabbitmqSystem, SecretFrom

P = TypeVar("P")


class Systems(Struct, frozen=True):
    """The ports of one session."""

    database: DatabasePort
    broker: BrokerPort
    metrics: MetricsPort
    alerts: AlertsPort


class Absent(Struct, frozen=True):
    """A system that planc has no way to; stands for any of the ports."""

    message: str
    hint: str

    @property
    def connected(self) -> bool:
        """There is nothing to connect to."""
        return True

    def connect(self) -> None:
        self._fail()

    def activity(self) -> DatabaseStatus:
        self._fail()

    def queues(self) -> Steps[BrokerReport]:
        self._fail()

    def query(self, promql: str) -> tuple[Sample, ...]:
        self._fail()

    def report(self, silences: Sequence[Silence] | None = None) -> AlertsReport:
        self._fail()

    def list_silences(self) -> tuple[Silence, ...]:
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
        """PostgreSQL, to watch."""
        return PostgresPort(self.postgres(playbook, SETTINGS)())

    def postgres(
        self, playbook: Playbook, settings: Mapping[str, str], name: str = APPLICATION
    ) -> Callable[[], PgLink]:
        """Makes links to PostgreSQL. settings, name: of their connections. Raises NotConfigured."""
        system = playbook.systems.postgres
        if system is None or not (system.dsn or system.via):
            raise NotConfigured("PostgreSQL is not configured", hint="set systems.postgres in the playbook")
        via = parse_via(system.via) if system.via else None
        credential = self.credential(system.password, "password of PostgreSQL")

        def make() -> PgLink:
            route = None if via is None else Tunnel(self._cluster, self._namespace, via)
            return PgLink(system, route, credential, settings, self._stats, self._clock, name)

        return make

    def broker(self, playbook: Playbook) -> BrokerPort:
        """RabbitMQ, by whichever ways the playbook gives."""
        system = playbook.systems.rabbitmq
        target = playbook.targets.rabbitmq
        if system is None:
            raise NotConfigured("RabbitMQ is not configured", hint="set systems.rabbitmq in the playbook")
        names = () if target is None else (*target.queues, *((target.dead_letter,) if target.dead_letter else ()))
        probe = None
        if system.url or system.via:
            probe = AmqpProbe(self.amqp(playbook)(), system.vhost)
        management = None
        if system.management is not None:
            management = ManagementApi(self._management(system, system.management))
        return RabbitmqPort(names, system.vhost, probe, management, self._clock)

    def amqp(self, playbook: Playbook, *, patient: bool = False, connector: Connector = None) -> Callable[[], AmqpLink]:
        """Makes links to RabbitMQ. patient: without heartbeats, for calls that are far between or long. connector:
        gives the class of pika's connections. Raises NotConfigured."""
        system = playbook.systems.rabbitmq
        if system is None or not (system.url or system.via):
            hint = "set systems.rabbitmq.url or .via in the playbook"
            raise NotConfigured("RabbitMQ has no AMQP address", hint=hint)
        amqp_route(system, self._cluster, self._namespace)  # says now what is wrong with the address
        credential = self.credential(system.password, "password of RabbitMQ")
        heartbeat = 0 if patient else HEARTBEAT

        def make() -> AmqpLink:
            route = amqp_route(system, self._cluster, self._namespace)
            return AmqpLink(system, route, credential, self._stats, self._clock, heartbeat, connector)

        return make

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
            password=self.credential(password, f"password of {name}"),
            token=self.credential(system.token, f"token of {name}"),
            cluster=self._cluster,
            namespace=self._namespace,
            stats=self._stats,
            clock=self._clock,
            source=source,
        )

    def credential(self, where: SecretFrom | None, what: str) -> Credential:
        """A secret of the playbook, read when it is first needed. what: words for messages."""
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
