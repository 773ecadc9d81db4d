"""`planc playbook` and `planc doctor` as a person types them, and the settings file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from planc_tui.cli import planc
from planc_tui.playbook.config import Config, load_config
from planc_tui.playbook.loader import PlaybookError, examine
from planc_tui.playbook.reference import described, markdown, models
from planc_tui.playbook.typed import struct_type


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, so that the machine's own files play no part."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "PLANC_PLAYBOOK", "KUBECONFIG", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(planc, words, catch_exceptions=False)


def test_check_says_good_or_lists_every_problem(home: Path) -> None:
    assert run("playbook", "check").output.startswith('plan-c: "Plan C" is good: ')
    bad = home / "bad.yaml"
    bad.write_text("extends: plan-c\nlanguage: de\nnam: x\n")
    for result in (run("playbook", "check", str(bad)), run("--playbook", str(bad), "playbook", "check")):
        assert result.exit_code == 1
        assert result.stderr.splitlines() == [
            f'{bad}:2: language: "de" is not one of en, fr',
            f'{bad}:3: unknown key "nam"; did you mean "name"?',
        ]
    missing = run("playbook", "check", "nowhere.yaml")
    assert missing.exit_code == 1
    assert missing.stderr == "cannot read nowhere.yaml: No such file or directory\n"


def test_show_prints_what_loads_again_as_the_same(home: Path) -> None:
    small = home / "small.yaml"
    small.write_text("extends: plan-c\nnamespace: mine\nsystems: {rabbitmq: null}\n")
    whole = home / "whole.yaml"
    whole.write_text(run("playbook", "show", str(small)).output)
    assert "extends" not in yaml.safe_load(whole.read_text())
    assert examine(whole).problems == []
    assert examine(whole).playbook == examine(small).playbook
    assert json.loads(run("playbook", "show", str(small), "--output", "json").output) == examine(small).plain()
    small.write_text("name: [\n")
    assert run("playbook", "show", str(small)).exit_code == 1


def test_init_writes_a_good_starter_and_never_over_a_file(home: Path) -> None:
    result = run("playbook", "init")
    own = home / ".config" / "planc" / "playbook.yaml"
    assert result.exit_code == 0
    assert str(own) in result.output
    assert f"{own}: " in run("playbook", "check").output
    own.write_text("mine")
    again = run("playbook", "init", "--path", str(own))
    assert again.exit_code == 1
    assert "is there already" in again.stderr
    assert own.read_text() == "mine"
    assert "cannot write" in run("playbook", "init", "--path", "/proc/none/x.yaml").stderr


def test_the_starter_s_examples_are_good_when_uncommented(home: Path) -> None:
    run("playbook", "init")
    own = home / ".config" / "planc" / "playbook.yaml"
    lines = own.read_text().splitlines()
    # Examples are commented lines that look like YAML: a key, a list entry or an indented key.
    body = [
        line[2:]
        for line in lines
        if line.startswith("# ") and (line[2:].startswith(("  ", "- ")) or line.rstrip().endswith(":"))
    ]
    own.write_text("\n".join(["extends: plan-c", *body]))
    assert [str(problem) for problem in examine(own).problems] == []
    assert len(body) > 15


def test_lists_of_words() -> None:
    assert "queue_depth" in run("playbook", "facts").output
    assert "set-env          env, container" in run("playbook", "actions").output
    assert json.loads(run("playbook", "schema").output)["title"] == "planc playbook"


def test_every_key_is_documented_and_the_reference_is_up_to_date() -> None:
    for model in models():
        assert set(described(model)) == {field.name for field in struct_type(model).fields}, model
    written = Path("docs/playbook.md").read_text(encoding="utf-8")
    assert written.endswith(markdown()), "docs/playbook.md is old: run `python -m planc_tui.playbook.reference`"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Config()),
        (
            "keys: {zoom: Z, faults: [ctrl-f, 1], save: ''}\n",
            Config(keys={"zoom": "Z", "faults": ["ctrl-f", 1], "save": ""}),
        ),
        ("read_only: true\n", Config(read_only=True)),
        ("read_only: 1\n", "read_only: must be true or false"),
        ("keys: {zoom: {a: b}}\n", 'keys.zoom: must be a key, a list of keys, or ""'),
        ("key: {}\n", 'unknown key "key"; did you mean "keys"?'),
        ("keys: [\n", "not YAML"),
    ],
)
def test_settings(home: Path, text: str, expected: Config | str) -> None:
    folder = home / "cfg" / "planc"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(text)
    environ = {"XDG_CONFIG_HOME": str(home / "cfg")}
    if isinstance(expected, Config):
        assert load_config(environ) == expected
        return
    with pytest.raises(PlaybookError) as caught:
        load_config(environ)
    assert expected in str(caught.value)
    assert f"{folder}/config.yaml" in str(caught.value)


def test_doctor_names_what_to_mend(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    playbook = home / "mine.yaml"
    playbook.write_text(
        "extends: plan-c\nsystems:\n  postgres: {password: {env: NO_SUCH_VARIABLE}}\n  prometheus: null\n"
    )
    result = run("--playbook", str(playbook), "doctor", "--output", "json")
    lines = {(line["topic"], line["state"]): line["text"] for line in json.loads(result.output)}
    assert result.exit_code == 1
    assert "no kubeconfig" in lines["kubeconfig", "bad"]
    assert lines["system", "bad"] == "PostgreSQL via pod/postgres-0:5432, but $NO_SUCH_VARIABLE is not set"
    assert lines["modules", "good"].startswith("all ")
    assert ("doctor", "bad") not in lines
    config = home / "kubeconfig"
    config.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "u", "user": {"token": "hunter2"}}],
                "contexts": [{"name": "eu-prod", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "eu-prod",
            }
        )
    )
    monkeypatch.setenv("NO_SUCH_VARIABLE", "hunter3")
    monkeypatch.setenv("KUBECONFIG", str(config))
    good = run("--playbook", str(playbook), "doctor")
    assert good.exit_code == 0, good.output
    assert "1 context, current eu-prod (127.0.0.1:1)" in good.output
    assert "PROD, opens read-only" in good.output
    assert "Prometheus: not configured" in good.output
    assert "hunter" not in good.output
    monkeypatch.delenv("KUBECONFIG")
    chosen = run("--playbook", str(playbook), "--kubeconfig", str(config), "--context", "eu-prod", "doctor")
    assert "1 context, chosen eu-prod" in chosen.output
    assert "nearest: eu-prod" in run("--kubeconfig", str(config), "--context", "eu-prd", "doctor").output
    playbook.write_text("extends: plan-c\nnam: x\n")
    assert 'unknown key "nam"' in run("--playbook", str(playbook), "doctor").output
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    assert run("doctor").output == "Error: this user has no home folder: set HOME\n"


def test_playbook_commands_load_no_textual_and_no_driver() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from planc_tui.cli import planc\n"
        "assert CliRunner().invoke(planc, ['playbook', 'check']).exit_code == 0\n"
        "print(sorted({'textual', 'kubernetes', 'psycopg', 'pika', 'urllib3', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
