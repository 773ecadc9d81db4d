"""Files that a person asks planc to write.

Invariant: they are readable by their owner alone, never overwrite one another, and a formula in a cell stays text.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

_FORMULA = ("=", "+", "-", "@")


def output_folder(environ: Mapping[str, str]) -> Path:
    """Where saved panes go: $XDG_STATE_HOME/planc/saved."""
    base = environ.get("XDG_STATE_HOME") or os.path.join(environ.get("HOME", "."), ".local", "state")
    return Path(base) / "planc" / "saved"


def csv_text(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as CSV; what a spreadsheet would take for a formula gets a leading apostrophe.

    >>> csv_text(["A"], [["=1+1"]])
    "A\\r\\n'=1+1\\r\\n"
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(headings)
    writer.writerows([[f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in row] for row in rows])
    return out.getvalue()


def save(folder: Path, name: str, suffix: str, text: str, now: float) -> Path:
    """Write a new file `NAME-TIME.SUFFIX` with mode 0600. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    for attempt in range(100):
        path = folder / (f"{name}-{stamp}" + (f"-{attempt}" if attempt else "") + f".{suffix}")
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        return path
    raise FileExistsError(f"{folder} has a hundred files of this second already")
