"""The README says what the code says."""

from __future__ import annotations

from pathlib import Path

from planc_tui.actions.table import markdown

README = Path(__file__).parents[2] / "README.md"


def test_the_table_of_actions_is_the_actions_own() -> None:
    text = README.read_text(encoding="utf-8")
    assert markdown() in text, "README.md: renew the table with `python -m planc_tui.actions.table`"


def test_every_picture_and_page_exists() -> None:
    text = README.read_text(encoding="utf-8")
    links = [part.split(")")[0] for part in text.split("](")[1:]]
    missing = [link for link in links if not link.startswith("http") and not (README.parent / link).exists()]
    assert missing == []
