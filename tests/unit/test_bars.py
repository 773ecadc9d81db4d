"""The lines above the panes say what matters within their width."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.core.table import Tone
from planc_tui.ui.widgets.bars import FindingLine, FindingsStrip

LONG = "3 pods were killed for memory, such as workflow-scalability-app-57667f7dc8-gggb4"


def strip_text(findings: tuple[FindingLine, ...], width: int) -> str:
    """What the strip shows in so many cells."""
    strip = FindingsStrip()
    strip.show(findings, ("", Tone.DIM))
    return "".join(segment.text for segment in strip.line(0, width))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_long_finding_leaves_room_for_how_many_more_there_are(width: int) -> None:
    first = FindingLine(LONG, "P2", Tone.WARN, "Memory leak")
    others = (
        FindingLine("queue tasks holds 5,000 messages", "P1", Tone.CRIT),
        FindingLine("HPA at max", "P2", Tone.WARN),
    )
    shown = strip_text((first, *others), width)
    assert shown.startswith(" ▲ P2 3 pods were killed for memory")
    assert "more  f" in shown or "HPA at max" in shown


@given(st.lists(st.text("abc ", min_size=1, max_size=90), min_size=1, max_size=6), st.integers(20, 200))
def test_no_finding_is_left_out_without_a_word(texts: list[str], width: int) -> None:
    shown = strip_text(tuple(FindingLine(text, "P1", Tone.CRIT) for text in texts), width)
    assert len(shown) == width
    listed = shown.count("✖")
    assert listed == len(texts) or f"+{len(texts) - listed} more  f" in shown
