"""The console: connects, wakes the screen when the store changed, and ends cleanly.

Invariant: the UI thread waits for nothing. Connecting, requests and closing happen on daemon threads; what they bring
is handed over through the event loop, and is dropped when it belongs to a session that is no longer shown.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeVar

from msgspec import Struct, field
from textual.app import App, SystemCommand
from textual.screen import Screen

from planc_tui.actions.registry import load as load_actions
from planc_tui.core.clock import Clock, SystemClock
from planc_tui.core.osc52 import TooLong, clipboard_sequence
from planc_tui.core.ports import PortError, Unreachable
from planc_tui.core.store import Store, Topic
from planc_tui.core.table import Tone
from planc_tui.ui import theme
from planc_tui.ui.keys import COMMANDS, Keymap, action_commands, pane_commands
from planc_tui.ui.log_file import log_path
from planc_tui.ui.log_keys import LOG_COMMANDS
from planc_tui.ui.output import csv_text, output_folder, save
from planc_tui.ui.panes.base import Pane, View
from planc_tui.ui.panes.registry import load_panes
from planc_tui.ui.screens.room import Room
from planc_tui.ui.session import Connector, Session
from planc_tui.ui.terminal import is_gone

log = logging.getLogger(__name__)
R = TypeVar("R")

FLUSH = 0.25  # seconds between two paintings of changed data
TICK = 1.0
AGES = 10.0
MESSAGE_FOR = 6.0


class ConsoleOptions(Struct, frozen=True):
    """context, namespace: where to begin; None means the current ones. read_only: forced, whatever the environment
    says. keys: the `keys:` section of the configuration. warnings: lines to say once the console is open."""

    context: str | None = None
    namespace: str | None = None
    read_only: bool = False
    keys: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class PlancApp(App[int], inherit_bindings=False):
    """The war room. Raises KeymapError when `options.keys` cannot be used."""

    TITLE = "planc"
    CSS = "Toast { background: $surface; }"
    ESCAPE_TO_MINIMIZE = False

    def __init__(
        self,
        connector: Connector,
        options: ConsoleOptions | None = None,
        *,
        clock: Clock | None = None,
        panes: Iterable[Pane[Any]] | None = None,
    ) -> None:
        # NO_COLOR is honoured only with the terminal's own colours; with RGB it would become shades of grey.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.options = options or ConsoleOptions()
        self.connector = connector
        self.clock = clock or SystemClock()
        registry = load_panes()
        self.panes = tuple(registry.panes if panes is None else panes)
        self.broken_panes = registry.broken if panes is None else ()
        own = (*pane_commands(self.panes), *action_commands(self.panes, load_actions()[0].values()))
        self.keymap = Keymap((*COMMANDS, *LOG_COMMANDS, *own), self.options.keys)
        self.store = Store()
        self.session: Session | None = None
        self.trouble = ""
        self._generation = 0
        self._ui_context: contextvars.Context | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._planned: asyncio.TimerHandle | None = None
        self._next_flush = 0.0
        self.register_theme(theme.THEME)
        self.theme = theme.THEME.name

    # --- start and end ---------------------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[Any]:
        return Room()

    def on_mount(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ui_context = contextvars.copy_context()
        for number, code in ((signal.SIGTERM, 143), (signal.SIGHUP, 129)):
            try:
                self._loop.add_signal_handler(number, self._end, code)
            except (ValueError, RuntimeError, NotImplementedError):  # another thread, or a system without them
                log.info("signal %s keeps its default: not the main thread", number)
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        """After the first frame: connect, and let time pass."""
        self.set_interval(TICK, self._tick)
        self.set_interval(AGES, self._ages)
        if not self.is_headless:
            self.set_interval(TICK, self._listen)
        for module, why in self.broken_panes:
            self.say(f"pane {module} does not load: {why}", Tone.WARN)
        for warning in self.options.warnings:
            self.say(warning, Tone.WARN)
        self.connect(self.options.context, self.options.namespace)

    def _listen(self) -> None:
        """Nobody sees a console whose terminal is gone: it must not go on asking the cluster."""
        if is_gone(sys.__stdin__.fileno() if sys.__stdin__ else 0):
            self._end(129)

    def _end(self, code: int) -> None:
        self.close_session()
        self.exit(code, return_code=code)

    def _handle_exception(self, error: Exception) -> None:
        """A mistake in planc itself: restore the terminal, say one line, keep the details in the log.

        Textual would print every local variable, and one of them may be a secret."""
        if self.is_headless:
            super()._handle_exception(error)
            return
        log.critical("the console failed", exc_info=error)
        self._return_code = 1
        where = log_path(os.environ)
        self.panic(f"planc failed ({type(error).__name__}) and has ended; nothing was changed by that. See {where}")

    def do_quit(self, _argument: str = "") -> None:
        """Leave at once; whatever still runs is a daemon thread."""
        self._end(0)

    def do_interrupt(self, _argument: str = "") -> None:
        """ctrl-c is pressed by habit: it must not close a war room."""
        self.say("ctrl-c does not quit planc: type :q and enter")

    # --- sessions ----------------------------------------------------------------------------------------------

    def connect(self, context: str | None, namespace: str | None) -> None:
        """Open a session for a context in place of the present one."""
        self._generation += 1
        generation = self._generation
        self.close_session()
        self.store = store = Store()
        self.trouble = ""
        self.room.session_changed()

        def opened(result: Session | PortError) -> None:
            if isinstance(result, PortError):
                if generation == self._generation:
                    self._not_connected(result)
            elif generation == self._generation:
                self._connected(result, store)
            else:
                self._close(result)

        self.off_thread(lambda: self.connector.connect(store, context, namespace), opened, "connect")

    def _connected(self, session: Session, store: Store) -> None:
        self.session = session
        store.set_on_dirty(self._wake)
        self.room.session_changed()

    def _not_connected(self, error: PortError) -> None:
        self.trouble = f"not connected: {error.message}" + (f" ({error.hint})" if error.hint else "")
        self.room.session_changed()

    def close_session(self) -> None:
        """End the present session, if any, without waiting for it."""
        session, self.session = self.session, None
        self.store.set_on_dirty(None)
        if session is not None:
            self._close(session)

    @staticmethod
    def _close(session: Session) -> None:
        threading.Thread(target=session.close, name="close-session", daemon=True).start()

    def off_thread(self, work: Callable[[], R], done: Callable[[R | PortError], None], name: str = "request") -> None:
        """Run `work` on a daemon thread and hand its result, or the PortError it raised, to `done` on the UI thread."""

        def run() -> None:
            result: R | PortError
            try:
                result = work()
            except PortError as error:
                result = error
            except Exception as error:
                log.exception("%s failed", name)
                result = Unreachable(f"planc could not do this ({type(error).__name__}, logged)")
            self.hand_over(lambda: done(result))

        threading.Thread(target=run, name=f"ui-{name}", daemon=True).start()

    def hand_over(self, callback: Callable[[], None]) -> None:
        """Run `callback` on the UI thread soon; callable from any thread, harmless after the end."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return
        try:
            loop.call_soon_threadsafe(self._guarded, callback, context=self._ui_context)
        except RuntimeError:
            log.debug("the console has ended")

    def _guarded(self, callback: Callable[[], None]) -> None:
        if not self._exit:
            try:
                callback()
            except Exception:
                log.exception("a callback of the console failed")

    # --- data to the screen -----------------------------------------------------------------------------------

    def _wake(self, first: bool) -> None:
        """Called by the store from a source's thread."""
        self.hand_over(partial(self._plan_flush, first))

    def _plan_flush(self, at_once: bool = False) -> None:
        if self._loop is None or (self._planned is not None and not at_once):
            return
        if self._planned is not None:
            self._planned.cancel()
        due = 0.0 if at_once else self._next_flush
        self._planned = self._loop.call_at(due, self._guarded, self._flush_store, context=self._ui_context)

    def flush_soon(self, seconds: float) -> None:
        """Look at the store again in so many seconds, although nothing more may change."""
        if self._loop is not None:
            self._loop.call_later(seconds, self._guarded, self._plan_flush, context=self._ui_context)

    def _flush_store(self) -> None:
        self._planned = None
        assert self._loop is not None
        self._next_flush = self._loop.time() + FLUSH
        names = self.store.drain()
        if names or self.room.waiting:
            self.room.topics_changed(names)

    def _tick(self) -> None:
        self._guarded(self.room.tick)

    def _ages(self) -> None:
        self._guarded(self.room.ages)

    def view_for(self, topics: Iterable[Topic[Any]], options: Mapping[str, bool] | None = None) -> View | None:
        """Readings for a pane; None while there is no session."""
        session = self.session
        if session is None:
            return None
        return View(
            readings={topic.name: self.store.get(topic) for topic in topics},
            now=self.clock.now(),
            monotonic=self.clock.monotonic(),
            playbook=session.playbook,
            namespace=session.identity.namespace,
            context=session.identity.context,
            options=options or {},
        )

    # --- talking to people ------------------------------------------------------------------------------------

    @property
    def room(self) -> Room:
        """The war room, which is always the lowest screen."""
        room = self.screen_stack[0]
        assert isinstance(room, Room)
        return room

    def back_to_room(self) -> None:
        """Close every screen over the war room."""
        while len(self.screen_stack) > 1:
            self.pop_screen()

    def say(self, text: str, tone: Tone = Tone.NORMAL) -> None:
        """Show one line for a few seconds, on whatever screen is shown."""
        say = getattr(self.screen, "show_message", None) or self.room.show_message
        say(text, tone)

    def copy(self, text: str, what: str = "the text") -> None:
        """Put text into the clipboard of the terminal, and say so. what: what it is in few words."""
        try:
            sequence = clipboard_sequence(text, os.environ)
        except TooLong as error:
            self.say(str(error), Tone.WARN)
            return
        if self._driver is not None:
            self._driver.write(sequence)
            self._driver.flush()
        self.say(f"copied {what}, if this terminal allows it (OSC 52)")

    def save_csv(self, name: str, headings: list[str], rows: list[list[str]]) -> None:
        """Write a table to a new file and say where."""
        self.save_text(name, csv_text(headings, rows), "csv")

    def save_text(self, name: str, text: str, suffix: str = "txt") -> None:
        """Write text to a new file and say where."""
        safe = "".join(char if char.isalnum() or char in "-_." else "_" for char in name)[:80]
        try:
            path = save(output_folder(os.environ), safe, suffix, text, self.clock.now())
        except OSError as error:
            self.say(f"not saved: {error.strerror or error}", Tone.WARN)
            return
        self.say(f"saved as {path}")

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        for command in self.keymap.commands:
            if "room" in command.views and command.id not in ("up", "down", "back"):
                yield SystemCommand(command.title, ", ".join(command.keys), lambda c=command: self.room.run_command(c))
