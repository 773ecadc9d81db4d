"""Asks for the values of an action before its card is made.

Invariant: nothing is sent from here; what is typed is checked by the action's plan, and kept when it has to be mended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Input, Label

from planc_tui.actions.base import Param
from planc_tui.core.text import clean
from planc_tui.ui.keys import FORM
from planc_tui.ui.screens.base import PlancDialog


class Form(PlancDialog[Mapping[str, str] | None]):
    """One line per value; Enter goes on, and on the last line leads to the card."""

    views = (FORM,)
    CSS = """
    Form { align: center middle; background: $background 60%; }
    #form { width: 80; max-width: 96%; height: auto; max-height: 90%; background: $surface; padding: 1 2; }
    #form Label { width: 100%; color: $foreground; }
    #form Input { height: 1; border: none; background: $background; margin-bottom: 1; }
    #form Input:focus { border: none; }
    #form .title { text-style: bold; margin-bottom: 1; }
    """

    def __init__(
        self,
        title: str,
        params: Sequence[Param],
        values: Mapping[str, str],
        leads: str = "next, then the card",
        banner: Sequence[str] = (),
    ) -> None:
        """banner: lines between title and values, such as a number to call."""
        super().__init__()
        self._banner = tuple(banner)
        self._heading = title
        self._params = tuple(params)
        self._values = values
        self._leads = leads

    def compose(self) -> ComposeResult:
        with Vertical(id="form"):
            yield Label(clean(self._heading), classes="title", markup=False)
            if self._banner:
                yield Label("\n".join(self._banner), classes="title", markup=False)
            for param in self._params:
                yield Label(_label(param), markup=False)
                field = Input(self._values.get(param.id, param.default), id=f"param-{param.id}", compact=True)
                field.cursor_blink = False
                yield field
            yield Label(f"enter  {self._leads}        esc  leave", markup=False)

    def on_mount(self) -> None:
        self.set_focus(self.query(Input).first())

    def on_key(self, event: events.Key) -> None:
        """Escape leaves; tab and arrows move between the lines."""
        if event.key in ("escape", "ctrl+c"):
            event.stop()
            self.dismiss(None)
        elif event.key in ("tab", "down"):
            event.stop()
            event.prevent_default()
            self.focus_next()
        elif event.key in ("shift+tab", "up"):
            event.stop()
            event.prevent_default()
            self.focus_previous()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The last line leads on."""
        event.stop()
        fields = list(self.query(Input))
        if event.input is not fields[-1]:
            self.focus_next()
            return
        self.dismiss({param.id: field.value for param, field in zip(self._params, fields, strict=True)})


def _label(param: Param) -> str:
    choices = f" ({', '.join(choice for choice in param.choices if choice)})" if any(param.choices) else ""
    note = f"   {param.help}" if param.help else ""
    return f"{param.title}{choices}{note}"
