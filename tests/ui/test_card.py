"""The confirm card: nothing but a deliberate yes starts anything."""

from __future__ import annotations

from typing import Any

import pytest
from textual.pilot import Pilot

from planc_tui.actions.base import Change, Drift, Refusal, Risk
from planc_tui.actions.executor import Prepared
from planc_tui.ui.app import PlancApp
from planc_tui.ui.screens import card
from planc_tui.ui.screens.card import Card, Decision
from planc_tui.ui.screens.room import Room
from tests.ui.acting_kit import APP, acting, plan, prepared
from tests.ui.fake_session import FakeConnector
from tests.ui.kit import screen_text, wait_until

Answer = Prepared | Refusal
OFFER = Refusal("an autoscaler owns it", ("hpa-bounds", {"min": "10"}))


async def opened(app: PlancApp, pilot: Pilot[Any], answer: Answer, *, editable: bool = True) -> list[Decision | None]:
    """Show a card; what it is left with comes into the list."""
    left: list[Decision | None] = []
    app.push_screen(Card(answer, "Rollout restart", "PROD", "red", editable=editable), left.append)
    await wait_until(pilot, lambda: "[ Cancel ]" in screen_text(app), "the card")
    await pilot.pause(0.1)
    return left


def advance(app: PlancApp, seconds: float) -> None:
    app.clock.advance(seconds)  # type: ignore[attr-defined]  # the tests' clock


@pytest.mark.parametrize("risk", list(Risk))
async def test_enter_and_its_neighbours_never_confirm(risk: Risk) -> None:
    async with acting(prepared(risk)) as (app, pilot, _):
        for key in ("enter", "space", "Y", "g", "enter"):
            left = await opened(app, pilot, prepared(risk))
            advance(app, 5)
            await pilot.press(key, key, key, "escape")
            await wait_until(pilot, lambda: isinstance(app.screen, Room), "the war room")
            assert left == [None]


@pytest.mark.parametrize(("risk", "early"), [(Risk.LOW, 0.19), (Risk.MEDIUM, 0.49)])
async def test_a_yes_counts_once_the_card_was_there_to_read(risk: Risk, early: float) -> None:
    async with acting(prepared(risk)) as (app, pilot, _):
        left = await opened(app, pilot, prepared(risk))
        advance(app, early)
        await pilot.press("y", "y", "y")
        assert left == []
        advance(app, 0.02)
        await pilot.press("y")
        assert left == [Decision.GO]


async def test_high_needs_the_exact_name_and_then_half_a_second() -> None:
    async with acting(prepared(Risk.HIGH)) as (app, pilot, _):
        left = await opened(app, pilot, prepared(Risk.HIGH))
        advance(app, 60)
        for wrong in ("y", APP.name[:-1], APP.name.upper()):
            await pilot.press("ctrl+u", *wrong, "enter", "enter")
            assert "locked until the name is typed" in screen_text(app)
        await pilot.press("ctrl+u", *APP.name)
        await pilot.press("y")
        assert left == []
        advance(app, 0.51)
        await pilot.press("y")
        assert left == [Decision.GO]


async def test_hammering_enter_after_the_name_was_typed_leaves_and_does_nothing() -> None:
    async with acting(prepared(Risk.HIGH)) as (app, pilot, _):
        for pause in (0, 60):
            left = await opened(app, pilot, prepared(Risk.HIGH))
            await pilot.press(*APP.name)
            advance(app, pause)
            await pilot.press("enter")
            assert left == [None]


async def test_escape_leaves_while_the_name_is_typed() -> None:
    async with acting(prepared(Risk.HIGH)) as (app, pilot, _):
        left = await opened(app, pilot, prepared(Risk.HIGH))
        await pilot.press(*"work", "escape")
        assert left == [None]


async def test_a_target_that_changed_disarms_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(card, "LOOK_AGAIN", 0.05)
    async with acting(prepared()) as (app, pilot, stub):
        left = await opened(app, pilot, prepared())
        stub.changed = Drift("3 replicas became 5")
        await wait_until(pilot, lambda: "it changed while you looked: 3 replicas became 5" in screen_text(app))
        assert "y  go" not in screen_text(app)
        advance(app, 60)
        await pilot.press("y")
        assert left == []
        await pilot.press("escape")
        assert left == [None]


@pytest.mark.parametrize(("key", "decision"), [("o", Decision.OFFER), ("e", Decision.EDIT), ("enter", None)])
async def test_a_refusal_offers_what_can_be_done_instead(key: str, decision: Decision | None) -> None:
    async with acting(OFFER) as (app, pilot, _):
        left = await opened(app, pilot, OFFER)
        assert "an autoscaler owns it" in screen_text(app)
        advance(app, 60)
        await pilot.press("y")
        assert left == []
        await pilot.press(key)
        assert left == [decision]


async def test_what_the_server_refuses_cannot_be_confirmed() -> None:
    answer = prepared(refused="the quota is used up")
    async with acting(answer) as (app, pilot, _):
        left = await opened(app, pilot, answer, editable=False)
        assert "the quota is used up" in screen_text(app)
        assert "y  go" not in screen_text(app)
        advance(app, 60)
        await pilot.press("y", "e", "o")
        assert left == []


async def test_a_long_card_keeps_its_keys_on_a_small_screen() -> None:
    many = tuple(Change(f"pod-{n}", "Running", "deleted") for n in range(60))
    answer = prepared(Risk.HIGH, changes=many)
    async with acting(answer, (80, 24)) as (app, pilot, _):
        await opened(app, pilot, answer)
        text = screen_text(app)
        assert "PROD" in text
        assert "[ Cancel ]" in text
        assert f"type {APP.name} to unlock y" in text
        await pilot.press(*APP.name)
        assert "cannot be undone" not in screen_text(app)
        await pilot.press(*["down"] * 70)
        assert "undo: rollout undo" in screen_text(app)


@pytest.mark.parametrize("risk", list(Risk))
async def test_keys_typed_ahead_of_a_slow_cluster_start_nothing(risk: Risk) -> None:
    async with acting(prepared(risk)) as (app, pilot, stub):
        stub.slow.clear()
        await pilot.press("0", "r", "y", "enter", "y")
        stub.slow.set()
        await wait_until(pilot, lambda: stub.asked, "the look at the target")
        # The clock of the tests stands still: however fast these come, they come within the first half second.
        await pilot.press(*(APP.name if risk is Risk.HIGH else "y"), "y", "enter", "y", "enter")
        await pilot.pause(0.3)
        assert stub.started == []
        if risk is Risk.HIGH:
            await wait_until(pilot, lambda: not isinstance(app.screen, Card), "the card to be left by enter")


async def test_arming_is_seen_to_run_out() -> None:
    async with acting(prepared()) as (app, pilot, _):
        await wait_until(pilot, lambda: "read-only" in screen_text(app), "the protected environment")
        await pilot.press("!")
        await wait_until(pilot, lambda: "read-write 10:00" in screen_text(app), "the countdown")
        for seconds, shown in ((1, "09:59"), (538, "01:01"), (60, "00:01")):
            advance(app, seconds)
            app.room.tick()
            await wait_until(pilot, lambda shown=shown: f"read-write {shown}" in screen_text(app), shown)  # type: ignore[misc]  # a bound loop variable
        advance(app, 1)
        app.room.tick()
        await wait_until(pilot, lambda: "read-only" in screen_text(app), "the end")
        await pilot.press("!", "!")
        app.room.tick()
        await wait_until(pilot, lambda: "read-only" in screen_text(app), "given back at once")


async def test_a_card_of_another_context_starts_nothing() -> None:
    async with acting(prepared()) as (app, pilot, stub):
        await pilot.press("0", "r")
        await wait_until(pilot, lambda: isinstance(app.screen, Card), "the card")
        await pilot.pause(0.1)
        connector = app.connector
        assert isinstance(connector, FakeConnector)
        app.connect("staging-eu", None)
        await wait_until(pilot, lambda: len(connector.sessions) == 2 and app.session is connector.sessions[1])
        advance(app, 60)
        await pilot.press("y")
        await wait_until(pilot, lambda: isinstance(app.screen, Room), "the war room")
        assert stub.started == []
        assert "nothing was done" in screen_text(app)


async def test_the_same_plan_is_what_is_started() -> None:
    async with acting(prepared()) as (app, pilot, stub):
        await pilot.press("0", "r")
        await wait_until(pilot, lambda: isinstance(app.screen, Card), "the card")
        await pilot.pause(0.1)
        advance(app, 0.6)
        await pilot.press("y")
        await wait_until(pilot, lambda: stub.started, "the run")
        assert stub.started[0].plan == plan()
        assert stub.asked[0][1].name == APP.name
