"""A broker in memory that keeps BrokerAdmin's contract, and breaks where a test says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from planc_tui.core.admin import Depth, Message
from planc_tui.core.ports import NotFound, PortError

BATCH = 3


class FakeBroker:
    """Queues by name. taking, publishing: faults that come after so many messages."""

    def __init__(self, **queues: Sequence[Message]) -> None:
        self.queues = {name: list(messages) for name, messages in queues.items()}
        self.taking: tuple[int, PortError] | None = None
        self.publishing: tuple[int, PortError] | None = None
        self.consumers = 0

    def depth(self, queue: str) -> Depth:
        return Depth(len(self._get(queue)), self.consumers)

    def peek(self, queue: str, count: int) -> Sequence[Message]:
        return self._get(queue)[:count]

    def take(self, queue: str, keep: Callable[[Sequence[Message]], None], stop: Callable[[], bool]) -> Iterator[int]:
        held, gone = self._get(queue), 0
        ready = len(held)
        while gone < ready and not stop():
            batch = held[: min(BATCH, ready - gone)]
            keep(batch)
            if self.taking is not None and gone + len(batch) > self.taking[0]:
                raise self.taking[1]
            del held[: len(batch)]
            gone += len(batch)
            yield gone

    def publish(
        self, queue: str, messages: Iterable[Message], confirmed: Callable[[int], None] = lambda count: None
    ) -> int:
        held, done, source = self._get(queue), 0, iter(messages)
        while batch := list(islice(source, BATCH)):
            for message in batch:
                if self.publishing is not None and done == self.publishing[0]:
                    confirmed(done)
                    raise self.publishing[1]
                held.append(message)
                done += 1
            confirmed(done)
        return done

    def close(self) -> None:
        """Nothing to close."""

    def _get(self, queue: str) -> list[Message]:
        if queue not in self.queues:
            raise NotFound(f"NOT_FOUND - no queue '{queue}' in vhost '/'")
        return self.queues[queue]
