"""Helpers of the console's tests: run the app, wait for a state, compare the screen with a text file."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from textual.drivers.headless_driver import HeadlessDriver
from textual.pilot import Pilot

from planc_tui.ui.app import ConsoleOptions, PlancApp
from planc_tui.ui.panes.base import Pane
from planc_tui.ui.widgets.pane_widget import PaneWidget
from tests.ui.fake_session import FakeConnector

GOLDENS = Path(__file__).parent / "goldens"
UPDATE = "PLANC_UPDATE_GOLDENS"


class CountingDriver(HeadlessDriver):
    """Renders as for a real terminal and counts what would be sent."""

    sent: list[str] = []

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        type(self).sent.append(data)

    def flush(self) -> None:
        """Nothing is buffered."""


def sent_bytes() -> int:
    """Bytes sent so far."""
    return sum(len(part.encode()) for part in CountingDriver.sent)


def screen_text(app: PlancApp) -> str:
    """What the screen shows, without colours. The compositor's strips are the only headless source of it."""
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips) + "\n"


async def wait_until(pilot: Pilot[Any], condition: Callable[[], object], what: str = "the condition") -> None:
    """Let the app work until the condition holds; fails after some 5 s."""
    for _ in range(250):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError(f"{what} never held:\n{screen_text(pilot.app)}")  # type: ignore[arg-type]  # our app


@asynccontextmanager
async def console(
    connector: FakeConnector,
    size: tuple[int, int] = (120, 40),
    *,
    options: ConsoleOptions | None = None,
    panes: list[Pane[Any]] | None = None,
    counting: bool = False,
    connected: bool = True,
) -> AsyncIterator[tuple[PlancApp, Pilot[Any]]]:
    """A running console, once its panes show what the session has."""
    app = PlancApp(connector, options, clock=connector.clock, panes=panes)
    CountingDriver.sent = []
    driver = CountingDriver if counting else HeadlessDriver
    # run_test always takes the class of this name.
    with patch("textual.drivers.headless_driver.HeadlessDriver", driver), patch("planc_tui.ui.app.FLUSH", 0.02):
        async with app.run_test(size=size) as pilot:
            if connected:
                await wait_until(pilot, lambda: app.session is not None, "the session")
                await settle(pilot)
            yield app, pilot


async def settle(pilot: Pilot[Any]) -> None:
    """Wait until nothing is planned and the screen stands still."""
    app = pilot.app
    assert isinstance(app, PlancApp)
    before = ""
    for _ in range(200):
        await pilot.pause(0.03)
        if app._planned is not None or app.room.waiting:
            continue
        now = screen_text(app)
        if now == before:
            return
        before = now
    raise AssertionError("the screen does not come to rest")


def pane(app: PlancApp, pane_id: str) -> PaneWidget:
    """One pane of the war room."""
    return app.room.panes[pane_id]


def check_golden(name: str, text: str) -> None:
    """Compare with goldens/NAME.txt; with PLANC_UPDATE_GOLDENS=1 write it instead."""
    path = GOLDENS / f"{name}.txt"
    if os.environ.get(UPDATE):
        path.write_text(text, encoding="utf-8")
        return
    assert path.exists(), f"no golden {path.name}: run with {UPDATE}=1 and look at it"
    assert text == path.read_text(encoding="utf-8"), f"{path.name} differs; look, then run with {UPDATE}=1"
