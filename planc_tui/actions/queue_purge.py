"""Empty a queue, with its messages saved first; put them back; look at them; move them.

Invariant: a message leaves the queue only after it lies in a file of mode 0600 that was flushed to disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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
from planc_tui.actions.messages_file import MessagesFileError, MessagesWriter, read_messages
from planc_tui.core.ports import PortError, Rejected
from planc_tui.core.table import Target
from planc_tui.core.text import clean


class QueuePurge(Action):
    """Save every ready message to a file, then remove it from the queue."""

    id = "queue-purge"
    title = "Purge queue"
    key = "x"
    risk = Risk.HIGH
    kinds = ("Queue",)
    checked = "the queue exists and holds messages, room on the disk; each batch is on disk before it is removed"
    undone = "publishes the saved messages again"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        depth = ports.broker().depth(target.name)
        stamp = datetime.fromtimestamp(ports.clock.now(), UTC).strftime("%Y%m%dT%H%M%SZ")
        safe = "".join(char if char.isalnum() or char in "-_." else "_" for char in target.name)[:80]
        file = str(Path(ports.folder) / "queues" / f"{safe}-{stamp}.jsonl")
        return {"ready": depth.ready, "consumers": depth.consumers, "file": file, "context": ports.cluster.context}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        if not seen["ready"]:
            return Refusal("the queue has no message that is ready: nothing to purge (unacknowledged ones stay)")
        busy = (f"{seen['consumers']} consumers work on it: they lose what is purged",) if seen["consumers"] else ()
        return Plan(
            action=self.id,
            title=self.title,
            context=seen["context"],
            namespace=target.namespace,
            targets=(target,),
            changes=(Change("messages ready", str(seen["ready"]), "0"), Change("saved to", "", seen["file"])),
            risk=self.risk,
            blast=(f"{seen['ready']} messages leave the queue; unacknowledged ones stay",),
            warnings=busy,
            equivalents=(f"rabbitmqctl purge_queue {clean(target.name)}   (which saves nothing)",),
            undo="publishes the saved messages again",
            confirm_word=clean(target.name),
            deadline=600.0,
            payload={"file": seen["file"], "ready": seen["ready"]},
        )

    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        """Take, save, acknowledge. Raises PortError, Stopped; the file holds exactly what left the queue."""
        broker, queue = ports.broker(), plan.targets[0].name
        path = Path(plan.payload["file"])
        try:
            writer = MessagesWriter(path)
            for count in broker.take(queue, writer.keep, lambda: report.cancelled):
                report(f"{count}/{plan.payload['ready']} saved and removed")
            writer.finish()
        except OSError as error:
            raise Rejected(f"{path}: {error.strerror}: nothing unsaved was removed") from None
        except (Stopped, PortError) as error:
            writer.finish()
            text = f"{writer.count} of {plan.payload['ready']} messages were moved to {path}"
            if isinstance(error, Stopped):
                raise Stopped(text) from None
            error.message = f"{error.message}; {text}"
            raise
        return Receipt({"file": str(path), "count": writer.count})

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        depth = ports.broker().depth(plan.targets[0].name)
        saved = receipt.data.get("count", "?")
        if depth.ready == 0:
            return Verdict(Outcome.RECOVERED, f"empty, {saved} messages saved")
        return Verdict(Outcome.RECOVERED, f"{saved} messages saved, {depth.ready} arrived since")

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        return "queue-restore", plan.targets[0], {"file": str(receipt.data["file"])}


class QueueRestore(Action):
    """Publish saved messages to their queue again."""

    id = "queue-restore"
    title = "Restore messages"
    risk = Risk.HIGH
    kinds = ("Queue",)
    params = (Param("file", "file of saved messages"),)
    checked = "the file is complete and unchanged, the queue exists; the broker confirms each message"
    undone = "purge again"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            count = sum(len(batch) for batch in read_messages(Path(args.get("file", ""))))
        except MessagesFileError as error:
            raise Rejected(str(error)) from None
        return {"ready": ports.broker().depth(target.name).ready, "count": count, "context": ports.cluster.context}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        if not seen["count"]:
            return Refusal("the file holds no message")
        total = seen["ready"] + seen["count"]
        return Plan(
            action=self.id,
            title=self.title,
            context=seen["context"],
            namespace=target.namespace,
            targets=(target,),
            changes=(Change("messages ready", str(seen["ready"]), str(total)), Change("from", args["file"], "")),
            risk=self.risk,
            blast=(f"publishes {seen['count']} messages; consumers will see them again",),
            undo="purge again",
            confirm_word=clean(target.name),
            deadline=600.0,
            payload={"file": args["file"], "count": seen["count"]},
        )

    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        """Publish batch by batch, each confirmed. Raises PortError, Stopped; both say how many are back."""
        done = 0
        try:
            for batch in read_messages(Path(plan.payload["file"])):
                report(f"{done}/{plan.payload['count']} published")
                ports.broker().publish(plan.targets[0].name, batch)
                done += len(batch)
        except Stopped:
            raise Stopped(f"{done} of {plan.payload['count']} messages are back") from None
        except PortError as error:
            error.message = f"{error.message}; at least {done} of {plan.payload['count']} messages are back"
            raise
        return Receipt({"count": done})

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        depth = ports.broker().depth(plan.targets[0].name)
        return Verdict(Outcome.RECOVERED, f"{receipt.data.get('count', '?')} messages confirmed, {depth.ready} ready")


class QueueMove(Action):
    """Move every ready message to another queue, such as from the dead-letter queue back to its source."""

    id = "queue-move"
    title = "Move messages"
    key = "v"
    risk = Risk.HIGH
    kinds = ("Queue",)
    params = (Param("to", "to queue", help="empty: the queue each message died in"),)
    checked = "both queues exist; a message is removed only after the broker confirmed its copy"
    undone = "move back"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        broker = ports.broker()
        depth = broker.depth(target.name)
        to = args.get("to", "").strip()
        heads = broker.peek(target.name, 1) if depth.ready and not to else ()
        source = to or (died_in(heads[0].properties) if heads else "")
        into = broker.depth(source).ready if source else 0
        return {"ready": depth.ready, "to": source, "into": into, "named": to, "context": ports.cluster.context}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        to, ready = seen["to"], seen["ready"]
        if not ready:
            return Refusal("the queue has no message that is ready: nothing to move")
        if not to:
            return Refusal("its first message does not say where it died: name the queue to move to")
        if to == target.name:
            return Refusal("that is the same queue: name another one")
        rule = "" if seen["named"] else " (each to the queue that it died in)"
        return Plan(
            action=self.id,
            title=self.title,
            context=seen["context"],
            namespace=target.namespace,
            targets=(target,),
            changes=(
                Change(f"{clean(target.name)} ready", str(ready), "0"),
                Change(f"{clean(to)} ready", str(seen["into"]), str(seen["into"] + ready)),
            ),
            risk=self.risk,
            blast=(f"moves {ready} messages{rule}; consumers will see them again",),
            undo=f"move back from {clean(to)}",
            confirm_word=clean(target.name),
            deadline=600.0,
            payload={"to": seen["named"], "shown": to, "ready": ready},
        )

    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        """Publish the copy, have it confirmed, then acknowledge. Raises PortError, Stopped."""
        broker, moved = ports.broker(), 0

        def pass_on(messages: Any) -> None:
            by_queue: dict[str, list[Any]] = {}
            for message in messages:
                to = plan.payload["to"] or died_in(message.properties) or plan.payload["shown"]
                by_queue.setdefault(to, []).append(message)
            for queue, batch in by_queue.items():
                broker.publish(queue, batch)

        try:
            for moved in broker.take(plan.targets[0].name, pass_on, lambda: report.cancelled):
                report(f"{moved}/{plan.payload['ready']} moved")
        except Stopped:
            raise Stopped(f"{moved} of {plan.payload['ready']} messages were moved") from None
        except PortError as error:
            error.message = f"{error.message}; {moved} of {plan.payload['ready']} messages were moved for certain"
            raise
        return Receipt({"count": moved})

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        depth = ports.broker().depth(plan.targets[0].name)
        return Verdict(Outcome.RECOVERED, f"{receipt.data.get('count', '?')} messages moved, {depth.ready} left")

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        target = plan.targets[0]
        back = Target("Queue", plan.payload["shown"], target.namespace, "", target.context)
        return self.id, back, {"to": target.name}


def died_in(properties: Mapping[str, Any]) -> str:
    """The queue a message died in, by its x-death header; "" when it has none.

    >>> died_in({"headers": {"x-death": [{"queue": "tasks", "reason": "rejected"}]}})
    'tasks'
    """
    deaths = (properties.get("headers") or {}).get("x-death") or []
    first = deaths[0] if isinstance(deaths, list) and deaths else {}
    name = first.get("queue") if isinstance(first, dict) else None
    return name if isinstance(name, str) else ""
