"""Loopback ports that lead to a port of a pod.

Invariant: each accepted connection has a websocket of its own and ends with it; closing a forward ends all of them at
once and waits for none.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Callable

from planc_tui.backends.kubernetes.client import ApiClient
from planc_tui.backends.kubernetes.dial import Exchange, shut
from planc_tui.backends.kubernetes.errors import failure_error, redact
from planc_tui.backends.kubernetes.paths import pod_path
from planc_tui.backends.kubernetes.websocket import DEAD_AFTER, Link, open_link
from planc_tui.core.ports import PortError, Unreachable
from planc_tui.core.stats import RequestStats
from planc_tui.core.text import clean

PROTOCOL = "v4.channel.k8s.io"
DATA, ERROR = 0, 1
_PIECE = 32_768
_QUEUE = 8 * _PIECE
_TICK = 5.0


class PodForward:
    """One forward. Listens on a free port of 127.0.0.1 from its making on."""

    def __init__(
        self,
        client: ApiClient,
        namespace: str,
        pod: str,
        port: int,
        stats: RequestStats,
        ended: Callable[[PodForward], None],
    ) -> None:
        self._client = client
        self._path = pod_path(namespace, pod, "portforward")
        self._target = port
        self._stats = stats
        self._ended = ended
        self._lock = threading.Lock()
        self._closed = False
        self._pipes: dict[Exchange, socket.socket] = {}
        self._error: PortError | None = None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self._port: int = self._listener.getsockname()[1]

    @property
    def port(self) -> int:
        return self._port

    @property
    def error(self) -> PortError | None:
        """Why the last connection could not be made or broke; None once one carries data."""
        return self._error

    @property
    def last_error(self) -> str:
        """`error` as one line, empty when there is none."""
        return self._error.message if self._error is not None else ""

    def start(self) -> None:
        """Accept connections from now on."""
        threading.Thread(target=self._accept, name=f"forward-{self._port}", daemon=True).start()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            pipes = dict(self._pipes)
        shut(self._listener)
        for exchange, local in pipes.items():
            exchange.kill()
            shut(local)
        self._ended(self)

    # The port ends everything that is open by this name.
    kill = close

    def _accept(self) -> None:
        with self._listener:
            while not self._closed:
                try:
                    local, _ = self._listener.accept()
                except OSError:
                    return
                threading.Thread(
                    target=self._serve, args=(local,), name=f"forward-{self._port}-pipe", daemon=True
                ).start()

    def _serve(self, local: socket.socket) -> None:
        exchange = Exchange(None)
        with self._lock:
            if self._closed:
                local.close()
                return
            self._pipes[exchange] = local
        try:
            self._carry(exchange, local)
        except PortError as error:
            self._fail(error)
        except Exception as error:
            self._fail(failure_error(error, self._client.server, DEAD_AFTER))
        finally:
            with self._lock:
                self._pipes.pop(exchange, None)
            local.close()

    def _fail(self, error: PortError) -> None:
        if not self._closed:
            self._error = error

    def _carry(self, exchange: Exchange, local: socket.socket) -> None:
        self._stats.stream("forward")
        query = [("ports", str(self._target))]
        link = open_link(self._client, exchange, self._path, query, (PROTOCOL,))
        try:
            _Pipe(link, local, self._heard).run()
        finally:
            link.close()

    def _heard(self, error: PortError | None) -> None:
        self._error = error


class _Pipe:
    """Bytes both ways between a local connection and a link. heard: told None at the first data, else an error."""

    def __init__(self, link: Link, local: socket.socket, heard: Callable[[PortError | None], None]) -> None:
        local.setblocking(False)
        self._link = link
        self._local = local
        self._heard = heard
        self._inbound = bytearray()
        # The first frame of each channel names the port and carries nothing else.
        self._named: set[int] = set()
        self._carried = False
        self._sending = True

    def run(self) -> None:
        """Carry until one side ends. Raises PortError."""
        link = self._link
        while True:
            reading = len(self._inbound) < _QUEUE and not link.ended
            taking = self._sending and link.pending < _QUEUE
            events = (select.POLLIN if taking else 0) | (select.POLLOUT if self._inbound else 0)
            link.wait(_TICK, reading=reading, other=self._local, events=events)
            if reading:
                for channel, data in link.receive():
                    self._take(channel, data)
            self._write_local()
            if link.ended and not self._inbound:
                return
            if not link.ended:
                if taking:
                    self._read_local()
                link.keep_alive()
            if not self._sending and not link.pending:
                return
            if reading and link.silent:
                raise _gone(link)

    def _take(self, channel: int, data: bytes) -> None:
        if channel not in self._named:
            self._named.add(channel)
            return
        if channel == DATA:
            self._inbound += data
            if data and not self._carried:
                self._carried = True
                self._heard(None)
        elif channel == ERROR and data:
            raise _refused(data)

    def _read_local(self) -> None:
        try:
            data = self._local.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._link.send(DATA, data)
        else:
            # The protocol cannot end one direction alone, so the end of the client's side ends the connection.
            self._sending = False

    def _write_local(self) -> None:
        while self._inbound:
            try:
                sent = self._local.send(self._inbound[:_PIECE])
            except BlockingIOError:
                return
            except OSError:
                self._inbound.clear()
                self._sending = False
                return
            del self._inbound[:sent]


def _gone(link: Link) -> Unreachable:
    return Unreachable(f"the forward through {link.server} was silent for {DEAD_AFTER:g} s")


def _refused(data: bytes) -> Unreachable:
    return Unreachable(f"the pod refuses the forward: {redact(clean(data, 300))}")
