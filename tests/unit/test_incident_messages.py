"""Messages: nothing is left blank, the timeline fills them, and what is due comes first."""

from __future__ import annotations

import pytest

from planc_tui.core.timeline import Draft
from planc_tui.desk.compose import compose
from planc_tui.desk.policy import policy_of
from planc_tui.incident import kinds, lifecycle
from planc_tui.incident.lifecycle import Declaration, Evidence, Refusal, declare, write
from planc_tui.incident.messages import fields, gaps, handed_over, long_span, queue_message, render
from planc_tui.incident.model import DeliveryState, MessageKind
from planc_tui.playbook.loader import default
from planc_tui.playbook.vocabulary import MESSAGE_FIELDS
from tests.unit.incident_kit import ALICE, BOB, MINUTE, START, World, declared, policy


def plan_c(severity: str = "P1") -> World:
    return declared(severity, policy_of(default(), environment="PROD", context="prod-eu"))


def test_every_field_of_the_vocabulary_can_be_filled() -> None:
    world = plan_c()
    people_only = {"impact", "root_cause", "review_date"}
    assert set(MESSAGE_FIELDS) - set(fields(world.incident, world.now)) == people_only


@pytest.mark.parametrize("language", ["en", "fr"])
@pytest.mark.parametrize("kind", list(MessageKind))
def test_a_missing_field_is_named_and_such_a_text_is_not_sent(kind: MessageKind, language: str) -> None:
    world = plan_c()
    if kind is MessageKind.RESOLUTION:
        world.to(30).do(lifecycle.resolve(world.incident, BOB, Evidence(900.0)))
    playbook = default()
    template = {"initial": playbook.messages.initial, "update": playbook.messages.update}
    text = template.get(kind.value, playbook.messages.resolution).of(language)
    rendered = render(text, fields(world.incident, world.now, language))
    assert rendered.missing
    for name in rendered.missing:
        assert f"⟨{name}?⟩" in rendered.text
    assert "{" not in rendered.text
    outcome = queue_message(world.incident, ALICE, kind, {"incidents": rendered.text})
    assert isinstance(outcome, Refusal)
    assert all(name in outcome.reason for name in rendered.missing)


def test_an_edited_text_is_checked_too() -> None:
    assert gaps("all is said") == ()
    assert gaps("a ⟨impact?⟩ b ⟨actions?⟩ c ⟨impact?⟩") == ("impact", "actions")


def test_an_empty_fact_does_not_hide_what_is_derived() -> None:
    world = World()
    form = Declaration("checkout answers 502", "P1", facts={"symptoms": ""})
    world.do(declare("INC-20261124-001", form, policy(), ALICE, world.now))
    assert fields(world.incident, world.now)["symptoms"] == "checkout answers 502"


def test_hostile_text_cannot_become_a_field() -> None:
    assert render("{title}", {"title": "{severity} {{x}}"}).text == "{severity} {{x}}"


def test_update_is_filled_from_the_timeline_since_the_last_message() -> None:
    world = plan_c()
    world.to(2).do(write(world.incident, BOB, world.now, kinds.NOTE, "deploy at 14:02"))
    world.to(6).do(queue_message(world.incident, ALICE, MessageKind.INITIAL, {"incidents": "we look into it"}))
    world.to(9).do(write(world.incident, BOB, world.now, kinds.DECISION, "roll back"))
    result = {"run": "r1", "action": "rollout-undo", "state": "recovered", "progress": "in 41 s"}
    world.to(12).write([Draft(world.incident.id, kinds.ACTION_RESULT, BOB, "Rollout undo app: recovered", result)])
    world.do(write(world.incident, BOB, world.now, kinds.TODO, "raise the pool", owner="carol"))
    found = compose(default(), world.to(20).incident, world.now)
    assert found.kind is MessageKind.UPDATE
    assert found.previous == "we look into it"
    text = found.texts[0].rendered.text
    assert "roll back; Rollout undo app: recovered" in text
    assert "deploy at 14:02" not in text
    assert "raise the pool" in text
    assert found.missing == ()


def test_what_people_wrote_goes_before_live_facts_and_those_before_what_is_derived() -> None:
    world = plan_c()
    live = {"symptoms": "P95 2.4 s", "impact": "measured", "blockers": ""}
    assert fields(world.incident, world.now, "en", live)["symptoms"] == "P95 2.4 s"
    assert fields(world.incident, world.now, "en", live)["blockers"] == "nothing named"
    world.do(lifecycle.set_facts(world.incident, BOB, world.now, {"impact": "4 % of users"}))
    assert fields(world.incident, world.now, "en", live)["impact"] == "4 % of users"


def test_each_channel_gets_its_own_delivery_in_order_and_a_person_hands_over_the_rest() -> None:
    world = plan_c()
    texts = {"incidents": "text", "copy": "text"}
    world.do(queue_message(world.incident, ALICE, MessageKind.INITIAL, texts))
    states = [(d.channel, d.state) for d in world.incident.deliveries]
    assert states == [("incidents", DeliveryState.QUEUED), ("copy", DeliveryState.CALL)]
    world.do(handed_over(world.incident, BOB, world.incident.deliveries[1].id))
    assert world.incident.deliveries[1].state is DeliveryState.SENT
    assert isinstance(handed_over(world.incident, BOB, world.incident.deliveries[0].id), Refusal)


@pytest.mark.parametrize(
    ("kind", "texts", "words"),
    [
        (MessageKind.RESOLUTION, {"incidents": "over"}, "not resolved yet"),
        (MessageKind.INITIAL, {}, "no channel"),
        (MessageKind.INITIAL, {"pigeon": "x"}, "no channel pigeon"),
        (MessageKind.INITIAL, {"incidents": " "}, "empty"),
        (MessageKind.INITIAL, {"incidents": "x" * 10_001}, "too long"),
    ],
)
def test_a_message_that_makes_no_sense_is_refused(kind: MessageKind, texts: dict[str, str], words: str) -> None:
    outcome = queue_message(plan_c().incident, ALICE, kind, texts)
    assert isinstance(outcome, Refusal)
    assert words in outcome.reason


def test_times_are_the_readers_words() -> None:
    world = plan_c()
    found = fields(world.to(61).incident, world.now, "fr")
    assert (found["elapsed"], found["status"], found["next_message"]) == ("1 h 1 min", "en cours", "01:16 UTC")
    assert long_span(START - START + 59 * MINUTE, "fr") == "59 min"
