"""Move the messages of a queue to another, such as from a dead-letter queue back to where they died.

Invariant: a message is removed only after the broker confirmed its copy; a move that breaks off may leave some messages
in both queues and says how many, and loses none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from planc_tui.actions.queue_common import copied_to, died_in, the_queue
from planc_tui.core.admin import BrokerAdmin, Message
from planc_tui.core.ports import PortError, Rejected
from planc_tui.core.table import Target
from planc_tui.core.text import clean


class QueueMove(Action):
    """Move every ready message to another queue."""

    id = "queue-move"
    title = "Move messages"
    key = "v"
    risk = Risk.HIGH
    kinds = ("Queue",)
    params = (Param("to", "to queue", help="empty: the queue each message died in"),)
    checked = "both queues exist; a message is removed only after the broker confirmed its copy"
    undone = "moves them back, when the other queue was empty before"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        queue, broker, to = the_queue(ports, target), ports.broker(), args.get("to", "").strip()
        into = broker.depth(to).ready if to else 0
        return {"queue": queue, "ready": broker.depth(queue.name).ready, "to": to, "into": into}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        queue: Target = seen["queue"]
        to, ready, into = seen["to"], seen["ready"], seen["into"]
        if not ready:
            return Refusal("the queue has no message that is ready: nothing to move")
        if to == queue.name:
            return Refusal("that is the same queue: name another one")
        label = f"{clean(to)} ready" if to else "the queue each message died in"
        gets = Change(label, str(into), str(into + ready)) if to else Change(label, "", f"+{ready} in all")
        return Plan(
            action=self.id,
            title=self.title,
            context=queue.context,
            namespace=queue.namespace,
            targets=(queue,),
            changes=(Change(f"{clean(queue.name)} ready", str(ready), "0"), gets),
            risk=self.risk,
            blast=(f"moves {ready:,} messages; the consumers there will see them",),
            undo=f"moves them back from {clean(to)}" if to and not into else "",
            confirm_word=clean(queue.name),
            deadline=600.0,
            payload={"to": to, "into": into, "ready": ready},
        )

    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        """Publish the copy, have it confirmed, then acknowledge. Raises PortError, Stopped."""
        broker, source, ready = ports.broker(), plan.targets[0].name, plan.payload["ready"]
        moved = 0
        passing = _Passing(broker, source, plan.payload["to"])
        fault = ""
        try:
            for moved in broker.take(source, passing.on, lambda: report.cancelled):
                passing.settled()
                report(f"{moved:,}/{ready:,} moved")
        except Stopped:
            fault = "cancelled"
        except PortError as error:
            if not moved and not passing.unsure:
                raise
            fault = error.message
        both = f", {passing.unsure} more may be in both queues" if passing.unsure else ""
        done = f"{moved:,} of {ready:,} messages were moved{both}"
        if fault == "cancelled" or (not fault and report.cancelled and moved < ready):
            raise Stopped(done, Receipt({"count": moved}))
        return Receipt({"count": moved}, f"{fault}; {done}" if fault else "")

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        if receipt.partial:
            return Verdict(Outcome.FAILED, receipt.partial)
        left = ports.broker().depth(plan.targets[0].name).ready
        if "count" not in receipt.data:
            return Verdict(Outcome.UNKNOWN, f"{left:,} of {plan.payload['ready']:,} messages are left; none was lost")
        return Verdict(Outcome.RECOVERED, f"{receipt.data['count']:,} messages moved, {left:,} left")

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        """Only when nothing else can be meant: one queue, which was empty."""
        source, to = plan.targets[0], plan.payload["to"]
        if not to or plan.payload["into"] or not receipt.data.get("count"):
            return None
        back = Target("Queue", to, source.namespace, f"{source.namespace}/{to}", source.context)
        return self.id, back, {"to": source.name}


class _Passing:
    """Publishes copies of batches. unsure: copies that were confirmed while their originals may still be there."""

    def __init__(self, broker: BrokerAdmin, source: str, to: str) -> None:
        self._broker = broker
        self._source = source
        self._to = to
        self.unsure = 0

    def on(self, messages: Sequence[Message]) -> None:
        """Copy one batch. Raises PortError, before anything is published when a message has no way."""
        ways: dict[str, list[Message]] = {}
        for message in messages:
            to = self._to or died_in(message.properties)
            if not to or to == self._source:
                raise Rejected("a message does not say in which other queue it died: name the queue to move to")
            if copied_to(message.properties):
                raise Rejected("a message has a CC header, the broker would copy it to those queues again")
            ways.setdefault(to, []).append(message)
        for to, batch in ways.items():
            before = self.unsure

            def confirmed(count: int, before: int = before) -> None:
                self.unsure = before + count

            self._broker.publish(to, batch, confirmed)

    def settled(self) -> None:
        """The originals of what was copied so far are gone."""
        self.unsure = 0
