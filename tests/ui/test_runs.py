"""The tray and its full list: every state in words, undo, stop, and what an earlier console left unknown."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from planc_tui.actions.base import Receipt, Risk
from planc_tui.actions.executor import Run, State
from planc_tui.core.table import Tone
from planc_tui.ui.screens.runs import RunsScreen
from planc_tui.ui.tray import SHOWN_AFTER, tray_line
from tests.ui.acting_kit import acting, plan, prepared
from tests.ui.kit import screen_text, wait_until

WORDS = {
    State.REQUESTED: ("⟳", "requested", Tone.ACCENT),
    State.RUNNING: ("⟳", "2/5 ready", Tone.ACCENT),
    State.ACCEPTED: ("⟳", "accepted", Tone.ACCENT),
    State.RECOVERED: ("●", "recovered 5/5 ready in 41 s", Tone.OK),
    State.FAILED: ("✖", "failed the webhook said no", Tone.CRIT),
    State.REFUSED: ("✖", "refused it changed", Tone.WARN),
    State.CANCELLED: ("▲", "cancelled after 2 of 5", Tone.WARN),
    State.UNKNOWN: ("?", "unknown no answer", Tone.WARN),
}


def run(state: State, progress: str = "", **fields: object) -> Run:
    ended = 10.0 if state.over else None
    return replace(Run("r1", plan(), state, progress, 1.0, ended), **fields)


@pytest.mark.parametrize("state", list(State))
def test_the_tray_says_each_state_in_a_glyph_and_words(state: State) -> None:
    glyph, words, tone = WORDS[state]
    progress = words.removeprefix(f"{state.value} ") if state.over else words
    [(text, shade)] = tray_line([run(state, progress)], 12.0)
    assert text.startswith(f"{glyph} Rollout restart deployment/")
    assert words in text
    assert shade is tone


def test_the_tray_keeps_the_last_that_ended_for_a_while_and_all_that_run() -> None:
    old, last = run(State.FAILED, "no"), run(State.RECOVERED, "yes", id="r2", ended=20.0)
    busy = [run(State.RUNNING, f"{n}/5", id=f"b{n}") for n in range(2)]
    parts = tray_line([old, last, *busy], 25.0)
    assert ["0/5" in parts[0][0], "1/5" in parts[1][0], "yes" in parts[2][0]] == [True, True, True]
    assert len(parts) == 3
    assert tray_line([last], 20.0 + SHOWN_AFTER) == ()


async def test_a_run_is_seen_stopped_and_undone() -> None:
    async with acting(prepared(), (80, 24)) as (app, pilot, stub):
        first = stub.start(prepared())
        await pilot.press("ctrl+t")
        await wait_until(pilot, lambda: "running: start" in screen_text(app), "the run")
        await pilot.press("x")
        assert stub.cancelled == [first.id]
        stub.show(replace(first, state=State.RECOVERED, progress="6/6 ready", receipt=Receipt(), ended=1010.0))
        await wait_until(pilot, lambda: "recovered: 6/6 ready" in screen_text(app), "the outcome")
        assert "undo: rollout undo to revision 7" in screen_text(app)
        await pilot.press("x")
        await wait_until(pilot, lambda: "this run is over" in screen_text(app))
        await pilot.press("u")
        await wait_until(pilot, lambda: "[ Cancel ]" in screen_text(app), "the card of the undo")
        assert stub.asked[-1][0] == "rollout-undo"
        assert len(stub.started) == 1


async def test_what_an_earlier_console_left_unknown_is_looked_at() -> None:
    async with acting(prepared(Risk.MEDIUM)) as (app, pilot, stub):
        stub.lost = (Run("lost", plan(), State.UNKNOWN, "requested, outcome unknown", 0.0),)
        await pilot.press("ctrl+t")
        await wait_until(pilot, lambda: "unknown: requested, outcome unknown" in screen_text(app), "the lost run")
        await pilot.press("v")
        await wait_until(pilot, lambda: "recovered: 6/6 ready" in screen_text(app), "the outcome")
        await pilot.press("escape")
        await wait_until(pilot, lambda: not isinstance(app.screen, RunsScreen), "the war room")


async def test_many_runs_leave_room_for_what_is_known_of_the_chosen_one() -> None:
    async with acting(prepared(), (80, 24)) as (app, pilot, stub):
        for number in range(40):
            stub.show(Run(f"r{number}", plan(), State.FAILED, f"reason {number}: " + "x" * 150, 1000.0, 1001.0))
        await pilot.press("ctrl+t")
        await wait_until(pilot, lambda: "failed: reason 39" in screen_text(app), "the newest")
        await pilot.press(*["down"] * 39)
        await wait_until(pilot, lambda: "failed: reason 0" in screen_text(app), "the oldest")
        assert "undo: rollout undo to revision 7" in screen_text(app)


async def test_nothing_done_yet_says_so_and_its_keys_do_nothing() -> None:
    async with acting(prepared()) as (app, pilot, stub):
        await pilot.press("ctrl+t")
        await wait_until(pilot, lambda: "nothing was done yet" in screen_text(app), "the empty list")
        await pilot.press("u", "v", "x", "up", "down")
        assert (stub.started, stub.cancelled, stub.asked) == ([], [], [])
