"""Takes the steps of a look at a system without waiting between them."""

from __future__ import annotations

from typing import TypeVar

from planc_tui.core.steps import Steps

T = TypeVar("T")


def complete(steps: Steps[T]) -> T:
    """What comes of all steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found: T = end.value
            return found
