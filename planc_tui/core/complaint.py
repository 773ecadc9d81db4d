"""The reason in what a program wrote to its standard error.

Invariant: one harmless line, never longer than its limit, and never empty when the program said anything.
"""

from __future__ import annotations

from planc_tui.core.text import clean

_SIGNS = ("error", "fatal", "panic", "denied", "not found")


def complaint(stderr: str, limit: int = 300) -> str:
    """The lines that name an error, in one; the last line when none does.

    >>> complaint("pg_dump: error: query failed: FATAL:  terminated\\nserver closed the connection\\n")
    'pg_dump: error: query failed: FATAL:  terminated'
    >>> complaint("x: error: the copy failed\\nx: detail: FATAL:  terminated\\nthis probably means that\\n")
    'x: error: the copy failed; x: detail: FATAL:  terminated'
    >>> complaint("one\\ntwo\\n"), complaint(" ")
    ('two', '')
    """
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    named = [line for line in lines if any(sign in line.lower() for sign in _SIGNS)]
    return clean("; ".join(named or lines[-1:]), limit)
