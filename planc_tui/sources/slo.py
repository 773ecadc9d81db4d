"""Measures the objectives: one request for the present every few seconds, one for the budgets every few minutes.

Invariant: one query that Prometheus refuses makes its own objective UNKNOWN, with Prometheus' words, and no other;
however many objectives there are, the source asks for the present at most 3 times a minute on the average.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from planc_tui.core.clock import Clock
from planc_tui.core.ports import PortError, Rejected
from planc_tui.core.slo import (
    STEP,
    MetricsPort,
    Objective,
    Sample,
    SloReport,
    SloStatus,
    assess,
    bad_query,
    batches,
    combine,
    fast_queries,
    figure_query,
    figures,
    last_good_query,
    meets,
    slow_queries,
    split_answer,
)
from planc_tui.core.steps import Steps
from planc_tui.core.store import Topic
from planc_tui.playbook.model import Slo

SLO: Topic[SloReport] = Topic("slo", stale_after=29.0)
INTERVAL = 20.0
PER_BATCH = 20.0  # seconds that each request for the present adds to the time until the next one
BUDGET_EVERY = 300.0
BUDGET_RETRY = 60.0
BUDGET_KEPT = 900.0  # a budget older than this is unknown
# A refused query is tried again after this long: its series may exist by then.
REFUSED_FOR = 300.0
SINCE_RETRY = 60.0


def objective_of(slo: Slo, language: str) -> Objective:
    """The playbook's entry as the pure core knows it."""
    return Objective(
        id=slo.id,
        name=slo.name.of(language),
        kind=slo.kind,
        target=slo.objective,
        unit=slo.unit,
        query=slo.query,
        bad=slo.bad,
        allowed=slo.allowed,
        current=slo.current,
        short=slo.short,
        long=slo.long,
        period=slo.window,
        fast_burn=slo.fast_burn,
    )


class SloSource:
    """The playbook's objectives, measured by Prometheus."""

    topic = SLO

    def __init__(self, port: MetricsPort, slos: Iterable[Slo], clock: Clock, language: str = "en") -> None:
        self._port = port
        self._clock = clock
        self._objectives = tuple(objective_of(slo, language) for slo in slos)
        self._fast = fast_queries(self._objectives)
        self._slow = slow_queries(self._objectives)
        self._budgets: dict[str, Sequence[Sample]] = {}
        self._budgets_at = 0.0
        self._budgets_due = 0.0
        self._refused: dict[str, tuple[float, str]] = {}
        self._missed: dict[str, tuple[float, float | None]] = {}
        self._batches = 1

    @property
    def interval(self) -> float:
        """Seconds between two reads; grows with the number of requests that the present takes."""
        return max(INTERVAL, PER_BATCH * self._batches)

    def read(self) -> Steps[SloReport]:
        """Every objective now. Raises PortError."""
        now = self._clock.monotonic()
        fast = batches(self._accepted(self._fast))
        self._batches = len(fast)
        answers: dict[str, Sequence[Sample]] = {}
        answers.update((yield from self._ask(fast)))
        answers.update((yield from self._budget_answers(now)))
        answers.update((yield from self._ask_refused(now)))
        statuses = []
        for one in self._objectives:
            status = assess(one, figures(one, answers), self._why(one))
            statuses.append(replace(status, missed_since=(yield from self._missed_since(status, now))))
        return SloReport(tuple(statuses))

    def _missed_since(self, status: SloStatus, now: float) -> Steps[float | None]:
        """Since when an objective has been missed: one question per miss, however long it lasts."""
        one = status.objective
        if status.value is None or meets(one, status.value):
            self._missed.pop(one.id, None)
            return None
        asked, since = self._missed.get(one.id, (-SINCE_RETRY, None))
        if since is None and now - asked >= SINCE_RETRY:
            self._missed[one.id] = (now, None)
            yield
            try:
                found = [sample.value for sample in self._port.query(last_good_query(one))]
            except PortError:
                return None
            since = max(found) + STEP if found else None
            self._missed[one.id] = (now, since)
        return since

    def close(self) -> None:
        """Drop the connection to Prometheus."""
        self._port.close()

    def _budget_answers(self, now: float) -> Steps[dict[str, Sequence[Sample]]]:
        """Answers about the budgets, at most `BUDGET_KEPT` old. A Prometheus that cannot read weeks of samples in
        time still says what is happening now."""
        if now >= self._budgets_due:
            try:
                self._budgets = dict((yield from self._ask(batches(self._accepted(self._slow)))))
                self._budgets_at = now
                self._budgets_due = now + BUDGET_EVERY
            except PortError:
                self._budgets_due = now + BUDGET_RETRY
        return self._budgets if now - self._budgets_at < BUDGET_KEPT else {}

    def _accepted(self, queries: Iterable[str]) -> Iterable[str]:
        return (query for query in queries if query not in self._refused)

    def _ask_refused(self, now: float) -> Steps[dict[str, tuple[Sample, ...]]]:
        """Try what was refused long ago, each alone, so that it spoils no batch again."""
        due = [query for query, (since, _) in self._refused.items() if now - since >= REFUSED_FOR]
        return (yield from self._one_by_one(due))

    def _ask(self, groups: Iterable[Sequence[str]]) -> Steps[dict[str, tuple[Sample, ...]]]:
        """Answers by query; a refused one has none. Sends one request per group as long as nothing is refused."""
        answers: dict[str, tuple[Sample, ...]] = {}
        for batch in groups:
            yield
            try:
                answers.update(split_answer(batch, self._port.query(combine(batch))))
            except Rejected:
                answers.update((yield from self._one_by_one(batch)))
        return answers

    def _one_by_one(self, batch: Sequence[str]) -> Steps[dict[str, tuple[Sample, ...]]]:
        """Ask each query alone; those that are refused are left out for a while."""
        answers: dict[str, tuple[Sample, ...]] = {}
        for query in batch:
            yield
            try:
                answers[query] = self._port.query(query)
                self._refused.pop(query, None)
            except Rejected as error:
                self._refused[query] = (self._clock.monotonic(), error.message)
        return answers

    def _why(self, objective: Objective) -> str:
        """Prometheus' words about a refused query of the objective, empty when it refused none."""
        asked = (
            figure_query(objective),
            bad_query(objective, objective.short),
            bad_query(objective, objective.long),
            bad_query(objective, objective.period),
        )
        return next((self._refused[query][1] for query in asked if query and query in self._refused), "")
