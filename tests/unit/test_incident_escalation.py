"""The escalation clock: boundary vectors, held acknowledgements, snoozes, gaps, severities."""

from __future__ import annotations

import pytest

from planc_tui.core.timeline import Draft
from planc_tui.incident import kinds
from planc_tui.incident.clockview import clock_view, span
from planc_tui.incident.escalation import due_pages, level_at, message_due, message_kind_due
from planc_tui.incident.lifecycle import (
    Evidence,
    Refusal,
    acknowledge,
    change_severity,
    escalate,
    mitigate,
    page_contact,
    reached,
    reopen,
    resolve,
    snooze,
    unacknowledge,
    write,
)
from planc_tui.incident.model import DeliveryState, MessageKind, Rung, State
from tests.unit.incident_kit import ALICE, BOB, LADDER, MINUTE, START, declared, policy

GOOD = Evidence(good_for=600.0, signals=("P95 80 ms",))


@pytest.mark.parametrize(
    ("elapsed", "level"),
    [
        (0, "L1"),
        (14 * 60 + 59, "L1"),
        (14 * 60 + 59.999, "L1"),
        (15 * 60, "L2"),
        (29 * 60 + 59, "L2"),
        (30 * 60, "L3"),
        (59 * 60 + 59, "L3"),
        (60 * 60, "L4"),
        (600 * 60, "L4"),
    ],
)
def test_lower_bound_of_a_level_is_inclusive(elapsed: float, level: str) -> None:
    rung = level_at(LADDER, elapsed)
    assert rung is not None
    assert rung.id == level


def test_before_the_first_level_there_is_none() -> None:
    assert level_at(LADDER, -1.0) is None


def test_unacknowledged_incident_pages_each_level_once_on_the_second() -> None:
    world = declared()
    world.run_until(90)
    assert world.pages() == [("L1", 0), ("L2", 15), ("L3", 30), ("L4", 60)]


def test_page_is_due_at_fifteen_minutes_and_not_a_second_before() -> None:
    world = declared()
    world.tick()
    world.now = START + 15 * MINUTE - 1
    assert due_pages(world.incident, world.now).now == ()
    world.now += 1
    assert [rung.id for rung in due_pages(world.incident, world.now).now] == ["L2"]


def test_ack_at_1450_stops_the_page_at_1500_and_lapses_at_1950() -> None:
    world = declared("P0")
    world.run_until(14 + 50 / 60)
    world.do(acknowledge(world.incident, BOB))
    world.run_until(19 + 49 / 60)
    assert world.pages() == [("L1", 0)]
    world.run_until(19 + 50 / 60)
    assert world.pages() == [("L1", 0), ("L2", round(19 + 50 / 60, 3))]
    assert world.incident.state is State.OPEN


def test_activity_of_a_person_renews_the_acknowledgement_and_the_clock_goes_on() -> None:
    world = declared("P0")
    world.run_until(2)
    world.do(acknowledge(world.incident, BOB))
    for minute in range(6, 60, 4):
        world.run_until(minute)
        world.do(write(world.incident, BOB, world.now, kinds.NOTE, "still looking"))
    assert world.pages() == [("L1", 0)]
    assert clock_view(world.incident, world.now).elapsed == world.now - START


def test_lapse_pages_the_present_level_again_even_if_it_was_paged_before() -> None:
    world = declared("P0")
    world.run_until(16)
    world.do(acknowledge(world.incident, BOB))
    world.run_until(29)
    assert world.pages() == [("L1", 0), ("L2", 15), ("L2", 21)]


def test_gap_pages_the_present_level_alone_and_names_the_missed() -> None:
    world = declared()
    world.run_until(14)
    world.to(40).tick()
    assert world.pages() == [("L1", 0), ("L3", 40)]
    assert world.incident.caught_up == ("L2",)
    world.run_until(59)
    assert len(world.pages()) == 2


def test_gap_over_a_lapse_counts_from_the_lapse() -> None:
    world = declared("P0")
    world.run_until(1)
    world.do(acknowledge(world.incident, BOB))
    world.to(40).tick()
    assert world.pages()[1:] == [("L3", 40)]
    lapse = next(event for event in world.events if event.type == kinds.ACK_EXPIRED)
    assert lapse.occurred_at == START + 6 * MINUTE


def test_giving_back_pages_the_present_level_after_ten_seconds() -> None:
    world = declared()
    world.run_until(20)
    world.do(acknowledge(world.incident, BOB))
    world.do(unacknowledge(world.incident, BOB, "wrong person"))
    world.now += 9
    assert world.tick() == ()
    world.now += 1
    world.tick()
    assert world.pages()[-1] == ("L2", round(20 + 10 / 60, 3))
    assert [level for level, _ in world.pages()].count("L1") == 1


def test_snooze_needs_a_reason_and_wakes_at_the_present_level() -> None:
    world = declared("P0")
    world.run_until(10)
    assert isinstance(snooze(world.incident, BOB, world.now, 600, " "), Refusal)
    assert isinstance(snooze(world.incident, BOB, world.now, 31 * MINUTE, "deploy"), Refusal)
    world.do(snooze(world.incident, BOB, world.now, 25 * MINUTE, "vendor is on it"))
    world.run_until(34.9)
    assert world.pages() == [("L1", 0)]
    assert "snoozed by bob" in clock_view(world.incident, world.now).sentence
    world.run_until(35)
    assert world.pages() == [("L1", 0), ("L3", 35)]


def test_snooze_of_an_acknowledged_incident_puts_the_lapse_off() -> None:
    world = declared("P0")
    world.run_until(1)
    world.do(acknowledge(world.incident, BOB))
    world.do(snooze(world.incident, BOB, world.now, 20 * MINUTE, "rollout runs"))
    world.run_until(20.9)
    assert world.incident.state is State.ACKNOWLEDGED
    world.run_until(21)
    assert world.pages()[-1] == ("L2", 21)


def test_levels_due_together_are_paged_together_and_none_is_missed() -> None:
    fast = (
        Rung(id="L1", after=0.0, who="a", channels=("slack",)),
        Rung(id="L2", after=0.0, who="b", channels=("pagerduty",)),
        Rung(id="L3", after=300.0, who="c", channels=("phone",)),
    )
    world = declared("P0", policy(p0_ladder=fast))
    world.run_until(10)
    assert world.pages() == [("L1", 0), ("L2", 0), ("L3", 5)]
    assert world.incident.caught_up == ()


def test_raised_severity_takes_the_new_ladder_from_the_same_anchor_and_lowering_unpages_nothing() -> None:
    fast = (
        Rung(id="L1", after=0.0, who="a", channels=("slack",)),
        Rung(id="L3", after=300.0, who="c", channels=("phone",)),
    )
    world = declared("P2", policy(p0_ladder=fast))
    world.run_until(10)
    world.do(change_severity(world.incident, ALICE, "P0"))
    world.tick()
    assert world.pages() == [("L1", 0), ("L3", 10)]
    world.do(change_severity(world.incident, ALICE, "P2"))
    world.run_until(59)
    assert world.pages() == [("L1", 0), ("L3", 10)]
    world.run_until(60)
    assert world.pages()[-1] == ("L4", 60)


@pytest.mark.parametrize("how", ["ack", "mitigate", "resolve"])
def test_what_stops_the_ladder_drops_pages_that_are_not_out(how: str) -> None:
    world = declared()
    world.tick()
    incident = world.incident
    outcomes = {
        "ack": lambda: acknowledge(incident, BOB),
        "mitigate": lambda: mitigate(incident, BOB),
        "resolve": lambda: resolve(incident, BOB, GOOD),
    }
    world.do(outcomes[how]())
    assert [d.state for d in world.incident.deliveries if d.page] == [DeliveryState.DROPPED]
    world.run_until(120 if how != "ack" else 4)
    assert len(world.pages()) == 1


def test_reopening_starts_the_ladder_again() -> None:
    world = declared()
    world.run_until(5)
    world.do(resolve(world.incident, BOB, GOOD)).to(30)
    world.do(reopen(world.incident, BOB, world.now, "back again"))
    world.run_until(46)
    assert world.pages() == [("L1", 0), ("L1", 30), ("L2", 45)]
    assert world.incident.reopened == 1


def test_escalating_by_hand_pages_the_next_level_and_the_ladder_does_not_fall_back() -> None:
    world = declared()
    world.run_until(3)
    world.do(escalate(world.incident, ALICE, world.now, "needs a decision"))
    world.do(escalate(world.incident, ALICE, world.now, "and the tech lead", "L3"))
    assert world.pages() == [("L1", 0), ("L2", 3), ("L3", 3)]
    world.run_until(59)
    assert len(world.pages()) == 3
    world.run_until(60)
    assert world.pages()[-1] == ("L4", 60)
    assert isinstance(escalate(world.incident, ALICE, world.now, "more"), Refusal)


def test_named_contact_can_be_paged_after_the_acknowledgement_and_the_call_is_recorded() -> None:
    world = declared()
    world.tick()
    world.do(acknowledge(world.incident, BOB))
    world.do(page_contact(world.incident, BOB, "carol", "phone", "+33 1 23", "knows the broker"))
    call = clock_view(world.incident, world.now).calls
    assert [(c.who, c.number) for c in call] == [("carol", "+33 1 23")]
    world.do(reached(world.incident, BOB, call[0].page, "carol"))
    assert clock_view(world.incident, world.now).calls == ()
    assert world.incident.pages[-1].reached == "carol"


def test_nobody_is_woken_for_an_incident_that_was_forgotten() -> None:
    world = declared()
    world.run_until(1)
    world.do(acknowledge(world.incident, BOB))
    world.to(60 * 24 * 8).tick()
    assert world.pages() == [("L1", 0)]
    assert "for days" in clock_view(world.incident, world.now).sentence


def test_suspected_incident_pages_nobody_until_it_is_confirmed() -> None:
    world = declared(suspected=True)
    world.run_until(20)
    assert world.pages() == []
    world.do(acknowledge(world.incident, BOB))
    assert world.incident.state is State.ACKNOWLEDGED
    assert world.incident.anchor == START + 20 * MINUTE


def test_clock_says_who_is_next_by_what_and_when() -> None:
    world = declared("P1")
    world.run_until(11 + 48 / 60)
    view = clock_view(world.incident, world.now)
    assert view.sentence == "nobody has acknowledged: L2 senior developer by PagerDuty in 03:12"
    assert (view.level, view.next_level) == ("L1", "L2")
    assert view.next_in == pytest.approx(192)
    assert view.deadline_left == pytest.approx(30 * MINUTE - (world.now - START))
    assert span(view.message_in or 0) == "-06:48"


def test_clock_never_shows_a_negative_time_when_the_machine_clock_went_back() -> None:
    world = declared()
    world.run_until(3)
    assert clock_view(world.incident, START - 3600).elapsed == 0


def test_messages_are_due_after_five_minutes_then_every_fifteen_then_once_at_the_end() -> None:
    world = declared()
    assert message_due(world.incident, world.now) == START + 5 * MINUTE
    assert message_kind_due(world.incident) is MessageKind.INITIAL
    world.to(7).write([_message(world.incident.id, "initial")])
    assert message_due(world.incident, world.now) == START + 22 * MINUTE
    assert message_kind_due(world.incident) is MessageKind.UPDATE
    world.to(25).do(resolve(world.incident, BOB, GOOD))
    assert message_due(world.incident, world.now) == START + 25 * MINUTE
    assert message_kind_due(world.incident) is MessageKind.RESOLUTION
    world.to(26).write([_message(world.incident.id, "resolution")])
    assert message_due(world.incident, world.now) is None


def _message(incident: str, kind: str) -> Draft:
    return Draft(incident, kinds.MESSAGE_QUEUED, ALICE, data={"message": f"m-{kind}", "kind": kind, "text": "t"})
