"""The confirm card: what would happen, and the only place where a yes can be given.

Invariant: Cancel has the focus and Enter never confirms. A press counts only when the rules of the plan's risk say so,
counted from the card's first paint or from the moment the name was typed, so that typed-ahead keys never act. When the
target changes while the card is open, the card says so and can no longer be confirmed.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import TYPE_CHECKING

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input

from planc_tui.actions.base import Drift, Refusal, Risk
from planc_tui.actions.executor import Prepared, confirmed
from planc_tui.core.ports import PortError
from planc_tui.core.table import Tone
from planc_tui.core.text import cell_width, clean
from planc_tui.ui import theme
from planc_tui.ui.card_text import RISK_WORDS, card_rows
from planc_tui.ui.keys import CARD
from planc_tui.ui.screens.base import PlancDialog
from planc_tui.ui.screens.lines_screen import Row, break_row
from planc_tui.ui.widgets.lines import Line, LinesWidget, Painter

if TYPE_CHECKING:
    from planc_tui.ui.app import PlancApp

LOOK_AGAIN = 5.0
SOONEST = 0.2  # seconds from the first paint before which no key can be an answer to the card
WIDEST = 100


class Decision(Enum):
    """How a card was left."""

    GO = "go"
    EDIT = "edit"
    OFFER = "offer"


class CardBody(LinesWidget, can_focus=True):
    """The lines of a card in a thin frame; the title carries the environment's word."""

    DEFAULT_CSS = "CardBody { width: 100%; height: 1fr; }"

    def __init__(self, title: str, word: str, colour: str) -> None:
        super().__init__(id="card-body")
        self._title = title
        self._word = word
        self._colour = colour
        self._broken: list[Row] = []
        self.rows: list[Row] = []
        self.keys: Row = ("", Tone.NORMAL)
        self.offset_row = 0

    def prepare(self, width: int, height: int) -> None:
        self._broken = [part for row in self.rows for part in break_row(row, width - 4)]
        self.offset_row = max(0, min(self.offset_row, len(self._broken) - (height - 3)))

    def line(self, y: int, width: int) -> Line:
        ground = theme.style(theme.TEXT, theme.RAISED)
        rule = theme.style(theme.RULE, theme.RAISED)
        painter = Painter(width)
        if y == 0:
            painter.add("┌ ", rule).add(self._title, theme.style(theme.BRIGHT, theme.RAISED, bold=True)).add(" ", rule)
            word = f" {self._word} "
            painter.to(width - cell_width(word) - 2, rule, "─").add(word, theme.badge_style(self._colour))
            return painter.add("─┐", rule).finish(ground)
        if y == self.size.height - 1:
            return painter.add("└", rule).to(width - 1, rule, "─").add("┘", rule).finish(ground)
        painter.add("│ ", rule)
        if y == self.size.height - 2:
            text, tone = self.keys
        else:
            index = self.offset_row + y - 1
            text, tone = self._broken[index] if index < len(self._broken) else ("", Tone.NORMAL)
        painter.add(text, theme.tone_style(tone, theme.RAISED)).to(width - 2, ground)
        return painter.add(" │", rule).finish(ground)

    def lines_wanted(self, width: int) -> int:
        """Height that shows everything at this width."""
        return sum(len(break_row(row, width - 4)) for row in self.rows) + 3


class Card(PlancDialog[Decision | None]):
    """A prepared plan, or the reason why there is none."""

    views = (CARD,)
    AUTO_FOCUS = None
    CSS = """
    Card { align: center middle; background: $background 60%; }
    #card { width: 100; max-width: 96%; height: auto; max-height: 96%; background: $surface; }
    #typed { height: 1; border: none; padding: 0 2; background: $surface; display: none; }
    #typed:focus { border: none; }
    """

    def __init__(self, prepared: Prepared | Refusal, title: str, word: str, colour: str, *, editable: bool) -> None:
        super().__init__()
        self._prepared = prepared
        self._editable = editable
        self._body = CardBody(title, word, colour)
        self._armed_at = math.inf
        self._typed = ""
        self._drift = ""
        self._typing = isinstance(prepared, Prepared) and prepared.plan.risk is Risk.HIGH and not prepared.refused

    def compose(self) -> ComposeResult:
        with Vertical(id="card"):
            yield self._body
            yield Input(id="typed", compact=True)

    def on_mount(self) -> None:
        self._fill()
        self.call_after_refresh(self._painted)
        typed = self.query_one("#typed", Input)
        typed.cursor_blink = False
        if self._typing and isinstance(self._prepared, Prepared):
            typed.placeholder = f"type {self._prepared.plan.confirm_word} to unlock y"
            typed.display = True
            self.set_focus(typed)
        else:
            self.set_focus(self._body)
        if isinstance(self._prepared, Prepared):
            self.set_interval(LOOK_AGAIN, self._look_again)

    def _painted(self) -> None:
        self._armed_at = self.planc.clock.monotonic()

    def on_resize(self) -> None:
        self._resize_card()

    # --- what is shown --------------------------------------------------------------------------------------------

    @property
    def can_go(self) -> bool:
        """Whether y could do anything at all."""
        return isinstance(self._prepared, Prepared) and not self._prepared.refused and not self._drift

    def _fill(self) -> None:
        if isinstance(self._prepared, Refusal):
            rows: list[Row] = [(f"✖ {clean(self._prepared.reason)}", Tone.CRIT)]
        else:
            rows = card_rows(self._prepared)
        if self._drift:
            rows.append((f"✖ it changed while you looked: {self._drift}: open it again", Tone.CRIT))
        self._body.rows = rows
        self._body.keys = (self._keys_text(), Tone.NORMAL)
        self._resize_card()

    def _keys_text(self) -> str:
        parts = ["[ Cancel ]"]
        if self._editable:
            parts.append("e  edit")
        if isinstance(self._prepared, Refusal):
            return "        ".join([*parts, *(["o  do that instead"] if self._prepared.offer else [])])
        if self.can_go:
            locked = self._typing and self._typed != self._prepared.plan.confirm_word
            parts.append("y  locked until the name is typed" if locked else "y  go")
        return "        ".join([*parts, RISK_WORDS[self._prepared.plan.risk]])

    def _resize_card(self) -> None:
        if not self.is_mounted:
            return
        width = min(WIDEST, int(self.app.size.width * 0.96))
        box = self.query_one("#card", Vertical)
        wanted = self._body.lines_wanted(width)
        room = int(self.app.size.height * 0.96) - (1 if self._typing else 0)
        self._body.styles.height = max(6, min(wanted, room))
        box.styles.height = (
            self._body.styles.height.value + (1 if self._typing else 0) if self._body.styles.height else 6
        )
        self._body.repaint()

    # --- the target while the card is open --------------------------------------------------------------------------

    def _look_again(self) -> None:
        session, prepared = self.planc.session, self._prepared
        if session is None or not isinstance(prepared, Prepared) or self._drift:
            return
        executor = session.executor

        def looked(result: Drift | PortError | None) -> None:
            if isinstance(result, Drift) and self.is_mounted:
                self._drift = clean(result.reason)
                self._fill()

        self.planc.off_thread(lambda: executor.drift(prepared), looked, "recheck")

    # --- keys ---------------------------------------------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Escape leaves even while the name is typed."""
        if event.key in ("escape", "ctrl+c") and isinstance(self.focused, Input):
            event.stop()
            self.dismiss(None)
            return
        super().on_key(event)

    def on_input_changed(self, event: Input.Changed) -> None:
        """The right name unlocks y, which counts half a second later at the earliest."""
        self._typed = event.value
        if isinstance(self._prepared, Prepared) and event.value == self._prepared.plan.confirm_word:
            self._armed_at = self.planc.clock.monotonic()
            self.set_focus(self._body)
        self._body.keys = (self._keys_text(), Tone.NORMAL)
        self._body.repaint()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter never confirms."""
        event.stop()

    def do_card_go(self, _: str = "") -> None:
        prepared, now = self._prepared, self.planc.clock.monotonic()
        if not isinstance(prepared, Prepared) or not self.can_go:
            return
        if now - self._armed_at < (0.5 if self._typing else SOONEST):
            return
        if confirmed(prepared.plan, self._armed_at, now, self._typed):
            self.dismiss(Decision.GO)

    def do_card_edit(self, _: str = "") -> None:
        if self._editable:
            self.dismiss(Decision.EDIT)

    def do_card_offer(self, _: str = "") -> None:
        if isinstance(self._prepared, Refusal) and self._prepared.offer:
            self.dismiss(Decision.OFFER)

    def do_card_cancel(self, _: str = "") -> None:
        self.dismiss(None)

    def do_card_up(self, _: str = "") -> None:
        self._body.offset_row -= 1
        self._body.repaint()

    def do_card_down(self, _: str = "") -> None:
        self._body.offset_row += 1
        self._body.repaint()


def environment_of_card(planc: PlancApp) -> tuple[str, str]:
    """Word and colour for the card's frame."""
    from planc_tui.ui.header import word_colour

    session = planc.session
    if session is None:
        return "?", "grey"
    return session.identity.word, word_colour(session.playbook, session.identity)
