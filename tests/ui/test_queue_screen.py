"""The messages of a queue: read when a person asks, never otherwise, and shown as harmless lines."""

from __future__ import annotations

from typing import Any

from planc_tui.core.admin import Depth, Message
from planc_tui.core.ports import Unreachable
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
