"""Two ways to one broker: the better one while it works, and no more tries than needed while neither does."""

from __future__ import annotations

from typing import Any

import pytest

from planc_tui.backends.rabbitmq import RabbitmqPort
from planc_tui.core.broker import QueueStat
from planc_tui.core.clock import FakeClock
from planc_tui.core.ports import PortError, Unreachable
from tests.steps import complete

TASKS = QueueStat("tasks", "/", ready=3)


class Way:
    """One way to the broker, as management API and as AMQP."""

    def __init__(self, name: str, asked: list[str]) -> None:
        self.name, self.asked, self.works, self.closed = name, asked, True, 0
        self.connected = True

    def _ask(self) -> None:
        self.asked.append(self.name)
        if not self.works:
            raise Unreachable(f"{self.name} does not answer")

    def queues(self) -> tuple[tuple[QueueStat, ...], int]:
        self._ask()
        return (TASKS,), 1

    def connect(self) -> None:
        raise AssertionError("there is a connection")

    def depths(self, names: object) -> tuple[QueueStat, ...]:
        self._ask()
        return (TASKS,)

    def alarms(self) -> tuple[str, ...]:
        self.asked.append("alarms")
        return ()

    def close(self) -> None:
        self.closed += 1


class Broker:
    """A broker, and what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.management, self.amqp = Way("management", self.asked), Way("amqp", self.asked)
        ways: tuple[Any, Any] = (self.amqp, self.management)
        self.clock = FakeClock(monotonic=100.0)
        self.port = RabbitmqPort(("tasks",), "/", *ways, self.clock)

    def read(self) -> str:
        """What came of one read, and which ways it took."""
        self.asked.clear()
        self.clock.advance(8.0)
        try:
            report = complete(self.port.queues())
        except PortError as error:
            return f"{error.message}, {' '.join(self.asked)}"
        return f"{'all' if report.complete else 'depths'}, {' '.join(self.asked)}"


@pytest.fixture
def broker() -> Broker:
    return Broker()


def test_amqp_stands_in_while_the_management_api_is_away(broker: Broker) -> None:
    assert [broker.read(), broker.read()] == ["all, management", "all, management alarms"]
    broker.management.works = False
    assert broker.read() == "depths, management amqp"
    assert broker.read() == "depths, amqp"
    broker.management.works = True
    assert broker.read() == "all, management"


def test_a_broker_that_is_away_gets_one_try_a_read_and_is_seen_whole_when_it_is_back(broker: Broker) -> None:
    broker.management.works = broker.amqp.works = False
    assert broker.read() == "amqp does not answer, management amqp"
    assert [broker.read() for _ in range(4)] == [
        "management does not answer, management",
        "amqp does not answer, amqp",
        "management does not answer, management",
        "amqp does not answer, amqp",
    ]
    broker.management.works = broker.amqp.works = True
    assert broker.read() == "all, management"
    assert broker.read() == "all, management alarms"


def test_both_are_seen_when_amqp_comes_first(broker: Broker) -> None:
    broker.management.works = broker.amqp.works = False
    broker.read()
    broker.read()
    broker.amqp.works = True
    assert broker.read() == "depths, amqp"
    assert broker.management.closed == 1  # and with it what it knows of the absence
    assert broker.read() == "depths, management amqp"
    broker.management.works = True
    broker.clock.advance(60.0)
    assert [broker.read(), broker.read()] == ["all, management", "all, management alarms"]
