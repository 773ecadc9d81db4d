"""Kubernetes label selectors as people write them.

Invariant: the same labels match as for `kubectl -l`: a requirement on a missing key fails, but `!=`, `notin` and
`!key` hold for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

Labels = Mapping[str, str]
_SET = re.compile(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)")


def selector(text: str) -> Callable[[Labels], bool]:
    """A test for labels; an empty selector matches everything.

    >>> test = selector("app=web, tier in (a, b), !old")
    >>> test({"app": "web", "tier": "a"}), test({"app": "web", "tier": "c"}), test({"app": "web"})
    (True, False, False)

    Raises ValueError when a requirement cannot be read.
    """
    tests = [_requirement(part.strip()) for part in re.split(r",(?![^(]*\))", text) if part.strip()]
    return lambda labels: all(test(labels) for test in tests)


def _requirement(part: str) -> Callable[[Labels], bool]:
    match = _SET.fullmatch(part)
    if match is not None:
        key, within = match[1], match[2] == "in"
        values = frozenset(value.strip() for value in match[3].split(","))
        return lambda labels: (labels.get(key) in values) is within
    if "!=" in part:
        key, value = (piece.strip() for piece in part.split("!=", 1))
        return lambda labels: labels.get(key) != value
    if "=" in part:
        key, value = (piece.strip() for piece in part.replace("==", "=", 1).split("=", 1))
        return lambda labels: labels.get(key) == value
    if re.fullmatch(r"!\s*\S+", part):
        absent = part[1:].strip()
        return lambda labels: absent not in labels
    if re.fullmatch(r"\S+", part):
        return lambda labels: part in labels
    raise ValueError(f"not a label selector: {part!r}")
