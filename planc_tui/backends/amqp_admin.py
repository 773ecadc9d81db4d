"""What planc changes in RabbitMQ: it takes messages off a queue, and publishes messages to one.

Invariant: a message is acknowledged only after it was kept; what is published has the very bytes of properties that it
was taken with; nothing is ever declared; a broker that is frozen ends a call in time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from planc_tui.backends.amqp import AmqpLink
from planc_tui.backends.amqp_properties import PropertiesError, decode, encode, headers_of
from planc_tui.backends.watchdog import Cutter
from planc_tui.core.admin import Depth, Message
from planc_tui.core.clock import Clock
from planc_tui.core.ports import Denied, NotFound, PortError, Rejected, Unreachable
from planc_tui.core.text import clean

if TYPE_CHECKING:
    from pika import BlockingConnection
    from pika.adapters.blocking_connection import BlockingChannel

CALL_TIMEOUT = 10.0  # seconds for one answer of a broker that is at its limits
BATCH = 200
BATCH_BYTES = 8 * 1024 * 1024
FIRST_BATCH = 20  # before the size of the messages is known
WINDOW = 500  # messages that are published before their confirmations are waited for
QUIET = 2.0  # seconds without a message after which the depth is asked for again
TICK = 0.02  # seconds between two looks for confirmations, which do not wake pika
SILENT = 30.0  # seconds without a message that should come, or without a confirmation
SLOWEST = 250_000  # bytes a second that a link must carry


class _Line:
    """One connection with a channel for one call at a time. Everything on it that fails is a PortError."""

    def __init__(self, link: AmqpLink) -> None:
        self._link = link
        self.connection: BlockingConnection
        self.channel: BlockingChannel
        self._cutter: Cutter

    def open(self) -> None:
        """A fresh channel, on the connection that is there when it still works. Raises PortError."""
        with self._link.guarded():
            self._link.check()
            self.connection, self._cutter = self._link.open()
        with self.talk():
            self._link.sent()
            self.channel = self.connection.channel()

    @contextmanager
    def talk(self, seconds: float = CALL_TIMEOUT) -> Iterator[None]:
        """Ends what runs longer, and puts pika's errors into words. Raises PortError."""
        from pika.exceptions import ChannelClosedByBroker

        with self._link.guarded():
            try:
                with self._cutter.limit(seconds):
                    yield
            except ChannelClosedByBroker as error:
                raise refusal(error.reply_code, error.reply_text) from None

    def depth(self, queue: str, seconds: float = CALL_TIMEOUT) -> Depth:
        """Asks on this line's channel, after everything that was sent on it before. Raises PortError."""
        with self.talk(seconds):
            answer = self.channel.queue_declare(queue, passive=True).method
        return Depth(answer.message_count, answer.consumer_count)

    def done(self) -> None:
        """The call is over; the connection stays. Raises PortError."""
        with self.talk():
            self.channel.close()

    def close(self) -> None:
        """Drops the connection; messages that were not acknowledged go back to their queue."""
        self._link.close()


class AmqpAdmin:
    """Acts on one broker. link: makes a link to it. Calls from several threads each have a connection of their own;
    one is kept for the next call."""

    def __init__(self, link: Callable[[], AmqpLink], clock: Clock) -> None:
        self._link = link
        self._clock = clock
        self._lock = threading.Lock()
        self._idle: _Line | None = None

    def depth(self, queue: str) -> Depth:
        """Ready messages and consumers. Raises NotFound when there is no such queue, PortError otherwise."""
        with self._line() as line:
            return line.depth(queue)

    def peek(self, queue: str, count: int) -> Sequence[Message]:
        """The first messages, put back where they were, marked as redelivered. Raises PortError."""
        with self._line() as line:
            found: list[Message] = []
            while len(found) < count:
                with line.talk(SILENT):
                    method, properties, body = line.channel.basic_get(queue, auto_ack=False)
                if method is None:
                    break
                found.append(_message(method, properties, body))
            if found:
                with line.talk():
                    line.channel.basic_nack(0, multiple=True, requeue=True)
                line.depth(queue)  # the answer comes after they are back
            return found

    def take(self, queue: str, keep: Callable[[Sequence[Message]], None], stop: Callable[[], bool]) -> Iterator[int]:
        """Take the messages that are ready now off the queue; see BrokerAdmin. Raises PortError."""
        with self._line() as line:
            gone, ready, size = 0, line.depth(queue).ready, FIRST_BATCH
            while gone < ready and not stop():
                batch, tag = self._batch(line, queue, min(size, ready - gone))
                if not batch:
                    return  # others took the rest
                keep(batch)
                with line.talk():
                    line.channel.basic_ack(tag, multiple=True)
                line.depth(queue)  # the answer comes after the broker has removed them
                gone += len(batch)
                size = _next_size(batch)
                yield gone

    def publish(
        self, queue: str, messages: Iterable[Message], confirmed: Callable[[int], None] = lambda count: None
    ) -> int:
        """Publish in order, each confirmed by the broker; see BrokerAdmin. Raises PortError."""
        with self._line() as line:
            line.depth(queue)
            return _Publisher(line, queue, self._clock).run(messages, confirmed)

    def close(self) -> None:
        """Drop the connection that is kept."""
        line = self._swap(None)
        if line is not None:
            line.close()

    def _batch(self, line: _Line, queue: str, wanted: int) -> tuple[list[Message], int]:
        """Up to `wanted` messages and the tag of the last. The prefetch keeps the broker from sending more."""
        found: list[Message] = []
        tags = [0]

        def arrived(_: Any, method: Any, properties: Any, body: bytes) -> None:
            tags.append(method.delivery_tag)
            found.append(_message(method, properties, body))

        with line.talk():
            line.channel.basic_qos(prefetch_count=wanted)
            consumer = line.channel.basic_consume(queue, arrived, auto_ack=False)
        self._collect(line, queue, wanted, found)
        with line.talk(SILENT):
            line.channel.basic_cancel(consumer)
        if found and "x-stream-offset" in headers_of(found[0].properties):
            raise Rejected(f"{clean(queue, 200)} is a stream: its messages cannot be taken off")
        return found, tags[-1]

    def _collect(self, line: _Line, queue: str, wanted: int, found: Sequence[Message]) -> None:
        """Wait until `wanted` messages are found, or no more come. Raises PortError."""
        last, had, size = self._clock.monotonic(), 0, 0
        while len(found) < wanted and size < BATCH_BYTES:
            with line.talk(SILENT):
                line.connection.process_data_events(time_limit=QUIET)
            if len(found) > had:
                size += sum(len(message.body) for message in found[had:])
                last, had = self._clock.monotonic(), len(found)
            elif line.depth(queue, SILENT).ready == 0:
                with line.talk():
                    line.connection.process_data_events(time_limit=0)  # what came before that answer
                if len(found) == had:
                    return
            elif self._clock.monotonic() - last > SILENT:
                raise Rejected(f"RabbitMQ gives planc nothing of {clean(queue, 200)}: stop its only active consumer")

    @contextmanager
    def _line(self) -> Iterator[_Line]:
        """A connection that works; kept afterwards when it still does."""
        line = self._swap(None) or _Line(self._link())
        try:
            line.open()
            yield line
            line.done()
        except BaseException:
            line.close()
            raise
        spare = self._swap(line)
        if spare is not None:
            spare.close()

    def _swap(self, line: _Line | None) -> _Line | None:
        """Keep `line`, and give back the one that was kept."""
        with self._lock:
            kept, self._idle = self._idle, line
        return kept


class _Publisher:
    """Publishes on one channel and counts the broker's confirmations."""

    def __init__(self, line: _Line, queue: str, clock: Clock) -> None:
        self._line = line
        self._queue = queue
        self._clock = clock
        self._sent = 0
        self._waiting: set[int] = set()
        self._fault: PortError | None = None

    def run(self, messages: Iterable[Message], confirmed: Callable[[int], None]) -> int:
        """Publish them all, with nothing in flight when `confirmed` is told. Raises PortError."""
        self._select()
        try:
            for window in _windows(messages):
                self._publish(window)
                self._settle()
                confirmed(self._sent)
        except PortError:
            confirmed(min(self._waiting) - 1 if self._waiting else self._sent)
            raise
        return self._sent

    def _select(self) -> None:
        """Ask for confirmations. BlockingChannel.confirm_delivery would wait for each message by itself."""
        channel, selected = self._line.channel._impl, threading.Event()
        channel.add_on_return_callback(self._returned)
        channel.add_on_close_callback(self._closed)
        with self._line.talk():
            channel.confirm_delivery(self._answered, lambda _: selected.set())
            while not selected.is_set():
                self._line.connection.process_data_events(time_limit=TICK)

    def _publish(self, window: Sequence[Message]) -> None:
        try:
            made = [_exact()[0](encode(message.properties)) for message in window]
        except PropertiesError as error:
            raise Rejected(str(error)) from None
        size = sum(len(message.body) for message in window)
        with self._line.talk(SILENT + size / SLOWEST):
            for message, properties in zip(window, made, strict=True):
                self._sent += 1
                self._waiting.add(self._sent)  # first, because the answer may come within the call
                self._line.channel.basic_publish("", self._queue, message.body, properties, mandatory=True)
                self._check()

    def _settle(self) -> None:
        """Wait until every message has its answer. Raises PortError."""
        last, had = self._clock.monotonic(), len(self._waiting)
        while self._waiting:
            with self._line.talk():
                self._line.connection.process_data_events(time_limit=TICK)
            self._check()
            if len(self._waiting) < had:
                last, had = self._clock.monotonic(), len(self._waiting)
            elif self._clock.monotonic() - last > SILENT:
                raise Unreachable("RabbitMQ confirms nothing: look for an alarm of memory or disk")

    def _check(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _answered(self, frame: Any) -> None:
        from pika.spec import Basic

        method = frame.method
        if self._fault is not None:
            return  # what is confirmed after a message was lost counts no more
        if isinstance(method, Basic.Nack):
            self._fault = Rejected(f"RabbitMQ refuses messages for {clean(self._queue, 200)}: is it full?")
        elif method.multiple:
            self._waiting = {tag for tag in self._waiting if tag > method.delivery_tag}
        else:
            self._waiting.discard(method.delivery_tag)

    def _closed(self, _: Any, reason: Any) -> None:
        code = getattr(reason, "reply_code", 0)
        self._fault = self._fault or refusal(code, getattr(reason, "reply_text", "the channel was closed"))

    def _returned(self, _: Any, method: Any, __: Any, ___: bytes) -> None:
        reason = clean(method.reply_text, 80)
        self._fault = Rejected(f"RabbitMQ returned a message for {clean(self._queue, 200)} ({reason}): is it gone?")


def refusal(code: int, text: str) -> PortError:
    """The fault behind the broker's reason for closing a channel.

    >>> refusal(404, "NOT_FOUND - no queue 'x' in vhost '/'").message
    "NOT_FOUND - no queue 'x' in vhost '/'"
    """
    words = clean(text, 200)
    if code == 404:
        return NotFound(words)
    if code == 403:
        return Denied(words, verb="read or write", resource="queue", hint="the user lacks this permission in the vhost")
    return Rejected(words, code=code)


def _windows(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Messages in groups of at most so many messages, and not many more bytes than a batch."""
    window: list[Message] = []
    size = 0
    for message in messages:
        window.append(message)
        size += len(message.body)
        if len(window) == WINDOW or size >= BATCH_BYTES:
            yield window
            window, size = [], 0
    if window:
        yield window


def _next_size(batch: Sequence[Message]) -> int:
    """How many messages of this size make a batch."""
    size = sum(len(message.body) for message in batch) // len(batch)
    return max(1, min(BATCH, BATCH_BYTES // max(1, size)))


def _message(method: Any, properties: Any, body: bytes) -> Message:
    return Message(
        body,
        _text(method.exchange),
        _text(method.routing_key),
        bool(method.redelivered),
        decode(properties.raw),
    )


def _text(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


@lru_cache(maxsize=1)
def _exact() -> tuple[Any, Any]:
    """Properties that are the bytes they came as, and a connection that hands them out.

    pika reads fractions as whole numbers, forgets the width of numbers, and fails on dates after the year 9999."""
    import struct

    from pika import BasicProperties, SelectConnection, frame, spec

    class ExactProperties(BasicProperties):  # type: ignore[misc]  # pika is not followed by the type checker
        def __init__(self, raw: bytes) -> None:
            super().__init__()
            self.raw = raw

        def encode(self) -> list[bytes]:
            return [self.raw]

    class ExactConnection(SelectConnection):  # type: ignore[misc]  # pika is not followed by the type checker
        def _read_frame(self) -> tuple[int, Any]:
            data = self._frame_buffer
            if data[:1] != bytes([spec.FRAME_HEADER]) or len(data) < spec.FRAME_HEADER_SIZE:
                return frame.decode_frame(data)  # type: ignore[no-any-return]  # pika is not followed
            _, channel, size = struct.unpack(">BHL", data[: spec.FRAME_HEADER_SIZE])
            end = spec.FRAME_HEADER_SIZE + size
            if data[end : end + 1] != bytes([spec.FRAME_END]):
                return frame.decode_frame(data)  # type: ignore[no-any-return]  # not all there yet, or broken
            content = bytes(data[spec.FRAME_HEADER_SIZE : end])
            (body_size,) = struct.unpack(">4xQ", content[:12])
            return end + spec.FRAME_END_SIZE, frame.Header(channel, body_size, ExactProperties(content[12:]))

    return ExactProperties, ExactConnection


def connector() -> Any:
    """The class of pika's connections that AmqpAdmin's links are to be made with."""
    return _exact()[1]
