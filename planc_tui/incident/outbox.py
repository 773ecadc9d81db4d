"""What must be sent now, what waits, and what happens after a failure.

Invariant: texts of one channel go out in the order they were written; a page never waits behind a message; a page
that nobody wants any more is never begun.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from planc_tui.core.timeline import Actor, Draft
from planc_tui.incident import kinds
from planc_tui.incident.escalation import ESCALATOR, page_delivery, page_draft, snoozed
from planc_tui.incident.model import Delivery, DeliveryState, Incident, State

ATTEMPT_LIMIT = 20.0  # seconds after which an attempt without outcome is taken for dead
FIRST_RETRY = 2.0
LONGEST_RETRY = 300.0
GIVE_UP = 86_400.0
LATE = 60.0  # seconds after which a text says that it is late
LEVEL_TRIES = 3  # failed tries of a page after which the next level is called as well

LADDER_KINDS = frozenset({"page", "acknowledge", "resolve"})


class Ready(Struct, frozen=True):
    """A delivery whose turn it is."""

    incident: Incident
    delivery: Delivery

    @property
    def lane(self) -> tuple[str, bool]:
        """What it must not overtake: texts of the same channel, pages and messages apart."""
        return self.delivery.channel, self.delivery.kind in LADDER_KINDS


def wanted(incident: Incident, delivery: Delivery, now: float) -> bool:
    """Whether it should still go out; asked again in the transaction right before it does."""
    if delivery.state is not DeliveryState.QUEUED:
        return False
    if not delivery.page:
        return True
    if delivery.manual:
        return incident.state.active
    return (
        incident.state is State.OPEN
        and delivery.generation == incident.generation.number
        and not snoozed(incident, now)
    )


def ready(incidents: Iterable[Incident], now: float) -> tuple[Ready, ...]:
    """The first waiting delivery of each lane, where its time has come."""
    waiting = [
        Ready(incident, delivery)
        for incident in incidents
        for delivery in incident.deliveries
        if delivery.state is DeliveryState.QUEUED and wanted(incident, delivery, now)
    ]
    heads: dict[tuple[str, bool], Ready] = {}
    for item in sorted(waiting, key=lambda item: item.delivery.seq):
        heads.setdefault(item.lane, item)
    return tuple(item for item in heads.values() if max(item.delivery.next_try, item.delivery.busy_until) <= now)


def begin(incident: Incident, delivery_id: str, actor: Actor, now: float) -> tuple[Draft, ...]:
    """The entry that claims one attempt; nothing when somebody else has it or it is not wanted any more."""
    delivery = incident.delivery(delivery_id)
    if delivery is None or not wanted(incident, delivery, now):
        return ()
    if max(delivery.next_try, delivery.busy_until) > now:
        return ()
    attempt = delivery.tries + 1
    data = {"delivery": delivery.id, "channel": delivery.channel, "try": attempt, "until": now + ATTEMPT_LIMIT}
    key = f"try/{delivery.id}/{attempt}"
    return (Draft(incident.id, kinds.DELIVERY_STARTED, actor, f"{delivery.channel}: try {attempt}", data, key=key),)


def sent(incident: Incident, delivery: Delivery, actor: Actor, now: float, data: dict[str, object]) -> Draft:
    """The entry of a success. data: status and latency."""
    late = max(0.0, now - delivery.queued_at)
    text = f"{delivery.kind} sent by {delivery.channel}" + (f", late by {late:.0f} s" if late > LATE else "")
    return Draft(
        incident.id,
        kinds.DELIVERY_SENT,
        actor,
        text,
        {"delivery": delivery.id, "channel": delivery.channel, "late_by": round(late, 1), **data},
        key=f"sent/{delivery.id}",
    )


class Failure(Struct, frozen=True):
    """Why a try failed. jitter: 0 to 1. retry_after: seconds the receiver asked for."""

    message: str
    status: int = 0
    final: bool = False
    configured: bool = True
    retry_after: float | None = None
    jitter: float = 0.5


def retry_delay(tries: int, failure: Failure) -> float:
    """Seconds until the next try: doubling, half fixed and half random; never earlier than the receiver asked."""
    ceiling = min(FIRST_RETRY * 2.0 ** min(tries - 1, 20), LONGEST_RETRY)
    delay = ceiling / 2 + failure.jitter * ceiling / 2
    return delay if failure.retry_after is None else max(delay, min(failure.retry_after, 3600.0))


def failed(incident: Incident, delivery: Delivery, actor: Actor, now: float, failure: Failure) -> tuple[Draft, ...]:
    """The entry of a failure, and for a page the next way to reach somebody."""
    tries = max(1, delivery.tries)
    delay = retry_delay(tries, failure)
    over = failure.final or now + delay - delivery.queued_at > GIVE_UP
    data = {
        "delivery": delivery.id,
        "channel": delivery.channel,
        "error": failure.message,
        "status": failure.status,
        "try": tries,
        "final": over,
        "next_try": now + delay,
    }
    word = "failed" if over else f"failed, next try in {delay:.0f} s"
    entry = Draft(
        incident.id,
        kinds.DELIVERY_FAILED,
        actor,
        f"{delivery.kind} by {delivery.channel} {word}: {failure.message}",
        data,
        key=f"failed/{delivery.id}/{tries}",
    )
    return (entry, *_another_way(incident, delivery, over, tries, failure))


def _another_way(incident: Incident, delivery: Delivery, over: bool, tries: int, failure: Failure) -> tuple[Draft, ...]:
    """The next channel of the level at the first failure; the next level when the page cannot be delivered."""
    if delivery.kind != "page" or delivery.state is not DeliveryState.QUEUED:
        return ()
    ladder = incident.rule.ladder
    rung = next((known for known in ladder if known.id == delivery.level), None)
    if rung is None:
        return ()
    used = {known.channel for known in incident.deliveries if known.page == delivery.page}
    for name in rung.channels:
        channel = incident.policy.channel(name)
        if channel is not None and name not in used:
            item = page_delivery(incident, rung, channel, delivery.page, manual=delivery.manual)
            text = f"{rung.id} {rung.who} by {channel.name} instead of {delivery.channel}"
            return (Draft(incident.id, kinds.DELIVERY_QUEUED, ESCALATOR, text, {"deliveries": [item]}),)
    if delivery.manual or not failure.configured or not (over or tries >= LEVEL_TRIES):
        return ()
    higher = min((known for known in ladder if known.after > rung.after), key=lambda known: known.after, default=None)
    if higher is None:
        return ()
    return (page_draft(incident, higher, ESCALATOR, f"{rung.id} cannot be reached"),)
