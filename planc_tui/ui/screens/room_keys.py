"""What the keys of the war room do, apart from moving and acting: the table, opening, pickers, prompt, mouse.

Invariant: whatever is opened, copied or saved is the object under the cursor at the moment of the key press, by its
identity; where there is none, the reason is said.
"""

from __future__ import annotations

from collections.abc import Callable

from planc_tui.core.table import Target, Tone
from planc_tui.ui import pages
from planc_tui.ui.command_line import run_line, words
from planc_tui.ui.header import clock_text
from planc_tui.ui.keys import Command, pane_view
from planc_tui.ui.kube_objects import fetch_namespaces
from planc_tui.ui.opening import open_logs, open_row, open_yaml
from planc_tui.ui.panes.base import View
from planc_tui.ui.screens.findings import FindingsScreen
from planc_tui.ui.screens.lines_screen import LinesScreen, Page, Row
from planc_tui.ui.screens.picker import Picker
from planc_tui.ui.screens.room_acts import RoomActs
from planc_tui.ui.widgets.bars import FindingsStrip, TabStrip
from planc_tui.ui.widgets.pane_widget import PaneWidget
from planc_tui.ui.widgets.prompt import Prompt


class RoomKeys(RoomActs):
    """Commands of the room; Room itself places and feeds the panes."""

    def handle(self, command: Command, argument: str) -> None:
        """Pane commands are found by their id, all others by name."""
        if command.id.startswith("pane."):
            self.visit(command.id.removeprefix("pane."))
            if argument.startswith("/"):
                self.pane.notice = self.pane.set_filter(argument[1:])
            elif argument:
                self.show_message("after a pane only /filter is understood; :ns changes the namespace", Tone.DIM)
            return
        if command.id.startswith("step_") and command.id[5:].isdigit():
            self.guide.run(int(command.id[5:]) - 1)
            return
        first, _, rest = command.id.partition(".")
        if first == "act":
            self._act(rest)
            return
        if rest.startswith("sort."):
            self.pane.sort_by(rest.removeprefix("sort."))
        elif rest.startswith("option."):
            self._with_view(lambda view: self.pane.toggle_option(rest.removeprefix("option."), view))
        elif rest.startswith("act."):
            self._act(rest.removeprefix("act."))
        else:
            super().handle(command, argument)

    def _with_view(self, act: Callable[[View], object]) -> None:
        view = self.planc.view_for(self.pane.pane.topics, self.pane.options)
        if view is not None:
            act(view)

    # --- the table ------------------------------------------------------------------------------------------------

    def do_mark(self, _: str = "") -> None:
        if self.pane.model.toggle_mark():
            self._move(1)
        else:
            self._say_no_row()

    def do_clear_marks(self, _: str = "") -> None:
        self.pane.model.marks.clear()
        self.pane.repaint()

    def do_sort_left(self, _: str = "") -> None:
        self.pane.sort_beside(-1)

    def do_sort_right(self, _: str = "") -> None:
        self.pane.sort_beside(1)

    def do_sort_flip(self, _: str = "") -> None:
        self.pane.model.flip()
        self.pane.repaint()

    def do_sort_own(self, _: str = "") -> None:
        self.pane.model.own_order()
        self.pane.repaint()

    def do_faults(self, _: str = "") -> None:
        self.pane.faults_only = not self.pane.faults_only
        self.pane.rearrange()

    def do_pause(self, _: str = "") -> None:
        stamp = clock_text(self.planc.clock.now())
        self._with_view(lambda view: self.pane.toggle_pause(stamp, view))

    def _say_no_row(self) -> None:
        lost = self.pane.model.lost
        text = f"{lost}: move the cursor to choose another" if lost else "no row is selected: move the cursor to one"
        self.show_message(text, Tone.WARN)

    # --- opening ----------------------------------------------------------------------------------------------------

    def do_open(self, _: str = "") -> None:
        if self.pane.model.current() is None:
            self._say_no_row()
            return
        open_row(self.planc, self.pane)

    def do_describe(self, _: str = "") -> None:
        self.do_open()

    def do_yaml(self, _: str = "") -> None:
        self._with_target(lambda target: open_yaml(self.planc, target))

    def do_logs(self, _: str = "") -> None:
        self._with_target(lambda target: open_logs(self.planc, target, previous=False))

    def do_previous_logs(self, _: str = "") -> None:
        self._with_target(lambda target: open_logs(self.planc, target, previous=True))

    def _with_target(self, act: Callable[[Target], None]) -> None:
        if self.pane.model.current() is None:
            self._say_no_row()
        elif (target := self.pane.target()) is None:
            self.show_message("this row is not an object of the cluster", Tone.DIM)
        else:
            act(target)

    def do_copy(self, _: str = "") -> None:
        names = self.pane.copied_names()
        if not names:
            self._say_no_row()
            return
        self.planc.copy("\n".join(names), names[0] if len(names) == 1 else f"{len(names)} names")

    def do_save(self, _: str = "") -> None:
        headings, rows = self.pane.table_text()
        self.planc.save_csv(self.pane.pane.id, headings, rows)

    # --- screens and pickers -----------------------------------------------------------------------------------

    def do_help(self, _: str = "") -> None:
        rows = pages.help_rows(self.planc.keymap, pane_view(self.current))
        self.planc.push_screen(LinesScreen("help", [Page("keys", rows)], file_name="help"))

    def do_aliases(self, _: str = "") -> None:
        rows = pages.alias_rows(self.planc.keymap)
        self.planc.push_screen(LinesScreen("command line", [Page("words", rows)], file_name="words"))

    def do_findings(self, _: str = "") -> None:
        if self.planc.session is not None:
            self.planc.push_screen(FindingsScreen(self.planc, self.do_procedures))

    def do_stats(self, _: str = "") -> None:
        session = self.planc.session
        if session is None:
            self.show_message("not connected: nothing was sent", Tone.DIM)
            return
        loads, clock = session.stats.loads, self.planc.clock

        def source() -> tuple[list[Row], Row]:
            return pages.stats_rows(loads(clock.monotonic())), ("", Tone.DIM)

        page = Page("statistics", source()[0], source=source)
        self.planc.push_screen(LinesScreen("requests", [page], file_name="stats"))

    def do_refresh(self, _: str = "") -> None:
        if self.planc.session is None:
            self.planc.connect(self.planc.options.context, self.planc.options.namespace)
            return
        self.planc.session.hub.kick()
        self.refresh(layout=True)
        self.show_message("every source tries again, as fast as 30 requests a minute allow")

    def do_ctx(self, name: str = "") -> None:
        if name:
            self.planc.connect(name, None)
            return
        current = self.planc.session.identity.context if self.planc.session is not None else ""
        picker = Picker("context", current)
        self.planc.push_screen(picker, lambda chosen: self.planc.connect(chosen, None) if chosen else None)
        self.planc.off_thread(self.planc.connector.contexts, picker.arrived, "contexts")

    def do_ns(self, name: str = "") -> None:
        session = self.planc.session
        if session is None:
            self.show_message("not connected", Tone.WARN)
            return
        context = session.identity.context
        if name:
            self.planc.connect(context, name)
            return
        picker = Picker("namespace", session.identity.namespace)
        self.planc.push_screen(picker, lambda chosen: self.planc.connect(context, chosen) if chosen else None)
        self.planc.off_thread(lambda: fetch_namespaces(session.cluster), picker.arrived, "namespaces")

    # --- filter and command line -----------------------------------------------------------------------------------

    def do_filter(self, _: str = "") -> None:
        self._filter_before = self.pane.model.filter.text
        self.query_one(Prompt).open("/", self._filter_before, ())

    def do_command(self, text: str = "") -> None:
        self.query_one(Prompt).open(":", text, words(self.planc))

    def on_input_changed(self, event: Prompt.Changed) -> None:
        """The filter applies while it is typed."""
        prompt = self.query_one(Prompt)
        if prompt.display and prompt.mode == "/":
            self.pane.notice = self.pane.set_filter(event.value)
            self.pane.repaint()

    def on_prompt_done(self, event: Prompt.Done) -> None:
        """Enter: keep the filter, or run the command."""
        self._close_prompt()
        if event.mode == ":" and event.text:
            run_line(self, event.text)

    def on_prompt_left(self, event: Prompt.Left) -> None:
        """Escape: the filter is as it was before."""
        self._close_prompt()
        if event.mode == "/":
            self.pane.notice = self.pane.set_filter(self._filter_before)

    def _close_prompt(self) -> None:
        self.query_one(Prompt).close()
        self.set_focus(self.pane)

    # --- mouse ------------------------------------------------------------------------------------------------------

    def on_descendant_focus(self) -> None:
        """A click moved the focus: follow it."""
        focused = self.focused
        if isinstance(focused, PaneWidget) and focused.pane.id != self.current:
            self.visit(focused.pane.id)

    def on_pane_widget_opened(self) -> None:
        self.do_open()

    def on_pane_widget_zoomed(self, event: PaneWidget.Zoomed) -> None:
        self.visit(event.pane_id)
        self.do_zoom()

    def on_tab_strip_chosen(self, event: TabStrip.Chosen) -> None:
        self.visit(event.pane_id)

    def on_findings_strip_clicked(self, _: FindingsStrip.Clicked) -> None:
        self.run_command(self.planc.keymap.get("findings"))
