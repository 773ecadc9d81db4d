"""How the executor writes down what it does.

Invariant: `record` returns only when the entry is on disk; the executor never acts on an intent that is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct


class RecorderFailed(Exception):
    """The entry could not be written; the text says why and what to do."""


class Entry(Struct, frozen=True):
    """One entry read back. at: epoch seconds UTC."""

    type: str
    at: float
    data: Mapping[str, Any]


class Recorder(Protocol):
    """The executor's side of the journal."""

    def record(self, kind: str, data: Mapping[str, Any]) -> None:
        """Write one entry and flush it to disk. Raises RecorderFailed."""
        ...

    def entries(self, kinds: Sequence[str]) -> Sequence[Entry]:
        """Entries of these types, oldest first."""
        ...


class NoRecorder(Struct, frozen=True):
    """Stands in for a journal that cannot be opened: it refuses every entry with the reason."""

    reason: str

    def record(self, kind: str, data: Mapping[str, Any]) -> None:
        """Raises RecorderFailed."""
        raise RecorderFailed(self.reason)

    def entries(self, kinds: Sequence[str]) -> Sequence[Entry]:
        """Nothing can be read back."""
        return ()
