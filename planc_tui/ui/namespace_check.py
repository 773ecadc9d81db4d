"""Tells an empty namespace from one that does not exist: both have no pods, and a misspelt one looks well.

Invariant: asks only while no pod is shown, once a minute at most; what cannot be known is not claimed.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from planc_tui.core.ports import ClusterPort, NotFound, PortError
from planc_tui.core.table import Target
from planc_tui.core.text import clean
from planc_tui.ui.kube_objects import fetch, fetch_namespaces
from planc_tui.ui.session import Session

if TYPE_CHECKING:
    from planc_tui.ui.app import PlancApp

_AGAIN = 60.0  # seconds


class NamespaceCheck:
    """Follows the namespace of the present session."""

    def __init__(self, planc: PlancApp) -> None:
        self._planc = planc
        self._session: Session | None = None
        self._words = ""
        self._next = 0.0

    def words(self, blank: bool) -> str:
        """What to say about the namespace, or "". blank: whether the list of its pods is known and empty."""
        session, now = self._planc.session, self._planc.clock.monotonic()
        if session is not self._session:
            self._session, self._words, self._next = session, "", 0.0
        if session is None or not blank or not session.identity.namespace:
            return ""
        if now >= self._next:
            self._next = now + _AGAIN
            port, name = session.cluster, session.identity.namespace
            self._planc.off_thread(
                lambda: missing(port, name), lambda found: self._arrived(session, found), "namespace"
            )
        return self._words

    def _arrived(self, session: Session, found: str | PortError) -> None:
        if session is self._session and not isinstance(found, PortError):
            self._words = found


def missing(port: ClusterPort, name: str) -> str:
    """That the namespace does not exist, with the nearest that does; "" when it exists. Raises PortError."""
    try:
        fetch(port, Target("Namespace", name))
    except NotFound:
        pass
    else:
        return ""
    try:
        near = difflib.get_close_matches(name, fetch_namespaces(port), 1, 0.5)
    except PortError:
        near = []
    hint = f", did you mean :ns {near[0]}?" if near else ": :ns chooses another"
    return f"▲ there is no namespace {clean(name, 63)} here{hint}"
