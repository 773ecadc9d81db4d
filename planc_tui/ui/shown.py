"""Opens what an action read for the person who asked, such as the messages of a queue.

Invariant: it opens only over the war room and only while nothing is typed there, so that no key meant for something
else reaches it; what did not open stays with its run (ctrl-t).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planc_tui.actions.executor import Run
from planc_tui.actions.runs import RUNS
from planc_tui.core.table import Tone
from planc_tui.core.text import clean
from planc_tui.ui.card_text import named
from planc_tui.ui.screens.lines_screen import LinesScreen, Page
from planc_tui.ui.widgets.prompt import Prompt

if TYPE_CHECKING:
    from planc_tui.ui.screens.room import Room


class Shown:
    """Follows the runs of this console until they are over."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._open: set[str] = set()

    def follow(self, run: Run) -> None:
        """From the yes on."""
        self._open.add(run.id)

    def refresh(self) -> None:
        """Open what the runs that ended meanwhile have to show."""
        if not self._open:
            return
        for run in self._room.planc.store.peek(RUNS).value or ():
            if run.id in self._open and run.state.over:
                self._open.discard(run.id)
                self._show(run)

    def _show(self, run: Run) -> None:
        planc = self._room.planc
        if run.receipt is None or not run.receipt.shown:
            return
        if planc.screen is not self._room or self._room.query_one(Prompt).display:
            planc.say(f"{run.plan.title}: ctrl-t shows what was read", Tone.DIM)
            return
        planc.push_screen(what_was_read(run))


def what_was_read(run: Run) -> LinesScreen:
    """A screen of the lines that a run read."""
    lines = run.receipt.shown if run.receipt is not None else ()
    page = Page("messages", [(line, Tone.NORMAL) for line in lines], (clean(run.progress), Tone.DIM))
    title = f"{run.plan.title}   {named(run.plan.targets)}"
    return LinesScreen(title, [page], where=run.plan.context, file_name=run.plan.action)
