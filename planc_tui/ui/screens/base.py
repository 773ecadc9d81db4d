"""What every screen of planc has in common: keys come from the keymap, nothing is bound anywhere else.

Invariant: a key that the keymap does not know in this view does nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar, cast

from textual import events
from textual.screen import ModalScreen, Screen
from textual.widgets import Input

from planc_tui.core.table import Tone
from planc_tui.ui.keys import LINES, Command
from planc_tui.ui.widgets.prompt import Prompt

if TYPE_CHECKING:
    from planc_tui.ui.app import PlancApp

log = logging.getLogger(__name__)
R = TypeVar("R")


def key_name(event: events.Key) -> str:
    """A key as the keymap writes it: the character itself where there is one."""
    if event.is_printable and event.character and event.character != " ":
        return event.character
    return event.key


class KeyMixin:
    """Runs the commands of a screen. `views`: where its keys are looked up, in order."""

    views: tuple[str, ...] = (LINES,)

    @property
    def planc(self) -> PlancApp:
        """The application this screen belongs to."""
        return cast("PlancApp", self.app)  # type: ignore[attr-defined]  # a mixin of Screen

    def key_views(self) -> tuple[str, ...]:
        """Views of this moment."""
        return self.views

    def on_key(self, event: events.Key) -> None:
        """Look the key up and run what it means."""
        focused = self.planc.focused
        if isinstance(focused, Input):
            # Keys typed before the prompt had the focus are still on their way to where it was.
            if isinstance(focused, Prompt) and focused.typed_ahead(event):
                event.stop()
                event.prevent_default()
            return
        command = self.planc.keymap.find(self.key_views(), key_name(event))
        if command is not None:
            event.stop()
            event.prevent_default()
            self.run_command(command)

    def run_command(self, command: Command, argument: str = "") -> None:
        """Run a command of the registry; what goes wrong in it is logged and said."""
        try:
            self.handle(command, argument)
        except Exception:
            log.exception("command %s failed", command.id)
            self.planc.say(f"planc: {command.title} failed (logged)", Tone.WARN)

    def handle(self, command: Command, argument: str) -> None:
        """Do it: the method `do_ID` of the screen, or else of the application."""
        name = "do_" + command.id.replace(".", "_")
        handler = getattr(self, name, None) or getattr(self.planc, name, None)
        if handler is None:
            self.planc.say(f"{command.title}: not here", Tone.DIM)
            return
        handler(argument)


class PlancScreen(KeyMixin, Screen[None], inherit_bindings=False):
    """A full screen: lines from top to bottom; the prompt lies over the last one."""

    DEFAULT_CSS = "PlancScreen { layers: base top; layout: vertical; }"

    AUTO_FOCUS = None


class PlancDialog(KeyMixin, ModalScreen[R], inherit_bindings=False):
    """A small window over the war room, which stays live behind it."""
