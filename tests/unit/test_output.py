"""Files a person saves: private, never overwritten, harmless in a spreadsheet."""

from __future__ import annotations

import csv
import io
import stat
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from planc_tui.ui.output import csv_text, output_folder, save


def test_files_are_private_and_never_overwrite_one_another(tmp_path: Path) -> None:
    folder = output_folder({"XDG_STATE_HOME": str(tmp_path)})
    first = save(folder, "pods", "csv", "a", 0.0)
    second = save(folder, "pods", "csv", "b", 0.0)
    assert (first.read_text(), second.read_text()) == ("a", "b")
    assert first.name == "pods-19700101T000000Z.csv"
    assert stat.S_IMODE(first.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@given(st.lists(st.lists(st.text(st.characters(min_codepoint=32, max_codepoint=126)), min_size=2, max_size=2)))
def test_csv_reads_back_and_no_cell_is_a_formula(rows: list[list[str]]) -> None:
    back = list(csv.reader(io.StringIO(csv_text(["A", "B"], rows))))[1:]
    assert len(back) == len(rows)
    for row, original in zip(back, rows, strict=True):
        for cell, text in zip(row, original, strict=True):
            assert not cell.startswith(("=", "+", "-", "@"))
            assert cell.removeprefix("'") == text.removeprefix("'") or cell == f"'{text}"
