"""What a backend may say when it fails, and the protocols that backends and the drill implement.

Invariant: no driver exception leaves a backend. Every failure is a `PortError` whose `health` tells a pane what to
show, and whose text is fit for the screen: one line, no secret, what to do next where that is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from planc_tui.core.health import Health


class PortError(Exception):
    """A system did not answer as it should.

    message: one line for people. hint: the next thing to do (a command or a permission), may be empty.
    retry_after: seconds the server asked to wait, or None.
    """

    health: Health = Health.UNREACHABLE

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.retry_after = retry_after


class Unreachable(PortError):
    """No answer: refused, timed out, reset, name not found, or a 5xx."""


class NoConnection(Unreachable):
    """No connection could be made, so nothing was asked."""


class NoAnswer(Unreachable):
    """Asked, and no answer came in time: the system or the way to it is frozen."""


class ServiceAway(Unreachable):
    """The API server itself says that the service behind it does not answer: so the API server does."""


class Silent(Unreachable):
    """A stream over which nothing came for its whole idle time. The server may have had nothing to say."""


class BadAnswer(PortError):
    """An answer that planc cannot read: garbage, HTML from a proxy, truncated JSON."""


class Throttled(PortError):
    """The server asked to slow down (429)."""


class Denied(PortError):
    """Authenticated but not allowed. verb and resource name the missing permission."""

    health = Health.DENIED

    def __init__(self, message: str, *, verb: str = "", resource: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.verb = verb
        self.resource = resource


class LoginExpired(PortError):
    """Not authenticated. hint is the command that logs in again."""

    health = Health.LOGIN_EXPIRED


class NotConfigured(PortError):
    """The playbook does not say how to reach this system; hint names the key to set."""

    health = Health.NOT_CONFIGURED


class NotFound(PortError):
    """The object does not exist (any more)."""


class Gone(PortError):
    """The resource version or continue token is too old (410): list again."""


class Rejected(PortError):
    """The server understood and refused (400, 409, 422, admission). Message is the server's own words."""

    def __init__(self, message: str, *, code: int = 0, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(message, retry_after=retry_after)
        self.code = code
        self.reason = reason


class ByteStream(Protocol):
    """A long answer read piece by piece (a watch, a followed log)."""

    def __iter__(self) -> Iterator[bytes]:
        """Chunks as they arrive; ends at the server's end. Raises PortError."""
        ...

    def close(self) -> None:
        """Wake the reader and end the stream; safe from any thread, more than once."""
        ...


class ClusterPort(Protocol):
    """The Kubernetes API as bytes: authentication, TLS, proxies and error mapping are the backend's business."""

    @property
    def context(self) -> str:
        """Name of the kubeconfig context every request of this port goes to."""
        ...

    @property
    def server(self) -> str:
        """Host and port of the API server, for people."""
        ...

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
        """One exchange, sent exactly once, answered within `timeout` seconds.

        path: absolute API path, already quoted. source: who asks, for the request statistics.
        Raises PortError.
        """
        ...

    def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        idle_timeout: float = 90.0,
        source: str = "",
    ) -> ByteStream:
        """Open a GET that keeps going (watch or log follow). `idle_timeout`: seconds of silence that end it
        with Unreachable. Raises PortError when it cannot be opened."""
        ...

    def forward(self, namespace: str, pod: str, port: int) -> Forward:
        """Forward a free loopback port to `port` of the pod through the API server."""
        ...

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
        """Run a command in a container without a terminal; bytes of its output go to `stdout` unchanged.
        `stop` is asked between frames and ends the command early. Raises PortError."""
        ...

    def close(self) -> None:
        """End every stream and forward; never blocks."""
        ...


class Forward(Protocol):
    """A loopback port that leads to a port of a pod."""

    @property
    def port(self) -> int:
        """The local port on 127.0.0.1."""
        ...

    @property
    def last_error(self) -> str:
        """Why the last connection through it failed, fit for the screen; empty when none did."""
        ...

    def close(self) -> None:
        """Stop listening and drop open connections; never blocks."""
        ...


class ExecResult(Protocol):
    """How a command in a container ended."""

    @property
    def code(self) -> int:
        """The exit code; -1 when the connection broke before one came."""
        ...

    @property
    def stderr(self) -> str:
        """The last 4 KiB of the error output, sanitised."""
        ...
