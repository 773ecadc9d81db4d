"""Actions write into the journal, on the timeline of the incident that is open.

Invariant: an entry of an action is on disk when `record` returns; an entry that cannot be written stops the action.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from planc_tui.actions.recorder import Entry, RecorderFailed
from planc_tui.core.text import clean
from planc_tui.core.timeline import Actor, Draft
from planc_tui.incident import kinds
from planc_tui.incident.postmortem import moved
from planc_tui.journal import Journal, JournalError


class JournalRecorder:
    """The executor's side of the journal. incident: id of the incident on the screen, "" for none. facts: the figures
    of this moment, which are kept with the beginning and the end of every action. queries: what would show figures of
    these names again; kept for those that moved."""

    def __init__(
        self,
        journal: Journal,
        actor: Actor,
        incident: Callable[[], str],
        facts: Callable[[], Mapping[str, float]] = dict,
        queries: Callable[[Iterable[str]], Mapping[str, str]] = lambda _names: {},
    ) -> None:
        self._journal = journal
        self._actor = actor
        self._incident = incident
        self._facts = facts
        self._queries = queries
        self._titles: dict[str, str] = {}
        self._begun: dict[str, Mapping[str, float]] = {}

    def record(self, kind: str, data: Mapping[str, Any]) -> None:
        """Write one entry and flush it to disk. Raises RecorderFailed."""
        entry = dict(data)
        if kind in (kinds.ACTION_STARTED, kinds.ACTION_RESULT):
            entry |= self._figures(kind, str(data.get("run", "")))
        draft = Draft(self._incident(), kind, self._actor, self._summary(kind, data), entry)
        try:
            self._journal.append(draft)
        except JournalError as error:
            hint = f": {error.hint}" if error.hint else ""
            raise RecorderFailed(f"{error.message}{hint}") from None

    def _figures(self, kind: str, run: str) -> Mapping[str, Any]:
        now = dict(self._facts())
        if kind == kinds.ACTION_STARTED:
            self._begun[run] = now
            return {"facts": now}
        return {"facts": now, "queries": dict(self._queries(moved(self._begun.pop(run, {}), now)))}

    def entries(self, kinds_: Sequence[str]) -> Sequence[Entry]:
        """Entries of these types, oldest first. Raises RecorderFailed."""
        try:
            events = self._journal.events(types=kinds_)
        except JournalError as error:
            raise RecorderFailed(error.message) from None
        return tuple(Entry(event.type, event.recorded_at, event.data) for event in events)

    def _summary(self, kind: str, data: Mapping[str, Any]) -> str:
        run = str(data.get("run", ""))
        plan = data.get("plan")
        if isinstance(plan, Mapping):
            first: Any = next(iter(plan.get("targets") or ()), None)
            name = str(first.get("name", "")) if isinstance(first, Mapping) else ""
            self._titles[run] = clean(f"{plan.get('title', '')} {name}".strip(), 160)
        title = self._titles.get(run) or clean(str(data.get("action", "action")), 160)
        match kind:
            case kinds.ACTION_STARTED:
                return f"{title}: started"
            case kinds.ACTION_RESULT:
                progress = clean(str(data.get("progress", "")), 200)
                return f"{title}: {data.get('state', '')}" + (f" ({progress})" if progress else "")
            case kinds.ACTION_REFUSED:
                return f"{title}: refused, {clean(str(data.get('reason', '')), 200)}"
            case _:
                return title
