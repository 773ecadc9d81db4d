"""A disk that is really full: a small file system of its own where the tests may mount one, else a limit that the
kernel puts on the size of files."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = 2 * 1024 * 1024


class Disk:
    """A folder whose disk can be filled and freed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """From now on nothing can be added."""
        with open(self._ballast, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                return

    def free(self) -> None:
        """There is room again."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


class Limit(Disk):
    """No file may grow beyond what the largest one in the folder has."""

    def fill(self) -> None:
        largest = max((path.stat().st_size for path in self.folder.rglob("*") if path.is_file()), default=0)
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))

    def free(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


@contextmanager
def small_disk(folder: Path) -> Iterator[Disk]:
    """A disk at `folder`, freed and gone at the end."""
    folder.mkdir()
    mounted = os.geteuid() == 0 and _ran("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder))
    disk = Disk(folder) if mounted else Limit(folder)
    # Without this the kernel ends the process that meets the limit.
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        yield disk
    finally:
        disk.free()
        signal.signal(signal.SIGXFSZ, before)
        if mounted:
            _ran("umount", "-l", str(folder))


def _ran(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0
    except OSError:
        return False
