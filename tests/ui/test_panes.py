"""Every pane keeps the contract: unique names, and a screen for every state its data can be in."""

from __future__ import annotations

import re
import unicodedata
from functools import partial
from typing import Any

import msgspec
import pytest

from planc_tui.core.cluster import topics as kube
from planc_tui.core.filter import parse_filter
from planc_tui.core.health import Health
from planc_tui.core.store import Fault, Reading
from planc_tui.core.table import Tone
from planc_tui.playbook.loader import default
from planc_tui.sources.queues import QUEUES
from planc_tui.ui import theme
from planc_tui.ui.app import PlancApp
from planc_tui.ui.panes.base import Pane, View
from planc_tui.ui.panes.registry import load_panes
from planc_tui.ui.table_model import TableModel
from tests.ui import fake_session
from tests.ui.kit import console, pane, screen_text, settle, wait_until

PANES = load_panes().panes
HOSTILE = "\x1b]0;owned\x07\x1b[31m[bold]\u202e\x00\n\x9b2J" + "x" * 300
each_pane = pytest.mark.parametrize("tested", PANES, ids=lambda tested: tested.id)


def test_no_pane_fails_to_load() -> None:
    assert load_panes().broken == ()
    assert len(PANES) >= 11


def test_names_numbers_and_aliases_are_unique() -> None:
    for values in (
        [tested.id for tested in PANES],
        [tested.title for tested in PANES],
        [tested.number for tested in PANES if tested.number],
        [alias for tested in PANES for alias in tested.aliases],
    ):
        assert sorted(set(values)) == sorted(values)


@each_pane
def test_declarations_fit_together(tested: Pane[Any]) -> None:
    columns = [column.id for column in tested.columns]
    assert len(set(columns)) == len(columns)
    assert tested.topics
    assert not tested.default_sort or tested.default_sort in columns
    assert any(column.priority == 0 for column in tested.columns)


def view_of(tested: Pane[Any], change: Any = None) -> View:
    """A view of the bad night for one pane, its values changed by `change`."""
    found = fake_session.data(troubled=True)
    readings: dict[str, Reading[Any]] = {}
    for topic in tested.topics:
        if topic.name in found:
            value = found[topic.name][1]
            readings[topic.name] = Reading(topic, change(value) if change else value, 0.0, None, True, 1)
    options = {option.id: True for option in tested.options}
    return View(readings, fake_session.NOW, 1.0, default(), fake_session.NAMESPACE, "prod-eu", options)


@each_pane
def test_rows_sort_filter_and_open(tested: Pane[Any]) -> None:
    view = view_of(tested)
    items = tested.items(view)
    identities = [tested.identity(item) for item in items]
    assert len(set(identities)) == len(identities), "two rows with one identity"
    for item in items:
        cells = tested.cells(item, view)
        spanning = any(cell.span for cell in cells)
        assert spanning or len(cells) == len(tested.columns)
        assert isinstance(tested.detail(item, view), tuple)
        assert all(isinstance(tested.text(item, column.id), str) for column in tested.columns)
        target = tested.target(item, view)
        assert target is None or (target.name and target.context == "prod-eu")
    for column in tested.columns:
        values = [value for item in items if (value := tested.sort_value(item, column.id)) is not None]
        sorted(values)
    assert tested.items(view_of(tested)) is not None


@each_pane
def test_every_column_can_be_filtered_by_its_text(tested: Pane[Any]) -> None:
    view = view_of(tested)
    table: TableModel[Any] = TableModel(tested)
    table.update(tested.items(view))
    columns = [column.id for column in tested.columns]
    for item in tested.items(view):
        for column in columns:
            word = tested.text(item, column).split(" ")[0].strip('"')
            if not word:
                continue
            for typed, passes in ((f"{column}:{word}", True), (f"!{column}:{word}", False)):
                table.set_filter(parse_filter(typed, columns))
                shown = [tested.identity(row) for row in table.rows]
                assert (tested.identity(item) in shown) is passes, typed
        for key, value in tested.labels(item).items():
            table.set_filter(parse_filter(f"label:{key}={value}", columns))
            assert tested.identity(item) in [tested.identity(row) for row in table.rows]


async def test_a_filter_for_labels_says_where_there_are_none() -> None:
    async with console(fake_session.incident()) as (app, pilot):
        await pilot.press("4", "slash", *"label:app=x", "enter")
        await settle(pilot)
        assert "the rows of this pane have no labels" in pane(app, "hpa").notice


@each_pane
async def test_a_saved_table_has_no_empty_column_and_times_that_stay_true(tested: Pane[Any]) -> None:
    async with console(fake_session.incident(), panes=[tested]) as (app, _):
        headings, rows = pane(app, tested.id).table_text()
        assert rows
        assert all(any(column) for column in zip(*rows, strict=True)), headings
        for heading in {"AGE", "SINCE"} & set(headings):
            assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT[\d:]{8}Z", row[headings.index(heading)]) for row in rows)


def spoil(value: Any) -> Any:
    """The same value with every text in it hostile, except those that are looked up or compared."""
    if isinstance(value, str):
        return value + HOSTILE
    if isinstance(value, msgspec.Struct):
        spoiled = {name: spoil(getattr(value, name)) for name in value.__struct_fields__ if name not in _KEPT}
        return msgspec.structs.replace(value, **spoiled)
    if isinstance(value, tuple):
        return tuple(spoil(part) for part in value)
    return value


_KEPT = frozenset(("uid", "object_uid", "owner_uid", "kind", "unit", "query", "type"))


@each_pane
async def test_hostile_text_shows_harmlessly(tested: Pane[Any]) -> None:
    connector = fake_session.incident()
    connector.data = {name: (topic, spoil(value)) for name, (topic, value) in connector.data.items()}
    async with console(connector, (120, 30), panes=[tested]) as (app, _):
        shown = screen_text(app)
        assert not [c for c in shown if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs")]
        assert all(len(line) <= 120 for line in shown.split("\n"))


def shows(app: PlancApp, text: str) -> bool:
    """Whether the screen has this text."""
    return text in screen_text(app)


@each_pane
async def test_every_state_has_its_word(tested: Pane[Any]) -> None:
    connector = fake_session.incident()
    topic = tested.topics[0]
    now = connector.clock.monotonic()
    states = [
        (Health.UNREACHABLE, "connection refused", "", "stale"),
        (Health.DENIED, "may not list things", "ask for the role", "denied"),
        (Health.LOGIN_EXPIRED, "the token has expired", "aws sso login", "aws sso login"),
        (Health.NOT_CONFIGURED, "no way to it", "systems.postgres", "systems.postgres"),
    ]
    async with console(connector, (100, 30), panes=[tested]) as (app, pilot):
        assert any(f"{tested.title}  " in line and line.endswith("●") for line in screen_text(app).split("\n"))
        for health, message, hint, word in states:
            connector.fail(topic, Fault(health, message, hint, now, now + 3))
            await wait_until(pilot, partial(shows, app, message), message)
            await wait_until(pilot, partial(shows, app, word), word)


def style_of(app: PlancApp, text: str) -> Any:
    """How the screen shows this text."""
    strips = app.screen._compositor.render_strips()
    return next(segment.style for strip in strips for segment in strip if text in segment.text)


async def test_an_empty_pane_that_is_live_is_quiet_and_one_that_is_not_is_loud() -> None:
    connector = fake_session.calm()
    async with console(connector) as (app, pilot):
        now = connector.clock.monotonic()
        connector.store.put(kube.HPAS, fake_session.listing([]), now)
        connector.fail(QUEUES, Fault(Health.DENIED, "may not look", "", now, None))
        await wait_until(pilot, lambda: shows(app, "no autoscalers") and shows(app, "may not look"))
        assert style_of(app, "no autoscalers").color == theme.tone_style(Tone.DIM).color
        assert style_of(app, "may not look").color == theme.tone_style(Tone.WARN).color


@each_pane
async def test_without_data_the_reason_stands_in_the_body(tested: Pane[Any]) -> None:
    connector = fake_session.incident()
    connector.data = {name: pair for name, pair in connector.data.items() if name == "link"}
    async with console(connector, (100, 30), panes=[tested]) as (app, pilot):
        now = connector.clock.monotonic()
        connector.store.want(tested.topics[0], True)
        connector.fail(tested.topics[0], Fault(Health.UNREACHABLE, "no answer within 10 s", "", now, now + 3))
        await wait_until(pilot, lambda: "no answer within 10 s" in screen_text(app))
        assert "✖ unreachable" in screen_text(app)
        assert "next try within 5s" in screen_text(app)


async def test_a_pane_that_raises_concerns_itself_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = next(tested for tested in PANES if tested.id == "queues")

    def fail(*_: object) -> Any:
        raise RuntimeError("a bug")

    monkeypatch.setattr(type(broken), "cells", fail)
    async with console(fake_session.incident()) as (app, pilot):
        assert "planc: this pane failed (logged)" in screen_text(app)
        assert "CrashLoopBackOff" in screen_text(app)
        monkeypatch.setattr(type(broken), "items", fail)
        monkeypatch.setattr(type(broken), "summary", fail)
        await pilot.press("5", "down", "enter", "1", "down")
        await settle(pilot)
        assert pane(app, "pods").model.current() is not None
