"""Turns answers and failures of the API server into the errors of the ports.

Invariant: every failure becomes one line that names the server or the permission; no secret and no control character
passes.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from planc_tui.backends.kubernetes.paths import is_proxied, rbac_verb, read_path
from planc_tui.core.ports import (
    BadAnswer,
    Denied,
    Gone,
    LoginExpired,
    NoAnswer,
    NotFound,
    PortError,
    Rejected,
    ServiceAway,
    Silent,
    Throttled,
    Unreachable,
)
from planc_tui.core.text import clean

_FORBIDDEN = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>[\w*]+) (?:resource|path) "(?P<resource>[^"]*)"'
    r'(?: in API group "(?P<group>[^"]*)")?'
)
_SECRETS = (
    (re.compile(r"\beyJ[\w-]+\.[\w-]+(\.[\w-]*)?"), "…"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), r"\1 …"),
    (re.compile(r"://[^/\s@]+@"), "://…@"),
    (re.compile(r"(?i)\b([\w-]*(?:password|passwd|secret|token)[\w-]*\s*[=:]\s*)[^\s,;&]{4,}"), r"\1…"),
)
MUTATING = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Call(Struct, frozen=True):
    """One request, as far as its errors tell of it. server: host:port; login: the command that logs in again."""

    method: str
    path: str
    server: str
    login: str
    watching: bool = False


class Status(Struct, frozen=True):
    """The metav1.Status of an answer. causes: (reason, field, message)."""

    message: str = ""
    reason: str = ""
    code: int = 0
    causes: tuple[tuple[str, str, str], ...] = ()
    retry_after: float | None = None


def redact(text: str) -> str:
    """`text` without what looks like a credential.

    >>> redact("Authorization: Bearer abcdefgh1234")
    'Authorization: Bearer …'
    """
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def read_status(body: bytes) -> Status | None:
    """The metav1.Status in `body`, or None when it is something else."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return status_of(document)


def status_of(document: Any) -> Status | None:
    """The metav1.Status in a decoded document, or None when it is something else."""
    if not isinstance(document, dict) or document.get("kind") != "Status":
        return None
    details = document.get("details")
    details = details if isinstance(details, dict) else {}
    listed = details.get("causes")
    causes = tuple(
        (str(cause.get("reason", "")), str(cause.get("field", "")), str(cause.get("message", "")))
        for cause in (listed if isinstance(listed, list) else [])
        if isinstance(cause, dict)
    )
    code, wait = document.get("code"), details.get("retryAfterSeconds")
    return Status(
        message=redact(clean(str(document.get("message") or ""), 600)),
        reason=clean(str(document.get("reason") or ""), 80),
        code=code if isinstance(code, int) else 0,
        causes=causes,
        retry_after=float(wait) if isinstance(wait, int) and wait > 0 else None,
    )


def answer_error(call: Call, code: int, headers: Mapping[str, str], body: bytes) -> PortError:
    """The error for an answer that is not 2xx."""
    status = read_status(body)
    if status is None and is_proxied(call.path):
        return _proxied_error(call, code, headers, body)
    said = status.message if status is not None else _plain(headers, body)
    wait = _retry_after(headers, status)
    if code == 401:
        return LoginExpired(f"{call.server} does not accept the login", hint=call.login)
    if code == 403:
        return _forbidden(call, said, status)
    if code == 404:
        return NotFound(said or f"{call.path} does not exist on {call.server}")
    if code == 410:
        return Gone(said or "the resource version is too old")
    if code == 429:
        return _throttled(call, said, status, wait)
    if code >= 500:
        kind = ServiceAway if status is None and code == 503 and _signed(headers) else Unreachable
        return kind(_sentence(f"{call.server} answers {code}", said), retry_after=wait)
    if code < 400:
        return _unexpected(call, code, headers)
    reason = status.reason if status is not None else ""
    return Rejected(said or f"{call.server} answers {code}", code=code, reason=reason, retry_after=wait)


def _forbidden(call: Call, said: str, status: Status | None) -> PortError:
    match = _FORBIDDEN.search(said)
    if match is not None and match["user"] == "system:anonymous":
        return LoginExpired(f"{call.server} sees no login", hint=call.login)
    if match is None and status is not None and said and call.method in MUTATING:
        # Quota, admission and a namespace on its way out also answer 403: no permission would help.
        return Rejected(said, code=403, reason=status.reason)
    asked = read_path(call.path)
    verb = match["verb"] if match is not None else rbac_verb(call.method, call.path, call.watching)
    resource = match["resource"] if match is not None else asked.what
    group = (match["group"] or "") if match is not None else asked.group
    name, _, sub = resource.partition("/")
    full = (f"{name}.{group}" if group else name) + (f"/{sub}" if sub else "")
    where = f" in {clean(unquote(asked.namespace), 80)}" if asked.namespace else ""
    flag = f" -n {clean(unquote(asked.namespace), 80)}" if asked.namespace else ""
    return Denied(
        f"not allowed to {verb} {full}{where}",
        verb=verb,
        resource=full,
        hint=f"ask for the permission: {verb} {full} (check: kubectl auth can-i {verb} {full}{flag})",
    )


def _throttled(call: Call, said: str, status: Status | None, wait: float | None) -> PortError:
    causes = status.causes if status is not None else ()
    if any(reason == "DisruptionBudget" for reason, _, _ in causes):
        # Not overload: a PodDisruptionBudget refuses this eviction.
        detail = next((text for reason, _, text in causes if reason == "DisruptionBudget" and text), "")
        return Rejected(
            redact(clean(_sentence(said, detail), 600)), code=429, reason="DisruptionBudget", retry_after=wait
        )
    return Throttled(f"{call.server} asks to slow down", retry_after=wait)


def _proxied_error(call: Call, code: int, headers: Mapping[str, str], body: bytes) -> PortError:
    """An answer of the service behind the API server: never about the login to the cluster."""
    said = _plain(headers, body)
    wait = _retry_after(headers, None)
    target = clean(unquote(read_path(call.path).name), 120)
    if code == 404:
        return NotFound(_sentence(f"{target} answers 404", said))
    if code == 429:
        return Throttled(f"{target} asks to slow down", retry_after=wait)
    if code >= 500:
        return Unreachable(_sentence(f"{target} answers {code}", said), retry_after=wait)
    if code < 400:
        return _unexpected(call, code, headers)
    return Rejected(_sentence(f"{target} answers {code}", said), code=code, retry_after=wait)


def _unexpected(call: Call, code: int, headers: Mapping[str, str]) -> BadAnswer:
    target = urlsplit(headers.get("location", "") or headers.get("Location", "")).netloc
    away = f" to {redact(clean(target, 100))}" if target else ""
    return BadAnswer(
        f"{call.server} redirects{away} ({code})" if 300 <= code < 400 else f"{call.server} answers {code}",
        hint="a proxy or a login page may stand in between; check the server URL of the context",
    )


def _plain(headers: Mapping[str, str], body: bytes) -> str:
    """The first line of a plain-text answer; HTML and JSON of other systems say nothing short."""
    kind = headers.get("content-type", "") or headers.get("Content-Type", "")
    text = body[:2000].decode("utf-8", "replace").strip()
    if "html" in kind or text.startswith("<"):
        return ""
    return redact(clean(text.splitlines()[0] if text else "", 300))


def _signed(headers: Mapping[str, str]) -> bool:
    """Whether the API server gave the answer, and nothing on the way to it: it names the flow that it counts the
    request to (API Priority and Fairness)."""
    return "x-kubernetes-pf-flowschema-uid" in {name.lower() for name in headers}


def _retry_after(headers: Mapping[str, str], status: Status | None) -> float | None:
    """Seconds of Retry-After; the HTTP-date form is not used by Kubernetes and ignored."""
    text = headers.get("retry-after", "") or headers.get("Retry-After", "")
    try:
        seconds = float(text)
    except ValueError:
        return status.retry_after if status is not None else None
    return seconds if 0 <= seconds < 86_400 else None


def _sentence(head: str, said: str) -> str:
    return f"{head}: {said}" if head and said else head or said


def no_answer(server: str, seconds: float) -> NoAnswer:
    """The error for silence."""
    return NoAnswer(f"no answer from {server} within {seconds:g} s")


def silence(server: str, seconds: float) -> Silent:
    """The error for a stream over which nothing came, not even the head of the answer."""
    return Silent(f"{server} was silent for {seconds:g} s")


def failure_error(error: BaseException, server: str, seconds: float) -> PortError:
    """The error for a request that brought no answer. seconds: how long was waited."""
    chain = _chain(error)
    for item in chain:
        if isinstance(item, PortError):
            return item
    for item in chain:
        known = _known_failure(item, server, seconds)
        if known is not None:
            return known
    text = _system_words(chain)
    return Unreachable(_sentence(f"no connection to {server}", text))


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what it was made of, the innermost cause first."""
    seen: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    while pending and len(seen) < 20:
        item = pending.pop()
        if item is None or item in seen:
            continue
        seen.append(item)
        inner = [arg for arg in (*item.args, getattr(item, "reason", None)) if isinstance(arg, BaseException)]
        pending.extend([*inner, item.__context__, item.__cause__])
    return seen[::-1]


def _known_failure(error: BaseException, server: str, seconds: float) -> PortError | None:
    if isinstance(error, ssl.SSLError):
        return _tls_error(error, server)
    if isinstance(error, ConnectionRefusedError):
        return Unreachable(f"connection refused by {server}")
    if type(error).__name__ == "RemoteDisconnected":
        return Unreachable(f"{server} closed the connection without an answer")
    if isinstance(error, ConnectionResetError | BrokenPipeError | ConnectionAbortedError):
        return Unreachable(f"connection to {server} was reset")
    if isinstance(error, socket.gaierror):
        return Unreachable(f"the name {server.rsplit(':', 1)[0]} was not found", hint="check DNS and the VPN")
    name = type(error).__name__
    if isinstance(error, TimeoutError) or name in ("ReadTimeoutError", "ConnectTimeoutError"):
        return no_answer(server, seconds)
    if name in ("IncompleteRead", "InvalidChunkLength"):
        return BadAnswer(f"the answer of {server} was cut off")
    if name in ("BadStatusLine", "LineTooLong", "UnknownProtocol", "InvalidHeader"):
        return BadAnswer(f"{server} does not answer in HTTP", hint="check the server URL of the context")
    if name == "DecodeError":
        return BadAnswer(f"the compressed answer of {server} is broken")
    if isinstance(error, OSError) and str(error).startswith("Tunnel connection failed"):
        return Unreachable(redact(clean(f"the proxy refused the way to {server}: {error}", 200)))
    return None


def _tls_error(error: ssl.SSLError, server: str) -> PortError:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = clean(getattr(error, "verify_message", "") or "verification failed", 200)
        return Unreachable(
            f"certificate of {server} not trusted: {why}",
            hint="check certificate-authority and tls-server-name of the context's cluster",
        )
    reason = getattr(error, "reason", None) or ""
    if "WRONG_VERSION_NUMBER" in reason or "HTTP_REQUEST" in reason or "RECORD_LAYER" in reason:
        return BadAnswer(f"{server} does not speak TLS", hint="check http or https in the server URL")
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return LoginExpired(f"{server} refuses the client certificate ({reason.lower().replace('_', ' ')})")
    if "EOF" in reason:
        return Unreachable(f"{server} ended the TLS connection")
    return Unreachable(_sentence(f"TLS with {server} failed", clean(reason.lower().replace("_", " "), 120)))


def _system_words(chain: list[BaseException]) -> str:
    for item in chain:
        if isinstance(item, OSError) and item.strerror:
            return clean(item.strerror, 120).lower()
    return ""
