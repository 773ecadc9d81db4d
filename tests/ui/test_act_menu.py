"""The menu of what can be done about a row: what one may not do is grey, with the reason."""

from __future__ import annotations

from planc_tui.actions.base import Access
from planc_tui.ui import theme
from tests.ui.acting_kit import acting, prepared
from tests.ui.kit import screen_text, wait_until

DELETE = "Delete pod  (ctrl-d)"


async def test_what_one_may_not_do_is_grey_and_says_why() -> None:
    async with acting(prepared()) as (app, pilot, stub):
        stub.grey = {DELETE: "no: your role lacks delete pods"}
        await pilot.press("1", "a")
        await wait_until(pilot, lambda: "your role lacks delete pods" in screen_text(app), "the reason")
        target = app.room.pane.target()
        assert target is not None
        assert stub.wanted[DELETE] == (Access("delete", "pods", "", "", target.namespace, target.name),)
        evict = next(word for word in stub.wanted if word.startswith("Evict"))
        assert stub.wanted[evict] == (Access("create", "pods", "", "eviction", target.namespace, target.name),)
        rows = [strip for strip in app.screen._compositor.render_strips() if "Delete pod" in strip.text]
        shades = {
            str(part.style.color.name) for part in rows[0] if part.style and part.style.color and "Delete" in part.text
        }
        assert shades == {theme.FAINT.lower()}


async def test_a_grey_action_can_be_asked_about_all_the_same() -> None:
    """Rights may have been given since: the card asks again, and refuses if they were not."""
    async with acting(prepared(refused="no: your role lacks delete pods")) as (app, pilot, stub):
        stub.grey = {DELETE: "no: your role lacks delete pods"}
        await pilot.press("1", "a")
        await wait_until(pilot, lambda: "your role lacks" in screen_text(app), "the reason")
        await pilot.press(*"delete pod", "enter")
        await wait_until(pilot, lambda: bool(stub.asked) or "grace" in screen_text(app), "the form or the card")
