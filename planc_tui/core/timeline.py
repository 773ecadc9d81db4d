"""What one entry of the journal is, and how entries are chained.

Invariant: an entry is never changed after it was written; each carries the hash of the one before, so that an edited,
removed or reordered entry breaks the chain from there on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct, field

GENESIS = "0" * 64


class Actor(Struct, frozen=True):
    """Who did it. origin: address the SSH session came from, "" when local. kind: `human` or `system`."""

    user: str
    kind: str = "human"
    tty: str = ""
    host: str = ""
    origin: str = ""
    pid: int = 0

    @property
    def is_human(self) -> bool:
        """Whether a person did it; only people renew an acknowledgement."""
        return self.kind == "human"


class Draft(Struct, frozen=True):
    """An entry about to be written. occurred_at: epoch seconds at which it happened, None for now.
    key: when given, at most one entry with this key is ever written."""

    incident: str
    type: str
    actor: Actor
    summary: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    occurred_at: float | None = None
    key: str = ""


class Event(Struct, frozen=True):
    """A written entry. seq: 1, 2, 3 ... over the whole journal. recorded_at: epoch seconds UTC, never smaller than
    the one before. wall: what the machine's clock said, when that differs."""

    seq: int
    incident: str
    type: str
    recorded_at: float
    occurred_at: float
    actor: Actor
    summary: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    wall: float | None = None
    prev: str = GENESIS
    hash: str = ""


def body(event: Event) -> str:
    """The canonical text of an entry: JSON with sorted keys, without the hash of the entry itself."""
    fields = {
        "seq": event.seq,
        "incident": event.incident,
        "type": event.type,
        "recorded_at": event.recorded_at,
        "occurred_at": event.occurred_at,
        "actor": {
            "user": event.actor.user,
            "kind": event.actor.kind,
            "tty": event.actor.tty,
            "host": event.actor.host,
            "origin": event.actor.origin,
            "pid": event.actor.pid,
        },
        "summary": event.summary,
        "data": dict(event.data),
        "key": event.key,
        "wall": event.wall,
        "prev": event.prev,
    }
    return json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """SHA-256 of a canonical text, in hexadecimal. The text names the hash before it, which makes the chain."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def from_body(text: str) -> Event:
    """The entry a canonical text describes. Raises ValueError when it does not describe one."""
    try:
        fields = json.loads(text)
        actor = Actor(**fields.pop("actor"))
        return Event(actor=actor, hash=digest(text), **fields)
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"not a journal entry: {error}") from None


def break_in(events: Iterable[Event]) -> str:
    """The first place where a chain is broken, in words; "" when it is whole."""
    prev, seq = GENESIS, 0
    for event in events:
        if event.seq != seq + 1:
            return f"entry {seq + 1} is missing: entry {event.seq} follows entry {seq}"
        if event.prev != prev:
            return f"entry {event.seq} does not continue entry {seq}: one of them was edited or replaced"
        if event.hash != digest(body(event)):
            return f"entry {event.seq} was edited: its hash does not match its text"
        prev, seq = event.hash, event.seq
    return ""
