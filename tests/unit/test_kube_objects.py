"""What the detail screens say of an object, and what they never say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.core.table import Target, Tone
from planc_tui.ui.kube_objects import path_of, presentable, yaml_rows
from planc_tui.ui.kube_rows import event_rows, pod_rows, status_rows

NOW = 1_795_530_720.0
SECRET = {
    "kind": "Secret",
    "metadata": {
        "name": "s",
        "managedFields": [{"manager": "kubectl"}],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"data": {"password": "aHVudGVyMg=="}}'},
    },
    "data": {"password": "aHVudGVyMg=="},
    "stringData": {"token": "hunter2"},
}


@pytest.mark.parametrize("managed", [True, False])
def test_values_of_a_secret_are_never_shown(managed: bool) -> None:
    text = "\n".join(line for line, _ in yaml_rows(SECRET, managed))
    assert "password: (hidden)" in text
    assert "token: (hidden)" in text
    assert "aHVudGVyMg" not in text
    assert "hunter2" not in text
    assert ("managedFields" in text) is managed


def test_the_object_itself_is_left_alone() -> None:
    before = json.dumps(SECRET)
    presentable(SECRET, False)
    assert json.dumps(SECRET) == before


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (Target("Node", "n1"), "/api/v1/nodes/n1"),
        (Target("Deployment", "web", "a b"), "/apis/apps/v1/namespaces/a%20b/deployments/web"),
        (Target("Pod", "../secrets/x", "ns"), "/api/v1/namespaces/ns/pods/..%2Fsecrets%2Fx"),
    ],
)
def test_paths_are_quoted(target: Target, path: str) -> None:
    assert path_of(target) == path


def test_a_pod_that_was_killed_says_how_and_what_it_may_use() -> None:
    pod = {
        "metadata": {"creationTimestamp": "2026-11-24T14:00:00Z", "labels": {"app": "web"}},
        "spec": {
            "containers": [{"name": "app", "image": "app:1", "resources": {"limits": {"memory": "1Gi"}}}],
            "initContainers": [{"name": "wait"}],
        },
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": "Ready", "status": "False", "reason": "ContainersNotReady"},
                {"type": "PodScheduled", "status": "True", "reason": "old words"},
            ],
            "containerStatuses": [
                {
                    "name": "app",
                    "restartCount": 4,
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                    "lastState": {
                        "terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-11-24T14:31:00Z"}
                    },
                }
            ],
        },
    }
    rows = pod_rows(pod, NOW)
    text = "\n".join(line for line, _ in rows)
    assert "waiting: CrashLoopBackOff back-off 40s" in text
    assert "ended: OOMKilled (exit code 137), 1m ago" in text
    assert "none requested, limit 1Gi" in text
    assert "init container wait" in text
    assert "▲ Ready" in text
    assert "old words" not in text
    assert any("OOMKilled" in line and tone is Tone.CRIT for line, tone in rows)


def test_a_condition_that_is_bad_when_it_holds_is_loud_and_an_unknown_one_is_not_good() -> None:
    node = {
        "metadata": {"labels": {"zone": "a"}},
        "spec": {"unschedulable": True, "taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]},
        "status": {
            "nodeInfo": {"kubeletVersion": "v1.37.2"},
            "capacity": {"cpu": "8"},
            "allocatable": {"cpu": "7900m"},
            "conditions": [
                {"type": "DiskPressure", "status": "False", "message": "old words"},
                {"type": "MemoryPressure", "status": "True", "message": "low"},
                {"type": "Ready", "status": "Unknown", "message": "kubelet stopped posting"},
            ],
        },
    }
    rows = status_rows(node, NOW)
    text = "\n".join(line for line, _ in rows)
    assert "schedulable   no, cordoned" in text
    assert "taint         gpu=yes:NoSchedule" in text
    assert "cpu           7900m of 8 for pods" in text
    assert [line[2] for line, _ in rows if "Pressure" in line or "Ready" in line] == ["●", "▲", "?"]
    assert "old words" not in text
    assert "kubelet stopped posting" in text


def test_status_of_a_workload_says_how_many_of_how_many() -> None:
    deployment = {
        "spec": {
            "replicas": 6,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"spec": {"containers": [{"name": "app", "image": "app:2"}]}},
        },
        "status": {"updatedReplicas": 3, "readyReplicas": 6, "conditions": [{"type": "Available", "status": "True"}]},
    }
    rows = dict(status_rows(deployment, NOW))
    assert rows["updated       3"] is Tone.WARN
    assert rows["ready         6"] is Tone.NORMAL
    assert rows["available     0"] is Tone.WARN
    assert {"strategy      RollingUpdate maxSurge 25%", "selector      app=web", "  image       app:2"} <= set(rows)


def test_events_are_newest_first_with_their_counts() -> None:
    events: list[dict[str, Any]] = [
        {"reason": "Old", "lastTimestamp": "2026-11-24T14:00:00Z", "type": "Normal"},
        {"reason": "New", "eventTime": "2026-11-24T14:31:00.5Z", "type": "Warning", "series": {"count": 9}},
    ]
    lines = [line for line, _ in event_rows(events, NOW)]
    assert "New" in lines[0]
    assert "×9" in lines[0]
    assert lines[0].startswith("▲")
    assert event_rows([], NOW)[0][0].startswith("no events")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["metadata", "kind", "data", "x"]), JSON))
def test_any_object_becomes_harmless_yaml(found: dict[str, Any]) -> None:
    if not isinstance(found.get("metadata", {}), dict | None):
        found.pop("metadata")
    for line, _ in yaml_rows(found, False):
        assert line.isprintable() or line == ""
