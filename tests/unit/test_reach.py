"""Where a `via` leads, and where secrets come from."""

from __future__ import annotations

import base64
import json
import pickle
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from planc_tui.backends.http import DirectHttp, ProxiedHttp, open_http
from planc_tui.backends.reach import Tunnel, parse_via, pod_of_service, service_proxy_path
from planc_tui.backends.secrets import Credential, Vault
from planc_tui.backends.systems import open_systems
from planc_tui.core.clock import FakeClock
from planc_tui.core.ports import (
    BadAnswer,
    Denied,
    LoginExpired,
    NotConfigured,
    NotFound,
    PortError,
    Unreachable,
)
from planc_tui.core.secret import Secret
from planc_tui.core.stats import RequestStats
from planc_tui.playbook.loader import default
from planc_tui.playbook.model import HttpSystem, SecretFrom, SecretKey, Systems
from tests.systems_kit import FakeCluster

SECRET = SecretFrom(secret=SecretKey(name="db", key="password"))
SECRET_PATH = "/api/v1/namespaces/ns/secrets/db"


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    """A cluster whose forwards are closed again."""
    made = FakeCluster()
    yield made
    made.close()


@pytest.mark.parametrize(
    "text",
    ["", "postgres-0:5432", "pod/postgres-0", "pod/x:http", "deployment/x:1", "pod/../x:1", "pod/A:1", "pod/a:1 "],
)
def test_a_via_that_cannot_be_read_says_how_to_write_it(text: str) -> None:
    with pytest.raises(NotConfigured) as caught:
        parse_via(text)
    assert "pod/NAME:PORT" in caught.value.hint


def pod(name: str, ready: bool = True, deleting: bool = False) -> dict[str, object]:
    """A pod as the API server describes it."""
    return {
        "metadata": {"name": name, **({"deletionTimestamp": "2026-11-24T15:00:00Z"} if deleting else {})},
        "spec": {"containers": [{"ports": [{"name": "web", "containerPort": 8080}]}, {"ports": None}]},
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


def service(selector: dict[str, str] | None, *ports: dict[str, object]) -> bytes:
    """A Service as the API server describes it."""
    return json.dumps({"spec": {"selector": selector, "ports": list(ports)}}).encode()


@pytest.mark.parametrize(
    ("via", "port", "expected"),
    [
        ("service/prom:9090", {"port": 9090, "targetPort": 19090}, 19090),
        ("service/prom:http", {"port": 80, "name": "http", "targetPort": "web"}, 8080),
        ("service/prom:80", {"port": 80}, 80),
    ],
)
def test_a_service_leads_to_a_ready_pod_and_its_own_port(
    cluster: FakeCluster, via: str, port: dict[str, object], expected: int
) -> None:
    pods = [pod("going", deleting=True), pod("sick", ready=False), pod("well")]
    cluster.answers = {
        "/api/v1/namespaces/ns/services/prom": service({"b": "2", "a": "1"}, port),
        "/api/v1/namespaces/ns/pods": json.dumps({"items": pods}).encode(),
    }
    assert pod_of_service(cluster, "ns", parse_via(via)) == ("well", expected)
    assert cluster.asked[-1][2] == {"labelSelector": "a=1,b=2"}


@pytest.mark.parametrize(
    ("answer", "pods", "fault"),
    [
        (NotFound("no"), b"{}", Unreachable),
        (b"<html>", b"{}", BadAnswer),
        (service(None, {"port": 1}), b"{}", NotConfigured),
        (service({"a": "1"}, {"port": 2}), b"{}", NotConfigured),
        (service({"a": "1"}, {"port": 1}), b'{"items": null}', Unreachable),
        (
            service({"a": "1"}, {"port": 1, "targetPort": "none"}),
            json.dumps({"items": [pod("p")]}).encode(),
            Unreachable,
        ),
    ],
)
def test_a_service_that_leads_nowhere(
    cluster: FakeCluster, answer: bytes | PortError, pods: bytes, fault: type[PortError]
) -> None:
    cluster.answers = {"/api/v1/namespaces/ns/services/x": answer, "/api/v1/namespaces/ns/pods": pods}
    with pytest.raises(fault):
        pod_of_service(cluster, "ns", parse_via("service/x:1"))


def test_a_tunnel_is_built_at_first_use_and_anew_after_it_broke(cluster: FakeCluster) -> None:
    cluster.targets = {("postgres-0", 5432): ("127.0.0.1", 1)}
    tunnel = Tunnel(cluster, "ns", parse_via("pod/postgres-0:5432"))
    assert cluster.relays == []
    first = tunnel.address()
    assert (first.host, first.name) == ("127.0.0.1", "postgres-0")
    assert tunnel.address() == first
    cluster.relays[0].last_error = "pod not found"
    assert tunnel.lost() == "pod not found"
    assert cluster.relays[0].closed
    assert tunnel.address().port == cluster.relays[1].port
    tunnel.close()


def test_proxy_paths_are_quoted() -> None:
    assert service_proxy_path("ns", parse_via("pod/p:80"), "http") == "/api/v1/namespaces/ns/pods/p:80/proxy"
    assert service_proxy_path("a/b", parse_via("service/s:web"), "https").startswith(
        "/api/v1/namespaces/a%2Fb/services/https:s:web/proxy"
    )


@pytest.mark.parametrize(
    ("system", "kind"),
    [
        (HttpSystem(via="service/prom:9090"), ProxiedHttp),
        (HttpSystem(via="service/prom:9090", user="u"), DirectHttp),
        (HttpSystem(via="service/prom:9090", headers={"X-Scope-OrgID": "1"}), DirectHttp),
        (HttpSystem(via="pod/prom:9090"), DirectHttp),
        (HttpSystem(url="https://prom.example.com/base/"), DirectHttp),
        (HttpSystem(url="prom:9090"), NotConfigured),
        (HttpSystem(url="ftp://prom"), NotConfigured),
    ],
)
def test_the_api_servers_proxy_is_used_only_where_no_header_would_get_lost(
    cluster: FakeCluster, system: HttpSystem, kind: type
) -> None:
    none = Credential(Vault(cluster, "ns", {}), None, "")

    def build() -> object:
        return open_http(
            "P", system, key="k", user=system.user, password=none, token=none, cluster=cluster, namespace="ns",
            stats=RequestStats(), clock=FakeClock(), source="s",
        )  # fmt: skip  # rows as a person reads them

    if kind is NotConfigured:
        with pytest.raises(NotConfigured):
            build()
    else:
        assert isinstance(build(), kind)
    assert cluster.asked == []


def read(cluster: FakeCluster, where: SecretFrom, **environ: str) -> str:
    """The secret's text."""
    return Vault(cluster, "ns", environ).read(where, "password of X").reveal()


def test_secrets_from_everywhere(cluster: FakeCluster, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cret\nsecond line\n")
    cluster.answers = {
        SECRET_PATH: json.dumps({"data": {"password": base64.b64encode(b"p\xc3\xa9").decode()}}).encode()
    }
    assert read(cluster, SecretFrom(env="PW"), PW="from env") == "from env"
    assert read(cluster, SecretFrom(file=str(file))) == "s3cret"
    assert read(cluster, SECRET) == "pé"
    assert read(cluster, SecretFrom(command=("/bin/sh", "-c", "echo $A; echo more")), A="b c") == "b c"


@pytest.mark.parametrize(
    ("where", "fault", "words"),
    [
        (SecretFrom(env="PW"), NotConfigured, "$PW is not set"),
        (SecretFrom(file="/nowhere/at/all"), LoginExpired, "No such file"),
        (SecretFrom(command=("/nowhere/at/all",)), LoginExpired, "cannot run /nowhere"),
        (SecretFrom(command=("/bin/sh", "-c", "exit 3")), LoginExpired, "ended with 3"),
        (SecretFrom(command=("/bin/sh", "-c", "printf '\\377\\n'")), LoginExpired, "not text"),
        (SecretFrom(command=("/bin/sh", "-c", "true")), LoginExpired, "empty"),
        (SecretFrom(secret=SecretKey(name="missing", key="k")), LoginExpired, "ns/missing does not exist"),
        (SecretFrom(secret=SecretKey(name="odd", key="k")), LoginExpired, "no key k"),
        (SecretFrom(secret=SecretKey(name="odd", key="bad")), LoginExpired, "not text"),
        (SecretFrom(secret=SecretKey(name="html", key="k")), BadAnswer, "not readable"),
        (SecretFrom(secret=SecretKey(name="closed", key="k")), Denied, "no"),
    ],
)
def test_a_secret_that_is_not_there_says_what_to_do(
    cluster: FakeCluster, where: SecretFrom, fault: type[PortError], words: str
) -> None:
    base = "/api/v1/namespaces/ns/secrets"
    cluster.answers = {
        f"{base}/odd": b'{"data": {"bad": "//8="}}',
        f"{base}/html": b"<html>",
        f"{base}/closed": Denied("no"),
    }
    with pytest.raises(fault, match=words.replace("$", r"\$")):
        read(cluster, where)


def test_a_credential_is_read_once_and_again_after_it_was_refused(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("old")
    credential = Credential(Vault(FakeCluster(), "ns", {}), SecretFrom(file=str(file)), "password of X")
    found = []
    for text, refused in (("new", False), ("newer", True)):
        if refused:
            credential.refused()
        secret = credential.get()
        assert secret is not None
        found.append(secret.reveal())
        file.write_text(text)
    assert found == ["old", "new"]
    assert Credential(Vault(FakeCluster(), "ns", {}), SecretFrom(pgpass=True), "").get() is None


def test_a_secret_shows_itself_nowhere() -> None:
    secret = Secret("hunter2")
    try:
        raise ValueError(secret)
    except ValueError as error:
        shown = "".join(traceback.format_exception(error))
    assert "hunter2" not in f"{secret} {secret!r} {[secret]} {shown}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


def test_systems_that_are_not_configured_say_so_and_ask_nothing(cluster: FakeCluster) -> None:
    import msgspec

    bare = msgspec.structs.replace(default(), systems=Systems())
    systems = open_systems(bare, cluster, "ns", RequestStats(), FakeClock(), {})
    for call in (systems.database.activity, systems.broker.queues, lambda: systems.metrics.query("up")):
        with pytest.raises(NotConfigured) as caught:
            call()
        assert "systems." in caught.value.hint
    assert cluster.asked == []


def test_plan_cs_own_systems_are_built_without_asking_anything(cluster: FakeCluster) -> None:
    systems = open_systems(default(), cluster, "workflow-scalability", RequestStats(), FakeClock(), {})
    systems.database.close()
    systems.broker.close()
    systems.metrics.close()
    assert cluster.asked == []
