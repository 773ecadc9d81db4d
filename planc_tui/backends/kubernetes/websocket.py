"""WebSockets to the API server for exec and port-forward.

Invariant: one thread reads and writes a link, without ever blocking in either, so that neither side can hold up the
other; a peer that is silent for 30 s although it was pinged counts as gone.
"""

from __future__ import annotations

import select
import socket
import ssl
import time
from typing import Any
from urllib.parse import urlencode

from planc_tui.backends.kubernetes.auth import Credential
from planc_tui.backends.kubernetes.client import ApiClient
from planc_tui.backends.kubernetes.dial import Exchange
from planc_tui.backends.kubernetes.errors import answer_error, failure_error, no_answer
from planc_tui.backends.kubernetes.frames import BINARY, CLOSE, PING, PONG, TEXT, FrameReader, encode
from planc_tui.core.ports import BadAnswer, LoginExpired, PortError, Unreachable

CONNECT_SECONDS = 5.0
PING_EVERY = 10.0
DEAD_AFTER = 30.0
_READ = 65_536
_READS_AT_ONCE = 16


class Link:
    """One open websocket with the channels of Kubernetes."""

    def __init__(self, sock: socket.socket, protocol: str, server: str) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._reader = FrameReader()
        self._out = bytearray()
        self._more = False
        self._heard = self._pinged = time.monotonic()
        self.protocol = protocol
        self.server = server
        self.ended = False

    @property
    def pending(self) -> int:
        """Bytes that wait to be sent."""
        return len(self._out)

    @property
    def silent(self) -> bool:
        """Whether the peer counts as gone."""
        return time.monotonic() - self._heard > DEAD_AFTER

    def send(self, channel: int, data: bytes) -> None:
        """Queue `data` for a channel and send what goes without waiting. Raises PortError."""
        self._out += encode(BINARY, bytes([channel]) + data)
        self.flush()

    def flush(self) -> None:
        """Send what goes without waiting. Raises PortError."""
        while self._out and not self.ended:
            try:
                # A TLS record that would have blocked must be offered again unchanged: the buffer only grows.
                sent = self._sock.send(self._out[:_READ])
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            except OSError as error:
                raise failure_error(error, self.server, DEAD_AFTER) from None
            del self._out[:sent]

    def wait(self, seconds: float, *, reading: bool = True, other: Any = None, events: int = 0) -> None:
        """Wait until there is something to do, at most `seconds`. other: a further socket, waited for `events`."""
        if self._more and reading:
            return
        poller = select.poll()
        wanted = (select.POLLIN if reading else 0) | (select.POLLOUT if self._out else 0)
        if wanted:
            poller.register(self._sock, wanted)
        if other is not None and events:
            poller.register(other, events)
        poller.poll(max(0.0, seconds) * 1000)

    def receive(self) -> list[tuple[int, bytes]]:
        """(channel, data) of what has arrived. Sets `ended` at the end. Raises PortError."""
        messages: list[tuple[int, bytes]] = []
        self._more = False
        for _ in range(_READS_AT_ONCE):
            data = self._read_some()
            if data is None:
                break
            for opcode, payload in self._reader.feed(data):
                if opcode in (BINARY, TEXT):
                    if payload:
                        messages.append((payload[0], payload[1:]))
                elif opcode == PING:
                    self._out += encode(PONG, payload)
                elif opcode == CLOSE:
                    self.ended = True
            if self.ended:
                break
        else:
            self._more = True
        return messages

    def _read_some(self) -> bytes | None:
        """Bytes that are there; None when there are none now."""
        try:
            data = self._sock.recv(_READ)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except ssl.SSLEOFError:
            data = b""
        except OSError as error:
            raise failure_error(error, self.server, DEAD_AFTER) from None
        self._heard = time.monotonic()
        if not data:
            self.ended = True
            return None
        return data

    def keep_alive(self) -> None:
        """Ping when it is time."""
        now = time.monotonic()
        if now - self._pinged >= PING_EVERY:
            self._pinged = now
            self._out += encode(PING, b"")
        self.flush()

    def close(self) -> None:
        """Say goodbye if that needs no waiting, and close."""
        if not self.ended:
            self._out += encode(CLOSE, b"\x03\xe8")
            try:
                self.flush()
            except PortError:
                self.ended = True
        self._sock.close()


def open_link(
    client: ApiClient,
    exchange: Exchange,
    path: str,
    query: list[tuple[str, str]],
    protocols: tuple[str, ...],
    seconds: float = CONNECT_SECONDS,
) -> Link:
    """Upgrade a GET of `path` to a websocket within `seconds`. Raises PortError."""
    end = time.monotonic() + seconds
    target = f"{path}?{urlencode(query)}"
    call = client.call("GET", path)
    credential = client.login(seconds)
    try:
        return _upgrade(client, exchange, target, credential, protocols, end)
    except LoginExpired:
        # The server refused before it started anything, so once more with a fresh login is safe.
        fresh = client.renew(credential, max(0.001, end - time.monotonic()))
        if fresh is None:
            raise LoginExpired(f"{call.server} does not accept the login", hint=call.login) from None
    return _upgrade(client, exchange, target, fresh, protocols, end)


def _upgrade(
    client: ApiClient,
    exchange: Exchange,
    target: str,
    credential: Credential,
    protocols: tuple[str, ...],
    end: float,
) -> Link:
    # websocket-client is used for the handshake alone; it cannot read and write from one thread without blocking.
    from websocket import WebSocket, WebSocketBadStatusException

    seconds = max(0.05, end - time.monotonic())
    opening = Exchange(seconds)
    socket_ = WebSocket()
    try:
        sock = client.dial(opening)
        exchange.attach(_Holder(sock))
        sock.settimeout(seconds)
        opening.attach(_Holder(sock))
        socket_.connect(
            client.websocket_url(target),
            socket=sock,
            timeout=seconds,
            subprotocols=list(protocols),
            header=[f"{name}: {value}" for name, value in client.headers(credential)],
            suppress_origin=True,
            redirect_limit=0,
        )
    except WebSocketBadStatusException as error:
        body = error.resp_body if isinstance(error.resp_body, bytes) else b""
        call = client.call("GET", target.split("?", 1)[0])
        raise answer_error(call, error.status_code or 0, error.resp_headers or {}, body) from None
    except Exception as error:
        if exchange.killed:
            raise Unreachable(f"the connection to {client.server} was closed") from None
        if (opening.expired and not isinstance(error, PortError)) or type(
            error
        ).__name__ == "WebSocketTimeoutException":
            raise no_answer(client.server, CONNECT_SECONDS) from None
        if type(error).__name__ == "WebSocketException":
            raise BadAnswer(f"{client.server} does not open a WebSocket") from None
        raise failure_error(error, client.server, CONNECT_SECONDS) from None
    finally:
        opening.settle()
    return Link(sock, socket_.getsubprotocol() or "", client.server)


class _Holder:
    """A bare socket in the shape that an exchange can shut down."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
