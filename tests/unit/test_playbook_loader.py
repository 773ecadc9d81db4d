"""Reading, merging and checking playbook files: the good, the broken and the hostile."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planc_tui.playbook import loader
from planc_tui.playbook.duration import format_duration, parse_duration
from planc_tui.playbook.loader import PlaybookError, check_tree, examine, find, load
from planc_tui.playbook.merge import merge
from planc_tui.playbook.model import SecretFrom
from planc_tui.playbook.tree import Node, TreeError, parse


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> list[str]:
    """What is said of a file that extends Plan C and adds `text`, without the folder."""
    found = examine(write(folder, "extends: plan-c\n" + text))
    assert (found.playbook is None) == bool(found.problems)
    said = [str(problem).replace(f"{folder}/", "") for problem in found.problems]
    return [re.sub(r"^plan-c \(built in\):[0-9]+", "plan-c", line) for line in said]


BROKEN = [
    ("sevrities: []", 'mine.yaml:2: unknown key "sevrities"; did you mean "severities"?'),
    (
        "targets:\n  app: {nam: x}",
        'mine.yaml:3: targets.app: unknown key "nam"; did you mean "name"?',
    ),
    (
        "rules: [{id: queue-long, for: 5}]",
        'mine.yaml:2: rules[queue-long].for: "5": a duration needs a unit, such as 90s, 15m or 1h30m',
    ),
    (
        "rules:\n- id: mine\n  text: x\n  severity: P9\n  all: [{fact: queue_dept, above: 1}]",
        'mine.yaml:5: rules[mine].severity: there is no severity "P9"; known: P0, P1, P2, P3',
        'mine.yaml:6: rules[mine].all[1].fact: there is no fact "queue_dept"; did you mean "queue_depth"?',
    ),
    (
        "rules: [{id: mine, text: x, severity: P1}]",
        "mine.yaml:2: rules[mine]: needs conditions under `all` or under `any`, not both",
    ),
    (
        "rules: [{id: mine, text: '{valeu}', severity: P1, any: [{fact: app_down, above: 1}]}]",
        'mine.yaml:2: rules[mine].text: there is no field "{valeu}"; did you mean "value"?',
        "mine.yaml:2: rules[mine].any[1]: app_down needs equals, not above",
    ),
    (
        "rules: [{id: queue-long, all: [{fact: queue_depth, above: 10, clear: 20}]}]",
        "mine.yaml:2: rules[queue-long].all[1].clear: is 20, it must not be above the threshold 10",
    ),
    (
        "rules: [{id: queue-long, procedure: high-latancy}]",
        'mine.yaml:2: rules[queue-long].procedure: there is no procedure "high-latancy"; did you mean "high-latency"?',
    ),
    (
        "procedures: [{id: memory-leak, immediate: [{action: rollout-restrt, target: ap}]}]",
        "mine.yaml:2: procedures[memory-leak].immediate[1].action: "
        'there is no action "rollout-restrt"; did you mean "rollout-restart"?',
        'mine.yaml:2: procedures[memory-leak].immediate[1].target: there is no target "ap"; did you mean "app"?',
    ),
    (
        "procedures: [{id: memory-leak, immediate: [{action: scale, with: {replica: 3}, target: app}, {}]}]",
        "mine.yaml:2: procedures[memory-leak].immediate[1].with.replica: "
        'there is no parameter of scale "replica"; did you mean "replicas"?',
        "mine.yaml:2: procedures[memory-leak].immediate[2]: needs exactly one of action, show, wait and text",
    ),
    (
        "environments: [{word: X, match: '(['}]",
        'mine.yaml:2: environments[X].match: "([" is not a pattern: unterminated character set at position 1',
    ),
    (
        "environments: [{word: X, match: '(a+)+$'}]",
        "mine.yaml:2: environments[X].match: the pattern repeats a group that repeats something itself; "
        "this can take for ever to match",
    ),
    (
        "environments: [{word: X, match: x, read_only: yes}]",
        "mine.yaml:2: environments[X].read_only: must be true or false",
    ),
    (
        "systems: {postgres: {dsn: 'host=x password=secret1'}}",
        "mine.yaml:2: systems.postgres.dsn: holds a password: take it out and say under `password` where it is found",
    ),
    (
        "systems: {prometheus: {url: 'http://me:secret1@x:9090'}}",
        "mine.yaml:2: systems.prometheus.url: holds a password: take it out and say under `password` where it is found",
    ),
    (
        "systems: {prometheus: {url: 'ftp://x', headers: {Authorization: secret1}}}",
        "mine.yaml:2: systems.prometheus.url: is not a URL that starts with http:// or https://",
        "mine.yaml:2: systems.prometheus.headers.Authorization: may hold a secret: "
        "say under `token` or `password` where it is found",
    ),
    (
        "systems: {postgres: {via: 'service/db:5432', password: {env: A, file: b}}}",
        "mine.yaml:2: systems.postgres.via: PostgreSQL is not HTTP: only pod/NAME:PORT leads to it",
        "mine.yaml:2: systems.postgres.password: needs exactly one of env, file, secret, command and pgpass, "
        "not env and file",
    ),
    (
        "systems: {rabbitmq: {via: 'pod/x:99999'}}",
        'mine.yaml:2: systems.rabbitmq.via: "pod/x:99999" is not pod/NAME:PORT or service/NAME:PORT',
    ),
    (
        "slos: [{id: availability, objective: 120}, {id: latency-p95, query: up, unit: percent}]",
        "mine.yaml:2: slos[availability].objective: is 120, it must be from 0 to 100 percent",
        "mine.yaml:2: slos[latency-p95].unit: latency is measured in ms or s",
        "mine.yaml:2: slos[latency-p95].query: needs $window where the range goes, "
        "such as rate(requests_total[$window])",
    ),
    (
        "escalation: {levels: [{id: L2, after: 2h}], per_severity: {P7: []}}",
        "plan-c: escalation.levels[L3].after: comes before that of L2, the level under it",
        'mine.yaml:2: escalation.per_severity.P7: there is no severity "P7"; known: P0, P1, P2, P3',
        "mine.yaml:2: escalation.per_severity.P7: needs at least one level",
    ),
    (
        "messages: {initial: '{severty}', channels: [slak]}",
        'mine.yaml:2: messages.initial: there is no field "{severty}"; did you mean "severity"?',
        'mine.yaml:2: messages.channels[1]: there is no channel "slak"; known: copy, emergency-line, incidents, '
        "mail, ops, pagerduty, phone",
    ),
    (
        "targets: {app: {selector: 'app in web'}}",
        'mine.yaml:2: targets.app.selector: "app in web" is not a label selector, such as app=web or tier in (a, b)',
    ),
    (
        "channels: [{id: hook, kind: webhook, name: Hook}]",
        'mine.yaml:2: channels[hook]: a channel of kind webhook needs the key "url"',
    ),
    (
        "severities: [{id: P1, answer_within: 5m}]",
        "mine.yaml:2: severities[P1].answer_within: is shorter than that of P0, which is worse",
    ),
    (
        "thresholds: {cpu_warning: 95, memory_bad: 120}",
        "mine.yaml:2: thresholds.memory_bad: is 120, the most is 100",
    ),
    ('name: "a\\x1b[31mb"', "mine.yaml:2: name: holds a control character"),
    ("name: 12", "mine.yaml:2: name: must be a text, not a number: put it in quotes"),
    ("rules:", "mine.yaml:2: rules: is empty: give it a value, or take the line out"),
    ("rules: {a: 1}", "mine.yaml:2: rules: must be a list, not a map"),
    ("language: de", 'mine.yaml:2: language: "de" is not one of en, fr'),
    ("logs: {streams_at_most: 2.5}", 'mine.yaml:2: logs.streams_at_most: must be a whole number, not "2.5"'),
    ("name: a\nname: b", 'mine.yaml:3: the key "name" stands here twice, first in line 2'),
    (
        "contacts:\n- {id: a, name: A}\n- {id: a, name: B}",
        'mine.yaml:4: contacts: the id "a" is taken, by the entry in line 3',
    ),
    (
        "name: !!python/object/apply:os.system [id]",
        "mine.yaml:2: the tag tag:yaml.org,2002:python/object/apply:os.system is not allowed: write the value itself",
    ),
    ("a: &x 1\n<<: *x", "mine.yaml:3: merge keys (<<) are not read: use `extends`, or repeat the keys"),
    ("name: *nobody", "mine.yaml:2: the alias *nobody stands before, or inside, what it names"),
    ("name: {a: [}", "mine.yaml:2: not YAML: while parsing a flow node, did not find expected node content"),
    ("--- {}\n--- {}", "mine.yaml:2: there is more than one document in the file"),
    (
        "rules: [{id: nobody, remove: true}]",
        "mine.yaml:2: rules[nobody]: there is nothing of this name in the base to remove",
    ),
]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case[0][:40])
def test_every_problem_is_named_with_its_place(tmp_path: Path, case: tuple[str, ...]) -> None:
    text, *expected = case
    assert problems(tmp_path, text) == expected
    assert "secret1" not in " ".join(problems(tmp_path, text))


def test_a_playbook_that_extends_nothing_must_be_complete(tmp_path: Path) -> None:
    found = [problem.message for problem in examine(write(tmp_path, "name: mine\n")).problems]
    assert found == [
        f'the key "{key}" is missing' for key in ("namespace", "targets", "severities", "escalation", "messages")
    ]


HOSTILE = {
    "alias bomb": "a: &a [x,x,x,x,x,x,x,x,x]\n"
    + "\n".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
    "deep list": "name: " + "[" * 100_000,
    "deep block": "".join(" " * depth + "a:\n" for depth in range(400)),
    "recursive alias": "name: &a [*a]",
    "many values": "name: [" + "1," * 60_000 + "]",
    "key is a map": "? {a: 1}\n: 2",
    "nul": "name: \0",
    "long text": "name: " + "x" * 100_000,
    "set tag": "name: !!set {a, b}",
    "scalar only": "hello",
    "big number": "logs: {lines: " + "9" * 5_000 + "}",
    "broken escape": 'name: "\\xZZ"',
    "tab": "\tname: x",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_end_in_problems_quickly(tmp_path: Path, text: str) -> None:
    started = time.process_time()
    found = examine(write(tmp_path, text))
    assert found.playbook is None
    assert found.problems
    assert time.process_time() - started < 1.5
    assert all("\n" not in str(problem) and "\0" not in str(problem) for problem in found.problems)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    big = write(tmp_path, "#" * (1 << 20) + "\n", "big.yaml")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"name: x\nlanguage: \xe9\n")
    shared = write(tmp_path, "extends: plan-c\n", "shared.yaml")
    shared.chmod(0o666)
    said = {path.name: str(examine(path).problems[0]) for path in (pipe, big, latin, shared, tmp_path)}
    said = {name: text.replace(str(tmp_path), "DIR") for name, text in said.items()}
    assert said["pipe"] == "DIR/pipe is not a file"
    assert said[tmp_path.name].endswith("is not a file")
    assert said["big.yaml"] == "DIR/big.yaml: is larger than 1 MiB"
    assert said["latin.yaml"] == "DIR/latin.yaml:2: is not UTF-8 text"
    assert said["shared.yaml"] == "DIR/shared.yaml can be changed by everybody: chmod o-w DIR/shared.yaml"


def test_where_the_playbook_is_looked_for(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert find(None, environ) is None
    (tmp_path / "planc").mkdir()
    own = write(tmp_path / "planc", "extends: plan-c\nname: own\n", "playbook.yaml")
    assert find(None, environ) == own
    assert find(None, {**environ, "PLANC_PLAYBOOK": "/x.yaml"}) == Path("/x.yaml")
    assert find("/y.yaml", {**environ, "PLANC_PLAYBOOK": "/x.yaml"}) == Path("/y.yaml")
    assert find("plan-c", environ) is None
    assert load(None, environ).name == "own"
    own.unlink()
    own.symlink_to(tmp_path / "gone.yaml")
    with pytest.raises(PlaybookError, match=r"cannot read .*playbook\.yaml"):  # and not the built-in one instead
        load(None, environ)
    with pytest.raises(PlaybookError, match=r"cannot read /nowhere: No such file or directory; the built-in playbook"):
        load("/nowhere", environ)


def test_extends_chains_relative_paths_and_refuses_circles(tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    write(tmp_path / "base", "extends: plan-c\nname: base\nnamespace: base\n", "b.yaml")
    top = write(tmp_path, "extends: base/b.yaml\nname: top\n")
    loaded = load(str(top), {})
    assert (loaded.name, loaded.namespace, loaded.targets.app.container) == ("top", "base", "workflow-app")
    write(tmp_path / "base", "extends: ../mine.yaml\n", "b.yaml")
    assert str(examine(top).problems[0]).endswith("extends: " + f"{tmp_path}/base/../mine.yaml extends itself")
    write(tmp_path, "extends: nowhere.yaml\n")
    assert "mine.yaml:1: extends: cannot read" in str(examine(top).problems[0])
    write(tmp_path, "extends: [a]\n")
    assert "extends: must be plan-c or the path" in str(examine(top).problems[0])
    for number in range(12):
        write(tmp_path, f"extends: {number + 1}.yaml\n", f"{number}.yaml")
    assert "more than 8 playbooks extend one another" in str(examine(tmp_path / "0.yaml").problems[0])


def test_problems_of_a_base_are_placed_in_the_base(tmp_path: Path) -> None:
    write(tmp_path, "extends: plan-c\nlanguag: fr\n", "base.yaml")
    found = examine(write(tmp_path, "extends: base.yaml\nname: x\n")).problems
    assert [str(problem) for problem in found] == [
        f'{tmp_path}/base.yaml:2: unknown key "languag"; did you mean "language"?'
    ]


def test_merging_keeps_what_is_not_said(tmp_path: Path) -> None:
    text = """
extends: plan-c
systems:
  postgres: {dsn: "host=db", password: {env: DB}}
  rabbitmq: null
environments:
  - {word: TEST, match: "^here$"}
rules:
  - {id: queue-long, all: [{fact: queue_depth, above: 5000}]}
  - {id: transaction-long, remove: true}
  - {id: mine, text: mine, severity: P3, any: [{fact: app_ready, below: 2}]}
procedures:
  - {id: memory-leak, immediate: [{show: pods}]}
messages: {initial: "{severity}"}
"""
    found, base = load(str(write(tmp_path, text)), {}), loader.default()
    postgres = found.systems.postgres
    assert postgres is not None
    assert (postgres.dsn, postgres.via, postgres.user) == ("host=db", "", "postgres")
    assert postgres.password == SecretFrom(env="DB")
    assert found.systems.rabbitmq is None
    assert found.systems.prometheus == base.systems.prometheus
    assert found.environments[0].word == "TEST"
    assert len(found.environments) == len(base.environments)
    rules = {rule.id: rule for rule in found.rules}
    assert rules["queue-long"].all[0].above == 5000
    assert rules["queue-long"].all[0].clear is None
    assert rules["queue-long"].severity == "P1"
    assert "transaction-long" not in rules
    assert [rule.id for rule in found.rules][-1] == "mine"
    leak = found.procedure("memory-leak")
    assert leak is not None
    assert [step.show for step in leak.immediate] == ["pods"]
    assert leak.symptoms == base.procedure("memory-leak").symptoms  # type: ignore[union-attr]  # it is there
    assert (found.messages.initial.en, found.messages.initial.fr) == ("{severity}", "{severity}")
    assert found.messages.update == base.messages.update


def test_words_are_read_as_yaml_1_2() -> None:
    tree = parse("a: on\nb: no\nc: 12:30\nd: 0x1F\ne: 2026-01-01\nf: ~\ng: 'true'\nh: !!str 1\ni: 007\n", "f").plain()
    assert tree == {
        "a": "on",
        "b": "no",
        "c": "12:30",
        "d": "0x1F",
        "e": "2026-01-01",
        "f": None,
        "g": "true",
        "h": "1",
        "i": 7,
    }


scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.text("abc", max_size=3)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcdefgh"), inner, max_size=4),
    max_leaves=12,
)
maps = st.dictionaries(st.sampled_from("abcdefgh"), values, max_size=4)


def node(value: object) -> Node:
    if isinstance(value, dict):
        return Node({key: node(child) for key, child in value.items()}, "f", 1)
    if isinstance(value, list):
        return Node([node(child) for child in value], "f", 1)
    assert value is None or isinstance(value, bool | int | float | str)
    return Node(value, "f", 1)


def over(base: object, above: object) -> object:
    return merge(node(base), node(above)).plain()


@given(maps, maps)
def test_merging_has_a_neutral_and_the_last_word_wins(one: dict[str, object], two: dict[str, object]) -> None:
    assert over({}, one) == over(one, {}) == over(one, one) == one
    merged = over(one, two)
    assert isinstance(merged, dict)
    assert merged.keys() == one.keys() | two.keys()
    assert over(merged, two) == merged
    assert all(merged[key] == two[key] for key in two if not isinstance(two[key], dict))


def test_what_the_middle_layer_takes_away_does_not_come_back() -> None:
    assert over(over({"h": {"a": 1}}, {"h": None}), {"h": {"b": 2}}) == {"h": {"b": 2}}
    assert over(over({"s": {"via": "x", "user": "u"}}, {"s": {"url": "y"}}), {"s": {}}) == {
        "s": {"user": "u", "url": "y"}
    }


names = st.lists(st.sampled_from("pqrst"), unique=True, min_size=1, max_size=5)


@given(names, names, st.booleans())
def test_named_entries_merge_by_name(below: list[str], above: list[str], first: bool) -> None:
    key = "environments" if first else "rules"
    merged = over(
        {key: [{"id": name, "x": 1, "y": 1} for name in below]}, {key: [{"id": name, "y": 2} for name in above]}
    )
    assert isinstance(merged, dict)
    found = {entry["id"]: entry for entry in merged[key]}
    assert set(found) == set(below) | set(above)
    for name, entry in found.items():
        assert entry.get("y") == (2 if name in above else 1)
        assert entry.get("x") == (1 if name in below else None)
    order = [entry["id"] for entry in merged[key]]
    only_above = [name for name in above if name not in below]
    only_below = [name for name in below if name not in above]
    assert order == ([*above, *only_below] if first else [*below, *only_above])


@given(st.integers(0, 10 * 365 * 86_400_000))
def test_durations_round_trip(milliseconds: int) -> None:
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=5e-4)


@pytest.mark.parametrize("text", ["", "5", "-5m", "m", "5 m", "5x", "1h30", "1e3s", "99999999999w", "5m\n5", "٥m"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="a duration"):
        parse_duration(text)


@given(st.text(max_size=200))
def test_any_text_is_a_tree_or_a_problem(text: str) -> None:
    # Anything but TreeError is a failure.
    with contextlib.suppress(TreeError):
        msgspec.json.encode(parse(text, "f").plain())


def places(value: object, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The path of every value inside."""
    if isinstance(value, dict):
        return [path, *(place for key, child in value.items() for place in places(child, (*path, key)))]
    if isinstance(value, list):
        return [path, *(place for at, child in enumerate(value) for place in places(child, (*path, at)))]
    return [path]


def replaced(value: object, path: tuple[str | int, ...], new: object) -> object:
    if not path:
        return new
    head, *rest = path
    if isinstance(value, dict):
        return {key: replaced(child, tuple(rest), new) if key == head else child for key, child in value.items()}
    assert isinstance(value, list)
    return [replaced(child, tuple(rest), new) if at == head else child for at, child in enumerate(value)]


PLAIN = examine(None).plain()
NASTY = [
    "",
    "{",
    "{}",
    "{x}",
    "http://[::1",
    "pod/x:0",
    "(",
    "5m",
    "P0",
    "a,b in (",
    "\u202e",
    "app/",
    "/x",
    "p" * 20_000,
]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(places(PLAIN)), values | st.sampled_from(NASTY) | st.integers() | st.booleans())
def test_one_wrong_value_anywhere_is_a_problem_or_a_playbook(path: tuple[str | int, ...], new: object) -> None:
    found = check_tree(node(replaced(PLAIN, path, new)), "f")
    assert (found.playbook is None) == bool(found.problems)
    assert all(problem.line == 1 and "\n" not in str(problem) for problem in found.problems)
