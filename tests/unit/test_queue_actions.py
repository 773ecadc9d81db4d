"""Purge, restore and move on a broker in memory, broken off at every point; and the file between them."""

from __future__ import annotations

import errno
import stat
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from planc_tui.actions import queue_purge
from planc_tui.actions.base import Action, Outcome, Plan, Ports, Receipt, Refusal, Risk, Stopped, Verdict
from planc_tui.actions.messages_file import MessagesFileError, MessagesWriter, Saved, look, read_messages
from planc_tui.actions.queue_common import died_in
from planc_tui.actions.queue_move import QueueMove
from planc_tui.actions.queue_peek import QueuePeek
from planc_tui.actions.queue_purge import QueuePurge
from planc_tui.actions.queue_restore import QueueRestore
from planc_tui.core.admin import Message
from planc_tui.core.clock import FakeClock
from planc_tui.core.messages_text import message_lines
from planc_tui.core.ports import NotConfigured, NotFound, Rejected, Unreachable
from planc_tui.core.table import Target
from planc_tui.playbook.loader import default
from planc_tui.playbook.model import RabbitmqSystem, Systems
from tests.broker_kit import BATCH, FakeBroker
from tests.systems_kit import FakeCluster

QUEUE = Target("Queue", "dead", "/", "//dead", "test")
LOST = Unreachable("the broker is gone")


def made(count: int) -> list[Message]:
    return [Message(f"{number}".encode(), "ex", "key", False, {"message_id": f"m{number}"}) for number in range(count)]


def dead(number: int, queue: str) -> Message:
    deaths = [{"queue": queue, "reason": "rejected", "count": {"$l": 1}}, {"queue": "first", "reason": "expired"}]
    return Message(f"{number}".encode(), properties={"headers": {"x-death": deaths}})


class Desk:
    """Ports over the broker in memory; cancels when so much progress was reported."""

    def __init__(self, broker: FakeBroker, folder: Path, cancel_after: int = 1_000_000) -> None:
        self.broker = broker
        self.said: list[str] = []
        self._cancel_after = cancel_after
        systems = Systems(rabbitmq=RabbitmqSystem(url="amqp://broker"))
        playbook = msgspec.structs.replace(default(), systems=systems)
        self.ports = Ports(FakeCluster(), FakeClock(), _no_database, lambda: broker, playbook, str(folder))

    @property
    def cancelled(self) -> bool:
        return len(self.said) >= self._cancel_after

    def __call__(self, progress: str) -> None:
        self.said.append(progress)
        if self.cancelled:
            raise Stopped(progress)

    def plan(self, action: Action, target: Target = QUEUE, **args: str) -> Plan:
        plan = action.plan(action.inspect(self.ports, target, args), target, args)
        assert isinstance(plan, Plan), plan
        return msgspec.convert(msgspec.json.decode(msgspec.json.encode(plan)), Plan)  # as the journal keeps it

    def refusal(self, action: Action, **args: str) -> str:
        plan = action.plan(action.inspect(self.ports, QUEUE, args), QUEUE, args)
        assert isinstance(plan, Refusal)
        return plan.reason

    def undo(self, action: Action, plan: Plan, receipt: Receipt) -> Receipt:
        way = action.undo(plan, receipt)
        assert way is not None
        assert way[0] == "queue-restore"
        restore = QueueRestore()
        return restore.execute(self.ports, self.plan(restore, way[1], **way[2]), _go_on)


class _GoOn:
    cancelled = False

    def __call__(self, progress: str) -> None:
        assert progress


_go_on = _GoOn()


def _no_database() -> Any:
    raise NotConfigured("no database")


def bodies(messages: Sequence[Message]) -> list[int]:
    return [int(message.body) for message in messages]


@pytest.mark.parametrize(("count", "read"), [("", 20), ("3", 3), ("100", 30)])
def test_peek_shows_the_first_messages_and_leaves_every_one_there(tmp_path: Path, count: str, read: int) -> None:
    desk, peek = Desk(FakeBroker(dead=made(30)), tmp_path), QueuePeek()
    plan = desk.plan(peek, count=count)
    assert (plan.risk, plan.changes, plan.requests) == (Risk.LOW, (), ())
    assert plan.blast[0] == f"reads the first {read} of 30 messages and puts them back where they were"
    assert plan.equivalents == (f"rabbitmqadmin get queue=dead ackmode=ack_requeue_true count={read}",)
    receipt = peek.execute(desk.ports, plan, desk)
    assert receipt.shown == message_lines(made(30)[:read], 30)
    assert desk.broker.queues["dead"] == made(30)
    assert peek.verify(desk.ports, plan, receipt) == Verdict(
        Outcome.RECOVERED, f"{read} messages read and put back, 30 ready"
    )
    assert peek.verify(desk.ports, plan, Receipt()).outcome is Outcome.FAILED
    assert peek.undo(plan, receipt) is None


@pytest.mark.parametrize("count", ["0", "101", "-1", "²", "many", "9" * 5000])
def test_a_peek_at_a_number_that_is_none_is_refused(tmp_path: Path, count: str) -> None:
    assert "a whole number from 1 to 100" in Desk(FakeBroker(dead=made(1)), tmp_path).refusal(QueuePeek(), count=count)


def test_a_peek_at_nothing_is_refused(tmp_path: Path) -> None:
    assert "no message that is ready" in Desk(FakeBroker(dead=[]), tmp_path).refusal(QueuePeek())


def test_purge_saves_everything_and_undo_brings_it_back(tmp_path: Path) -> None:
    desk, purge = Desk(FakeBroker(dead=made(8)), tmp_path), QueuePurge()
    plan = desk.plan(purge)
    assert (plan.changes[0].before, plan.changes[0].after, plan.confirm_word) == ("8", "0", "dead")
    assert plan.equivalents == (), "no command saves the messages first"
    receipt = purge.execute(desk.ports, plan, desk)
    assert desk.broker.queues["dead"] == []
    assert purge.verify(desk.ports, plan, receipt).progress == "empty, 8 messages saved"
    path = Path(receipt.data["file"])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert look(path) == Saved("dead", 8, 0, True)
    assert desk.undo(purge, plan, receipt).data == {"count": 8, "there": 0}
    assert desk.broker.queues["dead"] == made(8)


def test_cancel_keeps_what_was_removed_and_undo_brings_that_back(tmp_path: Path) -> None:
    desk, purge = Desk(FakeBroker(dead=made(10)), tmp_path, cancel_after=2), QueuePurge()
    plan = desk.plan(purge)
    with pytest.raises(Stopped) as stopped:
        purge.execute(desk.ports, plan, desk)
    assert stopped.value.done.startswith("6 of 10 messages were saved to ")
    assert bodies(desk.broker.queues["dead"]) == [6, 7, 8, 9]
    assert stopped.value.receipt is not None
    desk.undo(purge, plan, stopped.value.receipt)
    assert bodies(desk.broker.queues["dead"]) == [6, 7, 8, 9, 0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("after", [0, 3, 6])
def test_a_broker_that_goes_away_leaves_no_message_unaccounted_for(tmp_path: Path, after: int) -> None:
    desk, purge = Desk(FakeBroker(dead=made(9)), tmp_path), QueuePurge()
    desk.broker.taking = (after, LOST)
    plan = desk.plan(purge)
    receipt = purge.execute(desk.ports, plan, desk)
    assert f"{after} of 9 messages were saved" in receipt.partial
    assert f"{BATCH} more that may be in the queue still" in receipt.partial
    assert purge.verify(desk.ports, plan, receipt).outcome is Outcome.FAILED
    path = Path(receipt.data["file"])
    assert look(path) == Saved("dead", after + BATCH, BATCH, False)
    back = desk.undo(purge, plan, receipt)
    assert back.data == {"count": after, "there": BATCH}  # the last batch had not left: it is not doubled
    assert sorted(bodies(desk.broker.queues["dead"])) == list(range(9))


def test_the_last_batch_is_published_when_it_did_leave(tmp_path: Path) -> None:
    desk, purge = Desk(FakeBroker(dead=made(9)), tmp_path), QueuePurge()
    desk.broker.taking = (3, LOST)
    plan = desk.plan(purge)
    receipt = purge.execute(desk.ports, plan, desk)
    del desk.broker.queues["dead"][:4]  # the broker had removed it, and a consumer took one more
    assert desk.undo(purge, plan, receipt).data == {"count": 6, "there": 0}
    assert bodies(desk.broker.queues["dead"]) == [7, 8, 0, 1, 2, 3, 4, 5]


def full_after(count: int, write: Callable[..., None]) -> Callable[..., None]:
    def keep(self: MessagesWriter, messages: Sequence[Message]) -> None:
        if self.count >= count:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, messages)

    return keep


def test_a_full_disk_stops_before_the_batch_that_did_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MessagesWriter, "keep", full_after(6, MessagesWriter.keep))
    desk, purge = Desk(FakeBroker(dead=made(9)), tmp_path), QueuePurge()
    plan = desk.plan(purge)
    receipt = purge.execute(desk.ports, plan, desk)
    assert "No space left on device; 6 of 9 messages were saved" in receipt.partial
    assert bodies(desk.broker.queues["dead"]) == [6, 7, 8]
    assert look(Path(receipt.data["file"])) == Saved("dead", 6, 0, False)


def test_when_nothing_could_be_saved_nothing_is_removed_and_no_file_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MessagesWriter, "keep", full_after(0, MessagesWriter.keep))
    desk, purge = Desk(FakeBroker(dead=made(2)), tmp_path), QueuePurge()
    with pytest.raises(Rejected, match="nothing was removed"):
        purge.execute(desk.ports, desk.plan(purge), desk)
    assert len(desk.broker.queues["dead"]) == 2
    assert list((tmp_path / "queues").iterdir()) == []


def test_what_a_purge_refuses_before_the_yes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk, purge = Desk(FakeBroker(dead=[]), tmp_path), QueuePurge()
    assert "nothing to purge" in desk.refusal(purge)
    desk.broker.queues["dead"] = made(3)
    with pytest.raises(Rejected, match="vhost /, and this queue is shop/dead"):
        purge.inspect(desk.ports, replace(QUEUE, uid="shop/dead"), {})
    with pytest.raises(NotFound):
        purge.inspect(desk.ports, Target("Queue", "other"), {})
    monkeypatch.setattr(queue_purge, "room", lambda folder: 5 * 1024**2)
    assert "only 5 MiB are free" in desk.refusal(purge)


def test_a_step_and_a_row_take_the_same_lease(tmp_path: Path) -> None:
    desk, purge = Desk(FakeBroker(dead=made(3)), tmp_path), QueuePurge()
    by_step = desk.plan(purge, Target("Queue", "dead", "workflow", "//dead", "test"))
    assert by_step.targets == desk.plan(purge).targets == (QUEUE,)


@pytest.mark.parametrize(
    ("count", "complete", "outcome", "words"),
    [
        (None, False, Outcome.FAILED, "nothing was saved or removed; 4 messages are ready"),
        (6, False, Outcome.FAILED, "(3 of them may be in the queue too), 4 are in the queue"),
        (6, True, Outcome.RECOVERED, "6 messages are in "),
    ],
)
def test_a_killed_purge_is_read_from_its_file(
    tmp_path: Path, count: int | None, complete: bool, outcome: Outcome, words: str
) -> None:
    desk, purge = Desk(FakeBroker(dead=made(4)), tmp_path), QueuePurge()
    plan = desk.plan(purge)
    if count is not None:
        writer = MessagesWriter(Path(plan.payload["file"]), "dead")
        writer.keep(made(3))
        writer.gone(3)
        writer.keep(made(6)[3:])
        if complete:
            writer.gone(6)
            writer.close(complete=True)
    verdict = purge.verify(desk.ports, plan, Receipt())
    assert verdict.outcome is outcome
    assert words in verdict.progress


def test_a_restore_that_breaks_off_says_where_to_go_on(tmp_path: Path) -> None:
    desk, purge, restore = Desk(FakeBroker(dead=made(8)), tmp_path), QueuePurge(), QueueRestore()
    plan = desk.plan(purge)
    file = purge.execute(desk.ports, plan, desk).data["file"]
    desk.broker.publishing = (5, Rejected("the queue is full"))
    plan = desk.plan(restore, file=file)
    receipt = restore.execute(desk.ports, plan, _go_on)
    assert receipt.partial == "the queue is full; 5 of 8 messages are back; restore the rest of the file with skip 5"
    assert restore.verify(desk.ports, plan, receipt).outcome is Outcome.FAILED
    desk.broker.publishing = None
    restore.execute(desk.ports, desk.plan(restore, file=file, skip="5"), _go_on)
    assert desk.broker.queues["dead"] == made(8)
    for skip in ("-1", "9", "x", "1.5", "٣"):
        assert "skip a whole number" in desk.refusal(restore, file=file, skip=skip)
    assert "no message left" in desk.refusal(restore, file=file, skip="8")


def test_a_cancelled_restore_says_how_many_are_back(tmp_path: Path) -> None:
    desk, purge, restore = Desk(FakeBroker(dead=made(8)), tmp_path), QueuePurge(), QueueRestore()
    file = purge.execute(desk.ports, desk.plan(purge), desk).data["file"]
    with pytest.raises(Stopped, match="3 of 8 messages are back"):
        restore.execute(desk.ports, desk.plan(restore, file=file), Desk(desk.broker, tmp_path, cancel_after=1))
    assert bodies(desk.broker.queues["dead"]) == [0, 1, 2]


def test_the_card_of_a_restore_warns(tmp_path: Path) -> None:
    copied = Message(b"0", properties={"headers": {"CC": ["audit"]}})
    writer = MessagesWriter(tmp_path / "file", "tasks")
    writer.keep([copied])
    desk = Desk(FakeBroker(dead=[]), tmp_path)
    warnings = desk.plan(QueueRestore(), file=str(tmp_path / "file")).warnings
    assert [warning.split(" ")[0:4] for warning in warnings] == [
        ["they", "were", "saved", "from"], ["the", "purge", "that", "saved"], ["the", "last", "1", "may"],
        ["1", "have", "a", "CC"],
    ]  # fmt: skip  # rows as a person reads them
    for missing in ("", "nowhere", str(tmp_path)):
        with pytest.raises(Rejected, match="cannot be read"):
            QueueRestore().inspect(desk.ports, QUEUE, {"file": missing})


def test_dead_letters_go_to_where_each_died(tmp_path: Path) -> None:
    letters = [dead(number, "tasks" if number % 2 else "mails") for number in range(7)]
    desk, move = Desk(FakeBroker(dead=letters, tasks=made(1), mails=[]), tmp_path), QueueMove()
    plan = desk.plan(move)
    receipt = move.execute(desk.ports, plan, desk)
    assert (receipt.data, receipt.partial) == ({"count": 7}, "")
    assert (bodies(desk.broker.queues["mails"]), bodies(desk.broker.queues["tasks"])) == ([0, 2, 4, 6], [0, 1, 3, 5])
    assert move.undo(plan, receipt) is None
    assert plan.undo == ""


def test_a_move_is_undone_only_when_nothing_else_can_be_meant(tmp_path: Path) -> None:
    desk, move = Desk(FakeBroker(dead=made(4), tasks=[], busy=made(1)), tmp_path), QueueMove()
    plan = desk.plan(move, to="tasks")
    way = move.undo(plan, move.execute(desk.ports, plan, desk))
    assert way == ("queue-move", Target("Queue", "tasks", "/", "//tasks", "test"), {"to": "dead"})
    desk.broker.queues["dead"] = made(4)
    plan = desk.plan(move, to="busy")
    assert move.undo(plan, move.execute(desk.ports, plan, desk)) is None
    assert "nothing to move" in desk.refusal(move, to="busy")
    desk.broker.queues["dead"] = made(4)
    assert "same queue" in desk.refusal(move, to="dead")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Message(b"9"), "name the queue"),
        (dead(9, "dead"), "name the queue"),
        (Message(b"9", properties={"headers": {"CC": ["x"], "x-death": [{"queue": "tasks"}]}}), "CC header"),
    ],
)
def test_a_message_without_a_way_stops_before_its_batch(tmp_path: Path, message: Message, reason: str) -> None:
    letters = [dead(number, "tasks") for number in range(4)]
    desk, move = Desk(FakeBroker(dead=[*letters, message], tasks=[]), tmp_path), QueueMove()
    plan = desk.plan(move)
    receipt = move.execute(desk.ports, plan, desk)
    assert reason in receipt.partial
    assert "3 of 5 messages were moved" in receipt.partial
    assert (bodies(desk.broker.queues["tasks"]), bodies(desk.broker.queues["dead"])) == ([0, 1, 2], [3, 9])


def test_a_broken_move_says_what_may_be_in_both(tmp_path: Path) -> None:
    desk, move = Desk(FakeBroker(dead=made(9), tasks=[]), tmp_path), QueueMove()
    desk.broker.taking = (3, LOST)
    receipt = move.execute(desk.ports, desk.plan(move, to="tasks"), desk)
    assert receipt.partial == "the broker is gone; 3 of 9 messages were moved, 3 more may be in both queues"
    assert set(bodies(desk.broker.queues["tasks"]) + bodies(desk.broker.queues["dead"])) == set(range(9))


@pytest.mark.parametrize("properties", [{}, {"headers": None}, {"headers": {"x-death": 5}}, {"$raw": "AAA="},
                                        {"headers": {"x-death": [{"queue": {"$x": ""}}]}}])  # fmt: skip  # as read
def test_no_death_no_queue(properties: Mapping[str, Any]) -> None:
    assert died_in(properties) == ""


@settings(max_examples=40)  # each example waits for the disk
@given(st.lists(st.binary(max_size=30), min_size=1, max_size=20), st.data())
def test_a_file_cut_anywhere_holds_whole_batches_and_nothing_else(contents: list[bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        messages = [Message(content, properties={"n": number}) for number, content in enumerate(contents)]
        writer = MessagesWriter(path, "q")
        batches = [messages[start : start + BATCH] for start in range(0, len(messages), BATCH)]
        for batch in batches:
            writer.keep(batch)
            writer.gone(writer.count)
        writer.close(complete=True)
        whole = path.read_bytes()
        assert [message for batch in read_messages(path, look(path).count) for message in batch] == messages
        first = whole.index(b"\n") + 1
        cut = data.draw(st.integers(first, len(whole) - 1))
        path.write_bytes(whole[:cut])
        saved = look(path)
        assert not saved.complete
        assert saved.count in {sum(map(len, batches[:kept])) for kept in range(len(batches) + 1)}
        found = [message for batch in read_messages(path, saved.count) for message in batch]
        assert found == messages[: saved.count]


@pytest.mark.parametrize("at", [0.02, 0.3, 0.5, 0.7])
def test_an_edited_file_is_refused(tmp_path: Path, at: float) -> None:
    path = tmp_path / "file"
    writer = MessagesWriter(path, "queue")
    for _ in range(5):
        writer.keep(made(3))
    writer.close(complete=True)
    whole = bytearray(path.read_bytes())
    place = int(len(whole) * at)
    whole[place] = whole[place] ^ 1
    path.write_bytes(whole)
    with pytest.raises(MessagesFileError, match="nothing is published"):
        look(path)


def test_a_file_is_never_written_over(tmp_path: Path) -> None:
    MessagesWriter(tmp_path / "file", "q")
    with pytest.raises(FileExistsError):
        MessagesWriter(tmp_path / "file", "q")


def test_messages_as_lines_are_harmless_and_count_what_they_hide() -> None:
    wild = Message(
        b"\x1b[31mred\x1b]0;t\x07\r\n" + b"x" * 9_000, "ex\x1b[2J", "k\u202ey", True,
        {"headers": {"a\x1b[1m": ["\x07", {"b": "\u200b"}], "big": "y" * 900}, "message_id": "m\x00", "$raw": "AA=="},
    )  # fmt: skip  # rows as a person reads them
    lines = message_lines([wild, Message(b""), Message(bytes(range(256)))], 10)
    assert all(line == "" or line.isprintable() for line in lines)
    text = "\n".join(lines)
    assert "redelivered" in text
    assert "bytes are not shown" in text
    assert "(empty body)" in text
    assert "binary: 00 01 02" in text
    assert "and 224 bytes more" in text
    assert message_lines([]) == ("no message is ready",)
