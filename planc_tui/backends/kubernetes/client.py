"""The official Kubernetes client, used for its transport alone: raw bytes in and out.

Invariant: one call of `send` puts one request on the wire, never a second; the client is imported and built on first
use, by the thread that needs it.
"""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlencode, urlsplit

from planc_tui import __version__
from planc_tui.backends.keepalive import socket_options
from planc_tui.backends.kubernetes.auth import Credential, TokenSource
from planc_tui.backends.kubernetes.dial import (
    CONNECT_TIMEOUT,
    Exchange,
    load_client_cert,
    tls_context,
    tracked_pools,
)
from planc_tui.backends.kubernetes.errors import Call
from planc_tui.backends.kubernetes.model import Impersonation, KubeConfigError, Target
from planc_tui.backends.kubernetes.official import load_client

USER_AGENT = f"planc/{__version__}"
# Seconds, seconds, probes: a server that is dead is known for it after 20 s.
KEEPALIVE = (10, 5, 2)
Headers = dict[str, str]


def proxy_of(target: Target) -> tuple[str, str]:
    """The proxy for the target's server and the hosts that need none, both may be empty.

    The kubeconfig's own proxy-url has no exceptions; loopback never goes to a proxy of the environment, as in Go.
    """
    if target.cluster.proxy_url:
        return target.cluster.proxy_url, ""
    parts = urlsplit(target.cluster.server)
    if _loopback(parts.hostname or ""):
        return "", ""
    environ = target.environ
    name = "HTTP_PROXY" if parts.scheme == "http" else "HTTPS_PROXY"
    proxy = environ.get(name) or environ.get(name.lower()) or ""
    if proxy and "://" not in proxy:
        proxy = f"http://{proxy}"
    return proxy, environ.get("NO_PROXY") or environ.get("no_proxy") or ""


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def acting_headers(impersonation: Impersonation) -> list[tuple[str, str]]:
    """The Impersonate-* headers; groups may repeat."""
    headers: list[tuple[str, str]] = []
    if impersonation.user:
        headers.append(("Impersonate-User", impersonation.user))
    headers += [("Impersonate-Group", group) for group in impersonation.groups]
    if impersonation.uid:
        headers.append(("Impersonate-Uid", impersonation.uid))
    return headers + [(f"Impersonate-Extra-{key}", value) for key, value in impersonation.extra]


class ApiClient:
    """HTTP to one API server, with the login of one context."""

    def __init__(self, target: Target, tokens: TokenSource) -> None:
        self._target = target
        self.tokens = tokens
        self._lock = threading.Lock()
        self._built: Any = None
        self._context: ssl.SSLContext | None = None
        self._cert: tuple[bytes, bytes] = (b"", b"")
        self._acting = acting_headers(target.impersonation)

    @property
    def server(self) -> str:
        """Host and port, for people."""
        return self._target.info.address

    def call(self, method: str, path: str, *, watching: bool = False) -> Call:
        """What errors say of a request."""
        return Call(method, path, self.server, self.tokens.hint, watching)

    def prepare(self) -> None:
        """Import and build the client. Raises KubeConfigError."""
        with self._lock:
            if self._built is None:
                self._built = self._build()

    def login(self, timeout: float) -> Credential:
        """The current credential, with its client certificate in use for new connections. Raises PortError."""
        credential = self.tokens.get(timeout)
        self._use_cert(credential)
        return credential

    def renew(self, refused: Credential, timeout: float) -> Credential | None:
        """A new credential after a 401, or None when there is no better one. Raises PortError."""
        credential = self.tokens.refresh(refused, timeout)
        if credential is not None:
            self._use_cert(credential)
        return credential

    def headers(self, credential: Credential) -> list[tuple[str, str]]:
        """User agent, login and impersonation. Raises KubeConfigError when one cannot be a header."""
        headers = [("User-Agent", USER_AGENT), *self._acting]
        if credential.header:
            headers.append(("Authorization", credential.header))
        for name, value in headers:
            if any(ord(char) < 32 or ord(char) > 255 for char in name + value):
                raise KubeConfigError(f"{name} of this context holds characters that a header cannot carry")
        return headers

    def send(
        self,
        exchange: Exchange,
        credential: Credential,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None,
        body: bytes | None,
        headers: Headers,
        read_timeout: float,
    ) -> Any:
        """Put one request on the wire and wait for the head of its answer (a urllib3 response, body unread).

        Raises whatever the client, urllib3 and the sockets raise.
        """
        from urllib3 import HTTPHeaderDict

        self.prepare()
        url = f"{path}?{urlencode(query)}" if query else path
        method, url, _, content, _ = self._built.param_serialize(
            method, url, header_params={}, body=_content(body, headers.get("Content-Type", ""))
        )
        every = HTTPHeaderDict(headers)
        for name, value in self.headers(credential):
            every.add(name, value)
        with exchange:
            # The exchange's own deadline ends the wait for the head; this timeout outlives it, for what a watch sends.
            timeout = (exchange.remaining(CONNECT_TIMEOUT), read_timeout)
            return self._built.call_api(method, url, every, content, _request_timeout=timeout).response

    def dial(self, exchange: Exchange) -> socket.socket:
        """A socket to the API server for a websocket: through the same proxies, with the same TLS."""
        self.prepare()
        pool = self._built.rest_client.pool_manager.connection_from_url(self._built.configuration.host)
        connection = pool._new_conn()
        connection.timeout = exchange.remaining(CONNECT_TIMEOUT)
        with exchange:
            # urllib3 keeps what a CONNECT proxy needs in the pool, so the pool prepares the connection.
            if pool.proxy is not None and pool.scheme == "https":
                pool._prepare_proxy(connection)
            else:
                connection.connect()
        sock: socket.socket = connection.sock
        return sock

    def websocket_url(self, target: str) -> str:
        """The URL of a websocket. target: path and query."""
        return f"ws{self._target.cluster.server.removeprefix('http')}{target}"

    def close(self) -> None:
        """Drop idle connections."""
        with self._lock:
            if self._built is not None:
                self._built.rest_client.close()

    def _use_cert(self, credential: Credential) -> None:
        self.prepare()
        pair = (credential.cert, credential.key)
        with self._lock:
            if not credential.cert or pair == self._cert or self._context is None:
                return
            load_client_cert(self._context, *pair)
            changed = bool(self._cert[0])
            self._cert = pair
            if changed:
                self._built.rest_client.pool_manager.clear()

    def _build(self) -> Any:
        api_client, configuration = load_client()
        cluster = self._target.cluster
        proxy, exceptions = proxy_of(self._target)
        config = configuration(host=cluster.server, retries=False, connection_pool_maxsize=8)
        config.verify_ssl = not cluster.insecure
        config.socket_options = socket_options(*KEEPALIVE)
        config.tls_server_name = cluster.tls_server_name or None
        config.proxy = proxy or None
        config.no_proxy = exceptions
        config.proxy_headers = _proxy_login(proxy)
        try:
            official = api_client(config)
        except ImportError:
            raise KubeConfigError("a SOCKS proxy needs one more package", hint="install planc-tui[socks]") from None
        except ValueError:
            raise KubeConfigError("the proxy URL cannot be used", hint="check HTTPS_PROXY and proxy-url") from None
        manager = official.rest_client.pool_manager
        self._context = tls_context(cluster)
        keywords = manager.connection_pool_kw
        for name in ("ca_certs", "cert_file", "key_file", "ca_cert_data"):
            keywords.pop(name, None)
        keywords["ssl_context"] = self._context
        manager.pool_classes_by_scheme = tracked_pools(
            manager.pool_classes_by_scheme,
            dials=not proxy.startswith("socks"),
            insecure=cluster.insecure,
        )
        return official


def _proxy_login(proxy: str) -> Headers | None:
    """The header for a proxy URL with a user and a password."""
    from urllib3.util import make_headers

    parts = urlsplit(proxy)
    if not parts.username:
        return None
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    headers: Headers = make_headers(proxy_basic_auth=pair)
    return headers


def _content(body: bytes | None, kind: str) -> Any:
    """The body as the official client takes it: JSON decoded, since it encodes it itself; other kinds as bytes."""
    if body is None:
        return None
    return json.loads(body) if kind.endswith("json") else body
