"""A procedure gone through at the checklist: symptoms, order, one key each, pauses, and going on after a break."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from planc_tui.actions.base import Refusal
from planc_tui.actions.executor import Prepared, Run, State
from planc_tui.core.findings import Finding
from planc_tui.desk.desk import Desk
from planc_tui.desk.policy import policy_of
from planc_tui.incident import procedure as log
from planc_tui.journal import Journal
from planc_tui.sources.findings import FINDINGS
from planc_tui.ui.app import PlancApp
from planc_tui.ui.screens.card import Card
from planc_tui.ui.screens.room import Room
from tests.ui import fake_session
from tests.ui.acting_kit import APP, Stub, plan, prepared
from tests.ui.fake_session import FakeConnector
from tests.ui.kit import console, screen_text, wait_until
from tests.unit.incident_kit import ALICE

NODES = [f"node-{n}" for n in range(3)]


class Checklist:
    """A console with a procedure open, its stub of an executor, and the journal."""

    def __init__(self, app: PlancApp, pilot: Pilot[Any], stub: Stub, journal: Journal) -> None:
        self.app, self.pilot, self.stub, self.journal = app, pilot, stub, journal

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def sees(self, text: str) -> None:
        await wait_until(self.pilot, lambda: text in screen_text(self.app), f"“{text}”")

    def shows(self, text: str) -> bool:
        return text in screen_text(self.app)

    def advance(self, seconds: float) -> None:
        self.app.clock.advance(seconds)  # type: ignore[attr-defined]  # the tests' clock
        self.app.room.tick()

    async def opens(self, title: str) -> None:
        await self.press("o")
        await self.sees("procedure: type to narrow")
        await self.press(*("space" if char == " " else char for char in title), "enter")
        await self.sees(f"─{title} ─")
        await wait_until(self.pilot, lambda: not self.shows("looking how far"), "what the journal knows")

    async def agrees(self, key: str) -> Run:
        """The step's key, its card, the yes."""
        known = len(self.stub.runs())
        await self.press(key)
        await wait_until(self.pilot, lambda: isinstance(self.app.screen, Card), "the card")
        await self.pilot.pause(0.1)
        self.advance(0.6)
        await self.press("y")
        await wait_until(self.pilot, lambda: len(self.stub.runs()) > known, "the run")
        return self.stub.runs()[-1]

    def steps(self) -> list[tuple[object, object]]:
        """What the journal holds: number and state of each change of a step."""
        return [(event.data["step"] + 1, event.data["state"]) for event in self.journal.events(types=(log.STEP,))]


@asynccontextmanager
async def checklist(
    folder: Path, answer: Prepared | Refusal | None = None, connector: FakeConnector | None = None
) -> AsyncIterator[Checklist]:
    """A console on the bad night over the journal in `folder`."""
    connector = connector or fake_session.incident()
    async with console(connector, (112, 30)) as (app, pilot):
        session, stub = connector.sessions[-1], Stub(app, answer or prepared())
        session.executor = stub  # type: ignore[assignment]  # a stub in place of the executor
        journal = Journal.open(folder / "journal.db", connector.clock, "boot")
        session.desk = Desk(journal, policy_of(session.playbook, environment="PROD", context="prod-eu"), ALICE)
        yield Checklist(app, pilot, stub, journal)


async def test_symptoms_are_lit_by_what_is_found_and_go_out_with_it(tmp_path: Path) -> None:
    async with checklist(tmp_path) as room:
        await room.opens("High latency")
        store, now = room.app.store, room.app.clock.monotonic
        for lit in ({"latency-high"}, {"latency-high", "queue-long"}, set()):
            found = tuple(Finding(rule, "P1", rule, fake_session.NOW, "high-latency") for rule in sorted(lit))
            store.put(FINDINGS, found, now())
            words = {"latency-high": "response time above 2 s", "queue-long": "queue longer than 1,000"}
            for rule, text in {**words, "cpu-high": "CPU above 90 %"}.items():
                await room.sees(f"{'▲' if rule in lit else '·'} {text}")


async def test_steps_come_in_order_each_by_one_key_and_nothing_starts_by_itself(tmp_path: Path) -> None:
    async with checklist(tmp_path) as room:
        await room.opens("High latency")
        text = screen_text(room.app)
        shown = [text.index(f"○ {n} {what}") for n, what in enumerate(("Scale app", "look at queues", "Purge"), 1)]
        assert shown == sorted(shown)
        first = await room.agrees("1")
        assert room.stub.asked == [("scale", room.stub.asked[0][1], {"replicas": "10"})]
        assert room.stub.asked[0][1].name == APP.name
        await room.sees("⟳ 1 Scale app")
        await room.press("1")
        await room.sees("step 1 is under way")
        await room.press("4")
        await room.sees("step 1 is still under way: wait")
        room.advance(3600)
        assert len(room.stub.started) == 1
        room.stub.end(first.id, State.FAILED, "the quota is used up")
        await room.sees("✖ 1 Scale app")
        await room.sees("step 1: the quota is used up")
        again = await room.agrees("enter")
        room.stub.end(again.id, State.RECOVERED, "10/10 ready")
        await room.sees("● 1 Scale app")
        await room.press("2")
        await room.sees("● 2 look at queues")
        assert room.app.room.current == "queues"
        await room.press("space")
        await room.sees("– 3 Purge queue")
        last = await room.agrees("enter")
        assert room.stub.asked[-1][1].name == "workflow-worker-pool"
        room.stub.end(last.id, State.RECOVERED)
        await room.sees("● 4 Scale worker")
        await wait_until(room.pilot, lambda: len(room.steps()) == 8, "the journal")
        assert room.steps() == [
            (1, "started"), (1, "failed"), (1, "started"), (1, "done"), (2, "done"), (3, "skipped"), (4, "started"),
            (4, "done"),
        ]  # fmt: skip  # rows as a person reads them


async def test_a_card_that_is_left_starts_no_step(tmp_path: Path) -> None:
    async with checklist(tmp_path) as room:
        await room.opens("High latency")
        for leave in ("escape", "enter"):
            await room.press("1")
            await wait_until(room.pilot, lambda: isinstance(room.app.screen, Card), "the card")
            await room.press(leave)
            await wait_until(room.pilot, lambda: isinstance(room.app.screen, Room), "the war room")
        assert room.shows("○ 1 Scale app")
        assert (room.stub.started, room.steps()) == ([], [])


@pytest.mark.parametrize("order", ["rollout first", "time first", "failed"])
async def test_a_pause_lasts_its_time_and_until_the_rollout_is_complete(tmp_path: Path, order: str) -> None:
    async with checklist(tmp_path) as room:
        await room.opens("Progressive restart")
        for step in ("1", "2"):
            await room.press("up", "up", "up", "up", "up", *["down"] * (int(step) - 1), "space")
            await room.sees(f"– {step} ")
        restart = await room.agrees("3")
        await room.press("4")
        await room.sees("step 4: 60 s left at least")
        room.advance(50)
        await room.sees("step 4: 10 s left at least")
        if order == "rollout first":
            room.stub.end(restart.id, State.RECOVERED)
            await room.sees("● 3 ")
            assert room.shows("⟳ 4 ")
            room.advance(10)
        elif order == "time first":
            room.advance(600)
            await room.sees("step 4 waits for step 3")
            assert room.shows("⟳ 4 ")
            room.stub.end(restart.id, State.RECOVERED)
        else:
            room.stub.end(restart.id, State.FAILED, "exceeded its progress deadline")
            await room.sees("✖ 3 ")
            room.advance(600)
            await room.sees("step 4 waits for step 3")
            assert room.shows("⟳ 4 ")
            again = await room.agrees("3")
            room.stub.end(again.id, State.RECOVERED)
        await room.sees("● 4 ")


async def test_a_pause_does_not_pass_over_a_step_that_nobody_did(tmp_path: Path) -> None:
    async with checklist(tmp_path) as room:
        await room.opens("Progressive restart")
        await room.press("4")
        room.advance(61)
        await room.sees("step 4 waits for step 1")
        assert room.shows("⟳ 4 ")


async def test_the_node_that_was_cordoned_is_drained_and_uncordoned_wherever_the_cursor_went(tmp_path: Path) -> None:
    async with checklist(tmp_path) as room:
        await room.opens("Progressive restart")
        await room.press("1")
        await room.sees("choose a row first: this step needs a node")
        assert room.stub.asked == []
        await room.press("tab", ":", *"nodes", "enter")
        await room.sees("node-0")
        await room.press("g", "o")
        cordon = await room.agrees("1")
        chosen = room.stub.asked[0][1]
        assert (chosen.kind, chosen.name in NODES) == ("Node", True)
        room.stub.end(cordon.id, State.RECOVERED)
        await room.sees("● 1 ")
        await room.press("tab", "G", "o")
        await room.agrees("2")
        assert room.stub.asked[1] == ("drain", chosen, {"emptydir": "yes"})


async def test_another_console_goes_on_where_one_was_killed(tmp_path: Path) -> None:
    async with checklist(tmp_path) as room:
        await room.opens("High latency")
        first = await room.agrees("1")
        room.stub.end(first.id, State.RECOVERED)
        await room.sees("● 1 ")
        await room.press("2")
        await room.press("space")
        await room.agrees("4")
        await wait_until(room.pilot, lambda: len(room.steps()) == 5, "the journal")
    async with checklist(tmp_path) as later:
        lost = Run("run-2", plan(), State.UNKNOWN, "requested, outcome unknown", 0.0)
        later.stub.lost = (lost,)
        await later.opens("High latency")
        for done in ("● 1 ", "● 2 ", "– 3 ", "● 4 "):
            await later.sees(done)
        assert later.stub.started == []
        await later.press("A")
        await later.sees("○ 1 ")
        assert not later.shows("● 2 ")


async def test_a_step_whose_outcome_nobody_knows_is_not_started_a_second_time(tmp_path: Path) -> None:
    async with checklist(tmp_path) as room:
        await room.opens("High latency")
        await room.agrees("1")
        await wait_until(room.pilot, lambda: room.steps() == [(1, "started")], "the journal")
    async with checklist(tmp_path) as later:
        await later.opens("High latency")
        await later.sees("nothing is known of the step yet")
        await later.press("1")
        await later.pilot.pause(0.1)
        assert later.shows("⟳ 1 ")
        assert (later.stub.asked, later.stub.started) == ([], [])
