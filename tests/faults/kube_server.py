"""A misbehaving API server on loopback: each request is answered by a function that owns the raw socket."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml

from planc_tui.backends.kubernetes import Impersonation, load
from planc_tui.backends.kubernetes.transport import ApiPort
from planc_tui.core.clock import SystemClock
from planc_tui.core.stats import RequestStats


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came over the wire. headers: lower-case names, values in order."""

    method: str
    path: str
    headers: dict[str, list[str]]
    body: bytes


Answer = Callable[[socket.socket, Asked], None]


class Server:
    """Listens on 127.0.0.1 and hands every request to `answer`. context: speak TLS with it."""

    def __init__(self, answer: Answer, context: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self.stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._run(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def _run(self, function: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=function, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._run(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(sock.close)
            stack.enter_context(contextlib.suppress(OSError, ValueError))
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
                stack.callback(sock.close)
            self._open.append(sock)
            while (asked := read_request(sock)) is not None:
                self.asked.append(asked)
                self.answer(sock, asked)

    def sends(self) -> list[str]:
        """Method and path of every request that came."""
        return [f"{asked.method} {asked.path}" for asked in self.asked]

    def port_to(
        self,
        folder: Path,
        *,
        cluster: dict[str, Any] | None = None,
        user: dict[str, Any] | None = None,
        impersonate: Impersonation | None = None,
        stats: RequestStats | None = None,
    ) -> ApiPort:
        """A port of a kubeconfig that names this server."""
        scheme = "https" if self._context is not None else "http"
        document = {
            "current-context": "t",
            "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
            "clusters": [{"name": "t", "cluster": {"server": f"{scheme}://127.0.0.1:{self.port}", **(cluster or {})}}],
            "users": [{"name": "t", "user": user or {"token": "tok"}}],
        }
        path = folder / "kubeconfig"
        path.write_text(yaml.safe_dump(document))
        kube = load({"KUBECONFIG": str(path), "PATH": "/usr/bin:/bin"}, folder, impersonate=impersonate)
        return kube.open(None, None, stats or RequestStats(), SystemClock())


class Socks(Server):
    """A SOCKS5 proxy without a login (RFC 1928) that leads to one address, wherever it is asked to go.

    wanted: host and port of every connection; a host is bytes of an address where no name was sent."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(reply(400, b""))
        self.wanted: list[tuple[str | bytes, int]] = []
        self._far = (host, port)

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError, ValueError):
            self._open.append(sock)
            _exactly(sock, _exactly(sock, 2)[1])
            sock.sendall(b"\x05\x00")
            kind = _exactly(sock, 4)[3]
            host: str | bytes = _exactly(sock, _exactly(sock, 1)[0]).decode() if kind == 3 else _exactly(sock, 4)
            self.wanted.append((host, int.from_bytes(_exactly(sock, 2))))
            with socket.create_connection(self._far, 5) as far:
                sock.sendall(b"\x05\x00\x00\x01" + bytes(6))
                back = threading.Thread(target=_pump, args=(far, sock), daemon=True)
                back.start()
                _pump(sock, far)
                back.join(5)


def _exactly(sock: socket.socket, count: int) -> bytes:
    """That many bytes. Raises ValueError when the connection ends before."""
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise ValueError("the client is gone")
        data += piece
    return data


def read_request(sock: socket.socket) -> Asked | None:
    """The next request of a connection; None at its end."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(1)
        if not piece:
            return None
        data += piece
    first, *lines = data[:-4].decode("latin-1").split("\r\n")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        headers.setdefault(name.lower(), []).append(value)
    size = int(headers.get("content-length", ["0"])[0])
    body = b""
    while len(body) < size:
        body += sock.recv(size - len(body))
    method, path, _ = first.split(" ")
    return Asked(method, path, headers, body)


def reply(code: int, body: bytes | dict[str, Any], kind: str = "application/json", **headers: str) -> Answer:
    """Answers always the same, whole."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    def answer(sock: socket.socket, _: Asked) -> None:
        sock.sendall(head(code, kind, len(content), **headers) + content)

    return answer


def head(code: int, kind: str, size: int | None, **headers: str) -> bytes:
    """The head of an answer. size: None for chunked."""
    lines = [f"HTTP/1.1 {code} X", f"Content-Type: {kind}"]
    lines.append("Transfer-Encoding: chunked" if size is None else f"Content-Length: {size}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked answer."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def raw(data: bytes, *, then: Callable[[socket.socket], None] | None = None) -> Answer:
    """Sends `data` as it is, then closes or does `then`."""

    def answer(sock: socket.socket, _: Asked) -> None:
        sock.sendall(data)
        if then is not None:
            then(sock)
        else:
            sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    return answer


def reset(sock: socket.socket) -> None:
    """End the connection with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def wait_for_end(sock: socket.socket) -> None:
    """Say nothing until the client goes away."""
    with contextlib.suppress(OSError):
        while sock.recv(4096):
            pass


def drip(sock: socket.socket) -> None:
    """One byte now and then, for ever."""
    with contextlib.suppress(OSError):
        while True:
            sock.sendall(b" ")
            time.sleep(0.05)


def tunnel_to(host: str, port: int) -> Answer:
    """What a CONNECT proxy answers, wherever it was asked to go: a way to this address."""

    def answer(sock: socket.socket, asked: Asked) -> None:
        assert asked.method == "CONNECT"
        with socket.create_connection((host, port), 5) as far:
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=_pump, args=(far, sock), daemon=True)
            back.start()
            _pump(sock, far)
            back.join(5)

    return answer


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return
