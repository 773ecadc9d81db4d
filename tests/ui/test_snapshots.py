"""Pictures of the console, for what text goldens cannot show: colours, weight and the ground of a line.

Update with `pytest tests/ui/test_snapshots.py --snapshot-update`, and look at them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from planc_tui.core.cluster import topics as kube
from planc_tui.core.health import Health
from planc_tui.core.store import Fault
from planc_tui.ui.app import PlancApp
from planc_tui.ui.screens.picker import Choices, Picker
from tests.ui import fake_session
from tests.ui.kit import settle, wait_until

Compare = Callable[..., bool]


def reading(app: PlancApp) -> bool:
    """A list waits for its words."""
    return isinstance(app.screen, Picker) and app.screen.query_one(Choices).reading


def shot(
    snap_compare: Compare, connector: fake_session.FakeConnector, size: tuple[int, int], *keys: str, stale: bool = False
) -> bool:
    """Compare the console after these keys with its picture."""
    app = PlancApp(connector, clock=connector.clock)

    async def before(pilot: Pilot[Any]) -> None:
        await wait_until(pilot, lambda: app.session is not None)
        await settle(pilot)
        if stale:
            now = connector.clock.monotonic()
            connector.fail(
                kube.PODS, Fault(Health.UNREACHABLE, "connection refused by 10.0.0.1:6443", "", now, now + 4)
            )
            connector.clock.advance(42)
            await settle(pilot)
            app.room.tick()
            app.room.ages()
        for key in keys:
            await pilot.press(key)
            await wait_until(pilot, lambda: not reading(app), "the words to choose from")
        await settle(pilot)

    return snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_incident(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert shot(snap_compare, fake_session.incident(), size)


def test_calm(snap_compare: Compare) -> None:
    assert shot(snap_compare, fake_session.calm(), (120, 40))


def test_stale_rows_are_dim(snap_compare: Compare) -> None:
    assert shot(snap_compare, fake_session.incident(), (120, 40), stale=True)


def test_picker(snap_compare: Compare) -> None:
    assert shot(snap_compare, fake_session.incident(), (100, 30), "colon", *"ctx", "enter", "down")
