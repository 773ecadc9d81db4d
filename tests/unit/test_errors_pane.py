"""Rows, title and details of the errors pane."""

from __future__ import annotations

import pytest

from planc_tui.core.logs.book import LogSummary, RecentLines
from planc_tui.core.logs.line import Level, LogLine
from planc_tui.core.logs.patterns import Pattern
from planc_tui.core.store import Reading
from planc_tui.core.table import Target, Tone
from planc_tui.playbook.loader import default
from planc_tui.sources.logs import ERRORS
from planc_tui.ui.panes.base import View
from planc_tui.ui.panes.errors import ErrorsPane

NOW = 1_795_530_000.0
TS = 1_795_530_726_412_000_000
LINE = LogLine(TS, "app-7d9f-c4m8t", "app", Level.ERROR, "ERROR no db", ("    at x", "    at y"), cut=3, seq=1)
PATTERN = Pattern("no db", 1310, TS - 90_000_000_000, TS, Level.ERROR, 2, (LINE,))
PANE = ErrorsPane()


def view(summary: LogSummary | None, everything: bool = False) -> View:
    """A view of one summary."""
    readings = {ERRORS.name: Reading(ERRORS, summary, 0.0, None, True)}
    return View(readings, NOW, 0.0, default(), "ns", "ctx", {"all": everything})


def texts(of: View) -> list[str]:
    """Each row's cells, joined."""
    return [" | ".join(cell.text for cell in PANE.cells(item, of)) for item in PANE.items(of)]


def test_patterns_first_then_lines() -> None:
    of = view(LogSummary(matched=2, followed=2, limit=50, errors=(LINE,), patterns=(PATTERN,), pattern_count=1))
    assert texts(of) == [
        "✖ | ×1,310 | 2 pods | no db | 14:30:36 › 14:32:06",
        "✖ | 14:32:06.412 | app-7d9f-c4m8t | ERROR no db | +5 lines",
    ]
    assert [PANE.target(item, of) for item in PANE.items(of)] == [
        Target("Pod", "app-7d9f-c4m8t", "ns", "", "ctx"),
    ] * 2


def test_every_level() -> None:
    tail = b"2026-11-24T14:32:06.412Z INFO fine\n2026-11-24T14:32:07Z WARN hm\n2026-11-24T14:32:07Z plain\n"
    of = view(LogSummary(matched=1, followed=1, limit=50, recent=RecentLines((("p", "c", (tail,)),))), everything=True)
    items = PANE.items(of)
    assert [PANE.text(item, "text") for item in items] == ["plain", "WARN hm", "INFO fine"]
    assert [PANE.tone(item) for item in items] == [Tone.DIM, Tone.WARN, Tone.DIM]
    assert len({PANE.identity(item) for item in items}) == 3


@pytest.mark.parametrize(
    ("summary", "text", "tone"),
    [
        (LogSummary(matched=3, followed=3), "0/min  0 patterns  0 lost", Tone.NORMAL),
        (
            LogSummary(matched=60, followed=49, lost=1200, last_minute=214, per_minute=(*[0] * 12, *range(1, 9)),
                       pattern_count=6),
            "214/min  ▂▃▄▅▅▆▇█  6 patterns  1,200 lost  49 of 60 followed",
            Tone.WARN,
        ),
    ],
)  # fmt: skip  # rows as a person reads them
def test_title_says_what_is_missing(summary: LogSummary, text: str, tone: Tone) -> None:
    shown = PANE.summary(view(summary))
    assert (shown.text, shown.tone) == (text, tone)


def test_more_containers_than_streams_is_said() -> None:
    of = view(LogSummary(matched=120, followed=50, limit=50, notes=("not read from 1 to 2",)))
    assert texts(of) == [
        "▲ 70 of 120 containers are not followed: logs.streams_at_most is 50",
        "▲ not read from 1 to 2",
    ]


def test_details() -> None:
    of = view(LogSummary(matched=1, limit=50, errors=(LINE,), patterns=(PATTERN,)))
    pattern, line = PANE.items(of)
    assert PANE.detail(line, of) == (
        "14:32:06.412 UTC  app-7d9f-c4m8t  app  ERROR",
        "ERROR no db",
        "    at x",
        "    at y",
        "… 3 more lines were left out",
    )
    assert PANE.detail(pattern, of)[:4] == (
        "pattern     no db",
        "seen        1,310 times in 2 pods",
        "first seen  14:30:36.412 UTC",
        "last seen   14:32:06.412 UTC",
    )
    assert "ERROR no db" in PANE.detail(pattern, of)


def test_empty_is_told_from_nothing_followed() -> None:
    assert "no running pod" in PANE.empty(view(LogSummary()))
    assert PANE.empty(view(LogSummary(matched=2, followed=2, lines=9000))) == (
        "no error line in 9,000 lines of 2 containers"
    )
    assert PANE.items(view(None)) == ()
