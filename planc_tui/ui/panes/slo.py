"""Service level objectives: figure, target, budget left, and how fast it burns.

Invariant: what Prometheus did not measure says UNKNOWN and is never green.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from planc_tui.core.age import coarse_age
from planc_tui.core.numbers import latency, percent_down, percent_up, short
from planc_tui.core.slo import (
    Objective,
    SloStatus,
    Verdict,
    bad_query,
    exhausted_in,
    figure_query,
    promql_duration,
)
from planc_tui.core.store import Topic
from planc_tui.core.table import Cell, Column, Target, Tone
from planc_tui.core.text import clean
from planc_tui.sources.slo import SLO
from planc_tui.ui.panes.base import Pane, Summary, View

_TONES = {
    Verdict.BURNING: Tone.CRIT,
    Verdict.MISSED: Tone.CRIT,
    Verdict.UNKNOWN: Tone.UNKNOWN,
    Verdict.SPENT: Tone.WARN,
    Verdict.MET: Tone.DIM,
}
_MARKS = {Tone.CRIT: "✖", Tone.WARN: "▲", Tone.UNKNOWN: "?", Tone.DIM: "●"}


class SloPane(Pane[SloStatus]):
    """Each objective with its error budget and burn rates."""

    id = "slo"
    title = "SLO"
    number = "9"
    aliases = ("slo", "slos")
    topics: ClassVar[tuple[Topic[Any], ...]] = (SLO,)
    columns = (
        Column("mark", "", 1),
        Column("name", "OBJECTIVE", 10, flex=1),
        Column("value", "NOW", 8, right=True),
        Column("target", "TARGET", 8, right=True),
        Column("budget", "BUDGET", 10, right=True, priority=1),
        Column("burn", "BURN", 12, right=True, priority=2),
    )
    sort_keys = {"N": "name", "B": "budget"}

    def items(self, view: View) -> Sequence[SloStatus]:
        report = view.value(SLO)
        if report is None:
            return ()
        return sorted(report.slos, key=lambda status: list(Verdict).index(status.verdict))

    def identity(self, item: SloStatus) -> str:
        return item.objective.id

    def cells(self, item: SloStatus, view: View) -> Sequence[Cell]:
        tone = self.tone(item)
        return (
            Cell(_MARKS[tone], Tone.OK if tone is Tone.DIM else tone),
            Cell(clean(item.objective.name, 80), tone),
            Cell(value_text(item), tone),
            Cell(target_text(item.objective), Tone.DIM),
            Cell(budget_text(item), _budget_tone(item)),
            Cell(burn_text(item), Tone.CRIT if item.verdict is Verdict.BURNING else tone),
        )

    def summary(self, view: View) -> Summary:
        report = view.value(SLO)
        if report is None or not report.slos:
            return Summary("")
        verdicts = [status.verdict for status in report.slos]
        unknown = verdicts.count(Verdict.UNKNOWN)
        missed = sum(verdict in (Verdict.BURNING, Verdict.MISSED) for verdict in verdicts)
        parts = [f"{missed} missed"] if missed else []
        parts += [f"{unknown} unknown"] if unknown else []
        parts += ["budget spent"] if Verdict.SPENT in verdicts else []
        if not parts:
            return Summary(f"{len(verdicts)} met")
        return Summary(" · ".join(parts), Tone.CRIT if missed else Tone.UNKNOWN if unknown else Tone.WARN)

    def target(self, item: SloStatus, view: View) -> Target | None:
        return Target("SLO", item.objective.name, uid=item.objective.id, context=view.context)

    def tone(self, item: SloStatus) -> Tone:
        return _TONES[item.verdict]

    def sort_value(self, item: SloStatus, column: str) -> Any:
        values: dict[str, Any] = {
            "mark": list(Verdict).index(item.verdict),
            "name": item.objective.name,
            "value": item.value,
            "target": item.objective.target,
            "budget": item.budget_left,
            "burn": item.burn_long,
        }
        return values.get(column)

    def text(self, item: SloStatus, column: str) -> str:
        match column:
            case "mark":
                return item.verdict.value
            case "value":
                return value_text(item)
            case "target":
                return target_text(item.objective)
            case "budget":
                return budget_text(item)
            case "burn":
                return burn_text(item)
        return clean(item.objective.name, 80)

    def detail(self, item: SloStatus, view: View) -> tuple[str, ...]:
        one = item.objective
        period = promql_duration(one.period)
        lines = [
            f"objective      {clean(one.name, 80)}",
            f"now            {value_text(item)} over {promql_duration(one.current)}, target {target_text(one)}",
            f"verdict        {item.verdict.value}{f': {item.note}' if item.note else ''}",
        ]
        if one.allowed is not None:
            lines += [
                f"error budget   {budget_text(item)} of {percent_up(100 * one.allowed)} over {period}",
                f"burn rate      {_burn(item.burn_short)} over {promql_duration(one.short)}, "
                f"{_burn(item.burn_long)} over {promql_duration(one.long)}; "
                f"{short(one.fast_burn)}× in both is an emergency",
            ]
            left = exhausted_in(item)
            if left is not None and item.budget_left is not None and item.budget_left > 0:
                lines.append(f"budget spent   in {coarse_age(left)} at this rate")
        queries = (figure_query(one), bad_query(one, one.short), bad_query(one, one.long), bad_query(one, one.period))
        return (*lines, "", "PromQL", *(f"  {clean(query)}" for query in dict.fromkeys(queries) if query))

    def empty(self, view: View) -> str:
        return "the playbook has no SLOs: add them under slos"


def value_text(status: SloStatus) -> str:
    """The figure, never rounded to the good side of its target."""
    if status.value is None:
        return "UNKNOWN"
    if status.objective.unit == "percent":
        if status.objective.kind == "availability":
            return percent_down(status.value, status.objective.target)
        return percent_up(status.value, status.objective.target)
    return latency(status.value / 1000 if status.objective.unit == "ms" else status.value)


def target_text(objective: Objective) -> str:
    """The objective in its unit."""
    if objective.unit == "percent":
        return f"{objective.target:.10f}".rstrip("0").rstrip(".") + "%"
    return f"{short(objective.target)} {objective.unit}"


def budget_text(status: SloStatus) -> str:
    """Error budget left, in percent of the whole."""
    if status.objective.allowed is None:
        return "none"
    left = status.budget_left
    if left is None:
        return "?"
    if left <= 0:
        return f"spent {short((1 - left) * 100)}%"
    return f"{percent_down(left * 100, 10.0)} left" if left < 0.1 else f"{int(left * 100 + 1e-6)}% left"


def burn_text(status: SloStatus) -> str:
    """Burn rates of the short and the long window."""
    if status.objective.allowed is None:
        return ""
    return f"{_burn(status.burn_short)} {_burn(status.burn_long)}"


def _burn(rate: float | None) -> str:
    return "?" if rate is None else f"{short(round(rate, 1))}×"


def _budget_tone(status: SloStatus) -> Tone:
    left = status.budget_left
    if left is None:
        return Tone.UNKNOWN if status.objective.allowed is not None else Tone.DIM
    return Tone.CRIT if left <= 0 else Tone.WARN if left < 0.25 else Tone.DIM
