"""SLO mathematics against the SRE workbook's figures, and how the source asks for them."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from planc_tui.core.clock import FakeClock
from planc_tui.core.ports import Rejected, Unreachable
from planc_tui.core.slo import (
    Figures,
    Objective,
    Sample,
    SloStatus,
    Verdict,
    assess,
    combine,
    exhausted_in,
    fast_queries,
    figures,
    slow_queries,
    split_answer,
)
from planc_tui.playbook.model import Slo, Words
from planc_tui.sources.slo import INTERVAL, SloSource
from tests.steps import complete

DAY = 86400.0
AVAILABLE = Objective("a", "available", "availability", 99.99, "percent", "good[$window]", allowed=0.0001)
ERRORS = Objective("e", "errors", "error_rate", 0.1, "percent", "bad[$window]", allowed=0.001)
LATENCY = Objective("l", "P95", "latency", 100.0, "ms", "p95[$window]", bad="slow[$window]", allowed=0.05)
BARE_LATENCY = Objective("b", "P95", "latency", 100.0, "ms", "p95[$window]")


def burning(share: float, objective: Objective = AVAILABLE, period_share: float | None = None) -> SloStatus:
    """The status when `share` of the requests fail in both windows."""
    value = 1 - share if objective.kind == "availability" else share
    return assess(objective, Figures(value, share, share, period_share))


@pytest.mark.parametrize(
    ("rate", "share_of_9999", "exhausted_after"),
    [(14.4, 0.00144, 50 * 3600.0), (6, 0.0006, 5 * DAY), (3, 0.0003, 10 * DAY), (1, 0.0001, 30 * DAY)],
)
def test_burn_rates_of_the_workbook(rate: float, share_of_9999: float, exhausted_after: float) -> None:
    status = burning(share_of_9999, period_share=0.0)
    assert status.burn_long == pytest.approx(rate)
    assert exhausted_in(status) == pytest.approx(exhausted_after)


def test_an_error_rate_within_its_own_target_spends_a_9999_budget_ten_times_too_fast() -> None:
    assert burning(0.001).burn_long == pytest.approx(10.0)
    assert burning(0.001, ERRORS).verdict is Verdict.MET


@pytest.mark.parametrize(("minutes", "spent"), [(2, 0.463), (15, 3.47), (30, 6.94)])
def test_budget_spent_by_a_full_outage(minutes: float, spent: float) -> None:
    share = minutes / (30 * 24 * 60)
    status = assess(AVAILABLE, Figures(1.0, 0.0, 0.0, share))
    assert status.budget_left == pytest.approx(1 - spent, abs=0.005)
    assert status.verdict is (Verdict.MET if spent < 1 else Verdict.SPENT)


@pytest.mark.parametrize(
    ("objective", "measured", "verdict"),
    [
        (AVAILABLE, Figures(0.9999, 0, 0, 0), Verdict.MET),
        (AVAILABLE, Figures(1 - 0.0001, 0, 0, 0), Verdict.MET),
        (AVAILABLE, Figures(0.99989, 0, 0, 0), Verdict.MISSED),
        (AVAILABLE, Figures(None, None, None, 0.00001), Verdict.UNKNOWN),
        (AVAILABLE, Figures(None, 0.5, 0.5, None), Verdict.BURNING),
        (AVAILABLE, Figures(0.99, 0.01, 0.0001, 0.0), Verdict.MISSED),
        (AVAILABLE, Figures(0.99, 0.0001, 0.01, 0.0), Verdict.MISSED),
        (AVAILABLE, Figures(1.0, 0.0, 0.0, 0.0002), Verdict.SPENT),
        (ERRORS, Figures(0.001, 0.001, 0.001, 0), Verdict.MET),
        (ERRORS, Figures(0.0011, 0.0011, 0.0011, 0), Verdict.MISSED),
        (LATENCY, Figures(0.0917, 0.04, 0.04, 0.04), Verdict.MET),
        (LATENCY, Figures(2.4, 0.72, 0.72, 0.1), Verdict.BURNING),
        (LATENCY, Figures(2.4, 0.71, 0.72, 0.1), Verdict.MISSED),
        (BARE_LATENCY, Figures(0.2), Verdict.MISSED),
        (BARE_LATENCY, Figures(0.05), Verdict.MET),
    ],
)
def test_verdicts(objective: Objective, measured: Figures, verdict: Verdict) -> None:
    assert assess(objective, measured).verdict is verdict


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_unknown(value: float) -> None:
    answers = dict.fromkeys(("good[5m]", "good[1h]", "good[30d]"), (Sample({}, value),))
    status = assess(AVAILABLE, figures(AVAILABLE, answers))
    assert (status.verdict, status.value, status.burn_long, status.budget_left) == (Verdict.UNKNOWN, None, None, None)
    assert status.note


def test_the_worst_of_several_series_counts() -> None:
    answers = {
        "good[5m]": (Sample({"service": "a"}, 1.0), Sample({"service": "b"}, 0.9), Sample({"service": "c"}, math.nan)),
        "slow[5m]": (Sample({"service": "a"}, 0.01), Sample({"service": "b"}, 0.6)),
    }
    assert figures(AVAILABLE, answers).value == 0.9
    assert figures(AVAILABLE, answers).bad_short == pytest.approx(0.1)
    assert figures(LATENCY, answers).bad_short == 0.6


def test_queries_are_asked_once_each_and_the_long_ones_apart() -> None:
    assert fast_queries([AVAILABLE, ERRORS, LATENCY, BARE_LATENCY]) == (
        "good[5m]", "good[1h]", "bad[5m]", "bad[1h]", "p95[5m]", "slow[5m]", "slow[1h]",
    )  # fmt: skip  # rows as a person reads them
    assert slow_queries([AVAILABLE, LATENCY, BARE_LATENCY]) == ("good[30d]", "slow[30d]")


class Prometheus:
    """Answers with a value per query text; refuses some; counts requests."""

    def __init__(self, answer: Callable[[str], float | None]) -> None:
        self.answer = answer
        self.refused: set[str] = set()
        self.down = False
        self.sent: list[str] = []

    def query(self, promql: str) -> tuple[Sample, ...]:
        self.sent.append(promql)
        if self.down:
            raise Unreachable("down")
        if any(text in promql for text in self.refused):
            raise Rejected("parse error", code=400)
        if not promql.startswith("label_replace"):
            value = self.answer(promql)
            return () if value is None else (Sample({}, value),)
        found = []
        for part in promql.split(" or "):
            text, number = part.removeprefix("label_replace((").split('), "planc", "')
            value = self.answer(text)
            if value is not None:
                found.append(Sample({"planc": number.partition('"')[0]}, value))
        return tuple(found)

    def close(self) -> None:
        return None


def slo(identity: str, query: str, **fields: object) -> Slo:
    """An availability SLO of the playbook."""
    given = {"kind": "availability", "objective": 99.99, "unit": "percent", **fields}
    return Slo(id=identity, name=Words(en=identity), query=query, **given)  # type: ignore[arg-type]  # test data


def verdicts(source: SloSource) -> dict[str, Verdict]:
    return {status.objective.id: status.verdict for status in complete(source.read()).slos}


def test_one_request_for_the_present_and_one_now_and_then_for_the_budgets() -> None:
    clock, server = FakeClock(), Prometheus(lambda _: 1.0)
    source = SloSource(server, [slo("a", "x[$window]"), slo("b", "y[$window]")], clock)
    assert verdicts(source) == {"a": Verdict.MET, "b": Verdict.MET}
    assert len(server.sent) == 2
    spent = 0.0
    while spent < 600:
        clock.advance(source.interval)
        spent += source.interval
        complete(source.read())
    assert len(server.sent) / (spent / 60) < 3.5
    assert server.sent[0] == combine(["x[5m]", "x[1h]", "y[5m]", "y[1h]"])


def test_a_refused_query_makes_its_own_objective_unknown_with_the_servers_words() -> None:
    clock, server = FakeClock(), Prometheus(lambda _: 1.0)
    source = SloSource(server, [slo("good", "x[$window]"), slo("broken", "oops[$window]")], clock)
    server.refused = {"oops"}
    report = complete(source.read())
    assert {status.objective.id: (status.verdict, status.note) for status in report.slos} == {
        "good": (Verdict.MET, ""),
        "broken": (Verdict.UNKNOWN, "parse error"),
    }
    sent = len(server.sent)
    assert source.interval == INTERVAL
    clock.advance(source.interval)
    complete(source.read())
    assert len(server.sent) == sent + 1  # the broken ones are left out for a while
    clock.advance(400)
    sent = len(server.sent)
    assert verdicts(source)["good"] is Verdict.MET
    assert [query.startswith("label_replace") for query in server.sent[sent:]] == [True, True, False, False, False], (
        "what was refused is tried again alone, and spoils no batch"
    )
    server.refused = set()
    clock.advance(400)
    assert verdicts(source)["broken"] is Verdict.MET


def test_budgets_that_cannot_be_read_leave_the_present_alone_and_become_unknown() -> None:
    clock, server = FakeClock(), Prometheus(lambda _: 1.0)
    source = SloSource(server, [slo("a", "x[$window]")], clock)
    assert complete(source.read()).slos[0].budget_left == 1.0

    class Slow(Prometheus):
        def query(self, promql: str) -> tuple[Sample, ...]:
            if "30d" in promql:
                raise Unreachable("query timed out")
            return super().query(promql)

    source._port = Slow(lambda _: 1.0)
    clock.advance(301)
    assert complete(source.read()).slos[0].budget_left == 1.0  # still fresh enough to show
    clock.advance(700)
    status = complete(source.read()).slos[0]
    assert (status.verdict, status.budget_left) == (Verdict.MET, None)


def test_an_unreachable_prometheus_is_a_fault_of_the_source() -> None:
    server = Prometheus(lambda _: 1.0)
    server.down = True
    with pytest.raises(Unreachable):
        complete(SloSource(server, [slo("a", "x[$window]")], FakeClock()).read())


def test_no_traffic_is_unknown_not_met() -> None:
    source = SloSource(Prometheus(lambda _: None), [slo("a", "x[$window]")], FakeClock())
    assert verdicts(source) == {"a": Verdict.UNKNOWN}


def test_foreign_labels_in_an_answer_are_not_taken_for_ours() -> None:
    samples = [Sample({"planc": "0"}, 1.0), Sample({"planc": "x"}, 2.0), Sample({}, 3.0), Sample({"planc": "9"}, 4.0)]
    assert split_answer(["q"], samples) == {"q": (samples[0],)}


def test_many_objectives_take_longer_instead_of_more_requests() -> None:
    server = Prometheus(lambda _: 1.0)
    source = SloSource(server, [slo(f"s{n}", f"{'x' * 900}{n}[$window]") for n in range(10)], FakeClock())
    complete(source.read())
    asked = len({query for query in server.sent if "30d" not in query})
    assert asked > 2
    assert source.interval == asked * INTERVAL
