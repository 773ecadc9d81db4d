"""Follows every container of the pods that matter and keeps what they say of errors.

Invariant: streams are opened only while somebody looks, never more than the limit at once, and what is not followed
is said; memory is bounded whatever the pods write.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from planc_tui.core.clock import Clock
from planc_tui.core.cluster.topics import PODS
from planc_tui.core.health import Health
from planc_tui.core.logs.book import ErrorBook, LogSummary, RecentLines
from planc_tui.core.logs.container import ContainerLog, Found
from planc_tui.core.logs.line import SECOND, clock_text, format_stamp
from planc_tui.core.ports import ClusterPort, PortError
from planc_tui.core.selector import selector
from planc_tui.core.store import Fault, Store, Topic
from planc_tui.core.text import clean
from planc_tui.sources.base import RETRY_DENIED, RETRY_LOGIN, fault_of
from planc_tui.sources.follow import Follower, LogTarget, Pace, State

ERRORS: Topic[LogSummary] = Topic("errors", 15.0)

TICK = 0.1
QUIET_TICK = 0.25
RECONCILE = 0.5
PUBLISH = 0.5
CONFIRM = 3.0
LINGER = 10.0
LEAVE = 5.0
FIRST_LINES = 500
SWAPS = 5
GONE = 20
TAIL_TOTAL = 6_291_456


class FollowSettings(Struct, frozen=True):
    """window: seconds the first read goes back. streams: most containers followed at once. patterns: how many are
    listed. listed: error lines that are kept for the list."""

    window: float = 300.0
    streams: int = 50
    patterns: int = 20
    listed: int = 1000


class LogFeed:
    """The feed behind the errors pane. pods: the containers to follow now, None while nobody knows them."""

    def __init__(
        self,
        port: ClusterPort,
        store: Store,
        clock: Clock,
        pods: Callable[[], Sequence[LogTarget] | None],
        settings: FollowSettings | None = None,
        gate: Callable[[], bool] = lambda: True,
    ) -> None:
        self._port = port
        self._store = store
        self._clock = clock
        self._pods = pods
        self._settings = settings or FollowSettings()
        self._api_up = gate
        self._pace = Pace(clock)
        self._lock = threading.Lock()
        self._book = ErrorBook(self._settings.patterns, self._settings.listed)
        self._followers: dict[tuple[str, str], Follower[Found]] = {}
        self._readers: dict[tuple[str, str], ContainerLog] = {}
        self._leaving: dict[tuple[str, str], float] = {}
        # Containers that made room for worse ones, with the time of the last line read of them.
        self._swapped: dict[tuple[str, str], int] = {}
        self._present: dict[tuple[str, str], LogTarget] | None = None
        self._gone: deque[tuple[str, str, tuple[bytes, ...]]] = deque(maxlen=GONE)
        self._recent = RecentLines()
        self._gone_lines = 0
        self._gone_lost = 0
        self._notes: tuple[str, ...] = ()
        self._wanted = False
        self._unwanted_at: float | None = None
        self._stopped = False
        self._begun = False
        self._wake = threading.Event()
        self._refusal: PortError | None = None
        self._refused_until = 0.0
        self._shown: tuple[object, ...] = ()
        self._faulted: Fault | None = None
        self._reconciled_at = self._published_at = self._confirmed_at = float("-inf")

    @property
    def name(self) -> str:
        return "logs"

    @property
    def topics(self) -> Sequence[Topic[Any]]:
        return (ERRORS,)

    @property
    def wanted(self) -> bool:
        """Whether anybody looks."""
        return self._wanted

    def start(self) -> None:
        threading.Thread(target=self._run, name="source-logs", daemon=True).start()

    def want(self, wanted: bool) -> None:
        if wanted == self._wanted:
            return
        self._wanted = wanted
        self._store.want(ERRORS, wanted)
        self._wake.set()

    def kick(self) -> None:
        self._refused_until = 0.0
        with self._lock:
            followers = list(self._followers.values())
        for follower in followers:
            follower.kick()
        self._wake.set()

    def stop(self) -> None:
        self._stopped = True
        with self._lock:
            followers = list(self._followers.values())
        for follower in followers:
            follower.stop()
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped:
            self._wake.wait(self.step())
            self._wake.clear()
        self._close_streams()

    def step(self) -> float | None:
        """One round of work. Returns seconds until the next, None when there is nothing to do until woken."""
        now = self._clock.monotonic()
        if not self._wanted:
            return self._rest(now)
        if self._unwanted_at is not None:
            self._resume_after_rest(now)
        if now - self._reconciled_at >= RECONCILE:
            self._reconciled_at = now
            self._reconcile(now)
        lines = self._base().lines
        changed = self._collect()
        self._publish(now, changed)
        return TICK if self._base().lines != lines else QUIET_TICK

    def _rest(self, now: float) -> float | None:
        """Nobody looks: close the streams after a while, for going from pane to pane should not reopen them."""
        if self._unwanted_at is None:
            self._unwanted_at = now
        if now - self._unwanted_at < LINGER:
            self._collect()
            return TICK
        self._close_streams()
        return None

    def _resume_after_rest(self, now: float) -> None:
        rested = now - (self._unwanted_at if self._unwanted_at is not None else now)
        self._unwanted_at = None
        self._reconciled_at = float("-inf")
        unread = rested - self._settings.window
        if unread > 0 and self._begun:
            until = self._clock.now() - self._settings.window
            spans = [clock_text(int(at * SECOND), millis=False) for at in (until - unread, until)]
            self._notes = (f"not read from {spans[0]} to {spans[1]}: nobody was looking",)

    def _close_streams(self) -> None:
        with self._lock:
            followers = list(self._followers.values())
            self._followers.clear()
            self._leaving.clear()
        for follower in followers:
            follower.stop()
        self._take(followers)

    def _reconcile(self, now: float) -> None:
        """Followers for the containers that are there now; the others leave after their last lines came."""
        targets = self._pods()
        if targets is None:
            return
        present = self._present = {target.key: target for target in targets}
        for key, follower in list(self._followers.items()):
            target = present.get(key)
            if target is None:
                if now >= self._leaving.setdefault(key, now + LEAVE):
                    self._leave(key)
                continue
            self._leaving.pop(key, None)
            if target.restarts != follower.target.restarts:
                follower.target = target
                follower.kick()
        for key in [key for key in self._readers if key not in present and key not in self._followers]:
            self._forget(key)
        self._swapped = {key: newest for key, newest in self._swapped.items() if key in present}
        for target in self._chosen(present):
            self._join(target)
        self._begun = self._begun or bool(present)

    def _chosen(self, present: dict[tuple[str, str], LogTarget]) -> list[LogTarget]:
        """Containers to follow in addition; healthy ones make room for worse ones, a few at a time."""
        waiting = sorted(
            (target for key, target in present.items() if key not in self._followers),
            key=lambda target: (target.priority, target.pod, target.container),
        )
        free = max(0, self._settings.streams - len(self._followers))
        chosen = waiting[:free]
        for target in waiting[free : free + SWAPS]:
            least = max(
                (present[key] for key in self._followers if key in present),
                key=lambda followed: (followed.priority, followed.pod),
                default=None,
            )
            if least is None or least.priority <= target.priority:
                break
            self._swapped[least.key] = self._readers[least.key].newest
            self._leave(least.key)
            chosen.append(target)
        return chosen

    def _join(self, target: LogTarget) -> None:
        first = {"sinceSeconds": str(max(1, int(self._settings.window)))}
        if not self._begun:
            first["tailLines"] = str(FIRST_LINES)
        elif target.key in self._swapped:
            first = {"sinceTime": format_stamp(self._swapped.pop(target.key) + SECOND)}
        with self._lock:
            reader = self._readers.get(target.key)
            if reader is None:
                tail_bytes = max(16_384, TAIL_TOTAL // self._settings.streams)
                reader = ContainerLog(clean(target.pod), clean(target.container), tail_bytes)
                self._readers[target.key] = reader
        follower = Follower(
            self._port,
            self._clock,
            target,
            reader,
            self._pace,
            first=first,
            gate=self._may_open,
            refused=self._on_refused,
            not_before=self._clock.now() - self._settings.window if reader.lines else None,
        )
        with self._lock:
            self._followers[target.key] = follower
        follower.start()

    def _leave(self, key: tuple[str, str]) -> None:
        with self._lock:
            follower = self._followers.pop(key)
            self._leaving.pop(key, None)
        follower.stop()
        self._take([follower])
        self._forget(key)

    def _forget(self, key: tuple[str, str]) -> None:
        with self._lock:
            reader = self._readers.pop(key)
            self._gone.append((reader.pod, reader.container, reader.tail))
            self._gone_lines += reader.lines
            self._gone_lost += reader.skipped

    def _collect(self) -> bool:
        """Read what came in; whether there is anything new to show."""
        with self._lock:
            followers = list(self._followers.values())
        self._take(followers)
        with self._lock:
            return self._book.advance(self._clock.now(), self._clock.monotonic())

    def _take(self, followers: Sequence[Follower[Found]]) -> None:
        found = [item for follower in followers for item in follower.collect()]
        if found:
            with self._lock:
                self._book.add(found, self._clock.now(), self._clock.monotonic())

    def _publish(self, now: float, changed: bool) -> None:
        fault = self._fault(now)
        if fault is not None:
            if self._faulted is None or (fault.health, fault.message) != (self._faulted.health, self._faulted.message):
                self._faulted = fault
                self._store.fail(ERRORS, fault)
            return
        if self._present is None:
            return
        base = self._base()
        shown = (base.matched, base.followed, base.lost, base.notes, base.lines)
        # Lines without an error change nothing on most screens; they wait for the next turn.
        due = changed or self._faulted is not None or shown[:-1] != self._shown[:-1]
        if (due or shown != self._shown) and now - self._published_at >= (TICK if due else PUBLISH):
            self._shown, self._published_at, self._faulted = shown, now, None
            self._confirmed_at = now
            self._recent = self._tails()
            self._store.put_lazy(ERRORS, self._summary, now)
        elif now - self._confirmed_at >= CONFIRM:
            self._confirmed_at = now
            self._store.confirm(ERRORS, now)

    def _summary(self) -> LogSummary:
        with self._lock:
            return self._book.summary(self._base_locked())

    def _base(self) -> LogSummary:
        with self._lock:
            return self._base_locked()

    def _base_locked(self) -> LogSummary:
        readers = list(self._readers.values())
        followed = sum(
            follower.state in (State.OPEN, State.ENDED)
            for key, follower in self._followers.items()
            if key not in self._leaving
        )
        return LogSummary(
            matched=len(self._present or ()),
            followed=followed,
            limit=self._settings.streams,
            lines=self._gone_lines + sum(reader.lines for reader in readers),
            lost=self._gone_lost + sum(reader.skipped for reader in readers),
            notes=self._notes,
            recent=self._recent,
        )

    def _tails(self) -> RecentLines:
        """The raw ends of all logs, taken on the thread that reads them."""
        now = [
            (follower.reader.pod, follower.reader.container, follower.tail()) for follower in self._followers.values()
        ]
        return RecentLines((*now, *self._gone))

    def _may_open(self) -> bool:
        return self._api_up() and self._clock.monotonic() >= self._refused_until

    def _on_refused(self, error: PortError) -> None:
        """One refusal speaks for all containers: the others do not ask before it may have mended."""
        wait = RETRY_DENIED if error.health is Health.DENIED else RETRY_LOGIN
        self._refusal = error
        self._refused_until = self._clock.monotonic() + wait

    def _fault(self, now: float) -> Fault | None:
        """Why nothing can be trusted now, None when all is well."""
        if not self._api_up():
            return Fault(Health.UNREACHABLE, "the Kubernetes API does not answer", "", now, None)
        with self._lock:
            followers = list(self._followers.values())
        if any(follower.state in (State.OPEN, State.ENDED) for follower in followers):
            self._refusal = None
            return None
        if self._refusal is not None:
            return fault_of(self._refusal, now, self._refused_until)
        if self._present is None:
            # Without the pods there is nothing to follow, and why they are not known is why the logs are not.
            return self._store.peek(PODS).fault
        errors = [follower.error for follower in followers if follower.error is not None]
        if errors and len(errors) == len(followers):
            return fault_of(errors[0], now, None)
        return None


class PodTargets:
    """The running containers of the pods that a selector matches, worst pods first; None while pods are unknown.

    Raises ValueError when the selector cannot be read."""

    def __init__(self, store: Store, label_selector: str) -> None:
        self._store = store
        self._matches = selector(label_selector)
        self._seen: tuple[int, int] | None = None
        self._targets: tuple[LogTarget, ...] | None = None

    def __call__(self) -> Sequence[LogTarget] | None:
        reading = self._store.get(PODS)
        if reading.value is None:
            return None
        if not reading.value.complete and self._targets is None:
            return None
        # The rows are gone through only when they changed.
        seen = (reading.seq, id(reading.value))
        if seen != self._seen:
            self._seen = seen
            self._targets = tuple(
                LogTarget(pod.namespace, pod.name, container.name, pod.uid, pod.restarts, pod.rank)
                for pod in reading.value.rows
                if pod.phase == "Running" and self._matches(pod.labels)
                for container in pod.containers
            )
        return self._targets
