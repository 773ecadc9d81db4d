"""The built-in playbook holds every fact of Plan C, and everything it names exists."""

from __future__ import annotations

import re
from typing import Any

import pytest

from planc_tui.actions import registry
from planc_tui.core.facts import FACTS
from planc_tui.playbook import vocabulary
from planc_tui.playbook.environment import environment_of
from planc_tui.playbook.loader import default, examine
from planc_tui.playbook.model import Step
from planc_tui.playbook.reference import json_schema
from planc_tui.playbook.targets import target_of

PLAN = default()
# Actions that exist to undo another one; a playbook cannot start them.
UNDO_ONLY = {"restore-env"}


def steps(procedure_id: str, part: str = "immediate") -> list[tuple[str, str, dict[str, str]]]:
    procedure = PLAN.procedure(procedure_id)
    assert procedure is not None
    found: tuple[Step, ...] = getattr(procedure, part)
    return [(step.action or step.show or f"wait {step.wait:g}", step.target, step.arguments()) for step in found]


def test_targets() -> None:
    targets = PLAN.targets
    assert PLAN.namespace == "workflow-scalability"
    assert (targets.app.name, targets.app.container, targets.app.selector) == (
        "workflow-scalability-app",
        "workflow-app",
        "app=workflow-scalability",
    )
    assert targets.worker
    assert targets.worker.name == "workflow-worker-pool"
    assert targets.postgres
    assert (targets.postgres.pod, targets.postgres.user, targets.postgres.database) == (
        "postgres-0",
        "postgres",
        "workflow",
    )
    assert targets.rabbitmq
    assert (targets.rabbitmq.pod, targets.rabbitmq.dead_letter) == ("rabbitmq-0", "dead_letter")
    assert targets.ingress == "workflow-scalability-ingress"
    assert targets.maintenance
    assert targets.maintenance.annotations == {
        "nginx.ingress.kubernetes.io/custom-http-errors": "503",
        "nginx.ingress.kubernetes.io/default-backend": "maintenance-page",
    }


def test_systems_and_links() -> None:
    assert PLAN.systems.prometheus
    assert PLAN.systems.prometheus.url == "http://prometheus.workflow.example.com:9090"
    links = " ".join(link.url + link.via for link in PLAN.systems.links)
    for place in (
        "grafana-service:3000",
        "grafana.workflow.example.com",
        "jaeger.workflow.example.com:16686",
        "/docs/architecture.md",
        "/docs/api.md",
        "/docs/runbooks/",
    ):
        assert place in links
    assert {channel.room for channel in PLAN.channels} >= {"#incidents", "#ops"}
    assert "ops@workflow.example.com" in {contact.email for contact in PLAN.contacts}


def test_severities() -> None:
    assert [(severity.id, severity.name.en, severity.answer_within) for severity in PLAN.severities] == [
        ("P0", "critical", 15 * 60),
        ("P1", "major", 30 * 60),
        ("P2", "moderate", 2 * 3600),
        ("P3", "minor", 24 * 3600),
    ]
    assert all(severity.examples and severity.definition.fr for severity in PLAN.severities)


@pytest.mark.parametrize(
    ("procedure", "severity", "immediate", "follow_up"),
    [
        (
            "service-down",
            "P0",
            [
                ("rollouts", "", {}),
                ("pods", "", {"filter": "!status:running"}),
                ("rollout-undo", "app", {}),
                ("rollout-restart", "app", {}),
            ],
            [
                ("logs", "", {"window": "5m"}),
                ("events", "", {"top": "20"}),
                ("top_cpu", "", {}),
                ("pods", "", {}),
            ],
        ),
        (
            "high-latency",
            "P1",
            [
                ("scale", "app", {"replicas": "10"}),
                ("queues", "", {}),
                ("queue-purge", "dead_letter", {}),
                ("scale", "worker", {"replicas": "20"}),
            ],
            [
                ("set-env", "app", {"env": "ENABLE_CACHE=true"}),
                (
                    "set-resources",
                    "app",
                    {"container": "workflow-app", "memory-limit": "8Gi", "cpu-limit": "4000m"},
                ),
            ],
        ),
        (
            "high-error-rate",
            "P1",
            [
                ("errors", "", {"top": "50", "filter": "level:error"}),
                ("database", "", {}),
                ("pod-delete", "selected", {}),
                ("set-env", "app", {"env": "LOG_LEVEL=debug"}),
            ],
            [("errors", "", {"top": "20"}), ("database", "", {})],
        ),
        (
            "memory-leak",
            "P2",
            [
                ("top_memory", "", {}),
                ("pods-greediest", "app", {"count": "1"}),
                ("set-env", "app", {"env": "'NODE_OPTIONS=--max-old-space-size=2048 --gc-interval=100'"}),
                ("set-env", "app", {"env": "CACHE_TTL=60"}),
            ],
            [],
        ),
        (
            "database-trouble",
            "P1",
            [
                ("database", "", {}),
                ("terminate-older", "database", {"minutes": "5"}),
                ("vacuum-analyze", "database", {}),
                ("set-env", "app", {"env": "DATABASE_POOL_SIZE=50"}),
            ],
            [],
        ),
    ],
)
def test_procedures(
    procedure: str,
    severity: str,
    immediate: list[tuple[str, str, dict[str, str]]],
    follow_up: list[tuple[str, str, dict[str, str]]],
) -> None:
    found = PLAN.procedure(procedure)
    assert found is not None
    assert found.severity == severity
    assert found.symptoms
    assert found.recovered
    assert len(found.symptoms) == 3
    assert all(symptom.rule for symptom in found.symptoms)
    assert steps(procedure) == immediate
    assert steps(procedure, "follow_up") == follow_up


def test_recovery_and_diagnosis() -> None:
    assert [step[:2] for step in steps("progressive-restart")] == [
        ("cordon", "selected"),
        ("drain", "selected"),
        ("rollout-restart", "app"),
        ("wait 60", ""),
        ("rollout-restart", "worker"),
        ("uncordon", "selected"),
    ]
    assert [step[0] for step in steps("quick-diagnosis")] == [
        "pods",
        "events",
        "top_cpu",
        "top_memory",
        "errors",
        "hpa",
    ]
    assert steps("emergency-backup") == [("backup", "namespace", {})]


def test_symptoms_have_plan_c_s_thresholds() -> None:
    rules = {rule.id: rule for rule in PLAN.rules}
    above = {name: rules[name].all[0].above for name in ("latency-high", "queue-long", "cpu-high", "errors-high")}
    assert above == {"latency-high": 2, "queue-long": 1000, "cpu-high": 90, "errors-high": 5}
    assert {rule.procedure for rule in PLAN.rules} >= {
        "service-down",
        "high-latency",
        "high-error-rate",
        "memory-leak",
        "database-trouble",
    }


def test_escalation() -> None:
    ladder = [(level.id, level.after / 60, level.who.en, level.channel) for level in PLAN.escalation.ladder("P0")]
    assert ladder == [
        ("L1", 0, "on-call developer", "incidents"),
        ("L2", 15, "senior developer", "pagerduty"),
        ("L3", 30, "tech lead", "phone"),
        ("L4", 60, "CTO", "emergency-line"),
    ]
    assert PLAN.messages.first_after == 300
    assert {severity.update_every for severity in PLAN.severities} == {900}


def test_objectives() -> None:
    slos = {slo.id: slo for slo in PLAN.slos}
    availability = slos["availability"].allowed
    assert availability is not None
    assert availability == pytest.approx(0.0001)
    assert availability * 365 * 24 * 60 == pytest.approx(52.56)
    assert availability * slos["availability"].window / 60 == pytest.approx(4.32)
    assert slos["error-rate"].allowed == pytest.approx(0.001)
    assert (slos["latency-p95"].objective, slos["latency-p95"].unit) == (100, "ms")
    assert slos["latency-p95"].allowed == pytest.approx(0.05)
    kpi = PLAN.objectives
    assert (kpi.time_to_recovery, kpi.mttd, kpi.mtta, kpi.mttr) == (1800, 120, 300, 1800)
    assert (kpi.major_severities, kpi.major_incidents_per_month) == (("P0", "P1"), 2)


def test_messages_and_checklist_in_both_languages() -> None:
    messages = PLAN.messages
    needed = {
        "initial": {"severity", "symptoms", "impact", "actions", "expected_end", "every", "next_message"},
        "update": {"time", "status", "progress", "blockers", "next_steps", "expected_end"},
        "resolution": {"time", "duration", "root_cause", "fix", "final_impact", "review_date"},
    }
    for kind, fields in needed.items():
        words = getattr(messages, kind)
        for text in (words.en, words.fr):
            assert fields <= set(re.findall(r"\{(\w+)\}", text)), (kind, text)
    assert len(PLAN.checklist) == 10
    assert all(item.text.en and item.text.fr and item.text.en != item.text.fr for item in PLAN.checklist)


def test_every_action_a_playbook_may_name_exists_with_its_parameters() -> None:
    actions, broken = registry.load()
    assert not broken
    assert set(vocabulary.ACTIONS) == {name for name, action in actions.items()} - UNDO_ONLY
    for name, parameters in vocabulary.ACTIONS.items():
        assert {param.id for param in actions[name].params} == set(parameters), name


def test_every_step_has_a_target_its_action_takes() -> None:
    actions, _ = registry.load()
    for procedure in PLAN.procedures:
        for step in (*procedure.immediate, *procedure.follow_up):
            if not step.action:
                continue
            target = target_of(step, PLAN, "ns", "ctx")
            if step.target == "selected":
                assert target is None
                continue
            assert target is not None, (procedure.id, step.action)
            assert target.context == "ctx"
            assert target.kind in actions[step.action].kinds, (procedure.id, step.action, target.kind)


@pytest.mark.parametrize(
    ("context", "cluster", "word", "read_only"),
    [
        ("eu-prod-1", "", "PROD", True),
        ("admin@x", "PROD-EU", "PROD", True),
        ("preprod", "", "STAGING", False),
        ("kind-demo", "", "DEV", False),
        ("planc-test", "", "TEST", False),
        ("admin", "c-1234", "UNKNOWN", True),
    ],
)
def test_environment(context: str, cluster: str, word: str, read_only: bool) -> None:
    found = environment_of(PLAN, context, cluster)
    assert (found.word, found.read_only) == (word, read_only)


def test_rules_name_facts_and_every_fact_has_a_unit_of_the_known_ones() -> None:
    assert {condition.fact for rule in PLAN.rules for condition in rule.conditions} <= set(FACTS)
    assert {fact.unit for fact in FACTS.values()} <= {"", "%", "s", "min", "MiB/min", "1/min", "yes/no"}


def test_the_schema_accepts_plan_c_and_refuses_what_the_check_refuses() -> None:
    schema = json_schema()
    plain = examine(None).plain()
    assert list(violations(plain, schema, schema)) == []
    assert list(violations({"extends": "plan-c", "rules": [{"id": "x", "remove": True}]}, schema, schema)) == []
    for wrong in (
        {**plain, "serverities": []},
        {**plain, "language": "de"},
        {**plain, "messages": {**plain["messages"], "first_after": "5"}},
        {"name": "x"},
    ):
        assert list(violations(wrong, schema, schema)), wrong.keys()


def violations(value: Any, schema: dict[str, Any], root: dict[str, Any], path: str = "$") -> Any:
    """The part of JSON schema that ours uses, so that the test needs no validator."""
    if "$ref" in schema:
        yield from violations(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root, path)
    if "anyOf" in schema and all(list(violations(value, option, root, path)) for option in schema["anyOf"]):
        yield f"{path}: none of the alternatives"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: not in enum"
    if "const" in schema and value != schema["const"]:
        yield f"{path}: not the constant"
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        yield f"{path}: pattern"
    kinds: dict[str, Any] = {"object": dict, "array": list, "string": str, "number": int | float, "integer": int}
    kinds |= {"boolean": bool, "null": type(None)}
    if "type" in schema and not isinstance(value, kinds[schema["type"]]):
        yield f"{path}: not {schema['type']}"
    if isinstance(value, dict):
        yield from (f"{path}: {key} missing" for key in schema.get("required", ()) if key not in value)
        properties, more = schema.get("properties", {}), schema.get("additionalProperties", {})
        for key, child in value.items():
            if key in properties:
                yield from violations(child, properties[key], root, f"{path}.{key}")
            elif more is False:
                yield f"{path}: {key} unknown"
            else:
                yield from violations(child, more, root, f"{path}.{key}")
    if isinstance(value, list):
        for at, child in enumerate(value):
            yield from violations(child, schema.get("items", {}), root, f"{path}[{at}]")
