"""Rows of autoscalers, rollouts, nodes, events and usage, and the tables that hold rows."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.core.age import coarse_age, human_duration
from planc_tui.core.cluster import wire
from planc_tui.core.cluster.budgets import BudgetRow, budget_row
from planc_tui.core.cluster.events import EventRow, EventTable, event_row
from planc_tui.core.cluster.hpa import HpaRow, hpa_row, targets_text
from planc_tui.core.cluster.listing import Listing, RowTable, find
from planc_tui.core.cluster.nodes import node_row
from planc_tui.core.cluster.rollouts import daemonset_row, deployment_row, replicaset_row, statefulset_row
from planc_tui.core.cluster.usage import (
    KEPT,
    Usage,
    extended,
    limit_percent,
    memory_trend,
    pod_usage,
    samples,
    time_to_limit,
)
from tests.unit.fakes import Json

T = TypeVar("T")
MEBI = 2**20


def decoded(kind: type[T], made: Json) -> T:
    return msgspec.json.decode(json.dumps(made), type=kind)


# ------------------------------------------------------------------ autoscalers


def hpa(
    metrics: list[Json], current: list[Json] | None = None, conditions: Json | None = None, **status: Any
) -> HpaRow:
    return hpa_row(
        decoded(
            wire.Hpa,
            {
                "metadata": {"name": "app", "namespace": "shop", "uid": "u"},
                "spec": {"minReplicas": 2, "maxReplicas": 5, "metrics": metrics},
                "status": {
                    "currentReplicas": 3,
                    "desiredReplicas": 3,
                    "currentMetrics": current,
                    "conditions": [
                        {"type": kind, "status": state, "reason": reason, "message": "because"}
                        for kind, (state, reason) in (conditions or {}).items()
                    ],
                    **status,
                },
            },
        )
    )


def resource(kind: str = "resource", **target: Any) -> Json:
    return {"type": kind[0].upper() + kind[1:], kind: {"name": "cpu", "container": "app", "target": target}}


def other(kind: str, **target: Any) -> Json:
    return {"type": kind.capitalize(), kind: {"metric": {"name": "hits"}, "target": target}}


def reading(kind: str, **current: Any) -> Json:
    return {"type": kind, kind: {"name": "cpu", "current": current}}


@pytest.mark.parametrize(
    ("spec", "current", "text"),
    [
        (resource(averageUtilization=60), reading("resource", averageUtilization=70), "cpu: 70%/60%"),
        (resource(averageUtilization=60), None, "cpu: <unknown>/60%"),
        (resource(), reading("resource", averageValue="1"), "cpu: <unknown>/<auto>"),
        (resource(averageValue="500m"), reading("resource", averageValue="350m"), "cpu: 350m/500m"),
        (
            resource("containerResource", averageUtilization=50),
            reading("containerResource", averageUtilization=9),
            "cpu: 9%/50%",
        ),
        (other("pods", averageValue="10"), reading("pods", averageValue="12500m"), "12500m/10"),
        (other("pods", averageValue="10"), None, "<unknown>/10"),
        (other("object", value="2k"), reading("object", value="1500"), "1500/2k"),
        (other("object", averageValue="4"), reading("object", averageValue="3"), "3/4 (avg)"),
        (other("external", value="30"), None, "<unknown>/30"),
        (other("external", averageValue="30"), reading("external", averageValue="31"), "31/30 (avg)"),
        ({"type": "Novel"}, None, "<unknown type>"),
    ],
)
def test_every_kind_of_metric(spec: Json, current: Json | None, text: str) -> None:
    row = hpa([spec], [current] if current else None)
    assert row.metrics == (text,)
    assert targets_text(row.metrics) == text


def test_autoscaler_without_metrics() -> None:
    assert targets_text(hpa([]).metrics) == "<none>"


def test_autoscaler_flags() -> None:
    able = {"AbleToScale": ("True", "ReadyForNewScale"), "ScalingActive": ("True", "ValidMetricFound")}
    well = hpa([], conditions=able)
    assert (well.able, well.at_max, well.unable) == (True, False, False)
    full = hpa(
        [], conditions={**able, "ScalingLimited": ("True", "TooManyReplicas")}, currentReplicas=5, desiredReplicas=5
    )
    assert full.at_max
    assert full.wants_more
    blind = hpa([], conditions={**able, "ScalingActive": ("False", "FailedGetResourceMetric")})
    assert blind.unable
    assert blind.problem == "FailedGetResourceMetric: because"
    off = hpa([], conditions={**able, "ScalingActive": ("False", "ScalingDisabled")})
    assert not off.unable
    assert hpa([]).able is None


# --------------------------------------------------------------------- rollouts


def workload(spec: Json | None = None, status: Json | None = None, **metadata: Any) -> wire.Workload:
    return decoded(
        wire.Workload,
        {
            "metadata": {"name": "w", "namespace": "shop", "uid": "u", "generation": 2, **metadata},
            "spec": {"replicas": 3, **(spec or {})},
            "status": {"observedGeneration": 2, **(status or {})},
        },
    )


def counts(replicas: int, updated: int, available: int) -> Json:
    return {
        "replicas": replicas,
        "updatedReplicas": updated,
        "availableReplicas": available,
        "readyReplicas": available,
    }


@pytest.mark.parametrize(
    ("status", "progress"),
    [
        (counts(3, 3, 3), ""),
        (counts(3, 1, 3), "1 of 3 updated"),
        (counts(4, 3, 3), "1 old to end"),
        (counts(3, 3, 2), "2 of 3 available"),
        ({**counts(3, 3, 3), "observedGeneration": 1}, "waiting for the controller"),
    ],
)
def test_deployment_progress(status: Json, progress: str) -> None:
    row = deployment_row(workload(status=status))
    assert (row.progress, row.stuck, row.done) == (progress, False, not progress)


def test_stuck_deployments_say_why() -> None:
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    quota = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
    row = deployment_row(workload(status={**counts(3, 1, 0), "conditions": [late]}))
    assert (row.stuck, row.problem) == (True, "exceeded its progress deadline")
    assert deployment_row(workload(status={"conditions": [late, quota]})).problem == "exceeded quota"


def test_deployment_change_and_revision() -> None:
    going = {"type": "Progressing", "status": "True", "lastUpdateTime": "2026-11-24T12:00:00Z"}
    row = deployment_row(
        workload(
            status={**counts(3, 3, 3), "conditions": [going]},
            annotations={"deployment.kubernetes.io/revision": "7"},
            creationTimestamp="2026-11-20T00:00:00Z",
        )
    )
    assert (row.revision, row.changed) == ("7", 1_795_521_600.0)


@pytest.mark.parametrize(
    ("strategy", "status", "progress"),
    [
        ({"type": "RollingUpdate"}, counts(3, 3, 3), ""),
        (
            {"type": "RollingUpdate"},
            {**counts(3, 1, 3), "updateRevision": "w-b", "currentRevision": "w-a"},
            "1 of 3 updated",
        ),
        ({"type": "RollingUpdate"}, counts(3, 3, 2), "2 of 3 ready"),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}, counts(3, 1, 3), ""),
        ({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}, counts(3, 1, 3), "1 of 2 updated"),
        ({"type": "OnDelete"}, {**counts(3, 0, 3), "updateRevision": "w-b", "currentRevision": "w-a"}, ""),
        ({"type": "RollingUpdate"}, {**counts(3, 3, 3), "observedGeneration": 0}, "waiting for the controller"),
    ],
)
def test_statefulset_progress(strategy: Json, status: Json, progress: str) -> None:
    assert statefulset_row(workload({"updateStrategy": strategy}, status)).progress == progress


def test_daemonset_progress() -> None:
    status = {"desiredNumberScheduled": 4, "updatedNumberScheduled": 4, "numberAvailable": 3, "numberReady": 3}
    row = daemonset_row(workload({"updateStrategy": {"type": "RollingUpdate"}}, status))
    assert (row.progress, row.ready, row.desired, row.unavailable) == ("3 of 4 available", 3, 4, 1)
    row = daemonset_row(workload(status={**status, "updatedNumberScheduled": 2}))
    assert row.progress == "2 of 4 updated"


def test_change_of_a_template_that_does_not_tell_is_unknown() -> None:
    annotations = {"kubectl.kubernetes.io/restartedAt": "2026-11-24T12:00:00Z"}
    restarted = {"template": {"metadata": {"annotations": annotations}}}
    old: Json = {"creationTimestamp": "2026-11-20T00:00:00Z"}
    assert statefulset_row(workload(**old)).changed == 0
    assert statefulset_row(workload(restarted, **old)).changed == 1_795_521_600.0
    assert statefulset_row(workload(generation=1, **old)).changed == 1_795_521_600.0 - 4.5 * 86400


def test_replicaset_names_its_deployment() -> None:
    owners = [{"kind": "Deployment", "name": "app", "uid": "d", "controller": True}]
    row = replicaset_row(workload(annotations={"deployment.kubernetes.io/revision": "12"}, ownerReferences=owners))
    assert (row.revision, row.owner_name, row.owner_uid) == (12, "app", "d")
    assert replicaset_row(workload()).revision == 0


def test_budget() -> None:
    made = {"spec": {"maxUnavailable": "25%"}, "status": {"disruptionsAllowed": 1, "expectedPods": 8}}
    row: BudgetRow = budget_row(decoded(wire.Budget, made))
    assert (row.rule, row.allowed, row.expected) == ("max 25%", 1, 8)
    assert budget_row(decoded(wire.Budget, {"spec": {"minAvailable": 2}})).rule == "min 2"


# ------------------------------------------------------------------------ nodes


def test_nodes_by_their_conditions() -> None:
    def node(ready: str | None, *, cordoned: bool = False, **true: str) -> Any:
        conditions = [{"type": kind, "status": state, "lastHeartbeatTime": None} for kind, state in true.items()]
        conditions += [{"type": "Ready", "status": ready, "reason": "Kubelet"}] if ready else []
        spec = {"unschedulable": cordoned, "taints": [{"key": "gpu", "effect": "NoSchedule"}]}
        allocatable = {"cpu": "3920m", "memory": "8Gi", "pods": "110"}
        labels = {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "gpu"}
        made = {"metadata": {"name": "n", "labels": labels}, "spec": spec}
        return node_row(decoded(wire.Node, {**made, "status": {"conditions": conditions, "allocatable": allocatable}}))

    well = node("True", DiskPressure="False")
    assert (well.status, well.pressures, well.roles, well.taints) == (
        "Ready",
        (),
        ("gpu", "worker"),
        ("gpu:NoSchedule",),
    )
    assert (well.cpu, well.memory, well.pods) == (3_920_000_000, 2**33, 110)
    assert node("True", cordoned=True).status == "Ready,SchedulingDisabled"
    assert node("True", DiskPressure="True", MemoryPressure="True").pressures == ("memory", "disk")
    assert (node("Unknown").status, node("Unknown").ready) == ("NotReady", None)
    assert node(None).status == "Unknown"


# ----------------------------------------------------------------------- events


def an_event(uid: str, last: float, *, message: str = "m", count: int = 1, kind: str = "Warning") -> EventRow:
    return EventRow(
        uid=uid,
        namespace="shop",
        name=uid,
        kind="Pod",
        object="app-1",
        object_uid="p",
        type=kind,
        reason="BackOff",
        message=message,
        source="kubelet",
        count=count,
        first=last - 10,
        last=last,
    )


def test_repeats_are_one_row_however_they_come() -> None:
    table = EventTable()
    table.begin()
    table.put([an_event("a", 100, count=3), an_event("b", 200, count=2), an_event("c", 150, message="other")])
    table.commit()
    rows = table.snapshot().rows
    assert [(r.message, r.count, r.first, r.last) for r in rows] == [("m", 5, 90, 200), ("other", 1, 140, 150)]
    assert table.put([an_event("a", 300, count=4)])
    assert not table.put([an_event("a", 300, count=4)])
    assert table.snapshot().rows[0].count == 6
    assert table.remove(an_event("a", 300))
    assert not table.remove(an_event("a", 300))
    assert [r.uid for r in table.snapshot().rows] == ["b", "c"]
    table.begin()
    table.put([an_event("c", 150, message="other")])
    assert table.commit()
    assert [r.uid for r in table.snapshot().rows] == ["c"]


def test_times_and_counts_of_both_event_apis() -> None:
    old = {"firstTimestamp": "2026-11-24T12:00:00Z", "lastTimestamp": "2026-11-24T12:01:00Z", "count": 9}
    new = {
        "eventTime": "2026-11-24T12:00:00.000000Z",
        "firstTimestamp": None,
        "lastTimestamp": None,
        "series": {"count": 4, "lastObservedTime": "2026-11-24T12:02:00.500000Z"},
        "reportingComponent": "scheduler",
    }
    a, b = event_row(decoded(wire.Event, old)), event_row(decoded(wire.Event, new))
    assert (a.count, a.last - a.first) == (9, 60)
    assert (b.count, b.last - b.first, b.source) == (4, 120.5, "scheduler")
    alone = event_row(decoded(wire.Event, {"eventTime": "2026-11-24T12:00:00Z"}))
    assert (alone.count, alone.first) == (1, alone.last)


# ----------------------------------------------------------------------- tables


class R(msgspec.Struct, frozen=True):
    namespace: str
    name: str
    uid: str
    value: int = 0


def rows_of(table: RowTable[R]) -> list[R]:
    return list(table.snapshot().rows)


changes = st.lists(
    st.tuples(st.sampled_from(["put", "remove", "relist"]), st.integers(0, 6), st.integers(0, 2)), max_size=40
)


@given(changes)
def test_row_table_is_a_sorted_dictionary(steps: list[tuple[str, int, int]]) -> None:
    table: RowTable[R] = RowTable()
    model: dict[str, R] = {}
    for what, number, value in steps:
        row = R(f"ns{number % 2}", f"name{number % 3}", f"uid{number}", value)
        if what == "put":
            assert table.put([row], 0) == (model.get(row.uid) != row)
            model[row.uid] = row
        elif what == "remove":
            assert table.remove(row) == (model.pop(row.uid, None) is not None)
        else:
            table.begin()
            kept = {uid: old for uid, old in model.items() if int(uid[3:]) < number}
            table.put(sorted(kept.values(), key=lambda r: r.uid))
            table.commit()
            model = kept
        assert rows_of(table) == sorted(model.values(), key=lambda r: (r.namespace, r.name, r.uid))


def test_a_listing_that_is_still_arriving_says_so() -> None:
    table: RowTable[R] = RowTable()
    table.begin()
    table.put([R("a", "x", "1"), R("a", "y", "2")], 5)
    early = table.snapshot()
    assert (early.complete, early.expected, len(early)) == (False, 5, 2)
    assert table.commit()
    assert table.snapshot() == Listing((R("a", "x", "1"), R("a", "y", "2")), True, 2)
    assert find(early, "a", "y") == R("a", "y", "2")
    assert find(early, "a", "z") is None
    assert find(None, "a", "y") is None


# ------------------------------------------------------------------------ usage


def history(*points: tuple[float, float]) -> bytes:
    kept = b""
    for at, memory in points:
        kept = extended(kept, at, 1, int(memory))
    return kept


def test_repeated_samples_do_not_count() -> None:
    kept = history((0, 1), (0, 2), (15, 3), (15, 3), (10, 4))
    assert [(s.at, s.memory) for s in samples(kept)] == [(0, 1), (15, 3)]
    assert memory_trend(kept) == (None, False)
    assert len(samples(history(*((t, t) for t in range(100))))) == KEPT


def test_slope_needs_four_samples_and_finds_a_line() -> None:
    assert memory_trend(history((0, 0), (15, MEBI), (30, 2 * MEBI))) == (None, False)
    pace, growing = memory_trend(history(*((1.8e9 + t * 15, 100 * MEBI + t * MEBI) for t in range(6))))
    assert pace == pytest.approx(MEBI / 15, rel=1e-4)
    assert growing
    assert time_to_limit(100 * MEBI, 200 * MEBI, pace) == pytest.approx(1500, rel=1e-4)
    assert time_to_limit(100 * MEBI, 0, pace) is None
    assert time_to_limit(100 * MEBI, 200 * MEBI, -1.0) is None


def test_one_jump_is_no_leak_and_noise_no_trend() -> None:
    jump = memory_trend(history((0, MEBI), (15, MEBI), (30, 9 * MEBI), (45, 9 * MEBI), (60, 9 * MEBI)))
    assert jump[0] is not None
    assert jump[0] > 0
    assert not jump[1]
    leak = history((0, 100 * MEBI), (15, 120 * MEBI), (30, 119 * MEBI), (45, 150 * MEBI), (60, 160 * MEBI))
    assert memory_trend(leak)[1]
    assert memory_trend(history(*((t * 15, 10 * MEBI + t) for t in range(9)))) == (0.0, False)


def test_usage_of_a_pod_with_two_containers() -> None:
    made = decoded(
        wire.PodMetrics,
        {
            "metadata": {"name": "p", "namespace": "shop"},
            "timestamp": "2026-11-24T12:00:00Z",
            "containers": [
                {"name": "a", "usage": {"cpu": "100000001n", "memory": "1024Ki"}},
                {"name": "b", "usage": {"cpu": "50m", "memory": "3Mi"}},
            ],
        },
    )
    usage = pod_usage(made, None)
    assert (usage.cpu, usage.memory) == (150_000_001, 4 * MEBI)
    assert pod_usage(made, usage).history == usage.history
    with pytest.raises(ValueError, match="not a quantity"):
        pod_usage(decoded(wire.PodMetrics, {"containers": [{"usage": {"cpu": "lots"}}]}), None)


def test_the_container_nearest_to_its_limit_counts() -> None:
    from planc_tui.core.cluster.pods import pod_row
    from tests.unit.fakes import pod

    def container(name: str, limit: str) -> Json:
        return {"name": name, "resources": {"limits": {"memory": limit}} if limit else {}}

    made = pod(spec={"containers": [container("a", "100Mi"), container("b", "10Mi"), container("c", "")]})
    row = pod_row(decoded(wire.Pod, made))
    parts = (("a", 0, 10 * MEBI), ("b", 0, 9 * MEBI), ("c", 0, 500 * MEBI))
    usage = Usage(namespace="shop", name="app-1", cpu=0, memory=519 * MEBI, at=row.created, parts=parts)
    assert limit_percent(row, usage, "memory") == 90
    assert limit_percent(row, usage, "cpu") is None


# ------------------------------------------------------------------------- ages


@given(st.floats(-100, 4e9))
def test_ages_are_short_and_grow(seconds: float) -> None:
    assert len(coarse_age(seconds)) <= 4
    assert len(human_duration(seconds)) <= 9


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (120, "2m"),
        (599, "9m59s"),
        (7 * 3600 + 60, "7h1m"),
        (8 * 86400, "8d"),
        (800 * 86400, "2y70d"),
        (729 * 86400, "729d"),
        (3000 * 86400, "8y"),
        (50 * 3600, "2d2h"),
        (48 * 3600, "2d"),
    ],
)
def test_kubectl_durations(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text
