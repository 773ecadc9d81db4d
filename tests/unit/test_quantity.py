"""Quantities are exact, round like the API machinery, and refuse what it refuses."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.core import quantity

SUFFIXES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
    "k": Fraction(1000),
    "M": Fraction(10**6),
    "G": Fraction(10**9),
    "Ki": Fraction(2**10),
    "Mi": Fraction(2**20),
    "Gi": Fraction(2**30),
    "Ti": Fraction(2**40),
    "e3": Fraction(1000),
    "E-2": Fraction(1, 100),
}


@given(
    whole=st.integers(0, 10**6),
    fraction=st.text("0123456789", max_size=6),
    suffix=st.sampled_from(sorted(SUFFIXES)),
    sign=st.sampled_from(["", "+", "-"]),
)
def test_every_shape_is_exact(whole: int, fraction: str, suffix: str, sign: str) -> None:
    text = f"{sign}{whole}{'.' + fraction if fraction else ''}{suffix}"
    exact = Fraction(f"{whole}.{fraction or 0}") * SUFFIXES[suffix] * quantity.NANO
    up = math.ceil(exact)
    assert quantity.nano(text) == (-up if sign == "-" else up)


@given(st.integers(0, 2**62), st.sampled_from(["n", "u", "m", "", "Ki"]))
def test_quick_ways_agree_with_the_exact_one(number: int, suffix: str) -> None:
    text = f"{number}{suffix}"
    assert quantity.usage_nano(text) == quantity.nano(text)
    assert quantity.usage_bytes(text) == quantity.value(text) or quantity.value(text) == 2**63 - 1


@pytest.mark.parametrize(
    "text",
    ["", " ", "1 ", "1K", "1ki", "1mi", "m", "+", ".", "1.2.3", "1e", "e3", "1e1.5", "0x1", "1_000", "١", "1e99999"],
)
def test_refuses_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        quantity.nano(text)


@pytest.mark.parametrize(
    ("text", "nano"),
    [("0.1n", 1), ("1e-30", 1), ("8Ei", (2**63 - 1) * 10**9), (".5", 5 * 10**8), ("1.", 10**9), ("1E", 10**27)],
)
def test_edges(text: str, nano: int) -> None:
    assert quantity.nano(text) == nano
