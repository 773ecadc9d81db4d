"""Empty a queue, with its messages saved first.

Invariant: a message leaves the queue only after it lies in a file of mode 0600 that was flushed to disk. However a
purge ends, the file says what left the queue.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from planc_tui.actions.base import (
    Action,
    Change,
    Outcome,
    Plan,
    Ports,
    Receipt,
    Refusal,
    Report,
    Risk,
    Stopped,
    Verdict,
)
from planc_tui.actions.messages_file import MessagesFileError, MessagesWriter, look
from planc_tui.actions.queue_common import the_queue
from planc_tui.core.ports import PortError, Rejected
from planc_tui.core.table import Target
from planc_tui.core.text import clean

# Room that must be there before the size of the messages is known: so much, and a little for each message.
ROOM, ROOM_EACH = 32 * 1024 * 1024, 1024


class QueuePurge(Action):
    """Save every ready message to a file, then remove it from the queue."""

    id = "queue-purge"
    title = "Purge queue"
    key = "x"
    risk = Risk.HIGH
    kinds = ("Queue",)
    checked = "the queue holds messages, the disk has room; each batch is on disk before it leaves the queue"
    undone = "publishes the saved messages again"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        queue = the_queue(ports, target)
        depth = ports.broker().depth(queue.name)
        stamp = datetime.fromtimestamp(ports.clock.now(), UTC).strftime("%Y%m%dT%H%M%SZ")
        safe = re.sub(r"[^A-Za-z0-9._-]", "_", queue.name)[:80]
        folder = Path(ports.folder) / "queues"
        return {
            "queue": queue,
            "ready": depth.ready,
            "consumers": depth.consumers,
            "file": str(folder / f"{safe}-{stamp}.jsonl"),
            "room": room(folder),
        }

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        queue: Target = seen["queue"]
        ready, free = seen["ready"], seen["room"]
        if not ready:
            return Refusal("the queue has no message that is ready: nothing to purge (unacknowledged ones stay)")
        if free < ROOM + ROOM_EACH * ready:
            return Refusal(
                f"only {free // 1024**2} MiB are free for the messages: make room on the disk of planc's state"
            )
        busy = (f"{seen['consumers']} consumers work on it and go on taking messages",) if seen["consumers"] else ()
        return Plan(
            action=self.id,
            title=self.title,
            context=queue.context,
            namespace=queue.namespace,
            targets=(queue,),
            changes=(
                Change("messages ready", str(ready), "0"),
                Change("saved to", "", f"{seen['file']} ({free // 1024**2:,} MiB free)"),
            ),
            risk=self.risk,
            blast=(f"{ready:,} messages leave the queue; unacknowledged ones stay",),
            warnings=busy,
            undo=self.undone,
            confirm_word=clean(queue.name),
            deadline=600.0,
            payload={"file": seen["file"], "ready": ready},
        )

    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        """Take, save, acknowledge. What was saved before it failed is in the receipt. Raises PortError, Stopped."""
        queue, path, ready = plan.targets[0].name, Path(plan.payload["file"]), plan.payload["ready"]
        try:
            writer = MessagesWriter(path, queue)
        except OSError as error:
            raise Rejected(f"{path}: {error.strerror}: nothing was removed") from None
        gone, fault = 0, ""
        try:
            for gone in ports.broker().take(queue, writer.keep, lambda: report.cancelled):
                writer.gone(gone)
                report(f"{gone:,}/{ready:,} saved and removed")
        except Stopped:
            fault = "cancelled"
        except OSError as error:
            fault = f"{path}: {error.strerror}"
        except PortError as error:
            fault = error.message
        finally:
            writer.close(complete=not fault and not report.cancelled)
        if not writer.count:
            path.unlink()
        return self._ended(plan, gone, writer.count, fault or ("cancelled" if report.cancelled else ""))

    def _ended(self, plan: Plan, gone: int, kept: int, fault: str) -> Receipt:
        ready, path = plan.payload["ready"], plan.payload["file"]
        data = {"file": path, "count": kept}
        if not fault or (fault == "cancelled" and gone >= ready):
            return Receipt(data)
        unsure = f", and {kept - gone} more that may be in the queue still" if kept > gone else ""
        done = (
            f"{gone:,} of {ready:,} messages were saved to {path} and removed{unsure}"
            if kept
            else "nothing was removed"
        )
        if fault == "cancelled":
            raise Stopped(done, Receipt(data) if kept else None)
        if not kept:
            raise Rejected(f"{fault}; {done}")
        return Receipt(data, partial=f"{fault}; {done}; undo publishes them again")

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        if receipt.partial:
            return Verdict(Outcome.FAILED, receipt.partial)
        ready = ports.broker().depth(plan.targets[0].name).ready
        if "count" not in receipt.data:
            return self._after_a_break(plan, ready)
        saved = f"{receipt.data['count']:,} messages saved"
        return Verdict(Outcome.RECOVERED, f"{saved}, {ready:,} arrived since" if ready else f"empty, {saved}")

    def _after_a_break(self, plan: Plan, ready: int) -> Verdict:
        """What a purge left behind whose console was killed."""
        path = Path(plan.payload["file"])
        try:
            saved = look(path)
        except MessagesFileError:
            return Verdict(Outcome.FAILED, f"nothing was saved or removed; {ready:,} messages are ready")
        if saved.complete:
            return Verdict(Outcome.RECOVERED, f"{saved.count:,} messages are in {path}, {ready:,} are ready")
        unsure = f" ({saved.unsure} of them may be in the queue too)" if saved.unsure else ""
        return Verdict(
            Outcome.FAILED, f"broke off: {saved.count:,} messages are in {path}{unsure}, {ready:,} are in the queue"
        )

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        if not receipt.data.get("count"):
            return None
        return "queue-restore", plan.targets[0], {"file": str(receipt.data["file"])}


def room(folder: Path) -> int:
    """Bytes that are free where the folder is or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return 0
