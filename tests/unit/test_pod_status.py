"""STATUS, READY and RESTARTS as kubectl prints them, pod by pod."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.core.cluster import wire
from planc_tui.core.cluster.pods import (
    CRITICAL,
    FINISHED,
    HEALTHY,
    WARNING,
    PodRow,
    pod_row,
    restarts_text,
    unhealthy_first,
)
from tests.unit.fakes import Json, ended, pod, running, terminated, waiting

DECODER = msgspec.json.Decoder(wire.Pod)
NOT_INITIALIZED = [{"type": "Initialized", "status": "False"}]
READY = [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "True"}]
UNREADY = [{"type": "Initialized", "status": "True"}, {"type": "Ready", "status": "False"}]
TWO_INIT = {"containers": [{"name": "app"}], "initContainers": [{"name": "one"}, {"name": "two"}]}
SIDECAR = {"containers": [{"name": "app"}], "initContainers": [{"name": "mesh", "restartPolicy": "Always"}]}


def row(made: Json) -> PodRow:
    return pod_row(DECODER.decode(json.dumps(made)))


def status(containers: list[Json] | None = None, init: list[Json] | None = None, **more: Any) -> Json:
    return {"containerStatuses": containers, "initContainerStatuses": init, **more}


CASES: list[tuple[str, Json, str, str, int, int]] = [
    # what it is about, pod, STATUS, READY, restarts, rank
    ("running", pod(), "Running", "1/1", 0, HEALTHY),
    ("no status yet", pod(status=status(phase="Pending", conditions=None)), "Pending", "0/1", 0, WARNING),
    ("no ready container", pod(status=status([running(ready=False)])), "Running", "0/1", 0, WARNING),
    (
        "gated",
        pod(
            status=status(
                phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]
            )
        ),
        "SchedulingGated",
        "0/1",
        0,
        WARNING,
    ),
    ("creating", pod(status=status([waiting("ContainerCreating")])), "ContainerCreating", "0/1", 0, WARNING),
    ("crash loop", pod(status=status([waiting("CrashLoopBackOff", restarts=7)])), "CrashLoopBackOff", "0/1", 7, 0),
    ("no image", pod(status=status([waiting("ImagePullBackOff")])), "ImagePullBackOff", "0/1", 0, CRITICAL),
    ("killed for memory", pod(status=status([ended(137, "OOMKilled")])), "OOMKilled", "0/1", 0, CRITICAL),
    ("exit code", pod(status=status([ended(3)])), "ExitCode:3", "0/1", 0, CRITICAL),
    ("signal", pod(status=status([ended(0, signal=9)])), "Signal:9", "0/1", 0, CRITICAL),
    ("done", pod(status=status([ended(0, "Completed")], phase="Succeeded")), "Completed", "0/1", 0, FINISHED),
    ("evicted", pod(status=status(phase="Failed", reason="Evicted")), "Evicted", "0/1", 0, WARNING),
    (
        "the first container has the last word",
        pod(status=status([waiting("CrashLoopBackOff", "a"), ended(1, "Error", name="b")])),
        "CrashLoopBackOff",
        "0/1",
        0,
        CRITICAL,
    ),
    (
        "one done, one running and ready",
        pod(
            spec={"containers": [{"name": "a"}, {"name": "b"}]},
            status=status([ended(0, "Completed", name="a"), running("b")], conditions=READY),
        ),
        "Running",
        "1/2",
        0,
        WARNING,
    ),
    (
        "one done, one running, not ready",
        pod(
            spec={"containers": [{"name": "a"}, {"name": "b"}]},
            status=status([ended(0, "Completed", name="a"), running("b")], conditions=UNREADY),
        ),
        "NotReady",
        "1/2",
        0,
        WARNING,
    ),
    (
        "one done, one failed",
        pod(
            spec={"containers": [{"name": "a"}, {"name": "b"}]},
            status=status([ended(0, "Completed", name="a"), ended(1, "Error", name="b")]),
        ),
        "Error",
        "0/2",
        0,
        CRITICAL,
    ),
    (
        "first init container",
        pod(
            spec=TWO_INIT,
            status=status(
                [waiting("PodInitializing")],
                [running("one", restarts=2), waiting("PodInitializing", "two")],
                phase="Pending",
                conditions=NOT_INITIALIZED,
            ),
        ),
        "Init:0/2",
        "0/1",
        2,
        WARNING,
    ),
    (
        "second init container",
        pod(
            spec=TWO_INIT,
            status=status([], [ended(0, name="one"), waiting("PodInitializing", "two")], conditions=NOT_INITIALIZED),
        ),
        "Init:1/2",
        "0/1",
        0,
        WARNING,
    ),
    (
        "init error",
        pod(spec=TWO_INIT, status=status([], [ended(1, "Error", name="one")], conditions=NOT_INITIALIZED)),
        "Init:Error",
        "0/1",
        0,
        CRITICAL,
    ),
    (
        "init exit code",
        pod(spec=TWO_INIT, status=status([], [ended(4, name="one")], conditions=NOT_INITIALIZED)),
        "Init:ExitCode:4",
        "0/1",
        0,
        CRITICAL,
    ),
    (
        "init signal",
        pod(spec=TWO_INIT, status=status([], [ended(1, signal=6, name="one")], conditions=NOT_INITIALIZED)),
        "Init:Signal:6",
        "0/1",
        0,
        CRITICAL,
    ),
    (
        "init without image",
        pod(spec=TWO_INIT, status=status([], [waiting("ErrImagePull", "one")], conditions=NOT_INITIALIZED)),
        "Init:ErrImagePull",
        "0/1",
        0,
        CRITICAL,
    ),
    (
        "restarts of init containers do not count once they are done",
        pod(spec=TWO_INIT, status=status([running(restarts=1)], [ended(0, name="one", restartCount=5)])),
        "Running",
        "1/1",
        1,
        HEALTHY,
    ),
    (
        "sidecar counts",
        pod(spec=SIDECAR, status=status([running(restarts=1)], [running("mesh", restarts=2)])),
        "Running",
        "2/2",
        3,
        HEALTHY,
    ),
    (
        "sidecar not started",
        pod(
            spec=SIDECAR,
            status=status([], [running("mesh", ready=False) | {"started": False}], conditions=NOT_INITIALIZED),
        ),
        "Init:0/1",
        "0/2",
        0,
        WARNING,
    ),
    ("going", pod(metadata={"deletionTimestamp": "2026-11-24T12:05:00Z"}), "Terminating", "1/1", 0, WARNING),
    (
        "finished and going",
        pod(
            metadata={"deletionTimestamp": "2026-11-24T12:05:00Z"},
            status=status([ended(0, "Completed")], phase="Succeeded"),
        ),
        "Completed",
        "0/1",
        0,
        FINISHED,
    ),
    (
        "node lost",
        pod(metadata={"deletionTimestamp": "2026-11-24T12:05:00Z"}, status={"reason": "NodeLost"}),
        "Unknown",
        "1/1",
        0,
        CRITICAL,
    ),
]


@pytest.mark.parametrize(("about", "made", "word", "ready", "restarts", "rank"), CASES, ids=[c[0] for c in CASES])
def test_kubectl_words(about: str, made: Json, word: str, ready: str, restarts: int, rank: int) -> None:
    got = row(made)
    assert (got.status, f"{got.ready}/{got.total}", got.restarts, got.rank) == (word, ready, restarts, rank), about


def test_age_of_the_last_restart_is_of_the_latest() -> None:
    last: Json = {"lastState": terminated(1, at="2026-11-24T12:01:00Z")}
    later: Json = {"lastState": terminated(137, "OOMKilled", at="2026-11-24T12:03:00Z")}
    got = row(pod(status=status([running(restarts=2, **later), running("b", restarts=1, **last)])))
    assert restarts_text(got, got.created + 480) == "3 (5m ago)"
    assert got.oom
    assert got.oom_at == got.last_restart == got.created + 180


def test_lists_may_be_null_and_fields_missing() -> None:
    nothing = {"containers": None, "initContainers": None}
    got = row({"metadata": {"labels": None, "ownerReferences": None}, "spec": nothing, "status": {"conditions": None}})
    assert (got.status, got.ready, got.total) == ("", 0, 0)


def test_amounts_of_the_pod() -> None:
    def container(name: str, **resources: Json) -> Json:
        return {"name": name, "resources": resources}

    one = container("a", requests={"cpu": "250m", "memory": "1Gi"}, limits={"cpu": "1", "memory": "2Gi"})
    unlimited = container("b", requests={"cpu": "100m"})
    got = row(pod(spec={"containers": [one, unlimited]}))
    assert (got.cpu_request, got.cpu_limit) == (350_000_000, 0)
    assert (got.memory_request, got.memory_limit) == (2**30, 0)
    alone = row(pod(spec={"containers": [one], "resources": {"limits": {"memory": "512Mi"}}}))
    assert (alone.cpu_limit, alone.memory_limit) == (10**9, 2**29)


def test_equal_templates_share_what_they_have_in_common() -> None:
    first, second = row(pod("a")), row(pod("b"))
    assert first.containers is second.containers
    assert first.labels is second.labels


def test_unhealthy_first_keeps_the_order_of_equals() -> None:
    rows = [row(c[1]) for c in CASES]
    ranks = [r.rank for r in unhealthy_first(rows)]
    assert ranks == sorted(ranks)
    assert [r for r in unhealthy_first(rows) if r.rank == HEALTHY] == [r for r in rows if r.rank == HEALTHY]


reasons = st.sampled_from(["", "Completed", "Error", "OOMKilled", "PodInitializing", "CrashLoopBackOff", "‮\x1b[2J"])
states = st.one_of(
    st.none(),
    st.builds(lambda r: {"waiting": {"reason": r}}, reasons),
    st.just({"running": {}}),
    st.builds(lambda c, r, s: terminated(c, r, s), st.integers(0, 255), reasons, st.integers(0, 20)),
)
containers = st.lists(
    st.builds(
        lambda n, ready, started, count, state: {
            "name": n,
            "ready": ready,
            "started": started,
            "restartCount": count,
            "state": state,
        },
        st.sampled_from(["a", "b", "mesh"]),
        st.booleans(),
        st.sampled_from([None, True, False]),
        st.integers(0, 9),
        states,
    ),
    max_size=4,
)


@given(containers, containers, st.sampled_from(["", "Pending", "Running", "Succeeded", "Failed"]), st.booleans())
def test_every_pod_gives_a_row(main: list[Json], init: list[Json], phase: str, going: bool) -> None:
    spec = {"containers": [{"name": "a"}], "initContainers": [{"name": "mesh", "restartPolicy": "Always"}]}
    metadata = {"deletionTimestamp": "2026-11-24T12:05:00Z" if going else None}
    got = row(pod(metadata=metadata, spec=spec, status=status(main, init, phase=phase, conditions=None)))
    assert got == row(pod(metadata=metadata, spec=spec, status=status(main, init, phase=phase, conditions=None)))
    assert CRITICAL <= got.rank <= FINISHED
    assert got.restarts <= sum(c["restartCount"] for c in (*main, *init))
    if going and phase not in {"Succeeded", "Failed"}:
        assert got.status == "Terminating"
