"""The pulse of the API server, and who stands on it.

Invariant: every Kubernetes topic that is needed turns stale within nine seconds of the server's silence (PULSE and
DEADLINE), within thirteen where planc has asked much in the last minute (PATIENCE), within sixteen where several other
systems answer with errors as well, and by its own time limit where the budget has no room for a pulse; none of their
feeds knocks while the server is away, and all of them try at once when it is back.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from planc_tui.core.allowance import FORESEEN, LOOK_AGAIN, Allowance, Plan
from planc_tui.core.clock import Clock
from planc_tui.core.cluster import wire
from planc_tui.core.cluster.topics import LINK, Link
from planc_tui.core.ports import (
    BadAnswer,
    ClusterPort,
    Denied,
    LoginExpired,
    NoConnection,
    NotFound,
    Rejected,
    Throttled,
)
from planc_tui.core.stats import RequestStats
from planc_tui.core.store import Fault, Store, Topic
from planc_tui.core.text import clean
from planc_tui.sources.base import FIRST_RETRY, Feed, fault_of

log = logging.getLogger(__name__)

DEADLINE = 2.8
PULSE = 6.0
# Seconds that a pulse waits at most when planc has asked enough in the last minute, and when several systems answer
# with errors besides: their tries need the room, and what nobody vouches for turns stale by itself soon after.
PATIENCE, PATIENCE_STRAINED = 4.0, 7.0
# Whatever the server answers proves that it lives; the round trip is measured this often all the same.
LONGEST_WITHOUT_PULSE = 30.0
SECOND_LOOK = 1.5
SHORTEST = 1.0
HEARD_JUST_NOW = 1.0
# Seconds from one try to the next, however long the first waited for its answer: seldom enough that the tries and the
# systems beside the cluster together stay within the budget of requests.
RETRY_AWAY = (5.6, 6.4)
RETRY_LOGIN = 6.0
# Seconds that such a try waits at most when several other systems answer with errors.
PATIENCE_AWAY = 2.5
# Requests that a pulse leaves free beyond what a read does: all that is asked at the start takes up the first minute.
SPARED = 2
_REACHED = (Denied, NotFound, Rejected)


class Follower(Feed, Protocol):
    """A feed that goes by the same server."""

    @property
    def wanted(self) -> bool:
        """Whether anybody needs one of its topics."""
        ...


class Watcher(Follower, Protocol):
    """A follower that holds a watch open."""

    def confirm(self, now: float) -> None:
        """The server lives: what an open watch has not contradicted is true."""
        ...

    def doubt(self) -> None:
        """The server is away: what the open watch says no longer counts."""
        ...


class LinkFeed:
    """Asks for /version now and then, and tells the followers. Implements sources.base.Feed."""

    def __init__(
        self,
        port: ClusterPort,
        store: Store,
        clock: Clock,
        rng: random.Random | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self._allowance = allowance or Allowance(RequestStats(), clock)
        self._port = port
        self._store = store
        self._clock = clock
        self._rng = rng or random.Random()
        self._wake = threading.Event()
        self._wanted = False
        self._stopped = False
        self._watchers: list[Watcher] = []
        self._followers: list[Follower] = []
        self._link: Link | None = None
        self._up = True
        self._throttled = False
        self._unreached = False  # the last pulse found no connection: most likely the next one sends nothing either
        self._suspicious = False  # a request failed since the last pulse: what was heard before proves nothing
        self._looks_twice = False  # it is just back: what its watches say counts once they are vouched for
        self._away_since: float | None = None
        self._last_pulse = float("-inf")
        self._apart = 0.0  # seconds between the last two pulses
        self._last_heard = float("-inf")
        self._next = float("-inf")

    @property
    def name(self) -> str:
        return LINK.name

    @property
    def topics(self) -> Sequence[Topic[Any]]:
        return (LINK,)

    def up(self) -> bool:
        """Whether it makes sense to send the server a request: not while it is away or asks to slow down."""
        return self._up and not self._throttled

    def watch(self, watcher: Watcher) -> None:
        """Vouch for a watcher's rows while the server answers. Before `start`."""
        self._watchers.append(watcher)

    def follow(self, follower: Follower) -> None:
        """Tell a polling feed when the server is away and when it is back. Before `start`."""
        self._followers.append(follower)

    def start(self) -> None:
        threading.Thread(target=self._run, name="source-link", daemon=True).start()

    def want(self, wanted: bool) -> None:
        if wanted == self._wanted:
            return
        self._wanted = wanted
        self._store.want(LINK, wanted)
        self._wake.set()

    def nudge(self) -> None:
        """A follower's need changed."""
        self._wake.set()

    def kick(self) -> None:
        if not self._up and not self._allowance.crowded():
            self._next = min(self._next, max(self._clock.monotonic(), self._last_pulse + FIRST_RETRY))
        self._wake.set()

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()

    def heard(self, now: float) -> None:
        """A readable answer of the server came at monotonic time `now`: of a watch, a list, or a measurement."""
        self._last_heard = max(self._last_heard, now)

    def suspect(self) -> None:
        """A request failed as it does when the server is away: look soon, but not for every failure."""
        if self._up:
            self._suspicious = True
            self._next = min(self._next, self._last_pulse + SHORTEST)
            self._wake.set()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.clear()
            self._wake.wait(self.step())

    def _active(self) -> bool:
        return self._wanted or any(feed.wanted for feed in (*self._watchers, *self._followers))

    def step(self) -> float | None:
        """Pulse when it is due. Returns seconds to sleep, None to sleep until woken."""
        if not self._active():
            self._allowance.forget(self.name)
            return None
        now = self._clock.monotonic()
        if now < self._next:
            return self._next - now
        heard = now - self._last_heard < PULSE and now - self._last_pulse < LONGEST_WITHOUT_PULSE
        calm = self.up() and not self._suspicious
        if heard and calm and self._link is not None:
            self._looks_twice = False
            self._vouch(now, self._link)
            self._next = max(self._last_heard, self._last_pulse) + PULSE
        else:
            wait = self._wait(now)
            if wait > 0:
                return wait
            self._pulse(now)
            self._allowance.settle(self.name)
        self._allowance.plan(self.name, self._planned())
        return max(0.05, self._next - self._clock.monotonic())

    def _wait(self, now: float) -> float:
        """Seconds until it is to be asked again whether there is room for a pulse; 0 when it is claimed."""
        plan = self._planned()
        if now < plan.at and self._allowance.crowded(SPARED):
            return LOOK_AGAIN
        return self._allowance.claim(self.name, plan)

    def _planned(self) -> Plan:
        """The next pulse and those after it, as many as are not spared at the moment by other answers."""
        patience = self._patience()
        every = max(PULSE + patience, self._apart)
        return Plan(self._next + patience, every, self._unreached, away=not (self._up or self._unreached))

    def _patience(self) -> float:
        """Seconds that a pulse may wait for room."""
        strained = self._allowance.away() >= FORESEEN
        if not self._up:
            return PATIENCE_AWAY if strained else 0.0
        if self._throttled or self._suspicious or self._looks_twice:
            return 0.0
        return PATIENCE_STRAINED if strained else PATIENCE

    def _pulse(self, started: float) -> None:
        self._apart = min(started - self._last_pulse, LONGEST_WITHOUT_PULSE)
        self._last_pulse = started
        self._suspicious = self._looks_twice = False
        try:
            version = self._ask()
        except Throttled as error:
            self._slow_down(error)
            return
        except Exception as error:
            now = self._clock.monotonic()
            if now - self._last_heard < HEARD_JUST_NOW and not isinstance(error, LoginExpired):
                self._reached(now, None, None)
            else:
                self._lost(error, now)
            return
        now = self._clock.monotonic()
        back, self._throttled = self._throttled, False
        self._reached(now, version, (now - started) * 1000)
        if back:
            self._look_twice(now)

    def _slow_down(self, error: Throttled) -> None:
        """The server lives, so open watches stay good; nothing new is sent until it answers its pulse again."""
        now = self._clock.monotonic()
        self._throttled = True
        self._reached(now, None, None)
        self._next = now + max(self._rng.uniform(*RETRY_AWAY), min(error.retry_after or 0.0, PULSE))

    def _ask(self) -> str:
        try:
            body = self._port.request("GET", "/version", timeout=DEADLINE, source=self.name)
        except _REACHED as error:
            log.info("the API server does not tell its version: %s", error.message)
            return ""
        try:
            version = wire.VERSION.decode(body).git_version
        except msgspec.DecodeError:
            version = ""
        if not version:
            raise BadAnswer("the API server's answer is not what a Kubernetes API server says")
        return clean(version, 40)

    def _reached(self, now: float, version: str | None, rtt_ms: float | None) -> None:
        back, self._up, self._unreached = not self._up, True, False
        self._away_since = None
        self._next = now + PULSE
        old = self._link
        if back or old is None:
            # The first answer comes over a new connection, after more than one round trip.
            link = Link(version or (old.version if old else ""), None, self._clock.now())
        else:
            link = Link(old.version if version is None else version, _steady(old.rtt_ms, rtt_ms), old.since)
        if back:
            self._lift()
            self._look_twice(now)
        self._vouch(now, link)

    def _lift(self) -> None:
        """The server's absence is over for its followers: what they measured before it is as old as it is."""
        for follower in self._followers:
            for topic in follower.topics:
                self._store.lift(topic)

    def _look_twice(self, now: float) -> None:
        """The server takes requests again: all feeds try at once, and what they open is vouched for soon."""
        self._looks_twice = True
        self._next = now + SECOND_LOOK
        for feed in (*self._watchers, *self._followers):
            feed.kick()

    def _vouch(self, now: float, link: Link) -> None:
        if link == self._link:
            self._store.confirm(LINK, now)
        else:
            self._link = link
            self._store.put(LINK, link, now)
        for watcher in self._watchers:
            watcher.confirm(now)

    def _lost(self, error: Exception, now: float) -> None:
        self._up = False
        self._unreached = isinstance(error, NoConnection)
        self._away_since = self._away_since if self._away_since is not None else now
        delay = RETRY_LOGIN if isinstance(error, LoginExpired) else self._rng.uniform(*RETRY_AWAY)
        self._next = max(now, self._last_pulse + delay)
        fault = fault_of(error, self._away_since, self._next)
        self._store.fail(LINK, fault)
        for watcher in self._watchers:
            watcher.doubt()
            self._fail(watcher, fault)
        for follower in self._followers:
            self._fail(follower, fault)

    def _fail(self, feed: Follower, fault: Fault) -> None:
        if feed.wanted:
            for topic in feed.topics:
                self._store.fail(topic, fault)


def _steady(shown: float | None, measured: float | None) -> float | None:
    """The round-trip time to show: the old one until it moved by half and by 5 ms, so that it stands still.

    >>> _steady(14.0, 17.0), _steady(14.0, 40.0), _steady(None, 3.2), _steady(14.0, None)
    (14.0, 40.0, 3.2, 14.0)
    """
    if shown is None or measured is None:
        return measured or shown
    return measured if abs(measured - shown) > max(5.0, shown / 2) else shown
