"""The loop that every source runs in.

Invariant: a source thread never ends by an exception, never waits without a deadline, and never touches the screen;
it writes readings and faults into the store and nothing else.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from msgspec.structs import replace

from planc_tui.core.allowance import FORESEEN, LOOK_AGAIN, Allowance, Plan
from planc_tui.core.answer_limit import SILENT_LIMIT
from planc_tui.core.backoff import Backoff
from planc_tui.core.clock import Clock
from planc_tui.core.health import Health
from planc_tui.core.ports import Denied, NoAnswer, NoConnection, PortError, Throttled, Unreachable
from planc_tui.core.stats import WINDOW, RequestStats
from planc_tui.core.steps import Steps
from planc_tui.core.store import Fault, Store, Topic
from planc_tui.sources.head_start import at_once

log = logging.getLogger(__name__)
T = TypeVar("T")

# A refusal will not mend itself soon: ask again seldom, because each try is a request to a sick system.
RETRY_DENIED = 30.0
RETRY_LOGIN = 8.0
# A system is live again within 10 s of its return: this, patience and an answer.
FIRST_RETRY, LONGEST_RETRY = 3.0, 7.5
# Seconds that a read, and a try after a failure, wait at most when planc has asked enough in the last minute; a read
# waits until it has to while others have to try again.
PATIENCE, PATIENCE_AWAY = 4.5, 1.0
# Seconds that a read needs to be answered, so that it is not too late.
TO_ANSWER = 1.5
# A frozen system is waited for (core.answer_limit), so that the next wait begins soon after the last.
AFTER_SILENCE = 1.0
# The share of its interval after which the value of a source that reads seldom is old.
LEEWAY = 1.2


class Feed(Protocol):
    """Something that fills topics on threads of its own."""

    @property
    def name(self) -> str:
        """Name for statistics and for people."""
        ...

    @property
    def topics(self) -> Sequence[Topic[Any]]:
        """The topics it fills."""
        ...

    def start(self) -> None:
        """Start its daemon threads, idle until wanted."""
        ...

    def want(self, wanted: bool) -> None:
        """Read while wanted; send nothing otherwise."""
        ...

    def kick(self) -> None:
        """Try again now: the system it reads is known to be back."""
        ...

    def stop(self) -> None:
        """End without waiting."""
        ...


class Source(Protocol[T]):
    """One thing read again and again, on the source's own thread."""

    @property
    def topic(self) -> Topic[T]: ...

    @property
    def interval(self) -> float:
        """Seconds between two reads."""
        ...

    def read(self) -> Steps[T]:
        """A fresh value, by steps that block no longer than a request may take. Raises PortError."""
        ...

    def close(self) -> None:
        """Drop connections; called when nobody needs the topic and at the end."""
        ...


def fault_of(error: Exception, since: float, next_try: float | None) -> Fault:
    """The fault to show for an exception; an unforeseen one is shown as unreachable and logged."""
    if isinstance(error, PortError):
        return Fault(error.health, error.message, error.hint, since, next_try)
    log.error("unforeseen %s in a source", type(error).__name__, exc_info=error)
    return Fault(Health.UNREACHABLE, f"planc could not read the answer ({type(error).__name__})", "", since, next_try)


def retry_delay(error: Exception, backoff: Backoff) -> float:
    """Seconds until the next try after `error`."""
    if isinstance(error, PortError):
        if error.health is Health.DENIED:
            return RETRY_DENIED
        if error.health is Health.LOGIN_EXPIRED:
            return RETRY_LOGIN
        if isinstance(error, Throttled):
            return backoff.next(error.retry_after)
        if isinstance(error, NoAnswer):
            return AFTER_SILENCE
    return backoff.next()


class Poller(Generic[T]):
    """Runs one Source on a daemon thread: a need that goes and comes back makes no read come sooner, a kick does when
    planc has not asked enough already.

    gate: when given and false, the source waits for a kick instead of trying (its system is known to be away).
    turn: waits on its thread until it may begin. allowance: what all sources together may ask; when the last minute
    was crowded reads wait a little, when it was full they wait for room. fellows: pollers of the same system, which
    share its fault and try when it is back."""

    def __init__(
        self,
        source: Source[T],
        store: Store,
        clock: Clock,
        gate: Callable[[], bool] | None = None,
        turn: Callable[[], None] = at_once,
        allowance: Allowance | None = None,
        fellows: Sequence[Poller[Any]] = (),
        rng: random.Random | None = None,
    ) -> None:
        self._source = source
        self._store = store
        self._clock = clock
        self._gate = gate
        self._turn = turn
        self._allowance = allowance or Allowance(RequestStats(), clock)
        self._fellows = tuple(fellows)
        self._backoff = Backoff(rng, LONGEST_RETRY, fixed=0.9, first=FIRST_RETRY)
        self._wake = threading.Event()
        self._wanted = False
        self._stopped = False
        self._kicked = False
        self._changed = False
        self._steps: Steps[T] | None = None
        self._due = self._read_at = self._taken_at = float("-inf")
        self._plan = Plan(float("-inf"), WINDOW)  # the first read never waits
        self._held_back = False

    @property
    def name(self) -> str:
        return self._source.topic.name

    @property
    def topics(self) -> Sequence[Topic[Any]]:
        return (self._source.topic,)

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"source-{self.name}", daemon=True).start()

    @property
    def wanted(self) -> bool:
        """Whether anybody needs its topic."""
        return self._wanted

    def want(self, wanted: bool) -> None:
        if wanted == self._wanted:
            return
        self._wanted = wanted
        self._store.want(self._source.topic, wanted)
        self._wake.set()

    def kick(self) -> None:
        self._kicked = True
        self._wake.set()

    def renew(self) -> None:
        """planc changed what it reads: what is shown has to be read now, as if it were about to be old."""
        self._changed = True
        self._wake.set()

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()

    def suffer(self, fault: Fault) -> None:
        """The system does not answer a fellow: nothing is asked until the fellow hears of it again."""
        self._held_back = True
        if self._wanted:
            self._store.fail(self._source.topic, fault)

    def recover(self, heard: bool) -> None:
        """A fellow heard of the system again: a value that is fresh still needs no read. Or, not `heard`, the fellow
        does not ask any more, and this one asks itself."""
        if self._held_back:
            self._held_back = False
            if heard:
                self._store.lift(self._source.topic)
            if not self._live():
                self._kicked = True
            self._wake.set()  # what is good may be about to be old

    def _run(self) -> None:
        self._turn()
        while not self._stopped:
            self._wake.clear()
            self._wake.wait(self.step())
        self._close()

    def step(self) -> float | None:
        """Read when it is time. Returns seconds to sleep, None to sleep until woken."""
        if not self._wanted:
            self._steps = None
            self._release(heard=False)
            self._allowance.forget(self.name)
            self._close()
            return None
        if self._held_back or (self._gate is not None and not self._gate()):
            self._steps = None
            self._allowance.forget(self.name)
            return 1.0
        now = self._clock.monotonic()
        wait = self._wait(now)
        return wait if wait > 0 else self._ask(now)

    def _ask(self, now: float) -> float | None:
        """Send the next request of the read, or the first of a new one: there is room for it."""
        try:
            steps = self._steps or self._begin(now)
            next(steps)
        except StopIteration as end:
            self._steps = None
            return self._done(end.value)
        except Exception as error:
            self._steps = None
            return self._failed(error)
        finally:
            self._allowance.settle(self.name)
        self._steps = steps
        self._taken_at = min(self._taken_at, self._clock.monotonic())
        self._goes_on(Plan(self._read_at, self._lasts()))
        return 0.0

    def _begin(self, now: float) -> Steps[T]:
        self._kicked = False
        self._read_at, self._taken_at = now, float("inf")
        steps = self._source.read()
        next(steps)
        return steps

    def _done(self, value: T) -> float:
        """A value is as old as the first answer that it is made of."""
        taken_at = min(self._taken_at, self._clock.monotonic())
        self._store.put(self._source.topic, value, taken_at, self._fresh_for())
        self._backoff.reset()
        self._release()
        self._goes_on(Plan(self._read_at + self._lasts(), self._lasts()))
        return self._next(self._read_at + self._source.interval)

    def _wait(self, now: float) -> float:
        """Seconds until it is to be asked again whether it is time; 0 when a request is claimed and to be sent."""
        if self._steps is not None:
            return self._allowance.claim(self.name, self._plan)
        if self._changed:
            self._changed = False  # before it is acted on: a change that comes meanwhile is one more
            if self._live():
                self._due = min(self._due, now)
                self._goes_on(replace(self._plan, at=min(self._plan.at, now)))
        hurried = self._kicked and self._hurried(now)
        if not hurried and now < self._due:
            return LOOK_AGAIN if self._kicked else self._due - now
        if not hurried and now < self._latest() and self._allowance.crowded():
            return LOOK_AGAIN
        return self._allowance.claim(self.name, self._plan)

    def _latest(self) -> float:
        """Until when it waits in a crowded minute; the others' tries need the room more than it needs to be early."""
        return self._plan.at if self._allowance.away() else min(self._due + PATIENCE, self._plan.at)

    def _lasts(self) -> float:
        """Seconds from one read to the next at the latest, so that what is shown never is old."""
        return max(self._source.interval + PATIENCE, self._fresh_for() - TO_ANSWER)

    def _goes_on(self, plan: Plan) -> None:
        self._plan = plan
        self._allowance.plan(self.name, plan)

    def _hurried(self, now: float) -> bool:
        """Whether a kick makes a read come sooner. Asking for it again and again would leave nothing to ask with: what
        is shown as good can wait while planc asks a lot, and a try comes no sooner than it would come anyway."""
        crowded = self._allowance.crowded()
        if crowded and now < self._due and self._live():
            self._kicked = False
        return self._kicked and now >= self._read_at + (LONGEST_RETRY if crowded else FIRST_RETRY)

    def _live(self) -> bool:
        return self._store.peek(self._source.topic).health(self._clock.monotonic()) is Health.LIVE

    def _fresh_for(self) -> float:
        """Seconds for which the value is fresh: a source that reads less often than usual is not stale for it."""
        return max(self._source.topic.stale_after, self._source.interval * LEEWAY)

    def _next(self, due: float) -> float:
        self._due = due
        return max(0.05, due - self._clock.monotonic())

    def _failed(self, error: Exception) -> float | None:
        now = self._clock.monotonic()
        if isinstance(error, PortError) and error.health is Health.NOT_CONFIGURED:
            self._store.fail(self._source.topic, fault_of(error, now, None))
            self._allowance.forget(self.name)
            return None
        delay = self._delay(error)
        self._goes_on(self._tries(error, now, delay))
        fault = fault_of(error, now, now + delay)
        self._store.fail(self._source.topic, fault)
        if isinstance(error, Unreachable):
            for fellow in self._fellows:
                fellow.suffer(fault)
        else:
            self._release()
        return self._next(now + delay)

    def _delay(self, error: Exception) -> float:
        """Seconds until the next try; as for a login where more systems answer with errors than there is room for."""
        delay = retry_delay(error, self._backoff)
        if self._allowance.away() > FORESEEN and not isinstance(error, NoAnswer | NoConnection):
            return max(delay, RETRY_LOGIN)
        return delay

    def _tries(self, error: Exception, now: float, delay: float) -> Plan:
        """The first tries come soon, where nothing else needs the room; none comes later than the longest delay. What
        cannot be reached most likely costs nothing, and what is silent is asked seldom."""
        if isinstance(error, NoAnswer):
            return Plan(now + delay + PATIENCE_AWAY, SILENT_LIMIT + delay + PATIENCE_AWAY)
        within = PATIENCE_AWAY + max(delay, LONGEST_RETRY)
        free = isinstance(error, NoConnection)
        return Plan(now + within, now - self._read_at + within, free, away=not (free or isinstance(error, Denied)))

    def _release(self, heard: bool = True) -> None:
        for fellow in self._fellows:
            fellow.recover(heard)

    def _close(self) -> None:
        try:
            self._source.close()
        except Exception as error:
            log.warning("closing %s: %s", self.name, type(error).__name__)
