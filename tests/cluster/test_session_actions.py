"""Sessions of the real PostgreSQL cancelled, terminated and freed through the executor; psql is the oracle."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import psycopg
import pytest
from msgspec.structs import replace

from planc_tui.actions.base import Plan
from planc_tui.actions.executor import State
from planc_tui.core.admin import VacuumProgress
from planc_tui.core.database import ServerSession
from planc_tui.core.ports import Denied
from planc_tui.core.table import Target
from planc_tui.playbook.model import PostgresSystem, SecretFrom
from tests.cluster.acting_kit import Acting
from tests.cluster.rig.rig import Rig
from tests.real import eventually, open_ways, ways

pytestmark = pytest.mark.cluster
TABLE = "planc_test_sessions"


@pytest.fixture
def acting(rig: Rig, tmp_path: Path) -> Iterator[Acting]:
    made = Acting(rig, tmp_path)
    rig.psql(f"DROP TABLE IF EXISTS {TABLE}; CREATE TABLE {TABLE} (id int PRIMARY KEY, n int)")
    rig.psql(f"INSERT INTO {TABLE} VALUES (1, 0), (2, 0)")
    yield made
    made.close()
    rig.psql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'planc-test-%'")
    rig.psql(f"DROP TABLE {TABLE}")


class Client:
    """A session of its own. `run` works on a thread and keeps what the server said."""

    def __init__(self, rig: Rig, name: str) -> None:
        where = rig.endpoints
        dsn = where.postgres_dsn(where.postgres_superuser)
        self.connection = psycopg.connect(dsn, application_name=f"planc-test-{name}")
        self.pid = self.connection.info.backend_pid
        self.said = ""
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._thread is not None:
            if not self.connection.closed:
                self.connection.cancel_safe(timeout=3)
            self._thread.join(5)
        self.connection.close()

    def run(self, sql: str) -> Client:
        self._thread = threading.Thread(target=self._work, args=(sql,), daemon=True)
        self._thread.start()
        return self

    def ended(self) -> str:
        """What became of what runs."""
        assert self._thread is not None
        self._thread.join(10)
        assert not self._thread.is_alive()
        return self.said

    def _work(self, sql: str) -> None:
        try:
            self.connection.execute(sql.encode())
            self.connection.commit()
            self.said = "done"
        except psycopg.Error as error:
            self.said = error.sqlstate or type(error).__name__


def alive(rig: Rig, pid: int) -> bool:
    return rig.psql(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") == "1"


def seen(acting: Acting, client: Client) -> ServerSession:
    return next(session for session in acting.admins.database().sessions() if session.pid == client.pid)


def waits(acting: Acting, client: Client) -> None:
    eventually(lambda: bool(seen(acting, client).blocked_by), 5)


def runs(acting: Acting, client: Client) -> None:
    eventually(lambda: seen(acting, client).state == "active", 5)


def row(acting: Acting, client: Client) -> Target:
    session = seen(acting, client)
    return Target("Session", str(session.pid), "", session.uid, acting.cluster.context)


def test_a_lock_tree_is_freed_at_its_root(rig: Rig, acting: Acting) -> None:
    update = f"UPDATE {TABLE} SET n = n + 1 WHERE id = 1"
    with Client(rig, "root") as root, Client(rig, "first") as first, Client(rig, "second") as second:
        root.connection.execute(update.encode())
        first.run(update)
        waits(acting, first)
        second.run(update)
        waits(acting, second)
        leaf = row(acting, second)  # the cursor is on a victim
        prepared = acting.prepare("free-locks", leaf)
        assert [target.name for target in prepared.plan.targets] == [str(root.pid)]
        assert prepared.plan.blast == ("1 session; frees 2 that wait",)
        assert "blocks 2" in prepared.plan.changes[0].before
        run = acting.until(acting.start(prepared), lambda run: run.state.over)
        assert (run.state, run.progress.partition(" in ")[0]) == (State.RECOVERED, "1 terminated")
        assert (first.ended(), second.ended()) == ("done", "done")
        assert not alive(rig, root.pid)
        assert rig.psql(f"SELECT n FROM {TABLE} WHERE id = 1") == "2"  # the root's own change was rolled back
        assert acting.executor.undo(run) is None


def test_a_root_that_let_go_meanwhile_is_left_alone(rig: Rig, acting: Acting) -> None:
    update = f"UPDATE {TABLE} SET n = n + 1 WHERE id = 1"
    with Client(rig, "root") as root, Client(rig, "first") as first:
        root.connection.execute(update.encode())
        first.run(update)
        waits(acting, first)
        prepared = acting.prepare("free-locks", row(acting, first))
        root.connection.commit()
        assert first.ended() == "done"
        run = acting.until(acting.start(prepared), lambda run: run.state.over)
        assert run.state is State.REFUSED
        assert "blocks nobody any more" in run.progress
        assert alive(rig, root.pid)


def test_cancel_ends_the_query_and_terminate_the_session(rig: Rig, acting: Acting) -> None:
    with Client(rig, "sleeper") as sleeper:
        sleeper.run("SELECT pg_sleep(60)")
        runs(acting, sleeper)
        target = row(acting, sleeper)
        run = acting.do("cancel-query", target)
        assert (run.state, run.progress.partition(" in ")[0]) == (State.RECOVERED, "1 cancelled")
        assert sleeper.ended() == "57014"
        assert alive(rig, sleeper.pid)
        assert "cancelling frees nothing" in acting.refusal("cancel-query", target)  # the transaction has failed
        sleeper.connection.rollback()
        assert "no query to cancel" in acting.refusal("cancel-query", target)
        run = acting.do("terminate", target)
        assert run.state is State.RECOVERED
        assert not alive(rig, sleeper.pid)
        assert "is gone" in acting.refusal("terminate", target)


def test_the_next_query_of_a_client_is_not_cancelled(rig: Rig, acting: Acting) -> None:
    with Client(rig, "busy") as busy:
        busy.run("SELECT pg_sleep(0.4)")
        runs(acting, busy)
        before = seen(acting, busy)
        assert busy.ended() == "done"
        busy.run("SELECT pg_sleep(60)")
        runs(acting, busy)
        assert not acting.admins.database().cancel(before)
        assert acting.admins.database().cancel(seen(acting, busy))
        assert busy.ended() == "57014"


def test_a_pid_that_came_back_is_not_hit(rig: Rig, acting: Acting) -> None:
    database = acting.admins.database()
    with Client(rig, "innocent") as innocent:
        session = seen(acting, innocent)
        moment = session.backend_start
        microsecond = (int(moment[-7:-1]) + 1) % 1_000_000
        former = replace(session, backend_start=f"{moment[:-7]}{microsecond:06d}Z")
        assert not database.terminate(former)
        assert alive(rig, innocent.pid)
        target = Target("Session", str(session.pid), "", former.uid, acting.cluster.context)
        assert "is gone" in acting.refusal("terminate", target)
        assert database.terminate(session)
        eventually(lambda: not alive(rig, innocent.pid), 5)


def test_planc_and_the_server_are_never_hit(rig: Rig, acting: Acting) -> None:
    database = acting.admins.database()
    with closing(open_ways(ways(rig)).database) as watching:
        watching.activity()
        listed = {session.pid for session in database.sessions()}
        protected = rig.psql(
            "SELECT pid, to_char(backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), backend_type "
            "FROM pg_stat_activity WHERE application_name IN ('planc', 'planc actions') "
            "OR backend_type <> 'client backend'"
        ).splitlines()
        kinds = set()
        for line in protected:
            pid, start, kind = line.split("|")
            kinds.add(kind)
            assert int(pid) not in listed
            assert not database.terminate(ServerSession(int(pid), start))
            assert not database.cancel(ServerSession(int(pid), start, query_start=0.0))
            target = Target("Session", pid, "", f"{pid}/{start}", acting.cluster.context)
            assert "planc leaves the server's and its own alone" in acting.refusal("terminate", target)
        assert {"client backend", "checkpointer"} <= kinds
        assert watching.activity().version  # its connection still stands


def test_the_old_ones_are_one_listed_plan_and_the_young_stay(rig: Rig, acting: Acting) -> None:
    with ExitStack() as stack:
        old, held, young, idle, backup = (
            stack.enter_context(Client(rig, name)) for name in ("old", "held", "young", "idle", "backup")
        )
        backup.connection.execute("SET application_name = 'pg_dump'")
        backup.connection.commit()
        for client in (old, backup):
            client.run("SELECT pg_sleep(60)")
            runs(acting, client)
        held.connection.execute("SELECT 1")  # idle in transaction
        marks = {session.pid: session for session in acting.admins.database().sessions()}
        young.run("SELECT pg_sleep(60)")
        runs(acting, young)
        database = acting.admins.database()
        # Nothing is five minutes old in a test: what decides is tried with the sessions as they are, later.
        action = acting.executor.actions["terminate-older"]
        everywhere = Target("Database", "database", "", "database", acting.cluster.context)
        now = marks[held.pid].transaction_start
        assert now is not None
        found = {"now": now + 60.001, "sessions": tuple(database.sessions()), "context": acting.cluster.context}
        plan = action.plan(found, everywhere, {"minutes": "1"})
        assert isinstance(plan, Plan)
        assert {target.name for target in plan.targets} >= {str(old.pid), str(held.pid)}
        pids = {target.name for target in plan.targets}
        assert pids.isdisjoint({str(young.pid), str(idle.pid), str(backup.pid)})
        mine = [s for s in plan.payload["sessions"] if s["pid"] in (old.pid, held.pid)]
        plan = replace(plan, payload={"sessions": mine})
        held.connection.rollback()  # it is not at it any more: it must be spared
        receipt = action.execute(acting.ports, plan, _Quiet())
        assert receipt.data == {"done": 1}
        eventually(lambda: not alive(rig, old.pid), 5)
        assert all(alive(rig, client.pid) for client in (held, young, idle, backup))
        assert old.ended() in ("57P01", "OperationalError")


class _Quiet:
    """Nobody watches and nobody cancels."""

    cancelled = False

    def __call__(self, progress: str) -> None:
        assert progress


def test_what_the_role_may_not_do_is_said_in_the_servers_words(rig: Rig, tmp_path: Path) -> None:
    where = rig.endpoints
    plain = PostgresSystem(
        dsn=f"host=127.0.0.1 port={where.ports['postgres']}", user=where.postgres_user.user,
        database=where.postgres_database, password=SecretFrom(file=where.postgres_user.password_file),
    )  # fmt: skip  # rows as a person reads them
    rig.psql(f"GRANT pg_monitor TO {where.postgres_user.user}")
    try:
        acting = Acting(rig, tmp_path, postgres=plain)
        with closing(acting), Client(rig, "super") as boss:
            run = acting.do("terminate", row(acting, boss))
            assert run.state is State.FAILED
            assert "superuser" in run.progress
            assert alive(rig, boss.pid)
            with pytest.raises(Denied):
                acting.admins.database().terminate(seen(acting, boss))
    finally:
        rig.psql(f"REVOKE pg_monitor FROM {where.postgres_user.user}")


def test_vacuum_analyze_is_seen_in_the_statistics(rig: Rig, acting: Acting) -> None:
    everywhere = Target("Database", "database", "", "database", acting.cluster.context)
    run = acting.do("vacuum-analyze", everywhere)
    assert (run.state, run.progress.partition(" in ")[0]) == (
        State.RECOVERED,
        "vacuumed and analysed; left out: nothing",
    )
    sql = f"SELECT count(last_vacuum) + count(last_analyze) FROM pg_stat_user_tables WHERE relname = '{TABLE}'"
    eventually(lambda: rig.psql(sql) == "2", 5)


def test_a_vacuum_shows_progress_and_stops_when_told(rig: Rig, acting: Acting) -> None:
    rig.psql(f"INSERT INTO {TABLE} SELECT g, g FROM generate_series(10, 400000) g")
    rig.psql("ALTER SYSTEM SET vacuum_cost_delay = '20ms'")
    rig.psql("ALTER SYSTEM SET vacuum_cost_limit = 20")
    rig.psql("SELECT pg_reload_conf()")
    try:
        everywhere = Target("Database", "database", "", "database", acting.cluster.context)
        run = acting.start(acting.prepare("vacuum-analyze", everywhere))
        shown = acting.until(run, lambda run: TABLE in run.progress)
        assert "%" in shown.progress
        acting.executor.cancel(run.id)
        over = acting.until(run, lambda run: run.state.over)
        assert over.state is State.CANCELLED
        assert rig.psql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'VACUUM%' AND state = 'active'") == "0"
    finally:
        rig.psql("ALTER SYSTEM RESET vacuum_cost_delay")
        rig.psql("ALTER SYSTEM RESET vacuum_cost_limit")
        rig.psql("SELECT pg_reload_conf()")


def test_a_role_that_owns_little_hears_what_was_left_out(rig: Rig, acting: Acting, tmp_path: Path) -> None:
    role = "planc_test_plain"
    password = tmp_path / "password"
    password.write_text("p14in")
    rig.psql(f"DROP ROLE IF EXISTS {role}")
    rig.psql(f"CREATE ROLE {role} LOGIN PASSWORD 'p14in'")
    plain = PostgresSystem(
        dsn=f"host=127.0.0.1 port={rig.endpoints.ports['postgres']}", user=role,
        database=rig.endpoints.postgres_database, password=SecretFrom(file=str(password)),
    )  # fmt: skip  # rows as a person reads them
    shown: list[VacuumProgress] = []
    try:
        with closing(Acting(rig, tmp_path, postgres=plain)) as other:
            end = other.admins.database().vacuum_analyze(shown.append, lambda: False)
    finally:
        rig.psql(f"DROP ROLE {role}")
    assert not end.stopped
    assert any(TABLE in line for line in end.skipped)
    assert not any("pg_authid" in line for line in end.skipped)
