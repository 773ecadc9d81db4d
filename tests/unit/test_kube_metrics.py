"""Usage from metrics.k8s.io, and what its absence is called."""

from __future__ import annotations

import json

import pytest

from planc_tui.core.health import Health
from planc_tui.core.ports import BadAnswer, Denied, NotFound, PortError, ServiceAway, Throttled, Unreachable
from planc_tui.sources.metrics import node_metrics, pod_metrics
from tests.steps import complete
from tests.unit.fakes import FakePort, Json

BETA = "/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods"
STABLE = "/apis/metrics.k8s.io/v1/namespaces/shop/pods"


def usage(name: str, cpu: str, memory: str, minute: int = 0) -> Json:
    stamp = f"2026-11-24T12:{minute:02d}:00Z"
    containers = [{"name": "app", "usage": {"cpu": cpu, "memory": memory}}]
    return {"metadata": {"name": name, "namespace": "shop"}, "timestamp": stamp, "containers": containers}


def listed(*items: Json) -> bytes:
    return json.dumps({"kind": "PodMetricsList", "metadata": {}, "items": list(items)}).encode()


def test_orders_and_history() -> None:
    port = FakePort()
    port.answer(BETA, *(listed(usage("a", "5m", f"{m}Mi", m), usage("b", "7m", "1Mi", m)) for m in (2, 3, 3, 4, 5)))
    source = pod_metrics(port, "shop")
    for _ in range(5):
        table = complete(source.read())
    assert [u.name for u in table.by_cpu] == ["b", "a"]
    assert [u.name for u in table.by_memory] == ["a", "b"]
    a, b = table.by_memory
    assert a.slope == pytest.approx(2**20 / 60, rel=1e-4)
    assert (a.growing, b.growing, b.slope) == (True, False, 0.0)


def test_noise_below_what_is_shown_moves_no_row() -> None:
    port = FakePort()
    port.answer(
        BETA,
        listed(usage("b", "4999400n", "2050Ki"), usage("a", "4999300n", "2049Ki"), usage("c", "9m", "9Mi")),
        listed(usage("a", "4999100n", "2048Ki"), usage("b", "4999900n", "2049Ki"), usage("c", "8m", "8Mi")),
    )
    source = pod_metrics(port, "shop")
    for table in (complete(source.read()), complete(source.read())):
        assert [u.name for u in table.by_cpu] == ["c", "a", "b"]
        assert [u.name for u in table.by_memory] == ["c", "a", "b"]


def test_a_pod_that_cannot_be_read_costs_no_other() -> None:
    port = FakePort()
    port.answer(BETA, listed(usage("a", "lots", "1Mi"), usage("b", "1m", "1Mi")))
    assert [u.name for u in complete(pod_metrics(port, "shop").read()).by_cpu] == ["b"]


def test_the_newer_api_is_found_and_remembered() -> None:
    port = FakePort()
    port.answer(BETA, NotFound("404"))
    port.answer(STABLE, listed(usage("a", "1m", "1Mi")))
    source = pod_metrics(port, "shop")
    complete(source.read())
    complete(source.read())
    assert [asked.path for asked in port.requests] == [BETA, STABLE, STABLE]


@pytest.mark.parametrize(
    ("failure", "kind", "text"),
    [
        (Unreachable("503"), Unreachable, "metrics-server does not answer: 503"),
        (NotFound("404"), NotFound, "no metrics API"),
        (Denied("may not list pods.metrics.k8s.io"), Denied, "may not list"),
        (Throttled("slow", retry_after=2), Throttled, "slow"),
        (b"404 page not found", BadAnswer, "not a list of metrics"),
        (b'{"kind":"Status"}', BadAnswer, "not a list of metrics"),
    ],
)
def test_absence_has_a_name(failure: PortError | bytes, kind: type[PortError], text: str) -> None:
    port = FakePort()
    port.answer(BETA, failure)
    port.answer(STABLE, failure)
    with pytest.raises(kind, match=text) as caught:
        complete(pod_metrics(port, "shop").read())
    assert caught.value.health in (Health.UNREACHABLE, Health.DENIED)


def test_an_api_server_that_says_so_itself_was_heard() -> None:
    heard: list[bool] = []
    port = FakePort()
    port.answer(BETA, Unreachable("no answer"), ServiceAway("answers 503"), listed(usage("a", "1m", "1Mi")))
    source = pod_metrics(port, "shop", lambda: heard.append(True))
    for absence in (0, 1):
        with pytest.raises(Unreachable, match="metrics-server does not answer"):
            complete(source.read())
        assert len(heard) == absence
    complete(source.read())
    assert len(heard) == 2


def test_nodes() -> None:
    port = FakePort()
    node = {"metadata": {"name": "n"}, "timestamp": None, "usage": {"cpu": "1", "memory": "2Gi"}}
    port.answer("/apis/metrics.k8s.io/v1beta1/nodes", json.dumps({"kind": "NodeMetricsList", "items": [node]}).encode())
    table = complete(node_metrics(port).read())
    assert table.by_name["", "n"].cpu == 10**9
