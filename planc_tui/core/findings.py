"""What is wrong now, by rules over facts.

Invariant: a fact that is not known neither raises nor clears a finding; a finding appears only after its condition
has held without a break for the rule's time, and goes only after the opposite has held likewise, so it never flaps.
The state after a step is a pure function of the state before it, the facts and the time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from planc_tui.core.table import Target


class Unit(Enum):
    """What the number of a fact counts."""

    COUNT = "count"
    PERCENT = "percent"
    SECONDS = "seconds"
    PER_SECOND = "per second"
    PER_MINUTE = "per minute"
    MIB_PER_MINUTE = "MiB per minute"
    TIMES = "times"
    FLAG = "yes or no"


@dataclass(frozen=True, slots=True)
class FactSpec:
    """A number that rules may test. name: as the playbook writes it; pane: id of the pane that shows it."""

    name: str
    unit: Unit
    pane: str
    title: str


def _specs(*specs: FactSpec) -> Mapping[str, FactSpec]:
    return {spec.name: spec for spec in specs}


_C, _P, _S, _F = Unit.COUNT, Unit.PERCENT, Unit.SECONDS, Unit.FLAG

FACTS: Mapping[str, FactSpec] = _specs(
    FactSpec("pods_total", _C, "pods", "pods that should run (finished ones left out)"),
    FactSpec("pods_unhealthy", _C, "pods", "pods that are not ready, crash, wait or failed"),
    FactSpec("pods_unhealthy_percent", _P, "pods", "unhealthy pods of all pods that should run"),
    FactSpec("app_pods_ready", _C, "pods", "ready pods of the playbook's application"),
    FactSpec("app_pods_unhealthy", _C, "pods", "unhealthy pods of the playbook's application"),
    FactSpec("pods_crashlooping", _C, "pods", "pods in CrashLoopBackOff"),
    FactSpec("pods_oom_killed", _C, "pods", "pods with a container OOMKilled in the last 10 minutes"),
    FactSpec("pods_restarted_10m", _C, "pods", "pods with a container restart in the last 10 minutes"),
    FactSpec("pods_pending", _C, "pods", "pods that are Pending"),
    FactSpec("image_pull_failures", _C, "pods", "pods that cannot pull their image"),
    FactSpec("pod_cpu_percent_of_limit", _P, "top_cpu", "highest CPU use of a pod, of its limit"),
    FactSpec("pod_memory_percent_of_limit", _P, "top_memory", "highest memory use of a pod, of its limit"),
    FactSpec("memory_slope", Unit.MIB_PER_MINUTE, "top_memory", "fastest memory growth of a pod"),
    FactSpec("memory_time_to_limit", _S, "top_memory", "shortest time until a pod reaches its memory limit"),
    FactSpec("hpa_at_max", _C, "hpa", "autoscalers at their maximum that want more"),
    FactSpec("hpa_unable_to_scale", _C, "hpa", "autoscalers that cannot scale or read their metrics"),
    FactSpec("rollouts_stuck", _C, "rollouts", "rollouts that exceeded their progress deadline"),
    FactSpec("rollouts_unavailable", _C, "rollouts", "workloads that want replicas and have none available"),
    FactSpec("nodes_not_ready", _C, "nodes", "nodes that are not ready"),
    FactSpec("nodes_under_pressure", _C, "nodes", "nodes with memory, disk or PID pressure"),
    FactSpec("warning_events_10m", _C, "events", "different warning events in the last 10 minutes"),
    FactSpec("queue_depth", _C, "queues", "ready messages of the deepest work queue"),
    FactSpec("queue_growth", Unit.PER_SECOND, "queues", "fastest growth of a watched queue"),
    FactSpec("queue_without_consumers", _C, "queues", "watched queues with messages and no consumer"),
    FactSpec("dead_letter_depth", _C, "queues", "messages in the dead-letter queue"),
    FactSpec("availability", _P, "slo", "successful requests in the short window"),
    FactSpec("error_rate", _P, "slo", "failed requests in the short window"),
    FactSpec("latency_p95", _S, "slo", "95th percentile of the response time"),
    FactSpec("availability_burn_short", Unit.TIMES, "slo", "burn rate of availability, short window"),
    FactSpec("availability_burn_long", Unit.TIMES, "slo", "burn rate of availability, long window"),
    FactSpec("error_rate_burn_short", Unit.TIMES, "slo", "burn rate of the error rate, short window"),
    FactSpec("error_rate_burn_long", Unit.TIMES, "slo", "burn rate of the error rate, long window"),
    FactSpec("database_connections_percent", _P, "database", "connections in use, of max_connections"),
    FactSpec("database_longest_transaction", _S, "database", "age of a client's oldest open transaction"),
    FactSpec("database_longest_query", _S, "database", "age of the longest running query of a client"),
    FactSpec("database_blocked_sessions", _C, "database", "sessions that wait for a lock of another"),
    FactSpec("log_errors_per_minute", Unit.PER_MINUTE, "errors", "error lines in the last minute"),
    FactSpec("api_unreachable", _F, "pods", "the Kubernetes API does not answer"),
    FactSpec("database_unreachable", _F, "database", "PostgreSQL does not answer"),
    FactSpec("broker_unreachable", _F, "queues", "RabbitMQ does not answer"),
    FactSpec("prometheus_unreachable", _F, "slo", "Prometheus does not answer"),
    FactSpec("metrics_unreachable", _F, "top_cpu", "the metrics API does not answer"),
)


@dataclass(frozen=True, slots=True)
class Fact:
    """A known value. subject: name of the worst offender; target: the same, as an object to open."""

    value: float
    subject: str = ""
    target: Target | None = None


Facts = Mapping[str, Fact]
"""Known facts by name. A name that is missing is UNKNOWN."""


class Compare(Enum):
    """How a fact is tested against a threshold."""

    ABOVE = ">"
    AT_LEAST = ">="
    BELOW = "<"
    AT_MOST = "<="

    def holds(self, value: float, threshold: float) -> bool:
        """Whether `value` is on the bad side of `threshold`."""
        if self is Compare.ABOVE:
            return value > threshold
        if self is Compare.AT_LEAST:
            return value >= threshold
        if self is Compare.BELOW:
            return value < threshold
        return value <= threshold


@dataclass(frozen=True, slots=True)
class Condition:
    """One test. threshold and clear are in the fact's unit; the finding may go once the test fails against
    `clear`, which lies on the good side of the threshold (None: the threshold itself)."""

    fact: str
    compare: Compare
    threshold: float
    clear: float | None = None

    def raised(self, facts: Facts) -> bool | None:
        """Whether the test holds; None when the fact is unknown."""
        fact = facts.get(self.fact)
        return None if fact is None else self.compare.holds(fact.value, self.threshold)

    def cleared(self, facts: Facts) -> bool | None:
        """Whether the fact is back on the good side of `clear`; None when it is unknown."""
        fact = facts.get(self.fact)
        if fact is None:
            return None
        return not self.compare.holds(fact.value, self.threshold if self.clear is None else self.clear)


@dataclass(frozen=True, slots=True)
class Rule:
    """A symptom. severity: P0 ... P3; procedure: id of the playbook's procedure, may be empty.

    text: shown, with `{fact}` replaced by its value and `{fact.subject}` by the worst offender's name.
    every: all conditions must hold, else one is enough. raise_after, hold: seconds."""

    id: str
    text: str
    severity: str
    conditions: tuple[Condition, ...]
    procedure: str = ""
    every: bool = False
    raise_after: float = 0.0
    hold: float = 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong. since: epoch seconds at which the condition was first seen.

    confirmed: False when a fact it rests on is unknown now, so nobody knows whether it still holds."""

    id: str
    severity: str
    text: str
    since: float
    procedure: str = ""
    facts: tuple[tuple[str, float], ...] = ()
    pane: str = ""
    target: Target | None = None
    confirmed: bool = True


@dataclass(frozen=True, slots=True)
class _Track:
    """Progress of one rule. Times are monotonic seconds, `seen_at` is epoch seconds."""

    bad_since: float | None = None
    seen_at: float = 0.0
    good_since: float | None = None
    finding: Finding | None = None


@dataclass(frozen=True, slots=True)
class FindingsState:
    """Everything the rules remember between two steps."""

    tracks: Mapping[str, _Track] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong, worst severity first, then the oldest."""
        found = [track.finding for track in self.tracks.values() if track.finding is not None]
        return tuple(sorted(found, key=lambda finding: (finding.severity, finding.since, finding.id)))


def step(
    state: FindingsState, rules: Sequence[Rule], facts: Facts, now: float, monotonic: float
) -> FindingsState:
    """The state after looking at `facts` at epoch time `now` and monotonic time `monotonic` (seconds)."""
    tracks = {}
    for rule in rules:
        tracks[rule.id] = _advance(state.tracks.get(rule.id, _Track()), rule, facts, now, monotonic)
    return FindingsState(tracks)


def verdict(rule: Rule, answers: Sequence[bool | None]) -> bool | None:
    """Three-valued all/any over the answers of a rule's conditions.

    >>> rule = Rule("r", "t", "P1", (), every=True)
    >>> verdict(rule, [True, None]), verdict(rule, [False, None]), verdict(rule, [True, True])
    (None, False, True)
    """
    decisive = not rule.every
    if any(answer is decisive for answer in answers):
        return decisive
    if any(answer is None for answer in answers):
        return None
    return not decisive


def _advance(track: _Track, rule: Rule, facts: Facts, now: float, monotonic: float) -> _Track:
    if track.finding is None:
        return _while_quiet(track, rule, facts, now, monotonic)
    return _while_raised(track, track.finding, rule, facts, monotonic)


def _while_quiet(track: _Track, rule: Rule, facts: Facts, now: float, monotonic: float) -> _Track:
    if verdict(rule, [condition.raised(facts) for condition in rule.conditions]) is not True:
        return _Track()
    since = monotonic if track.bad_since is None else track.bad_since
    seen_at = now if track.bad_since is None else track.seen_at
    if monotonic - since < rule.raise_after:
        return _Track(bad_since=since, seen_at=seen_at)
    return _Track(bad_since=since, seen_at=seen_at, finding=_finding(rule, facts, seen_at))


def _while_raised(track: _Track, finding: Finding, rule: Rule, facts: Facts, monotonic: float) -> _Track:
    # A rule with `any` is cleared when all of its conditions are, and the other way round.
    cleared = verdict(_opposite(rule), [condition.cleared(facts) for condition in rule.conditions])
    if cleared is None:
        return _Track(track.bad_since, track.seen_at, None, replace(finding, confirmed=False))
    known = (
        _finding(rule, facts, finding.since) if _all_known(rule, facts) else replace(finding, confirmed=True)
    )
    if not cleared:
        return _Track(track.bad_since, track.seen_at, None, known)
    since = monotonic if track.good_since is None else track.good_since
    if monotonic - since >= rule.hold:
        return _Track()
    return _Track(track.bad_since, track.seen_at, since, finding)


def _opposite(rule: Rule) -> Rule:
    return Rule(rule.id, rule.text, rule.severity, rule.conditions, every=not rule.every)


def _all_known(rule: Rule, facts: Facts) -> bool:
    return all(condition.fact in facts for condition in rule.conditions)


def _finding(rule: Rule, facts: Facts, since: float) -> Finding:
    used = [condition for condition in rule.conditions if condition.fact in facts]
    bad = [condition for condition in used if condition.raised(facts)] or used
    first = facts[bad[0].fact]
    spec = FACTS.get(bad[0].fact)
    return Finding(
        id=rule.id,
        severity=rule.severity,
        text=fill(rule.text, facts),
        since=since,
        procedure=rule.procedure,
        facts=tuple((condition.fact, facts[condition.fact].value) for condition in used),
        pane="" if spec is None else spec.pane,
        target=first.target,
    )


PLACEHOLDER = re.compile(r"\{([a-z0-9_]+)(\.subject)?\}")


def fill(template: str, facts: Facts) -> str:
    """The template with values; an unknown fact shows as `?`.

    >>> fill("P95 {latency_p95} on {latency_p95.subject}", {"latency_p95": Fact(2.43, "app")})
    'P95 2.4 s on app'
    """

    def one(match: re.Match[str]) -> str:
        fact = facts.get(match[1])
        if fact is None:
            return "?"
        return fact.subject if match[2] else show(match[1], fact.value)

    return PLACEHOLDER.sub(one, template)


def show(name: str, value: float) -> str:
    """A fact's value for people: few digits, so that the text stands still while the value trembles.

    >>> show("queue_depth", 1840), show("error_rate", 4.126), show("memory_time_to_limit", 190)
    ('1,840', '4.1%', '3 min')
    """
    spec = FACTS.get(name)
    unit = spec.unit if spec is not None else Unit.COUNT
    if unit is Unit.PERCENT:
        return f"{value:.4g}%" if value >= 99 else f"{value:.2g}%" if value < 10 else f"{value:.0f}%"
    if unit is Unit.SECONDS:
        return _seconds(value)
    if unit is Unit.TIMES:
        return f"{value:.1f}×" if value < 10 else f"{value:,.0f}×"
    if unit is Unit.FLAG:
        return "yes" if value else "no"
    suffix = {Unit.PER_SECOND: "/s", Unit.PER_MINUTE: "/min", Unit.MIB_PER_MINUTE: " MiB/min"}.get(unit, "")
    return f"{value:,.0f}{suffix}" if value >= 10 or value == int(value) else f"{value:.1f}{suffix}"


def _seconds(value: float) -> str:
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.2g} s"
    if value < 3600:
        return f"{value / 60:.0f} min"
    return f"{value / 3600:.1f} h"
