"""`planc escalator` ends silences on the way that the playbook says, with nobody at a console."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from planc_tui.backends.kubernetes import load as kube_load
from planc_tui.backends.systems import open_systems
from planc_tui.cli import planc
from planc_tui.commands.escalator import unit_text
from planc_tui.core.alerts import Matcher
from planc_tui.core.clock import SystemClock
from planc_tui.core.stats import RequestStats
from planc_tui.core.timeline import Draft
from planc_tui.desk import budget
from planc_tui.desk.desk import Desk
from planc_tui.desk.policy import policy_of
from planc_tui.incident import kinds, lifecycle
from planc_tui.incident.lifecycle import Declaration
from planc_tui.incident.model import Incident
from planc_tui.journal import Journal
from planc_tui.playbook.loader import default, load
from planc_tui.playbook.model import HttpSystem, Systems
from tests.contract.exposing import exposing
from tests.faults.kube_server import Asked, Server, reply
from tests.real import running_rig
from tests.systems_kit import FakeCluster
from tests.unit.incident_kit import ALICE

SILENCE = "11111111-2222-3333-4444-555555555555"
PROXIED = f"DELETE /api/v1/namespaces/workflow-scalability/services/alertmanager:9093/proxy/api/v2/silence/{SILENCE}"


def answer(sock: socket.socket, asked: Asked) -> None:
    body: dict[str, Any] | bytes = {"kind": "Status"}
    if asked.method == "DELETE":
        body = b""
    elif "/api/v1/query?" in asked.path:
        series = {"metric": {}, "value": [time.time(), "0.5"]}
        body = {"status": "success", "data": {"resultType": "vector", "result": [series]}}
    reply(200, body)(sock, asked)


@pytest.fixture
def api() -> Iterator[Server]:
    with Server(answer) as server:
        yield server


@pytest.fixture
def other() -> Iterator[Server]:
    with Server(answer) as server:
        yield server


def config(folder: Path, **servers: Server) -> Path:
    """A kubeconfig with a context of each name; the first one is the current."""
    document = {
        "current-context": next(iter(servers)),
        "contexts": [{"name": name, "context": {"cluster": name, "user": "ana"}} for name in servers],
        "clusters": [
            {"name": name, "cluster": {"server": f"http://127.0.0.1:{server.port}"}} for name, server in servers.items()
        ],
        "users": [{"name": "ana", "user": {"token": "tok"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(document))
    return path


def playbook_file(folder: Path, **systems: dict[str, Any]) -> Path:
    path = folder / "playbook.yaml"
    path.write_text(yaml.safe_dump({"extends": "plan-c", "systems": systems}))
    path.chmod(0o600)
    return path


def over(path: Path, playbook: Path, context: str, silence: str = SILENCE) -> str:
    """An incident of `context` that is over and left a silence behind."""
    journal = Journal.open(path)
    desk = Desk(journal, policy_of(load(str(playbook)), context=context), ALICE)
    incident = desk.declare(Declaration("checkout answers 502", "P3")).incident
    assert incident is not None
    data = {"silence": silence, "until": time.time() + 3600}
    journal.append(Draft(incident.id, kinds.SILENCE_CREATED, ALICE, "silence", data))
    assert desk.do(incident.id, lambda i, _: lifecycle.resolve(i, ALICE, None, "the vendor says so")).ok
    journal.close()
    return incident.id


def look(path: Path, *options: str) -> Incident:
    """One look of the escalator; the incident after it."""
    result = CliRunner().invoke(planc, [*options, "escalator", "--once"])
    assert result.exit_code == 0, result.output
    assert "another escalator" not in result.output
    journal = Journal.open(path)
    desk = Desk(journal, policy_of(load("plan-c")), ALICE)
    desk.board.refresh()
    [incident] = desk.board.incidents
    journal.close()
    return incident


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "state" / "journal.db"
    monkeypatch.setenv("PLANC_JOURNAL", str(path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return path


@pytest.mark.parametrize("context", ["here", "there", ""])
def test_a_silence_is_ended_through_the_api_server_of_its_incident(
    tmp_path: Path, journal: Path, api: Server, other: Server, context: str
) -> None:
    playbook = playbook_file(tmp_path, alertmanager={"via": "service/alertmanager:9093"})
    over(journal, playbook, context)
    files = config(tmp_path, here=api, there=other)
    options = ("--playbook", str(playbook), "--kubeconfig", str(files))
    incident = look(journal, *options)
    asked, silent = (other, api) if context == "there" else (api, other)
    assert PROXIED in asked.sends()
    assert silent.sends() == []
    assert incident.silences[0].ended
    # Ended once: the next look asks nobody.
    before = len(asked.sends())
    look(journal, *options)
    assert len(asked.sends()) == before


def test_without_a_cluster_the_ladder_goes_on_and_the_silence_is_tried_again(
    tmp_path: Path, journal: Path, api: Server
) -> None:
    playbook = playbook_file(tmp_path, alertmanager={"via": "service/alertmanager:9093"})
    over(journal, playbook, "gone")
    assert not look(journal, "--playbook", str(playbook), "--kubeconfig", str(tmp_path / "none")).silences[0].ended
    files = config(tmp_path, here=api)
    incident = look(journal, "--playbook", str(playbook), "--kubeconfig", str(files))
    assert not incident.silences[0].ended, "another cluster's Alertmanager knows nothing of it"
    assert api.sends() == []


def test_an_address_needs_no_kubeconfig(tmp_path: Path, journal: Path, api: Server) -> None:
    playbook = playbook_file(tmp_path, alertmanager={"url": f"http://127.0.0.1:{api.port}"})
    over(journal, playbook, "gone")
    incident = look(journal, "--playbook", str(playbook), "--kubeconfig", str(tmp_path / "none"))
    assert api.sends() == [f"DELETE /api/v2/silence/{SILENCE}"]
    assert incident.silences[0].ended


def measured(incident: Incident) -> list[str]:
    return [entry.event.summary for entry in incident.entries if entry.event.type == kinds.SPENT]


def test_the_budget_is_measured_with_nobody_at_a_console(
    tmp_path: Path, journal: Path, api: Server, other: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    playbook = playbook_file(tmp_path, prometheus={"via": "service/prometheus:9090"})
    over(journal, playbook, "there")
    options = ("--playbook", str(playbook), "--kubeconfig", str(config(tmp_path, here=api, there=other)))
    assert measured(look(journal, *options)) == []
    assert other.sends() == [], "Prometheus has not counted the end yet"
    monkeypatch.setattr(budget, "SETTLED", 0.0)
    [said] = measured(look(journal, *options))
    # Half of all requests for one second of 30 days, of which one in ten thousand and one in a thousand may miss.
    assert said == "error budget spent: availability 0.2 %, error rate 0.0 %, P95 latency 0.0 %"
    asked = other.sends()
    proxied = "GET /api/v1/namespaces/workflow-scalability/services/prometheus:9090/proxy/api/v1/query?"
    assert len(asked) == len(default().slos)
    assert all(one.startswith(proxied) for one in asked)
    assert measured(look(journal, *options)) == [said]
    assert other.sends() == asked, "measured once"
    assert api.sends() == []


def test_the_unit_finds_the_cluster_again() -> None:
    text = unit_text("/srv/playbook.yaml", "/home/ana/a b:/srv/100%", "prod-eu")
    assert 'Environment="KUBECONFIG=/home/ana/a b:/srv/100%%"' in text
    assert "--context prod-eu escalator" in text
    assert "KUBECONFIG" not in unit_text("")


@pytest.mark.server
@pytest.mark.cluster
def test_a_real_silence_is_ended_through_the_real_api_server(tmp_path: Path, journal: Path) -> None:
    rig = running_rig()
    kubeconfig, space = rig.endpoints.kubeconfig, rig.endpoints.namespace
    direct = open_systems(
        msgspec.structs.replace(default(), systems=Systems(alertmanager=HttpSystem(url=rig.endpoints.alertmanager))),
        FakeCluster(), space, RequestStats(), SystemClock(), {},
    ).alerts  # fmt: skip  # rows as a person reads them
    config = kube_load({"KUBECONFIG": kubeconfig}, tmp_path)
    port = config.open(None, None, RequestStats(), SystemClock())
    now = time.time()
    matcher = Matcher("alertname", "NothingOfTheKind")
    silence = direct.silence([matcher], now, now + 1800, "ana", "planc")
    try:
        with exposing(port, space, rig.endpoints.ports["alertmanager"]) as name:
            playbook = playbook_file(tmp_path, alertmanager={"via": f"service/{name}:9090"})
            over(journal, playbook, "", silence)
            options = ("--playbook", str(playbook), "--kubeconfig", kubeconfig)
            until = time.monotonic() + 10  # the API server has not seen the slice yet
            while not look(journal, *options).silences[0].ended:
                assert time.monotonic() < until
                time.sleep(0.2)
        assert silence not in {one.id for one in direct.report().silences if one.state == "active"}
    finally:
        direct.expire(silence)
        direct.close()
        port.close()
