"""Reads the log of one pod for the log screen: every line of one or of all containers.

Invariant: the screen is woken at most a few times a second, whatever the pod writes, and lines that nobody could
take in are counted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from urllib.parse import quote

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from planc_tui.core.clock import Clock
from planc_tui.core.cluster import wire
from planc_tui.core.logs.line import SECOND
from planc_tui.core.logs.lines import BUFFER_LINES, MARK, LineBuffer, LineLog, RawLine
from planc_tui.core.ports import BadAnswer, ClusterPort, PortError
from planc_tui.core.table import Target
from planc_tui.core.text import clean
from planc_tui.sources.follow import Follower, LogTarget, Pace, State

log = logging.getLogger(__name__)
TICK = 0.1
WAKE = 0.25
RETRY = 3.0


class Window(Struct, frozen=True):
    """A part of a log. query: how the server is asked for it; follow: whether new lines are part of it."""

    title: str
    query: Mapping[str, str]
    follow: bool = True


WINDOWS: Mapping[str, Window] = {
    "tail": Window("last 1,000 lines", {"tailLines": "1000"}),
    "head": Window("first MiB", {"limitBytes": "1048576"}, follow=False),
    "1m": Window("last minute", {"sinceSeconds": "60"}),
    "5m": Window("last 5 min", {"sinceSeconds": "300"}),
    "15m": Window("last 15 min", {"sinceSeconds": "900"}),
    "30m": Window("last 30 min", {"sinceSeconds": "1800"}),
    "1h": Window("last hour", {"sinceSeconds": "3600"}),
}


class LogStatus(Struct, frozen=True):
    """containers: of the pod, init containers last; followed: those with an open or finished stream; reading: those
    that are read at all. lines, lost: read, and thrown away unread. problem: sanitised, of the first that fails."""

    containers: tuple[str, ...] = ()
    reading: int = 0
    followed: int = 0
    lines: int = 0
    lost: int = 0
    problem: str = ""


class PodLog:
    """Fills a buffer with the log of one pod, on threads of its own.

    container: the only one to read, "" for all. previous: of the run before the last restart. changed: called from
    another thread when there is something new, at most every `WAKE` seconds."""

    def __init__(
        self,
        port: ClusterPort,
        clock: Clock,
        pod: Target,
        changed: Callable[[], None],
        *,
        container: str = "",
        previous: bool = False,
        window: Window = WINDOWS["tail"],
        max_lines: int = BUFFER_LINES,
    ) -> None:
        self.lock = threading.Lock()
        self.buffer = LineBuffer(max_lines)
        self._port = port
        self._clock = clock
        self._pod = pod
        self._changed = changed
        self._container = container
        self._previous = previous
        self._window = window
        self._followers: list[Follower[RawLine]] = []
        self._stopped = threading.Event()
        self._status = LogStatus()

    @property
    def status(self) -> LogStatus:
        """How the reading goes."""
        return self._status

    @property
    def ended(self) -> bool:
        """Whether all was read and nothing more can come."""
        follows = self._window.follow and not self._previous
        return not follows and bool(self._followers) and all(one.state is State.ENDED for one in self._followers)

    def start(self) -> None:
        """Begin to read."""
        threading.Thread(target=self._run, name=f"podlog-{self._pod.name}", daemon=True).start()

    def stop(self) -> None:
        """End without waiting; what was read stays."""
        self._stopped.set()
        for follower in list(self._followers):
            follower.stop()

    def mark(self) -> None:
        """Draw a line under what was read so far."""
        with self.lock:
            self.buffer.add([RawLine(int(self._clock.now() * SECOND), MARK, b"")])

    def _run(self) -> None:
        while not self._stopped.is_set() and not self._begin():
            self._stopped.wait(RETRY)
        told_at = float("-inf")
        pending = False
        while not self._stopped.is_set():
            pending = self.collect() or pending
            now = self._clock.monotonic()
            if pending and now - told_at >= WAKE:
                pending, told_at = False, now
                self._changed()
            self._stopped.wait(TICK)

    def _begin(self) -> bool:
        """Find the containers and open their logs; False to try again later."""
        try:
            running, init = self._containers()
        except PortError as error:
            self._status = replace(self._status, problem=_words(error))
            self._changed()
            return False
        names = (*running, *init)
        chosen = (self._container,) if self._container in names else names
        pace = Pace(self._clock)
        for name in chosen:
            follows = self._window.follow and not self._previous and name not in init
            follower = self._follower(name, pace, follows)
            self._followers.append(follower)
            follower.start()
        self._status = LogStatus(tuple(clean(name) for name in names), len(chosen))
        self._changed()
        return True

    def _containers(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the containers that run side by side, and of those that run before them."""
        path = f"/api/v1/namespaces/{quote(self._pod.namespace, safe='')}/pods/{quote(self._pod.name, safe='')}"
        body = self._port.request("GET", path, source="logs")
        try:
            spec = msgspec.json.decode(body, type=wire.Pod).spec
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BadAnswer("the API server's answer about the pod cannot be read") from error
        sidecars = [c.name for c in spec.init_containers or () if c.restart_policy == "Always"]
        before = tuple(c.name for c in spec.init_containers or () if c.restart_policy != "Always")
        return tuple([c.name for c in spec.containers or ()] + sidecars), before

    def _follower(self, container: str, pace: Pace, follows: bool) -> Follower[RawLine]:
        first = dict(self._window.query)
        if self._previous:
            first["previous"] = "true"
        target = LogTarget(self._pod.namespace, self._pod.name, container, self._pod.uid)
        reader = LineLog(clean(self._pod.name), clean(container))
        return Follower(self._port, self._clock, target, reader, pace, first=first, follow=follows)

    def collect(self) -> bool:
        """Move what was received into the buffer; whether anything changed."""
        batch = [line for follower in self._followers for line in follower.collect()]
        if batch:
            with self.lock:
                self.buffer.add(batch, by_time=len(self._followers) > 1)
        before, self._status = self._status, self._current_status()
        return bool(batch) or before != self._status

    def _current_status(self) -> LogStatus:
        followers = self._followers
        problems = [one for one in followers if one.error is not None and one.state is State.FAILED]
        problem = ""
        if problems and problems[0].error is not None:
            name = f"{clean(problems[0].target.container)}: " if len(followers) > 1 else ""
            problem = name + _words(problems[0].error)
        return replace(
            self._status,
            followed=sum(one.state in (State.OPEN, State.ENDED) for one in followers),
            lines=sum(one.reader.lines for one in followers),
            lost=sum(one.reader.skipped for one in followers),
            problem=problem if followers else self._status.problem,
        )


def _words(error: PortError) -> str:
    return clean(f"{error.message} ({error.hint})" if error.hint else error.message)
