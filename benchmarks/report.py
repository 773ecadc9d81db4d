"""The table and the JSON of a run, with what each figure should be.

Invariant: a figure that is missing is never a pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.course import Figures


@dataclass(frozen=True, slots=True)
class Row:
    """One line. field: of Figures. target: planc must stay below it, or at it when `reachable`; None: only shown."""

    field: str
    title: str
    digits: int = 1
    target: float | None = None
    reachable: bool = False

    def passes(self, figures: Figures) -> bool | None:
        """Whether planc meets the target; None without a target."""
        if self.target is None:
            return None
        value = getattr(figures, self.field)
        if value is None:
            return False
        return bool(value <= self.target if self.reachable else value < self.target)


ROWS = (
    Row("first_frame", "first frame, s", 2, 0.6),
    Row("first_rows", "first live pod rows, s", 2, 1.2),
    Row("all_rows", "all pod rows, s", 2),
    Row("cpu_quiet", "CPU quiet, % of a core", 1, 2.0),
    Row("cpu_changes", "CPU with changes, % of a core", 1, 10.0),
    Row("changes_per_second", "changes made, 1/s", 0),
    Row("pss", "memory (PSS), MiB", 0, 130.0),
    Row("pss_after_changes", "memory after changes, MiB", 0),
    Row("key_quiet", "key to screen quiet, p95 ms", 0, 30.0),
    Row("key_changes", "key to screen with changes, p95 ms", 0, 50.0),
    Row("bytes_quiet", "to the terminal quiet, bytes/s", 0, 0.0, reachable=True),
    Row("bytes_minute", "to the terminal in a quiet minute with its ages, bytes", 0),
    Row("bytes_changes", "to the terminal with changes, bytes/s", 0),
    Row("requests_per_minute", "requests a minute beside watches", 0, 30.0, reachable=True),
)


def table(programs: Sequence[Figures]) -> str:
    """A Markdown table, planc first; the last column says whether planc meets the target."""
    lines = [
        "| | " + " | ".join(figures.program for figures in programs) + " | target | |",
        "|---|" + "---:|" * len(programs) + "---:|---|",
    ]
    for row in ROWS:
        cells = [shown(getattr(figures, row.field), row.digits) for figures in programs]
        verdict = {True: "pass", False: "FAIL", None: ""}[row.passes(programs[0])]
        sign = "" if row.target is None else f"{'at most' if row.reachable else '<'} {row.target:g}"
        lines.append(f"| {row.title} | " + " | ".join(cells) + f" | {sign} | {verdict} |")
    return "\n".join(lines)


def shown(value: float | None, digits: int) -> str:
    """A figure as text; a dash for what was not measured.

    >>> shown(1.234, 2), shown(None, 1), shown(12.5, 0)
    ('1.23', '-', '12')
    """
    return "-" if value is None else f"{value:.{digits}f}"


def verdicts(figures: Figures) -> dict[str, bool]:
    """Whether planc meets each target, by field."""
    return {row.field: passed for row in ROWS if (passed := row.passes(figures)) is not None}
