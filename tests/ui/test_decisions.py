"""What is decided at a card lands in the journal: the yes, the no, and what could not be confirmed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from planc_tui.actions.base import Refusal, Risk
from planc_tui.actions.executor import Prepared, State
from planc_tui.core.clock import FakeClock
from planc_tui.core.timeline import Event
from planc_tui.desk.desk import Desk
from planc_tui.desk.policy import policy_of
from planc_tui.incident import kinds
from planc_tui.journal import Journal
from planc_tui.ui.acting import act
from planc_tui.ui.app import PlancApp
from planc_tui.ui.screens.card import Card
from tests.ui import fake_session
from tests.ui.acting_kit import APP, Stub, prepared
from tests.ui.kit import console, wait_until
from tests.unit.incident_kit import ALICE


class Desked:
    """A console with a stub of an executor and a journal."""

    def __init__(self, app: PlancApp, pilot: Pilot[Any], stub: Stub, journal: Journal) -> None:
        self.app, self.pilot, self.stub, self.journal = app, pilot, stub, journal

    async def card(self) -> None:
        act(self.app, "rollout-restart", [APP], {})
        await wait_until(self.pilot, lambda: isinstance(self.app.screen, Card), "the card")
        await self.pilot.pause(0.1)

    async def written(self, *types: str) -> list[Event]:
        await wait_until(self.pilot, lambda: tuple(e.type for e in self.journal.events()) == types, f"{types}")
        return list(self.journal.events())


@asynccontextmanager
async def desked(folder: Path, answer: Prepared | Refusal) -> AsyncIterator[Desked]:
    connector = fake_session.incident()
    async with console(connector, (112, 30)) as (app, pilot):
        session, stub = connector.sessions[-1], Stub(app, answer)
        session.executor = stub  # type: ignore[assignment]  # a stub in place of the executor
        journal = Journal.open(folder / "journal.db", connector.clock, "boot")
        session.desk = Desk(journal, policy_of(session.playbook, context="prod-eu"), ALICE)
        yield Desked(app, pilot, stub, journal)
        journal.close()


def later(room: Desked, seconds: float = 0.6) -> None:
    assert isinstance(room.app.clock, FakeClock)
    room.app.clock.advance(seconds)


async def test_a_yes_and_the_two_pictures_of_the_pane_are_written_down(tmp_path: Path) -> None:
    async with desked(tmp_path, prepared()) as room:
        await room.card()
        later(room)
        await room.pilot.press("y")
        yes, before = await room.written(kinds.ACTION_CONFIRMED, kinds.SNAPSHOT)
        assert yes.summary == f"Rollout restart {APP.name}: confirmed"
        assert yes.actor == ALICE
        assert yes.data["changes"] == [["replicas", "3", "10"]]
        assert (before.data["run"], before.data["when"]) == ("run-1", "before")
        room.stub.end("run-1", State.RECOVERED)
        room.app.room.tick()
        *_, after = await room.written(kinds.ACTION_CONFIRMED, kinds.SNAPSHOT, kinds.SNAPSHOT)
        assert (after.data["run"], after.data["when"]) == ("run-1", "after")
        assert before.data["rows"], (before.data, room.app.room.on_screen)


async def test_the_name_that_was_typed_is_part_of_the_yes(tmp_path: Path) -> None:
    async with desked(tmp_path, prepared(Risk.HIGH)) as room:
        await room.card()
        await room.pilot.press(*APP.name)
        later(room)
        await room.pilot.press("y")
        yes, _ = await room.written(kinds.ACTION_CONFIRMED, kinds.SNAPSHOT)
        assert (yes.data["typed"], yes.data["risk"]) == (APP.name, "high")


@pytest.mark.parametrize("key", ["escape", "enter", "n"])
async def test_a_no_is_written_down(tmp_path: Path, key: str) -> None:
    async with desked(tmp_path, prepared()) as room:
        await room.card()
        await room.pilot.press(key)
        [no] = await room.written(kinds.ACTION_DECLINED)
        assert no.summary == f"Rollout restart {APP.name}: not confirmed"
        assert room.stub.started == []


@pytest.mark.parametrize(
    "answer",
    [Refusal("the Deployment is paused"), prepared(refused="the server refuses: paused")],
    ids=["plan", "server"],
)
async def test_what_could_not_be_confirmed_is_written_down_once(tmp_path: Path, answer: Prepared | Refusal) -> None:
    async with desked(tmp_path, answer) as room:
        await room.card()
        await room.pilot.press("escape")
        [refused] = await room.written(kinds.ACTION_REFUSED)
        assert "paused" in refused.summary
        assert refused.data["target"]["name"] == APP.name
