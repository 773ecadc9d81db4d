"""The lock forest and what a look at a database adds up to."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from planc_tui.core.database import PREPARED, DatabaseStatus, ServerSession, lock_forest, oldest_first

PIDS = st.integers(min_value=0, max_value=12)
WAITS = st.dictionaries(st.integers(min_value=1, max_value=12), st.lists(PIDS, max_size=5), max_size=12)


def session(pid: int, **fields: object) -> ServerSession:
    """A session with the fields that a test is about."""
    return ServerSession(pid, f"2026-11-24T15:00:{pid:02}.000000Z", **fields)  # type: ignore[arg-type]  # test data


@given(WAITS)
def test_every_session_of_a_wait_is_drawn_once_under_one_of_its_blockers(waits: dict[int, list[int]]) -> None:
    nodes = lock_forest(waits)
    blockers = {pid: set(found) - {pid} for pid, found in waits.items() if set(found) - {pid}}
    everyone = set(blockers) | {blocker for found in blockers.values() for blocker in found}
    assert sorted(node.pid for node in nodes) == sorted(everyone)
    path: list[int] = []
    for node in nodes:
        del path[node.depth :]
        assert node.depth == len(path)
        if node.parent is None:
            assert node.depth == 0
            assert node.pid not in blockers or node.deadlocked
        else:
            assert path[-1] == node.parent
            assert node.parent in blockers[node.pid]
        shown = {*node.also, *([] if node.parent is None else [node.parent])}
        assert shown == blockers.get(node.pid, set())
        path.append(node.pid)


@given(WAITS)
def test_blocks_counts_everyone_behind_a_session(waits: dict[int, list[int]]) -> None:
    for node in lock_forest(waits):
        behind: set[int] = set()
        more = {pid for pid, found in waits.items() if node.pid in found and pid != node.pid}
        while more:
            behind |= more
            more = {pid for pid, found in waits.items() if behind & (set(found) - {pid})} - behind
        assert node.deadlocked == (node.pid in behind)
        assert node.blocks == len(behind - {node.pid})


def test_the_root_that_blocks_most_comes_first_and_a_long_chain_does_not_recurse() -> None:
    chain = {pid: [pid - 1] for pid in range(101, 3100)}
    nodes = lock_forest({**chain, 2: [1], 3: [1, 2], 9: [PREPARED]})
    roots = [(node.pid, node.blocks) for node in nodes if node.depth == 0]
    assert roots == [(100, 2999), (1, 2), (PREPARED, 1)]
    assert max(node.depth for node in nodes) == 2999


def test_a_circle_and_what_waits_for_it() -> None:
    nodes = {node.pid: node for node in lock_forest({1: [2], 2: [1], 3: [2], 4: [3, 3, 1]})}
    assert [nodes[pid].deadlocked for pid in (1, 2, 3, 4)] == [True, True, False, False]
    assert nodes[4].also == (1,) or nodes[4].parent == 1


def test_used_full_and_longest_transaction() -> None:
    status = DatabaseStatus(
        now=1000.0, version="15", user="planc", database="workflow", max_connections=100, reserved=3,
        connections=(("active", 90), ("idle", 7)),
        sessions=(
            session(1, transaction_start=900.0, backend_type="autovacuum worker"),
            session(2, transaction_start=950.0, blocked_by=(3,)),
            session(3, transaction_start=940.0),
        ),
    )  # fmt: skip  # rows as a person reads them
    assert (status.used, status.full, status.blocked) == (97, 1.0, 1)
    longest = status.longest_transaction
    assert longest is not None
    assert longest.pid == 3


def test_oldest_first_goes_by_what_a_session_does_now() -> None:
    sessions = [
        session(1, state="active", query_start=50.0, state_change=10.0),
        session(2, state="idle in transaction", query_start=1.0, state_change=60.0),
        session(3, state="active"),
        session(4, state="active", query_start=40.0),
    ]
    assert [found.pid for found in oldest_first(sessions)] == [4, 1, 2, 3]
