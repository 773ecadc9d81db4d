"""The silence action: what the card counts is what becomes quiet, and it ends again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from planc_tui.actions.base import Outcome, Plan, Ports, Refusal
from planc_tui.actions.silence import SilenceAlert, SilenceEnd
from planc_tui.core.alerts import Alert, AlertsReport, Matcher, Silence, muted
from planc_tui.core.clock import FakeClock
from planc_tui.core.ports import Rejected
from planc_tui.core.table import Target
from planc_tui.core.timeline import Draft
from planc_tui.incident import kinds
from tests.unit.incident_kit import BOB, declared

DOWN = Alert("f1", {"alertname": "ApiDown", "namespace": "shop"}, 100.0)
SLOW = Alert("f2", {"alertname": "ApiSlow", "namespace": "shop"}, 100.0)
TARGET = Target("Alert", "ApiDown", "shop", "f1", "prod-eu")


@dataclass
class FakeAlerts:
    """An Alertmanager in memory."""

    alerts: tuple[Alert, ...] = (DOWN, SLOW)
    silences: list[Silence] = field(default_factory=list)

    def list_silences(self) -> tuple[Silence, ...]:
        return tuple(self.silences)

    def report(self, silences: Sequence[Silence] | None = None) -> AlertsReport:
        return AlertsReport(
            tuple(
                replace(a, silenced_by=tuple(s.id for s in self.silences if muted([a], s.matchers)))
                for a in self.alerts
            ),
            self.list_silences(),
        )

    def silence(self, matchers: Sequence[Matcher], starts: float, ends: float, by: str, comment: str) -> str:
        self.silences.append(Silence("s-1", tuple(matchers), starts, ends, by, comment))
        return "s-1"

    def expire(self, silence: str) -> None:
        self.silences = [s for s in self.silences if s.id != silence]

    def close(self) -> None:
        """Nothing to close."""


def ports_on(alerts: FakeAlerts) -> Ports:
    cluster = cast("Any", SimpleNamespace(context="prod-eu"))
    nothing = cast("Any", None)
    return Ports(cluster, FakeClock(), nothing, nothing, nothing, alerts=lambda: alerts)


def report(_text: str) -> None:
    """Nobody looks."""


def plan_of(ports: Ports, **args: str) -> Plan | Refusal:
    action = SilenceAlert()
    return action.plan(action.inspect(ports, TARGET, args), TARGET, args)


def test_silence_is_counted_made_seen_and_ended_again() -> None:
    alerts = FakeAlerts()
    ports, action, looker = ports_on(alerts), SilenceAlert(), cast("Any", report)
    plan = plan_of(ports)
    assert isinstance(plan, Plan)
    assert plan.blast[0] == "1 of 2 alerts become quiet"
    assert plan.changes[0].after == 'alertname="ApiDown", namespace="shop"'
    assert action.recheck(ports, plan) is None
    receipt = action.execute(ports, plan, looker)
    assert alerts.silences[0].ends - alerts.silences[0].starts == 1800
    assert action.verify(ports, plan, receipt).outcome is Outcome.RECOVERED
    assert [alert.firing for alert in alerts.report().alerts] == [False, True]
    undo = action.undo(plan, receipt)
    assert undo is not None
    end = SilenceEnd()
    ending = end.plan(end.inspect(ports, undo[1], undo[2]), undo[1], undo[2])
    assert isinstance(ending, Plan)
    assert end.verify(ports, ending, end.execute(ports, ending, looker)).outcome is Outcome.RECOVERED
    assert alerts.silences == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"matchers": 'severity!="info"'}, "names something"),
        ({"minutes": "99999"}, "at most"),
        ({"minutes": "soon"}, "a number"),
        ({"minutes": "-1"}, "at most"),
    ],
)
def test_what_must_not_be_silenced_is_refused(args: dict[str, str], words: str) -> None:
    plan = plan_of(ports_on(FakeAlerts()), **args)
    assert isinstance(plan, Refusal)
    assert words in plan.reason


def test_more_alerts_than_the_card_counted_disarm_it() -> None:
    alerts = FakeAlerts((DOWN,))
    ports = ports_on(alerts)
    plan = plan_of(ports, matchers='namespace="shop"')
    assert isinstance(plan, Plan)
    alerts.alerts = (DOWN, SLOW)
    drift = SilenceAlert().recheck(ports, plan)
    assert drift is not None
    assert drift.reason == "2 alerts match now, not 1"


def test_silencing_everything_is_warned_of_and_a_gone_alert_named() -> None:
    plan = plan_of(ports_on(FakeAlerts()), matchers='namespace="shop"')
    assert isinstance(plan, Plan)
    assert plan.warnings == ("this silences everything that fires now",)
    with pytest.raises(Rejected, match="no longer firing"):
        plan_of(ports_on(FakeAlerts(())))
    with pytest.raises(Rejected, match="not a matcher"):
        plan_of(ports_on(FakeAlerts()), matchers="nonsense")
    end = SilenceEnd()
    outcome = end.plan(end.inspect(ports_on(FakeAlerts()), TARGET, {}), TARGET, {})
    assert isinstance(outcome, Refusal)
    assert outcome.reason == "this alert is not silenced"


def test_a_silence_made_during_an_incident_belongs_to_it() -> None:
    world = declared()
    data = {"run": "r", "state": "recovered", "receipt": {"data": {"silence": "s-1", "until": 9e9}, "partial": ""}}
    world.write([Draft(world.incident.id, kinds.ACTION_RESULT, BOB, "Silence: recovered", data)])
    assert [(s.id, s.ended) for s in world.incident.silences] == [("s-1", False)]
    ended = {"run": "q", "state": "recovered", "receipt": {"data": {"ended": "s-1"}, "partial": ""}}
    world.write([Draft(world.incident.id, kinds.ACTION_RESULT, BOB, "End silence: recovered", ended)])
    assert world.incident.silences[0].ended
