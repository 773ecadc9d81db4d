"""Finds the panes: every module of this package that defines one.

Invariant: a pane that cannot be loaded is named in `broken` and stops nothing.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from functools import cache
from typing import Any

from msgspec import Struct

from planc_tui.ui import panes as package
from planc_tui.ui.panes.base import Pane

log = logging.getLogger(__name__)

_ORDER = "1234567890"
_NOT_PANES = frozenset(("base", "registry"))


class Registry(Struct, frozen=True):
    """panes: one of each kind, by number. broken: modules that failed, and why."""

    panes: tuple[Pane[Any], ...]
    broken: tuple[tuple[str, str], ...] = ()


@cache
def load_panes() -> Registry:
    """Import every pane module once."""
    found: list[Pane[Any]] = []
    broken: list[tuple[str, str]] = []
    for name in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
        if name in _NOT_PANES:
            continue
        path = f"{package.__name__}.{name}"
        try:
            module = importlib.import_module(path)
            kinds = [kind for kind in vars(module).values() if _is_pane(kind, path)]
            found.extend(kind() for kind in kinds)
        except Exception as error:  # a pane is a plug-in: whatever it does wrong concerns it alone
            log.exception("pane %s does not load", name)
            broken.append((name, f"{type(error).__name__}: {error}"))
    found.sort(key=lambda pane: (_ORDER.index(pane.number) if pane.number in _ORDER and pane.number else 99, pane.id))
    return Registry(tuple(found), tuple(broken))


def _is_pane(kind: object, module: str) -> bool:
    return (
        isinstance(kind, type)
        and issubclass(kind, Pane)
        and kind.__module__ == module
        and not getattr(kind, "__abstractmethods__", None)
        and hasattr(kind, "id")
    )
