"""What a person sets for themselves, beside the team's playbook: `config.yaml` in planc's folder of ~/.config.

Invariant: a file that is not there means the defaults; a file that is wrong is said, never half used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import msgspec

from planc_tui.playbook.files import config_home, is_there, read_text
from planc_tui.playbook.loader import PlaybookError
from planc_tui.playbook.tree import Problem, TreeError, parse
from planc_tui.playbook.typed import Checker


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The settings of one person."""

    keys: dict[str, Any] = {}
    """Commands and the keys that start them: one key, a list, or "" for none. `?` in planc names the commands."""
    read_only: bool = False
    """Always open read-only, whatever the environment says."""


def load_config(environ: Mapping[str, str] | None = None) -> Config:
    """The settings of the person at the keyboard. Raises PlaybookError with every problem of the file."""
    path = config_home(os.environ if environ is None else environ) / "config.yaml"
    if not is_there(path):
        return Config()
    try:
        tree = parse(read_text(path), str(path))
    except TreeError as error:
        raise PlaybookError(error.problems) from None
    checker = Checker()
    builtins = checker.check(tree, Config)
    if checker.problems:
        raise PlaybookError(checker.problems)
    config = msgspec.convert(builtins, Config)
    wrong = [name for name, keys in config.keys.items() if not _is_keys(keys)]
    if wrong:
        raise PlaybookError(
            [Problem(str(path), 0, f"keys.{name}", 'must be a key, a list of keys, or ""') for name in wrong]
        )
    return config


def _is_keys(value: object) -> bool:
    keys = value if isinstance(value, list) else [value]
    return all(isinstance(key, str) or (isinstance(key, int) and not isinstance(key, bool)) for key in keys)
