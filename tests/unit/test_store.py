"""The store keeps the last good value and never lets a reader see half of a change."""

from __future__ import annotations

import threading

from planc_tui.core.health import Health
from planc_tui.core.store import Fault, Store, Topic

T: Topic[int] = Topic("t", 10.0)
GONE = Fault(Health.UNREACHABLE, "refused", since=5.0)


def test_a_failure_keeps_the_value_and_its_age() -> None:
    store = Store()
    store.want(T, True)
    assert store.get(T).health(0) is Health.CONNECTING
    store.put(T, 1, 1.0)
    store.fail(T, GONE)
    reading = store.get(T)
    assert (reading.value, reading.age(9.0), reading.health(9.0)) == (1, 8.0, Health.STALE)
    store.fail(T, Fault(Health.UNREACHABLE, "timed out", since=9.0))
    fault = store.get(T).fault
    assert fault is not None
    assert (fault.message, fault.since) == ("timed out", 5.0)
    store.confirm(T, 10.0)
    assert store.get(T).health(10.0) is Health.LIVE
    assert store.get(T).health(20.5) is Health.STALE


def test_one_wake_up_for_many_changes_and_none_for_a_confirmation() -> None:
    woken: list[bool] = []
    store = Store(woken.append)
    store.want(T, True)
    for value in range(100):
        store.put(T, value, 1.0)
    assert woken == [False, True]
    assert store.drain() == {"t"}
    store.confirm(T, 2.0)
    assert len(woken) == 2
    assert store.drain() == frozenset()


def test_a_first_value_wakes_at_once_and_no_later_one_does() -> None:
    woken: list[bool] = []
    store = Store(woken.append)
    other: Topic[int] = Topic("other", 10.0)
    store.fail(T, GONE)
    store.put(T, 1, 1.0)
    store.put_lazy(other, lambda: 1, 1.0)
    store.put(T, 2, 2.0)
    store.put_lazy(other, lambda: 2, 2.0)
    assert woken == [False, True, True]
    store.forget(T)
    store.put(T, 3, 3.0)
    assert woken == [False, True, True, True]


def test_lazy_values_are_made_when_looked_at() -> None:
    made: list[int] = []

    def snapshot() -> int:
        made.append(1)
        return len(made)

    store = Store()
    for _ in range(5):
        store.put_lazy(T, snapshot, 1.0)
    assert not made
    first = store.get(T)
    assert (first.value, store.get(T).value, len(made)) == (1, 1, 1)


def test_a_second_reader_waits_for_the_value_that_is_being_made() -> None:
    store, making, go = Store(), threading.Event(), threading.Event()
    store.put(T, 1, 1.0)

    def slow() -> int:
        making.set()
        assert go.wait(5)
        return 2

    store.put_lazy(T, slow, 2.0)
    seen: list[int | None] = []
    readers = [threading.Thread(target=lambda: seen.append(store.get(T).value)) for _ in range(2)]
    readers[0].start()
    assert making.wait(5)
    readers[1].start()
    go.set()
    for reader in readers:
        reader.join(5)
    assert seen == [2, 2]


def test_a_change_while_a_value_is_made_is_seen_next() -> None:
    store = Store()

    def overtaken() -> int:
        store.put_lazy(T, lambda: 3, 3.0)
        return 2

    store.put_lazy(T, overtaken, 2.0)
    first = store.get(T)
    second = store.get(T)
    assert (first.value, second.value) == (2, 3)
    assert second.seq > first.seq


def test_forgetting_frees_the_value_and_says_so() -> None:
    store = Store()
    store.want(T, True)
    store.put(T, 1, 1.0)
    store.fail(T, GONE)
    store.forget(T)
    reading = store.get(T)
    assert (reading.value, reading.fault, reading.wanted) == (None, None, True)
    assert reading.health(1.0) is Health.CONNECTING
