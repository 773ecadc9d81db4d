"""The ladder when its keeper dies, doubles, is slow, or its channels fail."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from planc_tui.core.clock import FakeClock
from planc_tui.core.notify import Parcel, SendFailed, Sent
from planc_tui.core.timeline import Draft
from planc_tui.desk.desk import Desk
from planc_tui.desk.dispatch import Dispatcher
from planc_tui.desk.escalator import Escalator, pulse
from planc_tui.incident import kinds, lifecycle
from planc_tui.incident.clockview import clock_view
from planc_tui.incident.escalation import ESCALATOR
from planc_tui.incident.fold import fold_all
from planc_tui.incident.lifecycle import Declaration, Evidence, acknowledge
from planc_tui.incident.messages import queue_message
from planc_tui.incident.model import DeliveryState, Incident, MessageKind, Policy, Rung
from planc_tui.journal import Journal
from planc_tui.journal.lease import Lease
from tests.contract.recorder import Recorder, recording
from tests.unit.incident_kit import ALICE, BOB, LADDER, MINUTE, START, policy

TWO_LEVELS = (LADDER[0], LADDER[1])
SCRIPT = "tests.faults.escalator_process"
ROOT = Path(__file__).parents[2]


def now_only(work: Callable[[], None]) -> None:
    work()


@dataclass
class FakeSender:
    """Takes parcels; `plan` says how the next ones fail."""

    kind: str = "slack"
    plan: list[SendFailed] = field(default_factory=list)
    taken: list[Parcel] = field(default_factory=list)
    on_send: Callable[[Parcel], None] | None = None

    def send(self, parcel: Parcel) -> Sent:
        if self.on_send is not None:
            self.on_send(parcel)
        if self.plan:
            raise self.plan.pop(0)
        self.taken.append(parcel)
        return Sent(200)

    def preview(self, parcel: Parcel) -> str:
        return parcel.text


@dataclass
class Room:
    """A journal, a desk and a keeper on one fake clock."""

    path: Path
    clock: FakeClock = field(default_factory=lambda: FakeClock(now=START))
    rules: Policy = field(default_factory=policy)
    senders: dict[str, FakeSender] = field(
        default_factory=lambda: {"slack": FakeSender(), "pagerduty": FakeSender("pagerduty")}
    )

    def __post_init__(self) -> None:
        self.journal = Journal.open(self.path, self.clock, "boot")
        self.desk = Desk(self.journal, self.rules, ALICE)
        self.ended: list[str] = []
        self.alertmanager_away = False
        self.keeper = self.new_keeper()

    def new_keeper(self) -> Escalator:
        dispatcher = Dispatcher(self.journal, self.senders, ESCALATOR, self.clock, now_only, random.Random(5))
        return Escalator(self.journal, Lease(self.path), dispatcher, ALICE, self.clock, self._end, "test", now_only)

    def _end(self, silence: str, _context: str) -> None:
        if self.alertmanager_away:
            raise TimeoutError("Alertmanager does not answer")
        self.ended.append(silence)

    def declare(self, severity: str = "P0") -> str:
        answer = self.desk.declare(Declaration("checkout answers 502", severity))
        assert answer.incident is not None
        return answer.incident.id

    def run(self, minutes: float, step: float = 1.0) -> None:
        end = self.clock.now() + minutes * MINUTE
        while self.clock.now() < end:
            self.keeper.step()
            self.clock.advance(step)
        self.keeper.step()

    def incident(self, name: str) -> Incident:
        return self.desk.incident(name)

    def queue(self, name: str, kind: MessageKind, text: str) -> None:
        assert self.desk.do(name, lambda i, _: queue_message(i, ALICE, kind, {"slack": text})).ok

    def pages(self) -> list[tuple[str, str, float]]:
        """Channel, level and minute of every page that went out."""
        return [
            (channel, parcel.level, round((parcel.at - START) / MINUTE, 2))
            for channel, sender in self.senders.items()
            for parcel in sender.taken
            if parcel.kind == "page"
        ]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path / "journal.db")
    yield made
    made.journal.close()


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as running:
        yield running


def test_pages_go_out_on_the_second_and_calls_wait_for_a_person(room: Room) -> None:
    name = room.declare()
    room.run(31)
    assert room.pages() == [("slack", "L1", 0), ("pagerduty", "L2", 15)]
    calls = [d for d in room.incident(name).deliveries if d.state is DeliveryState.CALL]
    assert [(call.level, call.payload["number"]) for call in calls] == [("L3", "+33 1 00 00 00 03")]


def test_pager_follows_acknowledgement_and_resolution(room: Room) -> None:
    name = room.declare()
    room.run(16)
    room.desk.do(name, lambda i, _: acknowledge(i, BOB))
    room.run(1)
    room.desk.do(name, lambda i, _: lifecycle.resolve(i, BOB, Evidence(900.0)))
    room.run(1)
    sent = room.senders["pagerduty"].taken
    assert [parcel.kind for parcel in sent] == ["page", "acknowledge", "resolve"]
    assert len({parcel.dedup for parcel in sent}) == 1
    room.run(120)
    assert len(room.senders["pagerduty"].taken) == 3


def test_failed_page_takes_the_next_channel_at_once_and_the_next_level_when_none_is_left(tmp_path: Path) -> None:
    ladder = (
        Rung(id="L1", after=0.0, who="dev", channels=("slack", "backup")),
        Rung(id="L2", after=900.0, who="senior", channels=("pagerduty",)),
    )
    rules = policy(ladder)
    channels = (*rules.channels, type(rules.channels[0])(id="backup", kind="webhook", name="backup"))
    rules = Policy(severities=rules.severities, channels=channels)
    senders = {"slack": FakeSender(), "pagerduty": FakeSender("pagerduty"), "backup": FakeSender("webhook")}
    room = Room(tmp_path / "journal.db", rules=rules, senders=senders)
    senders["slack"].plan = [SendFailed("no_service", status=404, final=True)]
    senders["backup"].plan = [SendFailed("down", status=503) for _ in range(3)]
    name = room.declare()
    room.run(0.5)
    assert [(channel, level) for channel, level, _ in room.pages()] == [("pagerduty", "L2"), ("backup", "L1")]
    assert all(minute < 0.5 for _, _, minute in room.pages())
    failures = [e.event.summary for e in room.incident(name).entries if e.event.type == kinds.DELIVERY_FAILED]
    assert failures[0].startswith("page by slack failed: no_service")
    room.run(20)
    assert len([page for page in room.pages() if page[1] == "L2"]) == 1


def test_channel_that_is_not_set_up_is_named_and_wakes_nobody_above(tmp_path: Path) -> None:
    room = Room(tmp_path / "journal.db", senders={"pagerduty": FakeSender("pagerduty")})
    name = room.declare()
    room.run(1)
    assert room.pages() == []
    view = clock_view(room.incident(name), room.clock.now())
    assert view.unreached == ("L1",)
    room.run(15)
    assert clock_view(room.incident(name), room.clock.now()).unreached == ("L1",), "L2 was reached"
    delivery = room.incident(name).deliveries[0]
    assert (delivery.state, delivery.error) == (
        DeliveryState.FAILED,
        "the channel slack is not set up on this machine",
    )


def test_messages_wait_out_the_receiver_and_go_in_order_marked_late(room: Room) -> None:
    name = room.declare()
    room.run(0.1)
    slack = room.senders["slack"]
    slack.taken.clear()
    slack.plan = [SendFailed("slow down", status=429, retry_after=300.0), SendFailed("down", status=500)]
    for kind, text in ((MessageKind.INITIAL, "first"), (MessageKind.UPDATE, "second")):
        room.queue(name, kind, text)
    room.run(4.9)
    assert slack.taken == []
    room.run(2)
    assert [parcel.text.split("] ")[-1] for parcel in slack.taken] == ["first", "second"]
    assert slack.taken[0].text.startswith("[late by 5 min]")
    sent = [d for d in room.incident(name).deliveries if d.kind == "initial"]
    assert sent[0].late_by > 300
    assert sent[0].tries == 3


def test_a_page_does_not_wait_behind_a_message(room: Room) -> None:
    name = room.declare()
    room.run(14)
    room.senders["slack"].plan = [SendFailed("down", status=500) for _ in range(50)]
    room.queue(name, MessageKind.INITIAL, "text")
    room.run(0.5)
    room.senders["slack"].plan.clear()
    room.desk.do(name, lambda i, now: lifecycle.page_contact(i, ALICE, "carol", "slack"))
    room.keeper.step()
    assert [parcel.level for parcel in room.senders["slack"].taken if parcel.kind == "page"] == ["L1", "carol"]


def test_a_channel_that_hangs_holds_up_neither_the_others_nor_the_keeper(tmp_path: Path) -> None:
    room = Room(tmp_path / "journal.db")
    hung, release = threading.Event(), threading.Event()

    def hang(_parcel: Parcel) -> None:
        hung.set()
        release.wait(10)

    room.senders["slack"].on_send = hang
    dispatcher = Dispatcher(room.journal, room.senders, ESCALATOR, room.clock)
    room.keeper = Escalator(room.journal, Lease(room.path), dispatcher, ALICE, room.clock)
    name = room.declare()
    room.keeper.step()
    assert hung.wait(5)
    room.desk.do(name, lambda i, now: lifecycle.escalate(i, ALICE, now, "now", "L2"))
    for _ in range(200):
        room.keeper.step()
        if room.senders["pagerduty"].taken:
            break
        threading.Event().wait(0.01)
    assert [parcel.level for parcel in room.senders["pagerduty"].taken] == ["L2"]
    release.set()
    for _ in range(200):
        if not dispatcher.busy:
            break
        threading.Event().wait(0.01)
    room.journal.close()


def test_two_keepers_page_once_and_the_second_takes_over(room: Room) -> None:
    second = room.new_keeper()
    room.declare()
    for _ in range(10):
        assert room.keeper.step()
        assert not second.step()
        room.clock.advance(60)
    assert len(room.pages()) == 1
    room.keeper.stop()
    room.keeper.run()
    assert second.step()
    room.keeper = second
    room.run(10)
    assert room.pages() == [("slack", "L1", 0), ("pagerduty", "L2", 15)]


def test_heart_beats_while_it_runs_and_the_banner_knows_when_not(room: Room) -> None:
    assert pulse(room.journal, room.journal.now()).age is None
    room.run(1)
    alive = pulse(room.journal, room.journal.now())
    assert alive.alive
    assert alive.note == "test"
    room.clock.advance(31)
    assert not pulse(room.journal, room.journal.now()).alive


def test_silences_end_with_the_incident(room: Room) -> None:
    name = room.declare()
    data = {"silence": "s-1", "until": START + 3600}
    room.journal.append(Draft(name, kinds.SILENCE_CREATED, ALICE, "silence", data))
    room.run(1)
    assert room.ended == []
    room.desk.do(name, lambda i, _: lifecycle.resolve(i, BOB, Evidence(900.0)))
    room.alertmanager_away = True
    room.run(1)
    assert not room.incident(name).silences[0].ended
    room.alertmanager_away = False
    room.run(1)
    assert room.ended == ["s-1"]
    assert room.incident(name).silences[0].ended


def test_an_alertmanager_that_hangs_holds_up_no_page(room: Room) -> None:
    hung, release = threading.Event(), threading.Event()

    def hang(_silence: str, _context: str) -> None:
        hung.set()
        release.wait(10)

    dispatcher = Dispatcher(room.journal, room.senders, ESCALATOR, room.clock, now_only, random.Random(5))
    room.keeper = Escalator(room.journal, Lease(room.path), dispatcher, ALICE, room.clock, hang)
    name = room.declare()
    data = {"silence": "s-1", "until": START + 3600}
    room.journal.append(Draft(name, kinds.SILENCE_CREATED, ALICE, "silence", data))
    room.desk.do(name, lambda i, _: lifecycle.resolve(i, BOB, Evidence(900.0)))
    room.declare()
    room.run(16, 10)
    assert hung.wait(5)
    assert [level for _, level, _ in room.pages()] == ["L1", "L2"]
    assert room.keeper.busy
    release.set()
    until = time.monotonic() + 5
    while room.keeper.busy and time.monotonic() < until:
        threading.Event().wait(0.01)
    assert room.incident(name).silences[0].ended


def test_no_send_begins_after_an_acknowledgement(tmp_path: Path) -> None:
    """Console and keeper race on one journal; whoever sends must have claimed the page before the acknowledgement."""
    sent: list[str] = []
    slack = FakeSender(on_send=lambda parcel: sent.append(parcel.incident))
    room = Room(tmp_path / "journal.db", senders={"slack": slack})
    console = Journal.open(tmp_path / "journal.db", room.clock, "boot")
    for journal in (room.journal, console):
        with journal._reading() as db:
            db.execute("PRAGMA synchronous = OFF")
    desk = Desk(console, room.rules, BOB)
    rng = random.Random(3)
    for _ in range(150):
        name = room.declare()
        ready = threading.Barrier(2)

        def keep(gate: threading.Barrier = ready) -> None:
            gate.wait()
            room.keeper.step()

        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        ready.wait()
        threading.Event().wait(rng.random() * 0.006)
        desk.do(name, lambda i, _: acknowledge(i, BOB))
        thread.join(10)
        room.keeper.step()
        order = [e.event.type for e in desk.incident(name).entries]
        claimed = kinds.DELIVERY_STARTED in order
        assert (name in sent) == claimed
        assert not claimed or order.index(kinds.DELIVERY_STARTED) < order.index(kinds.ACKNOWLEDGED)
    assert 0 < len(sent) < 150, "both sides must win sometimes"
    console.close()
    room.journal.close()


def run_process(path: Path, url: str, begin: float, die_at: int, *, person: bool = False) -> tuple[float, int]:
    """Run until death or the end; the last time it looked at, and the points it passed (0 when it died)."""
    arguments = [str(path), url, str(begin), str(START + 17 * MINUTE), str(die_at), *([str(START)] if person else [])]
    done = subprocess.run(
        [sys.executable, "-m", SCRIPT, *arguments], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    lines = done.stdout.split("\n")
    times = [float(text) for text in lines if text and not text.startswith("points")]
    points = [int(text.split()[1]) for text in lines if text.startswith("points")]
    assert done.returncode in (0, -9), done.stderr
    return times[-1], points[0] if points else 0


@pytest.mark.parametrize("person", [False, True], ids=["escalator", "console"])
def test_killed_at_every_point_exactly_the_pages_that_were_due_go_out(
    tmp_path: Path, recorder: Recorder, person: bool
) -> None:
    """The console also loses nothing that its person did: the next one goes on from the journal."""

    def one(number: int) -> tuple[int, list[tuple[str, str]], int]:
        recorder.calls.clear()
        room = Room(tmp_path / str(number) / "journal.db", rules=policy(TWO_LEVELS))
        if not person:
            room.declare()
        room.journal.close()
        last, points = run_process(room.path, recorder.url, START, number, person=person)
        if number:
            run_process(room.path, recorder.url, last + 1, 0, person=person)
        journal = Journal.open(room.path)
        assert journal.verify().problems == ()
        if person:
            [incident] = fold_all(journal.events()).values()
            assert incident.ack is not None
            assert len(incident.messages) == 1
        journal.close()
        calls = [
            (call.headers["x-planc-event"], call.headers["x-planc-delivery"], call.body) for call in recorder.taken()
        ]
        pages = [(name, body["incident"]["level"]) for kind, name, body in calls if kind == "incident.page"]
        return points, pages, len({name for kind, name, _ in calls if kind == "message.initial"})

    points, whole, messages = one(0)
    assert [level for _, level in whole] == ["L1", "L2"]
    assert messages == int(person)
    assert points >= 10
    for number in range(1, points + 1):
        _, pages, sent = one(number)
        # A send that was cut off is repeated under its own id, by which the receiver knows it.
        assert list(dict.fromkeys(pages)) == whole, f"killed at point {number}"
        assert len(pages) <= len(whole) + 1
        assert sent == messages
