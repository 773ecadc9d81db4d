"""AMQP (pika): a connection that cannot hang, and queue depths by passive declares over one.

Invariant: watching never declares, binds or consumes; a queue that is missing or refused costs one channel and nothing
else; no call outlasts its limit.
"""

from __future__ import annotations

import getpass
import logging
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from planc_tui.backends.reach import Direct, Route, Tunnel, broken, parse_via
from planc_tui.backends.secrets import Credential
from planc_tui.backends.watchdog import Cutter
from planc_tui.core.answer_limit import AnswerLimit
from planc_tui.core.broker import QueueStat
from planc_tui.core.clock import Clock
from planc_tui.core.ports import (
    ClusterPort,
    Denied,
    LoginExpired,
    NoAnswer,
    NoConnection,
    NotConfigured,
    PortError,
    Unreachable,
)
from planc_tui.core.stats import RequestStats
from planc_tui.core.text import clean
from planc_tui.playbook.model import RabbitmqSystem

if TYPE_CHECKING:
    from pika import BlockingConnection
    from pika.adapters.blocking_connection import BlockingChannel

SOURCE = "queues"
Connector: TypeAlias = Callable[[], Any] | None
CONNECT_TIMEOUT = 4.0
READ_TIMEOUT = 4.0
HEARTBEAT = 30
# pika raises these itself when its socket goes away in the middle of a frame.
_STUMBLES = (AttributeError, IndexError, AssertionError, ValueError, KeyError)
# Without these, a network that swallows packets is noticed only after two missed heartbeats.
TCP_OPTIONS = {"TCP_USER_TIMEOUT": 10_000, "TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


class AmqpLink:
    """One connection to the broker that cannot hang. Used by one thread at a time.

    heartbeat: seconds, 0 for none. connector: gives a class of pika's connections in place of its own."""

    def __init__(
        self,
        system: RabbitmqSystem,
        route: Route,
        credential: Credential,
        stats: RequestStats,
        clock: Clock,
        heartbeat: int = HEARTBEAT,
        connector: Connector = None,
    ) -> None:
        self._system = system
        self._route = route
        self._credential = credential
        self._stats = stats
        self._clock = clock
        self._heartbeat = heartbeat
        self._connector = connector
        self._limit = AnswerLimit(CONNECT_TIMEOUT)
        self._connection: BlockingConnection | None = None
        self._cutter: Cutter | None = None

    def open(self) -> tuple[BlockingConnection, Cutter]:
        """The connection, with what ends a call on it. Raises pika's errors and PortError."""
        if self._connection is not None and self._cutter is not None and self._connection.is_open:
            return self._connection, self._cutter
        self._drop()
        import pika

        # pika reports every failed connection on its own logger too, with addresses and tracebacks.
        logging.getLogger("pika").setLevel(logging.CRITICAL)
        self.sent()
        connection = pika.BlockingConnection(self._parameters(pika), self._connector() if self._connector else None)
        self._connection, self._cutter = connection, Cutter(_fileno(connection))
        return connection, self._cutter

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._connection is not None and self._connection.is_open

    def check(self) -> bool:
        """Read what came since the last call (heartbeats), and drop the connection when the broker closed it. Returns
        whether there is one; asks the broker nothing."""
        if self._connection is None or self._cutter is None:
            return False
        try:
            with self.guarded(), self._cutter.limit(READ_TIMEOUT):
                self._connection.process_data_events(time_limit=0)
        except PortError:
            return False
        return self.connected

    def sent(self) -> None:
        """Count one request."""
        self._stats.request(SOURCE, self._clock.monotonic())

    def answered(self) -> None:
        """Count what the broker sent since the last answer."""
        self._limit.settle()
        if self._cutter is not None:
            self._stats.received(SOURCE, self._cutter.received())

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Whatever pika says becomes a PortError, and the connection is dropped."""
        from pika.adapters.utils.connection_workflow import AMQPConnectorException
        from pika.exceptions import AMQPError

        try:
            yield
        except (AMQPError, AMQPConnectorException, OSError, *_STUMBLES) as error:
            raise self._failed(error) from None

    def close(self) -> None:
        """Drop the connection and the way to it; never waits for the broker."""
        self._limit.settle()
        self._drop()
        self._route.close()

    def _parameters(self, pika: Any) -> Any:
        secret = self._credential.get()
        address = self._route.address()
        options: dict[str, Any] = {}
        if self._system.url.startswith("amqps:"):
            options["ssl_options"] = pika.SSLOptions(ssl.create_default_context(), server_hostname=address.name)
        if self._system.user:
            options["credentials"] = pika.PlainCredentials(self._system.user, secret.reveal() if secret else "")
        return pika.ConnectionParameters(
            host=address.host,
            port=address.port,
            virtual_host=self._system.vhost,
            heartbeat=self._heartbeat,
            connection_attempts=1,
            socket_timeout=self._limit.seconds,
            stack_timeout=self._limit.seconds,
            blocked_connection_timeout=10.0,
            client_properties={"connection_name": f"planc {_who()}"},
            tcp_options=TCP_OPTIONS,
            **options,
        )

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        cutter, self._cutter = self._cutter, None
        if cutter is not None:
            if connection is not None and connection.is_open and not cutter.fired:
                _close_politely(connection, cutter)
            cutter.close()

    def _failed(self, error: Exception) -> PortError:
        late = self._cutter is not None and self._cutter.fired
        self._drop()
        where = self._route.label
        if late:
            fault: PortError = NoAnswer(f"RabbitMQ: no answer from {where} in time")
        else:
            fault = amqp_error(error, where, self._system.vhost, self._limit.seconds)
        self._limit.settle(fault)
        if isinstance(fault, NoConnection):
            self._stats.withdraw(SOURCE)
        if isinstance(fault, LoginExpired):
            self._credential.refused()
        if isinstance(fault, LoginExpired | Denied):
            self._route.lost()
            return fault
        return broken(self._route, fault)


class AmqpProbe:
    """Asks for the depths of named queues. Used by one thread at a time."""

    def __init__(self, link: AmqpLink, vhost: str) -> None:
        self._link = link
        self._vhost = vhost
        self._channel: BlockingChannel | None = None

    @property
    def connected(self) -> bool:
        """Whether there is a connection that the broker did not close."""
        return self._link.check()

    def connect(self) -> None:
        """Open a connection, if there is none; counts as one request. Raises PortError."""
        with self._link.guarded():
            self._link.open()

    def depths(self, names: Sequence[str]) -> tuple[QueueStat, ...]:
        """Ready messages and consumers of each queue, in order; counts as one request. Raises PortError."""
        with self._link.guarded():
            connection, cutter = self._link.open()
            self._link.sent()
            with cutter.limit(READ_TIMEOUT):
                found = tuple(self._probe(connection, name) for name in names)
            self._link.answered()
            return found

    def close(self) -> None:
        """Drop the connection and the way to it; never waits for the broker."""
        self._link.close()

    def _probe(self, connection: BlockingConnection, name: str) -> QueueStat:
        from pika.exceptions import ChannelClosedByBroker

        if self._channel is None or self._channel.connection is not connection or not self._channel.is_open:
            self._channel = connection.channel()
        vhost = self._vhost
        shown = clean(name, 200)
        try:
            answer = self._channel.queue_declare(name, passive=True).method
        except ChannelClosedByBroker as error:
            self._channel = None
            if error.reply_code == 404:
                return QueueStat(shown, vhost, missing=True)
            return QueueStat(shown, vhost, error=clean(error.reply_text, 120))
        return QueueStat(shown, vhost, ready=answer.message_count, consumers=answer.consumer_count)


def amqp_route(system: RabbitmqSystem, cluster: ClusterPort, namespace: str) -> Route:
    """The way to the broker that the playbook describes. Raises NotConfigured."""
    if system.via:
        return Tunnel(cluster, namespace, parse_via(system.via))
    parts = urlsplit(system.url)
    if parts.scheme not in ("amqp", "amqps") or not parts.hostname:
        raise NotConfigured("RabbitMQ has no AMQP address", hint="set systems.rabbitmq.url or .via in the playbook")
    return Direct(parts.hostname, parts.port or (5671 if parts.scheme == "amqps" else 5672))


def amqp_error(error: Exception, where: str, vhost: str, limit: float) -> PortError:
    """The fault behind an exception of pika, whose text is often empty. limit: seconds that were waited for a
    connection."""
    from pika import exceptions

    if isinstance(error, exceptions.ProbableAuthenticationError | exceptions.AuthenticationError):
        return LoginExpired(
            "RabbitMQ does not accept the login", hint="check user and password of systems.rabbitmq in the playbook"
        )
    if isinstance(error, exceptions.ProbableAccessDeniedError):
        return Denied(f"RabbitMQ does not let this user into vhost {vhost}", verb="access", resource=f"vhost {vhost}")
    if isinstance(error, exceptions.IncompatibleProtocolError):
        return Unreachable(f"RabbitMQ: {where} does not speak AMQP 0-9-1")
    if isinstance(error, exceptions.ConnectionBlockedTimeout):
        return Unreachable("RabbitMQ takes no messages: look for an alarm of memory or disk")
    text = f"{error!r} {error.args!r}"
    if "timed out" in text or "Timeout" in text:
        return NoAnswer(f"RabbitMQ: no answer from {where} within {limit:.0f} s")
    if "refused" in text:
        return NoConnection(f"RabbitMQ: {where} refused the connection")
    if isinstance(error, socket.gaierror) or "gaierror" in text:
        return NoConnection(f"RabbitMQ: the name {where} is not found")
    if isinstance(error, exceptions.ConnectionClosedByBroker):
        return Unreachable(f"RabbitMQ closed the connection: {clean(str(error.reply_text), 120)}")
    return Unreachable(f"RabbitMQ: {where} broke the connection off")


def _fileno(connection: BlockingConnection) -> int:
    """File descriptor of the connection's socket. pika has no public way to it, and no time limit for a declare."""
    transport = connection._impl._transport
    return int(transport._sock.fileno())


def _close_politely(connection: BlockingConnection, cutter: Cutter) -> None:
    """Close with the AMQP handshake, for half a second at most; then cut."""
    try:
        with cutter.limit(0.5):
            connection.close()
    except Exception:  # whatever pika says about a connection that is being dropped anyway
        logging.getLogger(__name__).debug("the broker did not answer the close")


def _who() -> str:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError):
        return socket.gethostname()
