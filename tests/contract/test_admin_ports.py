"""What every BrokerAdmin promises, on the one in memory that unit tests use and on the real RabbitMQ; and what both
backends do when a server misbehaves or the playbook is silent. tests/cluster holds the real PostgreSQL to its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pika
import pytest

from planc_tui.backends.admin import Admins, open_admin
from planc_tui.backends.postgres_admin import PostgresAdmin
from planc_tui.core.admin import BrokerAdmin, Message
from planc_tui.core.clock import SystemClock
from planc_tui.core.database import ServerSession
from planc_tui.core.ports import LoginExpired, NotConfigured, NotFound, PortError, Unreachable
from planc_tui.core.stats import RequestStats
from planc_tui.playbook.loader import default
from planc_tui.playbook.model import PostgresSystem, RabbitmqSystem, SecretFrom, Systems
from tests.broker_kit import FakeBroker
from tests.real import eventually, servers, ways
from tests.systems_kit import FakeCluster, server, unused_port

# Of this run: the servers may be those of several runs, and of people.
ONE, TWO = f"planc-contract-one-{os.getpid()}", f"planc-contract-two-{os.getpid()}"


def admins(systems: Systems, cluster: FakeCluster | None = None, **environ: str) -> Admins:
    playbook = msgspec.structs.replace(default(), systems=systems)
    return open_admin(playbook, cluster or FakeCluster(), "ns", RequestStats(), SystemClock(), environ)


@pytest.fixture(params=["memory", pytest.param("rabbitmq", marks=pytest.mark.server)])
def broker(request: pytest.FixtureRequest) -> Iterator[BrokerAdmin]:
    if request.param == "memory":
        yield FakeBroker(**{ONE: [], TWO: []})
        return
    rig = servers()
    connection = pika.BlockingConnection(pika.URLParameters(rig.endpoints.amqp_url()))
    channel = connection.channel()
    for name in (ONE, TWO):
        channel.queue_delete(name)
        channel.queue_declare(name, durable=True)
    opened = admins(ways(rig))
    yield opened.broker()
    opened.close()
    for name in (ONE, TWO):
        channel.queue_delete(name)
    connection.close()


def made(count: int) -> list[Message]:
    return [
        Message(f"{number}".encode(), "", ONE, False, {"message_id": f"m{number}", "headers": {"n": number}})
        for number in range(count)
    ]


def bodies(messages: Sequence[Message]) -> list[int]:
    return [int(message.body) for message in messages]


def never() -> bool:
    return False


def take_all(broker: BrokerAdmin, queue: str = ONE) -> list[Message]:
    found: list[Message] = []
    list(broker.take(queue, found.extend, never))
    return found


def test_what_is_published_is_taken_in_order(broker: BrokerAdmin) -> None:
    told: list[int] = []
    assert broker.publish(ONE, iter(made(50)), told.append) == 50
    assert told[-1] == 50
    assert told == sorted(told)
    assert broker.depth(ONE).ready == 50
    assert [(m.body, m.properties) for m in take_all(broker)] == [(m.body, m.properties) for m in made(50)]
    assert broker.depth(ONE).ready == 0
    assert take_all(broker) == []


def test_peek_changes_nothing_but_the_mark(broker: BrokerAdmin) -> None:
    broker.publish(ONE, made(5))
    assert bodies(broker.peek(ONE, 3)) == bodies(broker.peek(ONE, 3)) == [0, 1, 2]
    assert bodies(broker.peek(ONE, 50)) == [0, 1, 2, 3, 4]
    assert bodies(take_all(broker)) == [0, 1, 2, 3, 4]
    assert list(broker.peek(ONE, 1)) == []


def test_gone_is_counted_after_keep(broker: BrokerAdmin) -> None:
    broker.publish(ONE, made(60))
    kept: list[Message] = []
    for gone in broker.take(ONE, kept.extend, never):
        assert gone == len(kept)
        assert broker.depth(ONE).ready == 60 - gone  # while the taking goes on
    assert bodies(kept) == list(range(60))


def test_what_keep_raises_comes_out_and_leaves_the_batch(broker: BrokerAdmin) -> None:
    broker.publish(ONE, made(7))

    def full(messages: Sequence[Message]) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        list(broker.take(ONE, full, never))
    eventually(lambda: broker.depth(ONE).ready == 7, 5)
    assert bodies(take_all(broker)) == list(range(7))


def test_stop_and_leaving_early_end_it_between_two_batches(broker: BrokerAdmin) -> None:
    broker.publish(ONE, made(300))
    kept: list[Message] = []
    for _ in broker.take(ONE, kept.extend, lambda: bool(kept)):
        pass
    first = len(kept)
    assert 0 < first < 300
    for gone in broker.take(ONE, kept.extend, never):
        assert gone == len(kept) - first
        break
    eventually(lambda: broker.depth(ONE).ready == 300 - len(kept), 5)
    assert bodies(kept) + bodies(take_all(broker)) == list(range(300))


def test_a_copy_may_be_published_while_its_original_is_held(broker: BrokerAdmin) -> None:
    broker.publish(ONE, made(40))

    def copy(messages: Sequence[Message]) -> None:
        broker.publish(TWO, messages)

    assert list(broker.take(ONE, copy, never))[-1] == 40
    assert (broker.depth(ONE).ready, broker.depth(TWO).ready) == (0, 40)
    assert bodies(take_all(broker, TWO)) == list(range(40))


def test_a_missing_queue_is_not_found_and_not_made(broker: BrokerAdmin) -> None:
    calls: list[Callable[[], object]] = [
        lambda: broker.depth("planc-nowhere"),
        lambda: broker.peek("planc-nowhere", 1),
        lambda: list(broker.take("planc-nowhere", lambda messages: None, never)),
        lambda: broker.publish("planc-nowhere", made(1)),
        lambda: broker.depth("planc-nowhere"),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            call()


def test_what_confirmed_raises_ends_a_publishing(broker: BrokerAdmin) -> None:
    class Enough(Exception):
        pass

    def enough(count: int) -> None:
        raise Enough

    with pytest.raises(Enough):
        broker.publish(ONE, made(2), enough)
    assert broker.depth(ONE).ready == 2


def silent(connection: socket.socket) -> None:
    connection.recv(65536)
    time.sleep(20)


def garbage(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(os.urandom(200))


def slam(connection: socket.socket) -> None:
    connection.close()


@pytest.mark.parametrize("behave", [silent, garbage, slam])
def test_servers_that_misbehave_are_unreachable_in_time(behave: Callable[[socket.socket], None]) -> None:
    with server(behave) as port:
        opened = admins(
            Systems(
                postgres=PostgresSystem(dsn=f"host=127.0.0.1 port={port} sslmode=disable", user="u"),
                rabbitmq=RabbitmqSystem(url=f"amqp://127.0.0.1:{port}"),
            )
        )
        session = ServerSession(1, "2026-11-24T15:00:00.000001Z")
        calls: list[Callable[[], object]] = [
            lambda: opened.broker().depth("q"),
            lambda: opened.database().terminate(session),
        ]
        for call in calls:
            started = time.monotonic()
            with pytest.raises((Unreachable, LoginExpired)) as fault:
                call()
            assert time.monotonic() - started < 10
            assert fault.value.message.isprintable()
        opened.close()


def test_nobody_listens() -> None:
    port = unused_port()
    opened = admins(
        Systems(
            postgres=PostgresSystem(dsn=f"host=127.0.0.1 port={port}"),
            rabbitmq=RabbitmqSystem(url=f"amqp://127.0.0.1:{port}"),
        )
    )
    with pytest.raises(Unreachable, match="refused"):
        opened.broker().depth("q")
    with pytest.raises(Unreachable, match="refused"):
        opened.database().vacuum_analyze(lambda progress: None, never)
    opened.close()
    opened.close()


@pytest.mark.parametrize(
    "systems",
    [Systems(), Systems(postgres=PostgresSystem(user="u"), rabbitmq=RabbitmqSystem(url="http://x")),
     Systems(postgres=PostgresSystem(via="pod:5432"), rabbitmq=RabbitmqSystem(via="nothing"))],
)  # fmt: skip  # rows as a person reads them
def test_what_the_playbook_does_not_say_is_not_configured(systems: Systems) -> None:
    opened = admins(systems)
    for ask in (opened.database, opened.broker, opened.database):
        with pytest.raises(NotConfigured):
            ask()
    opened.close()


@pytest.mark.server
def test_through_a_port_forward_and_with_a_wrong_password(tmp_path: Path) -> None:
    rig = servers()
    ports = rig.endpoints.ports
    targets = {
        ("postgres-0", 5432): ("127.0.0.1", ports["postgres"]),
        ("rabbitmq-0", 5672): ("127.0.0.1", ports["amqp"]),
    }
    cluster = FakeCluster(targets=targets)
    systems = ways(rig)
    assert systems.postgres is not None
    assert systems.rabbitmq is not None
    postgres = msgspec.structs.replace(systems.postgres, dsn="", via="pod/postgres-0:5432")
    rabbitmq = msgspec.structs.replace(systems.rabbitmq, url="", via="pod/rabbitmq-0:5672")
    opened = admins(Systems(postgres=postgres, rabbitmq=rabbitmq), cluster)
    assert opened.database().now() > 0
    with pytest.raises(NotFound):
        opened.broker().depth("planc-nowhere")
    for relay in cluster.relays:
        relay.cut()  # the pod was replaced
    eventually(lambda: _works(lambda: opened.database().now()), 10)
    with pytest.raises(NotFound):
        opened.broker().depth("planc-nowhere")
    opened.close()
    assert all(relay.closed for relay in cluster.relays)

    wrong = SecretFrom(env="WRONG")
    refused = admins(
        Systems(
            postgres=msgspec.structs.replace(systems.postgres, password=wrong),
            rabbitmq=msgspec.structs.replace(systems.rabbitmq, password=wrong),
        ),
        WRONG="s3cr3t-w0rd",
    )
    for ask in (lambda: refused.database().sessions(), lambda: refused.broker().depth("q")):
        with pytest.raises(LoginExpired) as fault:
            ask()
        assert "s3cr3t" not in fault.value.message + fault.value.hint
    refused.close()


@pytest.mark.server
def test_a_session_that_the_server_ended_meanwhile_is_opened_again_by_the_call() -> None:
    rig = servers()
    opened = admins(ways(rig))
    database = opened.database()
    assert isinstance(database, PostgresAdmin)
    database.now()
    connection = database._link._connection
    assert connection is not None
    assert rig.psql(f"SELECT pg_terminate_backend({connection.info.backend_pid}, 5000)") == "t"
    assert database.now() > 0
    opened.close()


def _works(call: Callable[[], object]) -> bool:
    try:
        call()
    except PortError:
        return False
    return True


def test_opening_imports_no_driver() -> None:
    code = (
        "import sys; import planc_tui.backends.admin, planc_tui.actions.registry as r; r.load(); "
        "print([name for name in ('pika', 'psycopg') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
