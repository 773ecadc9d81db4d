"""planc's own log: what went wrong inside it, for whoever repairs it.

Invariant: readable by its owner alone and bounded in size; when it cannot be written, the console works without it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path

LARGEST = 1_000_000


def log_path(environ: Mapping[str, str]) -> Path:
    """Where the log is: $XDG_STATE_HOME/planc/planc.log."""
    base = environ.get("XDG_STATE_HOME") or os.path.join(environ.get("HOME", "."), ".local", "state")
    return Path(base) / "planc" / "planc.log"


def open_log(environ: Mapping[str, str]) -> None:
    """Send warnings and errors of planc to the log, and nothing of anybody to the terminal."""
    root = logging.getLogger()
    path = log_path(environ)
    handler: logging.Handler
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
        handler = RotatingFileHandler(path, maxBytes=LARGEST, backupCount=1, encoding="utf-8")
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(threadName)s %(message)s"))
    handler.setLevel(logging.WARNING)
    # It warns of every stream beyond its pool, which is how many streams are meant to be.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    root.handlers[:] = [handler]
