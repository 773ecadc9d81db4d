"""A list to choose one from, over the war room.

Invariant: what is chosen is the word under the cursor when enter is pressed; enter does nothing before the words have
arrived, so that nobody chooses what was not on the screen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input

from planc_tui.core.ports import PortError
from planc_tui.core.text import clean, fit
from planc_tui.ui import theme
from planc_tui.ui.keys import PICKER
from planc_tui.ui.screens.base import PlancDialog
from planc_tui.ui.widgets.lines import Line, LinesWidget, Painter


class Choices(LinesWidget):
    """The words that pass what is typed, one to a line."""

    def __init__(self, current: str) -> None:
        super().__init__(id="choices")
        self.current = current
        self.words: Sequence[str] = ()
        self.reading = True
        self.message = "reading …"
        self.typed = ""
        self.chosen = current
        self.shaded: Mapping[str, str] = {}
        self._offset = 0

    @property
    def shown(self) -> list[str]:
        """Words that contain what is typed, those that begin with it first."""
        typed = self.typed.lower()
        found = [word for word in self.words if typed in word.lower()]
        return sorted(found, key=lambda word: not word.lower().startswith(typed)) if typed else found

    def move(self, step: int) -> None:
        """Move the cursor."""
        words = self.shown
        if words:
            here = words.index(self.chosen) if self.chosen in words else -1
            self.chosen = words[max(0, min(len(words) - 1, here + step))]
            self.repaint()

    def narrow(self, typed: str) -> None:
        """Show what contains this, with the cursor on the best of them."""
        self.typed = typed
        if typed and (shown := self.shown):
            self.chosen = shown[0]
        self.repaint()

    def prepare(self, width: int, height: int) -> None:
        words = self.shown
        if words and self.chosen not in words:
            self.chosen = words[0]
        index = words.index(self.chosen) if words else 0
        self._offset = max(0, min(max(self._offset, index - height + 1), index))

    def line(self, y: int, width: int) -> Line:
        words = self.shown
        index = self._offset + y
        painter = Painter(width)
        if not words:
            text = self.message if y == 0 else ""
            return painter.add(f" {text}", theme.style(theme.QUIET, theme.RAISED)).finish(
                theme.style(background=theme.RAISED)
            )
        if index >= len(words):
            return painter.finish(theme.style(background=theme.RAISED))
        here = words[index] == self.chosen
        ground = theme.SELECTED if here else theme.RAISED
        shade = self.shaded.get(words[index], "")
        note = "  current" if words[index] == self.current else f"  {shade}" if shade else ""
        painter.add("› " if here else "  ", theme.style(theme.ACCENT, ground))
        painter.add(
            fit(words[index], width - 4 - (0 if shade else len(note)), middle=True).rstrip(),
            theme.style(
                theme.FAINT if shade else theme.BRIGHT if here else theme.TEXT,
                ground,
                reverse=here and bool(self.app.no_color),
            ),
        )
        return painter.add(note, theme.style(theme.FAINT, ground)).finish(theme.style(background=ground))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor there; the second click chooses."""
        words = self.shown
        index = self._offset + event.y
        if index < len(words):
            self.chosen = words[index]
            self.repaint()
            if event.chain == 2 and isinstance(self.screen, Picker):
                self.screen.do_choose()


class Picker(PlancDialog[str]):
    """Returns the chosen word; "" when nothing was chosen."""

    views = (PICKER,)

    DEFAULT_CSS = """
    Picker { align: center middle; background: $background 60%; }
    Picker > Vertical { width: 64; max-width: 90%; height: 18; max-height: 80%; background: $surface; padding: 0 1; }
    Picker Input { height: 1; border: none; background: $surface; padding: 0 1; }
    Picker Input:focus { border: none; background: $surface; }
    """

    def __init__(self, title: str, current: str, words: Sequence[str] | None = None) -> None:
        """words: to choose from; None where they arrive later."""
        super().__init__()
        self._title = title
        self._choices = Choices(current)
        if words is not None:
            self.fill(words)

    def compose(self) -> ComposeResult:
        with Vertical():
            field = Input(placeholder=f"{self._title}: type to narrow, esc leaves", compact=True)
            field.cursor_blink = False
            yield field
            yield self._choices

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def fill(self, words: Sequence[str], message: str = "") -> None:
        """The words have arrived, or the reason why not."""
        self._choices.words = [clean(word, 200) for word in words]
        self._choices.reading = False
        self._choices.message = message or "nothing there"
        self._choices.narrow(self._choices.typed)

    def shade(self, reasons: Mapping[str, str]) -> None:
        """These words are grey, each with its reason; one may still choose them and be told more."""
        self._choices.shaded = reasons
        self._choices.repaint()

    def arrived(self, found: Sequence[str] | PortError) -> None:
        """Result of a request for the words."""
        if isinstance(found, PortError):
            self.fill((), f"{found.message}: type :ns NAME or :ctx NAME instead")
        else:
            self.fill(found)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the list."""
        self._choices.narrow(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.do_choose()

    def on_key(self, event: events.Key) -> None:
        """The field has the focus; the keys that move belong to the list."""
        steps = {"up": -1, "down": 1, "pageup": -10, "pagedown": 10}
        if event.key in steps:
            event.stop()
            self._choices.move(steps[event.key])
        elif event.key in ("escape", "ctrl+c"):
            event.stop()
            self.dismiss("")

    def do_choose(self, _: str = "") -> None:
        """Take the word under the cursor."""
        if not self._choices.reading:
            self.dismiss(self._choices.chosen if self._choices.shown else "")
