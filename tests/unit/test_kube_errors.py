"""Answers become the right errors, paths are quoted, and frames survive any cutting."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.backends.kubernetes.errors import Call, answer_error, redact
from planc_tui.backends.kubernetes.frames import BINARY, PING, FrameReader, encode, mask
from planc_tui.backends.kubernetes.paths import part, pod_path, pod_proxy, rbac_verb, read_path, service_proxy
from planc_tui.core.health import Health
from planc_tui.core.ports import (
    BadAnswer,
    Denied,
    Gone,
    LoginExpired,
    NotFound,
    PortError,
    Rejected,
    ServiceAway,
    Throttled,
    Unreachable,
)

PODS = "/api/v1/namespaces/shop/pods"
USAGE = "/apis/metrics.k8s.io/v1beta1/nodes"
SIGNED = {"X_Kubernetes_Pf_Flowschema_Uid": "8c90f978"}
EVICTION = f"{PODS}/a/eviction"
PROXY = service_proxy("shop", "prom", 9090, "/api/v1/query")


def status(message: str, **more: Any) -> bytes:
    return json.dumps({"kind": "Status", "apiVersion": "v1", "message": message, **more}).encode()


def error(code: int, body: bytes, path: str = PODS, method: str = "GET", **headers: str) -> PortError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return answer_error(Call(method, path, "api:6443", "kubectl login"), code, named, body)


FORBIDDEN = 'pods is forbidden: User "jo" cannot list resource "pods" in API group "" in the namespace "shop"'
BUDGET = {"causes": [{"reason": "DisruptionBudget", "message": "needs 2 healthy pods and has 2"}]}


@pytest.mark.parametrize(
    ("found", "kind", "message"),
    [
        (error(401, status("Unauthorized")), LoginExpired, "api:6443 does not accept the login"),
        (error(403, status(FORBIDDEN)), Denied, "not allowed to list pods in shop"),
        (error(403, b"no", f"{PODS}/a"), Denied, "not allowed to get pods in shop"),
        (error(403, status('User "system:anonymous" cannot get path "/version"')), LoginExpired, "sees no login"),
        (error(403, status("exceeded quota: q"), PODS, "POST"), Rejected, "exceeded quota: q"),
        (error(404, status('pods "a" not found')), NotFound, 'pods "a" not found'),
        (error(404, b"404 page not found\n", "/apis/metrics.k8s.io"), NotFound, "404 page not found"),
        (error(409, status("conflict", reason="Conflict")), Rejected, "conflict"),
        (error(422, status("bad\x1b[31m \nvalue")), Rejected, "bad  value"),
        (error(410, status("too old")), Gone, "too old"),
        (error(429, b"", retry_after="7"), Throttled, "asks to slow down"),
        (error(429, status("no", details=BUDGET), EVICTION, "POST"), Rejected, "no: needs 2 healthy pods"),
        (error(500, b"<html>oops"), Unreachable, "api:6443 answers 500"),
        (error(503, status("etcd is away")), Unreachable, "api:6443 answers 503: etcd is away"),
        (
            error(503, b"service unavailable\n", USAGE, **SIGNED),
            ServiceAway,
            "api:6443 answers 503: service unavailable",
        ),
        (error(503, b"service unavailable\n", USAGE), Unreachable, "api:6443 answers 503: service unavailable"),
        (error(503, status("etcd is away"), PODS, **SIGNED), Unreachable, "etcd is away"),
        (error(302, b"", location="https://sso.example/login?token=x"), BadAnswer, "redirects to sso.example (302)"),
        (error(401, b"bad password", PROXY), Rejected, "prom:9090 answers 401: bad password"),
        (error(404, b"", PROXY), NotFound, "prom:9090 answers 404"),
        (error(503, status("no endpoints available"), PROXY), Unreachable, "no endpoints available"),
        (error(401, status("Unauthorized"), PROXY), LoginExpired, "does not accept"),
    ],
)
def test_answers(found: PortError, kind: type[PortError], message: str) -> None:
    assert type(found) is kind
    assert message in found.message
    assert found.message.isprintable()


def test_details_of_errors() -> None:
    denied = error(403, status(FORBIDDEN.replace('group ""', 'group "apps"')))
    assert isinstance(denied, Denied)
    assert (denied.verb, denied.resource, denied.health) == ("list", "pods.apps", Health.DENIED)
    assert "kubectl auth can-i list pods.apps -n shop" in denied.hint
    assert error(429, b"", retry_after="7").retry_after == 7
    assert error(503, status("x", details={"retryAfterSeconds": 3})).retry_after == 3
    assert error(503, b"", retry_after="Wed, 21 Oct 2026 07:28:00 GMT").retry_after is None
    rejected = error(409, status("c", reason="Conflict"))
    assert isinstance(rejected, Rejected)
    assert (rejected.code, rejected.reason) == (409, "Conflict")
    budget = error(429, status("no", details=BUDGET), EVICTION, "POST")
    assert isinstance(budget, Rejected)
    assert (budget.code, budget.reason) == (429, "DisruptionBudget")


@given(st.integers(300, 599), st.binary(max_size=300), st.sampled_from([PODS, PROXY, "/x"]))
def test_no_answer_makes_anything_but_a_port_error(code: int, body: bytes, path: str) -> None:
    found = error(code, body, path)
    assert found.message.isprintable()
    assert found.message


@given(
    st.fixed_dictionaries(
        {"kind": st.just("Status")},
        optional={
            "message": st.one_of(st.none(), st.text(), st.integers()),
            "reason": st.one_of(st.none(), st.text()),
            "code": st.one_of(st.none(), st.text(), st.integers()),
            "details": st.one_of(st.none(), st.text(), st.dictionaries(st.text(), st.lists(st.none()))),
        },
    ),
    st.sampled_from([400, 401, 403, 404, 409, 410, 429, 500]),
)
def test_a_hostile_status_makes_an_error_too(document: dict[str, Any], code: int) -> None:
    assert error(code, json.dumps(document).encode()).message.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "got eyJhbGciOiJ.eyJzdWIiOiJqbyJ9.sigsig",
        "Authorization: Bearer abcdefghij0123",
        "proxy http://jo:abcdefghij0123@p:1",
        "password=abcdefghij0123 rest",
        "client_secret: abcdefghij0123",
    ],
)
def test_redaction(text: str) -> None:
    cleaned = redact(text)
    assert "abcdefghij0123" not in cleaned
    assert "eyJzdWIi" not in cleaned
    assert "…" in cleaned


@given(st.text(min_size=1), st.text(min_size=1))
def test_no_name_leaves_its_place_in_a_path(namespace: str, name: str) -> None:
    try:
        path = pod_path(namespace, name, "log")
    except UnicodeEncodeError:
        return
    parts = path.split("/")
    assert len(parts) == 8
    assert (unquote(parts[4]), unquote(parts[6])) == (namespace, name)
    assert ".." not in parts
    assert "." not in parts
    assert read_path(path).subresource == "log"


def test_proxy_paths() -> None:
    assert PROXY == "/api/v1/namespaces/shop/services/prom:9090/proxy/api/v1/query"
    assert service_proxy("a", "b", "web", "x", "https") == "/api/v1/namespaces/a/services/https:b:web/proxy/x"
    assert pod_proxy("a", "b", 80) == "/api/v1/namespaces/a/pods/b:80/proxy/"
    assert part("a/b?c#d:e") == "a%2Fb%3Fc%23d%3Ae"


@pytest.mark.parametrize(
    ("method", "path", "verb"),
    [
        ("GET", PODS, "list"),
        ("GET", f"{PODS}/a", "get"),
        ("POST", EVICTION, "create"),
        ("PATCH", "/apis/apps/v1/namespaces/s/deployments/x/scale", "patch"),
        ("DELETE", f"{PODS}/a", "delete"),
        ("DELETE", PODS, "deletecollection"),
    ],
)
def test_verbs(method: str, path: str, verb: str) -> None:
    assert rbac_verb(method, path) == verb


@given(st.lists(st.binary(max_size=400)), st.lists(st.integers(1, 50), min_size=1))
def test_frames_survive_any_cutting(payloads: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(encode(BINARY, payload) for payload in payloads)
    reader = FrameReader()
    got: list[tuple[int, bytes]] = []
    position = index = 0
    while position < len(stream):
        step = cuts[index % len(cuts)]
        got += reader.feed(stream[position : position + step])
        position += step
        index += 1
    assert got == [(BINARY, payload) for payload in payloads]


@pytest.mark.parametrize("size", [0, 125, 126, 65_535, 65_536, 70_001])
def test_frame_sizes(size: int) -> None:
    payload = bytes(range(256)) * (size // 256 + 1)
    assert FrameReader().feed(encode(BINARY, payload[:size])) == [(BINARY, payload[:size])]


def test_fragments_with_a_ping_between() -> None:
    stream = b"\x02\x02ab" + b"\x89\x01p" + b"\x80\x01c"
    assert FrameReader().feed(stream) == [(PING, b"p"), (BINARY, b"abc")]


@pytest.mark.parametrize("stream", [b"\x80\x01c", b"\x02\x01a\x82\x01b", b"\xf2\x00", b"\x82\x7f" + b"\xff" * 8])
def test_a_broken_peer_is_named(stream: bytes) -> None:
    with pytest.raises(BadAnswer):
        FrameReader().feed(stream)


@given(st.binary(max_size=200), st.binary(min_size=4, max_size=4))
def test_masking_is_its_own_inverse(payload: bytes, key: bytes) -> None:
    assert mask(mask(payload, key), key) == payload
