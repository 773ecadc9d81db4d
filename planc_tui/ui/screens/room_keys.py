"""What the keys of the war room do.

Invariant: whatever is opened, copied or saved is the object under the cursor at the moment of the key press, by its
identity; where there is none, the reason is said.
"""

from __future__ import annotations

from collections.abc import Callable

from planc_tui.actions.registry import load as load_actions
from planc_tui.core.table import Target, Tone
from planc_tui.core.text import clean
from planc_tui.desk.feed import DESK
from planc_tui.playbook.model import Procedure
from planc_tui.sources.findings import FINDINGS
from planc_tui.ui import pages
from planc_tui.ui.acting import act, default_target, offered
from planc_tui.ui.command_line import run_line, words
from planc_tui.ui.header import clock_text, quiet_text
from planc_tui.ui.keys import Command, pane_view, show_key
from planc_tui.ui.kube_objects import fetch_namespaces
from planc_tui.ui.layout import Rect, Size, neighbour
from planc_tui.ui.opening import open_logs, open_object, open_yaml
from planc_tui.ui.panes.base import View
from planc_tui.ui.procedures import Guide
from planc_tui.ui.screens.base import PlancScreen
from planc_tui.ui.screens.incident import IncidentScreen, declare
from planc_tui.ui.screens.lines_screen import LinesScreen, Page
from planc_tui.ui.screens.picker import Picker
from planc_tui.ui.screens.runs import RunsScreen
from planc_tui.ui.widgets.bars import FindingsStrip, TabStrip
from planc_tui.ui.widgets.pane_widget import PaneWidget
from planc_tui.ui.widgets.procedure_panel import ProcedurePanel
from planc_tui.ui.widgets.prompt import Prompt


class RoomKeys(PlancScreen):
    """Commands of the room; Room itself places and feeds the panes."""

    def __init__(self) -> None:
        super().__init__()
        self.panes: dict[str, PaneWidget] = {}
        self.guide: Guide
        self.zoomed = ""
        self.size_class = Size.WIDE
        self.on_screen: tuple[str, ...] = ()
        self.rects: dict[str, Rect] = {}
        self._visited: list[str] = []
        self._visit = -1
        self._filter_before = ""

    @property
    def current(self) -> str:
        """Id of the pane that has, or will have, the focus."""
        return self._visited[self._visit] if self._visited else ""

    @property
    def pane(self) -> PaneWidget:
        """The pane that has the focus."""
        return self.panes[self.current]

    def place_panes(self) -> None:
        """Place the panes anew."""
        raise NotImplementedError

    def show_message(self, text: str, tone: Tone = Tone.NORMAL) -> None:
        """One line in place of the hints, for a few seconds."""
        raise NotImplementedError

    def visit(self, pane_id: str) -> None:
        """Go to a pane; one that has no place in this layout is shown alone."""
        if pane_id == self.current:
            return
        del self._visited[self._visit + 1 :]
        self._visited = [*self._visited[-30:], pane_id]
        self._go(len(self._visited) - 1)

    def _go(self, index: int) -> None:
        self._visit = index
        if self.zoomed:
            self.zoomed = self.current
        if self.is_mounted:
            self.place_panes()

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

    # --- acting -------------------------------------------------------------------------------------------------

    def _act(self, action_id: str) -> None:
        """Start an action on the row under the cursor (or the marked rows), or on the playbook's own object."""
        action, session = load_actions()[0][action_id], self.planc.session
        if session is None:
            self.show_message("not connected: nothing can be changed now", Tone.WARN)
            return
        targets = [target for target in self.pane.targets() if target.kind in action.kinds]
        if not targets:
            identity = session.identity
            found = (default_target(session.playbook, k, identity.namespace, identity.context) for k in action.kinds)
            targets = [target for target in found if target is not None][:1]
        if not targets:
            self.show_message(f"{action.title} needs a {action.kinds[0].lower()}: choose its row", Tone.WARN)
            return
        act(self.planc, action_id, targets)

    def do_actions(self, _: str = "") -> None:
        """A menu of what can be done about this row, and of what needs no row."""
        target = self.pane.target()
        actions = {
            f"{action.title}  ({show_key(action.key)})" if action.key else action.title: action.id
            for action in offered("" if target is None else target.kind)
        }
        title = "act" if target is None else f"{target.kind.lower()}/{clean(target.name, 40)}"
        picker = Picker(title, "", tuple(actions))
        self.planc.push_screen(picker, lambda chosen: self._act(actions[chosen]) if chosen in actions else None)

    # --- procedures ---------------------------------------------------------------------------------------------

    def do_procedures(self, name: str = "") -> None:
        """Choose a procedure; those that the findings name come first."""
        session = self.planc.session
        if session is None:
            self.show_message("not connected", Tone.WARN)
            return
        if self.guide.open and not name:
            self.set_focus(self.query_one(ProcedurePanel))
            return
        named = [finding.procedure for finding in self.planc.store.get(FINDINGS).value or ()]
        order = sorted(session.playbook.procedures, key=lambda p: named.index(p.id) if p.id in named else len(named))
        titles = {f"{p.title.of('en')}  {p.severity}".rstrip(): p for p in order}
        found = session.playbook.procedure(name) if name else None
        if found is not None:
            self._open_procedure(found)
            return
        picker = Picker("procedure", "", tuple(titles))
        self.planc.push_screen(
            picker, lambda chosen: self._open_procedure(titles[chosen]) if chosen in titles else None
        )

    def _open_procedure(self, procedure: Procedure) -> None:
        self.guide.show(procedure)
        self.place_procedure()
        self.set_focus(self.query_one(ProcedurePanel))

    def do_step_up(self, _: str = "") -> None:
        self.query_one(ProcedurePanel).move(-1)

    def do_step_down(self, _: str = "") -> None:
        self.query_one(ProcedurePanel).move(1)

    def do_step_run(self, _: str = "") -> None:
        self.guide.run()

    def do_step_skip(self, _: str = "") -> None:
        self.guide.skip()

    def do_step_again(self, _: str = "") -> None:
        self.guide.again()

    def do_step_panes(self, _: str = "") -> None:
        self.set_focus(self.pane)

    def do_step_close(self, _: str = "") -> None:
        self.guide.close()
        self.set_focus(self.pane)
        self.place_procedure()

    def place_procedure(self) -> None:
        """Make room for the checklist, or give it back."""
        raise NotImplementedError

    # --- incident -----------------------------------------------------------------------------------------------

    def do_incident(self, _: str = "") -> None:
        """The current incident; the declare form where there is none."""
        session, state = self.planc.session, self.planc.store.get(DESK).value
        if session is None or session.desk is None or state is None or state.incident is None:
            declare(self.planc)
            return
        self.planc.push_screen(IncidentScreen(session.desk, state.incident))

    def do_declare(self, _: str = "") -> None:
        declare(self.planc)

    def do_runs(self, _: str = "") -> None:
        self.planc.push_screen(RunsScreen())

    def do_arm(self, _: str = "") -> None:
        session = self.planc.session
        if session is None:
            self.show_message("not connected", Tone.WARN)
        elif session.arming.mode().read_only:
            session.arming.arm()
            self.show_message("armed: changes are possible now, every one still asks", Tone.WARN)
        else:
            session.arming.disarm()
            self.show_message("read-only: nothing can be changed until ! is pressed", Tone.OK)
        self.tick()

    def tick(self) -> None:
        """Draw again what time and mode change."""
        raise NotImplementedError

    def _with_view(self, act: Callable[[View], object]) -> None:
        view = self.planc.view_for(self.pane.pane.topics, self.pane.options)
        if view is not None:
            act(view)

    def do_up(self, _: str = "") -> None:
        self._move(-1)

    def do_down(self, _: str = "") -> None:
        self._move(1)

    def do_page_up(self, _: str = "") -> None:
        self._move(-self.pane.model.height)

    def do_page_down(self, _: str = "") -> None:
        self._move(self.pane.model.height)

    def do_top(self, _: str = "") -> None:
        self._move(-len(self.pane.model.rows))

    def do_bottom(self, _: str = "") -> None:
        self._move(len(self.pane.model.rows))

    def _move(self, rows: int) -> None:
        self.pane.notice = ""
        self.pane.model.move(rows)
        self.pane.repaint()

    def do_next_pane(self, _: str = "") -> None:
        last = bool(self.on_screen) and self.current == self.on_screen[-1]
        if self.guide.open and (last or len(self.on_screen) == 1):
            self.set_focus(self.query_one(ProcedurePanel))
            return
        self._cycle(1)

    def do_previous_pane(self, _: str = "") -> None:
        self._cycle(-1)

    def _cycle(self, step: int) -> None:
        several = len(self.on_screen) > 1
        order = [pane_id for pane_id in self.panes if not several or pane_id in self.on_screen]
        if order:
            here = order.index(self.current) if self.current in order else 0
            self.visit(order[(here + step) % len(order)])

    def do_pane_left(self, _: str = "") -> None:
        self._neighbour(-1, 0)

    def do_pane_right(self, _: str = "") -> None:
        self._neighbour(1, 0)

    def do_pane_up(self, _: str = "") -> None:
        self._neighbour(0, -1)

    def do_pane_down(self, _: str = "") -> None:
        self._neighbour(0, 1)

    def _neighbour(self, dx: int, dy: int) -> None:
        if len(self.rects) < 2:
            self._cycle(dx or dy)
        elif found := neighbour(self.rects, self.current, dx, dy):
            self.visit(found)

    def do_last_pane(self, _: str = "") -> None:
        if self._visit > 0:
            self.visit(self._visited[self._visit - 1])

    def do_history_back(self, _: str = "") -> None:
        if self._visit > 0:
            self._go(self._visit - 1)

    def do_history_forward(self, _: str = "") -> None:
        if self._visit + 1 < len(self._visited):
            self._go(self._visit + 1)

    def do_zoom(self, _: str = "") -> None:
        self.zoomed = "" if self.zoomed else self.current
        self.place_panes()

    def do_back(self, _: str = "") -> None:
        """Undo the latest narrowing of the view: the filter, then the zoom."""
        if self.pane.clear_filter():
            return
        if self.zoomed:
            self.zoomed = ""
            self.place_panes()
        elif len(self.on_screen) == 1 and self.size_class is not Size.ONE:
            self.do_history_back()
        else:
            self.show_message("this is the top: type :q and enter to quit", Tone.DIM)

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
        self._with_view(self.pane.update)

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
        open_object(self.planc, self.pane.target(), self.pane.detail())

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
        self.planc.copy("\n".join(names))
        self.show_message(f"copied {names[0] if len(names) == 1 else f'{len(names)} names'}")

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
        session = self.planc.session
        if session is None:
            return
        reading = self.planc.store.get(FINDINGS)
        quiet, _tone = quiet_text(reading, self.planc.clock.monotonic())
        rows = pages.finding_rows(reading.value or (), session.playbook, quiet)
        self.planc.push_screen(LinesScreen("findings", [Page("what is wrong now", rows)], file_name="findings"))

    def do_stats(self, _: str = "") -> None:
        session = self.planc.session
        if session is None:
            self.show_message("not connected: nothing was sent", Tone.DIM)
            return
        rows = pages.stats_rows(session.stats.loads(self.planc.clock.monotonic()))
        self.planc.push_screen(LinesScreen("requests", [Page("statistics", rows)], file_name="stats"))

    def do_refresh(self, _: str = "") -> None:
        if self.planc.session is None:
            self.planc.connect(self.planc.options.context, self.planc.options.namespace)
            return
        self.planc.session.hub.kick()
        self.refresh(layout=True)
        self.show_message("every source tries now")

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
