"""The journal when processes die, race, and the disk refuses."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from planc_tui.core.timeline import Actor, Draft, Event
from planc_tui.incident import kinds
from planc_tui.incident.escalation import tick
from planc_tui.incident.fold import fold
from planc_tui.incident.lifecycle import Declaration, Refusal, acknowledge, declare
from planc_tui.journal import Journal, Unwritable
from planc_tui.journal.lease import Lease
from tests.unit.incident_kit import ALICE, BOB, policy

NOBODY = 65534  # the uid that owns nothing, on Linux
WRITER = """
import sys
from pathlib import Path
from planc_tui.core.timeline import Actor, Draft
from planc_tui.journal import Journal
journal = Journal.open(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    journal.append(Draft("INC-1", "note", Actor(sys.argv[2]), str(number)))
    print(number, flush=True)
"""


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)], stdout=subprocess.PIPE, text=True
    )


def test_three_processes_write_one_whole_chain(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    processes = [writer(path, name, 60) for name in ("alice", "bob", "escalator")]
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    journal = Journal.open(path)
    events = journal.events()
    assert [event.seq for event in events] == list(range(1, 181))
    for name in ("alice", "bob", "escalator"):
        assert [event.summary for event in events if event.actor.user == name] == [str(n) for n in range(60)]
    assert journal.verify().problems == ()
    journal.close()


def test_another_console_sees_an_entry_within_a_second(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    here, there = Journal.open(path), Journal.open(path)
    here.append(Draft("INC-1", "note", ALICE, "one"))
    before = there.head().seq
    began = time.monotonic()
    here.append(Draft("INC-1", "note", ALICE, "two"))
    assert there.head().seq == before + 1
    assert time.monotonic() - began < 1.0
    here.close()
    there.close()


def test_kill_in_the_middle_loses_nothing_that_was_reported(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    rng = random.Random(7)
    reported = 0
    for _ in range(4):
        process = writer(path, "alice", 100_000)
        assert process.stdout is not None
        for _ in range(rng.randint(3, 40)):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
        process.wait(timeout=10)
        process.stdout.close()
        assert rest is not None
        reported += 1
    journal = Journal.open(path)
    runs: list[list[int]] = []
    for event in journal.events():
        number = int(event.summary)
        if number == 0:
            runs.append([])
        runs[-1].append(number)
    assert len(runs) == reported
    assert all(run == list(range(len(run))) and len(run) >= 3 for run in runs)
    assert journal.verify().problems == ()
    journal.close()


def test_the_lease_ends_with_a_killed_process(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from planc_tui.journal.lease import Lease;"
        "print(Lease(Path(sys.argv[1])).take(), flush=True); time.sleep(60)"
    )
    # The lease object must live as long as the process: a temporary would be enough, since it never closes its file.
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "journal.db")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "True"
    mine = Lease(tmp_path / "journal.db")
    assert not mine.take()
    process.kill()
    process.wait(timeout=10)
    process.stdout.close()
    assert mine.take()
    mine.release()


def test_a_full_disk_is_said_and_nothing_is_half_written(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.db")
    journal.append(Draft("INC-1", "note", ALICE, "before"))
    with journal._reading() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
    big = {"text": "x" * 50_000}
    with pytest.raises(Unwritable, match="disk is full"):
        journal.append_all((Draft("INC-1", "note", ALICE, "small"), Draft("INC-1", "note", ALICE, "big", big)))
    assert [event.summary for event in journal.events()] == ["before"]
    with journal._reading() as db:
        db.execute("PRAGMA max_page_count = 1000000")
    journal.append(Draft("INC-1", "note", ALICE, "after"))
    assert journal.verify().problems == ()
    journal.close()


LIMITED = """
import resource, signal, sys
from pathlib import Path
from planc_tui.core.timeline import Actor, Draft
from planc_tui.journal import Journal, Unwritable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
journal = Journal.open(Path(sys.argv[1]))
journal.append(Draft("INC-1", "note", Actor("alice"), "before"))
resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, resource.RLIM_INFINITY))
written = 1
try:
    for number in range(1000):
        journal.append(Draft("INC-1", "note", Actor("alice"), "x" * 3000))
        written += 1
except Unwritable as error:
    print(written, error.message)
"""


def test_a_write_error_of_the_system_is_said(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    done = subprocess.run([sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, timeout=60)
    count, _, message = done.stdout.partition(" ")
    assert "journal" in message
    journal = Journal.open(path)
    assert len(journal.events()) == int(count)
    assert journal.verify().problems == ()
    journal.close()


def test_a_folder_without_rights_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    user = os.geteuid()
    if user == 0:  # root may write anywhere
        os.seteuid(NOBODY)
    try:
        with pytest.raises(Unwritable, match="cannot be opened"):
            Journal.open(tmp_path / "journal.db")
    finally:
        os.seteuid(user)


def test_a_writer_that_holds_the_file_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    here, there = Journal.open(path), Journal.open(path)
    inside, go_on = threading.Event(), threading.Event()

    def slow(_events: Sequence[Event], _now: float) -> Sequence[Draft]:
        inside.set()
        go_on.wait(5)
        return (Draft("INC-1", "note", ALICE, "first"),)

    thread = threading.Thread(target=lambda: here.transact("INC-1", slow), daemon=True)
    thread.start()
    inside.wait(5)
    threading.Timer(0.05, go_on.set).start()
    there.append(Draft("INC-1", "note", BOB, "second"))
    thread.join(5)
    assert [event.summary for event in there.events()] == ["first", "second"]
    here.close()
    there.close()


def test_a_thousand_races_of_acknowledge_against_page(tmp_path: Path) -> None:
    """In the journal's order no page follows the acknowledgement, whoever wins."""
    path = tmp_path / "journal.db"
    console, keeper = Journal.open(path), Journal.open(path)
    # The races are about order, not about the disk; flushing each of 3,000 entries would only slow them.
    for journal in (console, keeper):
        with journal._reading() as db:
            db.execute("PRAGMA synchronous = OFF")
    rng = random.Random(11)
    pages = 0
    for number in range(1000):
        pages += _race(console, keeper, f"INC-{number}", rng.uniform(-0.002, 0.002))
    assert 0 < pages < 1000, "both sides must win sometimes"
    console.close()
    keeper.close()


def _race(console: Journal, keeper: Journal, name: str, head_start: float) -> int:
    """One race. head_start: seconds the page is ahead; negative when the acknowledgement is, so that a busy machine
    cannot let one side win them all."""
    rules = policy()
    form = Declaration("down", "P0")
    console.transact(name, lambda _events, now: _drafts(declare(name, form, rules, ALICE, now)))
    ready = threading.Barrier(2)

    def page() -> None:
        ready.wait()
        time.sleep(max(0.0, -head_start))
        keeper.transact(name, lambda events, now: tick(fold(events), now))

    thread = threading.Thread(target=page, daemon=True)
    thread.start()
    ready.wait()
    time.sleep(max(0.0, head_start))
    console.transact(name, lambda events, _now: _drafts(acknowledge(fold(events), BOB)))
    thread.join(10)
    order = [event.type for event in console.events(name) if event.type in (kinds.PAGE_DUE, kinds.ACKNOWLEDGED)]
    assert order in ([kinds.ACKNOWLEDGED], [kinds.PAGE_DUE, kinds.ACKNOWLEDGED])
    later = keeper.transact(name, lambda events, now: tick(fold(events), now))
    assert later == ()
    return len(order) - 1


def _drafts(outcome: tuple[Draft, ...] | Refusal) -> tuple[Draft, ...]:
    assert not isinstance(outcome, Refusal)
    return outcome


def test_actor_of_an_entry_is_kept_whole(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.db")
    actor = Actor("alice", "human", "pts/3", "bastion1", "10.0.0.7", 4242)
    journal.append(Draft("INC-1", "note", actor))
    assert journal.events()[0].actor == actor
    journal.close()
