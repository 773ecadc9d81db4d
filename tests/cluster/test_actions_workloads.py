"""Actions on workloads: each done, verified and undone on the real control plane, and like kubectl's on a twin."""

from __future__ import annotations

import json
import time

import pytest

from planc_tui.actions.base import Refusal, Risk
from planc_tui.actions.executor import State
from planc_tui.actions.kube import get, list_all
from planc_tui.core.table import Target
from tests.cluster.actions_kit import (
    Bench,
    Json,
    create,
    paste,
    rolled_out,
    shape,
    until,
    workload,
)

pytestmark = pytest.mark.cluster

MINE, TWIN = "planc-mine", "kubectl-twin"
SHORT = {"Deployment": "deploy", "StatefulSet": "sts", "DaemonSet": "ds"}
RESTARTED = "kubectl.kubernetes.io/restartedAt"


def twins(bench: Bench, space: str, kind: str = "Deployment") -> Target:
    """Two workloads alike but for their names; the first is planc's."""
    create(bench.rig, *(workload(kind, name, space) for name in (MINE, TWIN)))
    rolled_out(bench.rig, space, *(f"{SHORT[kind]}/{name}" for name in (MINE, TWIN)))
    return bench.target(kind, MINE, space)


def alike(bench: Bench, target: Target) -> None:
    """Both have, as soon as the controllers have seen them, the same annotations and spec, but for the second at
    which each was restarted."""

    def shapes() -> list[Json]:
        found = [shape(bench.port, target.kind, target.namespace, name) for name in (MINE, TWIN)]
        for each in found:
            annotations = each["spec"]["template"]["metadata"].get("annotations") or {}
            if RESTARTED in annotations:
                annotations[RESTARTED] = "then"
        return found

    end = time.monotonic() + 5
    mine, twin = shapes()
    while mine != twin and time.monotonic() < end:
        time.sleep(0.1)
        mine, twin = shapes()
    assert mine == twin


def template(bench: Bench, target: Target) -> Json:
    found: Json = get(bench.port, target.kind, target.namespace, target.name)["spec"]["template"]
    return found


CHANGES = [
    ("rollout-restart", {}),
    ("set-env", {"env": "FIRST=2 NEW='a b' EMPTY="}),
    ("set-env", {"env": "TOKEN=plain FIRST-"}),
    ("set-env", {"env": "ONLY=1", "container": "side"}),
    ("set-image", {"image": "registry.example/app:2", "container": "app"}),
    ("set-image", {"image": "registry.example/init:2", "container": "init"}),
    ("set-resources", {"container": "app", "memory-limit": "8Gi", "cpu-limit": "4000m", "memory-request": "1Gi"}),
    ("set-resources", {"container": "side", "cpu-request": "0.5"}),
    ("set-resources", {"container": "app", "memory-limit": "none"}),
]


@pytest.mark.parametrize(("action", "args"), CHANGES, ids=[f"{a}-{n}" for n, (a, _) in enumerate(CHANGES)])
def test_a_change_is_kubectls_and_its_undo_is_exact(
    bench: Bench, space: str, action: str, args: dict[str, str]
) -> None:
    target = twins(bench, space)
    before = template(bench, target)
    run = bench.act(action, target, **args)
    assert "2/2 available" in run.progress
    paste(bench.rig, run.plan.equivalents[0], (MINE, TWIN))
    alike(bench, target)
    if action == "rollout-restart":
        assert bench.executor.undo(run) is None
        return
    offered = bench.executor.undo(run)
    assert offered is not None
    action, target, undo_args = offered
    prepared = bench.prepare(action, target, **undo_args)
    bench.run(prepared)
    assert template(bench, target) == before
    paste(bench.rig, prepared.plan.equivalents[0], (MINE, TWIN))
    alike(bench, target)


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_the_other_kinds(bench: Bench, space: str, kind: str) -> None:
    target = twins(bench, space, kind)
    bench_args: list[tuple[str, dict[str, str]]] = [
        ("set-env", {"env": "A=1"}),
        ("rollout-restart", {}),
        ("rollout-undo", {"revision": "1"}),
    ]
    for action, args in bench_args:
        run = bench.act(action, target, **args)
        paste(bench.rig, run.plan.equivalents[0], (MINE, TWIN))
        rolled_out(bench.rig, space, f"{SHORT[kind]}/{TWIN}")
        alike(bench, target)
    assert bench.executor.undo(run) == ("rollout-undo", run.plan.targets[0], {"revision": "3"})


def test_undo_of_a_rollout(bench: Bench, space: str) -> None:
    target = twins(bench, space)
    for name in (MINE, TWIN):
        bench.rig.kubectl("-n", space, "annotate", f"deploy/{name}", "kubernetes.io/change-cause=first")
        bench.rig.kubectl("-n", space, "set", "image", f"deploy/{name}", "app=registry.example/app:bad")
        bench.rig.kubectl("-n", space, "annotate", f"deploy/{name}", "kubernetes.io/change-cause=bad", "--overwrite")
    rolled_out(bench.rig, space, f"deploy/{MINE}", f"deploy/{TWIN}")
    prepared = bench.prepare("rollout-undo", target)
    assert [(c.label, c.before, c.after) for c in prepared.plan.changes] == [
        ("revision", "2", "1"),
        ("app image", "registry.example/app:bad", "registry.example/app:1"),
    ]
    run = bench.run(prepared)
    paste(bench.rig, run.plan.equivalents[0], (MINE, TWIN))
    rolled_out(bench.rig, space, f"deploy/{TWIN}")
    alike(bench, target)
    back = bench.take_back(run)
    assert (back.plan.payload["from"], back.plan.payload["to"]) == (3, 2)
    assert template(bench, target)["spec"]["containers"][0]["image"] == "registry.example/app:bad"
    assert "revision 1 is gone; there are 3, 4" in bench.refusal("rollout-undo", target, revision="1").reason
    assert "nothing to undo" in bench.refusal("rollout-undo", target, revision="4").reason


def test_pause_and_resume(bench: Bench, space: str) -> None:
    target = twins(bench, space)
    run = bench.act("rollout-pause", target)
    paste(bench.rig, run.plan.equivalents[0], (MINE, TWIN))
    alike(bench, target)
    for action in ("rollout-restart", "rollout-undo"):
        refused = bench.refusal(action, target)
        assert refused.offer == ("rollout-resume", {})
    resumed = bench.take_back(run)
    paste(bench.rig, resumed.plan.equivalents[0], (MINE, TWIN))
    alike(bench, target)
    assert "not paused already" in bench.refusal("rollout-resume", target).reason


def test_scale(bench: Bench, space: str) -> None:
    target = twins(bench, space)
    run = bench.act("scale", target, replicas="5")
    assert "5/5 available" in run.progress
    paste(bench.rig, run.plan.equivalents[0], (MINE, TWIN))
    alike(bench, target)
    bench.take_back(run)
    assert get(bench.port, "Deployment", space, MINE)["spec"]["replicas"] == 2
    stop = bench.prepare("scale", target, replicas="0")
    assert (stop.plan.risk, stop.plan.confirm_word) == (Risk.HIGH, MINE)
    stopped = bench.run(stop)
    until(lambda: not list_all(bench.port, "Pod", space, labelSelector=f"app={MINE}"), "pods to stop")
    bench.take_back(stopped)


def test_an_autoscaler_owns_the_replicas(bench: Bench, space: str) -> None:
    target = twins(bench, space)
    bench.rig.kubectl("-n", space, "autoscale", f"deploy/{MINE}", "--min=2", "--max=4", "--cpu=90%")
    bench.rig.kubectl("-n", space, "autoscale", f"deploy/{TWIN}", "--min=2", "--max=4", "--cpu=90%")
    refused = bench.refusal("scale", target, replicas="6")
    assert f"HPA {MINE} (2‥4) owns the replicas" in refused.reason
    assert refused.offer == ("hpa-bounds", {"hpa": MINE, "min": "6", "max": "6"})
    # The real autoscaler acts on the bounds, and on them alone.
    run = bench.act("hpa-bounds", target, **refused.offer[1])
    assert "6 replicas of 6‥6" in run.progress
    paste(bench.rig, run.plan.equivalents[0], (MINE, TWIN))
    mine, twin = (shape(bench.port, "HorizontalPodAutoscaler", space, name) for name in (MINE, TWIN))
    assert mine == twin
    back = bench.take_back(run)
    assert back.plan.targets[0].kind == "HorizontalPodAutoscaler"
    spec = get(bench.port, "HorizontalPodAutoscaler", space, MINE)["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 4)
    # At 0 the autoscaler stands still: then scaling is ours, and says so.
    stop = bench.prepare("scale", target, replicas="0")
    assert stop.plan.warnings == (f"HPA {MINE} stands still from now on",)
    stopped = bench.run(stop)
    until(
        lambda: "ScalingDisabled" in json.dumps(get(bench.port, "HorizontalPodAutoscaler", space, MINE)["status"]),
        "the autoscaler to stand still",
    )
    assert get(bench.port, "Deployment", space, MINE)["spec"]["replicas"] == 0
    assert "takes over again" in bench.take_back(stopped).plan.warnings[0]


def test_bounds_that_somebody_changed_after_the_card(bench: Bench, space: str) -> None:
    twins(bench, space)
    bench.rig.kubectl("-n", space, "autoscale", f"deploy/{MINE}", "--min=2", "--max=4", "--cpu=90%")
    prepared = bench.prepare("hpa-bounds", bench.target("HorizontalPodAutoscaler", MINE, space), min="3")
    bench.rig.kubectl("-n", space, "patch", "hpa", MINE, "--type=merge", "-p", '{"spec":{"maxReplicas":9}}')
    run = bench.run(prepared, State.REFUSED)
    assert "it changed since you looked" in run.progress
    assert get(bench.port, "HorizontalPodAutoscaler", space, MINE)["spec"]["minReplicas"] == 2


def test_a_bad_deploy_of_oomkilled_pods_is_healed_by_undo(bench: Bench, space: str) -> None:
    target = twins(bench, space)
    patch = {"spec": {"template": {"metadata": {"annotations": {"test/crash": "oom"}}}}}
    bench.rig.kubectl("-n", space, "patch", f"deploy/{MINE}", "-p", json.dumps(patch))

    def killed() -> list[str]:
        pods = list_all(bench.port, "Pod", space, labelSelector=f"app={MINE}")
        return [pod["metadata"]["name"] for pod in pods if "OOMKilled" in json.dumps(pod["status"])]

    until(lambda: bool(killed()), "pods to be OOMKilled")
    run = bench.act("rollout-undo", target)
    assert "2/2 available" in run.progress
    until(lambda: not killed(), "the killed pods to go")


def test_the_spec_changed_after_the_card(bench: Bench, space: str) -> None:
    target = twins(bench, space)
    prepared = bench.prepare("rollout-restart", target)
    bench.rig.kubectl("-n", space, "set", "env", f"deploy/{MINE}", "SOMEBODY=else")
    run = bench.run(prepared, State.REFUSED)
    assert "was changed by somebody else" in run.progress
    assert RESTARTED not in (template(bench, target)["metadata"].get("annotations") or {})


def test_the_object_was_replaced_since_the_row_was_drawn(bench: Bench, space: str) -> None:
    target = twins(bench, space)
    prepared = bench.prepare("set-env", target, env="A=1")
    bench.rig.kubectl("-n", space, "delete", f"deploy/{MINE}")
    create(bench.rig, workload("Deployment", MINE, space))
    assert "replaced by another object" in bench.run(prepared, State.REFUSED).progress
    assert "was replaced by another object" in bench.refusal("set-env", target, env="A=1").reason
    bench.rig.kubectl("-n", space, "delete", f"deploy/{MINE}")
    gone = bench.executor.prepare("scale", target, {"replicas": "3"})
    assert isinstance(gone, Refusal)
    assert "not found" in gone.reason


def test_a_quota_is_told_in_the_servers_words(bench: Bench, space: str) -> None:
    target = twins(bench, space)
    bench.rig.kubectl("-n", space, "create", "quota", "few", "--hard=pods=5")
    run = bench.start(bench.prepare("scale", target, replicas="6"))
    until(lambda: "exceeded quota: few" in bench.seen[-1].progress, "the quota's words", 30)
    bench.executor.cancel(run.id)
    over = bench.finish()
    assert over.state is State.UNKNOWN
    assert "you stopped the check before the effect was seen" in over.progress
    assert bench.executor.undo(over) == ("scale", over.plan.targets[0], {"replicas": "2"})
