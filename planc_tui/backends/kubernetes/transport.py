"""The Kubernetes API server as a port.

Invariant: every request is sent exactly once and ends within its time; only a GET is repeated, once, after a 401 and
with a fresh login. Whatever goes wrong leaves as a PortError.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from planc_tui.backends.kubernetes.auth import Credential, TokenSource, issuer_for
from planc_tui.backends.kubernetes.client import ApiClient
from planc_tui.backends.kubernetes.dial import Exchange
from planc_tui.backends.kubernetes.errors import (
    Call,
    answer_error,
    failure_error,
    no_answer,
    read_status,
    silence,
)
from planc_tui.backends.kubernetes.execution import ExecOutcome, run_command
from planc_tui.backends.kubernetes.forward import PodForward
from planc_tui.backends.kubernetes.model import ContextInfo, Target, UserEntry
from planc_tui.backends.kubernetes.paths import is_proxied, read_path
from planc_tui.backends.kubernetes.plugin import login_command
from planc_tui.backends.kubernetes.streams import HttpStream
from planc_tui.core.clock import Clock
from planc_tui.core.ports import BadAnswer, LoginExpired, NoConnection, PortError, Unreachable
from planc_tui.core.stats import RequestStats

OPEN_TIMEOUT = 10.0
PIECE = 262_144
# More than any page of a list; an answer without an end must not fill the memory before its deadline.
BODY_LIMIT = 256 * 1024 * 1024


class _Endable(Protocol):
    def kill(self) -> None: ...


class ApiPort:
    """ClusterPort of one kubeconfig context. Building it sends nothing and imports no client."""

    def __init__(
        self,
        target: Target,
        stats: RequestStats,
        clock: Clock,
        reread: Callable[[], UserEntry | None] = lambda: None,
    ) -> None:
        self._target = target
        self._stats = stats
        self._clock = clock
        hint = login_command(target.user.plugin, target.info.context)
        self._client = ApiClient(target, TokenSource(issuer_for(target, clock, reread), clock, hint))
        self._lock = threading.Lock()
        self._live: set[_Endable] = set()
        self._closed = False

    @property
    def info(self) -> ContextInfo:
        """Whom this port goes to, and as whom."""
        return self._target.info

    @property
    def context(self) -> str:
        return self._target.info.context

    @property
    def server(self) -> str:
        return self._client.server

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
        end = time.monotonic() + timeout
        headers = {"Accept": accept, "Accept-Encoding": "gzip"}
        if body is not None:
            headers["Content-Type"] = content_type
        call = self._client.call(method, path)
        credential = self._login(timeout)
        for attempt in (1, 2):
            left = max(0.001, end - time.monotonic())
            code, head, content = self._exchange(call, credential, query, body, headers, left, timeout, source)
            if 200 <= code < 300:
                _check_kind(call, accept, head, content)
                return content
            fresh = self._after_refusal(call, code, content, credential, end)
            if fresh is None or method != "GET" or attempt == 2:
                raise answer_error(call, code, head, content)
            credential = fresh
        raise no_answer(self.server, timeout)

    def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        idle_timeout: float = 90.0,
        source: str = "",
    ) -> HttpStream:
        """As ClusterPort.stream. A followed log is opened when it is first read: a server may keep back even the
        head of its answer until there is a line, and the stream must be closable meanwhile."""
        lazy = read_path(path).subresource == "log"
        exchange = Exchange(None if lazy else min(OPEN_TIMEOUT, idle_timeout))

        def opener() -> Any:
            return self._open(exchange, path, query, idle_timeout, source)

        stream = HttpStream(
            exchange,
            opener,
            server=self.server,
            idle=idle_timeout,
            received=lambda count: self._stats.received(source, count),
            ended=self._forget,
        )
        self._remember(stream)
        if not lazy:
            stream.open()
        return stream

    def forward(self, namespace: str, pod: str, port: int) -> PodForward:
        forward = PodForward(self._client, namespace, pod, port, self._stats, self._forget)
        self._remember(forward)
        forward.start()
        return forward

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
    ) -> ExecOutcome:
        exchange = Exchange(None)
        self._remember(exchange)
        self._stats.stream("exec")
        try:
            return run_command(
                self._client,
                exchange,
                (namespace, pod, container),
                command,
                stdout=stdout,
                timeout=timeout,
                stdin=stdin,
                stop=stop,
            )
        finally:
            self._forget(exchange)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            live = tuple(self._live)
        for item in live:
            item.kill()
        self._client.close()

    def _remember(self, item: _Endable) -> None:
        with self._lock:
            if self._closed:
                raise Unreachable(f"the connection to {self.server} was closed")
            self._live.add(item)

    def _forget(self, item: _Endable) -> None:
        with self._lock:
            self._live.discard(item)

    def _login(self, timeout: float) -> Credential:
        try:
            return self._client.login(timeout)
        except PortError:
            raise
        except Exception as error:
            raise failure_error(error, self.server, timeout) from None

    def _exchange(
        self,
        call: Call,
        credential: Credential,
        query: Mapping[str, str] | None,
        body: bytes | None,
        headers: dict[str, str],
        left: float,
        timeout: float,
        source: str,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """One request on the wire and its whole answer."""
        exchange = Exchange(left)
        try:
            self._remember(exchange)
            self._stats.request(source, self._clock.monotonic())
            response = self._client.send(
                exchange,
                credential,
                call.method,
                call.path,
                query=query,
                body=body,
                headers=headers,
                read_timeout=left,
            )
            content = self._read(call, response)
            self._stats.received(source, response.tell())
            if exchange.over:
                # The socket was shut down under the reader: what looks whole may be cut.
                raise no_answer(self.server, timeout)
            return response.status, response.headers, content
        except Exception as error:
            if exchange.killed:
                raise Unreachable(f"the connection to {self.server} was closed") from None
            if exchange.expired and not isinstance(error, PortError):
                raise no_answer(self.server, timeout) from None
            fault = failure_error(error, self.server, timeout)
            if isinstance(fault, NoConnection):
                self._stats.withdraw(source)
            raise fault from None
        finally:
            exchange.settle()
            self._forget(exchange)

    def _read(self, call: Call, response: Any) -> bytes:
        pieces: list[bytes] = []
        size = 0
        try:
            # Not stream: of a chunked answer it does not count the bytes that came.
            while piece := response.read1(PIECE, decode_content=True):
                pieces.append(piece)
                size += len(piece)
                if size > BODY_LIMIT:
                    raise BadAnswer(f"the answer of {call.server} is larger than 256 MiB")
        except BaseException:
            response.close()
            raise
        response.release_conn()
        return b"".join(pieces)

    def _open(self, exchange: Exchange, path: str, query: Mapping[str, str] | None, idle: float, source: str) -> Any:
        """The response of a stream, its body unread. Raises PortError."""
        call = self._client.call("GET", path, watching=bool(query and query.get("watch")))
        end = time.monotonic() + OPEN_TIMEOUT
        credential = self._login(OPEN_TIMEOUT)
        for attempt in (1, 2):
            response = self._open_once(exchange, call, credential, query, idle, source)
            if 200 <= response.status < 300:
                exchange.settle()
                self._check_stream(call, response)
                return response
            content = self._drain(call, response)
            fresh = self._after_refusal(call, response.status, content, credential, end)
            if fresh is None or attempt == 2:
                raise answer_error(call, response.status, response.headers, content)
            credential = fresh
        raise no_answer(self.server, OPEN_TIMEOUT)

    def _open_once(
        self,
        exchange: Exchange,
        call: Call,
        credential: Credential,
        query: Mapping[str, str] | None,
        idle: float,
        source: str,
    ) -> Any:
        self._stats.stream(source)
        headers = {"Accept": "application/json, */*", "Accept-Encoding": "identity"}
        try:
            return self._client.send(
                exchange,
                credential,
                "GET",
                call.path,
                query=query,
                body=None,
                headers=headers,
                read_timeout=idle,
            )
        except Exception as error:
            if exchange.expired and not isinstance(error, PortError):
                raise no_answer(self.server, min(OPEN_TIMEOUT, idle)) from None
            if type(error).__name__ == "ReadTimeoutError":
                raise silence(self.server, idle) from None
            raise failure_error(error, self.server, min(OPEN_TIMEOUT, idle)) from None

    def _drain(self, call: Call, response: Any) -> bytes:
        """The body of a refused stream."""
        try:
            return self._read(call, response)
        except Exception as error:
            raise failure_error(error, self.server, OPEN_TIMEOUT) from None

    def _check_stream(self, call: Call, response: Any) -> None:
        kind = response.headers.get("content-type", "")
        if "html" in kind:
            response.close()
            raise _not_json(call, kind)

    def _after_refusal(
        self, call: Call, code: int, content: bytes, credential: Credential, end: float
    ) -> Credential | None:
        """A fresh login after a 401 of the API server itself; None when there is nothing to try again with."""
        if code != 401 or (is_proxied(call.path) and read_status(content) is None):
            return None
        try:
            return self._client.renew(credential, max(0.001, end - time.monotonic()))
        except LoginExpired:
            raise
        except PortError as error:
            raise LoginExpired(error.message, hint=error.hint or self._client.tokens.hint) from None


def _check_kind(call: Call, accept: str, headers: Mapping[str, str], content: bytes) -> None:
    """JSON where JSON is due. Raises BadAnswer."""
    if "json" not in accept or "*/*" in accept or (not content and call.method != "GET"):
        return
    kind = headers.get("content-type", "")
    if kind and "json" not in kind:
        raise _not_json(call, kind)
    edge = content[:64].lstrip()[:1], content[-64:].rstrip()[-1:]
    if edge not in ((b"{", b"}"), (b"[", b"]")):
        raise BadAnswer(f"{call.server} answers with something that is not JSON, or with half of it")


def _not_json(call: Call, kind: str) -> BadAnswer:
    what = "a web page" if "html" in kind else "something that is not JSON"
    return BadAnswer(
        f"{call.server} answers with {what}",
        hint="a proxy or a login page may stand in between; check the server URL of the context",
    )
