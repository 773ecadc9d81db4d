"""Which sessions an action chooses, what it says before the yes, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from planc_tui.actions.base import Action, Outcome, Plan, Ports, Receipt, Refusal, Stopped
from planc_tui.actions.sessions import BACKUPS, CancelQuery, FreeLocks, Terminate, TerminateOlder
from planc_tui.actions.vacuum import Vacuum
from planc_tui.core.admin import VacuumEnd, VacuumProgress
from planc_tui.core.clock import FakeClock
from planc_tui.core.database import ServerSession
from planc_tui.core.ports import Denied, NotConfigured, Unreachable
from planc_tui.core.table import Target
from planc_tui.playbook.loader import default
from tests.systems_kit import FakeCluster

NOW = 1_000_000.0
EVERYWHERE = Target("Database", "database", "", "database", "test")


def session(pid: int, state: str = "active", minutes: float = 1.0, **changed: Any) -> ServerSession:
    began = NOW - 60 * minutes
    made = ServerSession(
        pid, f"start-{pid}", user="app", database="shop", application="worker", client="10.0.0.1", state=state,
        query="SELECT 1", query_start=began, transaction_start=None if state == "idle" else began, state_change=began,
    )  # fmt: skip  # rows as a person reads them
    return replace(made, **changed)


class FakeDatabase:
    """Sessions in memory; `refused` are those of superusers, `broken` a server that goes away."""

    def __init__(self, *sessions: ServerSession) -> None:
        self.all = list(sessions)
        self.refused: set[int] = set()
        self.broken: set[int] = set()
        self.signals: list[tuple[str, int]] = []
        self.end = VacuumEnd()

    def now(self) -> float:
        return NOW

    def sessions(self) -> Sequence[ServerSession]:
        return tuple(self.all)

    def cancel(self, session: ServerSession) -> bool:
        return self._signal("cancel", session)

    def terminate(self, session: ServerSession) -> bool:
        return self._signal("terminate", session)

    def vacuum_analyze(self, progress: Callable[[VacuumProgress], None], stop: Callable[[], bool]) -> VacuumEnd:
        progress(VacuumProgress("or\x07ders", "scanning heap", 0.456))
        return self.end

    def close(self) -> None:
        """Nothing to close."""

    def _signal(self, what: str, session: ServerSession) -> bool:
        if session.pid in self.broken:
            raise Unreachable("PostgreSQL closed the session")
        if session.pid in self.refused:
            raise Denied("must be a superuser to terminate superuser process")
        self.signals.append((what, session.pid))
        there = [one for one in self.all if one.uid == session.uid]
        if what == "terminate":
            self.all = [one for one in self.all if one.uid != session.uid]
        else:
            self.all = [replace(one, state="idle") if one.uid == session.uid else one for one in self.all]
        return bool(there)


class Watch:
    """A report that cancels at a progress."""

    def __init__(self, cancel_at: str = "never") -> None:
        self.said: list[str] = []
        self._cancel_at = cancel_at

    @property
    def cancelled(self) -> bool:
        return any(self._cancel_at in line for line in self.said)

    def __call__(self, progress: str) -> None:
        self.said.append(progress)
        if self.cancelled:
            raise Stopped(progress)


def ports(database: FakeDatabase) -> Ports:
    def none() -> Any:
        raise NotConfigured("no broker")

    # A console's clock an hour off the server's must not matter.
    return Ports(FakeCluster(), FakeClock(now=NOW + 3600), lambda: database, none, default())


def row(one: ServerSession) -> Target:
    return Target("Session", str(one.pid), "", one.uid, "test")


def planned(action: Action, database: FakeDatabase, target: Target, **args: str) -> Plan | Refusal:
    plan = action.plan(action.inspect(ports(database), target, args), target, args)
    return plan if isinstance(plan, Refusal) else msgspec.convert(msgspec.json.decode(msgspec.json.encode(plan)), Plan)


def plan_of(action: Action, database: FakeDatabase, target: Target, **args: str) -> Plan:
    plan = planned(action, database, target, **args)
    assert isinstance(plan, Plan), plan
    return plan


def chosen(plan: Plan) -> list[int]:
    return [int(target.name) for target in plan.targets]


IDLE, HELD, BUSY = session(1, "idle"), session(2, "idle in transaction", 20), session(3, "active", 7)


@pytest.mark.parametrize(
    ("action", "target", "reason"),
    [
        (CancelQuery(), IDLE, "the session is idle"),
        (CancelQuery(), HELD, "cancelling frees nothing"),
        (CancelQuery(), replace(BUSY, backend_start="earlier"), "is gone, or is no client's"),
        (Terminate(), replace(BUSY, backend_start="earlier"), "is gone, or is no client's"),
        (FreeLocks(), BUSY, "neither blocks nor waits"),
    ],
)
def test_what_is_refused(action: Action, target: ServerSession, reason: str) -> None:
    refusal = planned(action, FakeDatabase(IDLE, HELD, BUSY), row(target))
    assert isinstance(refusal, Refusal)
    assert reason in refusal.reason
    if target is HELD:
        assert refusal.offer == ("terminate", {})


@pytest.mark.parametrize(("action", "done"), [(CancelQuery(), "1 cancelled"), (Terminate(), "1 terminated")])
def test_one_session_from_card_to_verdict(action: CancelQuery, done: str) -> None:
    database = FakeDatabase(IDLE, HELD, BUSY)
    plan = plan_of(action, database, row(BUSY))
    assert plan.changes[0].before == "active 7 min: SELECT 1"
    assert plan.confirm_word == "3"
    assert f"pg_{done.split()[1].removesuffix('led').removesuffix('d')}_backend" in plan.equivalents[0]
    assert "(3, 'start-3'" in plan.equivalents[0]
    assert action.recheck(ports(database), plan) is None
    pending = action.verify(ports(database), plan, Receipt({"done": 1}))
    assert pending.outcome is Outcome.PENDING
    receipt = action.execute(ports(database), plan, Watch())
    verdict = action.verify(ports(database), plan, receipt)
    assert (verdict.outcome, verdict.progress) == (Outcome.RECOVERED, done)
    assert action.verify(ports(database), plan, Receipt()).progress == "none of 1 is there any more"
    assert "keeps the session" in " ".join(plan.warnings) or isinstance(action, CancelQuery)


def test_drift_of_a_query_and_of_a_session() -> None:
    database = FakeDatabase(BUSY)
    cancel, terminate = plan_of(CancelQuery(), database, row(BUSY)), plan_of(Terminate(), database, row(BUSY))
    database.all = [replace(BUSY, query_start=NOW)]
    assert CancelQuery().recheck(ports(database), cancel) is not None
    assert Terminate().recheck(ports(database), terminate) is None  # the person chose the session, whatever it runs
    database.all = [replace(BUSY, backend_start="later")]
    assert CancelQuery().recheck(ports(database), cancel) is not None
    assert Terminate().recheck(ports(database), terminate) is not None


def test_the_old_ones_without_backups_and_by_the_servers_clock() -> None:
    many = [
        IDLE, HELD, BUSY, session(4, "active", 4.9), session(5, "active", 5.1),
        session(6, "active", 30, application="pg_dump"),
        session(7, "active", 0.1, transaction_start=NOW - 600),  # short queries in a long transaction
        session(8, "idle", 900), session(9, "", 30, query_start=None, transaction_start=None),
    ]  # fmt: skip  # rows as a person reads them
    database = FakeDatabase(*many)
    plan = plan_of(TerminateOlder(), database, EVERYWHERE)
    assert chosen(plan) == [2, 3, 5, 7]
    assert plan.confirm_word == "4"
    assert len(plan.changes) == 4
    assert chosen(plan_of(TerminateOlder(), database, EVERYWHERE, minutes="15")) == [2]
    database.all[0:3] = [IDLE, session(2, "idle"), replace(BUSY, transaction_start=NOW - 1, query_start=NOW - 1)]
    receipt = TerminateOlder().execute(ports(database), plan, Watch())
    assert database.signals == [("terminate", 5), ("terminate", 7)]  # the others are at something else by now
    verdict = TerminateOlder().verify(ports(database), plan, receipt)
    assert (verdict.outcome, verdict.progress) == (Outcome.RECOVERED, "2 of 4 terminated")


@pytest.mark.parametrize("minutes", ["0", "-5", "x", "1.5", "10081", "٣", "9" * 30])
def test_minutes_that_are_none(minutes: str) -> None:
    refusal = planned(TerminateOlder(), FakeDatabase(BUSY), EVERYWHERE, minutes=minutes)
    assert isinstance(refusal, Refusal)
    assert "whole number" in refusal.reason


ages = st.floats(0, 100)
states = st.sampled_from(["active", "idle", "idle in transaction", "idle in transaction (aborted)"])


@given(st.lists(st.tuples(states, ages, st.sampled_from(["worker", *BACKUPS])), max_size=12), st.integers(1, 99))
def test_older_means_older_and_never_idle_or_a_backup(found: Sequence[tuple[str, float, str]], minutes: int) -> None:
    sessions = [session(pid, state, age, application=app) for pid, (state, age, app) in enumerate(found, 1)]
    plan = planned(TerminateOlder(), FakeDatabase(*sessions), EVERYWHERE, minutes=str(minutes))
    old = [
        one.pid
        for one, (state, _, app) in zip(sessions, found, strict=True)
        if state != "idle" and app == "worker" and (one.query_start or 0) < NOW - 60 * minutes
    ]
    assert (chosen(plan) if isinstance(plan, Plan) else []) == old


def test_a_lock_tree_is_freed_at_its_root() -> None:
    root, middle, leaf = HELD, session(11, blocked_by=(2,)), session(12, blocked_by=(11,))
    for start in (root, middle, leaf):
        plan = plan_of(FreeLocks(), FakeDatabase(root, middle, leaf), row(start))
        assert chosen(plan) == [2]
        assert plan.blast == ("1 session; frees 2 that wait",)
        assert "blocks 2" in plan.changes[0].before
    database = FakeDatabase(root, replace(middle, blocked_by=()), leaf)
    drift = FreeLocks().recheck(ports(database), plan)
    assert drift is not None
    assert "blocks nobody any more" in drift.reason


@pytest.mark.parametrize(("blocker", "reason"), [(0, "prepared transaction"), (99, "not a client's session")])
def test_a_root_that_is_no_session_is_left_alone(blocker: int, reason: str) -> None:
    waiting = session(11, blocked_by=(blocker,))
    refusal = planned(FreeLocks(), FakeDatabase(waiting), row(waiting))
    assert isinstance(refusal, Refusal)
    assert reason in refusal.reason


def older_plan(database: FakeDatabase) -> Plan:
    return plan_of(TerminateOlder(), database, EVERYWHERE)


def test_one_refused_session_does_not_save_the_others() -> None:
    database = FakeDatabase(session(1, minutes=9), session(2, minutes=9), session(3, minutes=9))
    database.refused = {2}
    plan = older_plan(database)
    receipt = TerminateOlder().execute(ports(database), plan, Watch())
    assert receipt.partial == "2 of 3 terminated: must be a superuser to terminate superuser process"
    assert TerminateOlder().verify(ports(database), plan, receipt).outcome is Outcome.FAILED
    database.refused = {1, 2, 3}
    with pytest.raises(Denied, match="superuser"):
        TerminateOlder().execute(ports(database), older_plan(database), Watch())


def test_a_break_and_a_cancel_say_how_many_were_ended() -> None:
    database = FakeDatabase(session(1, minutes=9), session(2, minutes=9), session(3, minutes=9))
    database.broken = {2}
    with pytest.raises(Unreachable) as broken:
        TerminateOlder().execute(ports(database), older_plan(database), Watch())
    assert broken.value.message == "PostgreSQL closed the session; 1 of 3 terminated"
    database = FakeDatabase(session(1, minutes=9), session(2, minutes=9), session(3, minutes=9))
    with pytest.raises(Stopped, match="1 of 3 terminated"):
        TerminateOlder().execute(ports(database), older_plan(database), Watch("1/3"))
    assert database.signals == [("terminate", 1)]


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (VacuumEnd(), "left out: nothing"),
        (VacuumEnd(skipped=("not owner of \x1b[1mx", "y")), "left out: not owner of x and 1 more"),
    ],
)
def test_a_vacuum_tells_what_was_left_out(end: VacuumEnd, words: str) -> None:
    database, watch = FakeDatabase(BUSY), Watch()
    database.end = end
    plan = plan_of(Vacuum(), database, EVERYWHERE)
    assert "beside 1 active query;" in plan.blast[0]
    receipt = Vacuum().execute(ports(database), plan, watch)
    assert watch.said == ["orders: scanning heap 46%"]
    assert words in Vacuum().verify(ports(database), plan, receipt).progress
    assert Vacuum().verify(ports(database), plan, Receipt()).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("at", ["never", "orders"])
def test_a_stopped_vacuum_is_cancelled(at: str) -> None:
    database = FakeDatabase()
    database.end = VacuumEnd(stopped=True)
    with pytest.raises(Stopped, match="tables done by then stay done"):
        Vacuum().execute(ports(database), plan_of(Vacuum(), database, EVERYWHERE), Watch(at))


def test_what_comes_from_sessions_is_harmless_on_the_card() -> None:
    wild: Mapping[str, str] = {"query": "SELECT '\x1b[2J'\n\u202e", "user": "a\x07", "application": "\x1b]0;x\x07b"}
    one = session(5, minutes=9, **wild)
    for change in plan_of(Terminate(), FakeDatabase(one), row(one)).changes:
        assert change.label.isprintable()
        assert change.before.isprintable()
