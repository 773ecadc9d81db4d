"""Copying goes through tmux and screen unharmed."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.core.osc52 import LONGEST, TooLong, clipboard_sequence


def payload(sequence: str) -> str:
    """What a terminal would put into its clipboard."""
    assert sequence.startswith("\x1b]52;c;")
    assert sequence.endswith("\x07")
    return base64.b64decode(sequence[7:-1]).decode()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=500))
def test_every_wrapping_carries_the_same_text(text: str) -> None:
    assert payload(clipboard_sequence(text, {})) == text
    tmux = clipboard_sequence(text, {"TMUX": "/tmp/x,1,0", "TERM": "screen"})
    plain, wrapped = tmux.split("\x1bPtmux;")
    assert payload(plain) == text, "for tmux itself"
    assert wrapped.endswith("\x1b\\")
    assert payload(wrapped[:-2].replace("\x1b\x1b", "\x1b")) == text, "for the terminal around it"
    screen = clipboard_sequence(text, {"STY": "1.pts"})
    chunks = screen.split("\x1bP")[1:]
    assert all(chunk.endswith("\x1b\\") and len(chunk) < 256 for chunk in chunks)
    assert payload("".join(chunk[:-2] for chunk in chunks)) == text


def test_too_much_is_refused_with_another_way() -> None:
    with pytest.raises(TooLong, match="save to a file"):
        clipboard_sequence("x" * (LONGEST + 1), {})
