"""The logs of one pod.

Invariant: lines are drawn only when they are visible; a view that stands still shows the same lines until it is told
to go on, and says how many came meanwhile; lines lost are counted in the title.
"""

from __future__ import annotations

from functools import lru_cache, partial

from textual import events
from textual.app import ComposeResult

from planc_tui.core.logs.line import Level
from planc_tui.core.logs.lines import MARK, RawLine, line_level, line_text
from planc_tui.core.numbers import grouped
from planc_tui.core.table import Target, Tone
from planc_tui.core.text import cell_width, clean
from planc_tui.sources.podlog import WINDOWS, PodLog
from planc_tui.ui import theme
from planc_tui.ui.keys import LINES, LOGS, show_key
from planc_tui.ui.screens.base import PlancScreen
from planc_tui.ui.screens.lines_screen import MESSAGE_FOR, Page, Row, TitleLine, break_row
from planc_tui.ui.session import Session
from planc_tui.ui.widgets.bars import Footer, Hint
from planc_tui.ui.widgets.lines import Line, LinesWidget, Painter
from planc_tui.ui.widgets.prompt import Prompt

SIDEWAYS = 20


@lru_cache(maxsize=256)
def drawn(line: RawLine, stamps: bool, container: bool) -> Row:
    """Text and tone of a line."""
    if line.container == MARK:
        return line_text(line, stamps=stamps, container=container), Tone.ACCENT
    level = line_level(line)
    tone = Tone.CRIT if level >= Level.ERROR else Tone.WARN if level is Level.WARN else Tone.NORMAL
    if Level.UNKNOWN < level < Level.INFO:
        tone = Tone.DIM
    return line_text(line, stamps=stamps, container=container), tone


class LogView(LinesWidget, can_focus=True):
    """The visible lines of a pod's log. log: replaced when another part of the log is asked for."""

    def __init__(self) -> None:
        super().__init__(id="log")
        self.log_source: PodLog | None = None
        self.wrap = False
        self.stamps = True
        self.top = 0
        self.sideways = 0
        self.note: Row = ("", Tone.DIM)
        self._rows: list[tuple[Row, bool]] = []

    def prepare(self, width: int, height: int) -> None:
        source = self.log_source
        if source is None:
            self._rows = []
            return
        with source.lock:
            shown = source.buffer.shown
            if source.buffer.still:
                self.top = max(0, min(self.top, len(shown) - (1 if self.wrap else height)))
                lines = shown[self.top : self.top + height]
            else:
                self.top = max(0, len(shown) - height)
                lines = shown[-height:]
            marked = [source.buffer.highlighting and source.buffer.matches(line) for line in lines]
            still = source.buffer.still
        many = len(source.status.containers) > 1 and source.status.reading > 1
        rows: list[tuple[Row, bool]] = []
        for line, mark in zip(lines, marked, strict=True):
            row = drawn(line, self.stamps, many)
            rows += [(part, mark) for part in (break_row(row, width - 2) if self.wrap else [row])]
        if not rows and self.note[0]:
            rows = [(part, False) for part in break_row(self.note, width - 2)]
        self._rows = rows[:height] if still else rows[-height:]

    def line(self, y: int, width: int) -> Line:
        if y >= len(self._rows):
            return Painter(width).finish(theme.style())
        (text, tone), mark = self._rows[y]
        ground = theme.SELECTED if mark else theme.BACKGROUND
        if self.sideways and not self.wrap:
            text = text[self.sideways :]
        painter = Painter(width).add("▸" if mark else " ", theme.tone_style(Tone.ACCENT, ground))
        return painter.add(text, theme.tone_style(tone, ground)).finish(theme.tone_style(tone, ground))

    def visible_text(self) -> list[str]:
        """The lines on the screen."""
        return [text for (text, _), _ in self._rows]

    def scroll_lines(self, lines: int) -> None:
        """Move up or down; the view stands still from then on."""
        source = self.log_source
        if source is None or (lines > 0 and not source.buffer.still):
            return
        with source.lock:
            source.buffer.stand_still()
        self.top += lines
        self.repaint()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self._by_wheel(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self._by_wheel(-3)

    def _by_wheel(self, lines: int) -> None:
        self.scroll_lines(lines)
        if isinstance(self.screen, LogScreen):
            self.screen.show_state()


class LogScreen(PlancScreen):
    """Follows the logs of a pod, or shows those of the run before its last restart."""

    views = (LOGS, LINES)

    def __init__(self, session: Session, target: Target, previous: bool = False) -> None:
        super().__init__()
        self.session = session
        self.target = target
        self.previous = previous
        self.container = ""
        self.window = "tail"
        self.page = Page("")
        self.full = False
        self.podlog: PodLog | None = None
        self._highlight = False

    def compose(self) -> ComposeResult:
        yield TitleLine()
        yield LogView()
        yield Footer()
        yield Prompt()

    def on_mount(self) -> None:
        hints = [
            Hint(show_key(command.keys[0]), command.hint, partial(self.run_command, command))
            for command in self.planc.keymap.hints(self.views)
            if command.id not in ("next_tab", "logs", "filter")
        ]
        find = self.planc.keymap.get("filter")
        hints.insert(0, Hint(show_key(find.keys[0]) if find.keys else "", find.hint, partial(self.run_command, find)))
        self.query_one(Footer).show(hints)
        self.set_focus(self.query_one(LogView))
        self.open_log()

    def on_unmount(self) -> None:
        if self.podlog is not None:
            self.podlog.stop()

    def open_log(self) -> None:
        """Begin to read what is asked for now; what was read before is put away."""
        if self.podlog is not None:
            self.podlog.stop()
        source = PodLog(
            self.session.cluster,
            self.planc.clock,
            self.target,
            lambda: self.planc.hand_over(partial(self.changed, source)),
            container=self.container,
            previous=self.previous,
            window=WINDOWS[self.window],
            max_lines=self.session.playbook.logs.lines,
        )
        before, self.podlog = self.podlog, source
        if before is not None and before.buffer.filter:
            source.buffer.look_for(before.buffer.filter, highlight=self._highlight)
        view = self.query_one(LogView)
        view.log_source, view.top, view.sideways = source, 0, 0
        source.start()
        self.changed(source)

    def changed(self, source: PodLog) -> None:
        """Lines came, or the state of the streams changed."""
        if source is not self.podlog or not self.is_mounted:
            return
        self.show_state()
        if not source.buffer.still:
            self.query_one(LogView).repaint()

    def show_state(self) -> None:
        """Bring the title up to date."""
        source = self.podlog
        if source is None or not self.is_mounted:
            return
        title = self.query_one(TitleLine)
        title.title = f"logs {clean(self.target.name)}"
        title.where = " › ".join(part for part in (self.target.context, self.target.namespace) if part)
        kind = "the run before the last restart" if self.previous else WINDOWS[self.window].title
        containers = clean(self.container) or self._container_words(source)
        self.page.title = f"{containers} · {kind}" if containers else kind
        self.page.state = self.state_row(source)
        title.pages = (self.page,)
        title.repaint()
        view = self.query_one(LogView)
        view.note = self.empty_row(source)
        if not len(source.buffer):
            view.repaint()

    def empty_row(self, source: PodLog) -> Row:
        """Why there is no line."""
        status = source.status
        if status.problem:
            return f"◌ {status.problem}", Tone.WARN
        if source.buffer.filter:
            return f"none of {grouped(source.buffer.total)} lines matches {clean(source.buffer.filter, 60)}", Tone.DIM
        if source.ended:
            return "this part of the log is empty", Tone.DIM
        return ("no line yet", Tone.DIM) if status.followed else ("opening the log …", Tone.DIM)

    @staticmethod
    def _container_words(source: PodLog) -> str:
        names = source.status.containers
        return names[0] if len(names) == 1 else f"{len(names)} containers" if names else ""

    def state_row(self, source: PodLog) -> Row:
        """What the title says: standing still, what fails, what is counted."""
        status = source.status
        with source.lock:
            buffer = source.buffer
            still, waiting, dropped, shown = buffer.still, buffer.waiting, buffer.dropped, len(buffer)
            wanted = buffer.filter
        parts = []
        tone = Tone.DIM
        if status.problem:
            parts, tone = [f"◌ {status.problem}"], Tone.WARN
        if still:
            parts.append(f"standing still, +{grouped(waiting)} new")
            tone = Tone.WARN if status.problem else Tone.ACCENT
        elif not status.problem:
            parts.append("end of the log" if source.ended else _followed(status.followed, status.reading))
        if wanted:
            parts.append(f"{'marked' if buffer.highlighting else 'filter'}: {clean(wanted, 30)}")
        parts.append(f"{grouped(shown)} lines" if not dropped else f"{grouped(shown)} lines, {grouped(dropped)} older")
        parts.append(f"{grouped(status.lost)} lost")
        return "  ".join(parts), Tone.WARN if status.lost and tone is Tone.DIM else tone

    def show_message(self, text: str, tone: Tone = Tone.NORMAL) -> None:
        """One line in place of the hints, for a few seconds."""
        footer = self.query_one(Footer)
        footer.say(clean(text), tone)
        self.set_timer(MESSAGE_FOR, partial(footer.say, ""), name="message")

    # --- moving -------------------------------------------------------------------------------------------------

    def _scroll(self, lines: int) -> None:
        self.query_one(LogView).scroll_lines(lines)
        self.show_state()

    def do_up(self, _: str = "") -> None:
        self._scroll(-1)

    def do_down(self, _: str = "") -> None:
        self._scroll(1)

    def do_page_up(self, _: str = "") -> None:
        self._scroll(-max(1, self.query_one(LogView).size.height - 1))

    def do_page_down(self, _: str = "") -> None:
        self._scroll(max(1, self.query_one(LogView).size.height - 1))

    def do_top(self, _: str = "") -> None:
        self._scroll(-(10**9))

    def do_bottom(self, _: str = "") -> None:
        self._stand_still(False)

    def do_log_left(self, _: str = "") -> None:
        self._sideways(-SIDEWAYS)

    def do_log_right(self, _: str = "") -> None:
        self._sideways(SIDEWAYS)

    def _sideways(self, cells: int) -> None:
        view = self.query_one(LogView)
        longest = max((cell_width(text) for text in view.visible_text()), default=0)
        view.sideways = max(0, min(view.sideways + cells, longest - SIDEWAYS))
        view.repaint()

    def do_log_still(self, _: str = "") -> None:
        self._stand_still(self.podlog is not None and not self.podlog.buffer.still)

    def _stand_still(self, still: bool) -> None:
        if self.podlog is None:
            return
        with self.podlog.lock:
            if still:
                self.podlog.buffer.stand_still()
            else:
                self.podlog.buffer.go_on()
        self.show_state()
        self.query_one(LogView).repaint()

    # --- which part of the log -----------------------------------------------------------------------------------

    def _show_window(self, window: str) -> None:
        self.window, self.previous = window, False
        self.open_log()

    def do_log_tail(self, _: str = "") -> None:
        self._show_window("tail")

    def do_log_head(self, _: str = "") -> None:
        self._show_window("head")

    def do_log_1m(self, _: str = "") -> None:
        self._show_window("1m")

    def do_log_5m(self, _: str = "") -> None:
        self._show_window("5m")

    def do_log_15m(self, _: str = "") -> None:
        self._show_window("15m")

    def do_log_30m(self, _: str = "") -> None:
        self._show_window("30m")

    def do_log_1h(self, _: str = "") -> None:
        self._show_window("1h")

    def do_logs(self, _: str = "") -> None:
        self._show_window("tail")

    def do_previous_logs(self, _: str = "") -> None:
        self.previous = not self.previous
        self.open_log()

    def do_log_containers(self, _: str = "") -> None:
        names = self.podlog.status.containers if self.podlog is not None else ()
        if len(names) < 2:
            self.show_message("this pod has one container", Tone.DIM)
            return
        ring = ("", *names)
        self.container = ring[(ring.index(self.container) + 1) % len(ring)] if self.container in ring else ""
        self.open_log()

    # --- how it is shown -----------------------------------------------------------------------------------------

    def do_log_wrap(self, _: str = "") -> None:
        view = self.query_one(LogView)
        view.wrap, view.sideways = not view.wrap, 0
        view.repaint()

    def do_log_stamps(self, _: str = "") -> None:
        view = self.query_one(LogView)
        view.stamps = not view.stamps
        view.repaint()

    def do_log_full(self, _: str = "") -> None:
        self.full = not self.full
        self.query_one(TitleLine).display = self.query_one(Footer).display = not self.full

    def do_log_mark(self, _: str = "") -> None:
        if self.podlog is not None:
            self.podlog.mark()
            self.changed(self.podlog)

    def do_log_clear(self, _: str = "") -> None:
        if self.podlog is not None:
            with self.podlog.lock:
                self.podlog.buffer.clear()
            self.show_state()
            self.query_one(LogView).repaint()

    # --- looking for something -----------------------------------------------------------------------------------

    def do_filter(self, _: str = "") -> None:
        self.query_one(Prompt).open("/", self.podlog.buffer.filter if self.podlog is not None else "", ())

    def on_prompt_done(self, event: Prompt.Done) -> None:
        self._close_prompt()
        self._look_for(event.text)

    def on_prompt_left(self, _: Prompt.Left) -> None:
        self._close_prompt()
        self._look_for("")

    def _close_prompt(self) -> None:
        self.query_one(Prompt).close()
        self.set_focus(self.query_one(LogView))

    def _look_for(self, text: str) -> None:
        if self.podlog is None:
            return
        try:
            with self.podlog.lock:
                self.podlog.buffer.look_for(text, highlight=self._highlight)
        except ValueError as error:
            self.show_message(str(error), Tone.WARN)
        self.show_state()
        self.query_one(LogView).repaint()

    def do_log_highlight(self, _: str = "") -> None:
        self._highlight = not self._highlight
        if self.podlog is not None and self.podlog.buffer.filter:
            self._look_for(self.podlog.buffer.filter)
        else:
            self.show_message("matching lines will be " + ("marked" if self._highlight else "the only ones shown"))

    def do_next_match(self, _: str = "") -> None:
        self._find(1)

    def do_previous_match(self, _: str = "") -> None:
        self._find(-1)

    def _find(self, step: int) -> None:
        source, view = self.podlog, self.query_one(LogView)
        if source is None or not source.buffer.filter:
            self.show_message("look for something first: /", Tone.DIM)
            return
        with source.lock:
            source.buffer.stand_still()
            found = source.buffer.next_match(min(view.top, max(0, len(source.buffer) - 1)), step)
        if found is None:
            self.show_message(f"no line has {clean(source.buffer.filter, 40)}", Tone.WARN)
        else:
            view.top = found
        view.repaint()
        self.show_state()

    # --- leaving, taking along -----------------------------------------------------------------------------------

    def do_back(self, _: str = "") -> None:
        if self.full:
            self.do_log_full()
        elif self.podlog is not None and self.podlog.buffer.filter:
            self._look_for("")
        else:
            self.dismiss()

    def do_copy(self, _: str = "") -> None:
        self.planc.copy("\n".join(self.query_one(LogView).visible_text()))

    def do_save(self, _: str = "") -> None:
        source = self.podlog
        if source is None:
            return
        with source.lock:
            lines = list(source.buffer.shown)
        many = len(source.status.containers) > 1
        text = "".join(line_text(line, stamps=True, container=many) + "\n" for line in lines)
        self.planc.save_text(f"logs-{self.target.name}", text)


def _followed(followed: int, reading: int) -> str:
    if not reading or not followed:
        return "… opening"
    return "● following" if followed == reading else f"● following {followed} of {reading} containers"
