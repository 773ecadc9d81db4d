"""Nodes cordoned and drained, and traffic sent to the maintenance page, on the real control plane."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from planc_tui.actions.base import Refusal, Risk
from planc_tui.actions.executor import State
from planc_tui.actions.kube import Json, get, list_all
from planc_tui.core.table import Target
from tests.cluster.actions_kit import (
    Bench,
    bench_of,
    budget,
    create,
    namespace_of,
    paste,
    plain_pod,
    rolled_out,
    until,
    workload,
)
from tests.cluster.rig.rig import Rig
from tests.cluster.rig.workload import node as node_object

pytestmark = pytest.mark.cluster

MINE, TWIN = f"planc-drain-{os.getpid()}-a", f"planc-drain-{os.getpid()}-b"
TAINT = {"key": "planc-test", "value": str(os.getpid()), "effect": "NoSchedule"}


@pytest.fixture(scope="module")
def bench(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with bench_of(rig, tmp_path_factory.mktemp("state")) as made, own_nodes(rig):
        yield made


@pytest.fixture
def space(rig: Rig) -> Iterator[str]:
    until(lambda: "planc-nodes-" not in rig.kubectl("get", "pods", "-A"), "the pods of the test before to go")
    with namespace_of(rig, "planc-nodes") as name:
        yield name


@contextmanager
def own_nodes(rig: Rig) -> Iterator[None]:
    """Two nodes that only pods of these tests are put on."""
    for name in (MINE, TWIN):
        made = node_object(name, "planc", "planc")
        made["spec"] = {"taints": [TAINT]}
        create(rig, made)
        rig.kubectl("wait", f"node/{name}", "--for=condition=Ready", "--timeout=60s")
    try:
        yield
    finally:
        rig.kubectl("delete", "node", MINE, TWIN)


@pytest.fixture(autouse=True)
def open_nodes(bench: Bench) -> Iterator[None]:
    yield
    bench.rig.kubectl("uncordon", MINE, TWIN)


def on_own_nodes(made: Json, *names: str, volumes: list[Json] | None = None) -> Json:
    """A workload or pod bound to nodes of these tests."""
    spec = made["spec"]["template"]["spec"] if "template" in made["spec"] else made["spec"]
    values = list(names)
    term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": values}]}
    spec["affinity"] = {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]},
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 100,
                    "preference": {
                        "matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [names[0]]}]
                    },
                }
            ],
        }
    }
    spec["tolerations"] = [{**TAINT, "operator": "Equal"}]
    if volumes:
        spec["volumes"] = volumes
    return made


def here(bench: Bench, space: str, node: str) -> set[str]:
    """Names of this test's pods on a node."""
    found = list_all(bench.port, "Pod", space, fieldSelector=f"spec.nodeName={node}")
    return {str(pod["metadata"]["name"]) for pod in found}


def test_cordon_and_uncordon(bench: Bench) -> None:
    run = bench.act("cordon", bench.target("Node", MINE))
    paste(bench.rig, run.plan.equivalents[0], (MINE, TWIN))
    mine, twin = (get(bench.port, "Node", "", name)["spec"] for name in (MINE, TWIN))
    assert mine.pop("providerID", None) == twin.pop("providerID", None)
    assert [taint["key"] for taint in mine["taints"]] == [taint["key"] for taint in twin["taints"]]
    assert mine["unschedulable"] is twin["unschedulable"] is True
    assert "cordoned already" in bench.refusal("cordon", bench.target("Node", MINE)).reason
    back = bench.take_back(run)
    paste(bench.rig, back.plan.equivalents[0], (MINE, TWIN))
    assert all("unschedulable" not in get(bench.port, "Node", "", name)["spec"] for name in (MINE, TWIN))


def test_drain_lists_moves_and_spares(bench: Bench, space: str) -> None:
    create(
        bench.rig,
        on_own_nodes(
            workload("Deployment", "app", space, replicas=3), MINE, TWIN, volumes=[{"name": "v", "emptyDir": {}}]
        ),
        on_own_nodes(workload("DaemonSet", "agent", space), MINE),
        plain_pod("bare", space, MINE, tolerations=[{"operator": "Exists"}]),
    )
    rolled_out(bench.rig, space, "deploy/app", "ds/agent")
    until(lambda: len(here(bench, space, MINE)) >= 5, "the pods to be on the node")
    node = bench.target("Node", MINE)
    moving = {name for name in here(bench, space, MINE) if name.startswith("app-")}
    assert f"bare pods would be lost: {space}/bare" in bench.refusal("drain", node).reason
    assert "emptyDir data would be lost" in bench.refusal("drain", node, force="yes", emptydir="no").reason
    prepared = bench.prepare("drain", node, force="yes")
    assert (prepared.plan.risk, prepared.plan.confirm_word) == (Risk.HIGH, MINE)
    listed = {change.label for change in prepared.plan.changes}
    assert listed == {"takes new pods", f"{space}/bare", *(f"{space}/{name}" for name in moving)}
    assert f"{space}/bare is a bare pod: nothing starts it again" in prepared.plan.warnings
    run = bench.run(prepared)
    assert f"drained, {len(moving) + 1} pods moved" in run.progress
    assert all(name.startswith("agent-") for name in here(bench, space, MINE))
    until(lambda: len([n for n in here(bench, space, TWIN) if n.startswith("app-")]) == 3, "the app on the other node")
    # kubectl's command finds nothing more to do on the node, and does the same to the other one.
    assert "evicting" not in paste(bench.rig, run.plan.equivalents[0])
    bench.take_back(run)
    paste(bench.rig, run.plan.equivalents[0], (MINE, TWIN))
    until(lambda: not here(bench, space, TWIN), "kubectl to have drained the twin")


def test_drain_waits_for_a_budget_and_a_cancel_offers_uncordon(bench: Bench, space: str) -> None:
    create(
        bench.rig,
        on_own_nodes(workload("Deployment", "app", space, replicas=2), MINE),
        budget("keep", space, "app", 2),
    )
    rolled_out(bench.rig, space, "deploy/app")
    until(lambda: get(bench.port, "PodDisruptionBudget", space, "keep")["status"].get("currentHealthy") == 2, "budget")
    prepared = bench.prepare("drain", bench.target("Node", MINE))
    assert any("the drain waits until it allows some" in line for line in prepared.plan.blast)
    run = bench.start(prepared)
    until(lambda: "disruption budget" in bench.seen[-1].progress, "the server's words about the budget", 30)
    assert len(here(bench, space, MINE)) == 2
    bench.executor.cancel(run.id)
    over = bench.finish()
    assert over.state is State.CANCELLED
    assert "0/2 pods gone" in over.progress
    assert "the node is still cordoned: uncordon it" in over.progress
    bench.take_back(over)
    assert "unschedulable" not in get(bench.port, "Node", "", MINE)["spec"]


def test_drain_goes_on_when_the_budget_allows(bench: Bench, space: str) -> None:
    create(
        bench.rig,
        on_own_nodes(workload("Deployment", "app", space, replicas=2), MINE, TWIN),
        budget("keep", space, "app", 2),
    )
    rolled_out(bench.rig, space, "deploy/app")
    until(lambda: get(bench.port, "PodDisruptionBudget", space, "keep")["status"].get("currentHealthy") == 2, "budget")
    bench.start(bench.prepare("drain", bench.target("Node", MINE)))
    until(lambda: "waiting" in bench.seen[-1].progress, "the drain to wait", 30)
    bench.rig.kubectl("-n", space, "patch", "pdb", "keep", "--type=merge", "-p", '{"spec":{"minAvailable":0}}')
    over = bench.finish()
    assert over.state is State.RECOVERED
    assert not here(bench, space, MINE)


def ingress(bench: Bench, space: str, **annotations: str) -> Target:
    """Two Ingresses and the page's Service."""
    backend = {"service": {"name": "app", "port": {"number": 80}}}
    for name in ("mine", "twin"):
        create(
            bench.rig,
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "Ingress",
                "metadata": {"name": name, "namespace": space, "annotations": annotations},
                "spec": {"defaultBackend": backend},
            },
        )
    return bench.target("Ingress", "mine", space)


def annotations_of(bench: Bench, space: str, name: str = "mine") -> Json:
    found: Json = get(bench.port, "Ingress", space, name)["metadata"].get("annotations") or {}
    return found


def test_maintenance_on_and_off(bench: Bench, space: str) -> None:
    errors, backend = "nginx.ingress.kubernetes.io/custom-http-errors", "nginx.ingress.kubernetes.io/default-backend"
    earlier = {errors: "404", "team": "workflow"}
    target = ingress(bench, space, **earlier)
    assert "maintenance-page does not exist" in bench.refusal("maintenance-on", target).reason
    assert "off already" not in bench.refusal("maintenance-on", target).reason
    bench.rig.kubectl("-n", space, "create", "service", "clusterip", "maintenance-page", "--tcp=80:80")
    prepared = bench.prepare("maintenance-on", target)
    assert prepared.plan.risk is Risk.HIGH
    run = bench.run(prepared)
    on = annotations_of(bench, space)
    assert (on[errors], on[backend]) == ("503", "maintenance-page")
    paste(bench.rig, run.plan.equivalents[0], ("mine", "twin"))
    assert annotations_of(bench, space, "twin") == on
    assert "maintenance is on already" in bench.refusal("maintenance-on", target).reason
    # Somebody takes one of the two off; on again must not forget what was there before.
    bench.rig.kubectl("-n", space, "annotate", "ingress", "mine", f"{backend}-")
    bench.act("maintenance-on", target)
    back = bench.take_back(run)
    assert annotations_of(bench, space) == earlier
    paste(bench.rig, back.plan.equivalents[0], ("mine", "twin"))
    assert annotations_of(bench, space, "twin") == earlier
    assert "off already" in bench.refusal("maintenance-off", target).reason


def test_an_ingress_that_somebody_changed_after_the_card(bench: Bench, space: str) -> None:
    target = ingress(bench, space, team="workflow")
    bench.rig.kubectl("-n", space, "create", "service", "clusterip", "maintenance-page", "--tcp=80:80")
    prepared = bench.prepare("maintenance-on", target)
    bench.rig.kubectl("-n", space, "annotate", "ingress", "mine", "other=1")
    assert "modified by somebody else" in bench.run(prepared, State.REFUSED).progress
    assert "503" not in json.dumps(annotations_of(bench, space))


def test_a_node_that_does_not_exist(bench: Bench) -> None:
    refused = bench.executor.prepare("drain", Target("Node", "no-such-node", context=bench.port.context), {})
    assert isinstance(refused, Refusal)
    assert "not found" in refused.reason
