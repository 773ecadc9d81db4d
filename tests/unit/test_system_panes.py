"""What the panes of the database, the queues and the objectives say."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from planc_tui.core.broker import BrokerStatus, QueueHistory, QueueStat
from planc_tui.core.database import DatabaseStatus, ServerSession, lock_forest
from planc_tui.core.slo import Figures, Objective, SloReport, assess
from planc_tui.core.store import Reading, Topic
from planc_tui.core.table import Tone
from planc_tui.playbook.loader import default
from planc_tui.playbook.model import Playbook
from planc_tui.sources.database import DATABASE
from planc_tui.sources.queues import QUEUES
from planc_tui.sources.slo import SLO
from planc_tui.ui.panes.base import Pane, View
from planc_tui.ui.panes.database import DatabasePane
from planc_tui.ui.panes.queues import QueuesPane
from planc_tui.ui.panes.slo import SloPane

NOW = 10_000.0


@cache
def playbook() -> Playbook:
    """Plan C's own."""
    return default()


def view(topic: Topic[Any], value: Any) -> View:
    """A view with one live reading."""
    return View({topic.name: Reading(topic, value, 5.0, wanted=True)}, NOW, 5.0, playbook())


def rows(pane: Pane[Any], seen: View) -> list[str]:
    """Each row as its tone and the texts of its cells."""
    return [
        " | ".join(
            [
                pane.tone(item).value,
                *(text for cell in pane.cells(item, seen) if (text := cell.text.removeprefix(" " * 5))),
            ]
        )
        for item in pane.items(seen)
    ]


def session(pid: int, state: str, age: float, query: str, *blocked_by: int, wait: str = "") -> ServerSession:
    """A session that began what it does `age` seconds ago."""
    begun = NOW - age
    return ServerSession(
        pid, f"start-{pid}", user="app", application="orders", client="10.0.0.1", state=state, query=query,
        transaction_start=begun, query_start=begun, state_change=begun, blocked_by=blocked_by, wait=wait,
    )  # fmt: skip  # rows as a person reads them


def database(*sessions: ServerSession, **fields: Any) -> DatabaseStatus:
    """A server with these sessions."""
    given: dict[str, Any] = {
        "max_connections": 100, "connections": (("idle", 80), ("active", len(sessions))), "active": len(sessions),
        **fields,
    }  # fmt: skip  # rows as a person reads them
    waits = {one.pid: one.blocked_by for one in sessions if one.blocked_by}
    return DatabaseStatus(
        now=NOW, version="15.18", user="planc", database="workflow", sessions=sessions, locks=lock_forest(waits),
        **given,
    )  # fmt: skip  # rows as a person reads them


LOCKED = database(
    session(4121, "idle in transaction", 360, "UPDATE orders SET a"),
    session(4177, "active", 358, "UPDATE orders SET b", 4121, wait="Lock: transactionid"),
    session(4180, "active", 42, "UPDATE orders SET c", 4177, 4177),
    session(4190, "active", 31, "SELECT pg_sleep(60)"),
    session(4200, "active", 301, "SELECT 1"),
    session(4300, "active", 5, "SELECT fast()"),
)


def test_database_shows_the_lock_tree_first_and_then_what_runs_long() -> None:
    pane, seen = DatabasePane(), view(DATABASE, LOCKED)
    assert rows(pane, seen) == [
        "warn | ▲ longest transaction 6m (4121) · 80 idle · 6 active",
        "crit | ✖ | 4121 | idle in tx | 6m | blocks 2 | app | orders | 10.0.0.1 | UPDATE orders SET a",
        "warn | ▲ | └ 4177 | waiting | 5m | blocks 1 | app | orders | 10.0.0.1 | Lock: transactionid"
        " | UPDATE orders SET b",
        "warn | ▲ |   └ 4180 | waiting | 40s | by 4177 | app | orders | 10.0.0.1 | UPDATE orders SET c",
        "warn | ▲ | 4190 | active | 30s | app | orders | 10.0.0.1 | SELECT pg_sleep(60)",
        "crit | ✖ | 4200 | active | 5m | app | orders | 10.0.0.1 | SELECT 1",
        "dim | ● | 4300 | active | 0s | app | orders | 10.0.0.1 | SELECT fast()",
    ]
    assert pane.summary(seen).text == "86/100 connections · 2 blocked"
    assert pane.summary(seen).tone is Tone.CRIT


def test_database_names_what_is_hidden_and_what_is_left_out() -> None:
    status = database(
        session(7, "active", 1, "x", 0), session(8, "active", 1, "y", 999), restricted=True, active=12
    )  # fmt: skip  # rows as a person reads them
    shown = "\n".join(rows(DatabasePane(), view(DATABASE, status)))
    assert "GRANT pg_monitor TO planc" in shown
    assert "prepared | a prepared transaction blocks 1: see pg_prepared_xacts" in shown
    assert "999 | blocks 1; its session is hidden from planc's role" in shown
    assert "by a prepared transaction" in shown
    assert "10 more are not shown" in shown


@pytest.mark.parametrize(("used", "tone"), [(74, Tone.NORMAL), (75, Tone.WARN), (90, Tone.CRIT)])
def test_database_connections_by_the_playbooks_thresholds(used: int, tone: Tone) -> None:
    seen = view(DATABASE, database(connections=(("idle", used),)))
    assert DatabasePane().summary(seen).tone is tone


def test_database_detail_has_the_whole_statement_line_by_line() -> None:
    pane = DatabasePane()
    seen = view(DATABASE, database(session(7, "active", 1, "SELECT 1,\n    2\nFROM t" + " x" * 5000, 3)))
    waiting = next(item for item in pane.items(seen) if item.session is not None)
    lines = pane.detail(waiting, seen)
    assert lines[-3:-1] == ("SELECT 1,", "    2")
    assert lines[-1] == "FROM t" + " x" * 5000
    assert "blocked by     3" in lines
    assert "\n" not in pane.cells(waiting, seen)[-1].text


def test_a_sessions_identity_is_its_pid_and_start() -> None:
    pane, seen = DatabasePane(), view(DATABASE, LOCKED)
    targets = [pane.target(item, seen) for item in pane.items(seen)]
    assert targets[0] is None
    assert targets[1] is not None
    assert (targets[1].kind, targets[1].uid) == ("Session", "4121/start-4121")
    identities = [pane.identity(item) for item in pane.items(seen)]
    assert len(set(identities)) == len(identities)


def broker(*looks: tuple[QueueStat, ...], **fields: Any) -> BrokerStatus:
    """The broker after these looks, five seconds apart."""
    history = QueueHistory()
    for number, stats in enumerate(looks):
        found = history.feed(5.0 * number, stats)
    return BrokerStatus(found, complete=True, **fields)


def test_queues_show_the_worst_first_and_say_which_never_drain() -> None:
    looks = [
        (
            QueueStat("calm", ready=0, unacked=0, consumers=3, in_rate=2.0, out_rate=2.0),
            QueueStat("tasks", ready=depth, unacked=212, consumers=20, in_rate=131.0, out_rate=100.0),
            QueueStat("dead_letter", ready=57, unacked=0, consumers=0),
            QueueStat("mail", "other", ready=400 - depth // 10, unacked=0, consumers=1),
            QueueStat("young", ready=None),
            QueueStat("gone", missing=True),
        )
        for depth in (1530, 1685, 1840)
    ]
    pane, seen = QueuesPane(), view(QUEUES, broker(*looks))
    assert rows(pane, seen) == [
        "crit | ✖ | tasks | 1,840 | 212 | 20 | 131/s | 100/s | ▇▇█ | +31/s | grows",
        "warn | ▲ | dead_letter | 57 | 0 | 0 | – | – | ▂▂▂ | 0/s | never drains",
        "warn | ▲ | gone | the broker has no such queue",
        "unknown | ? | young | – | – | – | – | – | – | –",
        "normal | ● | other/mail | 216 | 0 | 1 | – | – | ██▇ | -3.1/s | in 1m",
        "dim | ● | calm | 0 | 0 | 3 | 2/s | 2/s | 0/s | empty",
    ]
    assert pane.summary(seen).text == "2,325 in 6 queues"
    assert pane.summary(seen).tone is Tone.CRIT


def test_queues_say_what_the_broker_would_not_tell() -> None:
    status = broker((QueueStat("q", ready=0),), note="management: no rates", alarms=("disk alarm on a",))
    pane, seen = QueuesPane(), view(QUEUES, status)
    assert rows(pane, seen)[:2] == [
        "warn | ▲ the broker blocks publishers: disk alarm on a",
        "warn | ▲ management: no rates",
    ]
    assert pane.summary(seen).tone is Tone.WARN


AVAILABLE = Objective("a", "available", "availability", 99.99, "percent", "good[$window]", allowed=0.0001)
ERRORS = Objective("e", "errors", "error_rate", 0.1, "percent", "bad[$window]", allowed=0.001)
LATENCY = Objective("l", "P95", "latency", 100.0, "ms", "p95[$window]")


def test_slos_show_what_is_missed_then_what_is_unknown_and_never_round_to_the_good_side() -> None:
    report = SloReport(
        (
            assess(AVAILABLE, Figures(0.99998, 0.00002, 0.00002, 0.000046)),
            assess(ERRORS, Figures(0.0410004, 0.041, 0.041, 0.0045)),
            assess(LATENCY, Figures()),
            assess(AVAILABLE, Figures(0.999899, 0.0001, 0.0001, 0.0000995)),
        )
    )
    pane, seen = SloPane(), view(SLO, report)
    assert rows(pane, seen) == [
        "crit | ✖ | errors | 4.11% | 0.1% | spent 450% | 41× 41×",
        "crit | ✖ | available | 99.989% | 99.99% | 0.5% left | 1× 1×",
        "unknown | ? | P95 | UNKNOWN | 100 ms | none",
        "dim | ● | available | 99.998% | 99.99% | 54% left | 0.2× 0.2×",
    ]
    assert pane.summary(seen).text == "2 missed · 1 unknown"
    assert pane.detail(pane.items(seen)[2], seen)[2] == "verdict        UNKNOWN: Prometheus has no data for it"


@pytest.mark.parametrize("pane", [DatabasePane(), QueuesPane(), SloPane()], ids=lambda pane: pane.id)
def test_panes_without_a_reading_show_nothing_and_claim_nothing(pane: Pane[Any]) -> None:
    empty = View({}, NOW, 5.0, playbook())
    assert list(pane.items(empty)) == []
    assert pane.summary(empty).text == ""


@pytest.mark.parametrize(
    ("pane", "seen"),
    [
        (DatabasePane(), view(DATABASE, LOCKED)),
        (QueuesPane(), view(QUEUES, broker((QueueStat("q", ready=1), QueueStat("m", missing=True)), note="n"))),
        (SloPane(), view(SLO, SloReport((assess(AVAILABLE, Figures()),)))),
    ],
    ids=["database", "queues", "slo"],
)
def test_every_column_sorts_filters_and_fits(pane: Pane[Any], seen: View) -> None:
    columns = [column.id for column in pane.columns]
    assert set(pane.sort_keys.values()) <= set(columns)
    for item in pane.items(seen):
        cells = pane.cells(item, seen)
        assert len(cells) == len(columns) or cells[-1].span
        assert pane.detail(item, seen)
        for column in columns:
            assert isinstance(pane.text(item, column), str)
    for column in columns:
        values = [pane.sort_value(item, column) for item in pane.items(seen)]
        assert sorted(value for value in values if value is not None) is not None
