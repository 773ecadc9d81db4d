"""A disk that is really full: it is said, actions above LOW stop, and nothing that was reported as written is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from planc_tui.actions.base import Risk
from planc_tui.actions.executor import Run, State
from planc_tui.core.timeline import Draft
from planc_tui.desk.desk import Desk
from planc_tui.desk.recorder import JournalRecorder
from planc_tui.incident import kinds
from planc_tui.incident.lifecycle import Declaration
from planc_tui.journal import Journal, Unwritable
from tests.contract.recorder import recording
from tests.faults.full_disk import Disk, small_disk
from tests.faults.test_escalator import Room as Ladder
from tests.ui.kit import screen_text, wait_until
from tests.ui.test_incident_screens import Room, opened, shown
from tests.unit.incident_kit import ALICE, policy
from tests.unit.test_executor import Bench

BIG = {"text": "x" * 40_000}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk") as made:
        yield made


def written(journal: Journal, most: int) -> tuple[list[str], Unwritable | None]:
    """Pairs of entries until one is refused: what was reported as written, and the refusal."""
    reported: list[str] = []
    try:
        for number in range(most):
            small, large = f"{number}a", f"{number}b"
            journal.append_all((Draft("INC-1", "note", ALICE, small), Draft("INC-1", "note", ALICE, large, BIG)))
            reported += [small, large]
    except Unwritable as refusal:
        return reported, refusal
    return reported, None


def fill(journal: Journal, disk: Disk) -> None:
    """No entry fits any more, neither at the end of the file nor in what was set aside."""
    disk.fill()
    assert written(journal, 200)[1] is not None


def test_what_was_reported_is_there_and_what_was_not_is_not(disk: Disk) -> None:
    journal = Journal.open(disk.folder / "journal.db")
    disk.fill()
    reported, refusal = written(journal, 10_000)
    assert refusal is not None
    assert "journal" in refusal.message
    assert refusal.hint
    assert [event.summary for event in journal.events()] == reported
    # Another console can still read everything.
    other = Journal(journal.path)
    assert len(other.events()) == len(reported)
    other.close()
    disk.free()
    journal.append(Draft("INC-1", "note", ALICE, "after"))
    assert journal.verify().problems == ()
    journal.close()


@pytest.mark.parametrize(("risk", "done"), [(Risk.LOW, True), (Risk.MEDIUM, False), (Risk.HIGH, False)])
def test_actions_above_low_are_blocked(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, risk: Risk, done: bool
) -> None:
    monkeypatch.setattr("planc_tui.actions.executor.OBSERVE_EVERY", 0.001)
    journal = Journal.open(disk.folder / "journal.db")
    # The leases of actions are on the same disk, as they are in the state folder.
    bench = Bench(disk.folder)
    bench.toy.risk = risk  # type: ignore[misc]  # the toy of this test alone
    bench.executor._recorder = JournalRecorder(journal, ALICE, lambda: "")

    def once() -> Run:
        return bench.run(bench.prepare())

    fill(journal, disk)
    run = once()
    assert ("execute" in bench.toy.log) is done
    if done:
        assert run.state is State.RECOVERED
        assert "could not be written down" in run.progress
    else:
        assert run.state is State.REFUSED
        assert "journal" in run.progress
    disk.free()
    bench.toy.log.clear()
    assert once().state is State.RECOVERED
    types = [event.type for event in journal.events() if event.type.startswith("action.")]
    assert types == [kinds.ACTION_STARTED, kinds.ACTION_RESULT]
    journal.close()


def test_pages_wait_for_room_and_then_go_out_once(disk: Disk) -> None:
    room = Ladder(disk.folder / "journal.db")
    room.declare()
    fill(room.journal, disk)
    for _ in range(3):
        with pytest.raises(Unwritable):
            room.keeper.step()
    assert room.pages() == []
    disk.free()
    room.run(1)
    assert room.pages() == [("slack", "L1", 0)]
    room.journal.close()


def test_a_banner_says_it_and_goes_when_there_is_room(disk: Disk) -> None:
    asyncio.run(_banner(disk))


async def _banner(disk: Disk) -> None:
    with ExitStack() as held:
        recorder = held.enter_context(recording())
        room = Room(disk.folder / "journal.db", recorder)
        async with opened(room) as (app, pilot):
            await shown(app, pilot, "no incident open")
            fill(room.journal, disk)
            room.clock.advance(20)
            await shown(app, pilot, "the journal cannot be written")
            await pilot.press("I")
            await shown(app, pilot, "Declare an incident")
            await pilot.press("enter", "enter", "enter")
            await shown(app, pilot, "not done: the journal")
            disk.free()
            room.clock.advance(20)
            await wait_until(pilot, lambda: "cannot be written" not in screen_text(app), "no banner")
        desk = Desk(room.journal, policy(), ALICE)
        desk.board.refresh()
        assert desk.board.incidents == ()
        assert desk.declare(Declaration("down", "P1")).ok
        room.journal.close()
