"""The journal: order, uniqueness, time, and that no change of an entry goes unseen."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planc_tui.core.clock import FakeClock
from planc_tui.core.timeline import Actor, Draft, Event, body, break_in, from_body
from planc_tui.journal import Beat, Conflict, Damaged, Journal, JournalError, Unwritable
from planc_tui.journal.lease import Lease

ALICE = Actor("alice", tty="pts/3", host="bastion1", origin="10.0.0.7", pid=42)


def note(text: str, incident: str = "INC-1", key: str = "") -> Draft:
    return Draft(incident, "note", ALICE, text, {"text": text}, key=key)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(now=1_000_000.0, monotonic=50.0)


@pytest.fixture
def journal(tmp_path: Path, clock: FakeClock) -> Iterator[Journal]:
    opened = Journal.open(tmp_path / "state" / "journal.db", clock, boot="boot-a")
    yield opened
    opened.close()


def test_entries_come_back_as_written_in_order_and_private(journal: Journal, clock: FakeClock) -> None:
    first = journal.append(note("one"))
    clock.advance(2.5)
    journal.append(note("deux, 'quoted' \u2028 \x1b[31m"))
    journal.append(note("other", "INC-2"))
    assert [event.summary for event in journal.events("INC-1")] == ["one", "deux, 'quoted' \u2028 \x1b[31m"]
    assert journal.events("INC-1")[0] == first
    assert [event.seq for event in journal.events(after=1)] == [2, 3]
    assert [event.incident for event in journal.events(types=("note",), after=2)] == ["INC-2"]
    assert journal.incidents() == ("INC-1", "INC-2")
    assert journal.events()[1].recorded_at == 1_000_002.5
    assert break_in(journal.events()) == ""
    for file in journal.path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    assert stat.S_IMODE(journal.path.parent.stat().st_mode) == 0o700


def test_a_key_is_written_once_over_all_consoles(journal: Journal, clock: FakeClock) -> None:
    other = Journal.open(journal.path, clock, boot="boot-a")
    assert journal.append(note("page", key="page/1")) is not None
    assert other.append(note("page", key="page/1")) is None
    written = other.append_all((note("page", key="page/1"), note("beside it")))
    assert [event.summary for event in written] == ["beside it"]
    other.close()


def test_expecting_an_older_state_is_a_conflict_and_writes_nothing(journal: Journal) -> None:
    journal.append(note("one"))
    journal.append(note("two"), expect=1)
    with pytest.raises(Conflict):
        journal.append(note("three"), expect=1)
    assert journal.head().seq == 2


def test_a_decision_that_fails_writes_nothing(journal: Journal) -> None:
    def decide(_events: Sequence[Event], _now: float) -> Sequence[Draft]:
        raise LookupError("no")

    with pytest.raises(LookupError):
        journal.transact("INC-1", decide)
    with pytest.raises(JournalError, match="cannot be written"):
        journal.append_all((note("fine"), Draft("INC-1", "note", ALICE, "x", {"figure": float("nan")})))
    assert journal.events() == ()
    assert journal.append(note("works again")) is not None


def test_time_does_not_go_back_with_the_clock_and_says_so(journal: Journal, clock: FakeClock) -> None:
    journal.append(note("one"))
    clock.advance(60)
    clock.jump(-3600)
    assert journal.now() == 1_000_060.0
    late = journal.append(note("two"))
    assert late is not None
    assert (late.recorded_at, late.wall) == (1_000_060.0, 996_460.0)
    clock.advance(30)
    assert journal.now() == 1_000_090.0


def test_a_clock_set_forward_and_another_boot_move_time_on(journal: Journal, clock: FakeClock) -> None:
    journal.append(note("one"))
    clock.jump(3600)
    assert journal.now() == 1_003_600.0
    rebooted = Journal.open(journal.path, FakeClock(now=999_000.0, monotonic=1.0), boot="boot-b")
    assert rebooted.now() == 1_000_000.0
    rebooted.close()


def test_beats_replace_each_other_and_are_no_entries(journal: Journal) -> None:
    assert journal.last_beat("escalator") is None
    for at in (1.0, 2.0):
        journal.beat(Beat("escalator", 7, "bastion1", "alice", at))
    assert journal.last_beat("escalator") == Beat("escalator", 7, "bastion1", "alice", 2.0)
    assert journal.events() == ()


def test_only_one_holds_the_lease(tmp_path: Path) -> None:
    first, second = Lease(tmp_path / "journal.db"), Lease(tmp_path / "journal.db")
    assert first.take()
    assert first.take()
    assert not second.take()
    first.release()
    assert second.take()
    second.release()


def test_sqlite_itself_refuses_to_change_or_remove_entries(journal: Journal) -> None:
    journal.append(note("one"))
    db = sqlite3.connect(journal.path)
    for statement in ("UPDATE entries SET body = ''", "DELETE FROM entries"):
        with pytest.raises(sqlite3.IntegrityError, match="never"):
            db.execute(statement)
    db.close()


def tamper(journal: Journal, *statements: tuple[str, tuple[object, ...]]) -> tuple[str, ...]:
    """Change the file behind planc's back, look, and put it back as it was."""
    db = sqlite3.connect(journal.path, isolation_level=None)
    triggers = [row[0] for row in db.execute("SELECT sql FROM sqlite_master WHERE type = 'trigger'")]
    db.executescript("DROP TRIGGER entries_stand; DROP TRIGGER entries_stay;")
    saved = {name: db.execute(f"SELECT * FROM {name}").fetchall() for name in ("entries", "head")}
    for sql, values in statements:
        db.execute(sql, values)
    problems = journal.verify().problems
    for name, rows in saved.items():
        db.execute(f"DELETE FROM {name}")
        db.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(rows[0]))})", rows)
    for trigger in triggers:
        db.execute(trigger)
    db.close()
    return problems


def test_verify_sees_every_mutated_byte(journal: Journal) -> None:
    for text in ("one", "two é", "three"):
        journal.append(note(text, key=f"k/{text}"))
    assert journal.verify().problems == ()
    row = sqlite3.connect(journal.path).execute("SELECT incident, type, key, body, hash FROM entries WHERE seq = 2")
    columns = dict(zip(("incident", "type", "key", "body", "hash"), row.fetchone(), strict=True))
    unseen = []
    for column, text in columns.items():
        for index in range(len(text)):
            changed = text[:index] + chr(ord(text[index]) ^ 1) + text[index + 1 :]
            if not tamper(journal, (f"UPDATE entries SET {column} = ? WHERE seq = 2", (changed,))):
                unseen.append((column, index))
    assert unseen == []
    assert journal.verify().problems == ()


@pytest.mark.parametrize("which", [1, 2, 3])
def test_verify_sees_a_removed_entry_even_the_last(journal: Journal, which: int) -> None:
    for text in ("one", "two", "three"):
        journal.append(note(text))
    assert tamper(journal, ("DELETE FROM entries WHERE seq = ?", (which,)))


def test_verify_sees_reordered_and_renumbered_entries(journal: Journal) -> None:
    for text in ("one", "two", "three"):
        journal.append(note(text))
    swap = [("UPDATE entries SET seq = ? WHERE seq = ?", pair) for pair in ((9, 1), (1, 2), (2, 9))]
    assert tamper(journal, *swap)
    assert tamper(journal, ("DELETE FROM entries WHERE seq = 2", ()), ("UPDATE entries SET seq = 2 WHERE seq = 3", ()))
    assert tamper(journal, ("UPDATE head SET hash = 'x'", ()))


def test_a_rehashed_entry_still_breaks_the_chain(journal: Journal) -> None:
    for text in ("one", "two", "three"):
        journal.append(note(text))
    text = body(journal.events()[1]).replace("two", "2")
    problems = tamper(journal, ("UPDATE entries SET body = ?, hash = ? WHERE seq = 2", (text, from_body(text).hash)))
    assert any("entry 3 does not continue entry 2" in problem for problem in problems)


def test_a_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_text("not a database, but long enough to look like one\n" * 100)
    with pytest.raises(Damaged, match="damaged"):
        Journal.open(tmp_path / "journal.db")
    newer = Journal.open(tmp_path / "newer.db")
    newer.close()
    db = sqlite3.connect(tmp_path / "newer.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(Damaged, match="newer planc"):
        Journal.open(tmp_path / "newer.db")
    (tmp_path / "file").write_text("")
    with pytest.raises(Unwritable, match="cannot be opened"):
        Journal.open(tmp_path / "file" / "journal.db")


json_values: st.SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.dictionaries(st.text(), json_values, max_size=4), summary=st.text())
def test_any_data_survives(journal: Journal, data: dict[str, object], summary: str) -> None:
    try:
        written = journal.append(Draft("INC-9", "note", ALICE, summary, data))
    except JournalError:
        # Half a surrogate pair is no text: refused, not mangled.
        assert "\\ud" in ascii((data, summary))
        return
    assert written is not None
    read = journal.events("INC-9", after=written.seq - 1)[0]
    assert (read.data, read.summary, read.hash) == (data, summary, written.hash)
    assert journal.verify().problems == ()


CALLS: list[Callable[[Journal], object]] = [Journal.head, Journal.events, Journal.incidents, Journal.verify]


@pytest.mark.parametrize("call", CALLS)
def test_a_closed_journal_opens_again_by_itself(journal: Journal, call: Callable[[Journal], object]) -> None:
    journal.append(note("one"))
    journal.close()
    assert call(journal)
