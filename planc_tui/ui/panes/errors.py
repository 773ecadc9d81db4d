"""What the application's logs say is wrong: patterns with counts, then the newest error lines of all pods.

Invariant: what is not followed and what was lost is said in the title, so that a short list is never taken for calm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from msgspec import Struct

from planc_tui.core.cluster.topics import PODS
from planc_tui.core.logs.book import LogSummary
from planc_tui.core.logs.line import Level, LogLine, clock_text
from planc_tui.core.logs.message import brief
from planc_tui.core.logs.patterns import Pattern
from planc_tui.core.numbers import grouped
from planc_tui.core.store import Topic
from planc_tui.core.table import Cell, Column, Target, Tone
from planc_tui.core.text import fit, sparkline
from planc_tui.sources.logs import ERRORS
from planc_tui.ui.panes.base import Option, Pane, Summary, View

POD = 18
BARS = 8
_MARKS = {Tone.CRIT: "✖", Tone.WARN: "▲", Tone.NORMAL: "·", Tone.DIM: "·"}


class ErrorRow(Struct, frozen=True):
    """One row: a pattern, a line, or a note about what is missing."""

    pattern: Pattern | None = None
    line: LogLine | None = None
    note: str = ""


class ErrorsPane(Pane[ErrorRow]):
    """Patterns and lines of the followed logs."""

    id = "errors"
    title = "Errors"
    number = "6"
    aliases = ("error", "errors", "logs", "log")
    # The pods say which containers there are to follow.
    topics: ClassVar[tuple[Topic[Any], ...]] = (ERRORS, PODS)
    columns = (
        Column("mark", "", 1),
        Column("when", "WHEN", 12, priority=1),
        Column("pod", "POD", POD, priority=2),
        Column("text", "TEXT", 30, flex=1),
        Column("seen", "SEEN", 19, right=True, priority=3),
    )
    options = (Option("all", "e", "lines of every level, or errors and their patterns"),)

    def items(self, view: View) -> Sequence[ErrorRow]:
        summary = view.value(ERRORS)
        if summary is None:
            return ()
        notes = [ErrorRow(note=note) for note in _notes(summary)]
        if view.options.get("all"):
            return (*notes, *(ErrorRow(line=line) for line in summary.recent.lines()))
        patterns = [ErrorRow(pattern=pattern) for pattern in summary.patterns]
        return (*notes, *patterns, *(ErrorRow(line=line) for line in summary.errors))

    def identity(self, item: ErrorRow) -> str:
        if item.pattern is not None:
            return f"pattern {item.pattern.template}"
        if item.line is not None:
            line = item.line
            return f"line {line.pod} {line.container} {line.ts} {line.seq}"
        return f"note {item.note}"

    def cells(self, item: ErrorRow, view: View) -> Sequence[Cell]:
        tone = self.tone(item)
        if item.pattern is not None:
            pattern = item.pattern
            return (
                Cell(_MARKS[tone], tone),
                Cell(f"×{grouped(pattern.count)}", tone),
                Cell(_pods(pattern), Tone.DIM),
                Cell(pattern.template, tone),
                Cell(_span(pattern), Tone.DIM),
            )
        if item.line is not None:
            line = item.line
            return (
                Cell(_MARKS[tone], tone),
                Cell(clock_text(line.ts), Tone.DIM),
                Cell(fit(line.pod, POD, middle=True).rstrip(), Tone.DIM),
                Cell(brief(line.text), Tone.NORMAL if tone is Tone.CRIT else tone),
                Cell(_trace(line), Tone.DIM),
            )
        return (Cell(f"▲ {item.note}", Tone.WARN, span=True),)

    def summary(self, view: View) -> Summary:
        summary = view.value(ERRORS)
        if summary is None:
            return Summary("")
        parts = [f"{grouped(summary.last_minute)}/min"]
        if any(summary.per_minute):
            parts.append(sparkline(summary.per_minute[-BARS:], BARS))
        parts.append(f"{summary.pattern_count} pattern{'' if summary.pattern_count == 1 else 's'}")
        parts.append(f"{grouped(summary.lost)} lost")
        if summary.followed != summary.matched:
            parts.append(f"{summary.followed} of {summary.matched} followed")
        loud = summary.last_minute or summary.lost
        return Summary("  ".join(parts), Tone.WARN if loud else Tone.NORMAL)

    def target(self, item: ErrorRow, view: View) -> Target | None:
        line = item.line
        if line is None and item.pattern is not None and item.pattern.samples:
            line = item.pattern.samples[-1]
        if line is None:
            return None
        pods = view.value(PODS)
        uid = next((pod.uid for pod in pods or () if pod.name == line.pod), "")
        return Target("Pod", line.pod, namespace=view.namespace, uid=uid, context=view.context)

    def tone(self, item: ErrorRow) -> Tone:
        if item.pattern is not None:
            return Tone.CRIT if item.pattern.level >= Level.ERROR else Tone.WARN
        if item.line is None:
            return Tone.WARN
        if item.line.level >= Level.ERROR:
            return Tone.CRIT
        return Tone.WARN if item.line.level is Level.WARN else Tone.DIM

    def sort_value(self, item: ErrorRow, column: str) -> Any:
        if column == "when":
            return item.line.ts if item.line is not None else item.pattern.last if item.pattern is not None else 0
        return self.text(item, column)

    def text(self, item: ErrorRow, column: str) -> str:
        if item.pattern is not None:
            return _pattern_text(item.pattern, column)
        line = item.line
        if line is None:
            return item.note if column == "text" else ""
        values = {"mark": line.level.name.lower(), "when": clock_text(line.ts), "pod": line.pod, "seen": _trace(line)}
        return values.get(column) or ("\n".join((line.text, *line.trace)) if column == "text" else "")

    def labels(self, item: ErrorRow) -> Mapping[str, str]:
        return {} if item.line is None else {"container": item.line.container}

    def detail(self, item: ErrorRow, view: View) -> tuple[str, ...]:
        if item.line is not None:
            return _whole(item.line)
        pattern = item.pattern
        if pattern is None:
            return (item.note,)
        head = (
            f"pattern     {pattern.template}",
            f"seen        {grouped(pattern.count)} times in {pattern.pods} pod{'' if pattern.pods == 1 else 's'}",
            f"first seen  {clock_text(pattern.first)} UTC",
            f"last seen   {clock_text(pattern.last)} UTC",
            "",
            "newest lines of this pattern",
        )
        samples = [("", *_whole(line)) for line in reversed(pattern.samples)]
        return (*head, *(text for sample in samples for text in sample))

    def empty(self, view: View) -> str:
        summary = view.value(ERRORS)
        if summary is None or not summary.matched:
            return "no running pod matches the playbook's log selector"
        word = "container" if summary.followed == 1 else "containers"
        return f"no error line in {grouped(summary.lines)} lines of {summary.followed} {word}"


def _notes(summary: LogSummary) -> tuple[str, ...]:
    beyond = summary.matched - summary.limit
    if beyond <= 0:
        return summary.notes
    return (
        f"{grouped(beyond)} of {grouped(summary.matched)} containers are not followed: "
        f"logs.streams_at_most is {summary.limit}",
        *summary.notes,
    )


def _pods(pattern: Pattern) -> str:
    if pattern.pods == 1 and pattern.samples:
        return fit(pattern.samples[-1].pod, POD, middle=True).rstrip()
    return f"{pattern.pods} pods"


def _span(pattern: Pattern) -> str:
    return f"{clock_text(pattern.first, millis=False)} › {clock_text(pattern.last, millis=False)}"


def _trace(line: LogLine) -> str:
    count = len(line.trace) + line.cut
    return f"+{count} line{'' if count == 1 else 's'}" if count else ""


def _pattern_text(pattern: Pattern, column: str) -> str:
    values = {
        "mark": pattern.level.name.lower(),
        "when": str(pattern.count),
        "pod": _pods(pattern),
        "text": pattern.template,
        "seen": _span(pattern),
    }
    return values.get(column, "")


def _whole(line: LogLine) -> tuple[str, ...]:
    cut = (f"… {line.cut} more lines were left out",) if line.cut else ()
    return (f"{clock_text(line.ts)} UTC  {line.pod}  {line.container}  {line.level.name}", line.text, *line.trace, *cut)
