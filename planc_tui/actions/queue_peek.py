"""Read the first messages of a queue and put them back.

Invariant: no message leaves the queue. What was read is shown to the person who asked and is never written down.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from planc_tui.actions.base import Action, Outcome, Param, Plan, Ports, Receipt, Refusal, Report, Risk, Verdict
from planc_tui.actions.queue_common import the_queue
from planc_tui.core.messages_text import message_lines
from planc_tui.core.table import Target
from planc_tui.core.text import clean

FIRST, AT_MOST = 20, 100


class QueuePeek(Action):
    """Look at the first messages; the broker marks them as redelivered, which is all that changes."""

    id = "queue-peek"
    title = "Peek at messages"
    key = "K"
    risk = Risk.LOW
    kinds = ("Queue",)
    params = (Param("count", "how many", "int", default=str(FIRST), help=f"at most {AT_MOST}"),)
    checked = "the queue exists and has messages that are ready; nothing is taken off it"
    undone = "nothing to undo; the messages stay, marked as redelivered"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        queue = the_queue(ports, target)
        depth = ports.broker().depth(queue.name)
        return {"queue": queue, "ready": depth.ready, "consumers": depth.consumers}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        queue: Target = seen["queue"]
        text = args.get("count", "").strip() or str(FIRST)
        if not (text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= AT_MOST):
            return Refusal(f"how many must be a whole number from 1 to {AT_MOST}, not {text[:20]!r}")
        if not seen["ready"]:
            return Refusal("the queue has no message that is ready: nothing to look at")
        count = min(int(text), seen["ready"])
        vhost = "" if queue.namespace == "/" else f" --vhost={shlex.quote(clean(queue.namespace))}"
        name = shlex.quote(f"queue={clean(queue.name)}")
        busy = (f"{seen['consumers']} consumers work on it: what they hold is not shown",) if seen["consumers"] else ()
        return Plan(
            action=self.id,
            title=self.title,
            context=queue.context,
            namespace=queue.namespace,
            targets=(queue,),
            changes=(),
            risk=self.risk,
            blast=(
                f"reads the first {count:,} of {seen['ready']:,} messages and puts them back where they were",
                "the broker marks these as redelivered; a queue with a delivery limit counts it",
            ),
            warnings=busy,
            equivalents=(f"rabbitmqadmin{vhost} get {name} ackmode=ack_requeue_true count={count}",),
            undo=self.undone,
            deadline=30.0,
            payload={"count": count},
        )

    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        """Get, keep unacknowledged, requeue. Raises PortError."""
        broker, name = ports.broker(), plan.targets[0].name
        report(f"reading {plan.payload['count']:,}")
        messages = broker.peek(name, plan.payload["count"])
        ready = broker.depth(name).ready
        return Receipt({"count": len(messages), "ready": ready}, shown=message_lines(messages, ready))

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        if "count" not in receipt.data:
            return Verdict(Outcome.FAILED, "nothing was shown; the broker puts back what a lost connection held")
        count, ready = receipt.data["count"], receipt.data["ready"]
        return Verdict(Outcome.RECOVERED, f"{count:,} messages read and put back, {ready:,} ready")
