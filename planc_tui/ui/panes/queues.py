"""RabbitMQ's queues: deep ones and those that never drain first.

Invariant: what the broker did not say is shown as "–", never as 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from msgspec import Struct

from planc_tui.core.age import coarse_age
from planc_tui.core.broker import BrokerStatus, Drain, QueueRow
from planc_tui.core.numbers import grouped, rate, signed_rate
from planc_tui.core.store import Topic
from planc_tui.core.table import Cell, Column, Target, Tone
from planc_tui.core.text import sparkline
from planc_tui.playbook.model import Playbook
from planc_tui.sources.queues import QUEUES
from planc_tui.ui.panes.base import Pane, Summary, View

TREND = 8
_MARKS = {Tone.CRIT: "✖", Tone.WARN: "▲", Tone.UNKNOWN: "?", Tone.DIM: "●", Tone.NORMAL: "●"}
_RANK = {Tone.CRIT: 0, Tone.WARN: 1, Tone.UNKNOWN: 2}


class QueueLine(Struct, frozen=True):
    """A queue with its judgement; a line that only says something has no row."""

    row: QueueRow | None
    tone: Tone
    note: str = ""


class QueuesPane(Pane[QueueLine]):
    """Depth, consumers, rates and time to drain of each queue."""

    id = "queues"
    title = "Queues"
    number = "5"
    kinds = ("Queue",)
    aliases = ("queue", "queues", "rabbitmq")
    topics: ClassVar[tuple[Topic[Any], ...]] = (QUEUES,)
    columns = (
        Column("mark", "", 1),
        Column("name", "QUEUE", 12, flex=1),
        Column("ready", "READY", 7, right=True),
        Column("unacked", "UNACK", 6, right=True, priority=3),
        Column("consumers", "CONS", 4, right=True, priority=2),
        Column("in", "IN", 7, right=True, priority=5),
        Column("out", "OUT", 7, right=True, priority=5),
        Column("trend", "TREND", TREND, priority=4),
        Column("net", "NET", 7, right=True, priority=4),
        Column("drain", "DRAINS", 12, priority=1),
    )
    sort_keys = {"N": "name", "R": "ready", "U": "unacked", "D": "drain"}

    def items(self, view: View) -> Sequence[QueueLine]:
        status = view.value(QUEUES)
        if status is None:
            return ()
        lines = [QueueLine(row, judge(row, view.playbook)) for row in status.rows]
        lines.sort(key=lambda line: (_RANK.get(line.tone, 3), -_depth(line.row), _name(line.row)))
        notes = [QueueLine(None, Tone.WARN, note) for note in _notes(status)]
        return (*notes, *lines)

    def identity(self, item: QueueLine) -> str:
        return item.row.stat.uid if item.row is not None else f"note {item.note}"

    def cells(self, item: QueueLine, view: View) -> Sequence[Cell]:
        row = item.row
        if row is None:
            return (Cell(f"▲ {item.note}", Tone.WARN, span=True),)
        stat, tone = row.stat, item.tone
        if stat.missing or stat.error:
            words = stat.error or "the broker has no such queue"
            return (Cell(_MARKS[tone], tone), Cell(_name(row), tone), Cell(words, tone, span=True))
        return (
            Cell(_MARKS[tone], Tone.OK if tone is Tone.DIM else tone),
            Cell(_name(row), tone),
            Cell(_count(stat.ready), tone),
            Cell(_count(stat.unacked), tone),
            Cell(_count(stat.consumers), Tone.WARN if row.drain is Drain.NO_CONSUMERS else tone),
            Cell(rate(stat.in_rate) or "–", Tone.DIM),
            Cell(rate(stat.out_rate) or "–", Tone.DIM),
            Cell(_trend(row), tone),
            Cell(signed_rate(row.slope) or "–", tone),
            Cell(drain_text(row), tone),
        )

    def summary(self, view: View) -> Summary:
        status = view.value(QUEUES)
        if status is None:
            return Summary("")
        tones = [judge(row, view.playbook) for row in status.rows]
        worst = Tone.CRIT if Tone.CRIT in tones else Tone.WARN if Tone.WARN in tones or _notes(status) else Tone.NORMAL
        total = sum(row.stat.depth or 0 for row in status.rows)
        return Summary(f"{grouped(total)} in {len(status.rows)} queues", worst)

    def target(self, item: QueueLine, view: View) -> Target | None:
        if item.row is None:
            return None
        stat = item.row.stat
        system = view.playbook.systems.rabbitmq
        # Actions log in to the playbook's vhost: a queue of the same name in another one must never be mistaken.
        kind = "Queue" if system is not None and stat.vhost == system.vhost else "QueueElsewhere"
        return Target(kind, stat.name, namespace=stat.vhost, uid=stat.uid, context=view.context)

    def tone(self, item: QueueLine) -> Tone:
        return item.tone

    def sort_value(self, item: QueueLine, column: str) -> Any:
        row = item.row
        if row is None:
            return None
        values: dict[str, Any] = {
            "mark": _RANK.get(item.tone, 3),
            "name": row.stat.name,
            "ready": row.stat.ready,
            "unacked": row.stat.unacked,
            "consumers": row.stat.consumers,
            "in": row.stat.in_rate,
            "out": row.stat.out_rate,
            "trend": row.slope,
            "net": row.slope,
            "drain": float("inf") if row.never else row.seconds,
        }
        return values.get(column)

    def text(self, item: QueueLine, column: str) -> str:
        row = item.row
        if row is None:
            return ""
        match column:
            case "mark":
                return item.tone.value
            case "name":
                return _name(row)
            case "drain":
                return drain_text(row)
            case "trend":
                return " ".join(str(depth) for depth in row.trend)
        value = self.sort_value(item, column)
        return "" if value is None else f"{value:g}"

    def detail(self, item: QueueLine, view: View) -> tuple[str, ...]:
        row = item.row
        if row is None:
            return (item.note,)
        stat = row.stat
        if stat.missing or stat.error:
            return (stat.name, stat.error or "the playbook names this queue, and the broker has none of that name")
        return (
            f"queue         {stat.name}",
            f"vhost         {stat.vhost}",
            f"type          {stat.kind or 'not known over AMQP'}",
            f"state         {stat.state or 'not known over AMQP'}",
            f"ready         {_count(stat.ready)}",
            f"unacked       {_count(stat.unacked)}",
            f"consumers     {_count(stat.consumers)}",
            f"published     {rate(stat.in_rate) or 'not known'}",
            f"delivered     {rate(stat.out_rate) or 'not known'}",
            f"net           {signed_rate(row.slope) or 'not known yet'}, from the depths planc saw",
            f"drains        {drain_text(row)}",
            f"depths        {sparkline(row.trend, len(row.trend))}  {min(row.trend, default=0):,} to "
            f"{max(row.trend, default=0):,}",
        )

    def empty(self, view: View) -> str:
        return "the broker has no queues"


def judge(row: QueueRow, playbook: Playbook) -> Tone:
    """How bad a queue is by the playbook's thresholds."""
    stat, limits = row.stat, playbook.thresholds
    target = playbook.targets.rabbitmq
    if stat.missing or stat.error:
        return Tone.WARN
    depth = stat.depth
    if depth is None:
        return Tone.UNKNOWN
    if target is not None and stat.name == target.dead_letter:
        return Tone.WARN if depth >= limits.dead_letter_warning else Tone.DIM
    if depth > limits.queue_bad:
        return Tone.CRIT
    if depth > limits.queue_warning or row.drain is Drain.NO_CONSUMERS:
        return Tone.WARN
    return Tone.NORMAL if depth else Tone.DIM


def drain_text(row: QueueRow) -> str:
    """When the queue is empty, in words that do not change with every message."""
    match row.drain:
        case Drain.EMPTY:
            return "empty"
        case Drain.DRAINING:
            return f"in {coarse_age(max(10.0, row.seconds or 0.0))}"
        case Drain.NO_CONSUMERS:
            return "never drains"
        case Drain.GROWING:
            return "grows"
        case Drain.STEADY:
            return "stands still"
        case Drain.UNKNOWN:
            return "–"


def _notes(status: BrokerStatus) -> tuple[str, ...]:
    alarms = tuple(f"the broker blocks publishers: {alarm}" for alarm in status.alarms)
    return (*alarms, status.note) if status.note else alarms


def _trend(row: QueueRow) -> str:
    """A sparkline: blank while nothing has ever been in the queue, low while the depth stands still."""
    if not any(row.trend):
        return ""
    still = min(row.trend) == max(row.trend)
    return sparkline(row.trend, TREND, high=8.0 * row.trend[0] if still else None)


def _count(value: int | None) -> str:
    return "–" if value is None else grouped(value)


def _name(row: QueueRow | None) -> str:
    if row is None:
        return ""
    return row.stat.name if row.stat.vhost == "/" else f"{row.stat.vhost}/{row.stat.name}"


def _depth(row: QueueRow | None) -> int:
    return 0 if row is None else row.stat.depth or 0
