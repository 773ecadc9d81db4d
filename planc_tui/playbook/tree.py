"""YAML as a tree of values that know their file and line.

Invariant: reading a file that means harm ends in a problem, never in a hang, a crash or a call into Python: size,
depth and number of values are bounded, aliases are counted as often as they are used, tags are refused.
Words are read as YAML 1.2 does: only true and false are booleans, `on`, `no` and 12:30 are text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml
from msgspec import Struct

SIZE_LIMIT = 1 << 20
DEPTH_LIMIT = 30
NODE_LIMIT = 50_000

_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_TAGS = {"tag:yaml.org,2002:str": str, "!": str}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Scalar = str | int | float | bool | None


class Problem(Struct, frozen=True):
    """Something wrong in a playbook. line: from 1, 0 when there is none; path: the key, such as `rules[a].all[1]`."""

    file: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(part for part in (place, self.path, self.message) if part)


class Node(Struct):
    """A value and where it stands. value: a dict of Nodes, a list of Nodes, or a scalar. size: values inside."""

    value: dict[str, Node] | list[Node] | Scalar
    file: str
    line: int
    size: int = 1

    @property
    def is_map(self) -> bool:
        return isinstance(self.value, dict)

    def plain(self) -> object:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value


class TreeError(Exception):
    """The text is not a tree that planc reads."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def parse(text: str, file: str) -> Node:
    """The tree of one YAML document. Raises TreeError with every problem found."""
    builder = _Builder(file)
    try:
        for event in _events(text):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        raise TreeError([*builder.problems, Problem(file, line, "", f"not YAML: {_reason(error)}")]) from None
    except yaml.YAMLError as error:
        first = str(error).splitlines()[0]
        raise TreeError([Problem(file, 0, "", f"not YAML: {first}")]) from None
    if builder.problems:
        raise TreeError(builder.problems)
    return builder.root or Node({}, file, 1)


def _events(text: str) -> Iterator[yaml.Event]:
    yield from yaml.parse(text, Loader=_LOADER)


def _reason(error: yaml.MarkedYAMLError) -> str:
    parts = [part for part in (error.context, error.problem) if part]
    return ", ".join(parts) or "it cannot be read"


class _Open:
    """A map or list that is being read."""

    __slots__ = ("anchor", "key", "key_line", "keys", "node")

    def __init__(self, node: Node, anchor: str | None) -> None:
        self.node = node
        self.anchor = anchor
        self.key: str | None = None
        self.key_line = 0
        self.keys: dict[str, int] = {}


class _Builder:
    """Builds the tree from events without recursion."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._stack: list[_Open] = []
        self._anchors: dict[str, Node] = {}

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 0
        if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            self._stop(line, "there is more than one document in the file")
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event, line)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._open(event, line)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            done = self._stack.pop()
            if done.anchor:
                self._anchors[done.anchor] = done.node
            self._place(done.node, line)

    def _stop(self, line: int, message: str) -> None:
        raise TreeError([*self.problems, Problem(self.file, line, "", message)])

    def _problem(self, line: int, message: str) -> None:
        self.problems.append(Problem(self.file, line, "", message))

    def _open(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent, line: int) -> None:
        if len(self._stack) >= DEPTH_LIMIT:
            self._stop(line, f"nested more than {DEPTH_LIMIT} levels deep")
        if event.tag is not None and event.tag != "!":
            self._problem(line, f"the tag {event.tag} is not allowed: write the value itself")
        is_map = isinstance(event, yaml.MappingStartEvent)
        if self._expects_key():
            self._problem(line, "a key must be a word, not a map or a list")
        self._stack.append(_Open(Node({} if is_map else [], self.file, line), event.anchor))

    def _alias(self, event: yaml.AliasEvent, line: int) -> None:
        node = self._anchors.get(event.anchor or "")
        if node is None:
            self._problem(line, f"the alias *{event.anchor} stands before, or inside, what it names")
            node = Node(None, self.file, line)
        self._place(node, line)

    def _scalar(self, event: yaml.ScalarEvent, line: int) -> None:
        if event.tag is not None and event.tag not in _TAGS:
            self._problem(line, f"the tag {event.tag} is not allowed: write the value itself")
        if self._expects_key():
            self._key(event.value, line)
            return
        quoted = not event.implicit[0]
        value: Scalar = event.value if quoted else resolve(event.value)
        node = Node(value, self.file, line)
        if event.anchor:
            self._anchors[event.anchor] = node
        self._place(node, line)

    def _expects_key(self) -> bool:
        return bool(self._stack) and self._stack[-1].node.is_map and self._stack[-1].key is None

    def _key(self, key: str, line: int) -> None:
        top = self._stack[-1]
        if key == "<<":
            self._problem(line, "merge keys (<<) are not read: use `extends`, or repeat the keys")
        elif key in top.keys:
            self._problem(line, f'the key "{key[:60]}" stands here twice, first in line {top.keys[key]}')
        top.keys.setdefault(key, line)
        top.key, top.key_line = key, line

    def _place(self, node: Node, line: int) -> None:
        if not self._stack:
            self.root = node
            return
        top = self._stack[-1]
        top.node.size += node.size
        if top.node.size > NODE_LIMIT:
            self._stop(line, f"more than {NODE_LIMIT} values, aliases counted as often as they are used")
        if isinstance(top.node.value, dict):
            # A key that is a map or list is reported already; what follows it is read only to go on.
            key = top.key if top.key is not None else f"?{len(top.node.value)}"
            at_key = Node(node.value, node.file, top.key_line or node.line, node.size)
            top.node.value.setdefault(key, at_key)
            top.key = None
        elif isinstance(top.node.value, list):
            top.node.value.append(node)


def resolve(text: str) -> Scalar:
    """The value of an unquoted word.

    >>> [resolve(word) for word in ("", "~", "true", "no", "12", "1.5", "12:30", "P0")]
    [None, None, True, 'no', 12, 1.5, '12:30', 'P0']
    """
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) and not text.isdigit() else text
