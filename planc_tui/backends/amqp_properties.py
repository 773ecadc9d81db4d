"""AMQP basic properties as JSON values and back, without loss.

Invariant: encoding what was decoded gives the same bytes, for every sequence of bytes: what JSON values cannot carry
exactly is kept as it came. The layout is that of AMQP 0-9-1, sections 4.2.5 and 4.2.6, with RabbitMQ's field types.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

RAW = "$raw"  # the key of properties that are kept as they came
SHORT, TABLE, OCTET, TIME = range(4)
FIELDS: tuple[tuple[str, int], ...] = (
    ("content_type", SHORT), ("content_encoding", SHORT), ("headers", TABLE), ("delivery_mode", OCTET),
    ("priority", OCTET), ("correlation_id", SHORT), ("reply_to", SHORT), ("expiration", SHORT), ("message_id", SHORT),
    ("timestamp", TIME), ("type", SHORT), ("user_id", SHORT), ("app_id", SHORT), ("cluster_id", SHORT),
)  # fmt: skip  # rows as a person reads them
# Numbers by field type. A 32-bit signed number (I) is the plain JSON number; every other width carries its letter.
NUMBERS = {
    "b": ">b", "B": ">B", "s": ">h", "u": ">H", "I": ">i", "i": ">I", "l": ">q", "L": ">q", "T": ">Q",
    "f": ">f", "d": ">d",
}  # fmt: skip  # rows as a person reads them
NESTED_AT_MOST = 50


class PropertiesError(ValueError):
    """These are not properties that were decoded here."""


class _Reader:
    """Reads one value after the other. Raises ValueError at the end of the bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def at(self) -> int:
        return self._at

    @property
    def ended(self) -> bool:
        return self._at >= len(self._data)

    def take(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        if len(found) != count:
            raise ValueError("cut off")
        self._at += count
        return found

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def short(self) -> str:
        return self.take(self.number(">B")).decode()

    def long(self) -> bytes:
        return self.take(self.number(">I"))


def decode(raw: bytes) -> dict[str, Any]:
    """JSON values of encoded properties (the flags and what follows them); only those that are set.

    >>> decode(bytes.fromhex("9000") + b"\\x04text" + b"\\x02")
    {'content_type': 'text', 'delivery_mode': 2}
    """
    try:
        found = _fields(_Reader(raw))
        if encode(found) == raw:
            return found
    except (ValueError, struct.error, RecursionError):
        pass  # kept as it came
    return {RAW: base64.b64encode(raw).decode()}


def encode(properties: Mapping[str, Any]) -> bytes:
    """The bytes that `decode` was given. Raises PropertiesError."""
    try:
        if RAW in properties:
            return base64.b64decode(properties[RAW], validate=True)
        flags, parts = 0, []
        for place, (name, kind) in enumerate(FIELDS):
            if name in properties:
                flags |= 1 << (15 - place)
                parts.append(_WRITE[kind](properties[name]))
        return struct.pack(">H", flags) + b"".join(parts)
    except (ValueError, TypeError, AttributeError, KeyError, struct.error, binascii.Error) as error:
        raise PropertiesError(f"these are not AMQP properties: {type(error).__name__}") from None


def headers_of(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    """The headers as JSON values; none when there are none.

    >>> headers_of({"headers": {"x": 1}}), headers_of({RAW: "AAA="})
    ({'x': 1}, {})
    """
    headers = properties.get("headers")
    return headers if isinstance(headers, Mapping) else {}


def _fields(reader: _Reader) -> dict[str, Any]:
    flags = reader.number(">H")
    found: dict[str, Any] = {}
    for place, (name, kind) in enumerate(FIELDS):
        if flags & (1 << (15 - place)):
            found[name] = _READ[kind](reader)
    if not reader.ended:
        raise ValueError("more than the flags say")
    return found


def _read_table(reader: _Reader, depth: int = 0) -> dict[str, Any]:
    inner, table = _inside(reader, depth), {}
    while not inner.ended:
        key = inner.short()
        # A key that looks like a tag gets a second mark.
        table[f"${key}" if key.startswith("$") else key] = _read_value(inner, depth + 1)
    return table


def _inside(reader: _Reader, depth: int) -> _Reader:
    if depth > NESTED_AT_MOST:
        raise ValueError("nested too deep")
    return _Reader(reader.long())


def _read_value(reader: _Reader, depth: int) -> Any:
    kind = reader.take(1).decode("latin-1")
    match kind:
        case "S":
            text = reader.long()
            try:
                return text.decode()
            except UnicodeDecodeError:
                return {"$S": base64.b64encode(text).decode()}
        case "I":
            return reader.number(">i")
        case "t":
            return bool(reader.number(">B"))
        case "V":
            return None
        case "F":
            return _read_table(reader, depth)
        case "A":
            inner, values = _inside(reader, depth), []
            while not inner.ended:
                values.append(_read_value(inner, depth + 1))
            return values
        case "x":
            return {"$x": base64.b64encode(reader.long()).decode()}
        case "D":
            return {"$D": [reader.number(">B"), reader.number(">i")]}
    if kind not in NUMBERS:
        raise ValueError("an unknown type")
    raw = reader.take(struct.calcsize(NUMBERS[kind]))
    (value,) = struct.unpack(NUMBERS[kind], raw)
    # JSON has no infinity and no NaN.
    return {f"${kind}": raw.hex() if isinstance(value, float) and not math.isfinite(value) else value}


def _write_table(table: Any) -> bytes:
    parts = []
    for key, value in table.items():
        name = key.removeprefix("$").encode()
        parts.append(struct.pack(">B", len(name)) + name + _write_value(value))
    return _counted(b"".join(parts))


def _write_value(value: Any) -> bytes:
    if value is None:
        return b"V"
    if isinstance(value, bool):
        return b"t\1" if value else b"t\0"
    if isinstance(value, int):
        return struct.pack(">ci", b"I", value)
    if isinstance(value, str):
        return b"S" + _counted(value.encode())
    if isinstance(value, list | tuple):
        return b"A" + _counted(b"".join(_write_value(item) for item in value))
    tag = next(iter(value), "")
    if not tag.startswith("$") or tag.startswith("$$"):
        return b"F" + _write_table(value)
    content, kind = value[tag], tag[1:]
    match kind:
        case "x" | "S":
            return kind.encode() + _counted(base64.b64decode(content, validate=True))
        case "D":
            return struct.pack(">cBi", b"D", *content)
    raw = bytes.fromhex(content) if isinstance(content, str) else struct.pack(NUMBERS[kind], content)
    return kind.encode() + raw


def _counted(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def _write_short(value: str) -> bytes:
    data = value.encode()
    return struct.pack(">B", len(data)) + data


_READ: Mapping[int, Callable[[_Reader], Any]] = {
    SHORT: _Reader.short,
    TABLE: _read_table,
    OCTET: lambda reader: reader.number(">B"),
    TIME: lambda reader: reader.number(">Q"),
}
_WRITE: Mapping[int, Callable[[Any], bytes]] = {
    SHORT: _write_short,
    TABLE: _write_table,
    OCTET: lambda value: struct.pack(">B", value),
    TIME: lambda value: struct.pack(">Q", value),
}
