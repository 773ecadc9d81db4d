"""What leaves core.text is harmless and exactly as wide as asked, whatever comes in."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from planc_tui.core.text import BARS, cell_width, clean, clean_block, fit, sparkline

HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x9b\x9d\x9c\x07\x00[]P_;m0?\\\r\n\t\u202e\u2066\u200b\u200d\ufe0f\u0301界🙂"),
    ),
    max_size=80,
)
FORBIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def harmless(text: str) -> bool:
    return not any(unicodedata.category(char) in FORBIDDEN for char in text)


@given(HOSTILE)
def test_no_control_leaves_clean(text: str) -> None:
    line = clean(text)
    assert harmless(line)
    assert clean(line) == line
    assert cell_width(line) == cell_len(line) == sum(cell_len(char) for char in line)


@given(st.binary(max_size=200))
def test_any_bytes_become_a_line(data: bytes) -> None:
    assert harmless(clean(data))


@given(HOSTILE, st.integers(1, 40))
def test_clean_keeps_its_limit(text: str, limit: int) -> None:
    assert len(clean(text, limit)) <= limit


@given(HOSTILE)
def test_block_keeps_only_newlines(text: str) -> None:
    assert all(harmless(line) for line in clean_block(text).split("\n"))


@given(HOSTILE, st.integers(0, 50), st.booleans(), st.booleans())
def test_fit_is_exact(text: str, width: int, right: bool, middle: bool) -> None:
    line = clean(text)
    fitted = fit(line, width, right, middle)
    assert cell_len(fitted) == width
    if cell_len(line) <= width:
        assert fitted.strip(" ") == line.strip(" ")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;cm0gLXJm\x07ok", "ok"),
        ("\x1bPq#0;2;0\x1b\\dcs", "dcs"),
        ("\x1b_Gi=1;AAAA\x1b\\kitty", "kitty"),
        ("\x9b2Jclear", "clear"),
        ("\x1b]0;unterminated stays readable", "0;unterminated stays readable"),
        ("a\x1b", "a"),
        ("\x1b\x1b[0m[0m", "[0m"),
        ("nul\x00l", "null"),
        ("gpj.\u202efdp.exe", "gpj.fdp.exe"),
        ("ad\u200bmin", "admin"),
        ("two\r\nlines\tand tab", "two lines and tab"),
        ("z\u0301\u0302\u0303\u0304algo", "z\u0301\u0302algo"),
        ("[bold]not markup[/]", "[bold]not markup[/]"),
    ],
)
def test_known_tricks(raw: str, shown: str) -> None:
    assert clean(raw) == shown


def test_megabyte_lines_are_cut_without_reading_them_whole() -> None:
    line = "\x1b[31m" + "x" * 50_000_000
    started = time.process_time()
    for _ in range(100):
        cleaned = clean(line)
    assert time.process_time() - started < 1.0
    assert len(cleaned) == 4096
    assert cleaned.endswith("…")


def test_unterminated_strings_cost_linear_time() -> None:
    started = time.process_time()
    clean_block("\x1b]" * 200_000)
    assert time.process_time() - started < 2.0


def test_block_cut_says_so() -> None:
    assert clean_block("a\tb\r\nc\nrest", 6).splitlines() == ["a    b", "c", "…"]


@given(st.lists(st.one_of(st.none(), st.floats()), max_size=30), st.integers(0, 20))
def test_sparkline_is_exact(values: list[float | None], width: int) -> None:
    line = sparkline(values, width)
    assert len(line) == width
    assert set(line) <= {" ", *BARS}


def test_sparkline_of_one_level_is_flat_and_full_scale_is_full() -> None:
    assert sparkline([0, 0, 0], 3) == "▁▁▁"
    assert sparkline([5, 10], 2, high=10) == "▅█"
