"""Pane 7: events, newest first, repeats counted once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from planc_tui.core.age import utc
from planc_tui.core.cluster.events import EventRow
from planc_tui.core.cluster.topics import EVENTS
from planc_tui.core.store import Topic
from planc_tui.core.table import Cell, Column, Target, Tone
from planc_tui.core.text import clean
from planc_tui.ui.panes.base import Option, Pane, Summary, View
from planc_tui.ui.panes.kube_cells import arriving

_DAY = 86400.0


class EventsPane(Pane[EventRow]):
    """Warnings, or all events."""

    id = "events"
    title = "Events"
    number = "7"
    aliases = ("event", "events", "ev")
    topics: ClassVar[tuple[Topic[Any], ...]] = (EVENTS,)
    columns = (
        Column("last", "UTC", 8),
        Column("count", "×", 5, right=True),
        Column("reason", "REASON", 12, flex=1),
        Column("name", "OBJECT", 14, flex=2),
        Column("message", "MESSAGE", 20, flex=4, priority=1),
    )
    sort_keys: ClassVar[Mapping[str, str]] = {"A": "last", "T": "count", "N": "name", "S": "reason"}
    options = (Option("all", "e", "all events, not warnings alone"),)

    def items(self, view: View) -> Sequence[EventRow]:
        listing = view.value(EVENTS)
        if listing is None:
            return ()
        return listing.rows if view.options.get("all") else [row for row in listing.rows if row.warning]

    def identity(self, item: EventRow) -> str:
        return item.uid

    def cells(self, item: EventRow, view: View) -> Sequence[Cell]:
        about = f"{item.kind.lower()}/{item.object}" if item.kind != "Pod" else item.object
        return (
            Cell(_clock(item.last, view.now), Tone.DIM),
            Cell(f"×{item.count}" if item.count > 1 else "", self.tone(item)),
            Cell(clean(item.reason), self.tone(item)),
            Cell(clean(about)),
            Cell(clean(item.message)),
        )

    def summary(self, view: View) -> Summary:
        listing = view.value(EVENTS)
        if listing is None:
            return Summary("")
        if (early := arriving(listing, "events")) is not None:
            return early
        warnings = sum(1 for row in listing.rows if row.warning)
        text = f"{warnings:,} warning{'' if warnings == 1 else 's'}"
        if view.options.get("all"):
            text += f" · all {len(listing):,}"
        if listing.expected > len(listing):
            text += f" · newest {len(listing):,} of {listing.expected:,}"
        return Summary(text, Tone.WARN if warnings else Tone.OK)

    def target(self, item: EventRow, view: View) -> Target | None:
        """The object the event is about, so that opening and logs lead there."""
        return Target(item.kind, item.object, item.namespace, item.object_uid, view.context)

    def tone(self, item: EventRow) -> Tone:
        return Tone.WARN if item.warning else Tone.NORMAL

    def sort_value(self, item: EventRow, column: str) -> Any:
        return {"last": -item.last, "count": item.count}.get(column) or self.text(item, column)

    def text(self, item: EventRow, column: str) -> str:
        return {
            "last": utc(item.last),
            "count": str(item.count),
            "reason": item.reason,
            "name": f"{item.kind}/{item.object}",
            "message": item.message,
        }.get(column, "")

    def detail(self, item: EventRow, view: View) -> tuple[str, ...]:
        lines = (
            f"{item.type} {item.reason}, {item.count} times",
            f"about {item.kind} {item.namespace}/{item.object}",
            f"first {_stamp(item.first)}, last {_stamp(item.last)}, from {item.source or 'unknown'}",
            *item.message.splitlines(),
        )
        return tuple(clean(line) for line in lines)

    def empty(self, view: View) -> str:
        return "no events" if view.options.get("all") else "no warnings; e shows all events"


def _clock(then: float, now: float) -> str:
    """Time of day, or the date when it is not of the last day: neither changes while one looks at it.

    >>> _clock(0, 10), _clock(0, 200_000)
    ('00:00:00', '01-01')
    """
    return time.strftime("%H:%M:%S" if now - then < _DAY else "%m-%d", time.gmtime(then))


def _stamp(then: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(then))
