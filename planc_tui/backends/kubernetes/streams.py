"""Long answers, piece by piece.

Invariant: the thread that reads a stream wakes within moments of `close`, and a stream that was closed ends without
an error, whatever the socket said when it went away.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from planc_tui.backends.kubernetes.dial import Exchange
from planc_tui.backends.kubernetes.errors import failure_error, silence
from planc_tui.core.ports import BadAnswer, PortError, Unreachable

PIECE = 65_536


class HttpStream:
    """One watch or followed log. `opener` sends the request when the stream is first read or `open`ed."""

    def __init__(
        self,
        exchange: Exchange,
        opener: Callable[[], Any],
        *,
        server: str,
        idle: float,
        received: Callable[[int], None],
        ended: Callable[[HttpStream], None],
    ) -> None:
        self._exchange = exchange
        self._opener = opener
        self._server = server
        self._idle = idle
        self._received = received
        self._ended = ended
        self._response: Any = None
        self._lock = threading.Lock()
        self._busy = False

    def open(self) -> None:
        """Send the request and wait for the head of the answer. Raises PortError."""
        self._busy = True
        try:
            self._response = self._opener()
        finally:
            with self._lock:
                self._busy = False
                failed = self._response is None
                unused = self._exchange.killed and not failed
            if failed or unused:
                self._finish()

    def __iter__(self) -> Iterator[bytes]:
        with self._lock:
            if self._exchange.killed or self._busy:
                return
            self._busy = True
        try:
            if self._response is None:
                self._response = self._opener()
            for piece in _pieces(self._response):
                self._received(len(piece))
                yield piece
        except GeneratorExit:
            raise
        except Exception as error:
            if not self._exchange.killed:
                raise self._error(error) from None
        finally:
            self._finish()

    def close(self) -> None:
        """Wake the reader and end; from any thread, more than once."""
        self._exchange.kill()
        with self._lock:
            reading = self._busy
        if not reading:
            self._finish()

    # The hub and the executor treat everything that can be ended alike.
    kill = close

    def _finish(self) -> None:
        self._exchange.settle()
        response, self._response = self._response, None
        if response is not None:
            response.close()
        self._ended(self)

    def _error(self, error: Exception) -> PortError:
        found = failure_error(error, self._server, self._idle)
        if isinstance(error, PortError):
            return found
        if type(error).__name__ == "ReadTimeoutError":
            return silence(self._server, self._idle)
        if isinstance(found, BadAnswer):
            return Unreachable(f"the connection to {self._server} ended")
        return found


def _pieces(response: Any) -> Iterator[bytes]:
    """Bytes as they arrive: one chunk each where the answer is chunked, what a read gives otherwise."""
    if response.chunked:
        yield from response.read_chunked(PIECE, decode_content=False)
        return
    while piece := response.read1(PIECE, decode_content=False):
        yield piece
