"""AMQP properties as JSON: nothing is lost, whatever comes."""

from __future__ import annotations

import struct
from typing import Any

import msgspec
import pika
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.backends.amqp_properties import RAW, PropertiesError, decode, encode


def through_json(properties: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(properties))
    return found


def header(value: bytes, name: bytes = b"k") -> bytes:
    """Properties with one header of this encoded value."""
    table = struct.pack(">B", len(name)) + name + value
    return struct.pack(">HI", 1 << 13, len(table)) + table


@given(st.binary(max_size=80))
def test_any_bytes_come_back(raw: bytes) -> None:
    assert encode(through_json(decode(raw))) == raw


@given(st.sampled_from("SItVFAxDbBsuilLTfd"), st.binary(min_size=0, max_size=20), st.binary(max_size=4))
def test_any_header_comes_back(kind: str, content: bytes, name: bytes) -> None:
    for value in (kind.encode() + content, kind.encode() + struct.pack(">I", len(content)) + content):
        raw = header(value, name)
        assert encode(through_json(decode(raw))) == raw


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(max_size=8), values, max_size=4), st.integers(0, 2**64 - 1))
def test_what_the_driver_writes_is_read_in_full_and_comes_back(headers: dict[str, Any], timestamp: int) -> None:
    sent = pika.BasicProperties(headers=headers, timestamp=timestamp, delivery_mode=2, message_id="m")
    raw = b"".join(sent.encode())
    found = decode(raw)
    assert RAW not in found
    assert (found["timestamp"], found["delivery_mode"], found["message_id"]) == (timestamp, 2, "m")
    back = through_json(found)
    assert encode(back) == raw
    assert vars(pika.BasicProperties().decode(encode(back)))["headers"] == headers


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"d" + struct.pack(">d", 1.5), {"$d": 1.5}),
        (b"d" + struct.pack(">d", float("inf")), {"$d": "7ff0000000000000"}),
        (b"f" + struct.pack(">f", 0.1), {"$f": struct.unpack(">f", struct.pack(">f", 0.1))[0]}),
        (b"l" + struct.pack(">q", 7), {"$l": 7}),
        (b"I" + struct.pack(">i", 7), 7),
        (b"T" + struct.pack(">Q", 2**64 - 1), {"$T": 2**64 - 1}),
        (b"D" + struct.pack(">Bi", 2, 100), {"$D": [2, 100]}),
        (b"S" + struct.pack(">I", 1) + b"\xff", {"$S": "/w=="}),
    ],
)
def test_types_are_told_apart(value: bytes, shown: Any) -> None:
    assert decode(header(value)) == {"headers": {"k": shown}}
    assert encode({"headers": {"k": shown}}) == header(value)


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\x00", header(b"t\x02"), header(b"Z"), header(b"I\0\0\0\1") + b"x",
        struct.pack(">H", 1 << 15) + b"\x01\xff",
        struct.pack(">HI", 1 << 13, 14) + (b"\x01kI\0\0\0\1") * 2, header(b"A\0\0\0\x05" * 60),
    ],
)  # fmt: skip  # rows as a person reads them
def test_what_text_cannot_say_is_kept_as_bytes(raw: bytes) -> None:
    found = decode(raw)
    assert set(found) == {RAW}
    assert encode(through_json(found)) == raw


@pytest.mark.parametrize(
    "wrong",
    [
        {RAW: "no base64!"}, {"priority": 300}, {"headers": 5}, {"headers": {"k": {"$q": 1}}},
        {"content_type": "x" * 256},
        {"headers": {"k": 2**40}}, {"message_id": None}, {"headers": {"k": {"$D": [1]}}}, {"timestamp": "x"},
    ],
)  # fmt: skip  # rows as a person reads them
def test_what_was_never_decoded_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(PropertiesError):
        encode(wrong)
