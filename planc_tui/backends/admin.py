"""Builds the ways by which actions change the database and the broker.

Invariant: building sends nothing and imports no driver; what the playbook does not say how to reach raises
NotConfigured when it is asked for, and everything else is opened once, when it is first asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from planc_tui.backends.amqp_admin import AmqpAdmin, connector
from planc_tui.backends.postgres_admin import ACTING, ACTING_NAME, VACUUMING, PostgresAdmin
from planc_tui.backends.systems import Builder
from planc_tui.core.admin import BrokerAdmin, DatabaseAdmin
from planc_tui.core.alerts import AlertsPort
from planc_tui.core.clock import Clock
from planc_tui.core.ports import ClusterPort
from planc_tui.core.stats import RequestStats
from planc_tui.playbook.model import Playbook


class _Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=_Closable)


class Admins(Struct, frozen=True):
    """What actions get. database, broker, alerts: raise NotConfigured where there is no way.
    close: drops every connection."""

    database: Callable[[], DatabaseAdmin]
    broker: Callable[[], BrokerAdmin]
    close: Callable[[], None]
    alerts: Callable[[], AlertsPort]


class _Once(Generic[T]):
    """Makes something when it is first asked for; what fails is tried again the next time."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: T | None = None

    def get(self) -> T:
        with self._lock:
            if self._made is None:
                self._made = self._make()
            return self._made

    def close(self) -> None:
        with self._lock:
            made, self._made = self._made, None
        if made is not None:
            made.close()


def open_admin(
    playbook: Playbook,
    cluster: ClusterPort,
    namespace: str,
    stats: RequestStats,
    clock: Clock,
    environ: Mapping[str, str],
) -> Admins:
    """The ways of one session. namespace: the one that `via` and Secrets are in."""
    builder = Builder(cluster, namespace, stats, clock, environ)

    def database() -> PostgresAdmin:
        acting, vacuuming = (builder.postgres(playbook, settings, ACTING_NAME) for settings in (ACTING, VACUUMING))
        return PostgresAdmin(acting, vacuuming)

    def broker() -> AmqpAdmin:
        return AmqpAdmin(builder.amqp(playbook, patient=True, connector=connector), clock)

    first, second, third = _Once(database), _Once(broker), _Once(lambda: builder.alerts(playbook))

    def close() -> None:
        first.close()
        second.close()
        third.close()

    return Admins(first.get, second.get, close, third.get)
