"""One change at a time per target, across every console on this machine.

Invariant: a lease is an advisory lock on an open file, so it ends with the process that held it, however that ended.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from contextlib import suppress
from pathlib import Path


class LeaseTaken(Exception):
    """Somebody else changes this target now. `holder`: who, as they wrote it."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


class Lease:
    """An exclusive lock with a name; use it as a context manager.

    folder: where lock files live (mode 0700). who: one line that tells others who holds it. Raises LeaseTaken."""

    def __init__(self, folder: Path, name: str, who: str) -> None:
        self._path = folder / (hashlib.sha256(name.encode()).hexdigest()[:32] + ".lock")
        self._who = who
        self._fd = -1

    def __enter__(self) -> Lease:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                os.close(fd)
                raise
            holder = os.pread(fd, 200, 0).decode(errors="replace").strip()
            os.close(fd)
            raise LeaseTaken(holder or "another console") from None
        self._fd = fd
        # The name is a courtesy, and a full disk has no room for it; the lock holds without.
        with suppress(OSError):
            os.ftruncate(fd, 0)
            os.pwrite(fd, self._who.encode(), 0)
        return self

    def held(self) -> bool:
        """Whether somebody holds it now."""
        try:
            with self:
                return False
        except (LeaseTaken, OSError):
            return True

    def __exit__(self, *exc: object) -> None:
        os.close(self._fd)
