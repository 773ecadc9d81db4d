"""Starts and stops feeds by need.

Invariant: a feed reads only while a visible pane or a rule needs one of its topics.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from planc_tui.core.store import Topic
from planc_tui.sources.base import Feed


class Hub:
    """All feeds of one console, by the topics they fill."""

    def __init__(self, feeds: Iterable[Feed]) -> None:
        self._feeds = list(feeds)
        self._needs: dict[str, frozenset[str]] = {}

    @property
    def feeds(self) -> tuple[Feed, ...]:
        """Every feed, in the order it was given."""
        return tuple(self._feeds)

    def start(self) -> None:
        """Start every feed idle."""
        for feed in self._feeds:
            feed.start()

    def need(self, who: str, topics: Iterable[Topic[Any]]) -> None:
        """`who` (a pane, the rules, a screen) now needs exactly these topics; an empty set releases all."""
        names = frozenset(topic.name for topic in topics)
        if names:
            self._needs[who] = names
        else:
            self._needs.pop(who, None)
        wanted = frozenset().union(*self._needs.values())
        for feed in self._feeds:
            feed.want(any(topic.name in wanted for topic in feed.topics))

    def kick(self) -> None:
        """Every wanted feed tries now."""
        for feed in self._feeds:
            feed.kick()

    def stop(self) -> None:
        """End every feed without waiting."""
        for feed in self._feeds:
            feed.stop()
