"""The ports of PostgreSQL, RabbitMQ and Prometheus against the real servers, with psql, rabbitmqctl and promtool as
the oracles."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest

from planc_tui.backends.postgres import PostgresPort
from planc_tui.backends.rabbitmq import RabbitmqPort
from planc_tui.backends.systems import Systems
from planc_tui.core.database import DatabaseStatus
from planc_tui.core.ports import LoginExpired, Rejected, Unreachable
from planc_tui.core.slo import Verdict, combine, split_answer
from planc_tui.core.stats import RequestStats
from planc_tui.playbook.loader import default
from planc_tui.playbook.model import HttpSystem, PostgresSystem, SecretFrom
from planc_tui.sources.database import DatabaseSource
from planc_tui.sources.slo import SloSource
from tests.cluster.rig.rig import Rig
from tests.real import eventually, open_ways, rabbitmq, servers, ways
from tests.steps import complete
from tests.systems_kit import FakeCluster

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def rig() -> Rig:
    return servers()


@pytest.fixture
def systems(rig: Rig) -> Iterator[Systems]:
    """All three, reached directly."""
    made = open_ways(ways(rig))
    yield made
    made.database.close()
    made.broker.close()
    made.metrics.close()


def by_application(status: DatabaseStatus, name: str) -> int:
    """Process id of the one session with this application name."""
    (found,) = [session.pid for session in status.sessions if session.application == name]
    return found


def test_connections_are_psqls(rig: Rig, systems: Systems) -> None:
    def agrees() -> bool:
        counted = rig.psql("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'")
        return systems.database.activity().used == int(counted) - 1  # psql itself

    eventually(agrees, 10)  # others come and go
    status = systems.database.activity()
    assert status.max_connections == int(rig.psql("SHOW max_connections"))
    assert status.version == rig.psql("SHOW server_version")
    assert abs(status.now - time.time()) < 5
    assert not status.restricted


def test_planc_is_read_only_never_idle_in_transaction_and_leaves_when_closed(rig: Rig, systems: Systems) -> None:
    systems.database.activity()
    assert isinstance(systems.database, PostgresPort)
    connection = systems.database._link._connection  # the driver's own view of the settings
    assert connection is not None
    # By process id: other consoles may watch the same server.
    mine = f"FROM pg_stat_activity WHERE pid = {connection.info.backend_pid}"
    assert rig.psql(f"SELECT state || ' ' || application_name {mine}") == "idle planc"
    systems.database.activity()
    assert systems.database._link._connection is connection  # one connection, kept
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("CREATE TABLE planc_was_here (i int)")
    assert connection.execute("SHOW statement_timeout").fetchone() == ("5s",)
    systems.database.close()
    eventually(lambda: rig.psql(f"SELECT count(*) {mine}") == "0", 3)


def waiter(dsn: str, name: str, sql: str) -> threading.Thread:
    """A session of its own that waits for a lock until it gets it or is ended."""

    def run() -> None:
        with suppress(psycopg.Error), psycopg.connect(dsn, application_name=name) as connection:
            connection.execute(sql.encode())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def waiting_of(systems: Systems) -> set[str]:
    """Application names of this file's sessions that wait for a lock; others may have locks of their own."""
    return {one.application for one in systems.database.activity().sessions if one.blocked_by} & {"first", "second"}


def test_who_blocks_whom(rig: Rig, systems: Systems) -> None:
    dsn = rig.endpoints.postgres_dsn(rig.endpoints.postgres_superuser)
    lock = "SELECT pg_advisory_lock(424242) -- \x1b]0;owned\x07 \u202e"
    with psycopg.connect(dsn, application_name="root") as root:
        root.execute("SELECT pg_advisory_lock(424242)")
        threads = []
        for number, name in enumerate(("first", "second")):
            threads.append(waiter(dsn, name, lock))
            eventually(lambda want=number + 1: len(waiting_of(systems)) == want, 5)  # type: ignore[misc]  # default argument binds the loop's value
        status = systems.database.activity()
        pids = {name: by_application(status, name) for name in ("root", "first", "second")}
        ours = [node for node in status.locks if node.pid in pids.values()]
        assert [node.pid for node in ours] == [pids["root"], pids["first"], pids["second"]]
        assert ours[0].blocks == 2
        held = status.session(pids["root"])
        assert held is not None
        assert held.idle_in_transaction
        assert held.transaction_start is not None
        assert held.transaction_start <= status.now
        waiting = status.session(pids["first"])
        assert waiting is not None
        assert waiting.wait.startswith("Lock")
        assert waiting.query.isprintable()
        assert "SELECT pg_advisory_lock(424242)" in waiting.query
        start = rig.psql(
            "SELECT to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') "
            f"FROM pg_stat_activity WHERE pid = {pids['root']}"
        )
        assert held.uid == f"{pids['root']}/{start}"
        rig.psql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'second'")
        eventually(lambda: waiting_of(systems) == {"first"}, 5)
        root.rollback()
        root.execute("SELECT pg_advisory_unlock(424242)")
        root.commit()
    for thread in threads:
        thread.join(5)
    assert not {node.pid for node in systems.database.activity().locks} & set(pids.values())


def test_a_role_without_pg_monitor_says_what_it_cannot_see(rig: Rig) -> None:
    where = rig.endpoints
    plain = PostgresSystem(
        dsn=f"host=127.0.0.1 port={where.ports['postgres']}", user=where.postgres_user.user,
        database=where.postgres_database, password=SecretFrom(file=where.postgres_user.password_file),
    )  # fmt: skip  # rows as a person reads them
    with (
        closing(open_ways(ways(rig, postgres=plain)).database) as database,
        psycopg.connect(where.postgres_dsn(where.postgres_superuser), application_name="secretive") as other,
    ):
        other.execute("SELECT 'other people''s data'")
        status = database.activity()
    assert status.restricted
    assert dict(status.connections)["hidden from planc"] >= 1
    assert all(session.application != "secretive" for session in status.sessions)


def test_a_changed_password_is_read_again(rig: Rig, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("wrong\n")
    where = rig.endpoints
    system = PostgresSystem(
        dsn=f"host=127.0.0.1 port={where.ports['postgres']} dbname={where.postgres_database}",
        user=where.postgres_superuser.user, password=SecretFrom(file=str(file)),
    )  # fmt: skip  # rows as a person reads them
    with closing(open_ways(ways(rig, postgres=system)).database) as database:
        for _ in range(2):
            with pytest.raises(LoginExpired, match="password"):
                database.activity()
        file.write_text(where.postgres_superuser.password)
        assert database.activity().used > 0


def test_a_password_file_of_libpq_works_through_a_forward(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    where = rig.endpoints
    login = where.postgres_superuser
    passfile = tmp_path / "pgpass"
    passfile.write_text(f"postgres-0:*:*:{login.user}:{login.password}\n")
    passfile.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(passfile))
    cluster = FakeCluster(targets={("postgres-0", 5432): ("127.0.0.1", where.ports["postgres"])})
    system = PostgresSystem(
        via="pod/postgres-0:5432", user=login.user, database=where.postgres_database, password=SecretFrom(pgpass=True)
    )
    with closing(open_ways(ways(rig, postgres=system), cluster).database) as database:
        first = database.activity()
        cluster.relays[0].cut()  # the pod is replaced
        with pytest.raises(Unreachable):
            database.activity()
        assert cluster.relays[0].closed
        assert database.activity().now > first.now
        assert len(cluster.relays) == 2
    cluster.close()


def listed(rig: Rig) -> dict[str, tuple[int, int, int]]:
    """Queues as rabbitmqctl lists them: ready, unacknowledged, consumers."""
    columns = ("name", "messages_ready", "messages_unacknowledged", "consumers")
    said = rig.rabbitmqctl("-q", "--formatter", "json", "list_queues", *columns)
    rows = json.loads(said[said.index("[\n{") :])  # Erlang may complain about its home first
    return {row["name"]: (row[columns[1]], row[columns[2]], row[columns[3]]) for row in rows}


def test_queues_by_the_management_api_are_rabbitmqctls(rig: Rig, systems: Systems) -> None:
    expected = listed(rig)

    def agrees() -> bool:
        report = complete(systems.broker.queues())
        seen = {stat.name: (stat.ready, stat.unacked, stat.consumers) for stat in report.queues if not stat.missing}
        return report.complete and seen == expected

    eventually(agrees, 10)  # the API's figures are samples of five seconds
    assert complete(systems.broker.queues()).alarms == ()


@pytest.mark.parametrize("system", ["PostgreSQL", "RabbitMQ"])
def test_a_connection_that_the_server_closed_meanwhile_is_opened_again_within_the_look(rig: Rig, system: str) -> None:
    stats = RequestStats()
    made = open_ways(ways(rig, rabbitmq=rabbitmq(rig)), stats=stats)
    end = {"PostgreSQL": end_session, "RabbitMQ": end_connection}[system]

    def look() -> None:
        complete(DatabaseSource(made.database).read() if system == "PostgreSQL" else made.broker.queues())

    with closing(made.database), closing(made.broker):
        look()
        end(rig, made)
        before = stats.last_minute(time.monotonic())
        look()
        assert stats.last_minute(time.monotonic()) - before == 2  # the connection, and the look


def end_session(rig: Rig, made: Systems) -> None:
    """End the session of planc's look at PostgreSQL."""
    assert isinstance(made.database, PostgresPort)
    connection = made.database._link._connection
    assert connection is not None
    assert rig.psql(f"SELECT pg_terminate_backend({connection.info.backend_pid}, 5000)") == "t"


def end_connection(rig: Rig, made: Systems) -> None:
    """End the connection of planc's look at RabbitMQ."""
    assert isinstance(made.broker, RabbitmqPort)
    assert made.broker._probe is not None
    cutter = made.broker._probe._link._cutter
    assert cutter is not None
    port = cutter._socket.getsockname()[1]
    rows = rig.rabbitmqctl("list_connections", "--silent", "pid", "peer_port").splitlines()
    (pid,) = [row.split("\t")[0] for row in rows if row.endswith(f"\t{port}")]
    rig.rabbitmqctl("close_connection", pid, "test")


def test_queues_over_amqp_are_rabbitmqctls_and_a_missing_one_is_not_created(rig: Rig) -> None:
    target = default().targets.rabbitmq
    assert target is not None
    with closing(open_ways(ways(rig, rabbitmq=rabbitmq(rig))).broker) as broker:
        expected = listed(rig)
        for _ in range(3):
            report = complete(broker.queues())
        assert not report.complete
        assert {stat.name for stat in report.queues} == {*target.queues, target.dead_letter}
        for stat in report.queues:
            if stat.name in expected:
                assert (stat.ready, stat.consumers) == (expected[stat.name][0], expected[stat.name][2])
            else:
                assert stat.missing
        assert listed(rig).keys() == expected.keys()


@pytest.mark.parametrize("broken", ["http://127.0.0.1:1", "user"])
def test_without_the_management_api_the_playbooks_queues_stay_and_a_note_says_so(rig: Rig, broken: str) -> None:
    where = rig.endpoints
    management = HttpSystem(url=broken) if ":" in broken else HttpSystem(
        url=where.management, user="nobody", password=SecretFrom(env="PW")
    )  # fmt: skip  # rows as a person reads them
    made = open_ways(ways(rig, rabbitmq=rabbitmq(rig, management=management)), PW="wrong")
    with closing(made.broker) as broker:
        report = complete(broker.queues())
    assert not report.complete
    assert "only the playbook's queues" in report.note
    assert report.queues


def test_a_wrong_broker_password_is_a_login_matter(rig: Rig) -> None:
    system = rabbitmq(rig, password=SecretFrom(env="PW"))
    with closing(open_ways(ways(rig, rabbitmq=system), PW="wrong").broker) as broker, pytest.raises(LoginExpired):
        complete(broker.queues())


def test_the_broker_through_a_forward_that_dies(rig: Rig) -> None:
    ports = rig.endpoints.ports
    cluster = FakeCluster(
        targets={
            ("rabbitmq-0", 5672): ("127.0.0.1", ports["amqp"]),
            ("rabbitmq-0", 15672): ("127.0.0.1", ports["management"]),
        }
    )
    system = rabbitmq(rig, url="", via="pod/rabbitmq-0:5672", management=HttpSystem(via="pod/rabbitmq-0:15672"))
    with closing(open_ways(ways(rig, rabbitmq=system), cluster).broker) as broker:
        assert complete(broker.queues()).complete
        for relay in cluster.relays:
            relay.cut()
        assert complete(broker.queues()).queues  # over AMQP at once
        eventually(lambda: complete(broker.queues()).complete, 6)
    assert all(relay.closed for relay in cluster.relays)


def test_prometheus_answers_are_promtools(rig: Rig, systems: Systems) -> None:
    command = ["promtool", "query", "instant", rig.endpoints.prometheus, "up"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    samples = systems.metrics.query("up")
    assert len(samples) == len(said.strip().splitlines())
    for sample in samples:
        assert f'instance="{sample.labels["instance"]}"' in said
        assert sample.value == 1.0
    (scalar,) = systems.metrics.query("scalar(vector(3))")
    assert scalar.value == 3.0
    assert systems.metrics.query("absent_metric_of_planc") == ()
    with pytest.raises(Rejected, match="parse error"):
        systems.metrics.query("rate(")


def test_combined_queries_answer_as_the_single_ones(systems: Systems) -> None:
    queries = (
        "vector(1)",
        "vector(NaN)",
        "nothing_at_all",
        "vector(2) > 1",
        'label_replace(vector(5), "a", "b", "", "")',
    )
    found = split_answer(queries, systems.metrics.query(combine(queries)))
    assert [len(found[query]) for query in queries] == [1, 1, 0, 1, 1]
    assert found["vector(2) > 1"][0].value == 2.0
    assert found[queries[4]][0].labels["a"] == "b"


def test_plan_cs_objectives_are_measured(rig: Rig, systems: Systems) -> None:
    from planc_tui.core.clock import SystemClock

    stats = RequestStats()
    made = open_ways(ways(rig), stats=stats)
    source = SloSource(made.metrics, default().slos, SystemClock())
    with closing(made.metrics):
        eventually(lambda: all(one.verdict is not Verdict.UNKNOWN for one in complete(source.read()).slos), 30)
        before = stats.loads(time.monotonic())[0].total
        report = complete(source.read())
        assert stats.loads(time.monotonic())[0].total == before + 1
    for status in report.slos:
        assert status.burn_short is not None
        assert status.budget_left is not None
    latency = next(status for status in report.slos if status.objective.kind == "latency")
    assert latency.value is not None
    assert 10 < latency.value < 10_000
