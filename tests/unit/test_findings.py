"""Findings appear after their time, stay through gaps, and never flap."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.core.findings import (
    Facts,
    Finding,
    FindingsState,
    Known,
    every,
    fill,
    is_bad,
    is_good,
    show,
    some,
    step,
)
from planc_tui.core.rules import Condition, Rule
from planc_tui.core.table import Target

EPOCH = 1_795_478_400.0
DEEP = Condition(fact="queue_depth", above=1000, clear=800)
SLOW = Condition(fact="latency_p95", above=2)


def rule(*conditions: Condition, together: bool = False, **more: float) -> Rule:
    """A rule named `r` over `conditions`."""
    return Rule(
        id="r",
        text="queue {value} > {threshold}",
        severity="P1",
        procedure="high-latency",
        all=conditions if together else (),
        any=() if together else conditions,
        for_=more.get("wait", 60.0),
        hold=more.get("hold", 30.0),
        show="queues",
    )


def depth(value: float | None) -> Facts:
    """Facts in which only the queue depth is known, if that."""
    return {} if value is None else {"queue_depth": Known(value, "tasks", Target("Queue", "tasks"))}


@dataclass
class Run:
    """Feeds facts to one rule second by second."""

    rule: Rule
    state: FindingsState
    at: float = 0.0

    def seconds(self, count: int, facts: Facts) -> tuple[Finding, ...]:
        """The findings after `count` seconds of the same facts."""
        for _ in range(count):
            self.at += 1
            self.state = step(self.state, [self.rule], facts, EPOCH + self.at, self.at)
        return self.state.findings


def start(one: Rule) -> Run:
    """A run that knows nothing yet."""
    return Run(one, FindingsState())


def test_raised_after_its_time_and_cleared_after_the_hold() -> None:
    run = start(rule(DEEP))
    assert run.seconds(60, depth(1840)) == ()
    (finding,) = run.seconds(1, depth(1840))
    assert finding.text == "queue 1,840 > 1,000"
    assert finding.since == EPOCH + 1
    assert finding.procedure == "high-latency"
    assert finding.pane == "queues"
    assert finding.target == Target("Queue", "tasks")
    assert len(run.seconds(300, depth(900))) == 1, "between clear and threshold it stays"
    assert len(run.seconds(30, depth(800))) == 1, "the hold is not over"
    assert run.seconds(1, depth(800)) == ()


def test_unknown_never_raises_never_clears_and_says_so() -> None:
    run = start(rule(DEEP))
    run.seconds(59, depth(1840))
    assert run.seconds(600, depth(None)) == ()
    assert run.seconds(60, depth(1840)) == (), "the wait starts anew after a gap"
    assert len(run.seconds(1, depth(1840))) == 1
    (finding,) = run.seconds(3600, depth(None))
    assert not finding.confirmed
    assert finding.text == "queue 1,840 > 1,000"
    (finding,) = run.seconds(1, depth(1200))
    assert finding.confirmed
    assert finding.text == "queue 1,200 > 1,000"
    run.seconds(20, depth(10))
    run.seconds(1, depth(None))
    assert len(run.seconds(30, depth(10))) == 1, "a gap restarts the hold"
    assert run.seconds(1, depth(10)) == ()


def test_all_needs_every_condition_and_any_needs_one() -> None:
    both = {**depth(2000), "latency_p95": Known(0.1)}
    assert start(rule(DEEP, SLOW, together=True, wait=0)).seconds(5, both) == ()
    assert len(start(rule(DEEP, SLOW, wait=0)).seconds(5, both)) == 1
    assert start(rule(DEEP, SLOW, together=True, wait=0)).seconds(5, depth(2000)) == ()
    assert len(start(rule(DEEP, SLOW, wait=0)).seconds(5, depth(2000))) == 1


def test_worst_condition_names_the_finding() -> None:
    run = start(rule(DEEP, SLOW, wait=0))
    (finding,) = run.seconds(1, {**depth(1100), "latency_p95": Known(9.0, "app")})
    assert finding.text == "queue 9 s > 2 s"
    assert dict(finding.facts) == {"queue_depth": 1100, "latency_p95": 9.0}


def test_of_all_conditions_the_first_is_what_the_rule_speaks_of() -> None:
    soon, fast = Condition(fact="memory_minutes_left", below=30), Condition(fact="memory_slope", above=5)
    facts = {"memory_minutes_left": Known(20.0, "app-1"), "memory_slope": Known(60.0, "app-1")}
    leak = msgspec.structs.replace(
        rule(soon, fast, together=True, wait=0), text="memory of {object} is full in {value}"
    )
    (finding,) = start(leak).seconds(1, facts)
    assert finding.text == f"memory of app-1 is full in {show('memory_minutes_left', 20.0)}"


def test_worst_severity_first_then_oldest() -> None:
    rules = [
        Rule(id=name, text=name, severity=severity, any=(DEEP,), for_=wait, hold=0)
        for name, severity, wait in (("b", "P2", 0), ("a", "P1", 5), ("c", "P0", 9), ("d", "P1", 0))
    ]
    state = FindingsState()
    for second in range(20):
        state = step(state, rules, depth(5000), EPOCH + second, float(second))
    assert [finding.id for finding in state.findings] == ["c", "a", "d", "b"]
    assert step(state, rules[:1], depth(5000), EPOCH, 30.0).findings[0].id == "b", "a rule that went is gone"


@given(st.lists(st.one_of(st.none(), st.floats(0, 3000)), max_size=200), st.integers(0, 20), st.integers(0, 20))
def test_never_flaps(values: list[float | None], wait: int, hold: int) -> None:
    """It is raised only after `wait` bad seconds in a row and cleared only after `hold` good ones in a row."""
    run = start(rule(DEEP, wait=wait, hold=hold))
    shown = False
    for index, value in enumerate(values):
        now_shown = bool(run.seconds(1, depth(value)))
        if now_shown and not shown:
            recent = values[max(0, index - wait) : index + 1]
            assert len(recent) == wait + 1
            assert all(seen is not None and seen > 1000 for seen in recent)
        if shown and not now_shown:
            recent = values[max(0, index - hold) : index + 1]
            assert len(recent) == hold + 1
            assert all(seen is not None and seen <= 800 for seen in recent)
        shown = now_shown


@given(st.lists(st.sampled_from([True, False, None]), max_size=6))
def test_three_valued_logic_is_monotone(answers: list[bool | None]) -> None:
    """What is decided with unknowns stays so whatever they turn out to be."""
    for filler in (True, False):
        filled = [filler if answer is None else answer for answer in answers]
        for combine, plain in ((every, all(filled)), (some, any(filled))):
            decided = combine(answers)
            assert decided is None or decided is plain


@pytest.mark.parametrize(
    ("condition", "value", "bad", "good"),
    [
        (Condition(fact="app_ready", below=1, clear=3), 0, True, False),
        (Condition(fact="app_ready", below=1, clear=3), 2, False, False),
        (Condition(fact="app_ready", below=1, clear=3), 3, False, True),
        (Condition(fact="app_down", equals=True), 1, True, False),
        (Condition(fact="app_down", equals=True), 0, False, True),
        (Condition(fact="app_down", equals=False), 0, True, False),
    ],
)
def test_conditions(condition: Condition, value: float, bad: bool, good: bool) -> None:
    facts = {condition.fact: Known(value)}
    assert is_bad(condition, facts) is bad
    assert is_good(condition, facts) is good
    assert is_bad(condition, {}) is None
    assert is_good(condition, {}) is None


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("latency_p95", 0.0946, "95 ms"),
        ("database_longest_transaction", 7300, "2.0 h"),
        ("memory_slope", 21.4, "21 MiB/min"),
        ("log_errors_per_minute", 214, "214/min"),
        ("app_down", 1, "yes"),
        ("availability_percent", 99.987, "99.99%"),
    ],
)
def test_values_for_people(name: str, value: float, text: str) -> None:
    assert show(name, value) == text


def test_a_subject_cannot_smuggle_placeholders() -> None:
    assert fill("{object}", SLOW, Known(3, "{value}")) == "{value}"
