"""Cells that several Kubernetes panes share.

Invariant: usage that metrics-server has not confirmed lately never looks like usage of now, and what was not measured
is a dash, not a zero.
"""

from __future__ import annotations

from typing import Any

from planc_tui.core.cluster.listing import Listing
from planc_tui.core.health import Health
from planc_tui.core.store import Topic
from planc_tui.core.table import Cell, Tone
from planc_tui.ui.panes.base import Summary, View

UNMEASURED = Cell("–", Tone.DIM)
_GLYPHS = {Tone.CRIT: "✖", Tone.WARN: "▲", Tone.OK: "●", Tone.UNKNOWN: "?"}


def glyph(tone: Tone) -> Cell:
    """The sign of a row; quiet rows have none."""
    return Cell(_GLYPHS.get(tone, ""), tone)


def name_text(namespace: str, name: str, view: View) -> str:
    """The name, with its namespace when the view shows all of them."""
    return name if view.namespace or not namespace else f"{namespace}/{name}"


def live(view: View, topic: Topic[Any]) -> bool:
    """Whether a second topic of a pane can be trusted now."""
    return view.reading(topic).health(view.monotonic) is Health.LIVE


def aside(view: View, *topics: Topic[Any]) -> str:
    """What is wrong with the topics that do not give the pane its health: ` · pod usage stale`."""
    words = []
    for topic in topics:
        health = view.reading(topic).health(view.monotonic)
        if health not in (Health.LIVE, Health.CONNECTING, Health.IDLE):
            words.append(f" · {topic.name} {health.value}")
    return "".join(words)


def percent_cell(percent: int | None, warning: float, bad: float, fresh: bool) -> Cell:
    """Per cent of a limit; loud near it."""
    if percent is None:
        return UNMEASURED
    return Cell(f"{percent}%", level(percent, warning, bad) if fresh else Tone.STALE)


def level(value: float, warning: float, bad: float) -> Tone:
    """How loud a figure is.

    >>> level(10, 75, 90).name, level(80, 75, 90).name, level(95, 75, 90).name
    ('NORMAL', 'WARN', 'CRIT')
    """
    return Tone.CRIT if value >= bad else Tone.WARN if value >= warning else Tone.NORMAL


def arriving(listing: Listing[Any], what: str) -> Summary | None:
    """The summary while the first list is still arriving; None once it is whole."""
    if listing.complete:
        return None
    return Summary(f"reading {what}: {len(listing):,} of {listing.expected:,}", Tone.DIM)
