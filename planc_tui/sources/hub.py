"""Starts and stops feeds by need.

Invariant: a feed reads while a visible pane or a rule needs one of its topics and `LINGER` seconds longer, so that
looking at another pane for a moment closes and reopens nothing; once the hub is stopped, nothing starts again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from planc_tui.core.clock import Clock
from planc_tui.core.store import Topic
from planc_tui.sources.base import Feed, Poller

LINGER = 20.0


class Hub:
    """All feeds of one console, by the topics they fill."""

    def __init__(self, feeds: Iterable[Feed], clock: Clock) -> None:
        self._feeds = list(feeds)
        self._clock = clock
        self._needs: dict[str, frozenset[str]] = {}
        self._idle_at: dict[int, float] = {}  # by the feed's place: when the linger of its last need ends
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopped = False

    @property
    def feeds(self) -> tuple[Feed, ...]:
        """Every feed, in the order it was given."""
        return tuple(self._feeds)

    def start(self) -> None:
        """Start every feed idle."""
        for feed in self._feeds:
            feed.start()
        threading.Thread(target=self._run, name="hub", daemon=True).start()

    def need(self, who: str, topics: Iterable[Topic[Any]]) -> None:
        """`who` (a pane, the rules, a screen) now needs exactly these topics; an empty set releases all."""
        names = frozenset(topic.name for topic in topics)
        with self._lock:
            if names:
                self._needs[who] = names
            else:
                self._needs.pop(who, None)
            wanted = frozenset().union(*self._needs.values())
            for place, feed in enumerate(self._feeds):
                if any(topic.name in wanted for topic in feed.topics):
                    self._idle_at[place] = float("inf")
                    feed.want(True)
                elif self._idle_at.get(place) == float("inf"):
                    self._idle_at[place] = self._clock.monotonic() + LINGER
        self._wake.set()

    def step(self) -> float | None:
        """Let feeds idle whose linger is over. Returns seconds until the next one, None when none lingers."""
        with self._lock:
            now = self._clock.monotonic()
            for place, until in tuple(self._idle_at.items()):
                if until <= now:
                    del self._idle_at[place]
                    self._feeds[place].want(False)
            lingering = [until for until in self._idle_at.values() if until != float("inf")]
            return min(lingering) - now if lingering else None

    def kick(self) -> None:
        """Every wanted feed tries now."""
        for feed in self._feeds:
            feed.kick()

    def renew(self, topic: Topic[Any]) -> None:
        """planc changed what the topic shows. What is watched needs no reading."""
        for feed in self._feeds:
            if isinstance(feed, Poller) and topic in feed.topics:
                feed.renew()

    def stop(self) -> None:
        """End every feed without waiting."""
        self._stopped = True
        self._wake.set()
        for feed in self._feeds:
            feed.stop()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.clear()
            self._wake.wait(self.step())
