"""The executor: order, read-only, drift, leases, cancel, and what a killed console leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from planc_tui.actions.arming import Arming
from planc_tui.actions.base import (
    Action,
    Change,
    Drift,
    Outcome,
    Plan,
    Ports,
    Receipt,
    Refusal,
    Report,
    Risk,
    Stopped,
    Verdict,
)
from planc_tui.actions.executor import (
    FINISHED,
    REFUSED,
    STARTED,
    Executor,
    Prepared,
    Run,
    State,
    confirmed,
)
from planc_tui.actions.kube import access, patch
from planc_tui.actions.lease import Lease
from planc_tui.actions.recorder import Entry, RecorderFailed
from planc_tui.core.clock import FakeClock
from planc_tui.core.ports import Denied, NotConfigured, Rejected, Unreachable
from planc_tui.core.table import Target
from planc_tui.playbook.loader import default

TARGET = Target("Deployment", "api", "shop", "u1", "prod")


class FakeCluster:
    """Answers permission reviews with yes, and remembers every request."""

    context = "prod"
    server = "prod:6443"

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, dict[str, str]]] = []
        self.allowed = True
        self.refuse_dry_run = ""

    def request(self, method: str, path: str, *, query: Mapping[str, str] | None = None, **_: Any) -> bytes:
        self.sent.append((method, path, dict(query or {})))
        if path.endswith("selfsubjectaccessreviews"):
            return msgspec.json.encode({"status": {"allowed": self.allowed}})
        if self.refuse_dry_run and (query or {}).get("dryRun"):
            raise Rejected(self.refuse_dry_run, code=422)
        return b"{}"

    @property
    def writes(self) -> list[tuple[str, str, dict[str, str]]]:
        return [sent for sent in self.sent if sent[0] != "GET"]


class Memory:
    """A recorder in memory that can be told to fail."""

    def __init__(self) -> None:
        self.kept: list[Entry] = []
        self.full = False

    def record(self, kind: str, data: Mapping[str, Any]) -> None:
        if self.full:
            raise RecorderFailed("the disk is full: make room")
        self.kept.append(Entry(kind, 0.0, msgspec.json.decode(msgspec.json.encode(data))))

    def entries(self, kinds: Sequence[str]) -> Sequence[Entry]:
        return [entry for entry in self.kept if entry.type in kinds]

    @property
    def types(self) -> list[str]:
        return [entry.type for entry in self.kept]


class Toy(Action):
    """One patch, with hooks for the tests."""

    id = "toy"
    title = "Toy"
    risk = Risk.MEDIUM
    kinds = ("Deployment",)

    def __init__(self) -> None:
        self.log: list[str] = []
        self.drift: Drift | None = None
        self.error: Exception | None = None
        self.verdicts = [Verdict(Outcome.PENDING, "1/2"), Verdict(Outcome.RECOVERED, "2/2")]
        self.hold: threading.Event | None = None
        self.receipt = Receipt({"done": True})

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        return {"context": ports.cluster.context}

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        if args.get("refuse"):
            return Refusal("no")
        return Plan(
            action=self.id,
            title=self.title,
            context=seen["context"],
            targets=(target,),
            changes=(Change("a", "1", "2"),),
            risk=self.risk,
            deadline=5.0,
            access=(access("patch", "Deployment", "shop", "api"),),
            requests=(patch("Deployment", "shop", "api", {"a": 2}),),
        )

    def recheck(self, ports: Ports, plan: Plan) -> Drift | None:
        self.log.append("recheck")
        return self.drift

    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        self.log.append("execute")
        if self.hold is not None:
            self.hold.wait(5)
            report("half")
        if self.error is not None:
            raise self.error
        ports.cluster.request(plan.requests[0].method, plan.requests[0].path)
        return self.receipt

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        return self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]


class Bench:
    """An executor over fakes."""

    def __init__(self, folder: Path, *, protected: bool = False, dry: bool = False) -> None:
        self.cluster = FakeCluster()
        self.clock = FakeClock()
        self.memory = Memory()
        self.toy = Toy()
        self.arming = Arming(self.clock, protected=protected, dry=dry)
        self.seen: list[Run] = []
        self.over = threading.Event()
        ports = Ports(self.cluster, self.clock, _none, _none, default())  # type: ignore[arg-type]  # a fake
        self.executor = Executor(ports, {"toy": self.toy}, self.memory, self.arming, folder, "me", self._changed)

    def _changed(self, run: Run) -> None:
        self.seen.append(run)
        if run.state.over:
            self.over.set()

    def prepare(self, **args: str) -> Prepared:
        prepared = self.executor.prepare("toy", TARGET, args)
        assert isinstance(prepared, Prepared)
        return prepared

    def run(self, prepared: Prepared) -> Run:
        self.over.clear()
        self.executor.start(prepared)
        assert self.over.wait(10)
        return self.seen[-1]


def _none() -> Any:
    raise NotConfigured("not configured")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planc_tui.actions.executor.OBSERVE_EVERY", 0.001)


def test_the_whole_way_in_order(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    prepared = bench.prepare()
    assert (prepared.permission.allowed, prepared.dry_run) == (True, "accepted")
    assert [sent[2].get("dryRun") for sent in bench.cluster.writes] == [None, "All"]
    run = bench.run(prepared)
    assert run.state is State.RECOVERED
    assert run.progress == "2/2 in 0 s"
    assert bench.toy.log == ["recheck", "execute"]
    assert bench.memory.types == [STARTED, FINISHED]
    states = list(dict.fromkeys(run.state for run in bench.seen))
    assert states == [State.REQUESTED, State.RUNNING, State.ACCEPTED, State.RECOVERED]


def test_read_only_sends_no_write_and_no_dry_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path, protected=True)
    prepared = bench.prepare()
    assert "read-only" in prepared.refused
    assert bench.run(prepared).state is State.REFUSED
    assert bench.cluster.writes == []
    assert bench.memory.types == [REFUSED]


def test_arming_that_ran_out_between_card_and_yes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, protected=True)
    bench.arming.arm()
    prepared = bench.prepare()
    assert prepared.refused == ""
    bench.clock.advance(601)
    run = bench.run(prepared)
    assert (run.state, bench.toy.log) == (State.REFUSED, [])


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        (lambda bench: setattr(bench.cluster, "allowed", False), "your role lacks patch deployments"),
        (lambda bench: setattr(bench.cluster, "refuse_dry_run", "quota exceeded"), "quota exceeded"),
    ],
)
def test_what_the_server_would_refuse_is_refused_in_the_card(tmp_path: Path, setup: Any, expected: str) -> None:
    bench = Bench(tmp_path)
    setup(bench)
    prepared = bench.prepare()
    assert expected in prepared.refused
    assert bench.run(prepared).state is State.REFUSED
    assert bench.toy.log == []


def test_drift_stops_before_the_act(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.toy.drift = Drift("another image")
    run = bench.run(bench.prepare())
    assert run.state is State.REFUSED
    assert "it changed since you looked: another image" in run.progress
    assert bench.toy.log == ["recheck"]


def test_no_act_without_an_intent_on_disk(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.memory.full = True
    run = bench.run(bench.prepare())
    assert run.state is State.REFUSED
    assert "disk is full" in run.progress
    assert "execute" not in bench.toy.log


def test_one_change_at_a_time_per_target(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    prepared = bench.prepare()
    with Lease(tmp_path / "leases", prepared.plan.lease, "alice on tty1"):
        run = bench.run(prepared)
    assert (run.state, bench.toy.log) == (State.REFUSED, [])
    assert "alice on tty1" in run.progress


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (Rejected("field is immutable", code=422), State.FAILED),
        (Denied("no"), State.FAILED),
        (Unreachable("no answer within 10 s"), State.UNKNOWN),
        (RuntimeError("bug"), State.UNKNOWN),
    ],
)
def test_how_a_failed_act_ends(tmp_path: Path, error: Exception, state: State) -> None:
    bench = Bench(tmp_path)
    bench.toy.error = error
    bench.toy.verdicts = [Verdict(Outcome.PENDING, "0/2")]
    bench.executor.start(bench.prepare())
    while not bench.over.wait(0.01):
        bench.clock.advance(1)
    assert bench.seen[-1].state is state
    assert bench.memory.types == [STARTED, FINISHED]


@pytest.mark.parametrize(
    ("verdict", "state"),
    [
        (Verdict(Outcome.RECOVERED, "2/2"), State.RECOVERED),
        (Verdict(Outcome.FAILED, "image is i:1, not i:2"), State.FAILED),
    ],
)
def test_a_lost_answer_is_made_good_by_looking(tmp_path: Path, verdict: Verdict, state: State) -> None:
    bench = Bench(tmp_path)
    bench.toy.error = Unreachable("the connection broke")
    bench.toy.verdicts = [verdict]
    run = bench.run(bench.prepare())
    assert run.state is state
    assert verdict.progress in run.progress
    assert "no answer came: the connection broke" in run.progress


def test_an_outcome_that_stayed_unknown_is_offered_to_the_next_console(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.toy.error = RuntimeError("bug")
    assert bench.run(bench.prepare()).state is State.UNKNOWN
    later = Bench(tmp_path)
    later.memory.kept = list(bench.memory.kept)
    (unknown,) = later.executor.unfinished()
    assert "planc failed while acting" in unknown.progress


def test_a_run_that_another_console_is_busy_with_is_left_to_it(tmp_path: Path) -> None:
    bench, later = Bench(tmp_path), Bench(tmp_path)
    bench.toy.hold = threading.Event()
    bench.executor.start(bench.prepare())
    while bench.memory.types != [STARTED]:
        threading.Event().wait(0.001)
    later.memory.kept = list(bench.memory.kept)
    assert later.executor.unfinished() == ()
    bench.toy.hold.set()
    assert bench.over.wait(5)


def test_every_target_of_a_plan_is_held(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    prepared = bench.prepare()
    other = Target("Deployment", "web", "shop", "u2", "prod")
    both = replace(prepared, plan=replace(prepared.plan, targets=(TARGET, other)))
    with Lease(tmp_path / "leases", "prod/deployment/shop/web", "alice"):
        assert bench.run(both).state is State.REFUSED
    assert bench.run(both).state is State.RECOVERED


def test_a_bug_while_looking_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path)
    nothing: dict[str, Plan] = {}
    monkeypatch.setattr(bench.toy, "plan", lambda *_: nothing["missing"])
    refused = bench.executor.prepare("toy", TARGET, {})
    assert isinstance(refused, Refusal)
    assert "KeyError" in refused.reason


def test_cancel_says_what_was_done(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.toy.hold = threading.Event()
    run = bench.executor.start(bench.prepare())
    bench.executor.cancel(run.id)
    bench.toy.hold.set()
    assert bench.over.wait(5)
    assert (bench.seen[-1].state, bench.seen[-1].progress) == (State.CANCELLED, "cancelled: half")


def test_an_effect_that_never_shows_is_unknown_not_good(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.toy.verdicts = [Verdict(Outcome.PENDING, "0/2")]
    bench.executor.start(bench.prepare())
    while not bench.over.wait(0.01):
        bench.clock.advance(1)
    assert bench.seen[-1].state is State.UNKNOWN
    assert bench.seen[-1].progress == "not recovered within 5 s: 0/2"


def test_what_was_read_for_a_person_never_reaches_the_journal(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.toy.receipt = Receipt({"count": 1}, shown=("card 4711",))
    run = bench.run(bench.prepare())
    assert run.receipt is not None
    assert run.receipt.shown == ("card 4711",)
    assert bench.memory.kept[-1].data["receipt"] == {"data": {"count": 1}, "partial": "", "shown": []}
    assert "4711" not in msgspec.json.encode([entry.data for entry in bench.memory.kept]).decode()


def test_a_killed_console_leaves_an_unknown_that_the_next_one_verifies(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run(bench.prepare())
    bench.memory.kept = bench.memory.kept[:1]
    later = Bench(tmp_path)
    later.memory.kept = list(bench.memory.kept)
    (unknown,) = later.executor.unfinished()
    assert (unknown.state, unknown.plan) == (State.UNKNOWN, bench.seen[-1].plan)
    later.toy.verdicts = [Verdict(Outcome.RECOVERED, "2/2")]
    assert later.executor.verify_unknown(unknown).state is State.RECOVERED
    assert later.executor.unfinished() == ()


def test_dry_run_changes_nothing_after_the_yes(tmp_path: Path) -> None:
    bench = Bench(tmp_path, dry=True)
    prepared = bench.prepare()
    assert prepared.plan.warnings == ("--dry-run: nothing will be changed, whatever you answer",)
    assert (prepared.refused, bench.arming.mode().dry) == ("", True)
    run = bench.run(prepared)
    assert (run.state, run.progress) == (State.REFUSED, "dry run: nothing was changed")
    assert all(query.get("dryRun") or "accessreviews" in path for _, path, query in bench.cluster.writes)


def test_a_row_of_another_context_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    refusal = bench.executor.prepare("toy", Target("Deployment", "api", "shop", "u1", "staging"), {})
    assert isinstance(refusal, Refusal)
    assert "context staging" in refusal.reason
    assert bench.cluster.sent == []


@pytest.mark.parametrize(
    ("risk", "waited", "typed", "counts"),
    [
        (Risk.LOW, 0.0, "", True),
        (Risk.MEDIUM, 0.49, "", False),
        (Risk.MEDIUM, 0.5, "", True),
        (Risk.HIGH, 9.0, "", False),
        (Risk.HIGH, 9.0, "ap", False),
        (Risk.HIGH, 0.0, "api", True),
    ],
)
def test_confirm_rules(risk: Risk, waited: float, typed: str, counts: bool) -> None:
    plan = Plan("toy", "Toy", "prod", (TARGET,), (), risk, confirm_word="api")
    assert confirmed(plan, 100.0, 100.0 + waited, typed) is counts


def test_stopped_carries_its_words() -> None:
    assert Stopped("3 of 5").done == "3 of 5"
