"""A team's own playbook can name every action with each of its parameters, and the action gets them as written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from planc_tui.actions import registry
from planc_tui.playbook.loader import load
from planc_tui.playbook.targets import target_of
from planc_tui.playbook.vocabulary import ACTIONS, KINDS

VALUES = {
    "count": 3, "replicas": 4, "min": 2, "max": 9, "grace": 0, "minutes": 7, "skip": 0, "revision": 5,
    "force": True, "emptydir": False, "env": {"A": "1", "B": "two words"},
}  # fmt: skip  # rows as a person reads them
WRITTEN = {"force": "yes", "emptydir": "no", "env": "A=1 'B=two words'"}


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_a_step_may_name_it_with_every_parameter(tmp_path: Path, action: str) -> None:
    does = registry.load()[0][action]
    kind = next((kind for kind in does.kinds if kind in KINDS), "")
    target = {"Database": "database", "Namespace": "namespace"}.get(kind, f"{kind}/mine" if kind else "selected")
    given = {name: VALUES.get(name, f"a-{name}") for name in ACTIONS[action]}
    step = {"action": action, "target": target, **({"with": given} if given else {})}
    mine = {"id": "mine", "title": "Mine", "severity": "P2", "immediate": [step]}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"extends": "plan-c", "procedures": [mine]}), encoding="utf-8")
    playbook = load(str(path), {})
    procedure = playbook.procedure("mine")
    assert procedure is not None
    [read] = procedure.immediate
    assert read.arguments() == {name: WRITTEN.get(name, str(value)) for name, value in given.items()}
    if target == "selected":
        assert set(does.kinds) <= {"Session", "Alert"}  # a name of the playbook cannot stand for these
        return
    found = target_of(read, playbook, "shop", "prod")
    assert found is not None
    assert (found.kind in does.kinds, found.context) == (True, "prod")
