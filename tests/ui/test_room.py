"""The war room as a person sees it: text goldens of each size and state, and what the keys do."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from textual import events

from planc_tui.core.cluster import topics as kube
from planc_tui.core.health import Health
from planc_tui.core.ports import Unreachable
from planc_tui.core.store import Fault
from planc_tui.ui.app import ConsoleOptions
from planc_tui.ui.keys import KeymapError
from planc_tui.ui.kube_objects import path_of
from planc_tui.ui.screens import room
from planc_tui.ui.screens.lines_screen import LinesScreen
from planc_tui.ui.screens.picker import Picker
from planc_tui.ui.widgets.pane_widget import PaneWidget
from planc_tui.ui.widgets.prompt import Prompt
from tests.ui import fake_session
from tests.ui.kit import check_golden, console, pane, screen_text, settle, wait_until


def pane_name(widget: PaneWidget) -> str:
    """Name of the object under the cursor."""
    target = widget.target()
    assert target is not None
    return target.name


POD = {
    "kind": "Pod",
    "spec": {"containers": [{"name": "app", "image": "app:1", "resources": {"limits": {"memory": "1Gi"}}}]},
    "status": {
        "phase": "Running",
        "containerStatuses": [
            {"name": "app", "restartCount": 4, "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
        ],
    },
}

SIZES = [(80, 24), (120, 40), (200, 50)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("night", ["calm", "incident"])
async def test_golden_of_each_size(size: tuple[int, int], night: str) -> None:
    async with console(getattr(fake_session, night)(), size) as (app, _):
        check_golden(f"{night}_{size[0]}x{size[1]}", screen_text(app))


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("status", ["CreateContainerConfigError", "Init:CrashLoopBackOff", "ContainerStatusUnknown"])
async def test_a_status_is_shown_to_the_letter_at_every_size(size: tuple[int, int], status: str) -> None:
    connector = fake_session.incident()
    async with console(connector, size) as (app, pilot):
        worst = fake_session.pod(
            "workflow-scalability-app-7d9f8c6b5-zzzzz", status, rank=0, restarts=123, restarted=900
        )
        rows = [worst, *fake_session.pods_of(connector)]
        connector.store.put(kube.PODS, fake_session.listing(rows), connector.clock.monotonic())
        await wait_until(pilot, lambda: f" {status} " in screen_text(app), status)
        assert "123 (15m)" in screen_text(app)


async def test_golden_of_trouble_with_sources() -> None:
    connector = fake_session.incident()
    async with console(connector) as (app, pilot):
        now = connector.clock.monotonic()
        refused = Fault(Health.UNREACHABLE, "connection refused by 10.0.0.1:6443", "", now, now + 4)
        connector.fail(kube.PODS, refused)
        connector.fail(kube.HPAS, Fault(Health.DENIED, "may not list horizontalpodautoscalers", "", now, now + 30))
        for topic in (kube.LINK, kube.EVENTS):
            connector.fail(topic, Fault(Health.LOGIN_EXPIRED, "the token has expired", "aws sso login", now, None))
        connector.clock.advance(42)
        await wait_until(pilot, lambda: "stale" in screen_text(app))
        app.room.tick()
        app.room.ages()
        await settle(pilot)
        check_golden("trouble_120x40", screen_text(app))


@pytest.mark.parametrize("keys", [["question_mark"], ["f"], ["z"], ["slash", *"status:crash", "enter"]], ids=str)
async def test_golden_after_keys(keys: list[str]) -> None:
    async with console(fake_session.incident(), (100, 30)) as (app, pilot):
        await pilot.press(*keys)
        await settle(pilot)
        check_golden("keys_" + "".join(k for k in "".join(keys) if k.isalnum()), screen_text(app))


async def test_a_terminal_that_is_too_small_says_so() -> None:
    async with console(fake_session.calm(), (50, 12)) as (app, _):
        assert "50x12 is too small: planc needs 60x20" in screen_text(app)


async def test_cursor_follows_its_object_and_is_lost_with_it() -> None:
    connector = fake_session.calm()
    async with console(connector) as (app, pilot):
        await pilot.press("down", "down")
        widget = pane(app, "pods")
        name = pane_name(widget)
        rows = fake_session.pods_of(connector)
        first = fake_session.pod("aaa-new-pod-1", "CrashLoopBackOff", rank=0)
        connector.store.put(kube.PODS, fake_session.listing([first, *rows]), connector.clock.monotonic())
        await wait_until(pilot, lambda: len(widget.model.rows) == len(rows) + 1)
        assert pane_name(widget) == name
        left = [row for row in rows if row.name != name]
        connector.store.put(kube.PODS, fake_session.listing(left), connector.clock.monotonic())
        await wait_until(pilot, lambda: "is gone" in screen_text(app))
        await pilot.press("enter")
        assert len(app.screen_stack) == 1, "enter on a row that slid under the cursor must open nothing"
        await pilot.press("down", "enter")
        assert isinstance(app.screen, LinesScreen)


async def test_pane_off_the_screen_needs_nothing() -> None:
    connector = fake_session.calm()
    async with console(connector, (80, 24)) as (app, pilot):
        needed = connector.sessions[0].hub._needs
        assert "pane:pods" in needed
        assert "pane:database" not in needed
        await pilot.press("8")
        await settle(pilot)
        assert "pane:database" in needed
        assert "pane:pods" not in needed
        assert "Database" in screen_text(app)


async def test_command_line_runs_names_the_nearest_and_filters() -> None:
    async with console(fake_session.incident()) as (app, pilot):
        await pilot.press("colon", *"queus", "enter")
        assert "did you mean :queue" in screen_text(app)
        await pilot.press("colon", *"pods /oom", "enter")
        await settle(pilot)
        assert app.room.current == "pods"
        assert len(pane(app, "pods").model.rows) == 1
        await pilot.press("escape")
        assert len(pane(app, "pods").model.rows) == 21


async def test_filter_applies_while_typed_and_escape_restores() -> None:
    async with console(fake_session.incident()) as (app, pilot):
        model = pane(app, "pods").model
        await pilot.press("slash", *"oomk")
        await wait_until(pilot, lambda: len(model.rows) == 1)
        await pilot.press("escape")
        await wait_until(pilot, lambda: len(model.rows) == 21)
        await pilot.press("slash", *"re:(", "enter")
        await settle(pilot)
        assert "not a regular expression" in screen_text(app)


async def test_quit_never_waits_for_a_hung_connection() -> None:
    connector = fake_session.calm()
    connector.hang = True
    async with console(connector, connected=False) as (app, pilot):
        await pilot.press("ctrl+c", "q", "escape")
        await settle(pilot)
        assert "connecting" in screen_text(app)
        await pilot.press("colon", "q", "enter")
        await wait_until(pilot, lambda: app._exit)
    assert app.return_code == 0
    connector.release.set()


async def test_a_connection_that_fails_is_said_and_can_be_tried_again() -> None:
    connector = fake_session.calm()
    connector.error = Unreachable("no context named prod", hint="nearest: prod-eu")
    async with console(connector, connected=False) as (app, pilot):
        await wait_until(pilot, lambda: "no context named prod (nearest: prod-eu)" in screen_text(app))
        connector.error = None
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: app.session is not None)
        await settle(pilot)
        assert "not connected" not in screen_text(app)


async def test_another_context_replaces_the_session_as_a_whole() -> None:
    connector = fake_session.incident()
    async with console(connector) as (app, pilot):
        old = connector.sessions[0]
        await pilot.press("colon", *"ctx", "enter")
        await wait_until(pilot, lambda: isinstance(app.screen, Picker) and "staging-eu" in screen_text(app))
        await pilot.press(*"stag", "enter")
        await wait_until(pilot, lambda: len(connector.sessions) == 2 and old.closed)
        await settle(pilot)
        assert connector.asked[-1] == ("staging-eu", None)
        assert app.store is connector.store, "an old store must not reach the screen"


async def test_pause_stands_still_and_says_since_when() -> None:
    connector = fake_session.calm()
    async with console(connector) as (app, pilot):
        await pilot.press("p")
        connector.store.put(kube.PODS, fake_session.listing([]), connector.clock.monotonic())
        await settle(pilot)
        assert "‖ paused at 14:32 UTC" in screen_text(app)
        assert len(pane(app, "pods").model.rows) == 21
        await pilot.press("p")
        await wait_until(pilot, lambda: not pane(app, "pods").model.rows)


async def test_marks_are_kept_when_the_filter_hides_them() -> None:
    async with console(fake_session.incident()) as (app, pilot):
        await pilot.press("space", "space", "slash", *"running", "enter")
        await settle(pilot)
        assert "2 marked, 2 hidden" in screen_text(app)


async def test_save_writes_a_private_file_and_says_where() -> None:
    async with console(fake_session.incident()) as (app, pilot):
        await pilot.press("ctrl+s")
        await settle(pilot)
        folder = Path(os.environ["XDG_STATE_HOME"]) / "planc" / "saved"
        (saved,) = folder.iterdir()
        assert stat.S_IMODE(saved.stat().st_mode) == 0o600
        assert "CrashLoopBackOff" in saved.read_text()
        assert "saved as" in screen_text(app)


async def test_mouse_selects_opens_sorts_and_scrolls() -> None:
    async with console(fake_session.incident()) as (app, pilot):
        widget = pane(app, "pods")
        await pilot.click(widget, offset=(10, 4))
        assert widget.model.cursor == 2
        await pilot.click(widget, offset=(5, 1))
        assert widget.model.sort == "name"
        await pilot.click(pane(app, "queues"), offset=(10, 2))
        assert app.room.current == "queues"
        await pilot.double_click(widget, offset=(10, 4))
        await wait_until(pilot, lambda: isinstance(app.screen, LinesScreen))


async def test_zoom_history_and_neighbours() -> None:
    async with console(fake_session.incident()) as (app, pilot):
        room = app.room
        await pilot.press("right")
        assert room.current == "hpa"
        await pilot.press("ctrl+down")
        assert room.current == "queues"
        await pilot.press("-")
        assert room.current == "hpa"
        await pilot.press("left_square_bracket")
        assert room.current == "queues"
        await pilot.press("0")
        await settle(pilot)
        assert room.on_screen == ("rollouts",), "a pane without a place in this size is shown alone"
        await pilot.press("1", "z")
        await settle(pilot)
        assert room.on_screen == ("pods",)
        await pilot.press("q")
        await settle(pilot)
        assert len(room.on_screen) > 5


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"filtr": "x"}, "the nearest is 'filter'"),
        ({"zoom": "/"}, "/ would mean both"),
        ({"zoom": 3.5}, "needs a key"),
        ({"zoom": "ctrl-hyper-x"}, "there is no key 'ctrl-hyper-x'"),
        ({"zoom": ["Z", "slash"]}, "there is no key 'slash': write the character itself"),
        ({"zoom": "a\x1b[31mb"}, "there is no key 'ab'"),
        ({"command": ""}, "nobody could leave planc"),
    ],
)
def test_rebinding_mistakes_are_said(keys: dict[str, Any], said: str) -> None:
    from planc_tui.ui.app import PlancApp

    with pytest.raises(KeymapError, match=said):
        PlancApp(fake_session.calm(), ConsoleOptions(keys=keys))


async def test_a_key_can_be_moved() -> None:
    async with console(fake_session.calm(), options=ConsoleOptions(keys={"zoom": "F", "filter": ""})) as (app, pilot):
        await pilot.press("F")
        await settle(pilot)
        assert app.room.zoomed == "pods"
        await pilot.press("slash")
        assert not app.room.query_one(Prompt).display


async def test_a_command_typed_in_one_burst_arrives_whole() -> None:
    async with console(fake_session.incident()) as (app, pilot):
        for key in (":", "s", "l", "o", "enter"):
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await settle(pilot)
        assert app.room.current == "slo"


async def test_the_cursor_is_drawn_as_soon_as_its_pane_has_the_focus() -> None:
    async with console(fake_session.incident()) as (app, pilot):
        app.room.ages = app.room.tick = lambda: None  # type: ignore[method-assign]  # the clock draws nothing here
        shown = pane(app, "pods")
        for key, cursor in (("colon", False), ("escape", True), ("2", False), ("1", True)):
            await pilot.press(key)
            await pilot.pause()
            drawn = any(shown.render_line(y).text.startswith("›") for y in range(shown.size.height))
            assert drawn is cursor, f"after {key}"


async def test_picker_starts_at_the_current_word_and_escape_gives_the_keys_back() -> None:
    connector = fake_session.incident()
    async with console(connector) as (app, pilot):
        connector.sessions[0].cluster.answers["/api/v1/namespaces"] = (
            b'{"items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "workflow-scalability"}}]}'
        )
        await pilot.press("colon", *"ns", "enter")
        await wait_until(pilot, lambda: "› workflow-scalability  current" in screen_text(app))
        await pilot.press("escape", "colon", *"stats", "enter")
        await wait_until(pilot, lambda: "requests in the last minute" in screen_text(app))
        await pilot.press("escape", "colon", *"ns", "enter", "a")
        await wait_until(pilot, lambda: "› a" in screen_text(app))
        await pilot.press("enter")
        await wait_until(pilot, lambda: len(connector.sessions) == 2)
        assert connector.asked[-1] == ("prod-eu", "a")


async def test_enter_chooses_nothing_before_the_words_have_arrived(monkeypatch: pytest.MonkeyPatch) -> None:
    connector, there = fake_session.incident(), threading.Event()

    def slow() -> tuple[str, ...]:
        there.wait(5)
        return ("prod-eu", "staging-eu")

    monkeypatch.setattr(connector, "contexts", slow)
    async with console(connector) as (app, pilot):
        await pilot.press("colon", *"ctx", "enter", *"stag", "enter")
        await settle(pilot)
        assert isinstance(app.screen, Picker)
        assert "reading …" in screen_text(app)
        there.set()
        await wait_until(pilot, lambda: "› staging-eu" in screen_text(app))
        await pilot.press("enter")
        await wait_until(pilot, lambda: connector.asked[-1] == ("staging-eu", None))


async def test_details_refresh_search_and_lead_to_the_command_line() -> None:
    connector = fake_session.incident()
    async with console(connector, (100, 30)) as (app, pilot):
        target = pane(app, "pods").target()
        assert target is not None
        cluster = connector.sessions[0].cluster
        cluster.answers[path_of(target)] = json.dumps(
            POD | {"metadata": {"name": target.name, "uid": "other"}}
        ).encode()
        await pilot.press("enter")
        await wait_until(pilot, lambda: "exit code 137" in screen_text(app))
        assert "this is another object of the same name" in screen_text(app)
        await pilot.press("slash", *"limit", "enter")
        await settle(pilot)
        del cluster.answers[path_of(target)]
        await pilot.press("ctrl+r")
        await wait_until(pilot, lambda: "not read at 14:32 UTC" in screen_text(app))
        assert "exit code 137" in screen_text(app), "what was read before stays"
        await pilot.press("escape", "colon", *"queues", "enter")
        await settle(pilot)
        assert len(app.screen_stack) == 1
        assert app.room.current == "queues"


async def test_a_storm_of_sizes_ends_in_the_right_picture() -> None:
    async with console(fake_session.incident(), (120, 40)) as (app, pilot):
        before = screen_text(app)
        for size in ((80, 24), (200, 50), (59, 19), (60, 20), (121, 41), (300, 100), (1, 1), (120, 40)):
            await pilot.resize_terminal(*size)
        await settle(pilot)
        assert screen_text(app) == before


async def test_a_pane_that_took_long_once_is_late_by_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow moment must not keep rows from the screen for many times as long."""
    async with console(fake_session.incident()) as (app, _):
        busy = iter(range(0, 1000, 2))
        monkeypatch.setattr(time, "thread_time", lambda: float(next(busy)))
        app.room._update(["pods"])
        assert 0.0 < app.room._not_before["pods"] - time.monotonic() <= room.LATEST
