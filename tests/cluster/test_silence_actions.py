"""Alerts of the real Alertmanager silenced and heard again through the executor."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from planc_tui.actions.executor import State
from planc_tui.core.table import Target
from planc_tui.playbook.model import HttpSystem
from tests.cluster.acting_kit import Acting
from tests.cluster.rig.rig import Rig
from tests.real import eventually

pytestmark = pytest.mark.cluster
NAME = "PlancSilenceTest"


@pytest.fixture
def acting(rig: Rig, tmp_path: Path) -> Iterator[Acting]:
    with closing(Acting(rig, tmp_path, alertmanager=HttpSystem(url=rig.endpoints.alertmanager))) as made:
        yield made


def fire(rig: Rig, **labels: str) -> None:
    """An alert, as Prometheus would send it, for a minute."""
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 60))
    body = json.dumps([{"labels": {"alertname": NAME, **labels}, "endsAt": ends}]).encode()
    request = urllib.request.Request(
        f"{rig.endpoints.alertmanager}/api/v2/alerts", body, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=5).close()


def quiet(acting: Acting) -> dict[str, bool]:
    """Which of these alerts are silenced, by their service."""
    found = [alert for alert in acting.admins.alerts().report().alerts if alert.name == NAME]
    return {alert.labels["service"]: bool(alert.silenced_by) for alert in found}


def row(acting: Acting, service: str) -> Target:
    alerts = acting.admins.alerts().report().alerts
    found = next(alert for alert in alerts if alert.name == NAME and alert.labels["service"] == service)
    return Target("Alert", NAME, "shop", found.fingerprint, acting.cluster.context)


def test_a_silence_holds_for_its_alert_alone_and_its_undo_ends_it(rig: Rig, acting: Acting) -> None:
    for service in ("api", "queue"):
        fire(rig, service=service, namespace="shop")
    eventually(lambda: quiet(acting) == {"api": False, "queue": False}, 10)
    prepared = acting.prepare("silence", row(acting, "api"), minutes="5")
    assert prepared.plan.blast[0].startswith("1 of ")
    run = acting.until(acting.start(prepared), lambda run: run.state.over)
    assert run.state is State.RECOVERED, run.progress
    eventually(lambda: quiet(acting) == {"api": True, "queue": False}, 10)
    back = acting.undo(run)
    assert back.state is State.RECOVERED, back.progress
    eventually(lambda: quiet(acting) == {"api": False, "queue": False}, 10)
    assert acting.refusal("silence-end", row(acting, "api")) == "this alert is not silenced"
