"""Pure domain code: no I/O, no clock of its own, no Textual, no driver."""
