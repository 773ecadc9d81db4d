"""Keys of the log screen: those that fingers know from k9s.

Invariant: a key here means the same as there, except that standing still never loses a line.
"""

from __future__ import annotations

from planc_tui.ui.keys import LOGS, Command

GROUP = "Logs"


def _command(name: str, title: str, *keys: str, hint: str = "") -> Command:
    return Command(f"log.{name}", title, keys, (LOGS,), GROUP, hint=hint)


LOG_COMMANDS: tuple[Command, ...] = (
    _command("still", "stand still and go on; lines that come meanwhile are counted", "s", "p", hint="stand still"),
    _command("tail", "the last 1,000 lines", "0"),
    _command("head", "the start of the log", "1"),
    _command("1m", "the last minute", "2"),
    _command("5m", "the last 5 minutes", "3"),
    _command("15m", "the last 15 minutes", "4"),
    _command("30m", "the last 30 minutes", "5"),
    _command("1h", "the last hour", "6"),
    _command("wrap", "break long lines, or cut them", "w", hint="wrap"),
    _command("stamps", "show or hide the time of each line", "t", hint="times"),
    _command("full", "lines only, on the whole screen", "f"),
    _command("mark", "draw a line under what came so far", "m", hint="mark"),
    _command("clear", "clear the screen; the log itself stays", "C"),
    _command("containers", "all containers, or one after the other", "a", hint="containers"),
    _command("highlight", "keep the lines around those that match", "x"),
    _command("left", "see what is to the left", "left"),
    _command("right", "see what is to the right", "right"),
)
