"""The registry of everything a key or a `:` command can do in the console.

Invariant: help, footer, palette, command line and the rebindable keymap all derive from these commands, and a key has
one meaning in any one view.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from planc_tui.actions.base import Action
from planc_tui.core.text import clean
from planc_tui.ui.panes.base import Pane

ROOM = "room"  # the war room, whichever pane has the focus
LINES = "lines"  # a screen that shows lines: details, help, statistics
PICKER = "picker"  # a list to choose from
CARD = "card"  # the confirm card
FORM = "form"  # values of an action
PROCEDURE = "procedure"  # the checklist beside the panes
INCIDENT = "incident"  # the incident
PREVIEW = "preview"  # a message before it is sent
RUNS = "runs"  # actions under way and over
FINDINGS = "findings"  # everything that is wrong now
LOGS = "logs"  # the log of a pod

# What help calls the keys of each view that is not the war room.
VIEW_TITLES: Mapping[str, str] = {
    LINES: "Details and other texts",
    LOGS: "Logs",
    FINDINGS: "Findings",
    PROCEDURE: "Checklist of a procedure",
    CARD: "Card that asks before an action",
    FORM: "Values of an action",
    RUNS: "Actions under way and over",
    INCIDENT: "The incident",
    PREVIEW: "A message before it is sent",
    PICKER: "A list to choose from",
}

GROUPS = ("Move", "Look", "Table", "Pods", "Logs", "Act", "Incident", "planc", "Panes", "This pane")


class KeymapError(ValueError):
    """The `keys:` section cannot be used; the text says which entry and why."""


class Command(Struct, frozen=True):
    """Something a person can ask for.

    keys: as typed ("?", "G", "ctrl+s", "shift+tab"). views: where the keys work. names: words of the command line.
    hint: what the footer says, "" to stay out of it. danger: it changes something, and asks before it does.
    """

    id: str
    title: str
    keys: tuple[str, ...] = ()
    views: tuple[str, ...] = (ROOM,)
    group: str = "planc"
    names: tuple[str, ...] = ()
    hint: str = ""
    danger: bool = False


_BOTH = (ROOM, LINES)
_ALL = (ROOM, LINES, PICKER)

COMMANDS: tuple[Command, ...] = (
    Command("up", "up one row", ("up", "k"), _ALL, "Move"),
    Command("down", "down one row", ("down", "j"), _ALL, "Move"),
    Command("page_up", "up one page", ("pageup", "ctrl+b"), _ALL, "Move"),
    Command("page_down", "down one page", ("pagedown", "ctrl+f"), _ALL, "Move"),
    Command("top", "first row", ("home", "g"), _ALL, "Move"),
    Command("bottom", "last row", ("end", "G"), _ALL, "Move"),
    Command("next_pane", "next pane", ("tab",), (ROOM,), "Move"),
    Command("previous_pane", "previous pane", ("shift+tab",), (ROOM,), "Move"),
    Command("pane_left", "pane to the left", ("left", "ctrl+left", "alt+left"), (ROOM,), "Move"),
    Command("pane_right", "pane to the right", ("right", "ctrl+right", "alt+right"), (ROOM,), "Move"),
    Command("pane_up", "pane above", ("ctrl+up", "alt+up"), (ROOM,), "Move"),
    Command("pane_down", "pane below", ("ctrl+down", "alt+down"), (ROOM,), "Move"),
    Command("last_pane", "the pane before this one", ("-",), (ROOM,), "Move"),
    Command("history_back", "back in the panes visited", ("[",), (ROOM,), "Move"),
    Command("history_forward", "forward in the panes visited", ("]",), (ROOM,), "Move"),
    Command("open", "open what is under the cursor", ("enter",), (ROOM,), "Look", hint="open"),
    Command("next_tab", "next tab", ("tab", "right"), (LINES,), "Look", hint="next tab"),
    Command("previous_tab", "previous tab", ("shift+tab", "left"), (LINES,), "Look"),
    Command("describe", "open what is under the cursor", ("d",), (ROOM,), "Look"),
    Command("yaml", "YAML of the object", ("y",), (ROOM,), "Look", hint="YAML"),
    Command("managed_fields", "show or hide managed fields", ("m",), (LINES,), "Look"),
    Command("logs", "logs of the pod", ("l",), _BOTH, "Pods", hint="logs"),
    Command("previous_logs", "logs of the container before its last restart", ("P",), _BOTH, "Pods"),
    Command("zoom", "one pane on the whole screen, and back", ("z",), (ROOM,), "Look", ("zoom",), hint="zoom"),
    Command("findings", "everything that is wrong now", ("f",), (ROOM,), "Look", ("findings",), hint="findings"),
    Command("filter", "filter this pane", ("/",), _BOTH, "Table", hint="filter"),
    Command("next_match", "next line that matches", ("n",), (LINES,), "Table"),
    Command("previous_match", "previous line that matches", ("N",), (LINES,), "Table"),
    Command("mark", "mark the row", ("space",), (ROOM,), "Table"),
    Command("clear_marks", "take all marks away", ("ctrl+backslash",), (ROOM,), "Table", ("unmark",)),
    Command("sort_left", "sort by the column to the left", ("shift+left",), (ROOM,), "Table"),
    Command("sort_right", "sort by the column to the right", ("shift+right",), (ROOM,), "Table"),
    Command("sort_flip", "turn the order round", ("shift+up", "shift+down"), (ROOM,), "Table", ("flip",)),
    Command("sort_own", "the pane's own order: worst first", (), (ROOM,), "Table", ("unsort",)),
    Command("faults", "only rows that are in trouble, and back", ("ctrl+z",), (ROOM,), "Table", ("faults",)),
    Command("pause", "stop and go on: a paused pane stands still", ("p",), (ROOM,), "Table", ("pause",)),
    Command("copy", "copy the name, or the text shown", ("c",), _BOTH, "Table", ("copy",)),
    Command("save", "save the pane to a file", ("ctrl+s",), _BOTH, "Table", ("save", "w")),
    Command("command", "command line", (":",), _BOTH, "planc", hint="command"),
    Command("help", "this help", ("?",), _BOTH, "planc", ("help", "h"), hint="help"),
    Command("aliases", "every word of the command line", ("ctrl+a",), (ROOM,), "planc", ("alias", "a")),
    Command("ctx", "choose a context", (), (ROOM,), "planc", ("ctx", "context")),
    Command("ns", "choose a namespace", (), (ROOM,), "planc", ("ns", "namespace")),
    Command("stats", "requests that planc sends", (), (ROOM,), "planc", ("stats",)),
    Command("refresh", "try every source now and draw again", ("ctrl+r",), _BOTH, "planc", ("refresh",)),
    Command("back", "back; at the top, nothing", ("escape", "q"), _ALL, "planc", hint="back"),
    Command("choose", "choose", ("enter",), (PICKER,), "Look", hint="choose"),
    Command("open_finding", "open the procedure of the finding", ("enter", "o"), (FINDINGS,), "Look", hint="procedure"),
    Command("interrupt", "how to quit", ("ctrl+c",), _ALL, "planc"),
    Command("actions", "what can be done about this row", ("a",), (ROOM,), "Act", ("actions",), hint="act"),
    Command("incident", "the incident, or declare one", ("I",), (ROOM,), "Incident", ("incident",), hint="incident"),
    Command("declare", "declare an incident", (), (ROOM,), "Incident", ("declare",)),
    Command("suspect", "declare a suspected incident: nobody is paged yet", (), (ROOM,), "Incident", ("suspect",)),
    Command("drill", "declare an exercise", (), (ROOM,), "Incident", ("drill",)),
    Command(
        "take_up", "acknowledge the incident, or declare one from the alert", ("ctrl+k",), (ROOM,), "Incident", ("ack",)
    ),
    Command("inc_ack", "acknowledge", ("a",), (INCIDENT,), "Incident", hint="ack"),
    Command("inc_message", "write the message that is due", ("m",), (INCIDENT,), "Incident", hint="message"),
    Command("inc_note", "note", ("w",), (INCIDENT,), "Incident", hint="write note"),
    Command("inc_decision", "decision", ("D",), (INCIDENT,), "Incident"),
    Command("inc_hypothesis", "hypothesis", ("H",), (INCIDENT,), "Incident"),
    Command("inc_todo", "to do", ("t",), (INCIDENT,), "Incident", hint="to do"),
    Command("inc_done", "a to-do is done", ("d",), (INCIDENT,), "Incident"),
    Command("inc_correct", "correct an entry", ("K",), (INCIDENT,), "Incident"),
    Command("inc_escalate", "escalate now", ("e",), (INCIDENT,), "Incident", hint="escalate"),
    Command("inc_page", "page somebody", ("p",), (INCIDENT,), "Incident"),
    Command("inc_reached", "write down who answered the call, or pass a text on", ("o",), (INCIDENT,), "Incident"),
    Command("inc_unack", "take the acknowledgement back", ("u",), (INCIDENT,), "Incident"),
    Command("inc_snooze", "snooze the paging", ("z",), (INCIDENT,), "Incident"),
    Command("inc_severity", "change the severity", ("s",), (INCIDENT,), "Incident", hint="severity"),
    Command("inc_role", "take or hand over a role", ("r",), (INCIDENT,), "Incident", hint="role"),
    Command("inc_fact", "write down a fact for messages and post-mortem", ("F",), (INCIDENT,), "Incident"),
    Command("inc_confirm", "confirm a suspected incident", ("y",), (INCIDENT,), "Incident"),
    Command("inc_mitigate", "mitigated: the harm has stopped", ("M",), (INCIDENT,), "Incident"),
    Command("inc_resolve", "resolve", ("R",), (INCIDENT,), "Incident", hint="resolve"),
    Command("inc_reopen", "reopen", ("O",), (INCIDENT,), "Incident"),
    Command("inc_review", "begin the review", ("V",), (INCIDENT,), "Incident"),
    Command("inc_tick", "tick a point of the checklist", ("x",), (INCIDENT,), "Incident", hint="tick"),
    Command("inc_close", "close", ("C",), (INCIDENT,), "Incident"),
    Command("inc_cancel", "cancel: a false alarm", ("X",), (INCIDENT,), "Incident"),
    Command("inc_export", "write the post-mortem", ("E",), (INCIDENT,), "Incident", hint="export"),
    Command("preview_send", "send it", ("y",), (PREVIEW,), "Incident", hint="send"),
    Command("runs", "actions under way and over", ("ctrl+t",), (ROOM,), "Act", ("runs", "tray")),
    Command("procedures", "procedures as checklists", ("o",), (ROOM,), "Act", ("procedure", "do"), hint="procedures"),
    Command("step_up", "step above", ("up", "k"), (PROCEDURE,), "Move"),
    Command("step_down", "step below", ("down", "j"), (PROCEDURE,), "Move"),
    Command("step_run", "do this step", ("enter",), (PROCEDURE,), "Act", hint="do the step"),
    Command("step_skip", "leave this step out, or take it up again", ("space",), (PROCEDURE,), "Act", hint="leave out"),
    Command("step_again", "begin the procedure anew", ("A",), (PROCEDURE,), "Act", hint="anew"),
    Command("step_panes", "to the panes and back", ("tab", "shift+tab"), (PROCEDURE,), "Move", hint="panes"),
    Command("step_close", "close; it can be gone on with", ("escape", "q"), (PROCEDURE,), "Act", hint="close"),
    *(Command(f"step_{n}", f"do step {n}", (str(n),), (PROCEDURE,), "Act") for n in range(1, 10)),
    Command("arm", "allow changes for ten minutes, or forbid them", ("!",), (ROOM,), "Act", ("arm", "disarm")),
    Command("card_go", "do it", ("y",), (CARD,), "Act"),
    Command("card_edit", "change the values", ("e",), (CARD,), "Act"),
    Command("card_offer", "do what is offered instead", ("o",), (CARD,), "Act"),
    Command("card_up", "up", ("up", "k"), (CARD,), "Move"),
    Command("card_down", "down", ("down", "j"), (CARD,), "Move"),
    Command("card_cancel", "leave without doing anything", ("escape", "enter", "q", "n", "ctrl+c"), (CARD,), "Act"),
    Command("run_undo", "undo what the run did", ("u",), (RUNS,), "Act", hint="undo"),
    Command("run_verify", "look at what became of it", ("v",), (RUNS,), "Act", hint="verify"),
    Command("run_cancel", "stop the run", ("x",), (RUNS,), "Act", hint="stop"),
    Command("run_open", "what the run read", ("enter",), (RUNS,), "Act"),
    Command("quit", "quit planc", (), (ROOM,), "planc", ("q", "quit", "exit", "q!", "qa", "Q")),
)


def pane_view(pane_id: str) -> str:
    """Name of the view in which the keys of one pane work."""
    return f"pane:{pane_id}"


def pane_commands(panes: Iterable[Pane[Any]]) -> list[Command]:
    """The jump, the sort keys and the switches of every pane."""
    commands: list[Command] = []
    for pane in panes:
        keys = (pane.number,) if pane.number else ()
        names = tuple(dict.fromkeys((*pane.aliases, pane.id)))
        commands.append(Command(f"pane.{pane.id}", pane.title, keys, (ROOM,), "Panes", names))
        view = (pane_view(pane.id),)
        titles = {column.id: column.title for column in pane.columns}
        for key, column in pane.sort_keys.items():
            title = f"sort by {titles.get(column, column).lower()}"
            commands.append(Command(f"{pane.id}.sort.{column}", title, (key,), view, "This pane"))
        commands.extend(
            Command(f"{pane.id}.option.{option.id}", option.title, (option.key,), view, "This pane")
            for option in pane.options
        )
    return commands


def action_commands(panes: Iterable[Pane[Any]], actions: Iterable[Action]) -> list[Command]:
    """Every action as a word of the command line, and by its key in the panes whose rows it is for."""
    commands: list[Command] = []
    for action in actions:
        commands.append(Command(f"act.{action.id}", action.title, (), (ROOM,), "Act", (action.id,), danger=True))
        for pane in panes:
            if action.key and set(pane.kinds) & set(action.kinds):
                view = (pane_view(pane.id),)
                name = f"{pane.id}.act.{action.id}"
                commands.append(Command(name, action.title, (action.key,), view, "This pane", danger=True))
    return commands


class Keymap:
    """Commands by id, by view and key, and by word. Raises KeymapError for a rebinding that cannot be used."""

    def __init__(self, commands: Sequence[Command], rebound: Mapping[str, object] | None = None) -> None:
        known = {command.id: command for command in commands}
        for command_id, value in (rebound or {}).items():
            name = _known(command_id, known)
            known[name] = replace(known[name], keys=_keys(command_id, value))
        self.commands: tuple[Command, ...] = tuple(known.values())
        self._by_id = known
        self._by_key: dict[tuple[str, str], Command] = {}
        for command in self.commands:
            for view in command.views:
                for key in command.keys:
                    self._bind(view, key, command)
        self._names = {name: command for command in self.commands for name in command.names}
        if rebound and (conflicts := self.conflicts()):
            raise KeymapError(f"keys: {conflicts[0]}: give one another key")
        if rebound and "quit" in known and not (known["quit"].keys or known["command"].keys):
            raise KeymapError("keys: without a key for command or for quit nobody could leave planc: give one a key")

    def _bind(self, view: str, key: str, command: Command) -> None:
        other = self._by_key.setdefault((view, key), command)
        if other is not command:
            raise KeymapError(f"{show_key(key)} would mean both {other.id} and {command.id}: give one another key")

    def get(self, command_id: str) -> Command:
        """The command of that id."""
        return self._by_id[command_id]

    def find(self, views: Sequence[str], key: str) -> Command | None:
        """What `key` means in the first of `views` that knows it."""
        return next((found for view in views if (found := self._by_key.get((view, key)))), None)

    def named(self, word: str) -> Command | None:
        """The command that the command line calls `word`."""
        return self._names.get(word)

    @property
    def names(self) -> tuple[str, ...]:
        """Every word of the command line."""
        return tuple(self._names)

    def nearest(self, word: str) -> str:
        """The word of the command line that looks most like `word`, or ""."""
        close = difflib.get_close_matches(word, self._names, 1, 0.5)
        return close[0] if close else ""

    def conflicts(self) -> list[str]:
        """Keys with two meanings where a pane's own keys meet those of the room."""
        return [
            f"{show_key(key)} would mean both {command.id} and {self._by_key[ROOM, key].id}"
            for (view, key), command in self._by_key.items()
            if view.startswith("pane:") and (ROOM, key) in self._by_key
        ]

    def hints(self, views: Sequence[str]) -> list[Command]:
        """What the footer shows, in the registry's order."""
        return [c for c in self.commands if c.hint and c.keys and any(view in c.views for view in views)]


def _known(command_id: str, known: Mapping[str, Command]) -> str:
    if command_id in known:
        return command_id
    close = difflib.get_close_matches(command_id, known, 1, 0.0)
    raise KeymapError(f"keys: there is no command {command_id!r}; the nearest is {close[0]!r}")


def _keys(command_id: str, value: object) -> tuple[str, ...]:
    """Keys from the file: one, a list, or nothing to unbind."""
    given = [value] if isinstance(value, str | int) else value or []
    if not isinstance(given, list) or not all(isinstance(key, str | int) and str(key) for key in given):
        if value == "":
            return ()
        raise KeymapError(f"keys: {command_id} needs a key, a list of keys, or nothing")
    keys = tuple(_normal(str(key)) for key in given)
    for written, key in zip(given, keys, strict=True):
        if not _exists(key):
            raise KeymapError(
                f"keys: {command_id}: there is no key {clean(str(written), 30)!r}: "
                "write the character itself, or one such as f5, ctrl-k, shift-left, pagedown"
            )
    return keys


def _exists(key: str) -> bool:
    """Whether a terminal can send such a key.

    >>> _exists("F"), _exists("ctrl+k"), _exists("shift+f5"), _exists("slash"), _exists("ctrl+hyper+x")
    (True, True, True, False, False)
    """
    *modifiers, last = key.split("+") if len(key) > 1 else [key]
    if len(set(modifiers)) != len(modifiers) or not set(modifiers) <= {"ctrl", "shift", "alt"}:
        return False
    return last in _NAMED or (len(last) == 1 and last.isprintable() and last != " ")


def _normal(key: str) -> str:
    """Accept `ctrl-k`, `shift-g` and `esc` as well as the names used here."""
    if len(key) == 1:
        return key
    parts = [part for part in key.replace("-", "+").lower().split("+") if part]
    parts = [{"control": "ctrl", "esc": "escape", "return": "enter"}.get(part, part) for part in parts]
    if len(parts) == 2 and parts[0] == "shift" and len(parts[1]) == 1:
        return parts[1].upper()
    return "+".join(parts)


_NAMED = frozenset(
    ("up", "down", "left", "right", "home", "end", "pageup", "pagedown", "insert", "delete", "backspace", "tab")
) | {"enter", "escape", "space", "backslash", *(f"f{number}" for number in range(1, 25))}
_SHOWN = {
    "escape": "esc", "space": "space", "pageup": "pgup", "pagedown": "pgdn", "ctrl+backslash": "ctrl-\\",
    "up": "↑", "down": "↓", "left": "←", "right": "→",
}  # fmt: skip  # rows as a person reads them


def show_key(key: str) -> str:
    """A key as people write it.

    >>> show_key("ctrl+s"), show_key("shift+left"), show_key("G")
    ('ctrl-s', 'shift-←', 'G')
    """
    if key in _SHOWN:
        return _SHOWN[key]
    if len(key) == 1:
        return key
    *modifiers, last = key.split("+")
    return "-".join([*modifiers, _SHOWN.get(last, last)])
