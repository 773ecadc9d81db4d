"""Alerts and silences on a real Alertmanager of its own, where one is installed."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from planc_tui.backends.alertmanager import AlertmanagerPort
from planc_tui.backends.http import DirectHttp
from planc_tui.backends.reach import Direct
from planc_tui.backends.secrets import Credential, Vault
from planc_tui.core.alerts import AlertsReport, Matcher, muted, parse_matcher
from planc_tui.core.clock import SystemClock
from planc_tui.core.ports import Rejected, Unreachable
from planc_tui.core.stats import RequestStats
from planc_tui.playbook.model import HttpSystem
from tests.systems_kit import FakeCluster

BINARY = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
pytestmark = pytest.mark.skipif(BINARY is None, reason="Alertmanager is not installed (apt: prometheus-alertmanager)")


def port_to(port: int) -> AlertmanagerPort:
    vault = Vault(FakeCluster(), "shop", {})
    nothing = Credential(vault, None, "")
    http = DirectHttp(
        "Alertmanager",
        Direct("127.0.0.1", port),
        HttpSystem(url=f"http://127.0.0.1:{port}"),
        scheme="http",
        prefix="",
        user="",
        password=nothing,
        token=nothing,
        stats=RequestStats(),
        clock=SystemClock(),
        source="alerts",
    )
    return AlertmanagerPort(http)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder: Path = tmp_path_factory.mktemp("alertmanager")
    (folder / "am.yml").write_text("route: {receiver: planc}\nreceivers: [{name: planc}]\n")
    port = free_port()
    assert BINARY is not None
    process = subprocess.Popen(
        [
            BINARY,
            f"--config.file={folder / 'am.yml'}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait(timeout=10)


def fire(port: int, *names: str) -> None:
    alerts = [
        {"labels": {"alertname": name, "namespace": "shop", "severity": "critical"}, "annotations": {"summary": "down"}}
        for name in names
    ]
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v2/alerts",
        json.dumps(alerts).encode(),
        {"Content-Type": "application/json"},
        method="POST",
    )
    urllib.request.urlopen(request, timeout=5).close()


def test_firing_alerts_are_read_and_the_preview_is_what_gets_silenced(server: int) -> None:
    fire(server, "ApiDown", "ApiSlow", "QueueFull")
    port = port_to(server)
    before = port.report()
    assert {alert.name for alert in before.alerts} == {"ApiDown", "ApiSlow", "QueueFull"}
    assert all(alert.firing and abs(alert.started - time.time()) < 60 for alert in before.alerts)
    matchers = [parse_matcher("alertname=~Api.*"), parse_matcher('namespace="shop"')]
    preview = muted(before.alerts, matchers)
    assert len(preview) == 2
    now = time.time()
    identifier = port.silence(matchers, now, now + 1800, "alice", "planc INC-20261124-001")
    after = _until_quiet(port, 2)
    assert {alert.name for alert in after.alerts if not alert.firing} == {alert.name for alert in preview}
    silence = next(one for one in after.silences if one.id == identifier)
    assert (silence.state, silence.by, silence.comment) == ("active", "alice", "planc INC-20261124-001")
    assert abs(silence.ends - (now + 1800)) < 1
    assert set(silence.matchers) == set(matchers)
    port.expire(identifier)
    assert all(one.id != identifier for one in port.report().silences)
    port.expire(identifier)
    port.expire("11111111-2222-3333-4444-555555555555")
    port.close()


def _until_quiet(port: AlertmanagerPort, count: int) -> AlertsReport:
    """Alertmanager marks what is silenced when it is next asked, at times a moment later."""
    for _ in range(100):
        report = port.report()
        if sum(not alert.firing for alert in report.alerts) == count:
            return report
        time.sleep(0.05)
    raise AssertionError("the silence muted another number of alerts than the preview said")


def test_what_alertmanager_refuses_keeps_its_words(server: int) -> None:
    port = port_to(server)
    now = time.time()
    with pytest.raises(Rejected, match="empty string"):
        port.silence([Matcher("a", "")], now, now + 60, "alice", "names nothing")
    with pytest.raises(Rejected, match="past"):
        port.silence([Matcher("a", "b")], now - 120, now - 60, "alice", "late")
    port.close()


def test_without_a_server_it_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="refused"):
        port_to(free_port()).report()
