"""The escape sequence that puts text into the clipboard of the terminal in front of the person.

Invariant: works over SSH because the terminal does it, not this machine; inside tmux and screen the sequence is
wrapped so that it gets through to the outer terminal.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

# xterm's own limit; what is longer is refused as a whole by many terminals.
LONGEST = 74_000
_SCREEN_CHUNK = 240


class TooLong(ValueError):
    """More text than terminals take."""


def clipboard_sequence(text: str, environ: Mapping[str, str]) -> str:
    """What to write to the terminal to copy `text`. environ: the process environment. Raises TooLong.

    >>> clipboard_sequence("hi", {})
    '\\x1b]52;c;aGk=\\x07'
    """
    data = text.encode("utf-8", "replace")
    if len(data) > LONGEST:
        raise TooLong(f"{len(data)} bytes are more than terminals copy ({LONGEST}): save to a file instead")
    plain = f"\x1b]52;c;{base64.b64encode(data).decode('ascii')}\x07"
    if environ.get("TMUX"):
        # tmux lets the wrapped one through when allow-passthrough is on, and takes the plain one itself when
        # set-clipboard is on; each drops the other without a trace.
        return plain + "\x1bPtmux;" + plain.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    if environ.get("STY") or environ.get("TERM", "").startswith("screen"):
        chunks = (plain[i : i + _SCREEN_CHUNK] for i in range(0, len(plain), _SCREEN_CHUNK))
        return "".join(f"\x1bP{chunk}\x1b\\" for chunk in chunks)
    return plain
