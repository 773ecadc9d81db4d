"""What the console writes by itself, and when it may say that an incident is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from planc_tui.actions.recorder import RecorderFailed
from planc_tui.core.clock import FakeClock
from planc_tui.core.findings import Finding, Known
from planc_tui.core.ports import Unreachable
from planc_tui.core.slo import Objective, Sample, SloReport, SloStatus, Verdict, at
from planc_tui.core.store import Store
from planc_tui.desk.budget import BudgetMeter
from planc_tui.desk.desk import Desk
from planc_tui.desk.evidence import Standing
from planc_tui.desk.policy import policy_of
from planc_tui.desk.queries import questions
from planc_tui.desk.recorder import JournalRecorder
from planc_tui.desk.scribe import Scribe
from planc_tui.incident import kinds, lifecycle
from planc_tui.incident.lifecycle import Declaration, acknowledge, seen_evidence
from planc_tui.incident.model import Incident
from planc_tui.incident.postmortem import budgets_spent, to_markdown
from planc_tui.journal import Journal, Unwritable
from planc_tui.playbook.loader import default
from planc_tui.sources.findings import FINDINGS
from planc_tui.sources.slo import SLO
from tests.unit.incident_kit import ALICE, BOB, START

PLAYBOOK = default()
RULE = next(rule for rule in PLAYBOOK.rules if rule.procedure)
OTHERS = next(p for p in PLAYBOOK.procedures if p.id == RULE.procedure).recovered
WANTED = [rule for rule in PLAYBOOK.rules if rule.id in {RULE.id, *OTHERS}]
NEEDED = next(p for p in PLAYBOOK.procedures if p.id == RULE.procedure).recovered_for
FOUND = Finding(RULE.id, "P1", "P95 2.4 s, above 2 s", START - 60, RULE.procedure)


def good_facts() -> dict[str, Known]:
    """Every fact of the wanted rules, on the good side."""
    facts = {}
    for condition in (condition for rule in WANTED for condition in rule.conditions):
        if condition.equals is not None:
            value = float(not condition.equals)
        elif condition.above is not None:
            value = condition.above - abs(condition.above) - 1
        else:
            value = (condition.below or 0.0) + 1e6
        facts[condition.fact] = Known(value)
    return facts


@dataclass
class Room:
    """One console on a fake clock."""

    folder: Path
    context: str = "prod-eu"
    clock: FakeClock = field(default_factory=lambda: FakeClock(now=START))

    def __post_init__(self) -> None:
        self.journal = Journal.open(self.folder / "journal.db", self.clock, "boot")
        self.desk = Desk(self.journal, policy_of(PLAYBOOK, context=self.context), ALICE)
        self.store = Store()
        self.store.want(FINDINGS, True)
        self.facts = good_facts()
        self.scribe = Scribe(self.desk, self.store, PLAYBOOK, self.clock, lambda: self.facts)

    def look(self, *findings: Finding) -> Standing | None:
        self.store.put(FINDINGS, findings, self.clock.monotonic())
        self.desk.board.refresh()
        return self.scribe.look(self.desk.board.current())

    @property
    def incident(self) -> Incident:
        self.desk.board.refresh()
        current = self.desk.board.current()
        assert current is not None
        return current

    def noted(self, kind: str) -> list[str]:
        return [e.event.summary for e in self.incident.entries if e.event.type == kind]


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    assert made.desk.declare(Declaration("slow", "P1", findings=(RULE.id,))).ok
    yield made
    made.journal.close()


def test_findings_are_written_once_when_they_come_and_when_they_go(room: Room, tmp_path: Path) -> None:
    second = Room(tmp_path, clock=room.clock)
    for _ in range(3):
        room.look(FOUND)
        second.look(FOUND)
    assert room.noted(kinds.FINDING_RAISED) == ["P95 2.4 s, above 2 s"]
    for _ in range(3):
        room.look()
        second.look()
    assert room.noted(kinds.FINDING_CLEARED) == ["no longer: P95 2.4 s, above 2 s"]
    room.look(FOUND)
    assert len(room.noted(kinds.FINDING_RAISED)) == 2
    second.journal.close()


def test_a_console_on_another_context_writes_nothing(room: Room, tmp_path: Path) -> None:
    other = Room(tmp_path, context="staging", clock=room.clock)
    assert other.look(FOUND) is None
    assert room.noted(kinds.FINDING_RAISED) == []
    other.journal.close()


def test_recovery_counts_from_when_it_was_seen_and_only_while_everything_is_seen(room: Room) -> None:
    standing = room.look(FOUND)
    assert standing is not None
    assert standing.evidence(room.clock.monotonic()).good_for == 0.0
    assert standing.needed == NEEDED
    room.look()
    room.clock.advance(NEEDED - 1)
    standing = room.look()
    assert standing is not None
    assert standing.evidence(room.clock.monotonic()).good_for == NEEDED - 1
    assert room.noted(kinds.EVIDENCE) == []
    room.clock.advance(1)
    room.look()
    assert len(room.noted(kinds.EVIDENCE)) == 1
    proof = seen_evidence(room.incident, room.journal.now())
    assert proof is not None
    assert room.desk.do(room.incident.id, lambda i, _: lifecycle.resolve(i, ALICE, proof)).ok


def test_a_fact_that_is_unknown_is_no_proof(room: Room) -> None:
    room.look()
    room.clock.advance(NEEDED + 1)
    gone = next(iter(room.facts))
    kept = room.facts.pop(gone)
    standing = room.look()
    assert standing is not None
    assert standing.evidence(room.clock.monotonic()).good_for is None
    room.facts[gone] = kept
    standing = room.look()
    assert standing is not None
    assert standing.evidence(room.clock.monotonic()).good_for == 0.0


def test_findings_that_are_old_are_no_proof(room: Room) -> None:
    room.look()
    room.clock.advance(NEEDED + 1)
    standing = room.scribe.look(room.incident)
    assert standing is not None
    assert (standing.known, standing.signals) == (False, ("the signals cannot be seen now",))


def test_an_incident_without_any_signal_needs_a_written_reason(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.desk.declare(Declaration("strange smell", "P2"))
    standing = room.look()
    assert standing is not None
    assert not standing.known
    room.journal.close()


def test_lost_proof_is_written_down_and_old_proof_does_not_count(room: Room) -> None:
    room.look()
    room.clock.advance(NEEDED)
    room.look()
    room.clock.advance(lifecycle.EVIDENCE_AGE + 1)
    assert seen_evidence(room.incident, room.journal.now()) is None
    room.look()
    assert seen_evidence(room.incident, room.journal.now()) is not None
    room.look(FOUND)
    lost = seen_evidence(room.incident, room.journal.now())
    assert lost is not None
    assert lost.good_for == 0.0


def test_error_budget_of_the_incident_is_what_was_left_before_and_after(room: Room) -> None:
    objective = Objective("avail", "available", "availability", 99.9, "percent", "avail[$window]", allowed=0.001)

    def measure(left: float) -> None:
        status = SloStatus(objective, Verdict.MISSED, 99.0, left)
        room.store.want(SLO, True)
        room.store.put(SLO, SloReport((status,)), room.clock.monotonic())
        for _ in range(3):
            room.look()

    measure(0.85)
    measure(0.80)
    room.desk.do(room.incident.id, lambda i, _: lifecycle.resolve(i, ALICE, None, "seen"))
    measure(0.60)
    assert budgets_spent(room.incident) == (("available", 25.0, "avail[30d]"),)
    room.clock.advance(400)
    measure(0.54)
    measure(0.10)
    assert budgets_spent(room.incident) == (("available", 31.0, "avail[30d]"),)
    assert len(room.noted(kinds.BUDGET)) == 3
    assert "| Error budget spent: available | 31.0 % | `avail[30d]` |" in to_markdown(room.incident, START, "en")


@dataclass
class Prometheus:
    """Answers with what it is told."""

    answers: dict[str, float] = field(default_factory=dict)
    away: bool = False
    asked: list[str] = field(default_factory=list)
    closed: int = 0

    def query(self, promql: str) -> tuple[Sample, ...]:
        self.asked.append(promql)
        if self.away:
            raise Unreachable("Prometheus does not answer")
        return tuple(Sample({}, value) for name, value in self.answers.items() if f"({name}[" in promql)

    def close(self) -> None:
        self.closed += 1

    def open(self, _context: str) -> closing[Prometheus]:
        return closing(self)


def test_the_budget_is_measured_over_the_whole_harm_once_it_is_over(tmp_path: Path) -> None:
    room, prometheus = Room(tmp_path), Prometheus({"bad": 0.05, "good": 0.99})
    month, day = 30 * 86400.0, 86400.0
    objectives = (
        Objective("errors", "errors", "error_rate", 0.1, "percent", "bad[$window]", allowed=0.001, period=month),
        Objective("avail", "availability", "availability", 99.9, "percent", "good[$window]", allowed=0.001, period=day),
        Objective("p95", "P95", "latency", 100.0, "ms", "p95[$window]"),
        Objective("idle", "idle", "error_rate", 0.1, "percent", "nothing[$window]", allowed=0.001),
    )
    meter = BudgetMeter(room.journal, prometheus.open, objectives, room.clock, lambda work: work())
    room.scribe = Scribe(room.desk, room.store, PLAYBOOK, room.clock, lambda: room.facts, meter)
    assert room.desk.declare(Declaration("slow", "P1", impact_start=START - 600)).ok
    room.look()
    room.clock.advance(1200)
    room.desk.do(room.incident.id, lambda i, _: lifecycle.resolve(i, ALICE, None, "seen"))
    room.clock.advance(59)
    room.look()
    assert prometheus.asked == []
    prometheus.away = True
    room.clock.advance(1)
    for _ in range(3):
        room.look()
    assert len(prometheus.asked) == 1
    assert room.noted(kinds.SPENT) == []
    prometheus.away = False
    room.clock.advance(61)
    for _ in range(3):
        room.look()
    # 600 s before the declaration, 1200 s open, 60 s to be counted: 1860 s of 5 % of a budget of 0.1 %, also when it is
    # asked later.
    bad, good, nothing = (at(f"{name}[31m]", START + 1260) for name in ("bad", "good", "nothing"))
    assert prometheus.asked[1:] == [bad, good, nothing]
    assert prometheus.closed == 2
    spent = {name: (share, query) for name, share, query in budgets_spent(room.incident)}
    assert {name: query for name, (_, query) in spent.items()} == {
        "errors": bad,
        "availability": good,
    }
    assert spent["errors"][0] == pytest.approx(100 * 50 * 1860 / month, rel=1e-6)
    assert spent["availability"][0] == pytest.approx(100 * 10 * 1860 / day, rel=1e-6)
    assert room.noted(kinds.SPENT) == ["error budget spent: errors 3.6 %, availability 21.5 %"]
    room.journal.close()


def test_a_budget_that_could_not_be_measured_is_unknown_and_asked_for_once(tmp_path: Path) -> None:
    room, prometheus = Room(tmp_path), Prometheus()
    objective = Objective("errors", "error rate", "error_rate", 0.1, "percent", "bad[$window]", allowed=0.001)
    meter = BudgetMeter(room.journal, prometheus.open, (objective,), room.clock, lambda work: work())
    room.scribe = Scribe(room.desk, room.store, PLAYBOOK, room.clock, lambda: room.facts, meter)
    assert room.desk.declare(Declaration("slow", "P1")).ok
    room.desk.do(room.incident.id, lambda i, _: lifecycle.resolve(i, ALICE, None, "seen"))
    for _ in range(4):
        room.clock.advance(61)
        room.look()
    assert room.noted(kinds.SPENT) == ["error budget spent: not measured: no traffic"]
    assert "| Error budget spent | unknown |" in to_markdown(room.incident, START, "en")
    room.journal.close()


def test_how_bad_it_gets_is_written_down_with_the_query_when_it_gets_worse(room: Room, tmp_path: Path) -> None:
    latency = Objective("p95", "P95 latency", "latency", 100.0, "ms", "p95[$window]")
    served = Objective("avail", "availability", "availability", 99.9, "percent", "avail[$window]")
    second = Room(tmp_path, clock=room.clock)

    def measure(seconds: float | None, percent: float) -> None:
        value = None if seconds is None else seconds * 1000
        slow = Verdict.UNKNOWN if value is None else Verdict.MISSED if value > 100 else Verdict.MET
        down = Verdict.MISSED if percent < 99.9 else Verdict.MET
        report = SloReport((SloStatus(latency, slow, value), SloStatus(served, down, percent)))
        for one in (room, second):
            one.store.want(SLO, True)
            one.store.put(SLO, report, room.clock.monotonic())
            one.look()

    for seconds, percent in ((0.08, 100.0), (None, 100.0), (0.9, 99.0), (0.95, 99.0), (2.4, 97.0), (0.5, 99.95)):
        measure(seconds, percent)
    noted = room.noted(kinds.WORST)
    assert noted == [
        "worst so far: P95 latency 900 ms",
        "worst so far: availability 99%",
        "worst so far: P95 latency 2.4 s",
        "worst so far: availability 97%",
    ]
    text = to_markdown(room.incident, START, "en")
    assert "| Worst: P95 latency | 2.4 s | `p95[5m]` |" in text
    assert "| Worst: availability | 97% | `avail[5m]` |" in text
    room.desk.do(room.incident.id, lambda i, _: lifecycle.resolve(i, ALICE, None, "seen"))
    measure(9.0, 1.0)
    assert room.noted(kinds.WORST) == noted
    second.journal.close()


def test_a_finding_says_by_which_question_its_figures_came(room: Room) -> None:
    objective = Objective(
        "p95", "P95", "latency", 100.0, "ms", "p95[$window]", short=300.0, bad="slow[$window]", allowed=0.05
    )
    room.store.want(SLO, True)
    room.store.put(SLO, SloReport((SloStatus(objective, Verdict.MISSED, 2400.0, burn_short=20.0),)), 0.0)
    facts = (
        ("latency_p95", 2.4),
        ("burn_short", 20.0),
        ("queue_depth", 7.0),
        ("cpu_percent", 91.0),
        ("unheard_of", 1.0),
    )
    room.look(replace(FOUND, facts=facts))
    [event] = [e.event for e in room.incident.entries if e.event.type == kinds.FINDING_RAISED]
    namespace = room.desk.policy.namespace
    assert event.data["query"] == (
        "p95[5m]; slow[5m]; rabbitmqctl list_queues name messages consumers; "
        f"kubectl top pods -n {namespace} --containers"
    )
    assert f"`{event.data['query']}`" in to_markdown(room.incident, START, "en")


def test_a_figure_that_nobody_measures_has_no_question(room: Room) -> None:
    room.look(replace(FOUND, facts=(("latency_p95", 2.4), ("burn_long", 3.0), ("budget_left_percent", 4.0))))
    [event] = [e.event for e in room.incident.entries if e.event.type == kinds.FINDING_RAISED]
    assert event.data["query"] == ""


def test_findings_land_in_the_journal_while_nothing_is_open_too(tmp_path: Path) -> None:
    first = Room(tmp_path)
    second, elsewhere = Room(tmp_path, clock=first.clock), Room(tmp_path, context="staging", clock=first.clock)
    for _ in range(3):
        for one in (first, second):
            one.look(FOUND)
    elsewhere.look()

    def logged() -> list[tuple[str, str]]:
        return [(event.incident, event.type) for event in first.journal.events()]

    assert logged() == [("", kinds.FINDING_RAISED)]
    assert first.journal.events()[0].data["context"] == "prod-eu"
    # A console that comes later knows what was written before it, and sees it go.
    third = Room(tmp_path, clock=first.clock)
    third.look(FOUND)
    third.look()
    first.look()
    assert logged() == [("", kinds.FINDING_RAISED), ("", kinds.FINDING_CLEARED)]
    # What is there when an incident begins is on its timeline as well; what goes while it is open is not said twice.
    first.look(FOUND)
    assert first.desk.declare(Declaration("slow", "P1", findings=(RULE.id,))).ok
    first.look(FOUND)
    first.look()
    first.desk.do(first.incident.id, lambda i, _: lifecycle.cancel(i, ALICE, "a test"))
    for one in (first, second):
        one.look()
    kinds_of = [type_ for incident, type_ in logged() if incident == ""]
    assert kinds_of == [kinds.FINDING_RAISED, kinds.FINDING_CLEARED, kinds.FINDING_RAISED]
    assert first.journal.verify().problems == ()
    for one in (first, second, elsewhere, third):
        one.journal.close()


def test_old_findings_are_not_written_down_as_gone(tmp_path: Path) -> None:
    room = Room(tmp_path)
    room.look(FOUND)
    room.clock.advance(60)
    room.desk.board.refresh()
    room.scribe.look(None)
    assert [event.type for event in room.journal.events()] == [kinds.FINDING_RAISED]
    room.journal.close()


def test_actions_land_on_the_timeline_with_the_figures_of_the_moment(room: Room) -> None:
    figures = {"latency_p95": 2.4, "app_ready": 4, "queue_depth": 7}
    recorder = JournalRecorder(
        room.journal,
        BOB,
        lambda: room.incident.id,
        lambda: figures,
        lambda names: questions(names, None, "shop"),
    )
    plan = {"title": "Rollout undo", "targets": ({"name": "app"},)}
    recorder.record(kinds.ACTION_STARTED, {"run": "r1", "plan": plan})
    figures = {"latency_p95": 0.08, "app_ready": 6, "queue_depth": 7}
    recorder.record(
        kinds.ACTION_RESULT, {"run": "r1", "action": "rollout-undo", "state": "recovered", "progress": "ok"}
    )
    recorder.record(kinds.ACTION_REFUSED, {"run": "r2", "action": "scale", "reason": "read-only"})
    summaries = [entry.event.summary for entry in room.incident.entries[-3:]]
    assert summaries == ["Rollout undo app: started", "Rollout undo app: recovered (ok)", "scale: refused, read-only"]
    started, result = recorder.entries((kinds.ACTION_STARTED, kinds.ACTION_RESULT))
    assert (started.data["facts"]["latency_p95"], result.data["facts"]["latency_p95"]) == (2.4, 0.08)
    # That of the latency is not known without a report, and the queue did not move.
    queries = {"app_ready": "kubectl get deployments,statefulsets,daemonsets -n shop"}
    assert result.data["queries"] == queries
    assert f"- app\\_ready: `{queries['app_ready']}`" in to_markdown(room.incident, START, "en")


def test_an_action_that_cannot_be_written_down_does_not_happen(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise Unwritable("the journal's disk is full", "free space")

    monkeypatch.setattr(Journal, "append", full)
    with pytest.raises(RecorderFailed, match="disk is full: free space"):
        JournalRecorder(room.journal, BOB, lambda: "").record(kinds.ACTION_STARTED, {"run": "r"})


def test_what_the_console_writes_does_not_renew_an_acknowledgement(room: Room) -> None:
    room.desk.do(room.incident.id, lambda i, _: acknowledge(i, BOB))
    before = room.incident.ack
    room.clock.advance(100)
    room.look(FOUND)
    assert room.incident.ack == before
