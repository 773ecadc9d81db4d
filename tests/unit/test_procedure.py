"""How far somebody is in a procedure, from the journal alone."""

from __future__ import annotations

import pytest

from planc_tui.core.timeline import Actor, Event
from planc_tui.incident import kinds
from planc_tui.incident.procedure import BEGUN, ENDED, FORGOTTEN_AFTER, STEP, Attempt, StepState, attempts, current

HERE = {"context": "prod-eu", "namespace": "shop"}
NODE = {"kind": "Node", "name": "node-1", "namespace": "", "uid": "u1", "context": "prod-eu"}


def event(kind: str, at: float, **data: object) -> Event:
    return Event(int(at), "", kind, at, at, Actor("ana"), "", dict(data))


def begun(at: float = 1.0, attempt: str = "a1", **place: str) -> Event:
    return event(BEGUN, at, attempt=attempt, procedure="restart", **{**HERE, **place})


def step(at: float, index: object, state: str, run: str = "", attempt: str = "a1", **more: object) -> Event:
    return event(STEP, at, attempt=attempt, procedure="restart", step=index, state=state, run=run, **HERE, **more)


def result(at: float, run: str, state: str) -> Event:
    return event(kinds.ACTION_RESULT, at, run=run, state=state)


def attempt_of(*events: Event) -> Attempt:
    return attempts(events, "prod-eu", "shop")["restart"]


def test_the_first_open_step_is_next() -> None:
    found = attempt_of(begun(), step(2, 0, "done"), step(3, 1, "skipped"), step(4, 2, "started", "r"))
    assert found.next_step == 2
    assert found.record(2).run == "r"
    assert found.record(3).state is StepState.OPEN


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([], StepState.STARTED),
        (["recovered"], StepState.DONE),
        (["failed"], StepState.FAILED),
        (["unknown"], StepState.FAILED),
        (["unknown", "recovered"], StepState.DONE),
    ],
)
def test_a_step_takes_the_outcome_that_its_action_wrote(outcomes: list[str], expected: StepState) -> None:
    results = [result(3 + n, "r", state) for n, state in enumerate(outcomes)]
    found = attempt_of(begun(), step(2, 0, "started", "r"), *results, result(9, "another", "recovered"))
    assert found.record(0).state is expected


def test_a_result_says_nothing_about_steps_that_ran_nothing() -> None:
    found = attempt_of(begun(), step(2, 0, "started"), result(3, "", "recovered"))
    assert found.record(0).state is StepState.STARTED


def test_the_chosen_object_stays_until_a_step_chooses_anew() -> None:
    later = {**NODE, "name": "node-2"}
    found = attempt_of(begun(), step(2, 0, "done", "r", selected=NODE), step(3, 1, "done", selected={}))
    assert found.selected == NODE
    assert attempt_of(begun(), step(2, 0, "done", selected=NODE), step(3, 0, "done", selected=later)).selected == later


@pytest.mark.parametrize("place", [{"context": "staging"}, {"namespace": "other"}])
def test_another_place_has_its_own_attempts(place: dict[str, str]) -> None:
    assert attempts([begun(1.0, "a1", **place)], "prod-eu", "shop") == {}


def test_a_new_attempt_forgets_the_old_one_and_late_entries_of_it() -> None:
    found = attempt_of(begun(), step(2, 0, "done"), begun(3, "a2"), step(4, 1, "done"))
    assert found.id == "a2"
    assert found.steps == {}


@pytest.mark.parametrize("broken", [step(2, "x", "done"), step(2, None, "done"), step(2, 0, "thought about")])
def test_an_entry_that_makes_no_sense_changes_nothing(broken: Event) -> None:
    assert attempt_of(begun(), broken).steps == {}


@pytest.mark.parametrize(("now", "known"), [(1 + FORGOTTEN_AFTER, True), (1.1 + FORGOTTEN_AFTER, False)])
def test_an_attempt_is_gone_on_with_for_half_a_day(now: float, known: bool) -> None:
    found = attempts([begun()], "prod-eu", "shop")
    assert (current(found, "restart", now) is not None) is known


def test_an_ended_attempt_is_not_gone_on_with() -> None:
    found = attempts([begun(), event(ENDED, 2, attempt="a1", procedure="restart", **HERE)], "prod-eu", "shop")
    assert current(found, "restart", 3) is None
