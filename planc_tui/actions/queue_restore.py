"""Put the messages of a purge back into their queue.

Invariant: nothing is published from a file that was changed, and what may be in the queue still is looked for before it
is published again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from planc_tui.actions.base import (
    Action,
    Change,
    Outcome,
    Param,
    Plan,
    Ports,
    Receipt,
    Refusal,
    Report,
    Risk,
    Stopped,
    Verdict,
)
from planc_tui.actions.messages_file import MessagesFileError, Saved, look, read_messages
from planc_tui.actions.queue_common import copied_to, the_queue
from planc_tui.core.admin import BrokerAdmin, Message
from planc_tui.core.ports import PortError, Rejected
from planc_tui.core.table import Target
from planc_tui.core.text import clean


class QueueRestore(Action):
    """Publish saved messages to their queue again."""

    id = "queue-restore"
    title = "Restore messages"
    risk = Risk.HIGH
    kinds = ("Queue",)
    params = (
        Param("file", "file of saved messages"),
        Param("skip", "messages that are back already", "int", default="0"),
    )
    checked = "the file is unchanged, the queue exists; the broker confirms each message"
    undone = "purge again"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        queue, path = the_queue(ports, target), Path(args.get("file", "").strip()).expanduser()
        try:
            saved = look(path)
            copied = sum(
                copied_to(message.properties) for batch in read_messages(path, saved.count) for message in batch
            )
        except MessagesFileError as error:
            raise Rejected(str(error)) from None
        except OSError as error:
            raise Rejected(f"{path} cannot be read: {error.strerror}") from None
        ready = ports.broker().depth(queue.name).ready
        return {"queue": queue, "saved": saved, "copied": copied, "ready": ready, "file": str(path)}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        queue: Target = seen["queue"]
        saved: Saved = seen["saved"]
        skip = args.get("skip", "").strip() or "0"
        if not (skip.isascii() and skip.isdecimal()) or int(skip) > saved.count:
            return Refusal(f"the file holds {saved.count} messages: skip a whole number of them, not {skip[:20]!r}")
        count = saved.count - int(skip)
        if not count:
            return Refusal("there is no message left to publish")
        return Plan(
            action=self.id,
            title=self.title,
            context=queue.context,
            namespace=queue.namespace,
            targets=(queue,),
            changes=(
                Change("messages ready", str(seen["ready"]), str(seen["ready"] + count)),
                Change("from", "", seen["file"]),
            ),
            risk=self.risk,
            blast=(f"publishes {count:,} messages, behind those that are there; consumers will see them again",),
            warnings=tuple(_warnings(queue.name, saved, seen["copied"])),
            undo=self.undone,
            confirm_word=clean(queue.name),
            deadline=600.0,
            payload={
                "file": seen["file"],
                "count": count,
                "skip": int(skip),
                "saved": saved.count,
                "unsure": saved.unsure,
            },
        )

    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        """Publish in order, each confirmed. What is back when it fails is in the receipt. Raises PortError, Stopped."""
        payload, queue, broker = plan.payload, plan.targets[0].name, ports.broker()
        path, there = Path(payload["file"]), 0
        done = 0

        def messages() -> Iterator[Message]:
            nonlocal there
            here = _still_there(broker, queue, payload["unsure"])
            number = payload["skip"]
            for batch in read_messages(path, payload["saved"], payload["skip"]):
                for message in batch:
                    number += 1
                    key = _key(message)
                    if number > payload["saved"] - payload["unsure"] and here[key] > 0:
                        here[key] -= 1
                        there += 1
                        continue
                    yield message

        def confirmed(count: int) -> None:
            nonlocal done
            done = count
            report(f"{done:,}/{payload['count']:,} published")

        try:
            broker.publish(queue, messages(), confirmed)
        except Stopped:
            raise Stopped(self._partly(plan, done), Receipt({"count": done})) from None
        except OSError as error:
            return Receipt({"count": done}, f"{path}: {error.strerror}; {self._partly(plan, done)}")
        except (PortError, MessagesFileError) as error:
            if not done:
                raise
            return Receipt({"count": done}, f"{error}; {self._partly(plan, done)}")
        return Receipt({"count": done, "there": there})

    def _partly(self, plan: Plan, done: int) -> str:
        back = plan.payload["skip"] + done
        return f"{done:,} of {plan.payload['count']:,} messages are back; restore the rest of the file with skip {back}"

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        if receipt.partial:
            return Verdict(Outcome.FAILED, receipt.partial)
        ready = ports.broker().depth(plan.targets[0].name).ready
        if "count" not in receipt.data:
            return Verdict(Outcome.UNKNOWN, f"{ready:,} are ready; {plan.payload['count']:,} were to be published")
        there = f", {receipt.data['there']} had not left" if receipt.data.get("there") else ""
        return Verdict(Outcome.RECOVERED, f"{receipt.data['count']:,} messages are back{there}, {ready:,} ready")


def _warnings(queue: str, saved: Saved, copied: int) -> Iterator[str]:
    if saved.queue != queue:
        yield f"they were saved from queue {clean(saved.queue)}"
    if not saved.complete:
        yield "the purge that saved them did not come to its end"
    if saved.unsure:
        yield f"the last {saved.unsure} may be in the queue still: planc looks before it publishes those"
    if copied:
        yield f"{copied} have a CC header: the broker copies them to those queues again"


def _still_there(broker: BrokerAdmin, queue: str, unsure: int) -> Counter[bytes]:
    """How often each of the first messages is in the queue; they went back to its head when the purge broke off."""
    return Counter(_key(message) for message in broker.peek(queue, unsure)) if unsure else Counter()


def _key(message: Message) -> bytes:
    return msgspec.json.encode([message.body, message.properties])
