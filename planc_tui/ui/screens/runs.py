"""The tray in full: every action under way and over, what came of it, and what can be done about it.

Invariant: the cursor follows a run by its id; an unfinished run of an earlier console shows as unknown until somebody
verifies it.
"""

from __future__ import annotations

from functools import partial

from textual.app import ComposeResult

from planc_tui.actions.executor import Run, State
from planc_tui.actions.recorder import RecorderFailed
from planc_tui.actions.runs import RUNS
from planc_tui.core.ports import PortError, Unreachable
from planc_tui.core.table import Tone
from planc_tui.core.text import clean, fit
from planc_tui.ui import theme
from planc_tui.ui.acting import undo
from planc_tui.ui.card_text import named
from planc_tui.ui.keys import LINES, show_key
from planc_tui.ui.keys import RUNS as RUNS_VIEW
from planc_tui.ui.screens.base import PlancScreen
from planc_tui.ui.screens.lines_screen import Row, break_row
from planc_tui.ui.shown import what_was_read
from planc_tui.ui.tray import glyph, tone_of, took
from planc_tui.ui.widgets.bars import Footer, Hint
from planc_tui.ui.widgets.lines import Line, LinesWidget, Painter


class RunList(LinesWidget, can_focus=True):
    """One line per run, newest first, and everything about the chosen one below."""

    def __init__(self) -> None:
        super().__init__(id="runs")
        self.runs: tuple[Run, ...] = ()
        self.chosen = ""
        self.now = 0.0
        self._top = 0
        self._room = 1  # lines for the list; the rest is for what is known of the chosen run
        self._detail: list[Row] = []

    @property
    def current(self) -> Run | None:
        """The run under the cursor."""
        return next((run for run in self.runs if run.id == self.chosen), self.runs[0] if self.runs else None)

    def move(self, step: int) -> None:
        """Up or down."""
        here = self.current
        if here is not None:
            index = max(0, min(len(self.runs) - 1, self.runs.index(here) + step))
            self.chosen = self.runs[index].id
            self.repaint()

    def prepare(self, width: int, height: int) -> None:
        self._room = max(1, min(len(self.runs), (height - 1) // 2))
        here = self.runs.index(self.current) if self.current is not None else 0
        self._top = max(0, min(max(self._top, here - self._room + 1), here, len(self.runs) - self._room))
        self._detail = [part for row in self._detail_rows() for part in break_row(row, width - 2)]

    def line(self, y: int, width: int) -> Line:
        painter = Painter(width)
        if y == 0:
            return painter.add(" Actions", theme.style(theme.BRIGHT, bold=True)).finish(theme.style())
        if not self.runs:
            text = " nothing was done yet: a in the war room shows what can be done" if y == 2 else ""
            return painter.add(text, theme.tone_style(Tone.DIM)).finish(theme.style())
        if y <= self._room:
            return self._run_line(painter, self.runs[self._top + y - 1], width)
        position = y - self._room - 2
        if 0 <= position < len(self._detail):
            text, tone = self._detail[position]
            painter.add(" " + text, theme.tone_style(tone))
        return painter.finish(theme.style())

    def _run_line(self, painter: Painter, run: Run, width: int) -> Line:
        ground = theme.SELECTED if run is self.current else theme.BACKGROUND
        style = theme.tone_style(tone_of(run.state), ground)
        painter.add(f" {glyph(run.state)} {fit(run.plan.title, 24)} ", style)
        painter.add(fit(named(run.plan.targets), max(20, width // 3)) + "  ", theme.tone_style(Tone.NORMAL, ground))
        painter.add(fit(took(run, self.now), 7) + "  ", theme.tone_style(Tone.DIM, ground))
        painter.add(clean(f"{run.state.value}: {run.progress}"), style)
        return painter.finish(theme.style(background=ground))

    def _detail_rows(self) -> list[Row]:
        run = self.current
        if run is None:
            return []
        rows: list[Row] = [("─" * 20, Tone.STALE)]
        rows.append((clean(f"{run.state.value}: {run.progress}"), tone_of(run.state)))
        rows.append((named(run.plan.targets), Tone.ACCENT))
        rows += [(f"{clean(c.label)}  {clean(c.before)} › {clean(c.after)}", Tone.NORMAL) for c in run.plan.changes]
        rows += [(clean(line), Tone.DIM) for line in run.plan.equivalents]
        rows.append((f"undo: {clean(run.plan.undo)}" if run.plan.undo else "cannot be undone", Tone.DIM))
        if run.receipt is not None and run.receipt.shown:
            rows.append(("enter opens what was read", Tone.ACCENT))
        return rows


class RunsScreen(PlancScreen):
    """The list of runs."""

    views = (RUNS_VIEW, LINES)

    def compose(self) -> ComposeResult:
        yield RunList()
        yield Footer()

    def on_mount(self) -> None:
        commands = list(self.planc.keymap.hints((RUNS_VIEW,)))
        self.query_one(Footer).show([Hint(show_key(c.keys[0]), c.hint, partial(self.run_command, c)) for c in commands])
        self.set_focus(self.query_one(RunList))
        self._refresh_runs()
        self.set_interval(1.0, self._refresh_runs)
        self._look_for_unfinished()

    def show_message(self, text: str, tone: Tone = Tone.NORMAL) -> None:
        """One line in place of the hints."""
        self.query_one(Footer).say(clean(text), tone)

    def _refresh_runs(self) -> None:
        runs = self.planc.store.get(RUNS).value or ()
        listed = self.query_one(RunList)
        own = {run.id for run in runs}
        listed.runs = tuple(reversed((*(run for run in self._unknown if run.id not in own), *runs)))
        listed.now = self.planc.clock.monotonic()
        listed.repaint()

    _unknown: tuple[Run, ...] = ()

    def _look_for_unfinished(self) -> None:
        session = self.planc.session
        if session is None:
            return

        def found(result: tuple[Run, ...] | PortError) -> None:
            if isinstance(result, tuple) and self.is_mounted:
                self._unknown = result
                self._refresh_runs()

        def look() -> tuple[Run, ...]:
            try:
                return session.executor.unfinished()
            except RecorderFailed as error:
                raise Unreachable(str(error)) from None

        self.planc.off_thread(look, found, "unfinished")

    # --- keys ---------------------------------------------------------------------------------------------------

    def do_up(self, _: str = "") -> None:
        self.query_one(RunList).move(-1)

    def do_down(self, _: str = "") -> None:
        self.query_one(RunList).move(1)

    def do_back(self, _: str = "") -> None:
        self.dismiss()

    def do_run_open(self, _: str = "") -> None:
        run = self.query_one(RunList).current
        if run is not None and run.receipt is not None and run.receipt.shown:
            self.planc.push_screen(what_was_read(run))
        else:
            self.show_message("this run had nothing to read", Tone.DIM)

    def do_run_undo(self, _: str = "") -> None:
        run = self.query_one(RunList).current
        if run is not None:
            undo(self.planc, run)

    def do_run_cancel(self, _: str = "") -> None:
        run, session = self.query_one(RunList).current, self.planc.session
        if run is None or session is None:
            return
        if run.state.over:
            self.show_message("this run is over", Tone.DIM)
            return
        session.executor.cancel(run.id)
        self.show_message("asked to stop; what is done stays done", Tone.WARN)

    def do_run_verify(self, _: str = "") -> None:
        run, session = self.query_one(RunList).current, self.planc.session
        if run is None or session is None:
            return
        if run.state is not State.UNKNOWN:
            self.show_message("only an unknown outcome needs a look", Tone.DIM)
            return

        def looked(result: Run | PortError) -> None:
            if isinstance(result, PortError):
                self.show_message(result.message, Tone.WARN)
                return
            self._unknown = tuple(result if one.id == result.id else one for one in self._unknown)
            self._refresh_runs()

        self.planc.off_thread(lambda: session.executor.verify_unknown(run), looked, "verify")
