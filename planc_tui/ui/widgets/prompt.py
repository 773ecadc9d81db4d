"""The line at the bottom in which a filter or a command is typed.

Invariant: only printable text gets in; escape always leaves without running anything.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input

from planc_tui.core.text import clean


class WordSuggester(Suggester):
    """Completes the first word from a list, the most recently used first."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.words: Sequence[str] = ()

    async def get_suggestion(self, value: str) -> str | None:
        return next((word for word in self.words if value and word.startswith(value) and word != value), None)


class Prompt(Input):
    """Input with history. mode: ":" for a command, "/" for a filter."""

    DEFAULT_CSS = """
    Prompt { layer: top; dock: bottom; height: 1; border: none; padding: 0 1; background: $surface; display: none; }
    Prompt:focus { border: none; background: $surface; }
    """

    class Done(Message):
        """Enter was pressed."""

        def __init__(self, mode: str, text: str) -> None:
            super().__init__()
            self.mode = mode
            self.text = text

    class Left(Message):
        """Escape was pressed."""

        def __init__(self, mode: str) -> None:
            super().__init__()
            self.mode = mode

    def __init__(self) -> None:
        self.words = WordSuggester()
        # Selected when the focus comes, keys that were typed ahead of it would be lost to the next one.
        super().__init__(id="prompt", suggester=self.words, compact=True, select_on_focus=False)
        self.cursor_blink = False
        self.mode = ":"
        self._history: dict[str, list[str]] = {":": [], "/": []}
        self._recalled = 0
        self._last: events.Key | None = None

    def typed_ahead(self, event: events.Key) -> bool:
        """Take a key that was sent elsewhere before this line had the focus; false for one that was sent here."""
        if event is self._last:
            return False
        if event.is_printable and event.character:
            self.replace(event.character, *self.selection)
        elif event.key == "enter":
            self.call_later(self.action_submit)
        elif event.key == "backspace":
            self.action_delete_left()
        else:
            self.on_key(event)
        return True

    def open(self, mode: str, text: str, words: Sequence[str]) -> None:
        """Show the line and take the keys."""
        self.mode = mode
        history = self._history[mode]
        self.words.words = [*reversed(history), *words] if mode == ":" else list(reversed(history))
        self._recalled = len(history)
        self.placeholder = "command" if mode == ":" else 'filter: status:crash !node:gpu label:app=x re:"^app"'
        self.display = True
        self.value = text
        self.action_select_all()
        self.screen.set_focus(self)

    def close(self) -> None:
        """Hide the line."""
        self.display = False

    def on_key(self, event: events.Key) -> None:
        """Escape leaves, up and down recall, tab completes."""
        self._last = event
        if event.key in ("escape", "ctrl+c") or (event.key == "backspace" and not self.value):
            event.stop()
            self.post_message(self.Left(self.mode))
        elif event.key in ("up", "down"):
            event.stop()
            self._recall(-1 if event.key == "up" else 1)
        elif event.key == "tab":
            event.stop()
            event.prevent_default()
            self.action_cursor_right()
        elif event.key == "ctrl+u":
            event.stop()
            event.prevent_default()
            self.value = ""

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Remember and hand over what was typed."""
        event.stop()
        text = clean(event.value, 200).strip()
        history = self._history[self.mode]
        if text:
            if text in history:
                history.remove(text)
            history.append(text)
            del history[:-50]
        self.post_message(self.Done(self.mode, text))

    def _recall(self, step: int) -> None:
        history = self._history[self.mode]
        self._recalled = max(0, min(len(history), self._recalled + step))
        self.value = history[self._recalled] if self._recalled < len(history) else ""
        self.cursor_position = len(self.value)
