"""HTTP to the systems beside Kubernetes: one bounded request, over a direct connection, a forward, or the API server.

Invariant: a request is sent once, follows no redirect, ends within its limit however slowly the answer drips, reads at
most 32 MiB, and every failure is a PortError without a secret.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

from msgspec import Struct, field

from planc_tui.backends.keepalive import socket_options
from planc_tui.backends.reach import Direct, Route, Tunnel, Via, broken, parse_via, service_proxy_path
from planc_tui.backends.secrets import Credential
from planc_tui.core.answer_limit import AnswerLimit
from planc_tui.core.clock import Clock
from planc_tui.core.ports import (
    BadAnswer,
    ClusterPort,
    Denied,
    LoginExpired,
    NoAnswer,
    NoConnection,
    NotConfigured,
    NotFound,
    PortError,
    Rejected,
    Throttled,
    Unreachable,
)
from planc_tui.core.stats import RequestStats
from planc_tui.core.text import clean
from planc_tui.playbook.model import HttpSystem

if TYPE_CHECKING:
    import urllib3

CONNECT_TIMEOUT = 3.05
READ_TIMEOUT = 5.0
FOR_THE_BODY = 1.0
# A host that is dead is known for it after 11 s, however long a frozen one is waited for.
KEEPALIVE = (5, 3, 2)
BODY_LIMIT = 32 * 1024 * 1024
CHUNK = 65536


class HttpAnswer(Struct, frozen=True):
    """An answer of any status. headers: names in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Http(Protocol):
    """GET requests to one system."""

    @property
    def name(self) -> str:
        """What the system is called in messages."""
        ...

    def get(self, path: str, query: Mapping[str, str] | None = None) -> HttpAnswer:
        """One GET of `path` (absolute, quoted). Raises PortError when there is no answer."""
        ...

    def close(self) -> None:
        """Drop connections and the way to the system."""
        ...


class HttpWriter(Http, Protocol):
    """A system that planc also writes to."""

    def exchange(
        self, method: str, path: str, body: bytes | None = None, query: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        """One request, sent once; `body` is JSON. Raises PortError when there is no answer."""
        ...


class DirectHttp:
    """HTTP over a route. prefix: path of the base URL. user and password: basic authentication; token: bearer."""

    def __init__(
        self,
        name: str,
        route: Route,
        system: HttpSystem,
        *,
        scheme: str,
        prefix: str,
        user: str,
        password: Credential,
        token: Credential,
        stats: RequestStats,
        clock: Clock,
        source: str,
    ) -> None:
        self.name = name
        self._route = route
        self._system = system
        self._scheme = scheme
        self._prefix = prefix.rstrip("/")
        self._user = user
        self._password = password
        self._token = token
        self._stats = stats
        self._clock = clock
        self._source = source
        self._limit = AnswerLimit(READ_TIMEOUT)
        self._pool: urllib3.HTTPConnectionPool | None = None
        self._proxy: urllib3.ProxyManager | None = None

    def get(self, path: str, query: Mapping[str, str] | None = None) -> HttpAnswer:
        return self.exchange("GET", path, None, query)

    def exchange(
        self, method: str, path: str, body: bytes | None = None, query: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        import urllib3

        headers = self._headers()
        if body is not None:
            headers["Content-Type"] = "application/json"
        target = f"{self._prefix}{path}"
        if query:
            target += f"?{urlencode(query)}"
        limit = self._limit.seconds
        until = self._clock.monotonic() + limit + FOR_THE_BODY
        try:
            pool = self._open()
            self._stats.request(self._source, self._clock.monotonic())
            response = pool.urlopen(
                method,
                self._absolute(target),
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                preload_content=False,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=limit),
            )
            try:
                answer = self._body(response, until)
            except BaseException:
                response.close()
                raise
            response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            self._forget()
            fault = transport_error(error, self.name, self._route.label, limit)
            self._limit.settle(fault)
            if isinstance(fault, NoConnection):
                self._stats.withdraw(self._source)
            raise broken(self._route, fault) from None
        self._limit.settle()
        if response.status in (401, 403):
            self._password.refused()
            self._token.refused()
        return HttpAnswer(response.status, answer, {key.lower(): value for key, value in response.headers.items()})

    def close(self) -> None:
        self._limit.settle()
        self._forget()
        self._route.close()

    def _forget(self) -> None:
        pool, self._pool = self._pool, None
        proxy, self._proxy = self._proxy, None
        if pool is not None:
            pool.close()
        if proxy is not None:
            proxy.clear()

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": "planc"}
        headers.update(self._system.headers)
        token = self._token.get()
        password = self._password.get()
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        elif self._user:
            pair = f"{self._user}:{password.reveal() if password is not None else ''}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return headers

    def _open(self) -> urllib3.HTTPConnectionPool:
        import urllib3

        if self._pool is not None:
            return self._pool
        address = self._route.address()
        options = socket_options(*KEEPALIVE)
        through = _proxy_for(self._scheme, address.name) if isinstance(self._route, Direct) else ""
        if through:
            ca_file = self._system.ca_file or None
            self._proxy = urllib3.ProxyManager(through, ca_certs=ca_file, maxsize=1, socket_options=options)
            self._pool = self._proxy.connection_from_host(address.host, address.port, self._scheme)
        elif self._scheme == "https":
            self._pool = urllib3.HTTPSConnectionPool(
                address.host,
                address.port,
                maxsize=1,
                socket_options=options,
                ca_certs=self._system.ca_file or None,
                server_hostname=address.name,
                assert_hostname=address.name,
            )
        else:
            self._pool = urllib3.HTTPConnectionPool(address.host, address.port, maxsize=1, socket_options=options)
        return self._pool

    def _absolute(self, target: str) -> str:
        """A proxy wants the whole URL of a plain HTTP request."""
        if self._proxy is None or self._scheme == "https":
            return target
        return f"{self._scheme}://{self._route.label}{target}"

    def _body(self, response: urllib3.BaseHTTPResponse, until: float) -> bytes:
        """The whole body, inflated; ends at the time and size limits."""
        parts: list[bytes] = []
        size = 0
        # read1 returns what has arrived; read and stream wait for a full piece, and a drip would outlast any limit.
        while chunk := response.read1(CHUNK, decode_content=True):
            parts.append(chunk)
            size += len(chunk)
            if size > BODY_LIMIT:
                raise BadAnswer(f"{self.name} sent more than {BODY_LIMIT >> 20} MiB")
            if self._clock.monotonic() > until:
                raise Unreachable(f"{self.name} did not finish its answer in time")
        self._stats.received(self._source, response.tell())
        return b"".join(parts)


class ProxiedHttp:
    """HTTP through the API server's proxy for Services and pods: no port of its own, but no password either, because
    the API server keeps the Authorization header for itself."""

    def __init__(
        self, name: str, cluster: ClusterPort, namespace: str, via: Via, scheme: str, prefix: str, source: str
    ) -> None:
        self.name = name
        self._cluster = cluster
        self._base = service_proxy_path(namespace, via, scheme) + prefix.rstrip("/")
        self._source = source
        self._limit = AnswerLimit(READ_TIMEOUT)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> HttpAnswer:
        return self.exchange("GET", path, None, query)

    def exchange(
        self, method: str, path: str, body: bytes | None = None, query: Mapping[str, str] | None = None
    ) -> HttpAnswer:
        limit = self._limit.seconds + FOR_THE_BODY
        try:
            answer = self._cluster.request(
                method, self._base + path, query=query, body=body, timeout=limit, source=self._source
            )
        except PortError as error:
            self._limit.settle(error)
            raise
        self._limit.settle()
        return HttpAnswer(200, answer)

    def close(self) -> None:
        """The connection is the cluster's."""
        self._limit.settle()


def open_http(
    name: str,
    system: HttpSystem,
    *,
    key: str,
    user: str,
    password: Credential,
    token: Credential,
    cluster: ClusterPort,
    namespace: str,
    stats: RequestStats,
    clock: Clock,
    source: str,
) -> HttpWriter:
    """The way to a system that the playbook describes. key: its place in the playbook, for messages.

    A Service that wants a password is reached by port-forward to one of its pods, any other by the proxy.
    Raises NotConfigured."""
    scheme, prefix = system.scheme, ""
    route: Route
    if system.via:
        via = parse_via(system.via)
        prefix = urlsplit(system.url).path if system.url else ""
        if via.kind == "service" and not (user or system.token or system.headers):
            return ProxiedHttp(name, cluster, namespace, via, scheme, prefix, source)
        route = Tunnel(cluster, namespace, via)
    else:
        parts = urlsplit(system.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise NotConfigured(f"{name} has no address", hint=f"set {key}.url or {key}.via in the playbook")
        scheme, prefix = "https" if parts.scheme == "https" else "http", parts.path
        route = Direct(parts.hostname, parts.port or (443 if scheme == "https" else 80))
    return DirectHttp(
        name,
        route,
        system,
        scheme=scheme,
        prefix=prefix,
        user=user,
        password=password,
        token=token,
        stats=stats,
        clock=clock,
        source=source,
    )


def transport_error(error: Exception, name: str, where: str, limit: float) -> PortError:
    """The fault behind an exception of urllib3. limit: seconds that the answer was waited for."""
    import urllib3

    if isinstance(error, PortError):
        return error
    reasons = urllib3.exceptions
    if isinstance(error, reasons.NewConnectionError) and not isinstance(error, reasons.NameResolutionError):
        why = "refused the connection" if "refused" in str(error) else "cannot be reached"
        return NoConnection(f"{name}: {where} {why}")
    if isinstance(error, reasons.NameResolutionError):
        return NoConnection(f"{name}: the name {where} is not found")
    if isinstance(error, reasons.ConnectTimeoutError):
        return NoConnection(f"{name}: no connection to {where} within {CONNECT_TIMEOUT:.0f} s")
    if isinstance(error, reasons.ReadTimeoutError):
        return NoAnswer(f"{name}: no answer from {where} within {limit:.0f} s")
    if isinstance(error, reasons.SSLError):
        return Unreachable(f"{name}: TLS with {where} failed: {clean(str(error), 160)}")
    if isinstance(error, reasons.DecodeError | ValueError):
        return BadAnswer(f"{name}: {where} sent something that is not HTTP")
    return Unreachable(f"{name}: {where} broke the connection off")


def expect_ok(answer: HttpAnswer, name: str, resource: str, said: str = "") -> bytes:
    """The body of a 200; the fault behind any other status. said: the system's own words, raw."""
    status = answer.status
    words = clean(said, 200)
    if status == 200:
        return answer.body
    if status == 401:
        raise LoginExpired(f"{name} does not accept the login (401)", hint=words)
    if status == 403:
        raise Denied(f"{name} does not allow it (403)", verb="GET", resource=resource, hint=words)
    if status == 404:
        raise NotFound(f"{name} does not know {resource} (404)", hint=words)
    if status == 429:
        after = answer.headers.get("retry-after", "")
        raise Throttled(f"{name} asks to slow down (429)", retry_after=float(after) if after.isdecimal() else None)
    if 300 <= status < 400:
        raise BadAnswer(f"{name} redirects ({status}): it wants another address or a login page's cookie")
    if status >= 500:
        raise Unreachable(f"{name} answers {status}{': ' if words else ''}{words}")
    raise Rejected(words or f"{name} refuses the request ({status})", code=status)


def _proxy_for(scheme: str, host: str) -> str:
    """URL of the proxy that the environment names for a host, empty for none."""
    if proxy_bypass(host):
        return ""
    return getproxies().get(scheme, "")
