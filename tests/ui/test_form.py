"""The form of an action: keeps what was typed, sends nothing, and is left by escape."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from planc_tui.actions.base import Refusal, Risk
from planc_tui.ui.screens.card import Card
from planc_tui.ui.screens.form import Form
from planc_tui.ui.screens.room import Room
from tests.ui.acting_kit import acting, prepared
from tests.ui.kit import screen_text, wait_until

WRONG = Refusal("replicas must be a whole number from 0 to 1000, not '-3'")


async def test_values_are_kept_when_they_have_to_be_mended() -> None:
    async with acting(WRONG) as (app, pilot, stub):
        await pilot.press("0", "s")
        await wait_until(pilot, lambda: isinstance(app.screen, Form), "the form")
        await pilot.press("ctrl+u", "-", "3", "enter")
        await wait_until(pilot, lambda: isinstance(app.screen, Card), "the refusal")
        await wait_until(pilot, lambda: "not '-3'" in screen_text(app), "the reason")
        await pilot.press("e")
        await wait_until(pilot, lambda: isinstance(app.screen, Form), "the form again")
        assert app.screen.query_one(Input).value == "-3"
        stub.answer = prepared()
        await pilot.press("ctrl+u", "7", "enter")
        await wait_until(pilot, lambda: "y  go" in screen_text(app), "the card")
        assert [args for _, _, args in stub.asked] == [{"replicas": "-3"}, {"replicas": "7"}]
        assert stub.started == []


@pytest.mark.parametrize("key", ["escape", "ctrl+c"])
async def test_it_is_left_without_a_request(key: str) -> None:
    async with acting(prepared()) as (app, pilot, stub):
        await pilot.press("0", "s")
        await wait_until(pilot, lambda: isinstance(app.screen, Form), "the form")
        await pilot.press("9", key)
        await wait_until(pilot, lambda: isinstance(app.screen, Room), "the war room")
        assert stub.asked == []


async def test_hammering_enter_ends_at_a_card_and_goes_no_further() -> None:
    async with acting(prepared(Risk.LOW)) as (app, pilot, stub):
        await pilot.press("0", "m")
        await wait_until(pilot, lambda: isinstance(app.screen, Form), "the form")
        await pilot.press(*["enter"] * 30)
        await pilot.pause(0.3)
        await pilot.press(*["enter"] * 5)
        assert stub.started == []


async def test_arrows_and_tab_move_between_the_lines() -> None:
    async with acting(prepared()) as (app, pilot, _):
        await pilot.press("0", "m")
        await wait_until(pilot, lambda: isinstance(app.screen, Form), "the form")
        seen = []
        for key in ("down", "tab", "up", "shift+tab"):
            await pilot.press(key)
            assert app.focused is not None
            seen.append(app.focused.id)
        assert seen == ["param-cpu-request", "param-cpu-limit", "param-cpu-request", "param-container"]


async def test_every_line_of_the_longest_form_is_on_a_small_screen() -> None:
    async with acting(prepared(), (80, 24)) as (app, pilot, _):
        await pilot.press("0", "m")
        await wait_until(pilot, lambda: isinstance(app.screen, Form), "the form")
        await wait_until(pilot, lambda: "esc  leave" in screen_text(app), "the last line")
        for field in app.screen.query(Input):
            field.focus()
            await pilot.pause()
            assert field.region.bottom <= 24
            assert field.region.height == 1
