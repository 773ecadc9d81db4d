"""The Kubernetes port against a real API server, with kubectl as the oracle."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from planc_tui.backends.kubernetes import KubeConfig, load, pod_path, pod_proxy, service_proxy
from planc_tui.backends.kubernetes.transport import ApiPort
from planc_tui.backends.systems import open_systems
from planc_tui.core.clock import SystemClock
from planc_tui.core.ports import (
    Denied,
    Gone,
    LoginExpired,
    NotFound,
    PortError,
    Rejected,
    Unreachable,
)
from planc_tui.core.stats import RequestStats
from planc_tui.playbook.loader import default
from planc_tui.playbook.model import HttpSystem, Systems
from tests.cluster.rig.rig import Rig
from tests.conftest import state_dir
from tests.contract.exposing import exposing
from tests.real import servers

pytestmark = pytest.mark.server

Open = Callable[..., ApiPort]


@pytest.fixture(scope="module")
def rig() -> Rig:
    return servers()


@pytest.fixture(scope="module")
def kube(rig: Rig) -> KubeConfig:
    return load({"KUBECONFIG": rig.endpoints.kubeconfig}, Path("/nonexistent"))


@pytest.fixture
def connect(kube: KubeConfig) -> Iterator[Open]:
    """Opens ports by context, and closes them."""
    opened: list[ApiPort] = []

    def make(context: str | None = None) -> ApiPort:
        opened.append(kube.open(context, None, RequestStats(), SystemClock()))
        return opened[-1]

    yield make
    for port in opened:
        port.close()


@pytest.fixture
def port(connect: Open) -> ApiPort:
    return connect()


@pytest.fixture(scope="module")
def space(rig: Rig) -> str:
    return rig.endpoints.namespace


@pytest.fixture
def pods(space: str) -> str:
    return f"/api/v1/namespaces/{space}/pods"


def names(document: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in document["items"]]


def test_pages_of_a_list_are_what_kubectl_lists(port: ApiPort, pods: str, rig: Rig) -> None:
    query = {"limit": "3"}
    found: list[str] = []
    pages = 0
    while True:
        page = json.loads(port.request("GET", pods, query=query))
        found += names(page)
        pages += 1
        token = page["metadata"].get("continue", "")
        if not token:
            break
        query = {"limit": "3", "continue": token}
    assert pages > 2
    listed = rig.kubectl("get", "pods", "-o", "name").split()
    assert sorted(f"pod/{name}" for name in found) == sorted(listed)


def test_an_old_continue_token_and_an_old_watch_are_gone(port: ApiPort, pods: str) -> None:
    page = json.loads(port.request("GET", pods, query={"limit": "1"}))
    version = page["metadata"]["resourceVersion"]
    with pytest.raises((Gone, Rejected)):
        port.request("GET", pods, query={"limit": "1", "continue": "bm90LWEtdG9rZW4"})
    stream = port.stream(pods, query={"watch": "true", "resourceVersion": "1", "timeoutSeconds": "5"})
    first = json.loads(b"".join(stream).splitlines()[0])
    stream.close()
    if first["type"] == "ERROR":
        assert first["object"]["code"] == 410
    else:
        assert int(version) > 1, "nothing was compacted yet: the watch starts at the beginning"


def test_a_watch_has_bookmarks_and_sees_changes(port: ApiPort, space: str) -> None:
    path = f"/api/v1/namespaces/{space}/configmaps"
    name = f"contract-{uuid.uuid4().hex[:8]}"
    version = json.loads(port.request("GET", path, query={"limit": "1"}))["metadata"]["resourceVersion"]
    query = {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": version,
        "timeoutSeconds": "4",
    }
    stream = port.stream(path, query=query)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    port.request("POST", path, body=json.dumps(body).encode())
    port.request("DELETE", f"{path}/{name}")
    events = [json.loads(line) for line in b"".join(stream).splitlines()]
    ours = [event["type"] for event in events if event["object"]["metadata"].get("name") == name]
    assert ours == ["ADDED", "DELETED"]
    assert events[-1]["type"] == "BOOKMARK"


def test_refusals_name_verb_and_resource(connect: Open, pods: str, space: str) -> None:
    viewer = connect("viewer")
    assert names(json.loads(viewer.request("GET", pods)))
    with pytest.raises(Denied) as caught:
        viewer.request("GET", f"/apis/apps/v1/namespaces/{space}/deployments")
    assert (caught.value.verb, caught.value.resource) == ("list", "deployments.apps")
    with pytest.raises(Denied) as caught:
        viewer.stream(f"/api/v1/namespaces/{space}/events", query={"watch": "true"})
    assert (caught.value.verb, caught.value.resource) == ("watch", "events")
    with pytest.raises(Denied) as caught:
        connect("nobody").request("DELETE", f"{pods}/postgres-0", query={"dryRun": "All"})
    assert (caught.value.verb, caught.value.resource) == ("delete", "pods")
    with pytest.raises(Denied) as caught:
        next(iter(connect("nologs").stream(pod_path(space, "postgres-0", "log"))))
    assert (caught.value.verb, caught.value.resource) == ("get", "pods/log")
    with pytest.raises(Denied) as caught:
        connect("nologs").execute(space, "postgres-0", "", ("id",), stdout=print, timeout=5)
    assert caught.value.resource == "pods/exec"


def test_an_unknown_token_and_a_dead_server(connect: Open, pods: str) -> None:
    with pytest.raises(LoginExpired) as caught:
        connect("expired").request("GET", pods)
    assert caught.value.hint == "kubectl --context expired get --raw /version"
    with pytest.raises(Unreachable, match="connection refused by"):
        connect("unreachable").request("GET", pods)


def test_missing_objects_and_wrong_requests(port: ApiPort, pods: str, space: str) -> None:
    with pytest.raises(NotFound, match='pods "none" not found'):
        port.request("GET", f"{pods}/none")
    with pytest.raises(NotFound):
        port.request("GET", "/apis/no.such.group/v1/things")
    bad = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "No Such"}}).encode()
    with pytest.raises(Rejected) as caught:
        port.request("POST", f"/api/v1/namespaces/{space}/configmaps", body=bad)
    assert (caught.value.code, caught.value.reason) == (422, "Invalid")
    wrong = json.dumps({"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}).encode()
    with pytest.raises(Rejected) as caught:
        port.request("DELETE", f"{pods}/postgres-0", body=wrong)
    assert caught.value.code == 409


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/strategic-merge-patch+json", b'{"metadata":{"annotations":{"planc/contract":"1"}}}'),
        ("application/merge-patch+json", b'{"metadata":{"annotations":{"planc/contract":"1"}}}'),
        (
            "application/json-patch+json",
            b'[{"op":"add","path":"/metadata/annotations/planc~1contract","value":"1"}]',
        ),
    ],
)
def test_every_kind_of_patch_arrives(port: ApiPort, pods: str, kind: str, body: bytes) -> None:
    query = {"dryRun": "All", "fieldManager": "planc"}
    target = next(
        item for item in json.loads(port.request("GET", pods))["items"] if item["metadata"].get("annotations")
    )
    path = f"{pods}/{target['metadata']['name']}"
    changed = json.loads(port.request("PATCH", path, query=query, body=body, content_type=kind))
    assert changed["metadata"]["annotations"]["planc/contract"] == "1"


def test_acting_as_somebody_else(rig: Rig, pods: str, space: str) -> None:
    from planc_tui.backends.kubernetes import Impersonation

    kube = load(
        {"KUBECONFIG": rig.endpoints.kubeconfig}, Path("/nonexistent"), impersonate=Impersonation("jane", ("ops",))
    )
    port = kube.open(None, None, RequestStats(), SystemClock())
    with pytest.raises(Denied):
        port.request("GET", pods)
    review = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).encode()
    who = json.loads(port.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review))
    assert who["status"]["userInfo"]["username"] == "jane"
    assert "ops" in who["status"]["userInfo"]["groups"]
    port.close()


def app_pod(port: ApiPort, pods: str) -> str:
    return names(json.loads(port.request("GET", pods, query={"labelSelector": "app=workflow-scalability"})))[0]


def test_logs_end_follow_and_close(port: ApiPort, pods: str, space: str) -> None:
    path = pod_path(space, app_pod(port, pods), "log")
    tail = port.request("GET", path, query={"tailLines": "3", "timestamps": "true"}, accept="*/*")
    assert len(tail.splitlines()) == 3
    stream = port.stream(path, query={"follow": "true", "tailLines": "1"})
    pieces: list[bytes] = []
    reader = threading.Thread(target=lambda: pieces.extend(stream))
    reader.start()
    until = time.monotonic() + 20
    while b"".join(pieces).count(b"\n") < 2 and time.monotonic() < until:
        time.sleep(0.05)
    started = time.monotonic()
    stream.close()
    reader.join(2)
    assert time.monotonic() - started < 0.3
    assert b"".join(pieces).count(b"\n") >= 2


def test_exec_gives_every_byte_and_takes_every_byte(port: ApiPort, space: str) -> None:
    out: list[bytes] = []
    script = 'i=0; while [ $i -lt 256 ]; do printf "\\\\$(printf %03o $i)"; i=$((i+1)); done; seq 1 60000'
    done = port.execute(space, "postgres-0", "", ("sh", "-c", script), stdout=out.append, timeout=30)
    wanted = bytes(range(256)) + "".join(f"{n}\n" for n in range(1, 60_001)).encode()
    assert b"".join(out) == wanted
    assert done.code == 0
    data = bytes(range(256)) * 8000
    summed: list[bytes] = []
    command = ("sh", "-c", f"head -c {len(data)} | sha256sum")
    done = port.execute(space, "postgres-0", "", command, stdout=summed.append, timeout=30, stdin=data)
    assert b"".join(summed).split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_exec_says_when_it_failed(port: ApiPort, space: str) -> None:
    """A kubelet gives the exit code; the simulated one of the test cluster gives its own words instead."""
    command = ("sh", "-c", "echo broken >&2; exit 7")
    try:
        done = port.execute(space, "postgres-0", "", command, stdout=print, timeout=10)
        said = f"exit status {done.code}, {done.stderr.strip()}"
    except Rejected as error:
        said = error.message
    assert "exit status 7" in said
    with pytest.raises(PortError):
        port.execute(space, "none", "", ("true",), stdout=print, timeout=10)
    started = time.monotonic()
    done = port.execute(
        space,
        "postgres-0",
        "",
        ("sleep", "5"),
        stdout=print,
        timeout=10,
        stop=lambda: time.monotonic() - started > 0.5,
    )
    assert (done.code, done.ended) == (-1, "stopped")
    assert time.monotonic() - started < 2


def test_forward_reaches_postgresql(port: ApiPort, space: str, rig: Rig) -> None:
    import psycopg

    login = rig.endpoints.postgres_user
    forward = port.forward(space, "postgres-0", 5432)
    with psycopg.connect(
        host="127.0.0.1",
        port=forward.port,
        user=login.user,
        password=login.password,
        dbname=rig.endpoints.postgres_database,
        connect_timeout=5,
    ) as connection:
        row = connection.execute("select sum(length(repeat('x', 1000))) from generate_series(1, 5000)").fetchone()
        assert row == (5_000_000,)
        big = connection.execute("select repeat('planc', 400000)").fetchone()
        assert big == ("planc" * 400_000,)
    assert forward.last_error == ""
    forward.close()


def test_forward_reaches_rabbitmq(port: ApiPort, space: str, rig: Rig) -> None:
    import pika

    login = rig.endpoints.rabbitmq_user
    forward = port.forward(space, "rabbitmq-0", 5672)
    parameters = pika.ConnectionParameters(
        "127.0.0.1",
        forward.port,
        credentials=pika.PlainCredentials(login.user, login.password),
        socket_timeout=5,
        blocked_connection_timeout=5,
    )
    connection = pika.BlockingConnection(parameters)
    declared = connection.channel().queue_declare("tasks", passive=True)
    assert declared.method.queue == "tasks"
    connection.close()
    forward.close()


def test_a_forward_to_nothing_says_why(port: ApiPort, space: str) -> None:
    import socket

    forward = port.forward(space, "no-such-pod", 5432)
    with socket.create_connection(("127.0.0.1", forward.port), 5) as client:
        client.settimeout(10)
        assert client.recv(1) == b""
    assert 'pods "no-such-pod" not found' in forward.last_error


def test_proxy_paths_reach_the_api_server_unbroken(port: ApiPort, space: str) -> None:
    for path in (service_proxy(space, "no-such", 80, "/x"), pod_proxy(space, "no-such", 80, "/x")):
        with pytest.raises(NotFound, match="no-such"):
            port.request("GET", path)


@pytest.fixture
def exposed(port: ApiPort, space: str, rig: Rig) -> Iterator[str]:
    """A Service of its own that leads to the real Prometheus."""
    with exposing(port, space, rig.endpoints.ports["prometheus"]) as name:
        yield name


@pytest.mark.cluster
def test_prometheus_answers_through_the_service_proxy(port: ApiPort, space: str, exposed: str) -> None:
    playbook = msgspec.structs.replace(default(), systems=Systems(prometheus=HttpSystem(via=f"service/{exposed}:web")))
    stats = RequestStats()
    metrics = open_systems(playbook, port, space, stats, SystemClock(), {}).metrics
    until = time.monotonic() + 10
    while True:
        try:
            (sample,) = metrics.query("vector(42)")
            break
        except PortError:  # the API server has not seen the slice yet
            assert time.monotonic() < until
            time.sleep(0.1)
    assert sample.value == 42.0
    assert metrics.query("absent_metric_of_planc") == ()
    with pytest.raises(Rejected, match="parse error"):
        metrics.query("rate(")
    metrics.close()


@pytest.mark.cluster
def test_a_frozen_server_costs_its_deadline_and_comes_back(rig: Rig, port: ApiPort, pods: str) -> None:
    if rig.endpoints.external_control_plane or state_dir() is None:
        pytest.skip("the control plane is not ours to freeze")
    assert port.request("GET", pods)
    rig.freeze("kube-apiserver")
    try:
        started = time.monotonic()
        with pytest.raises(Unreachable, match=r"no answer from .* within 1 s"):
            port.request("GET", pods, timeout=1.0)
        assert time.monotonic() - started < 1.5
    finally:
        rig.thaw("kube-apiserver")
    assert port.request("GET", pods, timeout=10.0)
