"""One registry: no key with two meanings, help and command line complete."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planc_tui.actions.registry import load as load_actions
from planc_tui.ui.app import PlancApp
from planc_tui.ui.command_line import parse_line
from planc_tui.ui.keys import COMMANDS, Command, Keymap, KeymapError, action_commands, pane_commands, pane_view
from planc_tui.ui.log_keys import LOG_COMMANDS
from planc_tui.ui.opening import ObjectScreen
from planc_tui.ui.pages import help_rows
from planc_tui.ui.panes.registry import load_panes
from planc_tui.ui.screens.findings import FindingsScreen
from planc_tui.ui.screens.lines_screen import LinesScreen
from planc_tui.ui.screens.room import Room

PANES = load_panes().panes


def everything() -> tuple[Command, ...]:
    own = (*pane_commands(PANES), *action_commands(PANES, load_actions()[0].values()))
    return (*COMMANDS, *LOG_COMMANDS, *own)


def test_no_key_has_two_meanings_in_one_view() -> None:
    assert Keymap(everything()).conflicts() == []


def test_ids_and_words_are_unique() -> None:
    commands = everything()
    ids = [command.id for command in commands]
    words = [name for command in commands for name in command.names]
    assert sorted(set(ids)) == sorted(ids)
    assert sorted(set(words)) == sorted(words)


def methods_of(*kinds: type) -> set[str]:
    return {name.removeprefix("do_") for kind in kinds for name in dir(kind) if name.startswith("do_")}


@pytest.mark.parametrize(
    ("view", "kinds"),
    [("room", (Room,)), ("lines", (LinesScreen, ObjectScreen)), ("findings", (FindingsScreen,))],
)
def test_every_command_can_be_run_where_its_key_works(view: str, kinds: tuple[type, ...]) -> None:
    known = methods_of(*kinds, PlancApp)
    assert [command.id for command in COMMANDS if view in command.views and command.id not in known] == []


@pytest.mark.parametrize("pane", PANES, ids=lambda pane: pane.id)
def test_help_names_every_key_of_this_pane_and_of_every_screen(pane: object) -> None:
    keymap = Keymap(everything())
    view = pane_view(pane.id)  # type: ignore[attr-defined]  # pytest hides the type
    text = "\n".join(line for line, _ in help_rows(keymap, view))
    for command in keymap.commands:
        elsewhere = all(name.startswith("pane:") for name in command.views) and view not in command.views
        if command.keys and not elsewhere:
            assert command.title in text, command


def test_danger_is_never_hidden() -> None:
    text = "\n".join(line for line, _ in help_rows(Keymap(everything()), pane_view("pods")))
    dangerous = [command for command in everything() if command.danger and pane_view("pods") in command.views]
    assert dangerous
    assert all(f"{command.title}  (asks first)" in text for command in dangerous)


def test_every_key_of_the_registry_may_be_written_in_the_file() -> None:
    written = {command.id: list(command.keys) for command in everything() if command.keys}
    assert [c.keys for c in Keymap(everything(), written).commands] == [c.keys for c in everything()]


def test_a_pane_may_not_take_a_key_of_the_room_by_rebinding() -> None:
    with pytest.raises(KeymapError, match="would mean both"):
        Keymap(everything(), {"pods.sort.cpu": "z"})


@pytest.mark.parametrize(("written", "key"), [("ctrl-k", "ctrl+k"), ("Shift-G", "G"), ("esc", "escape"), (5, "5")])
def test_keys_may_be_written_as_people_write_them(written: object, key: str) -> None:
    keymap = Keymap((Command("one", "one"),), {"one": written})
    assert keymap.get("one").keys == (key,)


def test_command_line_understands_and_names_the_nearest() -> None:
    keymap = Keymap(everything())
    assert parse_line("pod /crash", keymap) == (keymap.get("pane.pods"), "/crash")
    assert parse_line(":q", keymap) == (keymap.get("quit"), "")
    assert parse_line("conetxt", keymap) == "there is no command :conetxt, did you mean :context?"


@given(st.text(max_size=60))
def test_any_line_is_a_command_or_a_sentence(line: str) -> None:
    parsed = parse_line(line, Keymap(COMMANDS))
    assert isinstance(parsed, str) or parsed[0].id
