"""The post-mortem of one lived incident, in both languages, against goldens; PLANC_UPDATE_GOLDENS=1 writes them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from planc_tui.core.timeline import Draft
from planc_tui.incident import kinds, lifecycle
from planc_tui.incident.lifecycle import Declaration, Evidence, declare
from planc_tui.incident.messages import queue_message
from planc_tui.incident.model import MessageKind, Role
from planc_tui.incident.postmortem import escape, hints, to_json, to_markdown
from planc_tui.incident.words import WORDS
from tests.unit.incident_kit import ALICE, BOB, MINUTE, START, World, declared, policy

GOLDENS = Path(__file__).with_name("goldens")


def lived() -> World:
    """Declared from a finding, escalated, repaired, told about, resolved with proof."""
    world = World()
    form = Declaration(
        "checkout answers 502 | for <most>",
        "P1",
        impact_start=START - 3 * MINUTE,
        detected_at=START - MINUTE,
        detected_by="rule latency",
        findings=("P95 2.4 s > 2 s for 3 min",),
        services=("api",),
    )
    world.do(declare("INC-20261124-001", form, policy(), ALICE, world.now))
    world.run_until(2)
    world.do(lifecycle.write(world.incident, ALICE, world.now, kinds.NOTE, "deploy by CI", at=START - 5 * MINUTE))
    world.run_until(15)
    world.to(16).do(lifecycle.acknowledge(world.incident, BOB))
    world.do(lifecycle.change_severity(world.incident, BOB, "P0", "all requests fail"))
    world.do(lifecycle.write(world.incident, BOB, world.now, kinds.NOTE, "carol should have tested it"))
    change = {"label": "image", "before": "app:1.9.2", "after": "app:1.9.1"}
    plan = {"title": "Rollout undo", "targets": [{"name": "app"}], "changes": [change]}
    started = {"run": "r1", "plan": plan, "facts": {"latency_p95": 2.4, "queue_depth": 7}}
    world.to(18).write([Draft("INC-20261124-001", kinds.ACTION_STARTED, BOB, "Rollout undo app: started", started)])
    result: dict[str, Any] = {
        "run": "r1",
        "action": "rollout-undo",
        "state": "recovered",
        "progress": "24 of 24 ready in 41 s",
    }
    result["facts"] = {"latency_p95": 0.08, "queue_depth": 7}
    result["queries"] = {"latency_p95": "histogram_quantile(0.95, x)"}
    world.to(19).write([Draft("INC-20261124-001", kinds.ACTION_RESULT, BOB, "Rollout undo app: recovered", result)])
    for value in ("18%", "41%"):
        worst = {"slo": "error-rate", "name": "error rate", "text": value}
        worst["query"] = 'sum(rate(http_requests_total{code=~"5.."}[5m]))'
        world.write([Draft("INC-20261124-001", kinds.WORST, BOB, f"worst so far: error rate {value}", worst)])
    world.do(queue_message(world.incident, ALICE, MessageKind.INITIAL, {"slack": "We look into it.\n# not a heading"}))
    world.do(lifecycle.mitigate(world.incident, BOB, "rolled back"))
    proof = Evidence(360.0, ("P95 80 ms (histogram_quantile(0.95, x))", "errors 0.02 %"))
    world.to(26).do(lifecycle.resolve(world.incident, BOB, proof))
    facts = {
        "root_cause": "the pool was too small for the new query",
        "budget_spent": "31 % of 30 days",
        "budget_query": "sum(increase(bad[26m])) / (0.0001 * sum(increase(all[30d])))",
        "impact": "42 % of requests failed",
        "users_affected": "1,200",
        "review_date": "2026-11-27 10:00",
    }
    world.to(30).do(lifecycle.set_facts(world.incident, ALICE, world.now, facts))
    world.do(lifecycle.assume_role(world.incident, ALICE, Role.COMMUNICATIONS, "dave"))
    world.do(lifecycle.write(world.incident, ALICE, world.now, kinds.TODO, "raise it", owner="carol", due="2026-12-01"))
    world.do(lifecycle.write(world.incident, ALICE, world.now, kinds.NOTE, "wrnog"))
    world.do(lifecycle.correct(world.incident, ALICE, world.incident.seq, "the vendor was told"))
    world.do(lifecycle.tick_point(world.incident, ALICE, "docs"))
    return world


def compare(name: str, text: str) -> None:
    path = GOLDENS / name
    if os.environ.get("PLANC_UPDATE_GOLDENS"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("language", ["en", "fr"])
def test_post_mortem_is_half_written(language: str) -> None:
    compare(f"postmortem_{language}.md", to_markdown(lived().incident, START + 30 * MINUTE, language))


def test_post_mortem_for_programs_has_the_same_facts() -> None:
    found = to_json(lived().incident, START + 30 * MINUTE)
    compare("postmortem.json", json.dumps(found, ensure_ascii=False, indent=2) + "\n")


def test_both_languages_say_the_same_things() -> None:
    assert set(WORDS["en"]) == set(WORDS["fr"])
    for name, text in WORDS["en"].items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", WORDS["fr"][name])), name


def test_an_empty_incident_says_unknown_and_leaves_places_to_fill_in() -> None:
    text = to_markdown(declared().incident, START, "en")
    assert "| Impact began | unknown |" in text
    assert "| Time to detect | unknown |" in text
    assert text.count("(to fill in)") == 4
    assert "None" not in text.replace("None.", "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("this was human error", "human error"),
        ("Bob should have looked", "should have"),
        ("c'est la faute de Bob", "la faute de"),
        ("Bob aurait dû regarder", "aurait dû"),
        ("Carol forgot the index", "forgot"),
        ("the pool was too small", ""),
    ],
)
def test_wording_that_blames_is_pointed_at(text: str, words: str) -> None:
    world = declared()
    world.do(lifecycle.write(world.incident, BOB, world.now, kinds.NOTE, text))
    assert [found[1] for found in hints(world.incident)] == ([words] if words else [])


@pytest.mark.parametrize("text", ["a human error by the DBA", "erreur humaine"])
def test_a_root_cause_that_blames_is_pointed_at_too(text: str) -> None:
    world = declared()
    world.do(lifecycle.set_facts(world.incident, ALICE, world.now, {"root_cause": text}))
    [(seq, words, instead)] = hints(world.incident)
    assert seq == world.incident.seq
    assert words in text
    assert "made the mistake possible" in instead


def test_text_cannot_break_out_of_a_table_or_a_heading() -> None:
    hostile = "a | b\n# heading <script>alert(1)</script> `x` [link](http://evil) \x1b[31m"
    assert escape(hostile) == (
        "a \\| b # heading &lt;script&gt;alert(1)&lt;/script&gt; \\`x\\` \\[link\\](http://evil)"
    )
    world = declared()
    world.do(lifecycle.write(world.incident, BOB, world.now, kinds.NOTE, hostile))
    lines = to_markdown(world.incident, START, "en").splitlines()
    assert [line for line in lines if line.startswith("# ")] == [lines[0]]
    rows = [line for line in lines if line.startswith("| 20")]
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 5 for row in rows)
