"""What keeps the actions from harm, on the real API server: read-only, rights, kills, races, and a dying server."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from planc_tui.actions.arming import Arming
from planc_tui.actions.base import Ports, Refusal
from planc_tui.actions.executor import Executor, Prepared, Run, State
from planc_tui.actions.kube import Json, get, needed
from planc_tui.actions.registry import load
from planc_tui.core.table import Target
from planc_tui.playbook.model import HttpSystem
from tests.cluster.acting_kit import Acting
from tests.cluster.action_process import OnDisk
from tests.cluster.actions_kit import (
    Bench,
    bench_of,
    create,
    open_port,
    rolled_out,
    until,
    with_backup,
    workload,
)
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.rig.layout import ADMIN_CONTEXT, NAMESPACE
from tests.cluster.rig.rig import Rig
from tests.cluster.rig.workload import APP, NODES
from tests.cluster.test_queue_actions import QUEUE, SOURCE, Broker
from tests.cluster.test_queue_actions import target as queue
from tests.cluster.test_session_actions import Client, alive, row, runs

pytestmark = pytest.mark.cluster

NODE = next(iter(NODES))
# One call of every action on objects of the cluster's own workload.
CALLS: dict[str, tuple[str, str, dict[str, str]]] = {
    "rollout-restart": ("Deployment", APP, {}),
    "rollout-undo": ("Deployment", APP, {}),
    "rollout-pause": ("Deployment", APP, {}),
    "rollout-resume": ("Deployment", APP, {}),
    "scale": ("StatefulSet", "postgres", {"replicas": "2"}),
    "hpa-bounds": ("HorizontalPodAutoscaler", APP, {"min": "4"}),
    "set-env": ("Deployment", APP, {"env": "PLANC_TEST=1"}),
    "restore-env": (
        "Deployment",
        APP,
        {"entries": '{"workflow-app":{"env":[{"name":"Q","value":"1"}],"order":["Q"]}}'},
    ),
    "set-image": ("Deployment", APP, {"image": "registry.example/x:1", "container": "workflow-app"}),
    "set-resources": ("Deployment", APP, {"memory-limit": "8Gi", "container": "workflow-app"}),
    "pod-delete": ("Pod", "postgres-0", {}),
    "pod-evict": ("Pod", "postgres-0", {}),
    "pods-greediest": ("Deployment", APP, {}),
    "cordon": ("Node", NODE, {}),
    "uncordon": ("Node", NODE, {}),
    "drain": ("Node", NODE, {"force": "yes"}),
    "maintenance-on": ("Ingress", "workflow-scalability-ingress", {}),
    "maintenance-off": ("Ingress", "workflow-scalability-ingress", {}),
    "backup": ("Namespace", NAMESPACE, {}),
}
# One call of every action on another system than the API server: on what, and with what.
ELSEWHERE: dict[str, tuple[str, dict[str, str]]] = {
    "queue-peek": ("Queue", {}),
    "queue-purge": ("Queue", {}),
    "queue-move": ("Queue", {"to": SOURCE}),
    "queue-restore": ("Queue", {"file": "FILE"}),
    "cancel-query": ("Session", {}),
    "terminate": ("Session", {}),
    "terminate-older": ("Database", {}),
    "free-locks": ("Session", {}),
    "vacuum-analyze": ("Database", {}),
    "silence": ("Alert", {"matchers": 'alertname="PlancTest"'}),
    "silence-end": ("Alert", {}),
}
READS = {"now", "sessions", "depth", "report"}


def calls(bench: Bench) -> Iterator[tuple[str, Target, dict[str, str]]]:
    for action, (kind, name, args) in CALLS.items():
        space = "" if kind == "Node" else NAMESPACE
        yield action, Target(kind, name, space, context=bench.port.context), args


def app(bench: Bench, space: str) -> Target:
    create(bench.rig, workload("Deployment", "app", space))
    rolled_out(bench.rig, space, "deploy/app")
    return bench.target("Deployment", "app", space)


def test_read_only_sends_no_write(rig: Rig, tmp_path: Path) -> None:
    with (
        FaultProxy(rig) as proxy,
        bench_of(
            rig, tmp_path / "state", protected=True, kubeconfig=proxy.kubeconfig(tmp_path / "kubeconfig")
        ) as bench,
    ):
        bench.use(with_backup(bench.playbook, tmp_path / "backups"))
        assert set(bench.executor.actions) == {*CALLS, *ELSEWHERE}  # no action is left out, a new one neither
        cards = 0
        for action, target, args in calls(bench):
            answer = bench.executor.prepare(action, target, args)
            if isinstance(answer, Prepared):
                cards += 1
                assert "read-only" in answer.refused
                assert bench.run(answer, State.REFUSED)
        assert cards >= 14
        assert bench.port.writes == []
        sent = proxy.between(0, float("inf"))
        assert len(sent) >= cards
        assert {one.method for one in sent} == {"GET"}, "what came over the wire"
        assert not [one for one in sent if one.long], "nor a command in a pod"
        assert not (tmp_path / "backups").exists()


class Watched:
    """A port to PostgreSQL, RabbitMQ or Alertmanager that remembers what was asked of it."""

    def __init__(self, port: Any, asked: list[str]) -> None:
        self._port, self._asked = port, asked

    def __getattr__(self, name: str) -> Any:
        self._asked.append(name)
        return getattr(self._port, name)


def test_read_only_asks_nothing_but_reads_of_the_other_systems(rig: Rig, tmp_path: Path) -> None:
    asked: list[str] = []
    systems = {"alertmanager": HttpSystem(url=rig.endpoints.alertmanager)}
    with (
        closing(Acting(rig, tmp_path, **systems)) as acting,
        closing(Broker(rig)) as broker,
        Client(rig, "w") as busy,
    ):
        broker.put(3)
        broker.channel.queue_declare(SOURCE)
        busy.run("SELECT pg_sleep(60)")
        runs(acting, busy)
        saved = acting.do("queue-purge", queue()).receipt
        assert saved is not None
        broker.put(3)
        admins = acting.admins
        ports = Ports(
            acting.cluster, acting.clock, lambda: Watched(admins.database(), asked),
            lambda: Watched(admins.broker(), asked), acting.playbook, str(tmp_path / "other"),
            lambda: Watched(admins.alerts(), asked),
        )  # fmt: skip  # rows as a person reads them
        targets = {
            "Queue": queue(),
            "Session": row(acting, busy),
            "Database": Target("Database", "database", "", "database", acting.cluster.context),
            "Alert": Target("Alert", "PlancTest", "", "f", acting.cluster.context),
        }
        over: list[Run] = []
        ended = threading.Event()
        protected = Arming(acting.clock, protected=True)

        def changed(run: Run) -> None:
            over.append(run)
            if run.state.over:
                ended.set()

        executor = Executor(ports, acting.executor.actions, acting.memory, protected, tmp_path, "me", changed)
        cards: list[str] = []
        for action, (kind, args) in ELSEWHERE.items():
            given = {key: value.replace("FILE", str(saved.data["file"])) for key, value in args.items()}
            answer = executor.prepare(action, targets[kind], given)
            if isinstance(answer, Prepared):
                cards.append(action)
                assert "read-only" in answer.refused
                ended.clear()
                executor.start(answer)
                assert ended.wait(10)
                assert over[-1].state is State.REFUSED
        unplanned = {"terminate-older", "free-locks", "silence-end"}  # nothing is old, locked or silenced here
        assert set(cards) == set(ELSEWHERE) - unplanned
        assert set(asked) <= READS, asked
        assert broker.ready() == 3
        assert not any(got.redelivered for got in [broker.channel.basic_get(QUEUE)[0] for _ in range(3)])
        assert alive(rig, busy.pid)


@pytest.mark.parametrize(("context", "cards"), [("viewer", 2), ("nologs", 7), ("nobody", 0)])
def test_restricted_users_see_grey_and_nothing_fails(rig: Rig, tmp_path: Path, context: str, cards: int) -> None:
    with bench_of(rig, tmp_path / "state", context=context) as bench:
        bench.use(with_backup(bench.playbook, tmp_path / "backups"))
        grey: list[str] = []
        for action, target, args in calls(bench):
            answer = bench.executor.prepare(action, target, args)
            if isinstance(answer, Refusal):
                assert "planc failed" not in answer.reason, (action, answer)
                continue
            grey.append(action)
            assert answer.permission.allowed is False
            assert answer.refused.startswith("no: your role lacks"), (action, answer.refused)
            assert answer.dry_run == "not sent"
        assert len(grey) >= cards, grey
        wanted = {action: needed(load()[0][action], target) for action, target, _ in calls(bench)}
        refused = bench.executor.refused(wanted)
        assert {action for action in grey if wanted[action]} <= set(refused), "grey in the menu before there is a card"
        assert all(reason.startswith("no: your role lacks") for reason in refused.values())
        assert all(path.endswith("selfsubjectaccessreviews") for _, path in bench.port.writes)


def process(rig: Rig, folder: Path, stop: str, action: str, target: Target, *pairs: str) -> subprocess.Popen[str]:
    row = (target.kind, target.namespace, target.name, target.uid)
    command = [sys.executable, "-m", "tests.cluster.action_process", str(rig.state), str(folder), stop, action, *row]
    return subprocess.Popen([*command, *pairs], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def said(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    return running.stdout.readline().strip()


def next_console(bench: Bench) -> Executor:
    bench.memory = OnDisk(bench.folder / "journal")  # type: ignore[assignment]  # another recorder
    return bench.console("the next one")


@pytest.mark.parametrize(
    ("step", "changed", "found"),
    [
        ("intent", False, None),
        ("execute", False, State.FAILED),
        ("verify", True, State.RECOVERED),
        ("outcome", True, State.RECOVERED),
    ],
)
def test_a_console_killed_at_any_step(
    rig: Rig, tmp_path: Path, space: str, step: str, changed: bool, found: State | None
) -> None:
    with bench_of(rig, tmp_path) as bench:
        target = app(bench, space)
        with process(rig, tmp_path, step, "set-env", target, "env=KILLED=yes") as running:
            try:
                assert said(running) == f"at {step}"
                # While it lives its run is its own; nobody else may touch the target.
                assert next_console(bench).unfinished() == ()
            finally:
                running.kill()
        env = get(bench.port, "Deployment", space, "app")["spec"]["template"]["spec"]["containers"][0]["env"]
        assert ({"name": "KILLED", "value": "yes"} in env) is changed
        later = next_console(bench)
        if found is None:
            assert later.unfinished() == ()
            return
        (unknown,) = later.unfinished()
        assert (unknown.state, unknown.plan.action) == (State.UNKNOWN, "set-env")
        rolled_out(rig, space, "deploy/app")
        run = later.verify_unknown(unknown)
        assert run.state is found, run.progress
        assert next_console(bench).unfinished() == ()


def test_two_consoles_press_the_same_key_at_once(rig: Rig, tmp_path: Path, space: str) -> None:
    with bench_of(rig, tmp_path) as bench:
        target = app(bench, space)
        both = [process(rig, tmp_path, "none", "set-env", target, "env=ONCE=yes") for _ in range(2)]
        assert [said(one) for one in both] == ["ready", "ready"]
        for one in both:
            assert one.stdin is not None
            one.stdin.write("\n")
            one.stdin.flush()
        ends = sorted(one.communicate(timeout=60)[0].strip() for one in both)
        assert ends[0].startswith("recovered: "), ends
        assert ends[1].startswith("refused: "), ends
        # The one that holds the lease may not have written its name yet.
        assert "is under way by " in ends[1] or "it changed since you looked" in ends[1]
        assert get(bench.port, "Deployment", space, "app")["metadata"]["generation"] == 2


class Cut:
    """A port that kills the way to the server at a chosen write: before it is sent, or after its answer."""

    def __init__(self, bench: Bench, *, after: bool) -> None:
        self._port, self._bench, self._after = bench.port, bench, after
        self.cut = threading.Event()
        self._dead = open_port(bench.rig, "unreachable")

    @property
    def context(self) -> str:
        return ADMIN_CONTEXT

    def request(self, method: str, path: str, **more: object) -> bytes:
        if method == "PATCH" and not (more.get("query") or {}).get("dryRun"):  # type: ignore[attr-defined]  # a query
            if self._after:
                self._port.request(method, path, **more)
            self.cut.set()
            return self._dead.request(method, path, **more)  # type: ignore[arg-type]  # passed on
        return self._port.request(method, path, **more)


@pytest.mark.parametrize(("after", "state"), [(False, State.FAILED), (True, State.RECOVERED)])
def test_an_answer_that_never_comes(rig: Rig, tmp_path: Path, space: str, after: bool, state: State) -> None:
    with bench_of(rig, tmp_path) as bench:
        target = app(bench, space)
        whole = bench.port
        bench.port = Cut(bench, after=after)  # type: ignore[assignment]  # a port in front of the port
        bench.executor = bench.console("me")
        run = bench.run(bench.prepare("set-env", target, env="LOST=yes"), state)
        assert "no answer came" in run.progress
        assert (bench.executor.undo(run) is not None) is after
        bench.port = whole
        env: list[Json] = get(whole, "Deployment", space, "app")["spec"]["template"]["spec"]["containers"][0]["env"]
        assert ({"name": "LOST", "value": "yes"} in env) is after


def test_the_server_dies_between_card_and_yes(breakable_rig: Rig, tmp_path: Path, space: str) -> None:
    rig = breakable_rig
    with bench_of(rig, tmp_path) as bench:
        target = app(bench, space)
        prepared = bench.prepare("set-env", target, env="DEAD=yes")
        rig.stop("kube-apiserver", kill=True)
        try:
            run = bench.run(prepared, State.REFUSED)
            assert "not done, the target could not be read again" in run.progress
        finally:
            rig.start("kube-apiserver")
        until(lambda: "DEAD" not in msgspec.json.encode(get(bench.port, "Deployment", space, "app")).decode(), "", 1)
        bench.act("set-env", target, env="ALIVE=yes")
