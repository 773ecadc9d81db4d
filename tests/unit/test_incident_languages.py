"""The screen is in English, what goes out is in the language of its reader."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from planc_tui.desk.compose import compose
from planc_tui.desk.parcels import parcel_for
from planc_tui.desk.policy import policy_of
from planc_tui.incident import kinds, lifecycle
from planc_tui.incident.checklist import points
from planc_tui.incident.clockview import clock_view
from planc_tui.incident.lifecycle import Declaration, Refusal, declare
from planc_tui.incident.messages import fields, queue_message
from planc_tui.incident.model import Policy, State
from planc_tui.incident.postmortem import to_markdown
from planc_tui.incident.words import named
from planc_tui.playbook.loader import default
from planc_tui.playbook.model import Playbook
from tests.unit.incident_kit import ALICE, START, World

PLAN_C = default()


def opened(playbook: Playbook = PLAN_C) -> World:
    world = World()
    form = Declaration("checkout answers 502", "P1")
    return world.do(declare("INC-20261124-001", form, policy_of(playbook), ALICE, world.now))


def with_channel(language: str) -> Playbook:
    changed = [msgspec.structs.replace(c, language=language) if c.id == "incidents" else c for c in PLAN_C.channels]
    return msgspec.structs.replace(PLAN_C, channels=tuple(changed))


def test_plan_c_is_french_and_its_clock_is_english() -> None:
    assert PLAN_C.language == "fr"
    world = opened()
    world.run_until(11.8, step=60)
    assert clock_view(world.incident, world.now).sentence == (
        "nobody has acknowledged: L2 senior developer by PagerDuty in 03:12"
    )
    world.run_until(30, step=60)
    view = clock_view(world.incident, world.now)
    assert (view.who, view.channel, view.next_who, view.next_channel) == ("tech lead", "phone", "CTO", "emergency line")
    assert [call.who for call in view.calls] == ["tech lead"]
    shown = [point.text for point in points(world.incident)]
    assert "the root cause is known" in shown


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (None, "on a besoin de vous, développeur d'astreinte (premier diagnostic)"),
        ("en", "on-call developer is needed (first diagnosis)"),
    ],
)
def test_a_page_speaks_the_language_of_its_channel(language: str | None, words: str) -> None:
    world = opened(PLAN_C if language is None else with_channel(language))
    world.tick()
    parcel = parcel_for(world.incident, world.incident.deliveries[0], world.now + 300)
    assert words in parcel.text
    assert parcel.language == (language or "fr")
    assert dict(parcel.facts)["Status" if language else "État"] == ("open, L1" if language else "ouvert, L1")


def test_fields_and_post_mortem_follow_the_language_that_is_asked_for() -> None:
    incident = opened().incident
    assert fields(incident, START, "fr")["level"] == "L1 développeur d'astreinte"
    assert fields(incident, START, "en")["level"] == "L1 on-call developer"
    assert "la cause première est connue" in to_markdown(incident, START, "fr")
    assert "the root cause is known" in to_markdown(incident, START, "en")
    assert "État : ouvert" in to_markdown(incident, START)


def test_a_message_to_a_channel_of_another_language_is_late_in_that_language() -> None:
    playbook = with_channel("en")
    world = opened(playbook)
    live = {"impact": "4 % of requests", "actions": "rolling back"}
    composed = compose(playbook, world.incident, world.now, live=live)
    assert composed.texts[0].language == "en"
    texts = {text.channel: text.rendered.text for text in composed.texts}
    world.do(queue_message(world.incident, ALICE, composed.kind, texts))
    parcel = parcel_for(world.incident, world.incident.deliveries[-1], world.now + 300)
    assert parcel.text.startswith("[late by 5 min] [P1]")


@pytest.mark.parametrize("language", ["en", "fr"])
def test_what_people_told_stands_in_the_next_message_until_they_say_otherwise(language: str) -> None:
    playbook = with_channel(language)
    world = opened(playbook)

    def say(old: str, new: str) -> str:
        composed = compose(playbook, world.incident, world.now)
        [text] = composed.texts
        written = text.rendered.text.replace(old, new)
        for gap in text.rendered.missing:
            written = written.replace(f"⟨{gap}?⟩", f"{gap} by hand")
        world.do(queue_message(world.incident, ALICE, composed.kind, {"incidents": written}))
        world.now += 60
        return written

    unknown = {"en": "not known yet", "fr": "pas encore connue"}[language]
    assert "15:00" in say(unknown, "15:00")
    [update] = compose(playbook, world.incident, world.now).texts
    assert update.rendered.text.count("15:00") == 1
    assert update.rendered.missing == ("progress", "next_steps")
    assert say("15:00", "16:30").count("16:30") == 1
    [second] = compose(playbook, world.incident, world.now).texts
    assert "16:30" in second.rendered.text
    assert "next_steps by hand" in second.rendered.text
    assert second.rendered.missing == ("progress",)
    world.do(lifecycle.set_facts(world.incident, ALICE, world.now, {"expected_end": "17:00"}))
    [third] = compose(playbook, world.incident, world.now).texts
    assert "17:00" in third.rendered.text
    # What is known better goes before what was said: the open to-dos are the next steps.
    world.do(lifecycle.write(world.incident, ALICE, world.now, kinds.TODO, "raise the pool"))
    [fourth] = compose(playbook, world.incident, world.now).texts
    assert "raise the pool" in fourth.rendered.text


def test_a_ladder_of_an_old_journal_keeps_its_names() -> None:
    world = opened()
    data = msgspec.to_builtins(world.incident.policy)
    for rule in data["severities"]:
        rule.pop("name_fr")
        for rung in rule["ladder"]:
            rung["who"] = rung.pop("who_fr")
            rung.pop("does_fr")
    for check in data["checklist"]:
        check["text"] = check.pop("text_fr")
    for channel in data["channels"]:
        channel.pop("language")
    old = replace(world.incident, policy=msgspec.convert(data, Policy))
    assert clock_view(old, world.now).who == "développeur d'astreinte"
    assert not isinstance(lifecycle.escalate(old, ALICE, world.now, "now"), Refusal)
    assert "la cause première est connue" in to_markdown(old, world.now, "en")


def test_every_state_has_its_french_word() -> None:
    assert all(named(state.value, "fr") != state.value for state in State)
