"""Reads the broker's queues and remembers their depths.

Invariant: a trend is of depths that were seen, with the times they were seen at; a gap in the readings is a gap in
time, not a jump.
"""

from __future__ import annotations

from planc_tui.core.broker import BrokerPort, BrokerStatus, QueueHistory
from planc_tui.core.clock import Clock
from planc_tui.core.steps import Steps
from planc_tui.core.store import Topic

QUEUES: Topic[BrokerStatus] = Topic("queues", stale_after=26.0)
INTERVAL = 15.0


class QueueSource:
    """RabbitMQ's queues, every few seconds."""

    topic = QUEUES
    interval = INTERVAL

    def __init__(self, port: BrokerPort, clock: Clock) -> None:
        self._port = port
        self._clock = clock
        self._history = QueueHistory()

    def read(self) -> Steps[BrokerStatus]:
        """One look, with the history. Raises PortError."""
        report = yield from self._port.queues()
        rows = self._history.feed(self._clock.monotonic(), report.queues)
        blocked = None if report.alarms is None else bool(report.alarms)
        return BrokerStatus(rows, report.complete, report.note, report.alarms or (), blocked)

    def close(self) -> None:
        """Give the connections back to the broker."""
        self._port.close()
