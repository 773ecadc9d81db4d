"""Indicators: unknown is not zero, drills do not count, the mean does not stand alone."""

from __future__ import annotations

import pytest

from planc_tui.core.timeline import Draft
from planc_tui.incident import kinds, lifecycle
from planc_tui.incident.kpi import Targets, figure, report, timing
from planc_tui.incident.lifecycle import Declaration, Evidence, declare
from planc_tui.incident.model import Incident
from tests.unit.incident_kit import ALICE, BOB, MINUTE, START, World, declared, policy

GOOD = Evidence(900.0)


def lived(
    *,
    impact: float | None = -4.0,
    detected: float = -2.0,
    acked: float | None = 3.0,
    resolved: float | None = 20.0,
    severity: str = "P1",
    drill: bool = False,
    name: str = "INC-1",
) -> World:
    """An incident of minutes relative to its declaration."""
    world = World()
    form = Declaration(
        "down",
        severity,
        impact_start=None if impact is None else START + impact * MINUTE,
        detected_at=START + detected * MINUTE,
        drill=drill,
    )
    world.do(declare(name, form, policy(), ALICE, world.now))
    world.tick()
    if acked is not None:
        world.to(acked).do(lifecycle.acknowledge(world.incident, BOB))
    if resolved is not None:
        world.to(resolved).do(lifecycle.resolve(world.incident, BOB, GOOD))
    return world


def test_spans_start_where_users_felt_it() -> None:
    found = timing(lived().incident)
    minutes = [
        None if v is None else v / MINUTE for v in (found.detect, found.acknowledge, found.recover, found.respond)
    ]
    assert minutes == [2, 3, 24, 20]
    assert (found.in_time, found.flags) == (True, ())


def test_without_impact_start_the_spans_are_unknown_and_never_zero() -> None:
    found = timing(lived(impact=None).incident)
    assert (found.detect, found.recover) == (None, None)
    assert "impact start unknown" in found.flags
    result = report([lived(impact=None).incident, lived(name="INC-2").incident], START)
    assert (result.detect.n, result.detect.unknown, result.detect.mean) == (1, 1, 120.0)


def test_resolved_without_acknowledgement_counts_to_the_resolution_and_is_flagged() -> None:
    found = timing(lived(acked=None).incident)
    assert found.acknowledge == 20 * MINUTE
    assert "resolved without acknowledgement" in found.flags


def test_clocks_that_disagree_give_zero_and_a_flag() -> None:
    world = lived()
    world.write([Draft("INC-1", kinds.FACTS, BOB, data={"facts": {}, "impact_start": START + 60})])
    found = timing(world.incident)
    assert found.detect == 0.0
    assert "clock skew" in found.flags


def test_reopened_counts_once_with_its_last_resolution() -> None:
    world = lived()
    world.to(30).do(lifecycle.reopen(world.incident, BOB, world.now))
    assert timing(world.incident).respond is None
    world.to(50).do(lifecycle.resolve(world.incident, BOB, GOOD))
    found = timing(world.incident)
    assert (found.respond, found.reopened) == (50 * MINUTE, 1)
    assert found.in_time is False


def test_drills_false_alarms_and_suspicions_are_left_out() -> None:
    cancelled = declared()
    cancelled.do(lifecycle.cancel(cancelled.incident, BOB, "a test"))
    everything: list[Incident] = [
        lived().incident,
        lived(drill=True, name="INC-2").incident,
        cancelled.incident,
        declared(suspected=True).incident,
    ]
    result = report(everything, START + 3600)
    assert (len(result.timings), result.left_out) == (1, 3)
    assert (result.major_this_month, result.major_30_days) == (1, 1)
    assert report(everything, START + 40 * 86_400).major_this_month == 0


def test_severity_target_is_that_of_the_worst_severity() -> None:
    world = lived(resolved=None, severity="P2")
    world.do(lifecycle.change_severity(world.incident, BOB, "P0"))
    world.do(lifecycle.change_severity(world.incident, BOB, "P2"))
    world.to(20).do(lifecycle.resolve(world.incident, BOB, GOOD))
    assert timing(world.incident).in_time is False


@pytest.mark.parametrize(
    ("values", "mean", "median", "p90", "longest"),
    [
        ([], None, None, None, None),
        ([60.0], 60.0, 60.0, 60.0, 60.0),
        ([10.0, 20.0, 30.0, 1000.0], 265.0, 25.0, 709.0, 1000.0),
        ([float(n) for n in range(1, 11)], 5.5, 5.5, 9.1, 10.0),
    ],
)
def test_figures(
    values: list[float], mean: float | None, median: float | None, p90: float | None, longest: float | None
) -> None:
    found = figure([*values, None])
    assert (found.mean, found.median, found.p90, found.longest) == (mean, median, p90, longest)
    assert (found.n, found.unknown, found.few) == (len(values), 1, len(values) < 8)


def test_targets_are_met_below_and_not_at() -> None:
    result = report([lived(detected=-2.0).incident], START, Targets(mttd=120.0, mtta=181.0))
    assert (result.detect.met, result.acknowledge.met) == (False, True)
    assert figure([], 1.0).met is None
