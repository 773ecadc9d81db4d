"""Writes what a person does at the console into the journal, without ever holding up a key.

Invariant: entries are written in the order they were handed over, off the UI thread; one that could not be written is
said on the screen, once, with the reason.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from planc_tui.core.ports import PortError, Unreachable
from planc_tui.core.table import Tone
from planc_tui.core.timeline import Draft
from planc_tui.desk.desk import Desk
from planc_tui.journal import JournalError

if TYPE_CHECKING:
    from planc_tui.ui.app import PlancApp


class Notebook:
    """The console's own pen."""

    def __init__(self, planc: PlancApp) -> None:
        self._planc = planc
        self._waiting: deque[tuple[Desk, Draft]] = deque()
        self._writing = False

    def write(self, kind: str, summary: str, data: Mapping[str, object]) -> None:
        """Hand over an entry; it belongs to the incident that hurts now on this context, if any."""
        session = self._planc.session
        if session is None or session.desk is None:
            return
        desk = session.desk
        incident = desk.board.current()
        here = incident is not None and incident.policy.context in ("", desk.policy.context)
        open_one = incident.id if incident is not None and here and incident.state.active else ""
        self._waiting.append((desk, Draft(open_one, kind, desk.actor, summary, dict(data), desk.journal.now())))
        self._next()

    def _next(self) -> None:
        if self._writing or not self._waiting:
            return
        desk, draft = self._waiting.popleft()
        self._writing = True

        def append() -> None:
            try:
                desk.journal.append(draft)
            except JournalError as error:
                raise Unreachable(error.message) from None

        self._planc.off_thread(append, self._written, "journal")

    def _written(self, result: PortError | None) -> None:
        self._writing = False
        if isinstance(result, PortError):
            self._planc.say(f"not written down: {result.message}", Tone.WARN)
        self._next()
