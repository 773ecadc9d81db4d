"""The only incident I/O: an append-only, hash-chained event journal."""

from planc_tui.journal.errors import Conflict, Damaged, JournalError, Unwritable
from planc_tui.journal.sqlite import Beat, Head, Journal, Verification, default_path, state_folder

__all__ = [
    "Beat",
    "Conflict",
    "Damaged",
    "Head",
    "Journal",
    "JournalError",
    "Unwritable",
    "Verification",
    "default_path",
    "state_folder",
]
