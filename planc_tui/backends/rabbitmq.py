"""RabbitMQ's queues: by the management API where there is one, over AMQP for the playbook's queues otherwise.

Invariant: as long as one of the two ways works there are current numbers, and a note says what the other one would
have added.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from planc_tui.backends.amqp import AmqpProbe
from planc_tui.backends.http import Http, expect_ok
from planc_tui.core.broker import BrokerReport, QueueStat
from planc_tui.core.clock import Clock
from planc_tui.core.ports import BadAnswer, LoginExpired, NotConfigured, PortError
from planc_tui.core.steps import Steps
from planc_tui.core.text import clean

PAGE = 500
ALARMS_EVERY = 60.0
# Seconds until the better way is tried again while AMQP gives the numbers: twice as long after each failure.
FIRST_RETRY, LONGEST_RETRY = 10.0, 60.0
COLUMNS = (
    "name,vhost,type,state,messages_ready,messages_unacknowledged,consumers,"
    "message_stats.publish_details.rate,message_stats.deliver_get_details.rate"
)


class _Rate(msgspec.Struct):
    rate: float = 0.0


class _Stats(msgspec.Struct):
    publish: _Rate | None = msgspec.field(default=None, name="publish_details")
    deliver: _Rate | None = msgspec.field(default=None, name="deliver_get_details")


class _Queue(msgspec.Struct):
    name: str
    vhost: str = "/"
    type: str = "classic"
    state: str = ""
    messages_ready: int | None = None
    messages_unacknowledged: int | None = None
    consumers: int | None = None
    message_stats: _Stats | None = None


class _Page(msgspec.Struct):
    items: list[_Queue]
    filtered_count: int = 0


class _Node(msgspec.Struct):
    name: str = ""
    mem_alarm: bool = False
    disk_free_alarm: bool = False


class _Words(msgspec.Struct):
    error: str = ""
    reason: str = ""


class ManagementApi:
    """The broker's HTTP API: all queues, deepest first, in one request."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def queues(self) -> tuple[tuple[QueueStat, ...], int]:
        """The deepest queues and how many there are in all. Raises PortError."""
        query = {
            "columns": COLUMNS,
            "page": "1",
            "page_size": str(PAGE),
            "sort": "messages",
            "sort_reverse": "true",
        }
        answer = self._http.get("/api/queues", query)
        try:
            body = expect_ok(answer, self._http.name, "/api/queues", _words(answer.body))
        except LoginExpired as error:
            error.hint = "check user and password; the user needs the tag monitoring"
            raise
        try:
            page = msgspec.json.decode(body, type=_Page)
        except msgspec.DecodeError:
            raise BadAnswer(f"{self._http.name} sent something that is not its list of queues") from None
        return tuple(_stat(queue) for queue in page.items), page.filtered_count

    def alarms(self) -> tuple[str, ...]:
        """Nodes that block publishers, and why. Raises PortError."""
        answer = self._http.get("/api/nodes", {"columns": "name,mem_alarm,disk_free_alarm"})
        body = expect_ok(answer, self._http.name, "/api/nodes", _words(answer.body))
        try:
            nodes = msgspec.json.decode(body, type=list[_Node])
        except msgspec.DecodeError:
            raise BadAnswer(f"{self._http.name} sent something that is not its list of nodes") from None
        kinds = [(node, "memory", node.mem_alarm) for node in nodes]
        kinds += [(node, "disk", node.disk_free_alarm) for node in nodes]
        return tuple(f"{kind} alarm on {clean(node.name, 80)}" for node, kind, raised in kinds if raised)

    def close(self) -> None:
        """Drop the connection and the way to it."""
        self._http.close()


class RabbitmqPort:
    """Reads one broker. names: queues of the playbook. Used by one thread at a time."""

    def __init__(
        self,
        names: Sequence[str],
        vhost: str,
        probe: AmqpProbe | None,
        management: ManagementApi | None,
        clock: Clock,
    ) -> None:
        self._names = tuple(dict.fromkeys(names))
        self._vhost = vhost
        self._probe = probe
        self._management = management
        self._clock = clock
        self._due = 0.0
        self._retry = FIRST_RETRY
        self._note = ""
        self._silent = self._amqp_next = False
        self._alarms: tuple[str, ...] | None = None
        self._alarms_due = 0.0
        self._answers = False  # the management API did at the last look: only then there is time for the alarms

    def queues(self) -> Steps[BrokerReport]:
        """The queues now. Raises PortError when neither way works."""
        if self._silent and self._probe is not None and self._management is not None:
            return (yield from self._knock(self._probe, self._management))
        return (yield from self._look())

    def _knock(self, probe: AmqpProbe, management: ManagementApi) -> Steps[BrokerReport]:
        """Neither way answered last time: one of them is tried, in turn, for a broker that is away answers neither.
        The alarms are for the next look: the queues never wait for them."""
        by_amqp, self._amqp_next = self._amqp_next, not self._amqp_next
        if by_amqp:
            report = BrokerReport((yield from self._depths(probe)), complete=False, note=self._note)
            management.close()  # what it knows is of the absence
        else:
            yield
            report = self._all(management)
            self._answers = True
            probe.close()
        self._silent = False
        self._alarms, self._alarms_due = None, 0.0
        return report

    def _look(self) -> Steps[BrokerReport]:
        """What the better way says, or else the depths by AMQP."""
        if self._management is not None and self._clock.monotonic() >= self._due:
            try:
                yield
                report = self._all(self._management)
                return replace(report, alarms=(yield from self._alarms_now(self._management)))
            except PortError as error:
                self._answers = False
                if self._probe is None:
                    raise
                self._due = self._clock.monotonic() + self._retry
                self._retry = min(2 * self._retry, LONGEST_RETRY)
                self._note = f"{error.message}: no rates, and only the playbook's queues"
        if self._probe is None:
            raise NotConfigured("RabbitMQ is not configured", hint="set systems.rabbitmq in the playbook")
        try:
            found = yield from self._depths(self._probe)
        except PortError:
            self._due = 0.0  # without either way, do not wait for the next turn of the better one
            self._silent, self._amqp_next = True, False
            raise
        return BrokerReport(found, complete=False, note=self._note)

    def _depths(self, probe: AmqpProbe) -> Steps[tuple[QueueStat, ...]]:
        if not probe.connected:
            yield
            probe.connect()
        yield
        return probe.depths(self._names)

    def close(self) -> None:
        """Drop both connections."""
        if self._probe is not None:
            self._probe.close()
        if self._management is not None:
            self._management.close()

    def _all(self, management: ManagementApi) -> BrokerReport:
        stats, total = management.queues()
        self._note = ""
        self._retry = FIRST_RETRY
        here = {stat.name for stat in stats if stat.vhost == self._vhost}
        left_out = total - len(stats)
        missing: tuple[QueueStat, ...] = ()
        if left_out <= 0:
            missing = tuple(
                QueueStat(clean(name, 200), self._vhost, missing=True) for name in self._names if name not in here
            )
        note = f"the {len(stats)} deepest of {total} queues" if left_out > 0 else ""
        return BrokerReport((*stats, *missing), complete=True, note=note)

    def _alarms_now(self, management: ManagementApi) -> Steps[tuple[str, ...] | None]:
        """Asked seldom, and never at the cost of the queues: a user may be allowed to list those and no nodes, and the
        first ones are wanted at once."""
        now = self._clock.monotonic()
        answers, self._answers = self._answers, True
        if answers and now >= self._alarms_due:
            self._alarms_due = now + ALARMS_EVERY
            yield
            try:
                self._alarms = management.alarms()
            except PortError:
                self._alarms = None
        return self._alarms


def _stat(queue: _Queue) -> QueueStat:
    stats = queue.message_stats or _Stats()
    return QueueStat(
        name=clean(queue.name, 200),
        vhost=clean(queue.vhost, 100),
        ready=queue.messages_ready,
        unacked=queue.messages_unacknowledged,
        consumers=queue.consumers,
        in_rate=stats.publish.rate if stats.publish else None,
        out_rate=stats.deliver.rate if stats.deliver else None,
        state=clean(queue.state, 40),
        kind=clean(queue.type, 40),
    )


def _words(body: bytes) -> str:
    """What the API says is wrong; empty when it is not its JSON."""
    try:
        said = msgspec.json.decode(body, type=_Words)
    except msgspec.DecodeError:
        return ""
    return said.reason or said.error
