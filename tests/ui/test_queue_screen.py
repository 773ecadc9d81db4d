"""The messages of a queue: read when a person asks, never otherwise, and shown as harmless lines."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from planc_tui.actions.base import Receipt, Risk
from planc_tui.actions.executor import State
from planc_tui.core.admin import Depth, Message
from planc_tui.core.ports import Unreachable
from planc_tui.ui.screens.card import Card
from tests.ui.acting_kit import acting, prepared
from tests.ui.fake_session import incident
from tests.ui.kit import console, screen_text, wait_until


class Broker:
    """Answers peeks, or fails."""

    def __init__(self) -> None:
        self.peeks: list[tuple[str, int]] = []
        self.fails = False

    def peek(self, queue: str, count: int) -> list[Message]:
        self.peeks.append((queue, count))
        if self.fails:
            raise Unreachable("the broker does not answer")
        return [Message(b'{"order": 4711}\x1b[31m', routing_key="tasks")]

    def depth(self, queue: str) -> Depth:
        return Depth(57, 0)


async def opened(app: Any, pilot: Any) -> str:
    await pilot.press("5", "g", "enter")
    await wait_until(pilot, lambda: "messages" in screen_text(app), "the queue")
    return screen_text(app)


async def test_a_peek_by_its_key_opens_what_was_read() -> None:
    async with acting(prepared(Risk.LOW, action="queue-peek", title="Peek at messages")) as (app, pilot, stub):
        await pilot.press("5", "g", "K")
        await wait_until(pilot, lambda: "how many" in screen_text(app), "the form")
        await pilot.press("enter")
        await wait_until(pilot, lambda: isinstance(app.screen, Card), "the card")
        app.clock.advance(1)  # type: ignore[attr-defined]  # the tests' clock
        await pilot.press("enter")
        assert stub.started == []
        await pilot.press("K", "enter")
        await wait_until(pilot, lambda: isinstance(app.screen, Card), "the card again")
        await pilot.pause(0.1)
        app.clock.advance(1)  # type: ignore[attr-defined]  # the tests' clock
        await pilot.press("y")
        await wait_until(pilot, lambda: stub.started, "the run")
        assert (stub.asked[0][0], stub.asked[0][1].kind, stub.asked[0][2]) == ("queue-peek", "Queue", {"count": "20"})
        run = stub.runs()[0]
        stub.show(replace(run, state=State.RECOVERED, ended=1.0, receipt=Receipt(shown=("1   card 4711",))))
        await wait_until(pilot, lambda: "card 4711" in screen_text(app), "the messages")
        await pilot.press("escape", "ctrl+t", "enter")
        await wait_until(pilot, lambda: "card 4711" in screen_text(app), "the messages again")


async def test_messages_are_read_only_when_asked_for_and_armed() -> None:
    connector, broker = incident(), Broker()
    async with console(connector) as (app, pilot):
        session = connector.sessions[-1]
        session.broker = lambda: broker  # type: ignore[assignment,return-value]  # a stub in place of the broker
        await opened(app, pilot)
        await pilot.press("tab")
        await wait_until(pilot, lambda: "ctrl-r reads the first messages" in screen_text(app), "the offer")
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: "read-only: looking marks messages" in screen_text(app), "the reason")
        assert broker.peeks == []
        session.arming.arm()
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: "4711" in screen_text(app), "the message")
        assert "the first 1 of 57" in screen_text(app)
        assert "\x1b" not in screen_text(app)
        assert broker.peeks == [("tasks", 20)]
        broker.fails = True
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: "not read at" in screen_text(app), "the failure")
        assert "4711" in screen_text(app)
