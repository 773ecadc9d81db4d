"""What the API server refuses: said in the card before the yes where it can tell, and in its own words where it cannot
tell before; what was half done says which half."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import trustme

from planc_tui.actions.base import Refusal
from planc_tui.actions.executor import Prepared, State
from planc_tui.actions.kube import Json, get, list_all
from planc_tui.core.table import Target
from tests.cluster.actions_kit import Bench, create, rolled_out, until, workload
from tests.cluster.rig.rig import Rig

pytestmark = pytest.mark.cluster
CHANGES = [
    ("rollout-restart", {}),
    ("set-env", {"env": "A=1"}),
    ("set-image", {"image": "registry.example/app:2", "container": "app"}),
    ("set-resources", {"container": "app", "memory-limit": "1Gi"}),
    ("scale", {"replicas": "3"}),
    ("rollout-pause", {}),
]
Judge = Callable[[Json], str]  # an AdmissionRequest > why it is refused, "" when it is not


def app(bench: Bench, space: str, **pods: Any) -> Target:
    """A Deployment of two pods, ready."""
    made = workload("Deployment", "app", space)
    made["spec"]["template"]["spec"] |= pods
    create(bench.rig, made)
    rolled_out(bench.rig, space, "deploy/app")
    return bench.target("Deployment", "app", space)


def answer(bench: Bench, target: Target, action: str, **args: str) -> str:
    """Why the card may not be confirmed; "" when it may."""
    prepared = bench.executor.prepare(action, target, args)
    assert isinstance(prepared, Prepared), prepared
    return prepared.refused


@contextmanager
def webhook(bench: Bench, space: str, judge: Judge) -> Iterator[ThreadingHTTPServer]:
    """A validating webhook of its own for the namespace, in force within the block."""
    authority = trustme.CA()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that http.server calls
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
            why = "" if asked["name"] == "probe" else judge(asked)
            verdict: Json = {"uid": asked["uid"], "allowed": not why}
            if why:
                verdict["status"] = {"code": 403, "message": why}
            if asked["name"] == "probe":
                verdict |= {"allowed": False, "status": {"message": "in force"}}
            body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": verdict})
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    rules = [
        {"apiGroups": ["apps"], "resources": ["deployments", "deployments/scale"]},
        {"apiGroups": [""], "resources": ["pods", "pods/eviction", "configmaps"]},
    ]
    hook = {
        "name": "gate.planc.test",
        "clientConfig": {
            "url": f"https://127.0.0.1:{server.server_address[1]}/",
            "caBundle": base64.b64encode(authority.cert_pem.bytes()).decode(),
        },
        "rules": [{**rule, "apiVersions": ["v1"], "operations": ["UPDATE", "DELETE", "CREATE"]} for rule in rules],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space}},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 5,
    }
    create(bench.rig, {
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": space}, "webhooks": [hook],
    })  # fmt: skip  # rows as a person reads them
    try:
        until(lambda: "in force" in probe(bench.rig, space), "the webhook to be in force", 30)
        yield server
    finally:
        bench.rig.kubectl("delete", "validatingwebhookconfiguration", space)
        server.shutdown()
        thread.join(5)
        server.server_close()


def probe(rig: Rig, space: str) -> str:
    """What the server says to an object that the webhook refuses by its name."""
    try:
        return rig.kubectl("-n", space, "create", "configmap", "probe", "--dry-run=server")
    except Exception as error:
        return str(error)


def test_a_webhook_that_refuses_speaks_in_the_card(bench: Bench, space: str) -> None:
    target = app(bench, space)
    seen: list[Json] = []

    def frozen(request: Json) -> str:
        seen.append(request)
        return "frozen for the release"

    with webhook(bench, space, frozen) as server:
        before = get(bench.port, "Deployment", space, "app")
        for action, args in CHANGES:
            refused = answer(bench, target, action, **args)
            assert "gate.planc.test" in refused, action
            assert "frozen for the release" in refused, action
        for pod in list_all(bench.port, "Pod", space):
            for action in ("pod-delete", "pod-evict"):
                name = pod["metadata"]["name"]
                refused = answer(bench, bench.target("Pod", name, space), action)
                assert "frozen for the release" in refused, action
        assert seen
        assert all(request["dryRun"] for request in seen)
        server.shutdown()
        server.server_close()
        assert "failed calling webhook" in answer(bench, target, "set-env", env="A=1")
        assert get(bench.port, "Deployment", space, "app")["metadata"]["generation"] == before["metadata"]["generation"]


def test_a_webhook_that_refuses_only_the_act_is_reported_in_its_words(bench: Bench, space: str) -> None:
    target = app(bench, space)
    with webhook(bench, space, lambda request: "" if request["dryRun"] else "the budget of changes is used up"):
        prepared = bench.prepare("set-env", target, env="A=1")
        run = bench.run(prepared, State.FAILED)
        assert "the budget of changes is used up" in run.progress
        assert bench.executor.undo(run) is None
        assert get(bench.port, "Deployment", space, "app")["metadata"]["generation"] == 1


def test_half_of_a_plan_that_is_refused_says_which_half(bench: Bench, space: str) -> None:
    app(bench, space)
    first, second = (bench.target("Pod", pod["metadata"]["name"], space) for pod in list_all(bench.port, "Pod", space))
    also = json.dumps([{key: getattr(second, key) for key in ("kind", "name", "namespace", "uid", "context")}])

    def keep(request: Json) -> str:
        return "this one stays" if request["name"] == second.name and not request["dryRun"] else ""

    with webhook(bench, space, keep):
        run = bench.run(bench.prepare("pod-delete", first, also=also), State.FAILED)
        assert "this one stays" in run.progress
        assert f"(done: {first.name}; not done: 1 of 2)" in run.progress
        assert get(bench.port, "Pod", space, second.name)["metadata"]["uid"] == second.uid
        until(lambda: first.uid not in json.dumps(list_all(bench.port, "Pod", space)), "the first to go", 20)


IMMUTABLE = """
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: NAME}
spec:
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NAME}}
    resourceRules:
    - {apiGroups: [apps], apiVersions: [v1], operations: [UPDATE], resources: [deployments]}
  validations:
  - {expression: "object.spec.template == oldObject.spec.template", reason: Invalid, message: "template: immutable"}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: NAME}
spec: {policyName: NAME, validationActions: [Deny]}
"""


def test_an_immutable_field_is_refused_in_the_card(bench: Bench, space: str) -> None:
    target = app(bench, space)
    bench.rig.kubectl("apply", "-f", "-", stdin=IMMUTABLE.replace("NAME", space))
    try:
        until(lambda: bool(answer(bench, target, "set-env", env="A=1")), "the policy to be in force", 30)
        for action, args in CHANGES[:4]:
            assert "template: immutable" in answer(bench, target, action, **args), action
        assert answer(bench, target, "scale", replicas="3") == ""
        prepared = bench.executor.prepare("set-env", target, {"env": "A=1"})
        assert isinstance(prepared, Prepared)
        assert "template: immutable" in bench.run(prepared, State.REFUSED).progress
        assert get(bench.port, "Deployment", space, "app")["metadata"]["generation"] == 1
    finally:
        for kind in ("validatingadmissionpolicy", "validatingadmissionpolicybinding"):
            bench.rig.kubectl("delete", kind, space)


def test_what_the_servers_own_validation_refuses_is_in_the_card(bench: Bench, space: str) -> None:
    target = app(bench, space, resources={"limits": {"memory": "256Mi", "cpu": "1"}})
    refused = answer(
        bench, target, "set-resources", container="app", **{"memory-request": "1Gi", "memory-limit": "2Gi"}
    )
    assert refused.startswith("the server refuses: ")
    assert "256Mi" in refused
    assert answer(bench, target, "set-resources", container="app", **{"memory-request": "65Mi"}) == ""


@pytest.mark.parametrize(
    ("kind", "action", "args"),
    [
        *(("Deployment", action, args) for action, args in CHANGES),
        ("Deployment", "rollout-undo", {"revision": "1"}),
        ("Deployment", "pods-greediest", {}),
        ("Deployment", "rollout-resume", {}),
        ("HorizontalPodAutoscaler", "hpa-bounds", {"min": "2"}),
        ("Pod", "pod-delete", {}),
        ("Pod", "pod-evict", {}),
        ("Node", "cordon", {}),
        ("Node", "uncordon", {}),
        ("Node", "drain", {}),
        ("Ingress", "maintenance-on", {}),
        ("Ingress", "maintenance-off", {}),
    ],
)
def test_a_target_that_was_deleted_meanwhile(
    bench: Bench, space: str, kind: str, action: str, args: dict[str, str]
) -> None:
    gone = Target(kind, "planc-gone", "" if kind == "Node" else space, "a-uid", bench.port.context)
    refused = bench.executor.prepare(action, gone, args)
    assert isinstance(refused, Refusal)
    assert '"planc-gone" not found' in refused.reason


@pytest.fixture(scope="module", autouse=True)
def nothing_left(rig: Rig) -> Iterator[None]:
    """No webhook of these tests outlives them: it would refuse changes of a namespace that ends."""
    yield
    left = rig.kubectl("get", "validatingwebhookconfiguration,validatingadmissionpolicy", "-o", "name")
    assert "planc-refused" not in left
