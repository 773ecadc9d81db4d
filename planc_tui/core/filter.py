"""The filter language of every table: `status:crash !node:gpu label:app=x re:^app-`.

Invariant: all terms must hold; a filter that cannot be understood raises FilterError with one line that says why, and
never silently matches everything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

TextOf = Callable[[str], str]
Labels = Callable[[], Mapping[str, str]]

LONGEST = 200
_TOKEN = re.compile(r'(?:[^\s"]+|"[^"]*"?)+')
# A group that repeats and is itself repeated can take exponential time on a long line.
_NESTED_REPEAT = re.compile(r"[*+}]\??\)[*+{]")


class FilterError(ValueError):
    """The filter cannot be understood; the text says what is wrong."""


class _Test(Protocol):
    def __call__(self, text: TextOf, everything: Callable[[], str], labels: Labels) -> bool: ...


class Filter(Struct, frozen=True):
    """A parsed filter. text: as typed. notes: what was read otherwise than it may have been meant."""

    text: str
    tests: tuple[_Test, ...] = ()
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.tests)

    def matches(self, text: TextOf, everything: Callable[[], str], labels: Labels) -> bool:
        """Whether a row passes. text: plain text by column id; everything: all columns in one lower-case line;
        labels: its labels. Only what a term needs is asked for."""
        return all(test(text, everything, labels) for test in self.tests)


def parse_filter(typed: str, columns: Sequence[str]) -> Filter:
    """Read a filter for a table with these column ids. Raises FilterError.

    >>> f = parse_filter("status:crash !gpu", ["name", "status"])
    >>> row = {"name": "app-1", "status": "CrashLoopBackOff"}
    >>> f.matches(row.__getitem__, lambda: " ".join(row.values()).lower(), dict)
    True
    """
    if len(typed) > LONGEST:
        raise FilterError(f"the filter is longer than {LONGEST} characters")
    tests: list[_Test] = []
    notes: list[str] = []
    for token in _TOKEN.findall(typed):
        term = token.replace('"', "")
        negated = term.startswith("!")
        term = term[1:] if negated else term
        if not term:
            continue
        test = _test(term, columns, notes)
        tests.append(_Not(test) if negated else test)
    return Filter(typed.strip(), tuple(tests), tuple(notes))


def _test(term: str, columns: Sequence[str], notes: list[str]) -> _Test:
    head, colon, value = term.partition(":")
    head = head.lower()
    if not colon:
        return _Word(term.lower())
    if head == "re":
        return _AnyRegex(_regex(value))
    if head == "label":
        return _label(value)
    column = _column(head, columns)
    if column is None:
        if head.isidentifier() and value and not value.isdigit():
            notes.append(f"no column {head}: searching all of them for {term}")
        return _Word(term.lower())
    if value.startswith("re:"):
        return _ColumnRegex(column, _regex(value[3:]))
    return _Column(column, value.lower())


def _column(head: str, columns: Sequence[str]) -> str | None:
    """The column that `head` names in full, or begins without another one beginning so."""
    if head in columns:
        return head
    begun = [column for column in columns if head and column.startswith(head)]
    return begun[0] if len(begun) == 1 else None


def _regex(pattern: str) -> re.Pattern[str]:
    if not pattern:
        raise FilterError("re: needs a pattern after it")
    if _NESTED_REPEAT.search(pattern):
        raise FilterError("a repeat inside a repeat can take for ever: write the pattern without it")
    try:
        return re.compile(pattern, re.IGNORECASE)
    except (re.error, OverflowError) as error:
        raise FilterError(f"the pattern is not a regular expression: {error}") from None


def _label(value: str) -> _Test:
    key, equals, wanted = value.partition("=")
    unequal = key.endswith("!")
    key = key.rstrip("!")
    if not key:
        raise FilterError("label: needs a key, such as label:app=web")
    test = _Label(key, wanted.lstrip("=") if equals else None)
    return _Not(test) if unequal else test


class _Not(Struct, frozen=True):
    test: _Test

    def __call__(self, text: TextOf, everything: Callable[[], str], labels: Labels) -> bool:
        return not self.test(text, everything, labels)


class _Word(Struct, frozen=True):
    word: str

    def __call__(self, text: TextOf, everything: Callable[[], str], labels: Labels) -> bool:
        return self.word in everything()


class _AnyRegex(Struct, frozen=True):
    pattern: re.Pattern[str]

    def __call__(self, text: TextOf, everything: Callable[[], str], labels: Labels) -> bool:
        return self.pattern.search(everything()) is not None


class _Column(Struct, frozen=True):
    column: str
    value: str

    def __call__(self, text: TextOf, everything: Callable[[], str], labels: Labels) -> bool:
        return self.value in text(self.column).lower()


class _ColumnRegex(Struct, frozen=True):
    column: str
    pattern: re.Pattern[str]

    def __call__(self, text: TextOf, everything: Callable[[], str], labels: Labels) -> bool:
        return self.pattern.search(text(self.column)) is not None


class _Label(Struct, frozen=True):
    key: str
    value: str | None

    def __call__(self, text: TextOf, everything: Callable[[], str], labels: Labels) -> bool:
        found = labels().get(self.key)
        return found is not None if self.value is None else found == self.value
