"""Finds, reads, merges and checks a playbook.

Invariant: either a whole, checked `Playbook` comes out, or every problem with file, line and key; a file is read once,
within bounds, and only when it is a regular file that not everybody may write.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct, field

from planc_tui.playbook.files import config_home, home_path, is_there, read_text
from planc_tui.playbook.merge import merge, named_twice
from planc_tui.playbook.model import Playbook
from planc_tui.playbook.references import Path as KeyPath
from planc_tui.playbook.references import check_references
from planc_tui.playbook.tree import Node, Problem, TreeError, parse
from planc_tui.playbook.typed import Checker, labels

BUILT_IN = "plan-c"
EXTENDS_LIMIT = 8
VARIABLE = "PLANC_PLAYBOOK"
_BUILT_IN_LABEL = "plan-c (built in)"


class PlaybookError(Exception):
    """A playbook that cannot be used. Its text is one line per problem."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class Loaded(Struct):
    """What reading a playbook gave. playbook: None when there are problems. source: the file, or the built-in name."""

    source: str
    playbook: Playbook | None = None
    tree: Node | None = None
    problems: list[Problem] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """The effective playbook as its file would say it, without `extends`."""
        value = self.tree.plain() if self.tree is not None else {}
        return value if isinstance(value, dict) else {}


def find(given: str | None = None, environ: Mapping[str, str] | None = None) -> Path | None:
    """The file to read: the one given, $PLANC_PLAYBOOK, the user's own if it exists, or None for the built-in."""
    environ = os.environ if environ is None else environ
    named = given or environ.get(VARIABLE, "")
    if named:
        return None if named == BUILT_IN else home_path(named)
    own = config_home(environ) / "playbook.yaml"
    return own if is_there(own) else None


def load(given: str | None = None, environ: Mapping[str, str] | None = None) -> Playbook:
    """The playbook to work with. Raises PlaybookError."""
    path = find(given, environ)
    if path is None:
        return default()
    loaded = examine(path)
    if loaded.playbook is None:
        raise PlaybookError(loaded.problems)
    return loaded.playbook


@cache
def default() -> Playbook:
    """The built-in playbook, Plan C."""
    loaded = examine(None)
    if loaded.playbook is None:
        raise PlaybookError(loaded.problems)
    return loaded.playbook


def examine(path: Path | None) -> Loaded:
    """Read and check a file, or the built-in playbook; never raises."""
    source = BUILT_IN if path is None else str(path)
    try:
        tree = _built_in() if path is None else _read_with_bases(path)
    except TreeError as error:
        return Loaded(source, problems=error.problems)
    return check_tree(tree, source)


def check_tree(tree: Node, source: str) -> Loaded:
    """The playbook that a merged tree holds, or what is wrong with it."""
    loaded = Loaded(source, tree=tree)
    checker = Checker()
    builtins = checker.check(tree, Playbook)
    loaded.problems = checker.problems or _build(loaded, tree, builtins)
    return loaded


def _build(loaded: Loaded, tree: Node, builtins: Any) -> list[Problem]:
    try:
        playbook = msgspec.convert(builtins, Playbook)
    except msgspec.ValidationError as error:
        return [Problem(loaded.source, 0, "", str(error))]
    # A plain text stands for every language: what is wrong with it is said once.
    found = dict.fromkeys(place(tree, path, message) for path, message in check_references(playbook))
    problems = list(found)
    if not problems:
        loaded.playbook = playbook
    return problems


def place(tree: Node, path: KeyPath, message: str) -> Problem:
    """A problem at `path`, or at the nearest key above it that the file has."""
    node = tree
    shown = ""
    found = True
    for part in path:
        if found and isinstance(node.value, str):
            break
        label = str(part + 1) if isinstance(part, int) else part
        child = None
        if found and isinstance(part, int) and isinstance(node.value, list) and part < len(node.value):
            child, label = node.value[part], labels(node.value)[part]
        elif found and isinstance(part, str) and isinstance(node.value, dict):
            child = node.value.get(part)
        shown += f"[{label}]" if isinstance(part, int) else f".{label}" if shown else label
        found = child is not None
        node = child or node
    return Problem(node.file, node.line, shown, message)


def _built_in() -> Node:
    text = resources.files("planc_tui.playbook").joinpath("plan_c.yaml").read_text(encoding="utf-8")
    return parse(text, _BUILT_IN_LABEL)


def _read_with_bases(path: Path) -> Node:
    """The tree of a file, laid over those it extends. Raises TreeError."""
    layers: list[Node] = []
    seen: list[str] = []
    current: Path = path
    named_by: Problem | None = None
    while True:
        real = os.path.realpath(current)
        if real in seen:
            _fail(named_by, f"{current} extends itself")
        if len(seen) >= EXTENDS_LIMIT:
            _fail(named_by, f"more than {EXTENDS_LIMIT} playbooks extend one another")
        seen.append(real)
        tree = _read(current, named_by)
        extends = _take_extends(tree)
        layers.append(tree)
        if extends is None:
            break
        base = str(extends.value)
        if base == BUILT_IN:
            layers.append(_built_in())
            break
        named_by = Problem(extends.file, extends.line, "extends", "")
        current = current.parent / home_path(base)
    result = layers.pop()
    while layers:
        result = merge(result, layers.pop())
    return result


def _fail(at: Problem | None, message: str) -> None:
    assert at is not None
    raise TreeError([Problem(at.file, at.line, at.path, message)])


def _read(path: Path, named_by: Problem | None) -> Node:
    hint = "" if path.suffix else f"the built-in playbook is called {BUILT_IN}"
    tree = parse(read_text(path, named_by, hint), str(path))
    if not tree.is_map:
        raise TreeError([Problem(tree.file, tree.line, "", "a playbook is a map with keys, such as `extends: plan-c`")])
    twice = named_twice(tree)
    if twice:
        raise TreeError(twice)
    return tree


def _take_extends(tree: Node) -> Node | None:
    assert isinstance(tree.value, dict)
    extends = tree.value.pop("extends", None)
    if extends is not None and (not isinstance(extends.value, str) or not extends.value):
        message = f"must be {BUILT_IN} or the path of another playbook"
        raise TreeError([Problem(extends.file, extends.line, "extends", message)])
    return extends
