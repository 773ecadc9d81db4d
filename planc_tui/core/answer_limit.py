"""How long an answer is waited for.

Invariant: who has not answered in time is waited for longer the next time. A frozen system answers what waits for it as
soon as it thaws, so that few requests are enough to see its return at once.
"""

from __future__ import annotations

from planc_tui.core.ports import NoAnswer

# Seconds to wait for a system that has not answered in time.
SILENT_LIMIT = 20.0


class AnswerLimit:
    """The limit of one way to one system. usual: seconds, as long as answers come. seconds: those to wait now."""

    def __init__(self, usual: float) -> None:
        self._usual = self.seconds = usual

    def settle(self, error: Exception | None = None) -> None:
        """How the last request ended: well, or with an error.

        >>> limit = AnswerLimit(3.0); limit.settle(NoAnswer("silence")); limit.seconds
        20.0
        >>> limit.settle(); limit.seconds
        3.0
        """
        self.seconds = max(self._usual, SILENT_LIMIT) if isinstance(error, NoAnswer) else self._usual
