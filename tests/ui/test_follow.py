"""What is opened stays true while it is read: it follows its object, or says that it is gone or old."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from planc_tui.core.cluster import topics as kube
from planc_tui.core.health import Health
from planc_tui.core.store import Fault
from planc_tui.sources.database import DATABASE
from planc_tui.sources.findings import FINDINGS, rule_topics
from planc_tui.sources.queues import QUEUES
from planc_tui.ui.screens.findings import FindingsScreen
from planc_tui.ui.screens.lines_screen import LinesScreen
from tests.ui import fake_session
from tests.ui.fake_session import FakeConnector
from tests.ui.kit import CountingDriver, console, pane, screen_text, settle, wait_until


def put(connector: FakeConnector, topic: Any, value: Any) -> None:
    """A newer value, read now."""
    connector.store.put(topic, value, connector.clock.monotonic())


def followed(app: Any) -> str:
    """The screen after it looked again."""
    assert isinstance(app.screen, LinesScreen)
    app.screen.follow()
    return screen_text(app)


async def test_details_of_a_queue_follow_it_until_it_is_gone() -> None:
    connector = fake_session.incident()
    async with console(connector) as (app, pilot):
        await pilot.press("5", "g", "enter")
        await wait_until(pilot, lambda: "ready         1,841" in screen_text(app))
        status = app.store.get(QUEUES).value
        assert status is not None
        rows = tuple(
            replace(row, stat=replace(row.stat, ready=90)) if row.stat.name == "tasks" else row for row in status.rows
        )
        put(connector, QUEUES, replace(status, rows=rows))
        await wait_until(pilot, lambda: "ready         90" in followed(app), "the newer depth")
        connector.fail(QUEUES, Fault(Health.UNREACHABLE, "connection refused", "", connector.clock.monotonic(), None))
        connector.clock.advance(42)
        app.room.tick()
        await wait_until(pilot, lambda: "stale" in followed(app), "the age")
        put(connector, QUEUES, replace(status, rows=()))
        await wait_until(pilot, lambda: "gone since 14:32 UTC; this is what was last known" in followed(app))
        assert "ready         90" in screen_text(app)


async def test_details_that_do_not_change_cost_no_byte() -> None:
    async with console(fake_session.incident(), counting=True) as (app, pilot):
        await pilot.press("9", "enter")
        await settle(pilot)
        CountingDriver.sent.clear()
        followed(app)
        await pilot.pause(0.05)
        assert CountingDriver.sent == []


async def test_findings_follow_and_lead_to_their_procedure() -> None:
    connector = fake_session.incident()
    async with console(connector) as (app, pilot):
        await pilot.press("f")
        await settle(pilot)
        found = app.store.get(FINDINGS).value
        assert found is not None
        assert f"› ✖ P1 {found[0].text}" in screen_text(app)
        await pilot.press("down")
        assert f"› ✖ P1 {found[1].text}" in screen_text(app)
        put(connector, FINDINGS, found[1:])
        await wait_until(pilot, lambda: found[0].text not in followed(app), "the finding that went")
        assert f"› ✖ P1 {found[1].text}" in screen_text(app), "the cursor stays on its finding"
        await pilot.press("enter")
        await wait_until(pilot, lambda: app.room.guide.open, "the procedure")
        procedure = connector.sessions[0].playbook.procedure(found[1].procedure)
        assert procedure is not None
        assert procedure.title.of("en") in screen_text(app)


async def test_findings_without_a_look_claim_nothing() -> None:
    connector = fake_session.calm()
    async with console(connector) as (app, pilot):
        await pilot.press("f", "enter")
        assert isinstance(app.screen, FindingsScreen)
        assert "nothing is wrong that the playbook's rules know of" in screen_text(app)
        connector.fail(FINDINGS, Fault(Health.UNREACHABLE, "away", "", connector.clock.monotonic(), None))
        await wait_until(pilot, lambda: "the rules cannot tell" in followed(app))


async def test_nothing_is_found_only_where_everything_is_known() -> None:
    connector = fake_session.calm()
    async with console(connector) as (app, pilot):
        assert "● nothing found by the playbook's rules" in screen_text(app)
        now = connector.clock.monotonic()
        connector.fail(QUEUES, Fault(Health.NOT_CONFIGURED, "no way to it", "", now, None))
        await wait_until(pilot, lambda: "no way to it" in screen_text(app))
        assert "● nothing found by the playbook's rules" in screen_text(app), "that is no gap"
        connector.fail(DATABASE, Fault(Health.DENIED, "password authentication failed", "", now, None))
        words = "? nothing found, but the rules do not know database now"
        await wait_until(pilot, lambda: words in screen_text(app))
        await pilot.press("f")
        await settle(pilot)
        assert words in screen_text(app)


async def test_before_the_first_answers_nothing_is_claimed() -> None:
    connector = fake_session.calm()
    connector.data = {name: pair for name, pair in connector.data.items() if name in ("link", "findings")}
    async with console(connector) as (app, pilot):
        for topic in rule_topics(connector.sessions[0].playbook):
            connector.store.want(topic, True)
        app.room.tick()
        await settle(pilot)
        assert "nothing found" not in screen_text(app)


async def test_statistics_are_of_now() -> None:
    connector = fake_session.calm()
    async with console(connector) as (app, pilot):
        await pilot.press("colon", *"stats", "enter")
        await settle(pilot)
        before = screen_text(app)
        connector.sessions[0].stats.request("queues", connector.clock.monotonic())
        assert followed(app) != before


@pytest.mark.parametrize(("exists", "said"), [(True, ""), (False, "there is no namespace workflow-scalability here")])
async def test_a_namespace_that_does_not_exist_is_no_empty_one(exists: bool, said: str) -> None:
    connector = fake_session.calm()
    async with console(connector) as (app, pilot):
        cluster = connector.sessions[0].cluster
        cluster.answers["/api/v1/namespaces"] = b'{"items": [{"metadata": {"name": "workflow-scalable"}}]}'
        if exists:
            cluster.answers["/api/v1/namespaces/workflow-scalability"] = b'{"kind": "Namespace"}'
        assert ("GET", "/api/v1/namespaces/workflow-scalability") not in cluster.asked, (
            "asked only when nothing is there"
        )
        put(connector, kube.PODS, fake_session.listing([]))
        await wait_until(pilot, lambda: "no pods in" in screen_text(app))
        app.room.tick()
        await wait_until(pilot, lambda: any(path.endswith("/workflow-scalability") for _, path in cluster.asked))
        await settle(pilot)
        app.room.tick()
        await settle(pilot)
        assert ("there is no namespace" in screen_text(app)) is not exists
        assert said in screen_text(app)
        assert exists or "did you mean :ns workflow-scalable?" in screen_text(app)
        asked = len(cluster.asked)
        app.room.tick()
        await settle(pilot)
        assert len(cluster.asked) == asked, "once a minute at most"


async def test_a_paused_pane_follows_its_switches() -> None:
    async with console(fake_session.incident()) as (app, pilot):
        await pilot.press("p", "ctrl+z")
        assert len(pane(app, "pods").model.rows) == 3
        await pilot.press("7", "p")
        warnings = len(pane(app, "events").model.rows)
        await pilot.press("e")
        assert len(pane(app, "events").model.rows) > warnings


async def test_what_is_too_long_to_copy_is_not_said_to_be_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planc_tui.core.osc52.LONGEST", 3)
    async with console(fake_session.calm()) as (app, pilot):
        await pilot.press("c")
        await settle(pilot)
        assert "save to a file instead" in screen_text(app)
        assert "copied" not in screen_text(app)
