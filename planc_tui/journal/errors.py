"""What can go wrong with the journal, in words for the screen.

Invariant: an entry that could not be made durable is reported to whoever asked for it; nothing is lost silently.
"""

from __future__ import annotations


class JournalError(Exception):
    """The journal cannot do what was asked. message: one line for people. hint: what to do next."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Unwritable(JournalError):
    """Nothing can be written now (disk full, permissions, a lock that does not end). Actions above LOW stop."""


class Damaged(JournalError):
    """The file is not a whole journal."""


class Conflict(JournalError):
    """Somebody else wrote to the incident since it was read."""
