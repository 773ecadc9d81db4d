"""The five procedures from symptom to verified recovery, a break in the middle of one, and an incident from its
finding to its post-mortem: by keyboard alone on the real cluster, and the incident once more by commands alone."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.journeys_kit import (
    CTRL_G,
    ENTER,
    TAB,
    Person,
    answer_of,
    deployment,
    env_of,
    escalating,
    overlay,
    planc,
)
from tests.cluster.rig.rig import Rig
from tests.contract.recorder import Recorder, recording

pytestmark = [pytest.mark.cluster, pytest.mark.journey]

APP, WORKERS = "workflow-scalability-app", "workflow-worker-pool"
ELSEWHERE = ("queue-unattended", "budget-burns", "errors-high", "errors-major", "log-errors", "crash-loops")
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0"


@pytest.fixture(autouse=True)
def as_before(breakable_rig: Rig) -> Iterator[None]:
    """What planc changed is its own: healing the rig's breaks does not take it back."""
    yield
    rig, namespace = breakable_rig, breakable_rig.endpoints.namespace
    rig.kubectl("patch", "hpa", APP, "-n", namespace, "-p", '{"spec":{"minReplicas":3}}')
    rig.kubectl("scale", f"deployment/{WORKERS}", "-n", namespace, "--replicas=8")
    added = [f"{name}-" for name in ("LOG_LEVEL", "NODE_OPTIONS", "DATABASE_POOL_SIZE", "ENABLE_CACHE")]
    rig.kubectl("set", "env", f"deployment/{APP}", "-n", namespace, *added)


@pytest.fixture
def playbook(breakable_rig: Rig, tmp_path: Path) -> Path:
    return overlay(breakable_rig, tmp_path)


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as running:
        yield running


def within(seconds: float, what: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.3)


def chain_holds(tmp_path: Path, playbook: Path) -> None:
    """Oracle of every journey: no entry of the journal was edited, removed or reordered."""
    assert planc(tmp_path, playbook, "incident", "verify", "--output", "json")["problems"] == []


def app_pods(rig: Rig) -> dict[str, str]:
    """Names of the application's pods and the phases of their containers' states."""
    listed = rig.kubectl("get", "pods", "-n", rig.endpoints.namespace, "-l", "app=workflow-scalability", "-o", "json")
    return {
        pod["metadata"]["name"]: next(
            iter(pod["status"].get("containerStatuses", [{"state": ["waiting"]}])[0]["state"])
        )
        for pod in json.loads(listed)["items"]
    }


def test_service_down_is_undone(breakable_rig: Rig, tmp_path: Path, playbook: Path) -> None:
    rig = breakable_rig
    good = deployment(rig, APP)["spec"]["template"]["spec"]["containers"][0]["image"]
    rig.break_("bad-deploy")
    with Person(rig, tmp_path, playbook) as person:
        person.sees("killed for memory", 40)
        person.opens("Service down")
        person.press("1")
        person.done(1)
        person.press("2")
        person.done(2)
        person.sees("CrashLoopBackOff")
        person.press("4")
        person.sees("[ Cancel ]")
        person.press(ENTER)
        person.console.wait_gone("[ Cancel ]")
        person.step(3, "revision")
        person.press("4")
        person.done(3)
        assert "[ Cancel ]" not in person.console.screen()
        person.step(4, "restart")
        person.done(4)
        person.console.wait_gone("killed for memory", 90)
    assert deployment(rig, APP)["spec"]["template"]["spec"]["containers"][0]["image"] == good
    assert set(app_pods(rig).values()) == {"running"}
    results = person.journal("action.result")
    assert [row["data"]["state"] for row in results] == ["recovered", "recovered"]
    pictures = [row["data"] for row in person.journal("snapshot")]
    assert [picture["when"] for picture in pictures] == ["before", "after", "before", "after"]
    assert {picture["pane"] for picture in pictures} == {"rollouts"}
    chain_holds(tmp_path, playbook)


def test_high_latency_is_scaled_away(breakable_rig: Rig, tmp_path: Path, playbook: Path) -> None:
    rig = breakable_rig
    rig.break_("backlog")
    with Person(rig, tmp_path, playbook) as person:
        person.sees("holds 5,000 messages", 60)
        person.opens("High latency")
        person.press("1")
        person.sees("o  do that instead")
        person.press("o")
        person.agrees("minReplicas")
        person.done(1)
        person.press("2")
        person.done(2)
        person.press("3")
        person.sees("type dead_letter to unlock y")
        person.press("y")
        person.press(ENTER)
        time.sleep(0.7)
        assert "[ Cancel ]" in person.console.screen()
        person.types("dead_letter")
        person.agrees()
        person.done(3)
        person.step(4, "replicas")
        person.done(4)
        # Consumers of the rig do not run; what they would do in minutes is done here.
        rig.rabbitmqctl("purge_queue", "tasks")
        # The rule wants a minute without it, and the queue is read every 15 to 20 s.
        person.console.wait_gone("holds 5,000 messages", 100)
    hpa = json.loads(rig.kubectl("get", "hpa", APP, "-n", rig.endpoints.namespace, "-o", "json"))
    assert hpa["spec"]["minReplicas"] == 10
    assert deployment(rig, APP)["status"]["readyReplicas"] >= 10
    assert deployment(rig, WORKERS)["status"]["readyReplicas"] == 20
    assert depth(rig, "dead_letter") == 0
    chain_holds(tmp_path, playbook)


def depth(rig: Rig, queue: str) -> int:
    """Messages of a queue by rabbitmqctl."""
    said = rig.rabbitmqctl("list_queues", "name", "messages", "--quiet")
    [line] = [line for line in said.splitlines() if line.startswith(f"{queue}\t")]
    return int(line.split("\t")[1])


def test_errors_are_stopped_by_deleting_the_pod_that_fails(breakable_rig: Rig, tmp_path: Path, playbook: Path) -> None:
    rig = breakable_rig
    rig.break_("oom-pod")
    rig.break_("errors")
    bad = next(name for name, state in within_pods(rig).items() if state != "running")
    with Person(rig, tmp_path, playbook) as person:
        person.sees("crash again and again", 90)
        person.opens("High error rate")
        person.press("1")
        person.done(1)
        person.press("2")
        person.done(2)
        person.press("3")
        person.sees("choose a row first")
        person.press(TAB)
        person.press("1")
        person.sees("CrashLoopBackOff")
        person.press("g")
        person.press("o")
        person.step(3, bad)
        person.done(3)
        rig.set_traffic(error_ratio=0.00003)
        person.step(4, "LOG_LEVEL")
        person.done(4)
        person.console.wait_gone("crash again and again", 150)
    assert bad not in app_pods(rig)
    assert env_of(rig, APP)["LOG_LEVEL"] == "debug"
    chain_holds(tmp_path, playbook)


def within_pods(rig: Rig) -> dict[str, str]:
    """The pods once one of them is seen to fail."""
    within(20, lambda: set(app_pods(rig).values()) != {"running"})
    return app_pods(rig)


def test_a_leak_is_found_and_deleted(breakable_rig: Rig, tmp_path: Path) -> None:
    rig = breakable_rig
    playbook = overlay(rig, tmp_path, ELSEWHERE)  # what earlier journeys left behind would take its place on the strip
    leaking = min(app_pods(rig))
    rig.break_("leak")
    with Person(rig, tmp_path, playbook) as person:
        person.matches(rf"Memory of {leaking} reaches its limit in [0-9.]+ (min|s)", 180)
        person.opens("Memory leak")
        person.press("1")
        person.done(1)
        person.step(2, leaking)
        person.done(2)
        person.step(3, "NODE_OPTIONS")
        person.done(3)
        person.step(4, "CACHE_TTL")
        person.done(4)
        person.console.wait_gone("reaches its limit", 150)
    assert leaking not in app_pods(rig)
    found = env_of(rig, APP)
    assert (found["NODE_OPTIONS"], found["CACHE_TTL"]) == ("--max-old-space-size=2048 --gc-interval=100", "60")
    chain_holds(tmp_path, playbook)


def test_a_lock_tree_is_freed(breakable_rig: Rig, tmp_path: Path, playbook: Path) -> None:
    rig = breakable_rig
    rig.break_("lock")
    assert int(rig.psql(WAITING)) == 2
    with Person(rig, tmp_path, playbook) as person:
        person.sees("sessions wait for a lock", 60)
        person.opens("Database trouble")
        person.press("1")
        person.done(1)
        person.press("2")
        person.sees("no client session has been busy for more than 5 minutes")
        person.leaves()
        person.press(" ")
        person.matches("– 2 ")
        person.press(TAB)
        person.press("8")
        time.sleep(0.3)
        frees(person)
        person.console.wait_gone("sessions wait for a lock", 60)
        person.press("o")
        person.step(3)
        person.done(3)
        person.step(4, "DATABASE_POOL_SIZE")
        person.done(4)
    assert int(rig.psql(WAITING)) == 0
    assert env_of(rig, APP)["DATABASE_POOL_SIZE"] == "50"
    assert int(rig.psql("SELECT count(*) FROM pg_stat_user_tables WHERE last_vacuum IS NOT NULL")) > 0
    chain_holds(tmp_path, playbook)


def frees(person: Person) -> None:
    """Free the lock tree under the cursor; the first line of the database pane is no session."""
    person.press("g")
    person.press("j")
    person.press("b")
    person.press(answer_of(person.matches(r"type \d+ to unlock y")))
    person.agrees()


def test_a_restart_is_gone_on_with_after_the_console_was_killed(
    breakable_rig: Rig, tmp_path: Path, playbook: Path
) -> None:
    rig = breakable_rig

    def cordoned() -> list[str]:
        nodes = json.loads(rig.kubectl("get", "nodes", "-o", "json"))["items"]
        return [node["metadata"]["name"] for node in nodes if node["spec"].get("unschedulable")]

    with Person(rig, tmp_path, playbook) as first:
        first.command("nodes")
        first.press("\x1b[F")
        first.opens("Progressive restart")
        first.step(1, "Cordon")
        first.done(1)
        [node] = cordoned()
        first.press("2")
        first.sees(f"type {node} to unlock y")
        first.press(node)
        first.agrees()
        first.done(2, 120)
        first.console.kill(signal.SIGKILL)
    with Person(rig, tmp_path, playbook) as second:
        second.opens("Progressive restart")
        second.done(1)
        second.done(2)
        second.step(3, "restart")
        second.press("4")
        second.sees("s left at least")
        second.press("5")
        second.done(3)
        second.done(4, 100)
        second.step(5, WORKERS)
        second.done(5)
        assert cordoned() == [node]
        second.step(6, node)
        second.done(6)
    assert cordoned() == []
    chain_holds(tmp_path, playbook)


def channels(folder: Path, recorder: Recorder) -> dict[str, Any]:
    """Slack and a webhook whose addresses are secrets from files; the second level is paged over the webhook."""
    (folder / "slack").write_text(f"{recorder.url}/services/T0/B0/x\n", encoding="utf-8")
    (folder / "hook").write_text(f"{recorder.url}/hook\n", encoding="utf-8")
    for name in ("slack", "hook"):
        (folder / name).chmod(0o600)
    return {
        "channels": [
            {"id": "incidents", "kind": "slack", "name": "Slack", "url": {"file": str(folder / "slack")}},
            {"id": "hook", "kind": "webhook", "name": "the hook", "url": {"file": str(folder / "hook")}},
        ],
        "escalation": {"levels": [{"id": "L2", "channel": "hook", "otherwise": ["incidents"]}]},
        "messages": {"channels": ["incidents", "hook"]},
    }


def test_an_incident_by_keyboard_alone(breakable_rig: Rig, tmp_path: Path, recorder: Recorder) -> None:
    rig = breakable_rig
    playbook = overlay(rig, tmp_path, ELSEWHERE, **channels(tmp_path, recorder))
    with Person(rig, tmp_path, playbook) as person:
        rig.break_("lock")
        person.sees("sessions wait for a lock", 60)
        began = time.monotonic()
        person.press("I")
        person.fill("Declare an incident", "", "", "")
        person.sees("nobody has acknowledged")
        assert time.monotonic() - began < 10
        within(15, lambda: len(recorder.taken()) == 1)

        person.press("I")
        person.sees("Timeline")
        person.press("e")
        person.fill("Escalate now", "locks spread", "")
        within(15, lambda: len(recorder.taken()) == 2)
        person.press("a")
        person.matches("state +acknowledged")
        person.leaves()
        person.command("database")
        frees(person)
        within(30, lambda: rig.psql(WAITING) == "0")
        person.sees("Free lock tree")

        person.press("I")
        person.sees("Timeline")
        notes(person, "impact", "orders wait")
        notes(person, "expected_end", "15:00")
        sends(person, "initial")
        within(20, lambda: len(recorder.taken()) == 4)
        # Before the signals were good for their time, planc refuses.
        within(90, lambda: bool(person.journal("incident.evidence")))
        time.sleep(1)
        person.press("R")
        person.fill("Resolve", "")
        person.matches("state +resolved", 30)
        for name, value in (("root_cause", "a batch kept its transaction"), ("final_impact", "12 orders late"),
                            ("review_date", "2026-12-01"), ("fix", "the batch was ended")):  # fmt: skip  # as read
            notes(person, name, value)
        sends(person, "resolution")
        within(20, lambda: len(recorder.taken()) >= 6)
        person.press("w")
        person.fill("happened so many minutes ago", "the batch held a lock", "")
        person.console.wait_gone("happened so many minutes ago")
        person.press("t")
        person.fill("who does it", "a limit on transactions", "ana", "2026-12-01", "")
        person.console.wait_gone("who does it")
        closes(person)
    texts = " ".join(call.raw.decode() for call in recorder.taken())
    assert "orders wait" in texts
    assert "a batch kept its transaction" in texts
    types = [row["type"] for row in person.journal()]
    actions = ("action.confirmed", "action.result")
    for wanted in ("finding.raised", "finding.cleared", "snapshot", *actions, "incident.closed"):
        assert wanted in types, wanted
    [resolved] = person.journal("incident.resolved")
    assert not resolved["data"].get("override")
    chain_holds(tmp_path, playbook)


def notes(person: Person, name: str, value: str) -> None:
    """Write a fact down."""
    person.press("F")
    person.fill("Write down a fact", name, value)
    person.console.wait_gone("Write down a fact")


def sends(person: Person, kind: str) -> None:
    """Write the message that is due as the template has it, look at each language, send it."""
    person.press("m")
    person.sees(f"{kind} message")
    person.press(CTRL_G)
    person.sees("y sends it")
    person.press("y")
    person.console.wait_gone("y sends it")


def closes(person: Person) -> None:
    """Export, tick what a person must tick, close."""
    person.press("E")
    time.sleep(1)
    person.press(TAB + TAB)
    for number in range(1, 11):
        if re.search(rf"^ *{number} ○(?!.*ticks itself)", person.console.screen(), re.MULTILINE):
            person.press("x")
            person.fill("Tick a point", str(number))
            person.matches(rf"(?m)^ *{number} ●")
    person.press("C")
    person.sees("closed")


def test_an_incident_by_commands_alone(breakable_rig: Rig, tmp_path: Path, recorder: Recorder) -> None:
    rig = breakable_rig
    playbook = overlay(rig, tmp_path, **channels(tmp_path, recorder))

    def run(*arguments: str, code: int = 0) -> object:
        return planc(tmp_path, playbook, "incident", *arguments, code=code)

    with escalating(tmp_path, playbook):
        run("declare", "sessions wait for a lock", "--severity", "P1", "--finding", "locks", "--set",
            "impact=orders wait", "--set", "symptoms=locks", "--set", "expected_end=15:00")  # fmt: skip  # as read
        within(15, lambda: len(recorder.taken()) == 1)
        run("escalate", "--reason", "locks spread")
        within(15, lambda: len(recorder.taken()) == 2)
        run("ack")
        run("note", "the batch was ended")
        run("note", "--kind", "todo", "--owner", "ana", "--due", "2026-12-01", "a limit on transactions")
        run("message", "initial")
        run("resolve", code=1)
        run("resolve", "--override", "seen in psql")
        run("set", "root_cause=a batch", "final_impact=12 orders", "review_date=2026-12-01", "fix=ended the batch")
        run("message", "resolution")
        within(20, lambda: len(recorder.taken()) == 6)
    run("export", "--file", str(tmp_path / "post.md"))
    assert "a batch" in (tmp_path / "post.md").read_text(encoding="utf-8")
    known = planc(tmp_path, playbook, "incident", "show", "--output", "json")
    points = [item for tick in open_points(known) for item in ("--tick", tick)]
    run("close", *points)
    [gone] = planc(tmp_path, playbook, "incident", "list", "--all", "--output", "json")
    assert gone["state"] == "closed"
    chain_holds(tmp_path, playbook)


def open_points(shown: object) -> list[str]:
    """Points of the checklist that are not ticked."""
    assert isinstance(shown, dict)
    return [point["id"] for point in shown["checklist"] if not point["done"]]
