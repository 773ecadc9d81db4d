"""What the states allow, and a state machine over everything people and the clock can do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from planc_tui.core.timeline import Draft
from planc_tui.incident import kinds
from planc_tui.incident.checklist import points
from planc_tui.incident.escalation import snoozed, tick
from planc_tui.incident.fold import UnknownIncident, fold
from planc_tui.incident.lifecycle import (
    Declaration,
    Evidence,
    Outcome,
    Refusal,
    acknowledge,
    assume_role,
    cancel,
    change_severity,
    close,
    confirm,
    correct,
    declare,
    escalate,
    finish_todo,
    mitigate,
    reopen,
    resolve,
    review,
    set_facts,
    snooze,
    tick_point,
    unacknowledge,
    write,
)
from planc_tui.incident.model import DeliveryState, Incident, Role, State
from tests.unit.incident_kit import ALICE, BOB, MINUTE, START, World, declared, policy

GOOD = Evidence(good_for=600.0)

# Everything that changes the state, as tried in every state.
COMMANDS: dict[str, Callable[[Incident], Outcome]] = {
    "confirm": lambda i: confirm(i, BOB),
    "ack": lambda i: acknowledge(i, BOB),
    "unack": lambda i: unacknowledge(i, BOB),
    "snooze": lambda i: snooze(i, BOB, i.at, 60, "why"),
    "escalate": lambda i: escalate(i, BOB, i.at, "why"),
    "mitigate": lambda i: mitigate(i, BOB),
    "resolve": lambda i: resolve(i, BOB, GOOD),
    "reopen": lambda i: reopen(i, BOB, i.at),
    "review": lambda i: review(i, BOB),
    "cancel": lambda i: cancel(i, BOB, "false alarm"),
    "severity": lambda i: change_severity(i, BOB, "P3"),
    "note": lambda i: write(i, BOB, i.at, kinds.NOTE, "n"),
}
ALLOWED = {
    State.SUSPECTED: {"confirm", "ack", "cancel", "severity", "note"},
    State.OPEN: {"ack", "snooze", "escalate", "mitigate", "resolve", "cancel", "severity", "note"},
    State.ACKNOWLEDGED: {"ack", "unack", "snooze", "escalate", "mitigate", "resolve", "cancel", "severity", "note"},
    State.MITIGATED: {"escalate", "resolve", "reopen", "severity", "note"},
    State.RESOLVED: {"reopen", "review", "severity", "note"},
    State.REVIEW: {"reopen", "severity", "note"},
    State.CLOSED: set(),
    State.CANCELLED: set(),
}


def in_state(state: State) -> World:
    world = declared(suspected=state is State.SUSPECTED)
    if state is State.ACKNOWLEDGED:
        world.do(acknowledge(world.incident, ALICE))
    if state is State.MITIGATED:
        world.do(mitigate(world.incident, ALICE))
    if state in (State.RESOLVED, State.REVIEW, State.CLOSED):
        world.do(resolve(world.incident, ALICE, GOOD))
    if state is State.REVIEW:
        world.do(review(world.incident, ALICE))
    if state is State.CANCELLED:
        world.do(cancel(world.incident, ALICE, "a test"))
    if state is State.CLOSED:
        world.write([Draft(world.incident.id, kinds.CLOSED, ALICE)])
    assert world.incident.state is state
    return world


@pytest.mark.parametrize("state", list(State))
def test_each_state_allows_exactly_its_commands_and_says_why_not(state: State) -> None:
    incident = in_state(state).incident
    outcomes = {name: command(incident) for name, command in COMMANDS.items()}
    assert {name for name, outcome in outcomes.items() if not isinstance(outcome, Refusal)} == ALLOWED[state]
    for outcome in outcomes.values():
        if isinstance(outcome, Refusal):
            assert incident.id in outcome.reason
            assert incident.state.value in outcome.reason


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (Declaration("  ", "P0"), "needs one line"),
        (Declaration("x" * 201, "P0"), "too long"),
        (Declaration("down", "P9"), "not a severity"),
        (Declaration("down", "P0", impact_start=START + 1), "impact start is in the future"),
        (Declaration("down", "P0", detected_at=START + 1), "detection is in the future"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(form: Declaration, words: str) -> None:
    outcome = declare("INC-1", form, policy(), ALICE, START)
    assert isinstance(outcome, Refusal)
    assert words in outcome.reason


@pytest.mark.parametrize(
    ("evidence", "words"),
    [(None, "not known"), (Evidence(None), "not known"), (Evidence(299.0), "299 s, 300 s are needed")],
)
def test_resolving_needs_proof_or_a_written_reason(evidence: Evidence | None, words: str) -> None:
    world = declared()
    outcome = resolve(world.incident, BOB, evidence)
    assert isinstance(outcome, Refusal)
    assert words in outcome.reason
    world.do(resolve(world.incident, BOB, evidence, "the vendor confirmed it"))
    proof = world.incident.proof
    assert proof is not None
    assert (proof.verdict != "RECOVERED", proof.override) == (True, "the vendor confirmed it")


def test_closing_needs_the_checklist_whose_points_tick_themselves() -> None:
    world = declared()
    world.do(resolve(world.incident, BOB, GOOD))
    outcome = close(world.incident, BOB)
    assert isinstance(outcome, Refusal)
    assert "2 points" in outcome.reason
    assert [point.done for point in points(world.incident)] == [True, False, False]
    delivery = {"id": "m1/slack", "kind": "resolution", "channel": "slack", "channel_kind": "slack"}
    data = {"message": "m1", "kind": "resolution", "text": "over", "deliveries": [delivery]}
    world.write([Draft(world.incident.id, kinds.MESSAGE_QUEUED, BOB, data=data)])
    assert [point.done for point in points(world.incident)] == [True, False, False]
    world.write([Draft(world.incident.id, kinds.DELIVERY_SENT, BOB, data={"delivery": "m1/slack"})])
    world.do(tick_point(world.incident, ALICE, "docs"))
    assert [point.by for point in points(world.incident)] == ["signals are good", "slack", "alice"]
    world.do(close(world.incident, BOB))
    assert world.incident.state is State.CLOSED


def test_reopening_is_for_the_same_day() -> None:
    world = declared()
    world.do(resolve(world.incident, BOB, GOOD))
    world.now += 24 * 3600 + 1
    outcome = reopen(world.incident, BOB, world.now)
    assert isinstance(outcome, Refusal)
    assert "new incident" in outcome.hint


def test_time_in_each_severity_is_kept() -> None:
    world = declared("P2")
    world.to(10).do(change_severity(world.incident, BOB, "P0", "all requests fail"))
    world.to(25).do(change_severity(world.incident, BOB, "P1"))
    spans = [(span.name, span.seconds(START + 30 * MINUTE) / MINUTE) for span in world.incident.severities]
    assert spans == [("P2", 10), ("P0", 15), ("P1", 5)]
    assert world.incident.worst == "P0"


def test_entries_are_corrected_by_new_ones_and_can_be_dated_back() -> None:
    world = declared()
    world.to(10).do(write(world.incident, BOB, world.now, kinds.NOTE, "deploi at 9", at=START - 60))
    seq = world.incident.seq
    world.to(11).do(correct(world.incident, ALICE, seq, "deploy at 9"))
    old, new = world.incident.entries[-2:]
    assert (old.event.data["text"], old.replaced_by) == ("deploi at 9", new.event.seq)
    assert (new.event.occurred_at, new.event.recorded_at) == (START - 60, START + 11 * MINUTE)
    assert isinstance(correct(world.incident, BOB, seq, "again"), Refusal)
    assert isinstance(correct(world.incident, BOB, 1, "the declaration"), Refusal)
    assert isinstance(write(world.incident, BOB, world.now, kinds.NOTE, "x", at=world.now + 1), Refusal)


def test_roles_todos_and_facts() -> None:
    world = declared()
    assert world.incident.roles["commander"] == "alice"
    world.do(assume_role(world.incident, ALICE, Role.COMMANDER, "bob"))
    assert world.incident.roles["commander"] == "bob"
    assert isinstance(assume_role(world.incident, BOB, Role.COMMANDER), Refusal)
    world.do(write(world.incident, BOB, world.now, kinds.TODO, "raise the limit", owner="carol", due="2026-12-01"))
    todo = world.incident.todos[0]
    assert (todo.owner, todo.due, todo.done) == ("carol", "2026-12-01", False)
    world.do(finish_todo(world.incident, BOB, todo.id))
    assert world.incident.todos[0].done
    world.do(set_facts(world.incident, BOB, world.now, {"root_cause": "pool too small"}, START - 120))
    assert (world.incident.facts, world.incident.impact_start) == ({"root_cause": "pool too small"}, START - 120)


def test_journal_of_a_newer_planc_still_folds() -> None:
    world = declared()
    world.write([Draft(world.incident.id, "hologram.projected", BOB, "something new", {"deep": {"er": [1]}})])
    assert world.incident.state is State.OPEN
    assert world.incident.entries[-1].event.summary == "something new"


def test_an_incident_without_its_declaration_is_named() -> None:
    world = declared()
    world.do(acknowledge(world.incident, BOB))
    with pytest.raises(UnknownIncident, match="declaration is missing"):
        fold(world.events[1:])
    with pytest.raises(UnknownIncident):
        fold([])


class Life(RuleBasedStateMachine):
    """People, the clock and a keeper that may sleep, in any order."""

    @initialize(severity=st.sampled_from(["P0", "P1", "P2"]), suspected=st.booleans())
    def begin(self, severity: str, suspected: bool) -> None:
        self.world = declared(severity, suspected=suspected)
        self.times: list[float] = []

    @rule(name=st.sampled_from(sorted(COMMANDS)))
    def command(self, name: str) -> None:
        before = self.world.incident
        outcome = COMMANDS[name](before)
        if isinstance(outcome, Refusal):
            assert name not in ALLOWED[before.state] or name in ("severity", "escalate", "reopen")
        else:
            assert name in ALLOWED[before.state]
            self.world.write(outcome)

    @rule(seconds=st.sampled_from([0.0, 1.0, 59.0, 300.0, 600.0, 899.0, 900.0, 5000.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.now += seconds

    @rule()
    def keep(self) -> None:
        self.world.tick()
        assert tick(self.world.incident, self.world.now) == (), "a second look at the same time writes nothing"

    @precondition(lambda self: any(d.state is DeliveryState.QUEUED for d in self.world.incident.deliveries))
    @rule(ok=st.booleans())
    def deliver(self, ok: bool) -> None:
        waiting = next(d for d in self.world.incident.deliveries if d.state is DeliveryState.QUEUED)
        kind = kinds.DELIVERY_SENT if ok else kinds.DELIVERY_FAILED
        self.world.write([Draft(self.world.incident.id, kind, BOB, data={"delivery": waiting.id})])

    @invariant()
    def fold_is_the_state(self) -> None:
        assert fold(self.world.events) == self.world.incident

    @invariant()
    def times_never_run_backwards(self) -> None:
        incident = self.world.incident
        assert incident.at <= self.world.now
        for spans in (incident.states, incident.severities):
            ends = [span.start for span in spans] + [span.end for span in spans if span.end is not None]
            assert all(end >= incident.states[0].start for end in ends)
            assert all(a.end == b.start for a, b in pairwise(spans))
            assert spans[-1].end is None

    @invariant()
    def one_page_per_level_and_generation(self) -> None:
        pages = self.world.incident.pages
        counts = Counter((page.generation, page.level) for page in pages if not page.manual)
        assert all(count == 1 for count in counts.values())
        assert len({page.id for page in pages}) == len(pages)

    @invariant()
    def only_an_open_incident_pages(self) -> None:
        incident = self.world.incident
        drafts = tick(incident, self.world.now)
        if incident.state not in (State.OPEN, State.ACKNOWLEDGED) or snoozed(incident, self.world.now):
            assert not [draft for draft in drafts if draft.type == kinds.PAGE_DUE]
        if incident.state in (State.MITIGATED, State.RESOLVED, State.CANCELLED):
            waiting = [d for d in incident.deliveries if d.page and d.state is DeliveryState.QUEUED and not d.manual]
            assert waiting == []


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
