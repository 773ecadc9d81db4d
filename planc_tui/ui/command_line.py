"""The `:` command line: `:pod`, `:pod /crash`, `:ns payments`, `:ctx prod`, `:q`.

Invariant: every word is one of the registry's; an unknown one runs nothing and names the nearest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from planc_tui.core.table import Tone
from planc_tui.core.text import clean
from planc_tui.ui.keys import Command, Keymap

if TYPE_CHECKING:
    from planc_tui.ui.app import PlancApp


class CommandTarget(Protocol):
    """What runs the commands: the war room."""

    @property
    def planc(self) -> PlancApp: ...

    def run_command(self, command: Command, argument: str = "") -> None: ...

    def show_message(self, text: str, tone: Tone = Tone.NORMAL) -> None: ...


def parse_line(line: str, keymap: Keymap) -> tuple[Command, str] | str:
    """The command and its argument, or what is wrong in one line."""
    word, _, argument = line.strip().lstrip(":").partition(" ")
    command = keymap.named(word) or keymap.named(word.lower())
    if command is None:
        near = keymap.nearest(word.lower())
        return f"there is no command :{clean(word, 40)}" + (f", did you mean :{near}?" if near else "")
    return command, argument.strip()


def run_line(room: CommandTarget, line: str) -> None:
    """Run what was typed."""
    parsed = parse_line(line, room.planc.keymap)
    if isinstance(parsed, str):
        room.show_message(parsed, Tone.WARN)
        return
    room.run_command(*parsed)


def words(planc: PlancApp) -> list[str]:
    """What the command line suggests."""
    return sorted(planc.keymap.names, key=lambda name: (len(name) < 3, name))
