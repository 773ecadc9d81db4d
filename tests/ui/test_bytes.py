"""What is sent to the terminal: nothing when nothing changed, little when little did."""

from __future__ import annotations

from typing import Any

import msgspec

from planc_tui.core.cluster import topics as kube
from planc_tui.ui.panes.base import View
from tests.ui import fake_session
from tests.ui.kit import console, pane, screen_text, sent_bytes, settle, wait_until


async def test_quiet_screen_sends_nothing() -> None:
    connector = fake_session.incident()
    async with console(connector, counting=True) as (app, pilot):
        before = sent_bytes()
        assert before > 5_000, "the driver counts"
        for _ in range(20):
            for topic, _value in connector.data.values():
                connector.store.confirm(topic, connector.clock.monotonic())
            app.room.tick()
            app.room.ages()
            await pilot.pause(0.02)
        assert sent_bytes() == before


async def test_ages_move_with_the_clock_of_the_header_and_at_no_other_time() -> None:
    connector = fake_session.incident()
    async with console(connector, (200, 50), counting=True) as (app, pilot):

        async def pass_(seconds: float) -> None:
            connector.clock.advance(seconds)
            for topic, _value in connector.data.values():
                connector.store.confirm(topic, connector.clock.monotonic())
            app.room.tick()
            await settle(pilot)

        await pass_(61 - connector.clock.now() % 60)
        shown = screen_text(app)
        for _ in range(19):
            await pass_(3)
            app.room.ages()
            assert screen_text(app) == shown
        await pass_(2)
        moved = [line for line in screen_text(app).splitlines() if line not in shown.splitlines()]
        assert len(moved) > 5, "the ages of the rows, with the header's clock"


async def test_the_same_data_again_sends_nothing() -> None:
    connector = fake_session.incident()
    async with console(connector, counting=True) as (_, pilot):
        before = sent_bytes()
        for name, (topic, value) in fake_session.data(troubled=True).items():
            assert name in connector.data
            connector.store.put(topic, value, connector.clock.monotonic())
        await settle(pilot)
        assert sent_bytes() == before


async def test_one_changed_row_sends_less_than_500_bytes() -> None:
    connector = fake_session.incident()
    async with console(connector, (200, 50), counting=True) as (_, pilot):
        before = sent_bytes()
        rows = list(fake_session.pods_of(connector))
        index = next(i for i, row in enumerate(rows) if row.status == "CrashLoopBackOff")
        rows[index] = msgspec.structs.replace(rows[index], restarts=8)
        connector.store.put(kube.PODS, fake_session.listing(rows), connector.clock.monotonic())
        await wait_until(pilot, lambda: sent_bytes() > before)
        await settle(pilot)
        assert 0 < sent_bytes() - before < 500


async def test_one_step_of_the_cursor_sends_two_lines() -> None:
    async with console(fake_session.incident(), (120, 40), counting=True) as (app, pilot):
        before = sent_bytes()
        await pilot.press("down")
        await settle(pilot)
        assert pane(app, "pods").model.cursor == 1
        assert 0 < sent_bytes() - before < 1_500


async def test_ten_thousand_pods_build_cells_for_visible_rows_only() -> None:
    connector = fake_session.calm()
    pods = [fake_session.pod(f"app-{i:05d}-7d9f8-{i % 97:05d}") for i in range(10_000)]
    connector.data = {**connector.data, kube.PODS.name: (kube.PODS, fake_session.listing(pods))}
    async with console(connector) as (app, pilot):
        widget = pane(app, "pods")
        built = 0
        original = widget.pane.cells

        def counting(item: Any, view: View) -> Any:
            nonlocal built
            built += 1
            return original(item, view)

        widget.pane.cells = counting  # type: ignore[method-assign]  # counts what the pane is asked for
        try:
            await pilot.press("end")
            await settle(pilot)
        finally:
            del widget.pane.cells
        assert len(widget.model.rows) == 10_000
        assert 0 < built < 200
