"""Events, repeats counted once.

Invariant: events with the same object, type, reason and message are one row that counts them all, whether the server
keeps the repeats as a count, as a series or as separate objects.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import msgspec

from planc_tui.core.cluster import wire
from planc_tui.core.cluster.listing import Listing
from planc_tui.core.cluster.wire import epoch

MOST_SHOWN = 2000


class EventRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One event, or several that say the same. count: how often; first, last: epoch seconds.
    kind, object, object_uid: what it is about."""

    uid: str
    namespace: str
    name: str
    kind: str
    object: str
    object_uid: str
    type: str
    reason: str
    message: str
    source: str
    count: int
    first: float
    last: float

    @property
    def warning(self) -> bool:
        """Anything that is not Normal."""
        return self.type != "Normal"

    @property
    def group(self) -> tuple[str, str, str, str, str, str]:
        """What repeats share."""
        return self.namespace, self.kind, self.object, self.type, self.reason, self.message


def event_row(event: wire.Event) -> EventRow:
    """One event object; count and last time as kubectl reads them (printEvent of Kubernetes 1.37)."""
    about = event.involved_object
    first = epoch(event.first_timestamp) or epoch(event.event_time) or epoch(event.metadata.creation_timestamp)
    last = epoch(event.last_timestamp) or first
    count = event.count or 1
    if event.series is not None:
        last = epoch(event.series.last_observed_time) or last
        count = event.series.count or count
    intern = sys.intern
    return EventRow(
        uid=event.metadata.uid,
        namespace=intern(event.metadata.namespace),
        name=event.metadata.name,
        kind=intern(about.kind),
        object=about.name,
        object_uid=about.uid,
        type=intern(event.type),
        reason=intern(event.reason),
        message=event.message.strip(),
        source=intern(event.reporting_component or event.source.component),
        count=count,
        first=first,
        last=last,
    )


class EventTable:
    """Events by what they say; a snapshot is newest first and holds at most MOST_SHOWN rows."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._events: dict[str, EventRow] = {}
        self._groups: dict[tuple[str, ...], dict[str, EventRow]] = {}
        self._seen: set[str] | None = None
        self._complete = False
        self._expected = 0

    def begin(self) -> None:
        self._seen = set()

    def put(self, rows: Iterable[EventRow], expected: int = 0) -> bool:
        changed = expected not in (0, self._expected)
        self._expected = expected or self._expected
        for row in rows:
            if self._seen is not None:
                self._seen.add(row.uid)
            old = self._events.get(row.uid)
            if old == row:
                continue
            if old is not None:
                self._leave(old)
            self._join(row)
            changed = True
        return changed

    def _join(self, row: EventRow) -> None:
        self._events[row.uid] = row
        # Taken out and put in again, so that the groups stay nearly sorted by their last time.
        members = self._groups.pop(row.group, {})
        members[row.uid] = row
        self._groups[row.group] = members

    def _leave(self, row: EventRow) -> None:
        members = self._groups.get(row.group, {})
        members.pop(row.uid, None)
        if not members:
            self._groups.pop(row.group, None)

    def remove(self, row: EventRow) -> bool:
        old = self._events.pop(row.uid, None)
        if old is None:
            return False
        self._leave(old)
        return True

    def commit(self) -> bool:
        seen, self._seen = self._seen, None
        gone = [] if seen is None else [row for uid, row in self._events.items() if uid not in seen]
        for row in gone:
            self.remove(row)
        changed = bool(gone) or not self._complete
        self._complete = True
        return changed

    def snapshot(self) -> Listing[EventRow]:
        groups = sorted(map(_merged, self._groups.values()), key=_last, reverse=True)
        expected = len(groups) if self._complete else max(self._expected, len(groups))
        return Listing(tuple(groups[:MOST_SHOWN]), self._complete, expected)


def _last(row: EventRow) -> float:
    return row.last


def _merged(members: dict[str, EventRow]) -> EventRow:
    rows = iter(members.values())
    first = next(rows)
    if len(members) == 1:
        return first
    everything = tuple(members.values())
    return msgspec.structs.replace(
        first,
        count=sum(row.count for row in everything),
        first=min(row.first for row in everything),
        last=max(row.last for row in everything),
    )
