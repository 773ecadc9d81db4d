"""What a row is, apart from how it is drawn.

Invariant: a row is known by the identity of its object, never by its position.
"""

from __future__ import annotations

from enum import Enum

from msgspec import Struct


class Tone(Enum):
    """How much attention a text asks for. The word or glyph in the text says it first; the colour repeats it."""

    DIM = "dim"
    NORMAL = "normal"
    ACCENT = "accent"
    OK = "ok"
    WARN = "warn"
    CRIT = "crit"
    UNKNOWN = "unknown"
    STALE = "stale"


class Cell(Struct, frozen=True):
    """Text of one cell, already sanitised. `span`: covers the rest of the row."""

    text: str
    tone: Tone = Tone.NORMAL
    span: bool = False


class Column(Struct, frozen=True):
    """A column. width: cells it wants; flex: share of the space left over; right: numbers are right-aligned.
    priority: 0 stays longest; the highest go first when the pane is narrow. whole: its words must not be shortened
    while others that flex can be; it takes no more than they need."""

    id: str
    title: str
    width: int
    flex: int = 0
    right: bool = False
    priority: int = 0
    whole: bool = False


class Target(Struct, frozen=True):
    """Identity of one object that can be opened or acted on.

    kind: Pod, Deployment, Node, Queue, Session, Event ... uid: Kubernetes uid, `pid/backend_start` of a session,
    `vhost/name` of a queue."""

    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    context: str = ""
