"""An incident lived through by keyboard alone, with a real journal, a keeper and a recording server."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import TextArea

from planc_tui.backends.notifiers.senders import PagerDuty, Slack
from planc_tui.core.findings import Facts
from planc_tui.core.notify import Sender
from planc_tui.core.secret import Secret
from planc_tui.core.store import Store
from planc_tui.desk.desk import Desk
from planc_tui.desk.dispatch import Dispatcher
from planc_tui.desk.escalator import Escalator
from planc_tui.desk.feed import CONSOLE, DeskFeed
from planc_tui.desk.policy import policy_of
from planc_tui.desk.scribe import Scribe
from planc_tui.incident.escalation import ESCALATOR
from planc_tui.incident.lifecycle import Declaration
from planc_tui.incident.model import Incident, State
from planc_tui.journal import Journal, Unwritable
from planc_tui.journal.lease import Lease
from planc_tui.playbook.loader import default
from planc_tui.sources.hub import Hub
from planc_tui.ui.app import PlancApp
from tests.contract.recorder import Recorder, recording
from tests.ui import fake_session
from tests.ui.fake_session import FakeConnector, FakeSession
from tests.ui.kit import console, screen_text, wait_until
from tests.unit.incident_kit import ALICE

KEY = "e93facc04764012d7bfb002500d5d1a6"


class Room(FakeConnector):
    """The bad night with a desk: sessions write into one journal, and a keeper pages through the recorder."""

    def __init__(self, path: Path, recorder: Recorder) -> None:
        super().__init__(fake_session.data(troubled=True))
        self.playbook = msgspec.structs.replace(default(), language="en")
        self.journal = Journal.open(path, self.clock, "boot")
        policy = policy_of(self.playbook, environment="PROD", context="prod-eu")
        self.desk = Desk(self.journal, policy, ALICE)
        self._recorder = recorder

    def connect(self, store: Store, context: str | None, namespace: str | None) -> FakeSession:
        session = super().connect(store, context, namespace)
        session.desk = self.desk
        session.playbook = self.playbook
        feed = DeskFeed(
            self.desk, store, self.clock, self.keeper, Scribe(self.desk, store, self.playbook, self.clock, _facts)
        )
        session.hub = Hub([session.feed, feed], self.clock)
        feed.start()
        return session

    def keeper(self) -> Escalator:
        senders: dict[str, Sender] = {
            "incidents": Slack("Slack", lambda: Secret(f"{self._recorder.url}/services/T0/B0/x"), self.clock),
            "pagerduty": PagerDuty("PagerDuty", lambda: Secret(KEY), self.clock, self._recorder.url),
        }
        dispatcher = Dispatcher(self.journal, senders, ESCALATOR, self.clock)
        return Escalator(self.journal, Lease(self.journal.path), dispatcher, ALICE, self.clock, note=CONSOLE)

    @property
    def incident(self) -> Incident:
        self.desk.board.refresh()
        [incident] = self.desk.board.incidents
        return incident

    def stop(self) -> None:
        for session in self.sessions:
            session.hub.stop()


def _facts() -> Facts:
    return {}


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as running:
        yield running


@asynccontextmanager
async def opened(room: Room, size: tuple[int, int] = (120, 40)) -> AsyncIterator[tuple[PlancApp, Pilot[Any]]]:
    try:
        async with console(room, size) as (app, pilot):
            yield app, pilot
    finally:
        room.stop()


async def fill(pilot: Pilot[Any], *values: str) -> None:
    """Type over the lines of a form, the last Enter sends it."""
    for value in values:
        if value:
            await pilot.press("ctrl+u", *("space" if char == " " else char for char in value))
        await pilot.press("enter")


async def shown(app: PlancApp, pilot: Pilot[Any], text: str) -> None:
    await wait_until(pilot, lambda: text in screen_text(app), f"“{text}” on the screen")


async def test_an_incident_is_lived_through_by_keyboard_alone(tmp_path: Path, recorder: Recorder) -> None:
    room = Room(tmp_path / "journal.db", recorder)
    async with opened(room) as (app, pilot):
        await pilot.press("I")
        await shown(app, pilot, "Declare an incident")
        await fill(pilot, "", "", "4")
        await wait_until(pilot, lambda: room.desk.board.incidents != (), "the declaration")
        assert room.incident.title == "P95 2.4 s, above 2 s for 3 min"
        assert room.incident.severity == "P1"
        await shown(app, pilot, "nobody has acknowledged: L2")
        await wait_until(pilot, lambda: len(recorder.taken()) == 1, "the page of L1")

        room.clock.advance(15 * 60)
        await wait_until(pilot, lambda: len(recorder.taken()) == 2, "the page of L2")
        assert recorder.taken()[-1].body["event_action"] == "trigger"
        await pilot.press("I")
        await shown(app, pilot, "Timeline")
        await pilot.press("a")
        await wait_until(pilot, lambda: list(recorder.incidents.values()) == ["acknowledge"], "the acknowledgement")

        await pilot.press("w")
        await shown(app, pilot, "enter")
        await fill(pilot, "deploy by CI", "6")
        await wait_until(pilot, lambda: room.incident.entries[-1].event.summary == "deploy by CI", "the note")
        await pilot.press("s")
        await fill(pilot, "P0", "all requests fail")
        await wait_until(pilot, lambda: room.incident.severity == "P0", "the severity")

        await _send(app, pilot, "We roll back.")
        await wait_until(pilot, lambda: len(recorder.taken()) == 4, "the first message")
        assert recorder.taken()[-1].body["blocks"][2]["text"]["text"] == "We roll back."

        await pilot.press("M")
        await fill(pilot, "rolled back")
        await wait_until(pilot, lambda: room.incident.state is State.MITIGATED, "mitigated")
        await pilot.press("R")
        await fill(pilot, "the vendor confirmed it")
        await wait_until(pilot, lambda: list(recorder.incidents.values()) == ["resolve"], "the resolution")
        assert room.incident.proof is not None
        assert room.incident.proof.override == "the vendor confirmed it"
        await _send(app, pilot, "It is over.")
        await wait_until(pilot, lambda: len(recorder.taken()) == 6, "the last message")

        for name, value in (("root_cause", "pool too small"), ("review_date", "2026-11-27")):
            await pilot.press("F")
            await fill(pilot, name, value)
            await wait_until(pilot, lambda: room.incident.facts.get(name) == value, name)  # noqa: B023  # awaited here
        await pilot.press("C")
        await shown(app, pilot, "points of the checklist are open")
        assert room.incident.state is State.RESOLVED


async def _send(app: PlancApp, pilot: Pilot[Any], text: str) -> None:
    """Write a message over the template, look at it, send it."""
    await pilot.press("m")
    await wait_until(pilot, lambda: bool(app.screen.query(TextArea)), "the editor")
    app.screen.query_one(TextArea).text = text
    await pilot.press("ctrl+g")
    await shown(app, pilot, "y sends it")
    await pilot.press("y")


async def test_an_incident_is_declared_from_the_alert_under_the_cursor(tmp_path: Path, recorder: Recorder) -> None:
    room = Room(tmp_path / "journal.db", recorder)
    async with opened(room, (200, 50)) as (app, pilot):
        await pilot.press(":", *"alerts", "enter")
        await wait_until(pilot, lambda: app.room.pane.target() is not None, "a row")
        await pilot.press("I")
        await fill(pilot, "", "", "")
        await wait_until(pilot, lambda: room.desk.board.incidents != (), "the declaration")
        assert room.incident.title == "LatencyHigh: P95 2.4 s"
        assert room.incident.detected_by == "alert LatencyHigh"
        assert room.incident.detected_at == fake_session.NOW - 180


async def test_a_template_with_gaps_is_named_and_not_sent(tmp_path: Path, recorder: Recorder) -> None:
    room = Room(tmp_path / "journal.db", recorder)
    async with opened(room) as (app, pilot):
        await pilot.press("I")
        await fill(pilot, "", "", "")
        await shown(app, pilot, "nobody has acknowledged")
        await pilot.press("I")
        await shown(app, pilot, "Timeline")
        await pilot.press("m")
        await shown(app, pilot, "to fill in: impact")
        await pilot.press("ctrl+g")
        await shown(app, pilot, "y sends it")
        await pilot.press("y")
        await shown(app, pilot, "the message lacks: impact")
        assert room.incident.messages == ()


async def test_another_console_is_seen_within_a_second_and_its_text_is_harmless(
    tmp_path: Path, recorder: Recorder
) -> None:
    room = Room(tmp_path / "journal.db", recorder)
    other = Desk(Journal.open(room.journal.path, room.clock, "boot"), room.desk.policy, ALICE)
    async with opened(room, (80, 24)) as (app, pilot):
        assert other.declare(Declaration("down \x1b[31m[bold]for all\u202e", "P0")).ok
        await shown(app, pilot, "[bold]for all")
        assert "\x1b" not in screen_text(app)
        assert "\u202e" not in screen_text(app)
    other.journal.close()


async def test_a_journal_that_cannot_be_written_shows_a_banner(
    tmp_path: Path, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = Room(tmp_path / "journal.db", recorder)
    full = threading.Event()
    beat = Journal.beat

    def fails(self: Journal, sign: Any) -> None:
        if full.is_set():
            raise Unwritable("the journal's disk is full", "free space")
        beat(self, sign)

    monkeypatch.setattr(Journal, "beat", fails)
    async with opened(room) as (app, pilot):
        await shown(app, pilot, "no incident open")
        full.set()
        room.clock.advance(20)
        await shown(app, pilot, "the journal's disk is full")
        full.clear()
        room.clock.advance(20)
        await shown(app, pilot, "no incident open")
