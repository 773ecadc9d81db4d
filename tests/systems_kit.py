"""A cluster that only knows a few answers, port-forwards that really carry bytes, and servers that misbehave."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping

from planc_tui.core.ports import ByteStream, ExecResult, Forward, NotFound, PortError


class Relay:
    """A listener that carries bytes to `target`, as a port-forward does; on loopback unless `host` says another."""

    def __init__(self, target: tuple[str, int], host: str = "127.0.0.1") -> None:
        self.target = target
        self.last_error = ""
        self.closed = False
        self._pairs: list[socket.socket] = []
        self._listener = socket.create_server((host, 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        self.closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Break every open connection, as the end of the pod does."""
        pairs, self._pairs = self._pairs, []
        for end in pairs:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self.target, timeout=3)
            except OSError as error:
                self.last_error = f"the pod does not listen: {error.strerror}"
                near.close()
                continue
            far.settimeout(None)
            self._pairs += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_copy, args=(one, other), daemon=True).start()


def _copy(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := one.recv(65536):
            other.sendall(chunk)
    for end in (one, other):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    one.close()


class FakeCluster:
    """A ClusterPort. answers: body or fault by path; forwards go to `targets` by pod and port."""

    context = "test"
    server = "127.0.0.1:6443"

    def __init__(
        self,
        answers: Mapping[str, bytes | PortError] | None = None,
        targets: Mapping[tuple[str, int], tuple[str, int]] | None = None,
    ) -> None:
        self.answers = dict(answers or {})
        self.targets = dict(targets or {})
        self.asked: list[tuple[str, str, Mapping[str, str]]] = []
        self.relays: list[Relay] = []

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
        timeout: float = 10.0,
        source: str = "",
    ) -> bytes:
        self.asked.append((method, path, dict(query or {})))
        answer = self.answers.get(path, NotFound(f"{path} not found"))
        if isinstance(answer, PortError):
            raise answer
        return answer

    def stream(
        self, path: str, *, query: Mapping[str, str] | None = None, idle_timeout: float = 90.0, source: str = ""
    ) -> ByteStream:
        raise NotFound(path)

    def forward(self, namespace: str, pod: str, port: int) -> Forward:
        self.asked.append(("FORWARD", f"{namespace}/{pod}:{port}", {}))
        relay = Relay(self.targets[pod, port])
        self.relays.append(relay)
        return relay

    def execute(
        self,
        namespace: str,
        pod: str,
        container: str,
        command: tuple[str, ...],
        *,
        stdout: Callable[[bytes], None],
        timeout: float,
        stdin: bytes = b"",
        stop: Callable[[], bool] = lambda: False,
    ) -> ExecResult:
        raise NotFound(pod)

    def close(self) -> None:
        for relay in self.relays:
            relay.close()


@contextlib.contextmanager
def server(behave: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server on loopback whose connections are each handled by `behave`; yields its port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                behave(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield running.server_address[1]
        finally:
            running.shutdown()


def unused_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def http_reply(status: str, body: bytes, *headers: str) -> Callable[[socket.socket], None]:
    """A behaviour that answers every request of a connection alike."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Content-Type: application/json", *headers]
    raw = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def behave(connection: socket.socket) -> None:
        while request := connection.recv(65536):
            if b"\r\n\r\n" in request:
                connection.sendall(raw)

    return behave
