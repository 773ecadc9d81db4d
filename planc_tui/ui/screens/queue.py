"""A queue: what is known of it, and its first messages for a person who asks.

Invariant: messages are read only when somebody asks for them here and the console may change things, because the
broker marks what was looked at as redelivered; what they hold is shown as harmless lines.
"""

from __future__ import annotations

from collections.abc import Sequence

from planc_tui.core.messages_text import message_lines
from planc_tui.core.ports import PortError
from planc_tui.core.table import Target, Tone
from planc_tui.core.text import clean
from planc_tui.ui.header import clock_text
from planc_tui.ui.screens.lines_screen import LinesScreen, Page, Source
from planc_tui.ui.session import Session

COUNT = 20
ASK = "ctrl-r reads the first messages and puts them back; the broker then marks them as redelivered"


class QueueScreen(LinesScreen):
    """Details and messages of one queue."""

    def __init__(self, session: Session, target: Target, lines: Sequence[str], source: Source) -> None:
        self._messages = Page("messages", [(ASK, Tone.DIM)])
        details = Page("details", [(clean(line), Tone.NORMAL) for line in lines], source=source)
        super().__init__(
            f"queue {target.name}", [details, self._messages], where=target.context, file_name=f"queue-{target.name}"
        )
        self._session = session
        self._queue = target.name
        self._reading = False

    def do_refresh(self, _: str = "") -> None:
        """Read the messages now."""
        self.show_page(self.pages.index(self._messages))
        if self._session.arming.mode().read_only:
            self._messages.state = ("read-only: looking marks messages; arm this console first (! in the war room)",
                                    Tone.WARN)  # fmt: skip  # rows as a person reads them
            self.show_page(self.current)
        elif not self._reading:
            self._reading = True
            self.show_message("reading …", Tone.DIM)
            self.planc.off_thread(self._read, self._arrived, "peek")

    def _read(self) -> tuple[str, ...]:
        broker = self._session.broker()
        return message_lines(broker.peek(self._queue, COUNT), broker.depth(self._queue).ready)

    def _arrived(self, found: tuple[str, ...] | PortError) -> None:
        self._reading = False
        if not self.is_attached:
            return
        at = clock_text(self.planc.clock.now())
        if isinstance(found, PortError):
            self._messages.state = (f"◌ not read at {at}: {clean(found.message)}", Tone.WARN)
        else:
            self._messages.rows = [(line, Tone.NORMAL) for line in found]
            self._messages.state = (f"read at {at}", Tone.DIM)
        self.show_page(self.current)
