"""A proxy before the real API server that counts every request and can answer wrongly in its place.

Invariant: in mode `pass` each byte of request and answer is handed on unchanged; requests are counted in every mode.
It speaks HTTP to planc and TLS to the API server, with the administrator's certificate where planc sends no token.
"""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import yaml

from tests.cluster.rig.layout import NAMESPACE, write_private
from tests.cluster.rig.rig import Rig

Mode = Literal["pass", "429", "500", "garbage", "silent"]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. at: monotonic seconds."""

    at: float
    method: str
    target: str

    @property
    def long(self) -> bool:
        """Whether it is a watch or a followed log, which stay open, or a forward or command."""
        return bool(re.search(r"[?&](watch|follow)=true|/(portforward|exec)\b", self.target))

    @property
    def path(self) -> str:
        """Where it goes, without the query."""
        return self.target.partition("?")[0]


class FaultProxy:
    """Listens on a free port of 127.0.0.1."""

    def __init__(self, rig: Rig) -> None:
        pki = Path(rig.endpoints.state) / "pki"
        self._server = ("127.0.0.1", rig.endpoints.ports["apiserver"])
        self._tls = {admin: ssl.create_default_context(cafile=str(pki / "ca.pem")) for admin in (True, False)}
        self._tls[True].load_cert_chain(pki / "admin.pem", pki / "admin-key.pem")
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._mode: Mode = "pass"
        self.asked: list[Asked] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> FaultProxy:
        self._run(self._accept)
        return self

    def __exit__(self, _k: type[BaseException] | None, _e: BaseException | None, _t: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def mode(self, mode: Mode, *, cut: bool = True) -> None:
        """Behave so from now on. cut: end open connections, so that watches feel it too."""
        self._mode = mode
        if cut:
            self.cut()

    def cut(self) -> None:
        """End every open connection."""
        with self._lock:
            held = list(self._open)
        for sock in held:
            _end(sock)

    def kubeconfig(self, path: Path, token: str = "") -> Path:
        """Write a kubeconfig whose only context leads through the proxy."""
        user = {"token": token} if token else {}
        document: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "planc-test",
            "clusters": [{"name": "proxy", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "me", "user": user}],
            "contexts": [{"name": "planc-test", "context": {"cluster": "proxy", "user": "me", "namespace": NAMESPACE}}],
        }
        write_private(path, yaml.safe_dump(document))
        return path

    def between(self, start: float, end: float) -> list[Asked]:
        """Requests that came between two monotonic times."""
        return [asked for asked in list(self.asked) if start <= asked.at < end]

    @staticmethod
    def by_path(asked: list[Asked]) -> Counter[str]:
        """How many requests went where."""
        return Counter(f"{one.method} {one.path}" for one in asked)

    # --- one connection -----------------------------------------------------------------------------------------

    @staticmethod
    def _run(function: Any, *arguments: Any) -> None:
        threading.Thread(target=function, args=arguments, name="fault-proxy", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._run(self._serve, sock)

    def _serve(self, client: socket.socket) -> None:
        """One connection, in one thread: a TLS connection must not be read and written by two at a time."""
        server: ssl.SSLSocket | None = None
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._lock:
            self._open.add(client)
        pending, upgraded = b"", False
        try:
            while True:
                sockets = [client] if server is None else [client, server]
                ready, _, _ = select.select(sockets, [], [])
                if server in ready and not _hand_on(server, client):
                    return
                if client not in ready:
                    continue
                piece = client.recv(65536)
                if not piece:
                    return
                pending += piece
                while pending and (upgraded or (size := _request_size(pending))):
                    request, pending = (pending, b"") if upgraded else (pending[:size], pending[size:])
                    if not upgraded:
                        self._count(request)
                        if self._mode != "pass":
                            if not self._wrong(client):
                                return
                            continue
                        upgraded = re.search(rb"(?i)\r\nupgrade:", request) is not None
                    if server is None:
                        server = self._dial(b"\r\nauthorization:" not in request.lower())
                    server.sendall(request)
        except (OSError, ValueError):
            return
        finally:
            with self._lock:
                self._open.discard(client)
            for sock in (client, server):
                if sock is not None:
                    sock.close()

    def _dial(self, admin: bool) -> ssl.SSLSocket:
        sock = socket.create_connection(self._server, timeout=5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = self._tls[admin].wrap_socket(sock, server_hostname="127.0.0.1")
        server.settimeout(None)
        return server

    def _count(self, request: bytes) -> None:
        method, target, _ = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        self.asked.append(Asked(time.monotonic(), method, target))

    def _wrong(self, client: socket.socket) -> bool:
        """Answer as the mode says; false when the connection ends with that."""
        if self._mode == "silent":
            with contextlib.suppress(OSError):
                client.settimeout(120)
                client.recv(1)
            return False
        if self._mode == "garbage":
            client.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n\x00\xff{not it"
            )
            return True
        code = int(self._mode)
        words = {429: "Too Many Requests", 500: "Internal Server Error"}[code]
        body = json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": words, "code": code})
        later = "Retry-After: 1\r\n" if code == 429 else ""
        head = (
            f"HTTP/1.1 {code} {words}\r\nContent-Type: application/json\r\n{later}Content-Length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode() + body.encode())
        return True


def _end(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        # Not the TLS goodbye of SSLSocket.shutdown, which another thread may be in the middle of reading.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _request_size(data: bytes) -> int:
    """Bytes of the first request in `data`; 0 while it is not whole."""
    end = data.find(b"\r\n\r\n") + 4
    if end < 4:
        return 0
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", data[:end])
    size = end + (int(length.group(1)) if length else 0)
    return size if len(data) >= size else 0


def _hand_on(server: ssl.SSLSocket | None, client: socket.socket) -> bool:
    """Pass on what the server has sent; false at its end."""
    if server is None:
        return True
    while True:
        piece = server.recv(65536)
        if not piece:
            return False
        client.sendall(piece)
        if not server.pending():
            return True
