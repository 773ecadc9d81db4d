"""Checks a tree against the model, and turns it into what the model is built from.

Invariant: every problem of the file is found in one go, each with its place; a tree without problems can be converted.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

from planc_tui.playbook.duration import parse_duration
from planc_tui.playbook.model import Words
from planc_tui.playbook.tree import Node, Problem

TEXT_LIMIT = 16_384
REGEX_LIMIT = 200

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_NESTED_REPEAT = re.compile(r"\((?:[^()\\]|\\.)*[*+}](?:[^()\\]|\\.)*\)[*+{]")
_VIA = re.compile(r"(pod|svc|service)/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?:([0-9]{1,5})")
_MISSING = object()


def nearest(word: str, known: Iterable[str]) -> str:
    """What to say about a word that is not known: the nearest one, or all of them where they are few.

    >>> nearest("pod", ["pods", "nodes"])
    'did you mean "pods"?'
    """
    choices = [choice for choice in known if choice]
    close = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    if not choices:
        return "there are none"
    shown = ", ".join(sorted(choices)[:24])
    return f"known: {shown}{', ...' if len(choices) > 24 else ''}"


def quote(value: object) -> str:
    """A value as a message shows it: short, on one line, harmless."""
    text = _CONTROL.sub("?", str(value)).replace("\n", " ")
    return f'"{text[:60]}..."' if len(text) > 60 else f'"{text}"'


@cache
def struct_type(model: type[msgspec.Struct]) -> inspect.StructType:
    """msgspec's description of a model."""
    described = inspect.type_info(model)
    assert isinstance(described, inspect.StructType)
    return described


class Checker:
    """Walks a tree beside the types of a model and collects problems."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def check(self, node: Node, model: type[msgspec.Struct]) -> Any:
        """Builtins that `msgspec.convert` takes for `model`; meaningless when `problems` is not empty."""
        return self._value(node, struct_type(model), "")

    def _problem(self, node: Node, path: str, message: str) -> object:
        self.problems.append(Problem(node.file, node.line, path, message))
        return _MISSING

    def _value(self, node: Node, kind: inspect.Type, path: str, form: str = "") -> Any:
        if isinstance(kind, inspect.Metadata):
            return self._value(node, kind.type, path, str((kind.extra or {}).get("form", "")))
        if isinstance(kind, inspect.UnionType):
            return self._optional(node, kind, path)
        if node.value is None and not isinstance(kind, inspect.AnyType):
            return self._problem(node, path, "is empty: give it a value, or take the line out")
        if form == "duration":
            return self._duration(node, path)
        return self._plain(node, kind, path, form)

    def _plain(self, node: Node, kind: inspect.Type, path: str, form: str) -> Any:
        if isinstance(kind, inspect.StructType):
            return self._struct(node, kind, path)
        if isinstance(kind, inspect.VarTupleType):
            return self._list(node, kind, path)
        if isinstance(kind, inspect.DictType):
            return self._map(node, kind, path)
        if isinstance(kind, inspect.AnyType):
            return self._anything(node, path)
        if isinstance(node.value, dict | list):
            return self._problem(node, path, f"must be {_named(kind)}, not {_shape(node)}")
        if isinstance(kind, inspect.StrType):
            return self._text(node, path, form)
        return self._scalar(node, kind, path)

    def _optional(self, node: Node, kind: inspect.UnionType, path: str) -> Any:
        if node.value is None:
            return None
        rest = [part for part in kind.types if not isinstance(part, inspect.NoneType)]
        return self._value(node, rest[0], path)

    def _struct(self, node: Node, kind: inspect.StructType, path: str) -> Any:
        if kind.cls is Words and isinstance(node.value, str):
            text = self._text(node, path, "")
            return {"en": text, "fr": text}
        if not isinstance(node.value, dict):
            return self._problem(node, path, f"must be a map with keys, not {_shape(node)}")
        if "remove" in node.value:
            return self._problem(node, path, "there is nothing of this name in the base to remove")
        fields = {field.encode_name: field for field in kind.fields}
        result = {}
        for key, child in node.value.items():
            where = f"{path}.{key}" if path else key
            if key not in fields:
                hint = nearest(key, fields)
                self._problem(child, path, f"unknown key {quote(key)}; {hint}")
                continue
            result[key] = self._value(child, fields[key].type, where)
        for name, field in fields.items():
            if field.required and name not in node.value:
                self._problem(node, path, f'the key "{name}" is missing')
        return result

    def _list(self, node: Node, kind: inspect.VarTupleType, path: str) -> Any:
        if not isinstance(node.value, list):
            return self._problem(node, path, f"must be a list, not {_shape(node)}")
        return [
            self._value(child, kind.item_type, f"{path}[{label}]")
            for label, child in zip(labels(node.value), node.value, strict=True)
        ]

    def _map(self, node: Node, kind: inspect.DictType, path: str) -> Any:
        if not isinstance(node.value, dict):
            return self._problem(node, path, f"must be a map with keys, not {_shape(node)}")
        for key, child in node.value.items():
            if _CONTROL.search(key):
                self._problem(child, path, f"the key {quote(key)} holds a control character")
        return {key: self._value(child, kind.value_type, f"{path}.{key}") for key, child in node.value.items()}

    def _anything(self, node: Node, path: str) -> Any:
        if isinstance(node.value, dict):
            return {key: self._anything(child, f"{path}.{key}") for key, child in node.value.items()}
        if isinstance(node.value, list):
            return [self._anything(child, f"{path}[{at}]") for at, child in enumerate(node.value, 1)]
        return self._text(node, path, "") if isinstance(node.value, str) else node.value

    def _text(self, node: Node, path: str, form: str) -> Any:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return self._problem(node, path, f"must be a text, not {_shape(node)}: put it in quotes")
        if not isinstance(value, str):
            return self._problem(node, path, "must be a text, not a number: put it in quotes")
        if len(value) > TEXT_LIMIT:
            return self._problem(node, path, f"is longer than {TEXT_LIMIT} characters")
        if _CONTROL.search(value):
            return self._problem(node, path, "holds a control character")
        trouble = _form_trouble(value, form)
        return self._problem(node, path, trouble) if trouble else value

    def _scalar(self, node: Node, kind: inspect.Type, path: str) -> Any:
        value = node.value
        if isinstance(kind, inspect.LiteralType):
            if value in kind.values and not isinstance(value, bool):
                return value
            words = [str(word) for word in kind.values if word != ""]
            return self._problem(node, path, f"{quote(value)} is not one of {', '.join(words)}")
        if isinstance(kind, inspect.BoolType):
            return value if isinstance(value, bool) else self._problem(node, path, "must be true or false")
        whole = isinstance(kind, inspect.IntType)
        if isinstance(value, bool) or not isinstance(value, int | float) or (whole and not isinstance(value, int)):
            return self._problem(node, path, f"must be {_named(kind)}, not {quote(value)}")
        assert isinstance(kind, inspect.IntType | inspect.FloatType)
        return self._within(node, kind, value, path)

    def _within(self, node: Node, kind: inspect.IntType | inspect.FloatType, value: float, path: str) -> Any:
        if kind.ge is not None and value < kind.ge:
            return self._problem(node, path, f"is {value}, the least is {kind.ge}")
        if kind.le is not None and value > kind.le:
            return self._problem(node, path, f"is {value}, the most is {kind.le}")
        return value

    def _duration(self, node: Node, path: str) -> Any:
        if isinstance(node.value, dict | list):
            return self._problem(node, path, f"must be a duration such as 15m, not {_shape(node)}")
        try:
            return parse_duration(str(node.value))
        except ValueError as error:
            return self._problem(node, path, f"{quote(node.value)}: {error}")


def labels(nodes: Sequence[Node]) -> list[str]:
    """How paths name the entries of a list: by id, name or word, or by number from 1."""
    named = []
    for number, node in enumerate(nodes, 1):
        keys = node.value if isinstance(node.value, dict) else {}
        name = next((keys[key].value for key in ("id", "name", "word") if key in keys), None)
        short = isinstance(name, str) and len(name) <= 60 and not _CONTROL.search(name)
        named.append(str(name) if short else str(number))
    return named


def _form_trouble(value: str, form: str) -> str:
    if form == "regex":
        return _regex_trouble(value)
    if form == "via" and value:
        found = _VIA.fullmatch(value)
        if not found or not 0 < int(found[3]) < 65_536:
            return f"{quote(value)} is not pod/NAME:PORT or service/NAME:PORT"
    return ""


def _regex_trouble(pattern: str) -> str:
    if len(pattern) > REGEX_LIMIT:
        return f"the pattern is longer than {REGEX_LIMIT} characters"
    if _NESTED_REPEAT.search(pattern):
        return "the pattern repeats a group that repeats something itself; this can take for ever to match"
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"{quote(pattern)} is not a pattern: {error}"
    return ""


def _named(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.IntType):
        return "a whole number"
    if isinstance(kind, inspect.FloatType):
        return "a number"
    if isinstance(kind, inspect.BoolType):
        return "true or false"
    return "one word" if isinstance(kind, inspect.LiteralType) else "a text"


def _shape(node: Node) -> str:
    if isinstance(node.value, dict):
        return "a map"
    if isinstance(node.value, list):
        return "a list"
    if isinstance(node.value, bool):
        return "true or false"
    return "a number" if isinstance(node.value, int | float) else "a text"
