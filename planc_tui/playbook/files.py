"""Reads the files that people write for planc.

Invariant: only a regular file, of bounded size, in UTF-8, that not everybody may change; a pipe or a device that
never ends cannot hold planc up.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from planc_tui.playbook.tree import SIZE_LIMIT, Problem, TreeError


def config_home(environ: Mapping[str, str]) -> Path:
    """planc's folder under $XDG_CONFIG_HOME, or under ~/.config."""
    base = environ.get("XDG_CONFIG_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".config") / "planc"


def home_path(text: str) -> Path:
    """A path with its leading ~ resolved; one of a user whom nobody knows stays as it is, and is not found."""
    return Path(os.path.expanduser(text))


def is_there(path: Path) -> bool:
    """Whether there is something of this name. What cannot be looked at counts: it must be said, not passed over."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def read_text(path: Path, named_by: Problem | None = None, hint: str = "") -> str:
    """The text of a file. named_by: the key that names the file, for the place of the problem; hint: added when
    there is no such file. Raises TreeError."""
    try:
        # Non-blocking: a pipe that nobody writes to must not hold planc up.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        missing = f"; {hint}" if hint and isinstance(error, FileNotFoundError) else ""
        raise TreeError([_at(named_by, f"cannot read {path}: {reason}{missing}")]) from None
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise TreeError([_at(named_by, f"{path} is not a file")])
    with os.fdopen(handle, "rb") as file:
        if status.st_mode & stat.S_IWOTH:
            raise TreeError([_at(named_by, f"{path} can be changed by everybody: chmod o-w {path}")])
        try:
            data = file.read(SIZE_LIMIT + 1)
        except OSError as error:
            raise TreeError([_at(named_by, f"cannot read {path}: {error.strerror}")]) from None
    if len(data) > SIZE_LIMIT:
        raise TreeError([Problem(str(path), 0, "", f"is larger than {SIZE_LIMIT >> 20} MiB")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise TreeError([Problem(str(path), line, "", "is not UTF-8 text")]) from None


def _at(named_by: Problem | None, message: str) -> Problem:
    if named_by is None:
        return Problem("", 0, "", message)
    return Problem(named_by.file, named_by.line, named_by.path, message)
