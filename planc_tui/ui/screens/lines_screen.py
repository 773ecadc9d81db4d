"""A screen that shows lines of text in tabs: details, YAML, help, statistics.

Invariant: the view stays where it is when its text is replaced by a newer one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from msgspec import Struct, field
from textual import events
from textual.app import ComposeResult
from textual.timer import Timer

from planc_tui.core.table import Tone
from planc_tui.core.text import cell_width, clean, head_of
from planc_tui.ui import theme
from planc_tui.ui.command_line import run_line, words
from planc_tui.ui.header import clock_text
from planc_tui.ui.keys import LINES, show_key
from planc_tui.ui.screens.base import PlancScreen
from planc_tui.ui.widgets.bars import Footer, Hint
from planc_tui.ui.widgets.lines import Line, LinesWidget, Painter
from planc_tui.ui.widgets.prompt import Prompt

Row = tuple[str, Tone]
Source = Callable[[], tuple[Sequence[Row] | None, Row]]  # rows of this moment, or None: the object is gone; and a state
MESSAGE_FOR = 6.0
FOLLOW = 1.0  # seconds


class Page(Struct):
    """One tab. rows: harmless lines. state: what the title says about their age, and how loud. source: where the
    rows come from again while they are shown; without it they stay as they are."""

    title: str
    rows: list[Row] = field(default_factory=list)
    state: Row = ("", Tone.DIM)
    offset: int = 0
    source: Source | None = None
    gone: bool = False

    def follow(self, stamp: str) -> bool:
        """Take the rows of this moment; true when something differs. What is gone stays, and is said to be gone."""
        if self.source is None:
            return False
        rows, state = self.source()
        before = (self.rows, self.state)
        if rows is not None:
            self.gone = False
            self.state = state
            if list(rows) != self.rows:
                self.rows = list(rows)
        elif not self.gone:
            self.gone = True
            self.state = (f"gone since {stamp}; this is what was last known", Tone.WARN)
        return before[0] is not self.rows or before[1] != self.state


class LineList(LinesWidget, can_focus=True):
    """Scrolls through the rows of a page, long ones broken at the edge."""

    def __init__(self) -> None:
        super().__init__(id="lines")
        self.page = Page("")
        self.search = ""
        self._broken: list[Row] = []
        self._broken_for: tuple[int, int] = (-1, -1)

    def show(self, page: Page) -> None:
        """Replace what is shown."""
        self.page = page
        self._broken_for = (-1, -1)
        self.repaint()

    def prepare(self, width: int, height: int) -> None:
        key = (id(self.page.rows), width)
        if key != self._broken_for:
            self._broken = [part for row in self.page.rows for part in break_row(row, width - 2)]
            self._broken_for = key
        self.page.offset = max(0, min(self.page.offset, len(self._broken) - height))

    def line(self, y: int, width: int) -> Line:
        painter = Painter(width).add(" ", theme.style())
        index = self.page.offset + y
        if index < len(self._broken):
            text, tone = self._broken[index]
            style = theme.tone_style(tone)
            before, found, after = _split_match(text, self.search)
            mark = theme.style(theme.BRIGHT, theme.SELECTED, bold=True, reverse=bool(self.app.no_color))
            painter.add(before, style).add(found, mark).add(after, style)
        return painter.finish(theme.style())

    def reveal(self, start: str) -> None:
        """Scroll until the first line that starts so is in sight."""
        index = next((i for i, (text, _) in enumerate(self._broken) if text.startswith(start)), None)
        height = self.size.height
        if index is not None and not self.page.offset <= index < self.page.offset + height:
            self.page.offset = max(0, index - height // 2)
            self.repaint()

    def scroll_lines(self, lines: int) -> None:
        """Move up or down."""
        self.page.offset += lines
        self.repaint()

    def find(self, step: int) -> bool:
        """Go to the next (1) or previous (-1) line with the searched text; 0 stays on one that has it."""
        wanted = self.search.lower()
        hits = [i for i, (text, _) in enumerate(self._broken) if wanted and wanted in text.lower()]
        if not hits:
            return False
        here = self.page.offset
        if step > 0:
            self.page.offset = next((i for i in hits if i > here), hits[0])
        elif step < 0:
            self.page.offset = next((i for i in reversed(hits) if i < here), hits[-1])
        else:
            self.page.offset = next((i for i in hits if i >= here), hits[0])
        self.repaint()
        return True

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.scroll_lines(3)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.scroll_lines(-3)


def break_row(row: Row, width: int) -> list[Row]:
    """A row as lines of at most `width` cells; what follows is indented like the start.

    >>> break_row(("  abcdef", Tone.DIM), 5)
    [('  abc', <Tone.DIM: 'dim'>), ('  def', <Tone.DIM: 'dim'>)]
    """
    text, tone = row
    if cell_width(text) <= width or width < 4:
        return [row]
    indent = " " * min(len(text) - len(text.lstrip()), width // 2)
    parts: list[Row] = []
    rest = text
    while cell_width(rest) > width:
        head = head_of(rest, width)
        space = head.rfind(" ")
        if space > len(indent) and space > len(head) * 2 // 3:
            head = head[:space]
        parts.append((head, tone))
        rest = indent + rest[len(head) :].lstrip(" ")
    return [*parts, (rest, tone)]


def _split_match(text: str, wanted: str) -> tuple[str, str, str]:
    at = text.lower().find(wanted.lower()) if wanted else -1
    if at < 0 or len(text.lower()) != len(text):
        return text, "", ""
    return text[:at], text[at : at + len(wanted)], text[at + len(wanted) :]


class TitleLine(LinesWidget):
    """Title, tabs, and how old the text is."""

    DEFAULT_CSS = "TitleLine { height: 2; }"

    def __init__(self) -> None:
        super().__init__(id="title")
        self.where = ""
        self.title = ""
        self.pages: Sequence[Page] = ()
        self.current = 0

    def line(self, y: int, width: int) -> Line:
        painter = Painter(width)
        rule = theme.style(theme.RULE)
        if y == 0:
            painter.add(" " + self.title, theme.style(theme.BRIGHT, bold=True))
            text = clean(self.where)
            painter.to(width - cell_width(text) - 1, theme.style()).add(text, theme.style(theme.QUIET))
            return painter.finish(theme.style())
        painter.add("─", rule)
        for index, page in enumerate(self.pages):
            here = index == self.current
            name = theme.style(theme.ACCENT, bold=True) if here else theme.style(theme.QUIET)
            painter.add(" " + ("›" if here and len(self.pages) > 1 else "") + page.title + " ", name).add("─", rule)
        text, tone = self.pages[self.current].state if self.pages else ("", Tone.DIM)
        if text:
            painter.to(width - cell_width(text) - 3, rule, "─")
            painter.add(" ", rule).add(text, theme.tone_style(tone)).add(" ", rule)
        return painter.finish(rule, "─")


class LinesScreen(PlancScreen):
    """Shows pages; `file_name` is what a saved page is called."""

    views: tuple[str, ...] = (LINES,)

    def __init__(self, title: str, pages: Sequence[Page], *, where: str = "", file_name: str = "text") -> None:
        super().__init__()
        self.heading = title
        self.where = where
        self.pages = list(pages)
        self.file_name = file_name
        self.current = 0
        self.built = False
        self._message_timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield TitleLine()
        yield LineList()
        yield Footer()
        yield Prompt()

    def on_mount(self) -> None:
        commands = self.planc.keymap.hints(self.views)
        hints = [Hint(show_key(c.keys[0]), c.hint, partial(self.run_command, c)) for c in commands if self.offers(c.id)]
        self.query_one(Footer).show(hints)
        self.set_focus(self.query_one(LineList))
        self.built = True
        self.show_page(self.current)
        if any(page.source is not None for page in self.pages):
            self.set_interval(FOLLOW, self.follow)

    def follow(self) -> None:
        """Show what the sources of the pages say now."""
        stamp = clock_text(self.planc.clock.now())
        changed = [page for page in self.pages if page.follow(stamp)]
        if changed:
            self.show_page(self.current)

    def offers(self, command_id: str) -> bool:
        """Whether the footer names this command here."""
        return command_id != "logs" and (command_id != "next_tab" or len(self.pages) > 1)

    def show_page(self, index: int) -> None:
        """Show one of the pages, or the same one again after its rows changed."""
        if not (self.built and self.is_attached):
            return
        self.current = index % len(self.pages)
        title = self.query_one(TitleLine)
        title.title, title.where = clean(self.heading), self.where
        title.pages, title.current = self.pages, self.current
        title.repaint()
        self.query_one(LineList).show(self.pages[self.current])

    def show_message(self, text: str, tone: Tone = Tone.NORMAL) -> None:
        """One line in place of the hints, for a few seconds."""
        footer = self.query_one(Footer)
        footer.say(clean(text), tone)
        if self._message_timer is not None:
            self._message_timer.stop()
        self._message_timer = self.set_timer(MESSAGE_FOR, partial(footer.say, ""))

    # --- keys ---------------------------------------------------------------------------------------------------

    def _scroll(self, lines: int) -> None:
        self.query_one(LineList).scroll_lines(lines)

    def do_up(self, _: str = "") -> None:
        self._scroll(-1)

    def do_down(self, _: str = "") -> None:
        self._scroll(1)

    def do_page_up(self, _: str = "") -> None:
        self._scroll(-max(1, self.query_one(LineList).size.height - 1))

    def do_page_down(self, _: str = "") -> None:
        self._scroll(max(1, self.query_one(LineList).size.height - 1))

    def do_top(self, _: str = "") -> None:
        self._scroll(-(10**9))

    def do_bottom(self, _: str = "") -> None:
        self._scroll(10**9)

    def do_next_tab(self, _: str = "") -> None:
        self.show_page(self.current + 1)

    def do_previous_tab(self, _: str = "") -> None:
        self.show_page(self.current - 1)

    def do_back(self, _: str = "") -> None:
        lines = self.query_one(LineList)
        if lines.search:
            lines.search = ""
            lines.repaint()
            return
        self.dismiss()

    def do_copy(self, _: str = "") -> None:
        self.planc.copy("\n".join(text for text, _ in self.pages[self.current].rows))

    def do_save(self, _: str = "") -> None:
        text = "\n".join(line for line, _ in self.pages[self.current].rows) + "\n"
        self.planc.save_text(self.file_name, text)

    def do_filter(self, _: str = "") -> None:
        self.query_one(Prompt).open("/", self.query_one(LineList).search, ())

    def do_next_match(self, _: str = "") -> None:
        self._find(1)

    def do_previous_match(self, _: str = "") -> None:
        self._find(-1)

    def _find(self, step: int) -> None:
        lines = self.query_one(LineList)
        if lines.search and not lines.find(step):
            self.show_message(f"no line has {clean(lines.search, 40)}", Tone.WARN)

    def on_input_changed(self, event: Prompt.Changed) -> None:
        """Search while it is typed."""
        lines, prompt = self.query_one(LineList), self.query_one(Prompt)
        if prompt.display and prompt.mode == "/":
            lines.search = event.value
            if not lines.find(0):
                lines.repaint()

    def do_command(self, text: str = "") -> None:
        self.query_one(Prompt).open(":", text, words(self.planc))

    def do_help(self, _: str = "") -> None:
        self.planc.room.run_command(self.planc.keymap.get("help"))

    def on_prompt_done(self, event: Prompt.Done) -> None:
        """A command is run where all of them are: in the war room."""
        self._close_prompt()
        if event.mode == "/":
            self._find(0)
        elif event.text:
            self.planc.back_to_room()
            run_line(self.planc.room, event.text)

    def on_prompt_left(self, event: Prompt.Left) -> None:
        if event.mode == "/":
            self.query_one(LineList).search = ""
        self._close_prompt()

    def _close_prompt(self) -> None:
        self.query_one(Prompt).close()
        self.set_focus(self.query_one(LineList))
        self.query_one(LineList).repaint()
