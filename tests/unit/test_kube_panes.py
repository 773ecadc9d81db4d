"""What the Kubernetes panes say of given readings."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from planc_tui.core.cluster import wire
from planc_tui.core.cluster.events import EventRow
from planc_tui.core.cluster.hpa import HpaRow
from planc_tui.core.cluster.listing import Listing
from planc_tui.core.cluster.nodes import NodeRow
from planc_tui.core.cluster.pods import PodRow, pod_row
from planc_tui.core.cluster.rollouts import RolloutRow
from planc_tui.core.cluster.topics import (
    DAEMONSETS,
    DEPLOYMENTS,
    EVENTS,
    HPAS,
    NODE_USAGE,
    NODES,
    POD_USAGE,
    PODS,
    STATEFULSETS,
)
from planc_tui.core.cluster.usage import Usage, extended, usage_table
from planc_tui.core.health import Health
from planc_tui.core.store import Fault, Reading, Topic
from planc_tui.core.table import Tone
from planc_tui.playbook.loader import default
from planc_tui.ui.panes.base import Pane, View
from planc_tui.ui.panes.events import EventsPane
from planc_tui.ui.panes.hpa import HpaPane
from planc_tui.ui.panes.nodes import NodesPane
from planc_tui.ui.panes.pods import PodsPane
from planc_tui.ui.panes.rollouts import RolloutsPane
from planc_tui.ui.panes.top_cpu import TopCpuPane
from planc_tui.ui.panes.top_memory import TopMemoryPane
from tests.unit.fakes import Json, ended, pod, running, terminated, waiting

MEBI = 2**20
CREATED = 1_795_521_600.0  # of every pod of tests.unit.fakes
NOW = CREATED + 600
PLAYBOOK = default()


def view(*values: tuple[Topic[Any], Any], stale: Topic[Any] | None = None, namespace: str = "shop") -> View:
    """Live readings of these values; one of them may be old."""
    fault = Fault(Health.UNREACHABLE, "gone")
    readings = {
        topic.name: Reading(topic, value, 100.0, fault if topic is stale else None, True) for topic, value in values
    }
    return View(readings, NOW, 101.0, PLAYBOOK, namespace, "test")


def row(made: Json) -> PodRow:
    return pod_row(msgspec.json.decode(json.dumps(made), type=wire.Pod))


def limited(name: str, *, status: Json | None = None, uid: str = "") -> PodRow:
    resources = {"requests": {"cpu": "100m", "memory": "50Mi"}, "limits": {"cpu": "1", "memory": "100Mi"}}
    return row(pod(name, uid=uid, spec={"containers": [{"name": "app", "resources": resources}]}, status=status or {}))


def used(name: str, memory: int, *, cpu: int = 250_000_000, at: float = NOW, history: bytes = b"") -> Usage:
    return Usage(namespace="shop", name=name, cpu=cpu, memory=memory * MEBI, at=at, history=history)


def usages(*all_of: Usage) -> Any:
    return usage_table({(u.namespace, u.name): u for u in all_of})


def texts(pane: Pane[Any], at: View) -> list[list[str]]:
    return [[cell.text for cell in pane.cells(item, at)] for item in pane.items(at)]


def tones(pane: Pane[Any], at: View, column: str) -> list[Tone]:
    index = [c.id for c in pane.columns].index(column)
    return [pane.cells(item, at)[index].tone for item in pane.items(at)]


def test_pods_unhealthy_first_then_those_nearly_out_of_memory() -> None:
    rows = (
        limited("a-well"),
        limited("b-full"),
        limited("c-done", status={"phase": "Succeeded", "containerStatuses": [ended(0, "Completed")]}),
        limited("d-starts", status={"containerStatuses": [waiting("ContainerCreating")]}),
        limited("e-broken", status={"containerStatuses": [waiting("CrashLoopBackOff", restarts=2)]}),
    )
    at = view((PODS, Listing(rows)), (POD_USAGE, usages(used("a-well", 20), used("b-full", 95))))
    pane = PodsPane()
    assert [line[:4] for line in texts(pane, at)] == [
        ["✖", "e-broken", "0/1", "CrashLoopBackOff"],
        ["▲", "b-full", "1/1", "Running"],
        ["▲", "d-starts", "0/1", "ContainerCreating"],
        ["", "a-well", "1/1", "Running"],
        ["", "c-done", "0/1", "Completed"],
    ]
    assert texts(pane, at)[1][7:] == ["250m", "250%", "25%", "95Mi", "190%", "95%"]
    assert texts(pane, at)[0][7:] == ["–"] * 6
    assert pane.summary(at).text == "2/4 ready"
    assert pane.summary(at).tone is Tone.CRIT
    assert pane.labels(pane.items(at)[0]) == {"app": "shop"}
    target = pane.target(pane.items(at)[0], at)
    assert target is not None
    assert (target.kind, target.name, target.uid, target.context) == ("Pod", "e-broken", "uid-e-broken", "test")


def test_old_usage_looks_old_and_the_title_says_so() -> None:
    at = view((PODS, Listing((limited("a"),))), (POD_USAGE, usages(used("a", 95))), stale=POD_USAGE)
    pane = PodsPane()
    assert tones(pane, at, "memory_limit") == [Tone.STALE]
    assert pane.summary(at).text == "1/1 ready · pod usage stale"


def test_usage_of_the_pod_before_is_not_shown_for_the_new_one_of_its_name() -> None:
    at = view((PODS, Listing((limited("db-0"),))), (POD_USAGE, usages(used("db-0", 95, at=CREATED - 1))))
    assert texts(PodsPane(), at)[0][7:] == ["–"] * 6
    assert TopCpuPane().target(TopCpuPane().items(at)[0], at) is None


def test_recent_restarts_are_loud_and_old_ones_are_not() -> None:
    def restarted(name: str, at: str) -> PodRow:
        status = running(restarts=7, lastState=terminated(1, at=at))
        return limited(name, status={"containerStatuses": [status]})

    rows = (restarted("a", "2026-11-24T12:09:18Z"), restarted("b", "2026-11-24T11:00:00Z"), limited("c"))
    at = view((PODS, Listing(rows)))
    assert [line[4] for line in texts(PodsPane(), at)] == ["7 (40s)", "7 (1h)", "0"]
    assert tones(PodsPane(), at, "restarts") == [Tone.WARN, Tone.NORMAL, Tone.DIM]


def test_a_list_that_is_still_arriving_does_not_count_as_all() -> None:
    at = view((PODS, Listing((limited("a"),), complete=False, expected=5000)))
    assert PodsPane().summary(at).text == "reading pods: 1 of 5,000"


def test_names_carry_their_namespace_when_all_are_shown() -> None:
    at = view((PODS, Listing((limited("a"),))), namespace="")
    assert texts(PodsPane(), at)[0][1] == "shop/a"


@pytest.mark.parametrize("column", [c.id for c in PodsPane.columns if c.id != "glyph"])
def test_pods_sort_by_every_column(column: str) -> None:
    rows = (
        limited("a"),
        limited("b", status={"containerStatuses": [waiting("Error", restarts=3)]}),
        row(pod("c", spec={"containers": [{"name": "app"}]})),
    )
    at = view((PODS, Listing(rows)), (POD_USAGE, usages(used("a", 10), used("c", 30))))
    pane = PodsPane()
    values = [pane.sort_value(item, column) for item in pane.items(at)]
    assert len(sorted(values)) == len(rows)
    assert all(isinstance(pane.text(item, column), str) for item in pane.items(at))


def leak(start: int, step: int) -> bytes:
    history = b""
    for i in range(6):
        history = extended(history, NOW - 90 + i * 15, 1, (start + i * step) * MEBI)
    return history


def test_top_memory_tells_the_pace_and_the_time_left() -> None:
    grows, stands = used("a", 95, history=leak(90, 1)), used("b", 50, history=leak(50, 0))
    at = view((POD_USAGE, usages(stands, grows, used("c", 10))), (PODS, Listing((limited("a"), limited("b")))))
    lines = texts(TopMemoryPane(), at)
    assert [line[:5] for line in lines] == [
        ["a", "95Mi", "95%", "+4.0", "1m"],
        ["b", "50Mi", "50%", "", ""],
        ["c", "10Mi", "–", "…", ""],
    ]
    assert tones(TopMemoryPane(), at, "full")[0] is Tone.CRIT
    assert TopMemoryPane().target(TopMemoryPane().items(at)[2], at) is None


def hpa(name: str, **more: Any) -> HpaRow:
    given = {"minimum": 3, "maximum": 20, "current": 6, "desired": 6, "able": True, "active": True, **more}
    return HpaRow(
        uid=name,
        namespace="shop",
        name=name,
        target_kind="Deployment",
        target_name="app",
        metrics=("cpu: 91%/60%", "3/5"),
        **given,
    )


def test_hpa_flags_and_order() -> None:
    rows = (
        hpa("a-well"),
        hpa("b-full", current=20, desired=20, limited="TooManyReplicas"),
        hpa("c-blind", active=False, problem="FailedGetResourceMetric: no metrics"),
        hpa("d-new", able=None, active=None),
        hpa("e-moves", desired=9),
    )
    at = view((HPAS, Listing(rows)))
    lines = texts(HpaPane(), at)
    assert [(line[0], line[1], line[4], line[5]) for line in lines] == [
        ("✖", "c-blind", "6 of 20", "UNABLE FailedGetResourceMetric"),
        ("▲", "b-full", "20 of 20", "AT MAX"),
        ("?", "d-new", "6 of 20", "no answer yet"),
        ("●", "a-well", "6 of 20", ""),
        ("●", "e-moves", "6›9", ""),
    ]
    assert lines[0][2:4] == ["cpu 91%/60%, 3/5", "3‥20"]
    assert HpaPane().summary(at).text == "1 unable to scale · 1 at max"
    assert any("more than the maximum" in line for line in HpaPane().detail(rows[1], at))


def rollout(name: str, kind: str = "Deployment", **more: Any) -> RolloutRow:
    given = {"desired": 3, "updated": 3, "ready": 3, "available": 3, "current": 3, **more}
    return RolloutRow(uid=name, kind=kind, namespace="shop", name=name, **given)


def test_rollouts_stuck_first_and_other_kinds_may_be_denied() -> None:
    deployments = (
        rollout("a"),
        rollout("b", stuck=True, problem="exceeded its progress deadline", updated=1),
        rollout("c", progress="2 of 3 available", available=2, ready=2),
        rollout("d", paused=True),
        rollout("e", desired=0, updated=0, ready=0, available=0, current=0),
    )
    at = view((DEPLOYMENTS, Listing(deployments)), (STATEFULSETS, Listing((rollout("s", "StatefulSet"),))))
    denied = Reading(DAEMONSETS, None, None, Fault(Health.DENIED, "no"), True)
    at = View({**at.readings, "daemonsets": denied}, NOW, 101.0, PLAYBOOK, "shop", "test")
    lines = texts(RolloutsPane(), at)
    assert [(line[0], line[2], line[8]) for line in lines] == [
        ("✖", "b", "STUCK exceeded its progress deadline"),
        ("▲", "c", "2 of 3 available"),
        ("▲", "d", "paused"),
        ("●", "a", ""),
        ("●", "s", ""),
        ("", "e", "scaled to 0"),
    ]
    assert RolloutsPane().summary(at).text == "1 stuck · 1 in progress · daemonsets denied"


def test_nodes_by_trouble_with_usage_of_what_is_allocatable() -> None:
    def node(name: str, **more: Any) -> NodeRow:
        return NodeRow(uid=name, name=name, cpu=10**9, memory=2**30, **{"ready": True, **more})

    rows = (node("a"), node("b", cordoned=True, pressures=("memory",)), node("c", ready=False, reason="KubeletStopped"))
    busy = Usage(namespace="", name="a", cpu=950_000_000, memory=2**29, at=NOW)
    at = view((NODES, Listing(rows)), (NODE_USAGE, usages(busy)))
    lines = texts(NodesPane(), at)
    assert [line[:3] for line in lines] == [
        ["✖", "c", "NotReady"],
        ["▲", "b", "Ready cordoned memory pressure"],
        ["●", "a", "Ready"],
    ]
    assert lines[2][3:7] == ["950m", "95%", "512Mi", "50%"]
    assert NodesPane().summary(at).text == "2/3 ready · 1 cordoned"


@pytest.mark.parametrize("pane", [PodsPane(), TopCpuPane(), TopMemoryPane(), HpaPane(), RolloutsPane(), NodesPane()])
def test_nothing_read_yet_is_nothing_shown(pane: Pane[Any]) -> None:
    at = view()
    assert list(pane.items(at)) == []
    assert pane.summary(at).text == ""


def test_events_are_warnings_unless_all_are_asked_for() -> None:
    def an_event(uid: str, **more: Any) -> EventRow:
        given = {"type": "Warning", "count": 1, "kind": "Pod", "object": "app-1", "first": NOW - 90, "last": NOW - 60}
        fields = {**given, "uid": uid, "namespace": "shop", "name": uid, "object_uid": "p", "source": "kubelet", **more}
        return EventRow(reason="BackOff", message="restarting\x1b[2J failed", **fields)

    rows = (
        an_event("a", count=9),
        an_event("b", type="Normal", kind="Node", object="n", last=NOW - 2 * 86400),
    )
    at = view((EVENTS, Listing(rows, True, 9000)))
    pane = EventsPane()
    assert texts(pane, at) == [["12:09:00", "×9", "BackOff", "app-1", "restarting failed"]]
    assert pane.summary(at).text == "1 warning · newest 2 of 9,000"
    everything = replace(at, options={"all": True})
    assert texts(pane, everything)[1][:4] == ["11-22", "", "BackOff", "node/n"]
    target = pane.target(rows[1], at)
    assert target is not None
    assert (target.kind, target.name) == ("Node", "n")
    assert all(line.isprintable() for line in pane.detail(rows[0], at))
