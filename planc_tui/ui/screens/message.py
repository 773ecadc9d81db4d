"""Writes a message: edited here or in $EDITOR, previewed for each channel, sent after a yes.

Invariant: nothing is queued before the preview was confirmed; a text with a missing field is refused by name.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Label, TextArea

from planc_tui.core.table import Tone
from planc_tui.core.text import clean, clean_block
from planc_tui.desk.compose import Composed
from planc_tui.ui.keys import FORM, PREVIEW
from planc_tui.ui.screens.base import PlancDialog
from planc_tui.ui.screens.lines_screen import LinesScreen, Page


class MessageEditor(PlancDialog[Mapping[str, str] | None]):
    """One text per language. Returns the texts by channel, or None. drafts: texts by language that were begun before;
    what is written here is kept there, however the editor is left."""

    views = (FORM,)
    CSS = """
    MessageEditor { align: center middle; background: $background 60%; }
    #message { width: 100; max-width: 98%; height: 90%; background: $surface; padding: 0 1; }
    #message TextArea { height: 1fr; border: none; background: $background; }
    #message Label { width: 100%; }
    """

    def __init__(self, composed: Composed, drafts: dict[str, str] | None = None) -> None:
        super().__init__()
        self._composed = composed
        self._drafts = {} if drafts is None else drafts
        self._languages = list(dict.fromkeys(text.language for text in composed.texts))
        first = {text.language: text.rendered.text for text in reversed(composed.texts)}
        self._texts = {language: self._drafts.get(language, first[language]) for language in self._languages}
        self._fresh = dict(first)
        self._index = 0

    @property
    def _language(self) -> str:
        return self._languages[self._index]

    def compose(self) -> ComposeResult:
        with Vertical(id="message"):
            yield Label("", id="heading", markup=False)
            yield TextArea(self._texts[self._language], id="text")
            previous = "   ctrl-p  the previous text" if self._composed.previous else ""
            yield Label(f"ctrl-g  preview   ctrl-e  $EDITOR{previous}   esc  leave", markup=False)

    def on_mount(self) -> None:
        area = self.query_one(TextArea)
        area.cursor_blink = False
        self.set_focus(area)
        self._heading()

    def _heading(self) -> None:
        missing = ", ".join(self._composed.missing)
        note = f"   to fill in: {missing}" if missing else ""
        self.query_one("#heading", Label).update(f"{self._composed.kind.value} message ({self._language}){note}")

    def on_key(self, event: events.Key) -> None:
        """The editor's own keys; everything else is text."""
        if event.key == "escape":
            event.stop()
            self._keep()
            self.dismiss(None)
        elif event.key == "ctrl+g":
            event.stop()
            self._next()
        elif event.key == "ctrl+e":
            event.stop()
            self._external()
        elif event.key == "ctrl+p" and self._composed.previous:
            event.stop()
            self.query_one(TextArea).text = self._composed.previous

    def _keep(self) -> None:
        """Remember what was written; a text that is as the template has it follows the facts the next time."""
        text = self._texts[self._language] = self.query_one(TextArea).text
        if text == self._fresh[self._language]:
            self._drafts.pop(self._language, None)
        else:
            self._drafts[self._language] = text

    def _next(self) -> None:
        area = self.query_one(TextArea)
        self._keep()
        if self._index + 1 < len(self._languages):
            self._index += 1
            area.text = self._texts[self._language]
            self._heading()
            return
        self.dismiss({text.channel: self._texts[text.language] for text in self._composed.texts})

    def _external(self) -> None:
        """Edit in $EDITOR, in a file that only this user can read."""
        area = self.query_one(TextArea)
        words = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
        handle, name = tempfile.mkstemp(prefix="planc-message-", suffix=".txt")
        path = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(area.text)
            with self.app.suspend():
                done = subprocess.run([*words, name], check=False)
            if done.returncode == 0:
                area.text = clean_block(path.read_bytes())
            else:
                self.planc.say(f"{clean(words[0])} ended with code {done.returncode}: the text is as before", Tone.WARN)
        except OSError as error:
            self.planc.say(f"{clean(words[0])} does not start: {error.strerror}: set EDITOR", Tone.WARN)
        finally:
            path.unlink(missing_ok=True)


class Preview(LinesScreen):
    """What each channel gets. `sent` is called after the yes."""

    views = (PREVIEW, *LinesScreen.views)

    def __init__(self, composed: Composed, texts: Mapping[str, str], sent: Callable[[], None]) -> None:
        pages = [
            Page(text.name, [(line, Tone.NORMAL) for line in clean_block(texts[text.channel]).split("\n")])
            for text in composed.texts
        ]
        super().__init__(f"{composed.kind.value} message: y sends it, esc leaves", pages, file_name="message")
        self._sent = sent

    def do_preview_send(self, _: str = "") -> None:
        """Queue the message."""
        self.dismiss()
        self._sent()
