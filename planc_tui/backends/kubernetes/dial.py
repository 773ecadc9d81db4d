"""Opens sockets to an API server and ends them on time.

Invariant: a connection that serves an exchange is shut down when the exchange's deadline passes or it is killed, from
whatever thread and whatever the peer does; nothing here waits for a name server or a peer without a limit.

Sockets are timed by the machine's monotonic time itself: a fake clock cannot make a real peer faster.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from planc_tui.backends.kubernetes.model import ClusterEntry, KubeConfigError
from planc_tui.core.ports import NoConnection

CONNECT_TIMEOUT = 3.05


class Watchdog:
    """One daemon thread that calls functions at their time."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._ids = itertools.count()
        self._thread: threading.Thread | None = None

    def at(self, when: float, call: Callable[[], None]) -> int:
        """Call `call` at monotonic time `when`; returns the number that `cancel` takes."""
        with self._condition:
            number = next(self._ids)
            heapq.heappush(self._queue, (when, number, call))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kube-deadlines", daemon=True)
                self._thread.start()
            self._condition.notify()
            return number

    def cancel(self, number: int) -> None:
        """Forget a call. Its memory is freed at its time at the latest."""
        with self._condition:
            for index, (_, queued, _) in enumerate(self._queue):
                if queued == number:
                    del self._queue[index]
                    heapq.heapify(self._queue)
                    return

    def _run(self) -> None:
        while True:
            with self._condition:
                now = time.monotonic()
                if not self._queue:
                    self._condition.wait()
                    continue
                when, _, call = self._queue[0]
                if when > now:
                    self._condition.wait(when - now)
                    continue
                heapq.heappop(self._queue)
            call()


WATCHDOG = Watchdog()
_LOCAL = threading.local()


class Ended(Exception):
    """The exchange was over before it had its connection; whoever ended it knows why."""


class Exchange:
    """One request or stream and the socket it runs on."""

    def __init__(self, seconds: float | None) -> None:
        """seconds: until it is ended; None: only `kill` ends it."""
        self.killed = False
        self.expired = False
        self._connection: Any = None
        self._lock = threading.Lock()
        self._deadline = None if seconds is None else time.monotonic() + seconds
        self._timer = None if self._deadline is None else WATCHDOG.at(self._deadline, self._expire)

    @property
    def over(self) -> bool:
        """Whether it was ended from outside."""
        return self.killed or self.expired

    def remaining(self, most: float) -> float:
        """Seconds left, at most `most`, never nothing at all (0 would mean: do not block)."""
        if self._deadline is None:
            return most
        return max(0.001, min(most, self._deadline - time.monotonic()))

    def attach(self, connection: Any) -> None:
        """`connection` (with a `sock`) serves this exchange from now on. Raises Ended when it is over."""
        with self._lock:
            self._connection = connection
            over = self.over
        if over:
            raise Ended

    def settle(self) -> None:
        """The deadline is met: only `kill` ends it from now on."""
        if self._timer is not None:
            WATCHDOG.cancel(self._timer)
            self._timer = None

    def kill(self) -> None:
        """End it now: the thread that waits for the peer wakes at once."""
        self._stop("killed")

    def _expire(self) -> None:
        self._stop("expired")

    def _stop(self, flag: str) -> None:
        with self._lock:
            setattr(self, flag, True)
            connection = self._connection
        if connection is not None:
            shut(getattr(connection, "sock", None))

    def __enter__(self) -> Exchange:
        _LOCAL.exchange = self
        return self

    def __exit__(self, *_: object) -> None:
        _LOCAL.exchange = None


def current_exchange() -> Exchange | None:
    """The exchange that this thread is busy with."""
    exchange: Exchange | None = getattr(_LOCAL, "exchange", None)
    return exchange


def shut(sock: Any) -> None:
    """Wake whoever reads or writes `sock`, without closing it: the reader still owns the descriptor."""
    while sock is not None and not isinstance(sock, socket.socket):
        sock = getattr(sock, "socket", None)
    if sock is None:
        return
    with contextlib.suppress(OSError):
        # Not SSLSocket.shutdown: it drops the TLS state first, and a racing writer would then send plain text.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def resolve(host: str, port: int, seconds: float) -> list[Any]:
    """Addresses of `host`. The C library's resolver has no deadline, so it runs on a thread that may be left.

    Raises NoConnection.
    """
    results: list[Any] = []
    failure: list[OSError | UnicodeError] = []
    done = threading.Event()

    def ask() -> None:
        try:
            results.extend(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            failure.append(error)
        done.set()

    if _numeric(host):
        ask()
    else:
        threading.Thread(target=ask, name="kube-resolve", daemon=True).start()
        if not done.wait(seconds):
            raise NoConnection(f"the name {host} was not resolved within {seconds:.0f} s", hint="check DNS and the VPN")
    if failure or not results:
        raise NoConnection(f"the name {host} was not found", hint="check DNS and the VPN")
    return results


def _numeric(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host)
            return True
    return False


def open_socket(host: str, port: int, seconds: float, options: Sequence[Any]) -> socket.socket:
    """A connected socket within `seconds`, trying every address. Raises NoConnection."""
    end = time.monotonic() + seconds
    server = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    addresses = resolve(host, port, seconds)
    last: OSError | None = None
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        share = max(0.05, (end - time.monotonic()) / (len(addresses) - index))
        sock = socket.socket(family, kind, protocol)
        try:
            for option in options:
                sock.setsockopt(*option)
            sock.settimeout(share)
            sock.connect(address)
        except OSError as error:
            sock.close()
            last = error
            continue
        return sock
    if isinstance(last, TimeoutError):
        raise NoConnection(f"no answer from {server} within {seconds:.3g} s")
    if isinstance(last, ConnectionRefusedError):
        raise NoConnection(f"connection refused by {server}")
    words = (last.strerror or type(last).__name__).lower() if last is not None else "no address"
    raise NoConnection(f"no connection to {server}: {words}")


class TrackedConnection:
    """Mixed into urllib3's connections: dials with a limit and tells the exchange which socket it uses."""

    dials = True
    trusts_anyone = False

    def _new_conn(self: Any) -> socket.socket:
        exchange = current_exchange()
        if not self.dials:
            sock: socket.socket = super()._new_conn()  # type: ignore[misc]  # of the class mixed with
        else:
            limit = self.timeout if isinstance(self.timeout, int | float) else CONNECT_TIMEOUT
            seconds = exchange.remaining(limit) if exchange is not None else limit
            sock = open_socket(self._dns_host, self.port, seconds, self.socket_options or ())
            # What connecting took is no longer there for the TLS handshake.
            sock.settimeout(exchange.remaining(limit) if exchange is not None else limit)
        if exchange is not None:
            self.sock = sock
            try:
                exchange.attach(self)
            except Ended:
                sock.close()
                raise
        return sock

    def connect(self: Any) -> None:
        super().connect()  # type: ignore[misc]  # of the class mixed with
        if self.trusts_anyone:
            # The kubeconfig says insecure-skip-tls-verify: urllib3 need not warn at each connection.
            self.is_verified = True

    def request(self: Any, *args: Any, **kwargs: Any) -> None:
        exchange = current_exchange()
        if exchange is not None:
            exchange.attach(self)
        super().request(*args, **kwargs)  # type: ignore[misc]  # of the class mixed with


def tracked_pools(pools: dict[str, Any], *, dials: bool, insecure: bool) -> dict[str, Any]:
    """urllib3's pool classes by scheme, with tracked connections. dials: False where a SOCKS proxy dials."""
    result: dict[str, Any] = {}
    for scheme, pool in pools.items():
        attributes = {"dials": dials, "trusts_anyone": insecure}
        connection = type("Connection", (TrackedConnection, pool.ConnectionCls), attributes)
        result[scheme] = type("Pool", (pool,), {"ConnectionCls": connection})
    return result


def tls_context(cluster: ClusterEntry) -> ssl.SSLContext:
    """The one TLS context of a context: each new one would cost a megabyte and 20 ms per connection.

    Raises KubeConfigError when the CA cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if cluster.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    ca = cluster.ca.read()
    if not ca:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cadata=ca.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise KubeConfigError(
            f'cluster "{cluster.name}": the certificate authority is not a PEM certificate',
            hint="check certificate-authority-data",
        ) from None
    return context


def load_client_cert(context: ssl.SSLContext, cert: bytes, key: bytes) -> None:
    """Use a client certificate for new connections; the key touches no disk where memory files exist.

    Raises KubeConfigError.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("planc", os.MFD_CLOEXEC)
        name = f"/proc/self/fd/{descriptor}"
    else:
        descriptor, name = tempfile.mkstemp(prefix="planc-")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(cert.rstrip(b"\n") + b"\n" + key)
            stream.flush()
            context.load_cert_chain(name)
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or "not readable"
        raise KubeConfigError(
            f"the client certificate cannot be used ({str(reason).lower().replace('_', ' ')})",
            hint="check client-certificate and client-key of the context's user",
        ) from None
    finally:
        if not name.startswith("/proc/"):
            os.unlink(name)
