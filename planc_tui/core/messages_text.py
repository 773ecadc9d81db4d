"""Messages of a queue as lines to read.

Invariant: whatever a message holds, its lines are harmless, and what is not shown is counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from planc_tui.core.admin import Message
from planc_tui.core.text import clean, clean_block

BODY_LIMIT = 4_000  # characters of a body
BODY_LINES = 40
HEX_BYTES = 32
VALUE_LIMIT = 400
LABEL = 16


def message_lines(messages: Sequence[Message], ready: int | None = None) -> tuple[str, ...]:
    """Each message with its origin, properties, headers and body. ready: how many there are, None when unknown.

    >>> message_lines([Message(b"hello", routing_key="tasks", properties={"delivery_mode": 2})], ready=7)[:4]
    ('the first 1 of 7 messages that are ready; looking at them marks them as redelivered', '', '1   5 bytes', \
'  came by         the default exchange, routing key tasks')
    """
    if not messages:
        return ("no message is ready",)
    of = "" if ready is None else f" of {max(ready, len(messages)):,}"
    lines = [f"the first {len(messages)}{of} messages that are ready; looking at them marks them as redelivered"]
    for number, message in enumerate(messages, 1):
        again = "   redelivered" if message.redelivered else ""
        lines += ["", f"{number}   {len(message.body):,} bytes{again}", *_about(message), *_body(message.body)]
    return tuple(lines)


def _about(message: Message) -> list[str]:
    exchange = f"exchange {clean(message.exchange, 120)}" if message.exchange else "the default exchange"
    lines = [_line("came by", f"{exchange}, routing key {clean(message.routing_key, 200)}")]
    for name, value in message.properties.items():
        if name == "headers" and isinstance(value, Mapping):
            lines += [_line(f"header {key}", _value(held)) for key, held in value.items()]
        elif name == "$raw":
            lines.append(_line("properties", "kept as bytes: they hold what text cannot"))
        else:
            lines.append(_line(str(name), _value(value)))
    return lines


def _line(label: str, value: str) -> str:
    return f"  {clean(label, 80):<{LABEL - 1}} {value}"


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return clean(text, VALUE_LIMIT)


def _body(body: bytes) -> list[str]:
    if not body:
        return ["  (empty body)"]
    head = body[: BODY_LIMIT * 4]
    try:
        # A character may be cut in half at the end of what is looked at.
        text = head.decode("utf-8", "strict" if len(head) == len(body) else "ignore")
    except UnicodeDecodeError:
        text = ""
    if not text or "\0" in text or (len(head) < len(body) and len(text.encode()) < len(head) - 3):
        shown = body[:HEX_BYTES].hex(" ")
        left = f" … and {len(body) - HEX_BYTES:,} bytes more" if len(body) > HEX_BYTES else ""
        return [f"  binary: {shown}{left}"]
    shown_lines = clean_block(text[:BODY_LIMIT]).split("\n")[:BODY_LINES]
    cut = len(body) - len("\n".join(text[:BODY_LIMIT].split("\n")[:BODY_LINES]).encode())
    return [*(f"  {line}" for line in shown_lines), *([f"  … {cut:,} bytes are not shown"] if cut > 0 else [])]
