"""Every action, found by looking: a new file in this folder is all that a new action needs.

Invariant: an action's id is unique; a module that fails to load is named and takes only its own actions away.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from functools import lru_cache

import planc_tui.actions as package
from planc_tui.actions.base import Action


@lru_cache(maxsize=1)
def load() -> tuple[Mapping[str, Action], Mapping[str, str]]:
    """Actions by id, and the modules that failed to load with the reason."""
    actions: dict[str, Action] = {}
    broken: dict[str, str] = {}
    for found in pkgutil.iter_modules(package.__path__):
        name = f"{package.__name__}.{found.name}"
        try:
            module = importlib.import_module(name)
        except Exception as error:
            broken[name] = f"{type(error).__name__}: {error}"
            continue
        for _, candidate in inspect.getmembers(module, inspect.isclass):
            if candidate.__module__ == name and issubclass(candidate, Action) and not inspect.isabstract(candidate):
                action = candidate()
                if action.id in actions:
                    broken[name] = f"two actions are called {action.id}"
                    continue
                actions[action.id] = action
    return actions, broken


def for_kind(kind: str) -> tuple[Action, ...]:
    """Actions that can be started on a row of this kind, by title."""
    return tuple(sorted((action for action in load()[0].values() if kind in action.kinds), key=lambda a: a.title))
