"""The model as documentation: its docstrings and types, for the JSON schema and docs/playbook.md.

Invariant: nothing is described twice; what people read about a key is the docstring beside it in the model.
"""

from __future__ import annotations

import ast
import inspect as source
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from planc_tui.core.facts import FACTS
from planc_tui.playbook import vocabulary
from planc_tui.playbook.duration import PATTERN, format_duration
from planc_tui.playbook.model import Playbook, Words
from planc_tui.playbook.typed import struct_type

MARK = "<!-- From the model: python -m planc_tui.playbook.reference -->"
SCHEMA = "https://json-schema.org/draft/2020-12/schema"


@cache
def described(cls: type[msgspec.Struct]) -> dict[str, str]:
    """The docstring of each field of a model, by attribute name."""
    tree = ast.parse(textwrap.dedent(source.getsource(cls))).body[0]
    assert isinstance(tree, ast.ClassDef)
    texts = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str):
            texts[field.target.id] = " ".join(text.value.value.split())
    return texts


def models() -> Iterator[type[msgspec.Struct]]:
    """Every model that a playbook is made of, each once, outermost first."""
    seen: list[type[msgspec.Struct]] = [Playbook]
    for cls in seen:
        yield cls
        for field in struct_type(cls).fields:
            for part in _structs(field.type):
                if part not in seen:
                    seen.append(part)


def _structs(kind: inspect.Type) -> Iterator[type[msgspec.Struct]]:
    if isinstance(kind, inspect.StructType):
        yield kind.cls
    elif isinstance(kind, inspect.Metadata):
        yield from _structs(kind.type)
    elif isinstance(kind, inspect.VarTupleType):
        yield from _structs(kind.item_type)
    elif isinstance(kind, inspect.DictType):
        yield from _structs(kind.value_type)
    elif isinstance(kind, inspect.UnionType):
        for part in kind.types:
            yield from _structs(part)


def json_schema() -> dict[str, Any]:
    """The JSON schema of a playbook file, for editors. A file that extends another need not be complete."""
    definitions = {cls.__name__: _definition(cls) for cls in models()}
    root = definitions.pop("Playbook")
    root["properties"]["extends"] = {
        "type": "string",
        "description": "plan-c, or the path of a playbook that this one is laid over.",
    }
    required = root.pop("required")
    root["anyOf"] = [{"required": ["extends"]}, {"required": required}]
    return {"$schema": SCHEMA, "title": "planc playbook", **root, "$defs": definitions}


def _definition(cls: type[msgspec.Struct]) -> dict[str, Any]:
    texts = described(cls)
    fields = struct_type(cls).fields
    properties = {
        field.encode_name: {
            **_schema(field.type, field.encode_name),
            **({"description": texts[field.name]} if field.name in texts else {}),
        }
        for field in fields
    }
    if cls is not Playbook:
        # An entry that a base has may be overridden in part or removed, so editors cannot ask for every key.
        identity = next((key for key in ("id", "name", "word") if key in properties), "")
        if identity:
            properties["remove"] = {"const": True, "description": "Takes the entry out of what the base has."}
    found: dict[str, Any] = {
        "type": "object",
        "description": " ".join((cls.__doc__ or "").split()),
        "properties": properties,
        "additionalProperties": False,
    }
    if cls is Playbook:
        found["required"] = [field.encode_name for field in fields if field.required]
    if cls is Words:
        return {"anyOf": [{"type": "string"}, found]}
    return found


def _schema(kind: inspect.Type, name: str) -> dict[str, Any]:
    if isinstance(kind, inspect.Metadata):
        if (kind.extra or {}).get("form") == "duration":
            return {"anyOf": [{"type": "string", "pattern": PATTERN}, {"const": 0}]}
        return _schema(kind.type, name)
    if isinstance(kind, inspect.UnionType):
        return {"anyOf": [_schema(part, name) for part in kind.types]}
    if isinstance(kind, inspect.StructType):
        return {"$ref": f"#/$defs/{kind.cls.__name__}"}
    if isinstance(kind, inspect.VarTupleType):
        return {"type": "array", "items": _schema(kind.item_type, name)}
    if isinstance(kind, inspect.DictType):
        return {"type": "object", "additionalProperties": _schema(kind.value_type, name)}
    return _plain(kind, name)


_WORDS = {"fact": tuple(FACTS), "action": tuple(vocabulary.ACTIONS), "show": tuple(vocabulary.PANES)}


def _plain(kind: inspect.Type, name: str) -> dict[str, Any]:
    if isinstance(kind, inspect.LiteralType):
        return {"enum": [word for word in kind.values if word != ""]}
    if isinstance(kind, inspect.StrType):
        return {"type": "string", **({"enum": list(_WORDS[name])} if name in _WORDS else {})}
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        bounds = {"minimum": kind.ge, "maximum": kind.le}
        named = "integer" if isinstance(kind, inspect.IntType) else "number"
        return {"type": named, **{key: value for key, value in bounds.items() if value is not None}}
    if isinstance(kind, inspect.BoolType):
        return {"type": "boolean"}
    return {"type": "null"} if isinstance(kind, inspect.NoneType) else {}


def type_name(kind: inspect.Type) -> str:
    """A field's type for people."""
    if isinstance(kind, inspect.Metadata):
        form = (kind.extra or {}).get("form")
        return {"duration": "duration", "regex": "pattern", "via": "pod/NAME:PORT"}.get(
            form or "", type_name(kind.type)
        )
    if isinstance(kind, inspect.UnionType):
        return type_name(next(part for part in kind.types if not isinstance(part, inspect.NoneType)))
    if isinstance(kind, inspect.StructType):
        return kind.cls.__name__
    if isinstance(kind, inspect.VarTupleType):
        return f"list of {type_name(kind.item_type)}"
    if isinstance(kind, inspect.DictType):
        return f"map of {type_name(kind.value_type)}"
    if isinstance(kind, inspect.LiteralType):
        return ", ".join(f"`{word}`" for word in kind.values if word != "")
    simple = {inspect.StrType: "text", inspect.IntType: "whole number", inspect.FloatType: "number"}
    return simple.get(type(kind), "true or false" if isinstance(kind, inspect.BoolType) else "anything")


def default_text(field: inspect.Field) -> str:
    """A field's default for people; empty when it is empty, `required` when there is none."""
    if field.required:
        return "required"
    value = field.default
    duration = isinstance(field.type, inspect.Metadata) and (field.type.extra or {}).get("form") == "duration"
    if duration and isinstance(value, int | float):
        return format_duration(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(value)
    return value if isinstance(value, str) else ""


def markdown() -> str:
    """The reference part of docs/playbook.md."""
    lines: list[str] = []
    for cls in models():
        lines += [f"### {cls.__name__}", "", " ".join((cls.__doc__ or "").split()), ""]
        lines += ["| key | type | default | |", "| --- | --- | --- | --- |"]
        texts = described(cls)
        for field in struct_type(cls).fields:
            cells = (f"`{field.encode_name}`", type_name(field.type), default_text(field), texts.get(field.name, ""))
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    lines += ["### Facts that rules may name", "", "| fact | unit | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{fact.name}` | {fact.unit} | {fact.meaning} |" for fact in FACTS.values()]
    lines += ["", "### Actions that steps may name", "", "| action | parameters |", "| --- | --- |"]
    lines += [f"| `{name}` | {', '.join(parameters)} |" for name, parameters in vocabulary.ACTIONS.items()]
    lines += ["", "### Fields of the messages", "", "| field | |", "| --- | --- |"]
    lines += [f"| `{{{name}}}` | {meaning} |" for name, meaning in vocabulary.MESSAGE_FIELDS.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Bring the reference part of docs/playbook.md up to date, below its mark."""
    path = Path("docs/playbook.md")
    written, _, _ = path.read_text(encoding="utf-8").partition(MARK)
    path.write_text(f"{written}{MARK}\n\n{markdown()}", encoding="utf-8")


if __name__ == "__main__":
    main()
