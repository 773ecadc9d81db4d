"""One process at a time works as the escalator of a journal.

Invariant: the kernel holds the lease (flock), so it ends with the process that holds it, however that one dies.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from planc_tui.journal.errors import Unwritable


class Lease:
    """An exclusive lease beside the journal file. Not shared with child processes."""

    def __init__(self, journal: Path, name: str = "escalator") -> None:
        self.path = journal.with_name(f"{journal.name}.{name}")
        self._handle: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lease."""
        return self._handle is not None

    def take(self) -> bool:
        """Take the lease without waiting; true when it is ours now. Raises Unwritable."""
        if self._handle is not None:
            return True
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unwritable(f"the lease {self.path} cannot be opened: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def release(self) -> None:
        """Give the lease back."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
