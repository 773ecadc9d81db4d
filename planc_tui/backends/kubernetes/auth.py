"""Keeps the login of one context fresh.

Invariant: at most one renewal runs at a time, however many requests wait for it; no request waits longer for a
login than it was told to; a login that was refused is renewed once, not again and again.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from planc_tui.backends.kubernetes.model import Target, UserEntry
from planc_tui.backends.kubernetes.plugin import PLUGIN_TIMEOUT, Issued, login_command, run_plugin
from planc_tui.core.clock import Clock
from planc_tui.core.ports import LoginExpired, PortError

# A tokenFile is rotated by the kubelet or by a side process.
FILE_LIFE = 60.0
# Renew this long before the end, or at the last fifth of a short life.
EARLY = 300.0
EARLY_SHARE = 0.2
# A failed login is not tried again sooner: eight sources must not start eight plugins.
RETRY_AFTER = 5.0
# A login that was renewed this recently and is refused again is not renewed again.
SETTLED = 5.0


@dataclass(frozen=True, slots=True)
class Credential:
    """How to log in now. header: value of Authorization, may be empty; cert, key: PEM, may be empty."""

    header: str = field(default="", repr=False)
    cert: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)


class Issuer(Protocol):
    """Makes credentials; may be slow. `issue` returns the credential and when it ends (epoch s, None: never)."""

    def issue(self, again: bool) -> tuple[Credential, float | None]: ...


class EntryIssuer:
    """Static tokens, token files, basic auth and client certificates."""

    def __init__(self, user: UserEntry, clock: Clock, reread: Callable[[], UserEntry | None] = lambda: None) -> None:
        self._user = user
        self._clock = clock
        self._reread = reread

    def issue(self, again: bool) -> tuple[Credential, float | None]:
        """again: the last credential was refused, so look whether the kubeconfig has a newer one."""
        if again:
            self._user = self._reread() or self._user
        user = self._user
        header = entry_header(user)
        credential = Credential(header, user.cert.read(), user.key.read())
        return credential, self._clock.now() + FILE_LIFE if user.token_file else None


class PluginIssuer:
    """Credentials from an exec plugin; a client certificate of the entry itself is kept."""

    def __init__(self, user: UserEntry, run: Callable[[], Issued]) -> None:
        self._user = user
        self._run = run

    def issue(self, again: bool) -> tuple[Credential, float | None]:
        """Run the plugin; it decides itself whether its cache is still good, so `again` changes nothing."""
        del again
        issued = self._run()
        cert, key = self._user.cert.read(), self._user.key.read()
        header = f"Bearer {issued.token}" if issued.token else ""
        return Credential(header, cert or issued.cert, key or issued.key), issued.expires


def entry_header(user: UserEntry) -> str:
    """The Authorization header of an entry; kubectl's order. Raises LoginExpired when the token file is away."""
    if user.token_file:
        try:
            with open(user.token_file, encoding="utf-8") as stream:
                token = stream.read().strip()
        except (OSError, UnicodeDecodeError):
            token = user.token
        if not token:
            raise LoginExpired(f"no token in {user.token_file}", hint="put a valid token in that file")
        return f"Bearer {token}"
    if user.token:
        return f"Bearer {user.token}"
    if user.username or user.password:
        pair = f"{user.username}:{user.password}".encode()
        return f"Basic {base64.b64encode(pair).decode('ascii')}"
    return ""


def issuer_for(
    target: Target, clock: Clock, reread: Callable[[], UserEntry | None], timeout: float = PLUGIN_TIMEOUT
) -> Issuer:
    """The issuer of the target's user: a token or a password in the entry beats its plugin, as in kubectl."""
    user = target.user
    plugin = user.plugin
    if plugin is None or user.token or user.token_file or user.username:
        return EntryIssuer(user, clock, reread)
    hint = login_command(plugin, target.info.context)
    return PluginIssuer(user, lambda: run_plugin(plugin, target.cluster, target.environ, hint=hint, timeout=timeout))


class TokenSource:
    """The current credential of one context, renewed before it ends or once after a 401."""

    def __init__(self, issuer: Issuer, clock: Clock, hint: str) -> None:
        self._issuer = issuer
        self._clock = clock
        self.hint = hint
        self._condition = threading.Condition()
        self._busy = False
        self._current: Credential | None = None
        self._ends: float | None = None
        self._renew_at: float | None = None
        self._issued_at = 0.0
        self._error: PortError | None = None
        self._error_at = 0.0

    def get(self, timeout: float) -> Credential:
        """A credential that is good now. timeout: seconds to wait for a login. Raises LoginExpired."""
        with self._condition:
            current = self._current
            if current is not None and not self._due():
                return current
        try:
            return self._renew(current, timeout, again=False)
        except PortError:
            # Not yet ended: a plugin that fails early must not take a working login away.
            if current is not None and self._still_good():
                return current
            raise

    def refresh(self, refused: Credential, timeout: float) -> Credential | None:
        """A credential after the server answered 401 to `refused`; None when renewing brings nothing new.

        Raises LoginExpired when the renewal fails.
        """
        with self._condition:
            if self._current is not None and self._current != refused:
                return self._current
            if self._current is not None and self._clock.monotonic() - self._issued_at < SETTLED:
                return None
        fresh = self._renew(refused, timeout, again=True)
        return fresh if fresh != refused else None

    def _due(self) -> bool:
        settled = self._clock.monotonic() - self._issued_at >= SETTLED
        return settled and self._renew_at is not None and self._clock.now() >= self._renew_at

    def _still_good(self) -> bool:
        return self._ends is None or self._clock.now() < self._ends

    def _renew(self, old: Credential | None, timeout: float, *, again: bool) -> Credential:
        with self._condition:
            if self._current is not None and self._current is not old:
                return self._current  # another request has renewed it since this one looked
            if not self._busy:
                self._raise_recent()
                self._busy = True
                threading.Thread(target=self._run, args=(again,), name="kube-login", daemon=True).start()
            if not self._condition.wait_for(lambda: not self._busy, timeout):
                raise LoginExpired(f"the login has not finished within {timeout:g} s", hint=self.hint)
            if self._error is not None:
                raise self._error.with_traceback(None)
            if self._current is None:
                raise LoginExpired("the login gave nothing", hint=self.hint)
            return self._current

    def _raise_recent(self) -> None:
        if self._error is not None and self._clock.monotonic() - self._error_at < RETRY_AFTER:
            raise self._error.with_traceback(None)

    def _run(self, again: bool) -> None:
        credential: Credential | None = None
        ends: float | None = None
        error: PortError | None = None
        try:
            credential, ends = self._issuer.issue(again)
        except PortError as failure:
            error = failure
        except Exception as failure:
            error = LoginExpired(f"the login failed ({type(failure).__name__})", hint=self.hint)
        with self._condition:
            self._busy = False
            self._error = error
            if error is not None:
                self._error_at = self._clock.monotonic()
            else:
                self._current = credential
                self._issued_at = self._clock.monotonic()
                self._ends = ends
                now = self._clock.now()
                self._renew_at = None if ends is None else ends - min(EARLY, (ends - now) * EARLY_SHARE)
            self._condition.notify_all()
