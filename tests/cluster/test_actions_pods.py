"""Pods deleted and evicted on the real API server: by uid, within budgets, and never by a dry run."""

from __future__ import annotations

import json

import msgspec
import pytest
from msgspec.structs import replace

from planc_tui.actions.base import Refusal, Risk
from planc_tui.actions.executor import Prepared, State
from planc_tui.actions.kube import Json, get, list_all
from planc_tui.core.ports import NotFound
from tests.cluster.actions_kit import (
    Bench,
    budget,
    create,
    paste,
    plain_pod,
    rolled_out,
    until,
    workload,
)

pytestmark = pytest.mark.cluster


def pods(bench: Bench, space: str) -> list[Json]:
    found = list_all(bench.port, "Pod", space)
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def app(bench: Bench, space: str, replicas: int = 3) -> list[Json]:
    """A Deployment's pods, ready."""
    create(bench.rig, workload("Deployment", "app", space, replicas=replicas))
    rolled_out(bench.rig, space, "deploy/app")
    return pods(bench, space)


def name_of(pod: Json) -> str:
    return str(pod["metadata"]["name"])


@pytest.mark.parametrize("action", ["pod-delete", "pod-evict"])
def test_the_card_alone_removes_nothing(bench: Bench, space: str, action: str) -> None:
    create(bench.rig, plain_pod("bare", space))
    prepared = bench.prepare(action, bench.target("Pod", "bare", space))
    assert prepared.dry_run == "accepted"
    assert prepared.plan.warnings == ("bare has no controller: nothing replaces it",)
    assert "deletionTimestamp" not in get(bench.port, "Pod", space, "bare")["metadata"]


@pytest.mark.parametrize("action", ["pod-delete", "pod-evict"])
def test_a_pod_goes_and_is_replaced(bench: Bench, space: str, action: str) -> None:
    first, second, third = app(bench, space)
    run = bench.act(action, bench.target("Pod", name_of(first), space))
    assert run.progress.startswith("1/1 gone, 3/3 ready")
    left = {name_of(pod) for pod in pods(bench, space)}
    assert name_of(first) not in left
    assert {name_of(second), name_of(third)} < left
    # The card's command does the same to another pod.
    (command,) = run.plan.equivalents
    command = command.replace(first["metadata"]["uid"], second["metadata"]["uid"])
    paste(bench.rig, command, (name_of(first), name_of(second)))
    until(lambda: name_of(second) not in {name_of(pod) for pod in pods(bench, space)}, "the twin to go")


def test_several_pods_in_one_plan(bench: Bench, space: str) -> None:
    made = app(bench, space, 3)
    targets = [bench.target("Pod", name_of(pod), space) for pod in made[:2]]
    also = msgspec.json.encode(targets[1:]).decode()
    for action, commands in (("pod-delete", 1), ("pod-evict", 2)):
        prepared = bench.prepare(action, targets[0], also=also)
        assert prepared.plan.risk is Risk.HIGH
        assert len(prepared.plan.equivalents) == commands
    assert bench.run(prepared).progress.startswith("2/2 gone, 3/3 ready")


def test_a_replacement_of_the_same_name_is_not_hit(bench: Bench, space: str) -> None:
    create(bench.rig, plain_pod("bare", space))
    row = bench.target("Pod", "bare", space)
    prepared = bench.prepare("pod-delete", row)
    bench.rig.kubectl("-n", space, "delete", "pod", "bare")
    create(bench.rig, plain_pod("bare", space))
    new = get(bench.port, "Pod", space, "bare")["metadata"]["uid"]
    assert "was replaced by another object" in bench.run(prepared, State.REFUSED).progress
    assert "was replaced by another object" in bench.refusal("pod-delete", row).reason
    # Even when the last look comes too early, the precondition stops it on the server.
    blind = Prepared(replace(prepared.plan, guards=()), prepared.permission, prepared.dry_run)
    run = bench.run(blind, State.FAILED)
    assert "precondition" in run.progress.lower()
    assert get(bench.port, "Pod", space, "bare")["metadata"]["uid"] == new


def test_a_budget_at_zero_is_said_in_the_card_in_the_servers_words(bench: Bench, space: str) -> None:
    made = app(bench, space, 2)
    create(bench.rig, budget("keep", space, "app", 2))
    until(lambda: get(bench.port, "PodDisruptionBudget", space, "keep")["status"].get("currentHealthy") == 2, "budget")
    target = bench.target("Pod", name_of(made[0]), space)
    prepared = bench.executor.prepare("pod-evict", target, {})
    assert isinstance(prepared, Prepared)
    assert "disruption budget keep: 0 may be down now" in prepared.plan.blast
    assert "violate the pod's disruption budget" in prepared.refused
    bench.run(prepared, State.REFUSED)
    assert {name_of(pod) for pod in pods(bench, space)} == {name_of(pod) for pod in made}


def test_a_pod_that_is_already_going(bench: Bench, space: str) -> None:
    stuck = plain_pod("stuck", space)
    stuck["metadata"]["finalizers"] = ["planc.dev/test"]
    stuck["metadata"]["annotations"] = {"test/stuck": "yes"}  # else the simulated kubelet takes the finalizers away
    create(bench.rig, stuck)
    row = bench.target("Pod", "stuck", space)
    bench.rig.kubectl("-n", space, "delete", "pod", "stuck", "--wait=false")
    assert bench.refusal("pod-delete", row).reason == "stuck is being deleted"
    bench.rig.kubectl("-n", space, "patch", "pod", "stuck", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    until(lambda: not list_all(bench.port, "Pod", space), "the pod to go")
    with pytest.raises(NotFound):
        get(bench.port, "Pod", space, "stuck")
    assert isinstance(bench.executor.prepare("pod-delete", row, {}), Refusal)


def test_a_leaking_pod_is_found_and_deleted(bench: Bench, space: str) -> None:
    made = app(bench, space, 3)
    leaking = name_of(made[1])
    bench.rig.kubectl("-n", space, "annotate", "pod", leaking, "test/memory=6Gi")
    target = bench.target("Deployment", "app", space)

    def found() -> bool:
        answer = bench.executor.prepare("pods-greediest", target, {"count": "1"})
        if isinstance(answer, Refusal):
            return False
        change = answer.plan.changes[0]
        return change.label == leaking and float(change.before.split()[0]) > 6000

    until(found, "a measurement of the leak", 90)
    prepared = bench.prepare("pods-greediest", target, count="1")
    assert [one.name for one in prepared.plan.targets] == [leaking]
    assert "1 of 3 pods (33%)" in prepared.plan.blast
    run = bench.run(prepared)
    assert "3/3 ready" in run.progress
    assert leaking not in json.dumps([name_of(pod) for pod in pods(bench, space)])
