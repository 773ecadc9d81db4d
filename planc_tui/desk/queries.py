"""What would show a figure again: the question behind each fact, for whoever reads the timeline later.

Invariant: a fact of Prometheus has the PromQL that measured it; any other has the command that reads the same thing. A
fact whose question is not known gets none, rather than one that answers something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from planc_tui.core.facts import FACTS
from planc_tui.core.slo import Objective, SloReport, SloStatus, bad_query, figure_query

_KINDS = {"availability_percent": "availability", "error_percent": "error_rate", "latency_p95": "latency"}

_COMMANDS = {
    "pods": "kubectl get pods -n {namespace}",
    "rollouts": "kubectl get deployments,statefulsets,daemonsets -n {namespace}",
    "hpas": "kubectl get hpa -n {namespace}",
    "nodes": "kubectl get nodes",
    "usage": "kubectl top pods -n {namespace} --containers",
    "events": "kubectl get events -n {namespace}",
    "queues": "rabbitmqctl list_queues name messages consumers",
    "database": "SELECT * FROM pg_stat_activity",
    "alerts": "GET /api/v2/alerts",
    "logs": "kubectl logs -n {namespace} --since=1m",
    "link": "kubectl get --raw /readyz",
}


def behind(facts: Iterable[str], report: SloReport | None, namespace: str) -> str:
    """The questions behind these facts, each once. report: the objectives as they were measured, None when unknown."""
    return "; ".join(dict.fromkeys(questions(facts, report, namespace).values()))


def questions(facts: Iterable[str], report: SloReport | None, namespace: str) -> Mapping[str, str]:
    """The question behind each of these facts that has one."""
    return {name: asked for name in facts if (asked := _question(name, report, namespace))}


def _question(name: str, report: SloReport | None, namespace: str) -> str:
    fact = FACTS.get(name)
    if fact is None:
        return ""
    if fact.topic != "slo":
        return _COMMANDS.get(fact.topic, "").format(namespace=namespace)
    known = () if report is None else report.slos
    if name in _KINDS:
        status = next((s for s in known if s.objective.kind == _KINDS[name] and s.value is not None), None)
        return "" if status is None else figure_query(status.objective)
    return _of_the_budget(name, known)


def _of_the_budget(name: str, known: Iterable[SloStatus]) -> str:
    """Burn rates and budgets are those of the objective that stands worst, as the facts have them."""
    statuses = tuple(known)
    if name == "budget_left_percent":
        left = [(s.budget_left, s.objective) for s in statuses if s.budget_left is not None]
        return _bad(min(left, key=lambda item: item[0])[1], "period") if left else ""
    window = {"burn_short": "short", "burn_long": "long"}.get(name, "")
    burns = [(burn, s.objective) for s in statuses if window and (burn := getattr(s, name)) is not None]
    return _bad(max(burns, key=lambda item: item[0])[1], window) if burns else ""


def _bad(objective: Objective, window: str) -> str:
    return bad_query(objective, getattr(objective, window)) or ""
