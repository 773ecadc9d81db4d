"""The real PostgreSQL, RabbitMQ and Prometheus stopped, killed and frozen: the others do not notice, and each source
is live again within 10 s of its system's return."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from planc_tui.core.clock import SystemClock
from planc_tui.core.health import Health
from planc_tui.core.store import Store, Topic
from planc_tui.playbook.loader import default
from planc_tui.sources.base import Poller, Source
from planc_tui.sources.database import DATABASE, DatabaseSource
from planc_tui.sources.queues import QUEUES, QueueSource
from planc_tui.sources.slo import SLO, SloSource
from tests.cluster.rig.build import RigError
from tests.cluster.rig.rig import Rig
from tests.real import eventually, open_ways, running_rig, ways

pytestmark = pytest.mark.cluster

PARTS: dict[str, Topic[Any]] = {"postgres": DATABASE, "rabbitmq": QUEUES, "prometheus": SLO}
BACK_WITHIN = 10.0
# A frozen system is noticed when the read that was under way runs into its limit.
NOTICED_WITHIN = 14.0


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    found = running_rig()
    yield found
    for part in PARTS:
        with suppress(RigError):
            found.thaw(part)
        if not found.registry.is_running(part):
            found.start(part)


@dataclass(frozen=True, slots=True)
class Console:
    """Three sources that fill one store."""

    store: Store
    pollers: tuple[Poller[Any], ...]
    clock: SystemClock

    def health(self, topic: Topic[Any]) -> Health:
        return self.store.get(topic).health(self.clock.monotonic())

    def read_after(self, topic: Topic[Any], moment: float) -> bool:
        """Whether a good value arrived after this monotonic time."""
        reading = self.store.get(topic)
        return reading.fault is None and (reading.taken_at or 0.0) > moment

    def kick(self) -> None:
        """Read now, so that the test need not wait for the next turn."""
        for poller in self.pollers:
            poller.kick()

    def live(self) -> bool:
        return all(self.health(topic) is Health.LIVE for topic in PARTS.values())


@pytest.fixture
def console(rig: Rig) -> Iterator[Console]:
    """Running sources, all live."""
    made = open_ways(ways(rig))
    store, clock = Store(), SystemClock()
    sources: list[Source[Any]] = [
        DatabaseSource(made.database), QueueSource(made.broker, clock), SloSource(made.metrics, default().slos, clock)
    ]  # fmt: skip  # rows as a person reads them
    running = Console(store, tuple(Poller(source, store, clock) for source in sources), clock)
    for poller in running.pollers:
        poller.start()
        poller.want(True)
    eventually(running.live, 15)
    yield running
    for poller in running.pollers:
        poller.stop()


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("way", ["stop", "kill", "freeze"])
def test_a_system_that_goes_and_comes_back(rig: Rig, console: Console, part: str, way: str) -> None:
    gone = PARTS[part]
    if way == "freeze":
        rig.freeze(part)
    else:
        rig.stop(part, kill=way == "kill")
    console.kick()
    try:
        eventually(lambda: console.store.get(gone).fault is not None, NOTICED_WITHIN)
        assert console.health(gone) is Health.STALE
        assert console.store.get(gone).value is not None
        since = console.clock.monotonic()
        others = [topic for topic in PARTS.values() if topic is not gone]
        assert all(console.health(topic) is Health.LIVE for topic in others)
    finally:
        if way == "freeze":
            rig.thaw(part)
        else:
            rig.start(part)
    back = console.clock.monotonic()
    eventually(lambda: console.read_after(gone, back), BACK_WITHIN)
    assert console.health(gone) is Health.LIVE
    assert console.store.get(gone).fault is None
    console.kick()
    eventually(lambda: all(console.read_after(topic, since) for topic in others), 5)
