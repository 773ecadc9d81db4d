"""PostgreSQL, RabbitMQ and Prometheus that refuse, say nothing, say nonsense, drip, or hang up."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable

import pytest

from planc_tui.backends import amqp, http, pg_link
from planc_tui.backends.systems import Systems, open_systems
from planc_tui.core import answer_limit
from planc_tui.core.clock import SystemClock
from planc_tui.core.health import Health
from planc_tui.core.ports import BadAnswer, NoAnswer, PortError, Rejected, Throttled
from planc_tui.core.stats import RequestStats
from planc_tui.playbook.loader import default
from planc_tui.playbook.model import (
    HttpSystem,
    PostgresSystem,
    RabbitmqSystem,
    SecretFrom,
)
from planc_tui.playbook.model import Systems as Ways
from tests.steps import complete
from tests.systems_kit import FakeCluster, http_reply, server, unused_port

PASSWORD = "correct horse battery"
FROM_ENV = SecretFrom(env="PW")
Behaviour = Callable[[socket.socket], None]


def silent(connection: socket.socket) -> None:
    """Take everything, answer nothing."""
    while connection.recv(65536):
        pass


def hang_up(connection: socket.socket) -> None:
    """Close without a word."""
    connection.close()


def reset(connection: socket.socket) -> None:
    """End with an RST."""
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def garbage(connection: socket.socket) -> None:
    """Answer with bytes of no protocol, and escape sequences in them."""
    connection.recv(65536)
    connection.sendall(b"\x00\xff\x1b]0;owned\x07 lorem ipsum\r\n" * 50)
    connection.close()


def drip(connection: socket.socket) -> None:
    """Send the body one byte at a time, for ever."""
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    for _ in range(600):
        connection.sendall(b" ")
        time.sleep(0.05)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short limits, so that the tests need not wait for the real ones. libpq's least is 2 s."""
    monkeypatch.setattr(pg_link, "CONNECT_TIMEOUT", 2)
    monkeypatch.setattr(amqp, "CONNECT_TIMEOUT", 1.0)
    monkeypatch.setattr(http, "READ_TIMEOUT", 0.5)
    monkeypatch.setattr(http, "FOR_THE_BODY", 0.5)
    monkeypatch.setattr(answer_limit, "SILENT_LIMIT", 3.0)


def systems(port: int, stats: RequestStats | None = None) -> Systems:
    """All three systems at one port."""
    import msgspec

    ways = Ways(
        postgres=PostgresSystem(dsn=f"host=127.0.0.1 port={port} dbname=d", user="u", password=FROM_ENV),
        rabbitmq=RabbitmqSystem(url=f"amqp://127.0.0.1:{port}", user="u", password=FROM_ENV),
        prometheus=HttpSystem(url=f"http://127.0.0.1:{port}", user="u", password=FROM_ENV),
    )
    playbook = msgspec.structs.replace(default(), systems=ways)
    return open_systems(playbook, FakeCluster(), "ns", stats or RequestStats(), SystemClock(), {"PW": PASSWORD})


def failure(made: Systems, name: str) -> PortError:
    """The fault of one read, which must come in time and name no secret."""
    read: dict[str, Callable[[], object]] = {
        "database": made.database.activity,
        "broker": lambda: complete(made.broker.queues()),
        "metrics": lambda: made.metrics.query("up"),
    }
    started = time.monotonic()
    with pytest.raises(PortError) as caught:
        read[name]()
    assert time.monotonic() - started < 4.0
    words = f"{caught.value.message} {caught.value.hint}"
    assert PASSWORD not in words
    assert words.isprintable()
    return caught.value


@pytest.mark.parametrize("name", ["database", "broker", "metrics"])
@pytest.mark.parametrize("behave", [silent, hang_up, reset, garbage], ids=lambda one: one.__name__)
def test_a_system_that_does_not_talk_sense_is_unreachable_in_time(name: str, behave: Behaviour) -> None:
    with server(behave) as port:
        stats = RequestStats()
        made = systems(port, stats)
        for _ in range(2):
            assert failure(made, name).health is Health.UNREACHABLE
        getattr(made, name).close()
    assert stats.last_minute(time.monotonic()) == 2


@pytest.mark.parametrize("name", ["database", "broker", "metrics"])
def test_a_system_that_was_silent_is_waited_for_longer(name: str) -> None:
    def late(connection: socket.socket) -> None:
        """Hang up after a while in which a first request is given up already."""
        connection.recv(65536)
        time.sleep(2.5)
        connection.close()

    with server(late) as port:
        stats = RequestStats()
        made = systems(port, stats)
        assert isinstance(failure(made, name), NoAnswer)
        assert not isinstance(failure(made, name), NoAnswer)
        assert isinstance(failure(made, name), NoAnswer)
        getattr(made, name).close()
    assert stats.last_minute(time.monotonic()) == 3


@pytest.mark.parametrize("name", ["database", "broker", "metrics"])
def test_a_refused_connection_says_where_and_is_no_request(name: str) -> None:
    port, stats = unused_port(), RequestStats()
    fault = failure(systems(port, stats), name)
    assert stats.last_minute(time.monotonic()) == 0
    assert fault.health is Health.UNREACHABLE
    assert str(port) in fault.message
    assert "refused" in fault.message


def test_a_dripping_answer_ends_in_time() -> None:
    with server(drip) as port:
        assert "did not finish" in failure(systems(port), "metrics").message


PROMETHEUS_SAYS = b'{"status":"error","errorType":"bad_data","error":"parse \\u001b[31merror"}'


@pytest.mark.parametrize(
    ("status", "body", "health", "kind", "words"),
    [
        ("400 Bad Request", PROMETHEUS_SAYS, Health.UNREACHABLE, Rejected, "parse error"),
        ("401 Unauthorized", b"no", Health.LOGIN_EXPIRED, PortError, "login"),
        ("403 Forbidden", b"no", Health.DENIED, PortError, "403"),
        ("404 Not Found", b"<html>", Health.UNREACHABLE, PortError, "404"),
        ("429 Too Many Requests", b"", Health.UNREACHABLE, Throttled, "slow down"),
        ("503 Service Unavailable", PROMETHEUS_SAYS, Health.UNREACHABLE, PortError, "503: parse error"),
        ("302 Found", b"", Health.UNREACHABLE, BadAnswer, "redirects"),
        ("200 OK", b"<html>Sign in</html>", Health.UNREACHABLE, BadAnswer, "JSON"),
        ("200 OK", b'{"status":"success"}', Health.UNREACHABLE, BadAnswer, "JSON"),
        ("200 OK", b'{"data":{"result":[{"metric":{},"value":[1,"x"]}]}}', Health.UNREACHABLE, BadAnswer, "readable"),
        ("200 OK", b'{"data":{"result":[[1],[2]]}}', Health.UNREACHABLE, BadAnswer, "readable"),
        ("200 OK", b'{"data":{"result":null}}', Health.UNREACHABLE, BadAnswer, "readable"),
        ("200 OK", b"\xff\xfe", Health.UNREACHABLE, BadAnswer, "JSON"),
    ],
)
def test_prometheus_answers(status: str, body: bytes, health: Health, kind: type[PortError], words: str) -> None:
    with server(http_reply(status, body, "Location: /login", "Retry-After: 7")) as port:
        made = systems(port)
        fault = failure(made, "metrics")
        made.metrics.close()
    assert (fault.health, isinstance(fault, kind)) == (health, True)
    assert words in fault.message
    if isinstance(fault, Throttled):
        assert fault.retry_after == 7.0


def postgres_error(code: str, message: str) -> Behaviour:
    """A server that ends every login with a FATAL of this SQLSTATE."""

    def behave(connection: socket.socket) -> None:
        while len(connection.recv(65536)) == 8:  # asks for TLS or GSS: neither
            connection.sendall(b"N")
        fields = f"SFATAL\0VFATAL\0C{code}\0M{message}\0\0".encode()
        connection.sendall(b"E" + struct.pack("!I", len(fields) + 4) + fields)
        connection.close()

    return behave


@pytest.mark.parametrize(
    ("code", "message", "health", "words"),
    [
        ("28P01", 'password authentication failed for user "u"', Health.LOGIN_EXPIRED, "password"),
        ("28P01", "authentification par mot de passe échouée pour l'utilisateur « u »", Health.LOGIN_EXPIRED, "« u »"),
        ("53300", "sorry, too many clients already", Health.UNREACHABLE, "no connection left"),
        ("53300", "désolé, trop de clients sont déjà connectés", Health.UNREACHABLE, "no connection left"),
        ("57P03", "the database system is starting up", Health.UNREACHABLE, "starting"),
        ("3D000", 'database "d" does not exist', Health.UNREACHABLE, "does not exist"),
        ("42501", 'permission denied for database "d"', Health.DENIED, "permission denied"),
        ("XX000", "strange\x1b[31m thing", Health.UNREACHABLE, "strange thing"),
    ],
)
def test_postgres_refusals(code: str, message: str, health: Health, words: str) -> None:
    with server(postgres_error(code, message)) as port:
        fault = failure(systems(port), "database")
    assert fault.health is health
    assert words in fault.message


def management(port: int) -> Systems:
    """RabbitMQ by its management API alone."""
    import msgspec

    ways = Ways(
        rabbitmq=RabbitmqSystem(
            user="u", password=FROM_ENV, management=HttpSystem(url=f"http://127.0.0.1:{port}/prefix")
        )
    )
    playbook = msgspec.structs.replace(default(), systems=ways)
    return open_systems(playbook, FakeCluster(), "ns", RequestStats(), SystemClock(), {"PW": PASSWORD})


@pytest.mark.parametrize(
    ("status", "body", "health", "words"),
    [
        (
            "401 Unauthorized",
            b'{"error":"not_authorised","reason":"Not management user"}',
            Health.LOGIN_EXPIRED,
            "login",
        ),
        ("404 Not Found", b"", Health.UNREACHABLE, "404"),
        ("500 Internal Server Error", b"", Health.UNREACHABLE, "500"),
        ("200 OK", b"[]", Health.UNREACHABLE, "not its list"),
        ("200 OK", b'{"items":[{"name":3}]}', Health.UNREACHABLE, "not its list"),
    ],
)
def test_management_answers(status: str, body: bytes, health: Health, words: str) -> None:
    with server(http_reply(status, body)) as port:
        made = management(port)
        fault = failure(made, "broker")
        made.broker.close()
    assert fault.health is health
    assert words in fault.message


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_bytes_are_counted_as_they_came_over_the_wire(chunked: bool, zipped: bool) -> None:
    import gzip

    import msgspec

    text = b'{"data":{"resultType":"vector","result":[' + b" " * 20_000 + b"]}}"
    body = gzip.compress(text) if zipped else text

    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
        encoding = "Content-Encoding: gzip\r\n" if zipped else ""
        connection.sendall(f"HTTP/1.1 200 OK\r\n{encoding}{length}\r\n\r\n".encode())
        connection.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body)

    with server(behave) as port:
        ways = Ways(prometheus=HttpSystem(url=f"http://127.0.0.1:{port}"))
        stats = RequestStats()
        playbook = msgspec.structs.replace(default(), systems=ways)
        made = open_systems(playbook, FakeCluster(), "ns", stats, SystemClock(), {})
        assert made.metrics.query("up") == ()
        made.metrics.close()
    (load,) = stats.loads(time.monotonic())
    assert (load.source, load.bytes_in) == ("slo", len(body))
