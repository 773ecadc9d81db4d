"""The real console on its way to the systems: logins that end and are renewed, somebody else's rights, a proxy on the
way, a pod's own account, and everything through the API server alone."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from planc_tui.backends.kubernetes import load
from planc_tui.backends.kubernetes.auth import FILE_LIFE
from planc_tui.core.clock import FakeClock
from planc_tui.core.ports import LoginExpired
from planc_tui.core.stats import RequestStats
from tests.cluster.console_kit import Console
from tests.cluster.rig.rig import Rig
from tests.faults.console_looks import KUBE, OTHERS, all_live, answers_keys, live
from tests.faults.kube_server import Server, tunnel_to
from tests.real import running_rig

pytestmark = pytest.mark.cluster

# A login that is told to end so soon is renewed every few seconds; the token behind it is a real one.
LIFE = 12
PLUGIN = """
import datetime, json, pathlib, subprocess, sys
calls = pathlib.Path({calls!r})
made = subprocess.run({command!r}, capture_output=True, text=True)
if made.returncode:
    sys.exit("the account is gone: log in again")
with calls.open("a") as file:
    file.write(made.stdout.strip() + "\\n")
end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds={life})
status = {{"token": made.stdout.strip(), "expirationTimestamp": end.strftime("%Y-%m-%dT%H:%M:%SZ")}}
print(json.dumps({{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}}))
"""


@pytest.fixture
def rig() -> Rig:
    return running_rig()


@pytest.fixture
def account(rig: Rig) -> Iterator[str]:
    """A ServiceAccount that may do everything, as long as it exists."""
    name = f"reach-{uuid.uuid4().hex[:8]}"
    space = rig.endpoints.namespace
    rig.kubectl("-n", space, "create", "serviceaccount", name)
    role = ("--clusterrole=cluster-admin", f"--serviceaccount={space}:{name}")
    rig.kubectl("create", "clusterrolebinding", name, *role)
    yield name
    rig.kubectl("delete", "clusterrolebinding", name)
    rig.kubectl("-n", space, "delete", "serviceaccount", name, "--ignore-not-found")


def kubeconfigs(rig: Rig, folder: Path, account: str) -> tuple[str, Path]:
    """$KUBECONFIG of three files: the context, one that is not there, and cluster and user with a plugin; and the file
    in which the plugin writes the tokens it gave."""
    where, calls = rig.endpoints, folder / "calls"
    given = yaml.safe_load(Path(where.kubeconfig).read_text())
    (cluster,) = [one for one in given["clusters"] if one["name"] == "planc-test"]
    command = [f"{where.bin}/kubectl", f"--kubeconfig={where.kubeconfig}", "-n", where.namespace]
    command += ["create", "token", account, "--duration=600s"]
    plugin = folder / "plugin.py"
    plugin.write_text(PLUGIN.format(calls=str(calls), command=command, life=LIFE))
    exec_ = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": [str(plugin)],
             "interactiveMode": "Never"}  # fmt: skip  # rows as a person reads them
    context = {"name": "planc-test", "context": {"cluster": "planc-test", "user": "by-plugin"}}
    (folder / "one").write_text(json.dumps({"current-context": "planc-test", "contexts": [context]}))
    users = [{"name": "by-plugin", "user": {"exec": exec_}}]
    (folder / "two").write_text(json.dumps({"clusters": [cluster], "users": users}))
    return ":".join(str(folder / name) for name in ("one", "missing", "two")), calls


def test_a_login_of_a_plugin_is_renewed_and_its_end_is_said(
    rig: Rig, account: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    named, calls = kubeconfigs(rig, tmp_path, account)
    with Console(tmp_path, "--playbook", rig.endpoints.playbook, KUBECONFIG=named) as console:
        all_live(console)
        console.wait(lambda: len(calls.read_text().splitlines()) >= 3, 4 * LIFE, "two renewals")
        assert live(console, KUBE + OTHERS), console.screen()
        rig.kubectl("-n", rig.endpoints.namespace, "delete", "serviceaccount", account)
        ended = console.wait(
            lambda: all("⚿ login expired" in console.title(pane) for pane in KUBE if not pane.startswith("Top")),
            60, "the end of the login",
        )  # fmt: skip  # rows as a person reads them
        record_property("login expired", ended)
        assert "run:" in console.screen()
        assert live(console, OTHERS), console.screen()
        answers_keys(console, "the login has ended", record_property)
        for token in calls.read_text().splitlines():
            assert token.encode() not in console.raw


def test_acting_as_somebody_without_rights(rig: Rig, tmp_path: Path) -> None:
    arguments = ("--kubeconfig", rig.endpoints.kubeconfig, "--as", "jane", "--as-group", "ops")
    with Console(tmp_path, "--playbook", rig.endpoints.playbook, *arguments) as console:
        console.wait(lambda: all("⊘ denied" in console.title(pane) for pane in KUBE), 20, "nothing for jane")
        console.wait(lambda: live(console, OTHERS), 20, "the other systems live")


def test_everything_through_the_api_server_alone(
    rig: Rig, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """PostgreSQL, RabbitMQ, its management and Prometheus by port-forward, passwords from Secrets; no Alertmanager."""
    where = rig.endpoints
    playbook = str(Path(where.playbook).with_name("playbook-via.yaml"))
    reached = tuple(pane for pane in KUBE + OTHERS if pane != "Alerts")
    with Console(tmp_path, "--kubeconfig", where.kubeconfig, "--playbook", playbook) as console:
        record_property("live", console.wait(lambda: live(console, reached), 30, "every pane live"))
        assert "not configured" in console.title("Alerts")
        assert "systems.alertmanager" in console.screen()
        console.command("stats")
        console.wait_for("requests in the last minute")
        table = console.screen().split("requests in the last minute")[1]
        assert ("slo" in table, "alerts" in table) == (True, False), "what is not there costs nothing"
        for login in (where.postgres_superuser, where.postgres_user, where.rabbitmq_user):
            assert login.password.encode() not in console.raw


def test_everything_through_an_http_proxy(
    rig: Rig, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Lists, watches, logs and port-forwards take the way that the kubeconfig names, and no other."""
    given = yaml.safe_load(Path(rig.endpoints.kubeconfig).read_text())
    (cluster,) = [one["cluster"] for one in given["clusters"] if one["name"] == "planc-test"]
    address = urlsplit(cluster["server"])

    with Server(tunnel_to(address.hostname or "", address.port or 0)) as proxy:
        # Nothing listens at this address: only the proxy knows where the API server is.
        cluster |= {"server": "https://127.0.0.1:9", "proxy-url": f"http://127.0.0.1:{proxy.port}"}
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(json.dumps(given))
        playbook = str(Path(rig.endpoints.playbook).with_name("playbook-via.yaml"))
        reached = tuple(pane for pane in KUBE + OTHERS if pane != "Alerts")
        with Console(tmp_path, "--kubeconfig", str(kubeconfig), "--playbook", playbook) as console:
            record_property("live", console.wait(lambda: live(console, reached), 30, "every pane live"))
            answers_keys(console, "everything goes through a proxy", record_property)
        assert set(proxy.sends()) == {"CONNECT 127.0.0.1:9"}


def test_the_account_of_a_pod_whose_token_is_renewed(rig: Rig, account: str, tmp_path: Path) -> None:
    """In a cluster a pod has address, authority, namespace and token; the kubelet writes a new token in time."""
    where = rig.endpoints
    given = yaml.safe_load(Path(where.kubeconfig).read_text())
    (cluster,) = [one["cluster"] for one in given["clusters"] if one["name"] == "planc-test"]
    address, folder = urlsplit(cluster["server"]), tmp_path / "serviceaccount"

    def renew(text: str) -> None:
        (folder / "token.new").write_text(text)
        (folder / "token.new").rename(folder / "token")

    folder.mkdir()
    (folder / "ca.crt").write_bytes(Path(cluster["certificate-authority"]).read_bytes())
    (folder / "namespace").write_text(where.namespace)
    renew(rig.kubectl("-n", where.namespace, "create", "token", account).strip())
    environ = {"KUBERNETES_SERVICE_HOST": str(address.hostname), "KUBERNETES_SERVICE_PORT": str(address.port)}
    config = load(environ, tmp_path, service_account=str(folder))
    assert config.info(None, None).namespace == where.namespace
    clock = FakeClock()
    port = config.open(None, None, RequestStats(), clock)
    pods = f"/api/v1/namespaces/{where.namespace}/pods?limit=1"
    try:
        assert json.loads(port.request("GET", pods))["items"]
        renew("no.longer.good")
        clock.advance(FILE_LIFE + 1)
        with pytest.raises(LoginExpired):
            port.request("GET", pods)
        renew(rig.kubectl("-n", where.namespace, "create", "token", account).strip())
        clock.advance(FILE_LIFE + 1)
        assert json.loads(port.request("GET", pods))["items"]
    finally:
        port.close()
