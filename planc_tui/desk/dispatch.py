"""Takes texts from the outbox to their channels.

Invariant: an attempt is written down before it begins and its outcome after it; a page is asked for again in the
transaction right before the network call, so none goes out after an acknowledgement; a channel that hangs holds up
neither another channel nor the caller.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from planc_tui.core.clock import Clock
from planc_tui.core.notify import Sender, SendFailed, Sent
from planc_tui.core.text import clean
from planc_tui.core.timeline import Actor, Draft, Event
from planc_tui.desk.parcels import parcel_for
from planc_tui.incident import outbox
from planc_tui.incident.fold import fold
from planc_tui.incident.model import Delivery, Incident
from planc_tui.incident.outbox import Failure, Ready
from planc_tui.journal import Journal, JournalError

log = logging.getLogger(__name__)

STUCK = 60.0  # seconds after which an attempt is given up for dead, however the receiver holds it

Spawn = Callable[[Callable[[], None]], None]


def in_thread(work: Callable[[], None]) -> None:
    """Run `work` on a daemon thread."""
    threading.Thread(target=work, name="outbox", daemon=True).start()


class Dispatcher:
    """Sends what is due. senders: by channel id. spawn: how one attempt is run."""

    def __init__(
        self,
        journal: Journal,
        senders: Mapping[str, Sender],
        actor: Actor,
        clock: Clock,
        spawn: Spawn = in_thread,
        rng: random.Random | None = None,
    ) -> None:
        self._journal = journal
        self._senders = senders
        self._actor = actor
        self._clock = clock
        self._spawn = spawn
        self._rng = rng or random.Random()
        self._lock = threading.Lock()
        self._busy: dict[tuple[str, bool], float] = {}

    @property
    def busy(self) -> int:
        """Attempts that are running."""
        with self._lock:
            return len(self._busy)

    def step(self, incidents: Iterable[Incident], now: float) -> int:
        """Begin every attempt whose time has come; returns how many. Never waits for the network."""
        begun = 0
        for item in outbox.ready(incidents, now):
            started = self._clock.monotonic()
            with self._lock:
                if started - self._busy.get(item.lane, -STUCK) < STUCK:
                    continue
                self._busy[item.lane] = started
            begun += 1
            self._spawn(self._work(item))
        return begun

    def _work(self, item: Ready) -> Callable[[], None]:
        def work() -> None:
            try:
                self._attempt(item.incident.id, item.delivery.id)
            except JournalError as error:
                log.warning("outbox: %s", error.message)
            finally:
                with self._lock:
                    self._busy.pop(item.lane, None)

        return work

    def _attempt(self, incident_id: str, delivery_id: str) -> None:
        claimed: list[tuple[Incident, Delivery, float]] = []

        def claim(events: Sequence[Event], now: float) -> tuple[Draft, ...]:
            incident = fold(events)
            drafts = outbox.begin(incident, delivery_id, self._actor, now)
            delivery = incident.delivery(delivery_id)
            if drafts and delivery is not None:
                claimed.append((incident, delivery, now))
            return drafts

        if not self._journal.transact(incident_id, claim) or not claimed:
            return
        incident, delivery, now = claimed[0]
        began = self._clock.monotonic()
        try:
            answer = self._send(incident, delivery, now)
        except SendFailed as failure:
            self._write_failure(incident_id, delivery_id, failure)
            return
        latency = round((self._clock.monotonic() - began) * 1000)
        self._write_success(incident_id, delivery_id, answer, latency)

    def _send(self, incident: Incident, delivery: Delivery, now: float) -> Sent:
        sender = self._senders.get(delivery.channel)
        if sender is None:
            raise SendFailed(
                f"the channel {delivery.channel} is not set up on this machine", final=True, configured=False
            )
        try:
            return sender.send(parcel_for(incident, delivery, now))
        except SendFailed:
            raise
        except Exception as error:
            # A channel's driver may fail in ways nobody foresaw; the ladder must go on.
            log.error("channel %s: unforeseen %s", delivery.channel, type(error).__name__)
            raise SendFailed(f"planc could not use this channel ({type(error).__name__})") from None

    def _write_success(self, incident_id: str, delivery_id: str, answer: Sent, latency: int) -> None:
        def decide(events: Sequence[Event], now: float) -> tuple[Draft, ...]:
            incident = fold(events)
            delivery = incident.delivery(delivery_id)
            if delivery is None:
                return ()
            data: dict[str, object] = {"status": answer.status, "note": clean(answer.note, 200), "latency_ms": latency}
            return (outbox.sent(incident, delivery, self._actor, now, data),)

        self._journal.transact(incident_id, decide)

    def _write_failure(self, incident_id: str, delivery_id: str, failure: SendFailed) -> None:
        reason = Failure(
            clean(failure.message, 200),
            failure.status,
            failure.final,
            failure.configured,
            failure.retry_after,
            self._rng.random(),
        )

        def decide(events: Sequence[Event], now: float) -> tuple[Draft, ...]:
            incident = fold(events)
            delivery = incident.delivery(delivery_id)
            if delivery is None:
                return ()
            return outbox.failed(incident, delivery, self._actor, now, reason)

        self._journal.transact(incident_id, decide)
