"""Service level objectives: what to ask Prometheus, and what the answers mean.

Invariant: no answer, an empty one, NaN and infinity are UNKNOWN, and UNKNOWN is never shown as met. Burn
rate and budget follow the SRE workbook, chapter 5: burn = bad share / allowed share; budget left = 1 - burn
over the period.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Literal, Protocol

from msgspec import Struct

MARK = "planc"  # label that tells the answers of one combined query apart
SLACK = 1e-9  # relative; sums of floats: 1 - 0.0001 must count as 99.99 %
LOOK_BACK = 3600.0  # seconds in which the beginning of a miss is looked for
STEP = 15.0  # and in steps of so many
QUERY_LIMIT = 4000  # characters of PromQL in one request: it travels in the URL

Kind = Literal["availability", "error_rate", "latency"]
Unit = Literal["percent", "ms", "s"]


class Objective(Struct, frozen=True):
    """One SLO. target: in `unit`. query: PromQL of the figure; bad: PromQL of the share that misses it, may
    be empty.

    allowed: share that may miss, 0 to 1, None without a budget. current, short, long, period: windows in
    seconds.
    """

    id: str
    name: str
    kind: Kind
    target: float
    unit: Unit
    query: str
    bad: str = ""
    allowed: float | None = None
    current: float = 300.0
    short: float = 300.0
    long: float = 3600.0
    period: float = 2_592_000.0
    fast_burn: float = 14.4


class Verdict(Enum):
    """What an objective's figures say, from the worst up."""

    BURNING = "burning"  # misses fast enough, in both windows, to be an emergency
    MISSED = "missed"
    UNKNOWN = "UNKNOWN"
    SPENT = "budget spent"
    MET = "met"


class Sample(Struct, frozen=True):
    """One series of an instant query."""

    labels: Mapping[str, str]
    value: float


class Figures(Struct, frozen=True):
    """What was measured, as Prometheus gives it: ratios 0 to 1, latencies in seconds; None where it gave
    nothing.

    bad_*: share of requests that missed the objective in that window.
    """

    value: float | None = None
    bad_short: float | None = None
    bad_long: float | None = None
    bad_period: float | None = None


class SloStatus(Struct, frozen=True):
    """An objective and how it stands. value: in the objective's unit. budget_left: 1 is untouched, below 0
    overspent.

    note: why it is unknown, when Prometheus said why. missed_since: epoch seconds of the first sample that missed,
    in the last hour at most; None while it is met or nobody knows.
    """

    objective: Objective
    verdict: Verdict
    value: float | None = None
    budget_left: float | None = None
    burn_short: float | None = None
    burn_long: float | None = None
    note: str = ""
    missed_since: float | None = None


class SloReport(Struct, frozen=True):
    """All objectives of the playbook, in its order."""

    slos: tuple[SloStatus, ...]

    def find(self, slo_id: str) -> SloStatus | None:
        """The objective of that id."""
        return next((status for status in self.slos if status.objective.id == slo_id), None)


def promql_duration(seconds: float) -> str:
    """A duration as PromQL writes it.

    >>> promql_duration(300), promql_duration(5400), promql_duration(2_592_000), promql_duration(0.25)
    ('5m', '1h30m', '30d', '250ms')
    """
    left = max(1, round(seconds * 1000))
    parts = []
    for size, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def over(promql: str, seconds: float) -> str:
    """The query with `$window` replaced.

    >>> over("rate(x[$window])", 300)
    'rate(x[5m])'
    """
    return promql.replace("$window", promql_duration(seconds)).strip()


def at(promql: str, moment: float) -> str:
    """The query as it would have been answered at a moment (epoch seconds), whenever it is asked.

    >>> at("rate(x[5m])", 1_795_530_720.2)
    'last_over_time((rate(x[5m]))[1s:1s] @ 1795530721)'
    """
    return f"last_over_time(({promql})[1s:1s] @ {math.ceil(moment)})"


def figure_query(objective: Objective) -> str:
    """PromQL of the figure on the screen."""
    return over(objective.query, objective.current)


def last_good_query(objective: Objective) -> str:
    """PromQL of the last time, in epoch seconds, at which the figure met its target within the last hour; when it
    never did, of the step before the first sample.

    >>> o = Objective("p95", "P95", "latency", 100, "ms", "p95")
    >>> last_good_query(o)
    'max(max_over_time(timestamp((p95) <= 0.1)[1h:15s])) or (min(min_over_time(timestamp(p95)[1h:15s])) - 15)'
    """
    figure = figure_query(objective)
    sign = ">=" if objective.kind == "availability" else "<="
    target = objective.target / {"percent": 100.0, "ms": 1000.0, "s": 1.0}[objective.unit]
    window = f"[{promql_duration(LOOK_BACK)}:{promql_duration(STEP)}]"
    good = f"max(max_over_time(timestamp(({figure}) {sign} {target:.12g}){window}))"
    return f"{good} or (min(min_over_time(timestamp({figure}){window})) - {STEP:g})"


def bad_query(objective: Objective, seconds: float) -> str | None:
    """PromQL whose answer gives the share of misses over `seconds` (see `bad_share`); None without a
    budget."""
    if objective.allowed is None:
        return None
    if objective.bad:
        return over(objective.bad, seconds)
    return None if objective.kind == "latency" else over(objective.query, seconds)


def bad_share(objective: Objective, answer: float | None) -> float | None:
    """Share of misses, 0 to 1, from the answer to `bad_query`."""
    if answer is None or objective.bad:
        return answer
    return 1.0 - answer if objective.kind == "availability" else answer


def fast_queries(objectives: Iterable[Objective]) -> tuple[str, ...]:
    """What is asked every few seconds: the figures and the burn windows, each text once."""
    wanted: dict[str, None] = {}
    for one in objectives:
        for query in (figure_query(one), bad_query(one, one.short), bad_query(one, one.long)):
            if query:
                wanted[query] = None
    return tuple(wanted)


def slow_queries(objectives: Iterable[Objective]) -> tuple[str, ...]:
    """What is asked seldom because it reads weeks of samples: the budgets."""
    return tuple(dict.fromkeys(query for one in objectives if (query := bad_query(one, one.period))))


def combine(queries: Sequence[str]) -> str:
    """One query that answers several; series of number n carry the label `planc="n"`.

    >>> combine(["up", "a/b"])
    'label_replace((up), "planc", "0", "", "") or label_replace((a/b), "planc", "1", "", "")'
    """
    return " or ".join(
        f'label_replace(({query}), "{MARK}", "{number}", "", "")' for number, query in enumerate(queries)
    )


def batches(queries: Iterable[str], limit: int = QUERY_LIMIT) -> tuple[tuple[str, ...], ...]:
    """Queries in groups whose combination stays near `limit` characters.

    >>> batches(["a" * 30, "b" * 30, "c"], limit=80)
    (('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',), ('bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb',), ('c',))
    """
    groups: list[list[str]] = []
    room = 0
    for query in queries:
        size = len(query) + 48
        if not groups or size > room:
            groups.append([])
            room = limit
        groups[-1].append(query)
        room -= size
    return tuple(tuple(group) for group in groups)


def split_answer(queries: Sequence[str], samples: Iterable[Sample]) -> dict[str, tuple[Sample, ...]]:
    """Undo `combine`: the series of each query; a query without any has an empty tuple."""
    found: dict[int, list[Sample]] = {}
    for sample in samples:
        number = sample.labels.get(MARK, "")
        if number.isdecimal():
            found.setdefault(int(number), []).append(sample)
    return {query: tuple(found.get(number, ())) for number, query in enumerate(queries)}


def worst(samples: Iterable[Sample], low_is_bad: bool) -> float | None:
    """The worst finite value of a query that should have one series but may have several; None for none."""
    values = [sample.value for sample in samples if math.isfinite(sample.value)]
    if not values:
        return None
    return min(values) if low_is_bad else max(values)


def figures(objective: Objective, answers: Mapping[str, Sequence[Sample]]) -> Figures:
    """Pick an objective's figures out of the answers by query text."""

    def share(seconds: float) -> float | None:
        query = bad_query(objective, seconds)
        derived_from_availability = objective.kind == "availability" and not objective.bad
        found = answers.get(query or "", ())
        return bad_share(objective, worst(found, low_is_bad=derived_from_availability))

    value = worst(answers.get(figure_query(objective), ()), low_is_bad=objective.kind == "availability")
    return Figures(value, share(objective.short), share(objective.long), share(objective.period))


def assess(objective: Objective, measured: Figures, note: str = "") -> SloStatus:
    """How an objective stands.

    >>> o = Objective("availability", "available", "availability", 99.99, "percent", "q", allowed=0.0001)
    >>> s = assess(o, Figures(value=0.99, bad_short=0.01, bad_long=0.01, bad_period=0.00005))
    >>> s.verdict, round(s.value, 2), round(s.burn_long), round(s.budget_left, 3)
    (<Verdict.BURNING: 'burning'>, 99.0, 100, 0.5)
    >>> assess(o, Figures()).verdict
    <Verdict.UNKNOWN: 'UNKNOWN'>
    """
    value = None if measured.value is None else in_unit(measured.value, objective.unit)
    short = burn_rate(measured.bad_short, objective.allowed)
    long = burn_rate(measured.bad_long, objective.allowed)
    spent = burn_rate(measured.bad_period, objective.allowed)
    left = None if spent is None else 1.0 - spent
    emergency = objective.fast_burn * (1 - SLACK)
    burning = short is not None and long is not None and min(short, long) >= emergency
    if burning:
        verdict = Verdict.BURNING
    elif value is None:
        verdict = Verdict.UNKNOWN
    elif not meets(objective, value):
        verdict = Verdict.MISSED
    elif left is not None and left <= 0.0:
        verdict = Verdict.SPENT
    else:
        verdict = Verdict.MET
    if verdict is Verdict.UNKNOWN and not note:
        note = "Prometheus has no data for it"
    return SloStatus(objective, verdict, value, left, short, long, note)


def in_unit(value: float, unit: Unit) -> float:
    """A ratio or seconds as Prometheus gives them, in the unit of the screen."""
    return value * {"percent": 100.0, "ms": 1000.0, "s": 1.0}[unit]


def meets(objective: Objective, value: float) -> bool:
    """Whether a figure, in the objective's unit, meets it."""
    slack = abs(objective.target) * SLACK
    if objective.kind == "availability":
        return value >= objective.target - slack
    return value <= objective.target + slack


def burn_rate(share: float | None, allowed: float | None) -> float | None:
    """How many times too fast the budget goes: 1 spends exactly all of it in the period.

    >>> round(burn_rate(0.00144, 0.0001), 6)
    14.4
    """
    if share is None or not allowed:
        return None
    return max(0.0, share) / allowed


def exhausted_in(status: SloStatus) -> float | None:
    """Seconds until the budget is spent at the burn rate of the long window; None when it is not being
    spent."""
    if status.budget_left is None or not status.burn_long:
        return None
    return max(0.0, status.budget_left) * status.objective.period / status.burn_long


class MetricsPort(Protocol):
    """Prometheus' instant queries."""

    def query(self, promql: str) -> tuple[Sample, ...]:
        """Evaluate now, within 10 s. Raises PortError; Rejected when the server refuses the query itself."""
        ...

    def close(self) -> None:
        """Drop the connection; the next query opens one again."""
        ...
