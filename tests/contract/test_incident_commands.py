"""`planc incident` and `planc escalator` as scripts use them, with a recording server for the channels."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from planc_tui.cli import planc
from planc_tui.commands.escalator import unit_text
from planc_tui.commands.incident import incident as incident_group
from planc_tui.core.timeline import Actor
from planc_tui.desk.desk import Desk
from planc_tui.desk.policy import policy_of
from planc_tui.incident import lifecycle
from planc_tui.incident.lifecycle import Evidence
from planc_tui.journal import Journal
from planc_tui.playbook.loader import load
from tests.contract.recorder import Recorder, recording

KEY = "e93facc04764012d7bfb002500d5d1a6"
PLAYBOOK = """
extends: plan-c
language: en
escalation:
  levels:
    - {id: L1, after: 0, who: on-call developer, does: first diagnosis, channel: incidents}
    - {id: L2, after: 2s, who: senior developer, does: corrective actions, channel: pagerduty}
    - {id: L3, after: 60m, who: tech lead, does: decisions, channel: phone}
    - {id: L4, after: 90m, who: CTO, does: external communication, channel: emergency-line}
"""

Run = Callable[..., Result]


@pytest.fixture
def journal_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "state" / "journal.db"
    monkeypatch.setenv("PLANC_JOURNAL", str(path))
    (tmp_path / "playbook.yaml").write_text(PLAYBOOK)
    (tmp_path / "playbook.yaml").chmod(0o600)
    monkeypatch.setenv("PLANC_PLAYBOOK", str(tmp_path / "playbook.yaml"))
    return path


@pytest.fixture
def run(journal_path: Path) -> Run:
    def call(*arguments: str, code: int = 0, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(planc, ["incident", *arguments], input=stdin)
        assert result.exit_code == code, (result.output, result.exception)
        return result

    return call


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with recording() as running:
        yield running


def found(result: Result) -> Any:
    return json.loads(result.stdout)


def wait_for(what: Callable[[], bool], seconds: float = 15.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def test_an_incident_is_lived_through_by_script_alone(
    run: Run, recorder: Recorder, journal_path: Path, tmp_path: Path
) -> None:
    environ = {
        **os.environ,
        "PLANC_SLACK_INCIDENTS": f"{recorder.url}/services/T0/B0/x",
        "PLANC_PAGERDUTY_KEY": KEY,
        "PLANC_PAGERDUTY_URL": recorder.url,
    }
    run("declare", "checkout answers 502", "-s", "P1", "--impact-start", "4m ago", "--finding", "P95 2.4 s > 2 s")
    keeper = subprocess.Popen(
        [sys.executable, "-c", "from planc_tui.cli import main; main()", "escalator", "--every", "0.1"],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: len(recorder.taken()) == 2)
        assert [call.path for call in recorder.taken()] == ["/services/T0/B0/x", "/v2/enqueue"]
        assert CliRunner().invoke(planc, ["escalator", "status"]).exit_code == 0
        assert found(run("status", "-o", "json"))["level"] == "L2"

        run("ack")
        wait_for(lambda: list(recorder.incidents.values()) == ["acknowledge"])
        run("note", "deploy by CI", "--at", "6m ago")
        run("note", "roll back", "--kind", "decision")
        run("severity", "P0", "--reason", "all requests fail")
        lacking = run("message", code=1)
        assert "the message lacks: impact" in lacking.stderr
        run("message", "--set", "impact=42 % of requests fail")
        wait_for(lambda: len(recorder.taken()) == 4)
        assert "42 % of requests fail" in recorder.taken()[-1].body["blocks"][2]["text"]["text"]

        refused = run("resolve", code=1)
        assert "recovery is not proven" in refused.stderr
        _console_sees_recovery(journal_path)
        run("resolve")
        wait_for(lambda: list(recorder.incidents.values()) == ["resolve"])
        run("message", "--set", "root_cause=pool too small", "--set", "fix=rollback", "--set", "review_date=2026-11-27")
        wait_for(lambda: len(recorder.taken()) == 6)

        run("note", "raise the pool", "--kind", "todo", "--owner", "carol", "--due", "2026-12-01")
        assert "3 points of the checklist are open" in run("close", "--tick", "documentation", code=1).stderr
        target = tmp_path / "postmortem.md"
        run("export", "--file", str(target))
        run("close", "--tick", "tests", "--tick", "monitoring")
        assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert "| Time to detect | 4 min |" in target.read_text()
    finally:
        keeper.send_signal(signal.SIGTERM)
        _, said = keeper.communicate(timeout=10)
    assert keeper.returncode == 0
    assert KEY not in said
    assert "services/T0" not in said
    assert run("list").stdout.startswith("no incident is open")
    [listed] = found(run("list", "--all", "-o", "json"))
    assert (listed["state"], listed["severity"]) == ("closed", "P0")
    assert "none changed" in run("verify").stdout
    assert found(run("kpi", "-o", "json"))["mttr"]["n"] == 1
    timeline = found(run("export", "-i", listed["id"], "--format", "json"))["timeline"]
    assert {"page.due", "message.queued", "delivery.sent", "incident.closed"} <= {entry["type"] for entry in timeline}
    assert KEY not in json.dumps(timeline)
    assert "services/T0" not in json.dumps(timeline)


def _console_sees_recovery(path: Path) -> None:
    journal = Journal.open(path)
    actor = Actor("bob", host="bastion1")
    desk = Desk(journal, policy_of(load()), actor)
    desk.board.refresh()
    [incident] = desk.board.active()
    journal.append(lifecycle.witness(incident, actor, Evidence(600.0, ("P95 80 ms", "errors 0.02 %"))))
    journal.close()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("ack",), 1, "no incident is open"),
        (("show", "-i", "INC-1"), 1, "there is no incident INC-1"),
        (("show", "-i", "\x1b[31mevil"), 1, "there is no incident evil"),
        (("declare", "down", "-s", "P9"), 1, "P9 is not a severity"),
        (("declare", " ", "-s", "P1"), 1, "one line"),
        (("declare", "down"), 2, "--severity"),
        (("declare", "down", "-s", "P1", "--impact-start", "yesterday"), 2, "is not a time"),
        (("kpi", "--since", "soon"), 2, "is not a time"),
        (("set", "nonsense"), 2, "NAME=VALUE"),
    ],
)
def test_mistakes_end_in_one_line_that_says_what_to_do(
    run: Run, arguments: tuple[str, ...], code: int, words: str
) -> None:
    result = run(*arguments, code=code)
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert "\x1b" not in result.output


def test_commands_work_on_the_only_open_incident_and_ask_when_there_are_two(run: Run) -> None:
    first = found(run("declare", "one", "-s", "p2", "-o", "json"))
    assert first["severity"] == "P2"
    run("note", "on the only one")
    second = found(run("declare", "two", "-s", "P3", "-o", "json"))
    assert second["id"] != first["id"]
    assert "name one with -i" in run("ack", code=1).stderr
    run("ack", "-i", second["id"])
    assert found(run("-i", second["id"], "-o", "json", "show"))["acknowledged_by"]
    run("status", "cancelled", "--reason", "a test", "-i", second["id"])
    assert "is cancelled" in run("ack", "-i", second["id"], code=1).stderr


def test_entries_todos_roles_and_pages_by_hand(run: Run) -> None:
    run("declare", "down", "-s", "P1")
    run("note", "wrnog")
    seq = found(run("show", "-o", "json"))["entries"][-1]["seq"]
    run("note", "wrong", "--corrects", str(seq))
    run("note", "mend it", "--kind", "todo", "--owner", "carol")
    todo = found(run("show", "-o", "json"))["todos"][0]["id"]
    run("note", "", "--done", str(todo))
    run("set", "--role", "commander", "--who", "carol")
    run("ack", "--snooze", "5m", "--reason", "vendor is on it")
    run("ack", "--snooze", "5h", "--reason", "long", code=1)
    run("escalate", "L3", "--reason", "a decision is needed")
    call = found(run("show", "-o", "json"))["clock"]["calls"][0]
    run("escalate", "--reached", call["page"], "--contact", "carol")
    run("escalate", "--contact", "ops", "--channel", "mail")
    shown = found(run("show", "-o", "json"))
    assert shown["roles"]["commander"] == "carol"
    assert shown["todos"][0]["done"] is True
    assert [page["reached"] for page in shown["pages"]] == ["carol", ""]
    assert "(corrected by" in run("show").stdout


def test_every_command_speaks_json(run: Run, tmp_path: Path) -> None:
    """One life, each step of which must leave exactly one JSON document on standard output."""
    said: dict[str, list[Any]] = {}

    def json_of(*arguments: str) -> Any:
        value = found(run(*arguments, "-o", "json"))
        said.setdefault(arguments[0], []).append(value)
        assert found(run("show", "-o", "json")) or arguments[0] == "close"
        return value

    assert found(run("list", "-o", "json")) == []
    declared = json_of("declare", "down", "-s", "P1", "--set", "impact=4 %", "--set", "actions=roll back")
    assert declared["state"] == "open"
    assert [one["id"] for one in json_of("list")] == [declared["id"]]
    assert json_of("status")["next_who"] == "senior developer"
    assert json_of("severity", "P0")["severity"] == "P0"
    assert json_of("escalate", "--contact", "dana", "--number", "112", "--reason", "she knows")["state"] == "open"
    [call] = found(run("show", "-o", "json"))["clock"]["calls"]
    assert (call["who"], call["number"]) == ("dana", "112")
    json_of("escalate", "--reached", call["page"], "--contact", "dana")
    assert json_of("ack")["acknowledged_by"]
    json_of("ack", "--undo")
    json_of("ack", "--snooze", "5m", "--reason", "the vendor is on it")
    json_of("note", "raise the pool", "--kind", "todo", "--owner", "carol")
    json_of("set", "root_cause=pool", "fix=rollback", "review_date=2026-12-01", "final_impact=4 %")
    assert json_of("message", "--preview")["missing"] == []
    json_of("message")
    json_of("status", "mitigated")
    json_of("resolve", "--override", "seen")
    json_of("message", "--channel", "copy")
    waiting = [d["id"] for d in found(run("show", "-o", "json"))["deliveries"] if d["state"] == "call"]
    json_of("message", "--handed-over", waiting[-1])
    exported = json_of("export", "--file", str(tmp_path / "post.md"))
    assert Path(exported["file"]).read_text().startswith("# Post-mortem")
    assert json_of("export")["id"] == declared["id"]
    points = [p["id"] for p in found(run("show", "-o", "json"))["checklist"] if not p["done"]]
    ticks = [word for point in points for word in ("--tick", point)]
    closed = found(run("close", *ticks, "-o", "json"))
    assert closed["state"] == "closed"
    assert found(run("verify", "-o", "json"))["problems"] == []
    assert found(run("kpi", "-o", "json"))["left_out"] == 0
    tried = {*said, "close", "verify", "kpi", "show"}
    assert tried == set(incident_group.commands), "a command of which nobody knows whether it speaks JSON"


def test_message_text_comes_from_standard_input_and_is_previewed(run: Run) -> None:
    run("declare", "down", "-s", "P1")
    preview = found(run("message", "--preview", "-o", "json"))
    assert preview["missing"] == ["impact", "actions"]
    run("message", "--text", "-", "--channel", "copy", stdin="we look into it\n")
    [delivery] = found(run("show", "-o", "json"))["deliveries"]
    assert delivery["state"] == "call"
    run("message", "--handed-over", delivery["id"])
    assert found(run("show", "-o", "json"))["deliveries"][0]["state"] == "sent"


def test_without_an_escalator_it_says_that_nobody_is_paged(run: Run, journal_path: Path) -> None:
    assert "no escalator runs" in run("declare", "down", "-s", "P1").stderr
    assert "no escalator runs" in CliRunner().invoke(planc, ["escalator", "status"]).output
    assert CliRunner().invoke(planc, ["escalator", "--once"]).exit_code == 0
    assert found(run("show", "-o", "json"))["pages"][0]["level"] == "L1"


def test_tampering_is_found_by_verify(run: Run, journal_path: Path) -> None:
    import sqlite3

    run("declare", "down", "-s", "P1")
    db = sqlite3.connect(journal_path)
    db.executescript("DROP TRIGGER entries_stand; UPDATE entries SET body = replace(body, 'down', 'fine');")
    db.close()
    result = run("verify", "-o", "json", code=1)
    assert found(result)["problems"]


def test_a_journal_that_cannot_be_used_is_named(run: Run, journal_path: Path) -> None:
    journal_path.parent.mkdir()
    journal_path.write_text("no database at all, but long enough to be taken for one\n" * 50)
    assert "damaged" in run("list", code=3).stderr


def test_systemd_unit_restarts_and_holds_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal_path: Path
) -> None:
    monkeypatch.setenv("PLANC_PAGERDUTY_KEY", KEY)
    config = tmp_path / "config"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(config))
    result = CliRunner().invoke(planc, ["escalator", "install", "--no-start"])
    assert result.exit_code == 0, result.output
    text = (config / "systemd" / "user" / "planc-escalator.service").read_text()
    assert "Restart=always" in text
    assert f"--playbook {tmp_path / 'playbook.yaml'} escalator" in text
    assert KEY not in text
    assert "100%%" in unit_text("/srv/100%/playbook.yaml")
