"""A look at a system that takes one request after another.

Invariant: each `yield` asks for room for one request, and at most one is sent until the next; between two of them
nothing is under way, so whoever takes the steps may wait there, or never go on.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]
