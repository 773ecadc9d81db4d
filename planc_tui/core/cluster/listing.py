"""All objects of one kind: what a reading holds, and the sorted table a reflector fills.

Invariant: a listing says whether it is whole; rows are always in the order of namespace and name, so that a stable
sort by anything else never shuffles equals.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

R_contra = TypeVar("R_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Listing(Struct, Generic[R_co], frozen=True):
    """Rows in the order of namespace and name. complete: false while the first list is still arriving.
    expected: how many there will be, as far as the server said."""

    rows: tuple[R_co, ...] = ()
    complete: bool = True
    expected: int = 0

    def __iter__(self) -> Iterator[R_co]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


class Identified(Protocol):
    """What every row has."""

    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...


Found = TypeVar("Found", bound=Identified)


def find(listing: Listing[Found] | None, namespace: str, name: str) -> Found | None:
    """The row of that name, by binary search; None when there is none."""
    rows = listing.rows if listing is not None else ()
    at = bisect_left(rows, (namespace, name), key=_place)
    return rows[at] if at < len(rows) and _place(rows[at]) == (namespace, name) else None


def _place(row: Identified) -> tuple[str, str]:
    return row.namespace, row.name


class Table(Protocol[R_contra]):
    """Holds the rows of one kind while a reflector lists and watches."""

    def begin(self) -> None:
        """A list starts: rows that it does not name are gone at `commit`."""
        ...

    def put(self, rows: Iterable[R_contra], expected: int = 0) -> bool:
        """Add or replace rows; true when anything changed."""
        ...

    def remove(self, row: R_contra) -> bool:
        """Take a row out; true when it was there."""
        ...

    def commit(self) -> bool:
        """The list is whole; true when rows went."""
        ...

    def clear(self) -> None:
        """Forget everything."""
        ...

    def snapshot(self) -> Listing[Any]:
        """What is held now; quick."""
        ...


Row = TypeVar("Row", bound=Identified)


class RowTable(Generic[Row]):
    """Rows sorted by namespace, name and uid: a change costs a binary search, a snapshot one copy."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self._keys: list[tuple[str, str, str]] = []
        self._rows: list[Row] = []
        self._seen: set[str] | None = None
        self._complete = False
        self._expected = 0

    def begin(self) -> None:
        self._seen = set()

    def put(self, rows: Iterable[Row], expected: int = 0) -> bool:
        changed = expected not in (0, self._expected)
        self._expected = expected or self._expected
        for row in rows:
            if self._seen is not None:
                self._seen.add(row.uid)
            changed = self._put_one(row) or changed
        return changed

    def _put_one(self, row: Row) -> bool:
        key = (row.namespace, row.name, row.uid)
        keys = self._keys
        # Servers list in the order of our keys, so that a first list only ever appends.
        at = len(keys) if not keys or key > keys[-1] else bisect_left(keys, key)
        if at < len(keys) and keys[at] == key:
            if self._rows[at] == row:
                return False
            self._rows[at] = row
            return True
        keys.insert(at, key)
        self._rows.insert(at, row)
        return True

    def remove(self, row: Row) -> bool:
        key = (row.namespace, row.name, row.uid)
        at = bisect_left(self._keys, key)
        if at == len(self._keys) or self._keys[at] != key:
            return False
        del self._keys[at], self._rows[at]
        return True

    def commit(self) -> bool:
        seen, self._seen = self._seen, None
        changed = not self._complete
        self._complete = True
        if seen is not None and len(seen) < len(self._keys):
            kept = [i for i, key in enumerate(self._keys) if key[2] in seen]
            self._keys = [self._keys[i] for i in kept]
            self._rows = [self._rows[i] for i in kept]
            changed = True
        return changed

    def snapshot(self) -> Listing[Row]:
        count = len(self._rows)
        return Listing(tuple(self._rows), self._complete, count if self._complete else max(self._expected, count))


_shared: dict[Any, Any] = {}
_MOST_SHARED = 20_000

V = TypeVar("V")


def share(value: V) -> V:
    """One object for equal values: thousands of pods repeat few labels, images and limits."""
    if len(_shared) > _MOST_SHARED:
        _shared.clear()
    same: V = _shared.setdefault(value, value)
    return same


def share_labels(labels: dict[str, str] | None) -> dict[str, str]:
    """One dictionary for equal labels; it must not be changed."""
    if not labels:
        return _NO_LABELS
    if len(_shared) > _MOST_SHARED:
        _shared.clear()
    same: dict[str, str] = _shared.setdefault(("labels", *labels.items()), labels)
    return same


_NO_LABELS: dict[str, str] = {}
