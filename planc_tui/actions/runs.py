"""Runs as the screen sees them.

Invariant: the topic holds every run of this console and every unfinished one of an earlier console, oldest first.
"""

from __future__ import annotations

import math

from planc_tui.actions.executor import Run
from planc_tui.core.store import Topic

RUNS: Topic[tuple[Run, ...]] = Topic("runs", stale_after=math.inf)
