"""Burn rates and error budgets are promtool's: both sides get the same minutes of traffic and Plan C's own queries."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from msgspec.structs import replace

from planc_tui.core.slo import Figures, Objective, SloStatus, assess, at, bad_query
from planc_tui.playbook.loader import default
from planc_tui.sources.slo import objective_of

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed (apt: prometheus)")

PERIOD = 180  # minutes that stand for the thirty days
SHORT, LONG = 5, 60
GOT = re.compile(r'expr: (".*?[^\\]"), time: \S+,\s+exp: nil\s+got: \{\} (\S+)')


@dataclass(frozen=True)
class Minute:
    """Requests of one minute. bad: those that missed the objective."""

    good: int
    bad: int = 0


def steady(good: int, bad: int = 0, minutes: int = PERIOD) -> list[Minute]:
    return [Minute(good, bad)] * minutes


VECTORS: Mapping[str, Sequence[Minute]] = {
    "all good": steady(600),
    "one in a thousand": steady(999, 1),
    "the fast burn of the workbook": steady(99_856, 144),
    "a full outage of two minutes": [*steady(600, 0, PERIOD - 2), *steady(0, 600, 2)],
    "half of it for half an hour": [*steady(600, 0, 120), *steady(300, 300, 30), *steady(600, 0, 30)],
    "over in the short window, not in the long": [*steady(600, 0, 150), *steady(540, 60, 20), *steady(600, 0, 10)],
    "traffic that grows": [Minute(10 * n, n) for n in range(1, PERIOD + 1)],
    "no traffic": steady(0),
}


def objectives() -> list[Objective]:
    """Plan C's, over windows that fit the vectors."""
    return [
        replace(objective_of(slo, "en"), short=SHORT * 60.0, long=LONG * 60.0, period=PERIOD * 60.0)
        for slo in default().slos
    ]


def share(minutes: Sequence[Minute], window: int) -> float | None:
    """What planc is told: the share that missed in the last `window` minutes."""
    bad, good = (sum(getattr(minute, name) for minute in minutes[-window:]) for name in ("bad", "good"))
    return bad / (bad + good) if bad + good else None


def status_of(objective: Objective, minutes: Sequence[Minute]) -> SloStatus:
    figures = Figures(None, share(minutes, SHORT), share(minutes, LONG), share(minutes, PERIOD))
    return assess(objective, figures)


def series(objective: Objective, minutes: Sequence[Minute]) -> list[dict[str, str]]:
    """The same as counters. A series of errors begins with the first error, as in a real service."""

    def counter(values: Sequence[int]) -> str:
        total, text = 0, ["0"]
        for value in values:
            total += value
            text.append(str(total))
        return " ".join(text)

    good, bad = [m.good for m in minutes], [m.bad for m in minutes]
    every = [m.good + m.bad for m in minutes]
    if objective.kind == "latency":
        names = {'http_request_duration_seconds_bucket{le="0.1"}': good, "http_request_duration_seconds_count": every}
    else:
        names = {'http_requests_total{code="200"}': good}
        if any(bad):
            names['http_requests_total{code="503"}'] = bad
    return [{"series": name, "values": counter(values)} for name, values in names.items()]


def promtool(folder: Path, objective: Objective, minutes: Sequence[Minute]) -> dict[str, float]:
    """What Prometheus makes of it, by the expression that was asked."""
    texts = expressions(objective).values()
    end, later = f"{PERIOD}m", f"{PERIOD + 2}m"
    wanted = [(text, end) for text in texts] + [(at(text, PERIOD * 60), later) for text in texts]
    asked = [{"expr": text, "eval_time": when, "exp_samples": []} for text, when in wanted]
    test = {"interval": "1m", "input_series": series(objective, minutes), "promql_expr_test": asked}
    file = folder / "vectors.yml"
    file.write_text(json.dumps({"rule_files": [], "evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run(["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert "error" not in said, said
    return {json.loads(text): float(value) for text, value in GOT.findall(said)}


def expressions(objective: Objective) -> dict[str, str]:
    """The workbook's formulas over the objective's own query."""

    def burn(seconds: float) -> str:
        return f"({bad_query(objective, seconds)}) / {objective.allowed!r}"

    return {
        "burn_short": burn(objective.short),
        "burn_long": burn(objective.long),
        "budget_left": f"1 - {burn(objective.period)}",
    }


@pytest.mark.parametrize("name", list(VECTORS))
@pytest.mark.parametrize("objective", objectives(), ids=lambda one: one.id)
def test_burn_rates_and_budgets_are_promtools(tmp_path: Path, objective: Objective, name: str) -> None:
    minutes = VECTORS[name]
    status = status_of(objective, minutes)
    measured = promtool(tmp_path, objective, minutes)
    for field, expression in expressions(objective).items():
        ours, theirs = getattr(status, field), measured.get(expression)
        assert measured.get(at(expression, PERIOD * 60)) == theirs, "a moment is the same whenever it is asked for"
        assert (ours is None) == (theirs is None), f"{field}: {ours} against {theirs}"
        if ours is not None:
            assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-9), field
    if name == "no traffic":
        assert measured == {}


def test_the_comparison_can_fail(tmp_path: Path) -> None:
    objective = objectives()[0]
    measured = promtool(tmp_path, objective, VECTORS["one in a thousand"])
    assert measured[expressions(objective)["burn_short"]] == pytest.approx(10.0)
    assert status_of(objective, VECTORS["all good"]).burn_short == 0.0
