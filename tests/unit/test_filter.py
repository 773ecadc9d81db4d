"""The filter language: what each term means, and that no input breaks it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.core.filter import FilterError, parse_filter

COLUMNS = ("name", "status", "node", "restarts")
ROW = {"name": "app-7d9f-x2k1p", "status": "CrashLoopBackOff", "node": "gpu-1", "restarts": "7"}
LABELS = {"app": "web", "tier": "front"}


def passes(typed: str) -> bool:
    everything = " ".join(ROW.values()).lower()
    return parse_filter(typed, COLUMNS).matches(ROW.__getitem__, lambda: everything, lambda: LABELS)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("", True),
        ("crash", True),
        ("CRASH", True),
        ("crash gpu", True),
        ("crash cpu", False),
        ("!crash", False),
        ("status:crash", True),
        ("stat:crash", True),
        ("node:crash", False),
        ("status:crash !node:gpu label:app=web", False),
        ("status:crash !node:cpu label:app=web", True),
        ("label:app", True),
        ("label:app=we", False),
        ("label:app!=web", False),
        ("!label:zone", True),
        ("re:^app-.*x2", True),
        ("re:^x2", False),
        ("name:re:^app", True),
        ("status:re:^app", False),
        ('"loop back"', False),
        ("postgres:5432", False),
        ("node: ", True),
    ],
)
def test_terms(typed: str, expected: bool) -> None:
    assert passes(typed) is expected


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("re:(", "not a regular expression"),
        ("re:", "needs a pattern"),
        ("re:(a+)+b", "take for ever"),
        ("label:", "needs a key"),
        ("x" * 201, "longer than 200"),
    ],
)
def test_what_cannot_be_understood_is_said(typed: str, said: str) -> None:
    with pytest.raises(FilterError, match=said):
        parse_filter(typed, COLUMNS)


def test_an_unknown_column_is_searched_as_text_and_said() -> None:
    assert parse_filter("statsu:crash", COLUMNS).notes == ("no column statsu: searching all of them for statsu:crash",)
    assert parse_filter("postgres:5432", COLUMNS).notes == ()


@given(st.text(max_size=60))
def test_any_input_is_a_filter_or_an_error(typed: str) -> None:
    try:
        assert passes(typed) in (True, False)
    except FilterError:
        return


@given(st.sampled_from(["crash", "status:crash", "label:app=web", "re:x2", "nothing"]))
def test_negation_is_the_opposite(term: str) -> None:
    assert passes(term) is not passes(f"!{term}")
