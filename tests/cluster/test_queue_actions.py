"""Queues of the real RabbitMQ purged, restored and moved through the executor, and broken off at every point."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pika
import pytest

from planc_tui.actions.base import Receipt
from planc_tui.actions.executor import State
from planc_tui.actions.messages_file import look, read_messages
from planc_tui.core.admin import Message
from planc_tui.core.messages_text import message_lines
from planc_tui.core.ports import NotFound, Rejected
from planc_tui.core.table import Target
from tests.cluster.acting_kit import Acting
from tests.cluster.rig.rig import Rig
from tests.real import eventually

pytestmark = pytest.mark.cluster
QUEUE, SOURCE, OTHER = "planc-test-queue", "planc-test-source", "planc-test-other"
MANY = 10_000
Seen = list[tuple[bytes, dict[str, Any]]]


class Broker:
    """A client of its own, which declares queues and looks at messages as another program would."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.connection = pika.BlockingConnection(pika.URLParameters(rig.endpoints.amqp_url()))
        self.channel = self.connection.channel()
        for name in (QUEUE, SOURCE, OTHER):
            self.channel.queue_delete(name)
        self.channel.queue_declare(QUEUE, durable=True)

    def put(self, count: int, queue: str = QUEUE) -> None:
        """Messages whose properties, headers and bodies differ in every way, confirmed by the broker."""
        channel = self.connection.channel()
        channel.tx_select()
        for number in range(count):
            channel.basic_publish("", queue, body(number), properties(number), mandatory=True)
        channel.tx_commit()
        channel.close()

    def ready(self, queue: str = QUEUE) -> int:
        return int(self.channel.queue_declare(queue, passive=True).method.message_count)

    def read(self, queue: str = QUEUE) -> Seen:
        """Take every message off the queue, in order, with its properties."""
        found: Seen = []
        while (got := self.channel.basic_get(queue, auto_ack=True))[0] is not None:
            found.append((got[2], vars(got[1])))
        return found

    def numbers(self, queue: str = QUEUE) -> list[int]:
        return [number_of(content) for content, _ in self.read(queue)]

    def close(self) -> None:
        for name in (QUEUE, SOURCE, OTHER):
            self.channel.queue_delete(name)
        self.connection.close()


def body(number: int) -> bytes:
    """Text, bytes that are no text, and sizes from nothing to 64 KiB; the number stands in front."""
    start = f"{number:08d}".encode()
    match number % 5:
        case 0:
            return start
        case 1:
            return start + f' {{"é": "\u202e{number}"}}'.encode()
        case 2:
            return start + bytes(range(256))
        case 3:
            return start + b"\r\n\0\x1b[31m"
    return start + (b"\xff\x00" * 32_000 if number % 500 == 4 else b"x" * (number % 300))


def sent(count: int) -> Seen:
    """What `put` publishes, as a client reads it."""
    return [(body(number), vars(properties(number))) for number in range(count)]


def number_of(content: bytes) -> int:
    return int(content[:8])


def properties(number: int) -> pika.BasicProperties:
    """Every property there is, in changing company."""
    if number % 7 == 0:
        return pika.BasicProperties(delivery_mode=2)
    headers: dict[str, Any] = {
        "n": number,
        "big": 2**40 + number,
        "yes": number % 2 == 0,
        "none": None,
        "when": datetime.fromtimestamp(1_700_000_000 + number, UTC),
        "price": Decimal(number) / 100,
        "bytes": b"\xff\xfe" + bytes([number % 256]),
        "list": [1, "two", [3, {"four": 4}], b"\x00"],
        "table": {"inner": {"deep": number}, "$dollar": "sign"} if number % 3 else {"inner": {}},
        "": "an empty name",
        "é\u202e": "names are text too",
    }
    return pika.BasicProperties(
        content_type="application/json",
        content_encoding="utf-8",
        headers=headers if number % 7 != 1 else None,
        delivery_mode=2,
        priority=number % 10,
        correlation_id=f"c-{number}",
        reply_to="reply",
        message_id=f"m-{number}",
        timestamp=1_700_000_000 + number,
        type="job",
        app_id="tests",
        cluster_id="here",
    )


@pytest.fixture
def broker(rig: Rig) -> Iterator[Broker]:
    made = Broker(rig)
    yield made
    made.close()


@pytest.fixture
def acting(rig: Rig, tmp_path: Path) -> Iterator[Acting]:
    made = Acting(rig, tmp_path)
    yield made
    made.close()


def target(name: str = QUEUE) -> Target:
    return Target("Queue", name, "/", f"//{name}", "test")


def file_of(receipt: Receipt | None) -> Path:
    assert receipt is not None
    return Path(receipt.data["file"])


def test_ten_thousand_messages_purged_and_brought_back_byte_for_byte(acting: Acting, broker: Broker) -> None:
    broker.put(MANY)
    run = acting.do("queue-purge", target())
    assert run.state is State.RECOVERED
    assert run.progress.startswith("empty, 10,000 messages saved")
    assert broker.ready() == 0
    path = file_of(run.receipt)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    saved = look(path)
    assert (saved.queue, saved.count, saved.unsure, saved.complete) == (QUEUE, MANY, 0, True)
    journal = json.dumps([dict(entry.data) for entry in acting.memory.kept])
    assert "c-1" not in journal  # messages are in the file alone

    back = acting.undo(run)
    assert back.state is State.RECOVERED
    assert back.progress.startswith("10,000 messages are back, 10,000 ready")
    assert broker.read() == sent(MANY)


def test_numbers_and_dates_that_the_driver_cannot_hold_come_back_exactly(acting: Acting, broker: Broker) -> None:
    """pika reads 1.5 as 1, forgets how wide a number is, and fails on the year 292277026596."""
    admin = acting.admins.broker()
    headers = {
        "half": {"$d": 1.5}, "single": {"$f": 0.25}, "byte": {"$b": -3}, "short": {"$s": -300}, "long": {"$l": 7},
        "unsigned": {"$i": 4_000_000_000}, "far": {"$T": 2**63 - 1}, "price": {"$D": [2, 100]},
    }  # fmt: skip  # rows as a person reads them
    sent = Message(b"exact", properties={"headers": headers, "delivery_mode": 2})
    admin.publish(QUEUE, [sent])
    run = acting.do("queue-purge", target())
    assert acting.undo(run).state is State.RECOVERED
    (message,) = admin.peek(QUEUE, 5)
    assert message.properties == sent.properties
    assert broker.ready() == 1


def test_a_queue_that_is_empty_missing_or_elsewhere_is_refused(acting: Acting, broker: Broker) -> None:
    assert "nothing to purge" in acting.refusal("queue-purge", target())
    assert "NOT_FOUND" in acting.refusal("queue-purge", target(OTHER))
    elsewhere = Target("Queue", QUEUE, "shop", f"shop/{QUEUE}", "test")
    assert "vhost" in acting.refusal("queue-purge", elsewhere)
    broker.put(3)
    assert "NOT_FOUND" in acting.refusal("queue-move", target(), to=OTHER)
    assert "same queue" in acting.refusal("queue-move", target(), to=QUEUE)
    assert OTHER not in broker.rig.rabbitmqctl("list_queues", "name", "--silent")  # nothing was declared
    assert broker.ready() == 3


def test_only_what_was_ready_is_taken_and_what_consumers_hold_stays(acting: Acting, broker: Broker) -> None:
    broker.put(300)
    other = broker.connection.channel()
    other.basic_get(QUEUE)  # number 0 is unacknowledged
    taken: list[int] = []

    def keep(messages: Sequence[Message]) -> None:
        if not taken:
            broker.put(5)  # arrives meanwhile
        taken.extend(number_of(message.body) for message in messages)

    assert list(acting.admins.broker().take(QUEUE, keep, lambda: False))[-1] == 299
    assert taken == list(range(1, 300))
    assert broker.ready() == 5
    other.close()
    eventually(lambda: broker.ready() == 6, 5)


def test_what_is_not_kept_stays_in_order(acting: Acting, broker: Broker) -> None:
    broker.put(100)

    def keep(messages: Sequence[Message]) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        list(acting.admins.broker().take(QUEUE, keep, lambda: False))
    eventually(lambda: broker.ready() == 100, 5)
    assert broker.numbers() == list(range(100))


def test_peek_leaves_everything_where_it_was(acting: Acting, broker: Broker) -> None:
    broker.put(20)
    seen = acting.admins.broker().peek(QUEUE, 4)
    assert [message.body for message in seen] == [body(number) for number in range(4)]
    assert broker.numbers() == list(range(20))
    text = message_lines(seen, 20)
    assert all(line.isprintable() for line in text)
    assert text[0].startswith("the first 4 of 20")


def test_a_peek_through_the_executor_changes_nothing_but_the_mark(acting: Acting, broker: Broker) -> None:
    broker.put(25)
    prepared = acting.prepare("queue-peek", target(), count="4")
    assert broker.channel.basic_get(QUEUE)[0].redelivered is False  # the card alone reads nothing
    broker.channel.basic_recover(requeue=True)
    run = acting.until(acting.start(prepared), lambda run: run.state.over)
    assert (run.state, run.progress.split(" in ")[0]) == (State.RECOVERED, "4 messages read and put back, 25 ready")
    assert run.receipt is not None
    assert run.receipt.shown[0].startswith("the first 4 of 25 messages")
    assert any("00000003" in line for line in run.receipt.shown)
    assert acting.executor.undo(run) is None
    marks = [broker.channel.basic_get(QUEUE)[0].redelivered for _ in range(6)]
    assert marks == [True] * 4 + [False] * 2
    broker.channel.basic_recover(requeue=True)
    assert broker.read() == sent(25)
    assert "no message that is ready" in acting.refusal("queue-peek", target())


def test_cancel_stops_between_two_batches_and_undo_brings_those_back(acting: Acting, broker: Broker) -> None:
    broker.put(5_000)
    run = acting.start(acting.prepare("queue-purge", target()))
    acting.until(run, lambda run: "saved and removed" in run.progress)
    acting.executor.cancel(run.id)
    over = acting.until(run, lambda run: run.state.over)
    assert over.state is State.CANCELLED
    count = look(file_of(over.receipt)).count
    assert 0 < count < 5_000
    assert f"{count:,} of 5,000" in over.progress
    assert broker.ready() == 5_000 - count
    assert acting.undo(over).state is State.RECOVERED
    assert sorted(broker.numbers()) == list(range(5_000))


CONSOLE = """
import resource, sys
from pathlib import Path
from tests.cluster.acting_kit import Acting
from tests.cluster.rig.rig import Rig
from tests.cluster.test_queue_actions import target
from planc_tui.actions import messages_file

state, folder, limit, slow = sys.argv[1:]
acting = Acting(Rig(Path(state)), Path(folder))
prepared = acting.prepare("queue-purge", target())
if int(limit):
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
if slow == "keep":  # killed while the batch is on disk and not yet acknowledged
    written = messages_file.MessagesWriter.keep
    def keep(self, messages):
        written(self, messages)
        print(self.count, flush=True)
        if self.count > 1000:
            sys.stdin.readline()
    messages_file.MessagesWriter.keep = keep
run = acting.start(prepared)
over = acting.until(run, lambda run: print(run.progress, flush=True) or run.state.over)
print("over", over.state.value, over.progress, flush=True)
"""


def console(rig: Rig, folder: Path, limit: int = 0, slow: str = "no") -> subprocess.Popen[str]:
    """Another console that purges the queue."""
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", CONSOLE, str(rig.state), str(folder), str(limit), slow],
        cwd=root,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def saved_numbers(folder: Path) -> tuple[list[int], int]:
    """Numbers of the messages in the only file, and how many may be in the queue too."""
    (path,) = (folder / "queues").iterdir()
    saved = look(path)
    found = [number_of(message.body) for batch in read_messages(path, saved.count) for message in batch]
    return found, saved.unsure


def test_a_full_disk_loses_nothing(rig: Rig, broker: Broker, acting: Acting, tmp_path: Path) -> None:
    broker.put(3_000)
    folder = tmp_path / "full"
    with console(rig, folder, limit=1_000_000) as process:
        said, _ = process.communicate(timeout=60)
    assert "over failed" in said, said
    assert "File too large" in said
    saved, unsure = saved_numbers(folder)
    assert unsure == 0
    assert 0 < len(saved) < 3_000
    eventually(lambda: broker.ready() == 3_000 - len(saved), 5)
    assert saved == list(range(len(saved)))
    (path,) = (folder / "queues").iterdir()
    back = acting.do("queue-restore", target(), file=str(path))
    assert back.state is State.RECOVERED
    assert broker.numbers() == [*range(len(saved), 3_000), *saved]


def test_a_disk_without_room_for_anything_removes_nothing(rig: Rig, broker: Broker, tmp_path: Path) -> None:
    broker.put(100)
    with console(rig, tmp_path / "none", limit=10) as process:
        said, _ = process.communicate(timeout=60)
    assert "nothing was removed" in said, said
    assert broker.numbers() == list(range(100))


@pytest.mark.parametrize("slow", ["no", "keep"])
def test_a_console_that_is_killed_loses_no_message(
    rig: Rig, broker: Broker, acting: Acting, tmp_path: Path, slow: str
) -> None:
    broker.put(MANY)
    folder = tmp_path / "killed"
    with console(rig, folder, slow=slow) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line[:1].isdigit() and int(line.split("/")[0].replace(",", "")) > 1_000:
                break
        os.kill(process.pid, signal.SIGKILL)
    saved, unsure = saved_numbers(folder)
    assert saved == list(range(len(saved)))
    # What the broker had not heard of goes back to the queue's head when the connection is gone.
    eventually(lambda: broker.ready() >= MANY - len(saved), 10)
    left = broker.ready()
    assert left <= MANY - len(saved) + unsure
    if slow == "keep":
        eventually(lambda: broker.ready() == MANY - len(saved) + unsure, 10)
        assert unsure > 0
    (path,) = (folder / "queues").iterdir()
    prepared = acting.prepare("queue-restore", target(), file=str(path))
    assert "did not come to its end" in " ".join(prepared.plan.warnings)
    back = acting.until(acting.start(prepared), lambda run: run.state.over)
    assert back.state is State.RECOVERED, back.progress
    assert sorted(broker.numbers()) == list(range(MANY))  # each once: what had not left is not doubled


def test_a_broken_purge_is_understood_by_the_next_console(rig: Rig, broker: Broker, tmp_path: Path) -> None:
    broker.put(2_000)
    folder = tmp_path / "next"
    first = Acting(rig, folder)
    prepared = first.prepare("queue-purge", target())
    run = first.start(prepared)
    first.until(run, lambda run: run.state.over)
    second = Acting(rig, folder)
    second.memory.kept = first.memory.kept[:1]  # it was killed before the outcome was written
    (unknown,) = second.executor.unfinished()
    found = second.executor.verify_unknown(unknown)
    assert found.state is State.RECOVERED
    assert "2,000 messages are in" in found.progress
    first.close()
    second.close()


def test_dead_letters_go_back_to_where_they_died(acting: Acting, broker: Broker) -> None:
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": QUEUE}
    broker.channel.queue_declare(SOURCE, durable=True, arguments=arguments)
    broker.channel.queue_declare(OTHER, durable=True, arguments=arguments)
    broker.put(400, SOURCE)
    broker.put(50, OTHER)
    channel = broker.connection.channel()
    for name in (SOURCE, OTHER):
        while (got := channel.basic_get(name))[0] is not None:
            channel.basic_nack(got[0].delivery_tag, requeue=False)
    eventually(lambda: broker.ready() == 450, 10)

    run = acting.do("queue-move", target())
    assert run.state is State.RECOVERED
    assert run.progress.startswith("450 messages moved, 0 left")
    found = broker.read(SOURCE)
    assert ([number_of(content) for content, _ in found], broker.numbers(OTHER)) == (list(range(400)), list(range(50)))
    content, seen = found[13]
    assert (content, seen["delivery_mode"], seen["message_id"]) == (body(13), 2, "m-13")
    assert seen["headers"]["x-death"][0]["queue"] == SOURCE
    original = properties(13).headers
    assert {name: seen["headers"][name] for name in original} == original
    assert acting.executor.undo(run) is None  # they went to more than one queue


def test_a_move_to_an_empty_queue_can_be_undone(acting: Acting, broker: Broker) -> None:
    broker.channel.queue_declare(OTHER, durable=True)
    broker.put(700)
    assert "name the queue" in acting.do("queue-move", target()).progress  # they never died
    assert broker.ready() == 700
    run = acting.do("queue-move", target(), to=OTHER)
    assert run.state is State.RECOVERED
    assert broker.ready(OTHER) == 700
    assert acting.undo(run).state is State.RECOVERED
    assert broker.read() == sent(700)


def test_a_queue_that_is_full_or_gone_is_said_and_loses_nothing(acting: Acting, broker: Broker) -> None:
    arguments = {"x-max-length": 100, "x-overflow": "reject-publish"}
    broker.channel.queue_declare(OTHER, durable=True, arguments=arguments)
    broker.put(600)
    run = acting.do("queue-move", target(), to=OTHER)
    assert run.state is State.FAILED
    assert "is it full?" in run.progress
    assert broker.ready(OTHER) == 100
    eventually(lambda: broker.ready() >= 500, 5)
    assert set(broker.numbers()) | set(broker.numbers(OTHER)) == set(range(600))
    admin = acting.admins.broker()
    with pytest.raises(NotFound):
        admin.publish("planc-test-nowhere", [Message(b"")])

    def vanishing() -> Iterator[Message]:
        yield Message(b"one")
        broker.channel.queue_delete(OTHER)
        yield Message(b"two")

    broker.channel.queue_purge(OTHER)
    with pytest.raises(Rejected, match="is it gone"):
        admin.publish(OTHER, vanishing())


def test_a_message_with_anothers_name_on_it_is_refused_in_the_brokers_words(acting: Acting, broker: Broker) -> None:
    admin = acting.admins.broker()
    with pytest.raises(Rejected, match="user_id"):
        admin.publish(QUEUE, [Message(b"x", properties={"user_id": "somebody"})])
    assert broker.ready() == 0


def test_copies_to_other_queues_are_not_made_behind_ones_back(acting: Acting, broker: Broker) -> None:
    broker.channel.queue_declare(OTHER, durable=True)
    broker.channel.queue_declare(SOURCE, durable=True)
    headers = {"CC": [SOURCE]}
    broker.channel.basic_publish("", QUEUE, b"00000000", pika.BasicProperties(headers=headers))
    eventually(lambda: broker.ready(SOURCE) == 1, 5)
    run = acting.do("queue-move", target(), to=OTHER)
    assert (run.state, broker.ready(), broker.ready(SOURCE)) == (State.FAILED, 1, 1)
    purged = acting.do("queue-purge", target())
    way = acting.executor.undo(purged)
    assert way is not None
    card = acting.prepare(way[0], way[1], **way[2])
    assert "CC header" in " ".join(card.plan.warnings)


def test_a_frozen_broker_ends_a_call_in_time_and_is_found_again(acting: Acting, broker: Broker) -> None:
    admin = acting.admins.broker()
    broker.put(5)
    assert admin.depth(QUEUE).ready == 5
    broker.rig.freeze("rabbitmq")
    try:
        started = time.monotonic()
        assert "no answer" in acting.refusal("queue-purge", target())
        assert time.monotonic() - started < 12
    finally:
        broker.rig.thaw("rabbitmq")
    eventually(lambda: _ready(acting) == 5, 10)


def _ready(acting: Acting) -> int:
    answer = acting.executor.prepare("queue-purge", target(), {})
    return int(getattr(answer, "plan", None) is not None and answer.plan.payload["ready"])  # type: ignore[union-attr]  # a plan
