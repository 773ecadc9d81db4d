"""What an incident looks like at its edges: the clock at boundary times, the banners, and the small screen."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from textual.widgets import Input, TextArea

from planc_tui.core.table import Tone
from planc_tui.core.text import cell_width
from planc_tui.desk.desk import Command
from planc_tui.incident import kinds
from planc_tui.incident.clockview import Call, ClockView, clock_view
from planc_tui.incident.lifecycle import Declaration, escalate, write
from planc_tui.incident.model import State
from planc_tui.playbook.model import Contact
from planc_tui.ui.big_digits import big
from planc_tui.ui.incident_text import (
    NOBODY,
    Part,
    big_number,
    fitting_clock_rows,
    head_line,
    narrow_clock_rows,
    quiet_line,
)
from planc_tui.ui.screens.form import Form
from planc_tui.ui.screens.incident import IncidentScreen
from planc_tui.ui.widgets.clock_bar import ClockBar
from tests.contract.recorder import Recorder, recording
from tests.ui.kit import screen_text, wait_until
from tests.ui.test_incident_screens import Room, fill, opened, shown
from tests.unit.incident_kit import ALICE

MINUTE = 60.0
NEXT = "nobody has acknowledged: L2 senior developer by PagerDuty in 14:59"
ROOM_AT_80 = 80 - 22  # cells beside digits of five characters


def text_of(rows: tuple[tuple[Part, ...], ...]) -> list[str]:
    return ["".join(text for text, _ in row).rstrip() for row in rows]


def view_at(tmp_path: Path, seconds: float) -> ClockView:
    """The clock of an incident that nobody has acknowledged, so many seconds after its declaration."""
    with recording() as recorder:
        room = Room(tmp_path / "journal.db", recorder)
        answer = room.desk.declare(Declaration("the site is down", "P1"))
        assert answer.incident is not None
        return clock_view(answer.incident, answer.incident.declared_at + seconds)


@pytest.mark.parametrize(
    ("seconds", "level", "left"),
    [
        (14 * MINUTE + 59, "L1", "L2 senior developer by PagerDuty in 00:01"),
        (15 * MINUTE, "L2", "L3 tech lead by phone in 15:00"),
        (29 * MINUTE + 59, "L2", "L3 tech lead by phone in 00:01"),
        (30 * MINUTE, "L3", "L4 CTO by emergency line in 30:00"),
    ],
)
def test_the_small_clock_says_everything_at_boundary_times(
    tmp_path: Path, seconds: float, level: str, left: str
) -> None:
    first, second, third = text_of(narrow_clock_rows(view_at(tmp_path, seconds)))
    assert first == f"{level} nobody has acknowledged:"
    assert second == left
    assert "P1 deadline" in third or "deadline passed" in third
    assert all(cell_width(line) <= ROOM_AT_80 for line in (first, second, third))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5 * MINUTE - 1, "initial message due in 00:01"),
        (5 * MINUTE, "initial message due in 00:00"),
        (5 * MINUTE + 1, "initial message OVERDUE by 00:01"),
        (30 * MINUTE + 1, "deadline passed by 00:01"),
    ],
)
def test_what_is_late_says_so_in_a_word(tmp_path: Path, seconds: float, words: str) -> None:
    assert words in " ".join(text_of(narrow_clock_rows(view_at(tmp_path, seconds))))


@pytest.mark.parametrize(("width", "first"), [
    (178, f"L1 on-call developer by Slack #incidents   {NEXT}"),
    (98, f"L1   {NEXT}"),
    (58, "L1 nobody has acknowledged:"),
])  # fmt: skip  # rows as a person reads them
def test_the_clock_says_as_much_as_fits_uncut(tmp_path: Path, width: int, first: str) -> None:
    rows = fitting_clock_rows(view_at(tmp_path, 1), width)
    assert text_of(rows)[0] == first
    assert all(cell_width(line) <= width for line in text_of(rows))


@pytest.mark.parametrize("width", [178, 98, 58])
def test_a_level_that_no_channel_reaches_is_red_at_every_size(tmp_path: Path, width: int) -> None:
    view = replace(view_at(tmp_path, 1), unreached=("L1",))
    rows = fitting_clock_rows(view, width)
    assert next(tone for row in rows for text, tone in row if "L1 " in text and "reached" in text) is Tone.CRIT
    assert all(cell_width(line) <= width for line in text_of(rows))


def test_who_has_to_be_called_comes_first_on_a_small_screen(tmp_path: Path) -> None:
    view = replace(view_at(tmp_path, 31 * MINUTE), calls=(Call("p", "L3", "tech lead", "+33 6 12 34 56 78"),))
    assert text_of(narrow_clock_rows(view))[0].startswith("CALL tech lead +33 6 12 34 56 78")


@pytest.mark.parametrize(
    ("keeper", "trouble", "fragile", "said", "tone"),
    [
        ("", "", False, NOBODY, Tone.CRIT),
        ("host", "disk full", False, "the journal cannot be written: disk full", Tone.CRIT),
        ("host", "", True, "only a console pages", Tone.WARN),
        ("host", "", False, "the site is down", Tone.CRIT),
        ("host", "", False, "♥", Tone.OK),
    ],
)
def test_the_banner_names_what_would_keep_people_unpaged(
    tmp_path: Path, keeper: str, trouble: str, fragile: bool, said: str, tone: Tone
) -> None:
    parts = head_line(view_at(tmp_path, 1), keeper, trouble, fragile=fragile)
    assert next(shade for text, shade in parts if said in text) is tone


def test_a_quiet_evening_says_when_nobody_would_page() -> None:
    assert quiet_line("", "")[1] == ("   ▲ no escalator runs: planc escalator install", Tone.WARN)
    assert quiet_line("host", "")[1] == ("   ♥ host keeps the clock", Tone.DIM)
    assert quiet_line("host", "disk full")[0][1] is Tone.CRIT


@pytest.mark.parametrize(
    ("number", "lines"),
    [
        ("+33 1 00 00 00 03", 1),
        ("+33 800 000 000 000 000 000", 2),
        ("112", 1),
        ("", 0),
    ],
)
def test_a_number_to_call_is_large_and_broken_at_its_spaces(number: str, lines: int) -> None:
    rows = big_number(number)
    assert len(rows) == 3 * lines
    assert all(cell_width(row) <= 70 for row in rows)
    if lines == 1:
        assert rows == big(number)


def test_what_is_no_number_is_shown_as_it_is() -> None:
    assert big_number("ask the desk") == ("ask the desk",)
    assert "\x1b" not in "".join(big_number("1\x1b[2J"))


def test_every_digit_of_the_clock_is_as_wide_as_every_other() -> None:
    assert len({tuple(len(row) for row in big(f"{n}{n}:{n}{n}")) for n in range(10)}) == 1
    assert len(set(big("-01:23"))) == 3


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(tmp_path / "journal.db", Recorder())


async def test_the_clock_takes_no_room_without_an_incident_and_stays_with_one(room: Room) -> None:
    async with opened(room, (80, 24)) as (app, pilot):
        assert not app.screen.query_one(ClockBar).display
        assert room.desk.declare(Declaration("down", "P0")).ok
        await shown(app, pilot, "nobody has acknowledged:")
        assert "L2 senior developer by PagerDuty in" in screen_text(app)
        assert app.screen.query_one(ClockBar).size.height == 3


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 50)])
async def test_one_key_and_three_yeses_declare_at_every_size(room: Room, size: tuple[int, int]) -> None:
    async with opened(room, size) as (app, pilot):
        await wait_until(pilot, lambda: app.room.findings != (), "the findings")
        began = time.monotonic()
        await pilot.press("I")
        await shown(app, pilot, "P1 major")
        text = screen_text(app)
        for beside in ("what is seen, in one line", "P0 critical", "minutes since the impact began"):
            assert beside in text
        assert app.screen.query_one("#param-severity", Input).value == "P1", "the worst finding's"
        await pilot.press("enter", "enter", "enter")
        await shown(app, pilot, "nobody has acknowledged")
        assert time.monotonic() - began < 10
        assert room.incident.title == "P95 2.4 s, above 2 s for 3 min"
        assert room.incident.impact_start is not None


async def test_escape_declares_nothing(room: Room) -> None:
    async with opened(room, (80, 24)) as (app, pilot):
        await pilot.press("I")
        await wait_until(pilot, lambda: isinstance(app.screen, Form), "the form")
        await pilot.press("enter", "enter", "escape")
        await pilot.pause(0.2)
        assert room.desk.board.incidents == ()
        assert all(not event.incident for event in room.journal.events())


async def test_a_severity_that_is_none_is_refused_and_said(room: Room) -> None:
    async with opened(room) as (app, pilot):
        await pilot.press("I")
        await wait_until(pilot, lambda: isinstance(app.screen, Form), "the form")
        await fill(pilot, "", "P9", "")
        await shown(app, pilot, "P9")
        assert room.desk.board.incidents == ()


async def test_a_message_that_is_left_is_kept_for_the_next_look(room: Room) -> None:
    async with opened(room) as (app, pilot):
        assert room.desk.declare(Declaration("down", "P0")).ok
        await shown(app, pilot, "nobody has acknowledged")
        await pilot.press("I")
        await wait_until(pilot, lambda: isinstance(app.screen, IncidentScreen), "the incident")
        await pilot.press("m")
        await wait_until(pilot, lambda: bool(app.screen.query(TextArea)), "the editor")
        app.screen.query_one(TextArea).text = "half a sentence"
        await pilot.press("escape")
        await wait_until(pilot, lambda: isinstance(app.screen, IncidentScreen), "the incident")
        await pilot.press("m")
        await wait_until(pilot, lambda: bool(app.screen.query(TextArea)), "the editor")
        assert app.screen.query_one(TextArea).text == "half a sentence"


async def test_resolving_without_proof_asks_for_a_reason(room: Room) -> None:
    async with opened(room, (80, 24)) as (app, pilot):
        assert room.desk.declare(Declaration("down", "P0")).ok
        await shown(app, pilot, "nobody has acknowledged")
        await pilot.press("I")
        await wait_until(pilot, lambda: isinstance(app.screen, IncidentScreen), "the incident")
        await pilot.press("R")
        await wait_until(pilot, lambda: isinstance(app.screen, Form) and app.screen.query(Input), "the form")
        await pilot.press("enter")
        await shown(app, pilot, "not proven")
        assert room.incident.state.active


async def test_points_that_tick_themselves_show_it_and_say_what_they_wait_for(room: Room) -> None:
    async with opened(room) as (app, pilot):
        assert room.desk.declare(Declaration("down", "P0")).ok
        await shown(app, pilot, "nobody has acknowledged")
        await pilot.press("I")
        await wait_until(pilot, lambda: isinstance(app.screen, IncidentScreen), "the incident")
        await pilot.press("tab", "tab")
        await shown(app, pilot, "ticks itself: write a to-do with an owner, t")
        await pilot.press("t")
        await wait_until(pilot, lambda: isinstance(app.screen, Form), "the form")
        await fill(pilot, "a limit", "ana", "", "")
        await shown(app, pilot, "1 with an owner")
        assert "6 ●" in screen_text(app)


async def test_a_call_is_shown_large_and_who_answered_is_recorded(room: Room) -> None:
    contacts = tuple(replace_number(contact, "+33 1 00 00 00 03") for contact in room.playbook.contacts)
    room.playbook = msgspec.structs.replace(room.playbook, contacts=contacts)
    async with opened(room, (80, 24)) as (app, pilot):
        assert room.desk.declare(Declaration("down", "P0")).ok
        await shown(app, pilot, "nobody has acknowledged")
        await pilot.press("I")
        await pilot.press("p")
        await shown(app, pilot, "tech-lead")
        await fill(pilot, "tech-lead", "phone", "")
        await wait_until(pilot, lambda: bool(clock_view(room.incident, room.clock.now()).calls), "the call")
        await shown(app, pilot, big("+33 1 00 00 00 03")[0])
        await pilot.press("o")
        await shown(app, pilot, "Call tech lead")
        assert big("+33 1 00 00 00 03")[1] in screen_text(app)
        await fill(pilot, "Dana, at home")
        await wait_until(pilot, lambda: room.incident.pages[-1].reached == "Dana, at home", "the record")
        assert clock_view(room.incident, room.clock.now()).calls == ()


def replace_number(contact: Contact, number: str) -> Contact:
    return msgspec.structs.replace(contact, number=number)


async def test_a_call_without_a_number_says_so(room: Room) -> None:
    async with opened(room, (80, 24)) as (app, pilot):
        assert room.desk.declare(Declaration("down", "P0")).ok
        await shown(app, pilot, "nobody has acknowledged")
        assert room.desk.do(room.incident.id, lambda i, now: escalate(i, ALICE, now, "now", "L3")).ok
        await shown(app, pilot, "CALL tech lead (no number in the playbook)")


@pytest.mark.parametrize(("word", "suspected", "drill"), [("suspect", True, False), ("drill", False, True)])
async def test_a_suspicion_and_a_drill_are_declared_from_the_console(
    room: Room, word: str, suspected: bool, drill: bool
) -> None:
    async with opened(room, (80, 24)) as (app, pilot):
        await pilot.press(":", *word, "enter")
        await wait_until(pilot, lambda: isinstance(app.screen, Form), "the form")
        await fill(pilot, "strange smell", "", "")
        await wait_until(pilot, lambda: room.desk.board.incidents != (), "the declaration")
        assert (room.incident.state is State.SUSPECTED, room.incident.drill) == (suspected, drill)
        if suspected:
            await shown(app, pilot, "suspected: confirm it or cancel it")
            await pilot.press("I")
            await shown(app, pilot, "Timeline")
            await pilot.press("y")
            await wait_until(pilot, lambda: room.incident.state is State.OPEN, "the confirmation")


async def test_an_incident_is_taken_up_from_an_alert_and_from_anywhere(room: Room) -> None:
    async with opened(room, (200, 50)) as (app, pilot):
        await pilot.press("ctrl+k")
        await shown(app, pilot, "no incident is open")
        await pilot.press(":", *"alerts", "enter")
        await wait_until(pilot, lambda: app.room.pane.target() is not None, "a row")
        await pilot.press("ctrl+k")
        await wait_until(pilot, lambda: isinstance(app.screen, Form), "the form")
        await fill(pilot, "", "", "")
        await shown(app, pilot, "nobody has acknowledged")
        assert room.incident.detected_by == "alert LatencyHigh"
        await pilot.press("ctrl+k")
        await wait_until(pilot, lambda: room.incident.state is State.ACKNOWLEDGED, "the acknowledgement")
        noted = [entry.event.summary for entry in room.incident.entries]
        assert "taken up from alert LatencyHigh" in noted


async def test_a_to_do_is_done_by_its_number(room: Room) -> None:
    async with opened(room, (120, 40)) as (app, pilot):
        assert room.desk.declare(Declaration("down", "P0")).ok
        await shown(app, pilot, "nobody has acknowledged")
        for text in ("first", "second"):
            command = write_todo(text)
            assert room.desk.do(room.incident.id, command).ok
        await pilot.press("I")
        await shown(app, pilot, "Timeline")
        await pilot.press("tab", "tab")
        await shown(app, pilot, " 2 ○ second (carol, no date)")
        await pilot.press("d")
        await shown(app, pilot, "1 first; 2 second")
        await fill(pilot, "2")
        await wait_until(pilot, lambda: [todo.done for todo in room.incident.todos] == [False, True], "the to-do")


def write_todo(text: str) -> Command:
    return lambda incident, now: write(incident, ALICE, now, kinds.TODO, text, owner="carol")
