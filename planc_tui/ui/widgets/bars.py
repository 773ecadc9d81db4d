"""The lines above and below the panes: header, findings, tabs and footer.

Invariant: none of them ticks; what they show changes only when what it stands for changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from rich.style import Style
from textual import events
from textual.message import Message

from planc_tui.core.table import Tone
from planc_tui.core.text import cell_width, clean, fit
from planc_tui.ui import theme
from planc_tui.ui.widgets.lines import Line, LinesWidget, Painter

Part = tuple[str, Tone]


class HeaderFacts(Struct, frozen=True):
    """What the first line says. rtt_ms: None while unknown. counts: sources live, stale, denied or away."""

    word: str = ""
    colour: str = "grey"
    context: str = ""
    namespace: str = ""
    version: str = ""
    rtt_ms: float | None = None
    live: int = 0
    stale: int = 0
    denied: int = 0
    away: int = 0
    mode: str = "read-only"
    clock: str = ""
    message: str = ""


class Header(LinesWidget):
    """Two lines: where one is and how much can be trusted; below it the place of the incident's clock."""

    DEFAULT_CSS = "Header { height: 2; }"

    def __init__(self) -> None:
        super().__init__(id="header")
        self._facts = HeaderFacts()
        self._incident: tuple[Part, ...] = (("no incident open", Tone.DIM),)

    def show(self, facts: HeaderFacts) -> None:
        """Replace the first line."""
        if facts != self._facts:
            self._facts = facts
            self.repaint()

    def show_incident(self, parts: tuple[Part, ...]) -> None:
        """Replace the second line."""
        self._incident = parts
        self.repaint()

    def line(self, y: int, width: int) -> Line:
        painter = Painter(width)
        if y == 0:
            return self._first(painter)
        painter.add(" ", theme.style())
        if self._facts.message:
            return painter.add(self._facts.message, theme.tone_style(Tone.CRIT)).finish(theme.style())
        for text, tone in self._incident:
            painter.add(text, theme.tone_style(tone))
        return painter.finish(theme.style())

    def _first(self, painter: Painter) -> Line:
        facts, plain, quiet = self._facts, theme.style(theme.BRIGHT), theme.style(theme.QUIET)
        if facts.word:
            painter.add(f" {clean(facts.word, 16)} ", theme.badge_style(facts.colour))
        right = self._right()
        right_width = sum(cell_width(text) for text, _ in right)
        where = Painter(max(0, painter.left - right_width - 1))
        where.add(" " + (clean(facts.context, 60) or "planc"), theme.style(theme.BRIGHT, bold=True))
        if facts.namespace:
            where.add(" › ", quiet).add(clean(facts.namespace, 60), plain)
        rtt = "" if facts.rtt_ms is None else f"{facts.rtt_ms:.0f} ms"
        for text in (clean(facts.version, 20), rtt):
            if text and where.left >= cell_width(text) + 3:
                where.add("   " + text, quiet)
        for segment in where.finish(theme.style()):
            painter.add(segment.text, segment.style or theme.style())
        painter.to(painter.left and self.size.width - right_width, theme.style())
        for text, style in right:
            painter.add(text, style)
        return painter.finish(theme.style())

    def _right(self) -> list[tuple[str, Style]]:
        facts, quiet = self._facts, theme.style(theme.QUIET)
        parts = [(f"● {facts.live} live  ", theme.style(theme.OK) if facts.live else quiet)]
        for glyph, count, word, tone in (
            ("◌", facts.stale, "stale", Tone.WARN),
            ("⊘", facts.denied, "denied", Tone.WARN),
            ("✖", facts.away, "away", Tone.CRIT),
        ):
            if count:
                parts.append((f"{glyph} {count} {word}  ", theme.tone_style(tone)))
        parts.append((f" {facts.mode}  ", quiet if facts.mode == "read-only" else theme.style(theme.ACCENT)))
        parts.append((f"{facts.clock} ", theme.style(theme.TEXT)))
        return parts


class FindingLine(Struct, frozen=True):
    """One finding as the strip shows it."""

    text: str
    severity: str
    tone: Tone
    procedure: str = ""
    confirmed: bool = True


_GLYPHS = {Tone.CRIT: "✖", Tone.WARN: "▲", Tone.UNKNOWN: "?"}


class FindingsStrip(LinesWidget):
    """What is wrong now, worst first, as much as fits on a line or two."""

    class Clicked(Message):
        """Somebody wants to see all of them."""

    DEFAULT_CSS = "FindingsStrip { height: 1; }"

    def __init__(self) -> None:
        super().__init__(id="findings")
        self._findings: tuple[FindingLine, ...] = ()
        self._quiet: Part = ("… looking", Tone.DIM)

    def show(self, findings: tuple[FindingLine, ...], quiet: Part) -> None:
        """findings: worst first. quiet: what to say when there is none, which depends on what is known."""
        self._findings, self._quiet = findings, quiet
        self.repaint()

    def on_click(self) -> None:
        self.post_message(self.Clicked())

    def line(self, y: int, width: int) -> Line:
        painter = Painter(width).add(" ", theme.style())
        if not self._findings:
            text, tone = self._quiet
            return painter.add(text, theme.tone_style(tone)).finish(theme.style())
        for index, finding in enumerate(self._findings):
            text, tone, tail = _finding(finding, first=index == 0)
            rest = len(self._findings) - index
            after = len(f"  +{rest - 1} more  f ") if rest > 1 else 0
            if index and painter.left < cell_width(text + tail) + after:
                more = f"+{rest} more  f"
                painter.to(width - len(more) - 1, theme.style()).add(more, theme.style(theme.QUIET))
                break
            room = max(1, painter.left - after)
            text = fit(text, min(cell_width(text), room))
            tail = fit(tail, max(0, min(cell_width(tail), room - cell_width(text))))
            painter.add(text, theme.tone_style(tone, bold=index == 0)).add(tail, theme.style(theme.QUIET))
            painter.add("   ", theme.style())
        return painter.finish(theme.style())


def _finding(finding: FindingLine, first: bool) -> tuple[str, Tone, str]:
    tone = finding.tone if finding.confirmed else Tone.UNKNOWN
    severity = f"{finding.severity} " if finding.severity else ""
    tail = f" › {finding.procedure}" if finding.procedure and first else ""
    return f"{_GLYPHS.get(tone, '●')} {severity}{finding.text}", tone, tail


class Tab(Struct, frozen=True):
    """One pane in the strip. glyph: the worst that is known of it."""

    pane_id: str
    number: str
    title: str
    glyph: str
    tone: Tone


class TabStrip(LinesWidget):
    """All panes and how they are, for terminals that show one at a time."""

    class Chosen(Message):
        """A tab was clicked."""

        def __init__(self, pane_id: str) -> None:
            super().__init__()
            self.pane_id = pane_id

    DEFAULT_CSS = "TabStrip { height: 2; display: none; }"

    def __init__(self) -> None:
        super().__init__(id="tabs")
        self._tabs: tuple[Tab, ...] = ()
        self._current = ""
        self._spans: list[tuple[int, int, int, str]] = []

    def show(self, tabs: Sequence[Tab], current: str) -> None:
        """Replace the tabs."""
        self._tabs, self._current = tuple(tabs), current
        self.repaint()

    def prepare(self, width: int, height: int) -> None:
        """Break the tabs into lines."""
        self._spans = []
        x, y = 1, 0
        for tab in self._tabs:
            size = cell_width(self._label(tab))
            if x + size > width and y + 1 < height:
                x, y = 1, y + 1
            self._spans.append((y, x, x + size, tab.pane_id))
            x += size + 1

    @staticmethod
    def _label(tab: Tab) -> str:
        return f"{tab.glyph}{tab.number} {tab.title}"

    def line(self, y: int, width: int) -> Line:
        painter = Painter(width)
        for tab, (row, start, _, pane_id) in zip(self._tabs, self._spans, strict=True):
            if row != y:
                continue
            here = pane_id == self._current
            ground = theme.SELECTED if here else theme.BACKGROUND
            painter.to(start, theme.style())
            painter.add(tab.glyph, theme.tone_style(tab.tone, ground))
            painter.add(f"{tab.number} ", theme.style(theme.ACCENT if here else theme.FAINT, ground))
            color = theme.BRIGHT if here else theme.QUIET
            painter.add(tab.title, theme.style(color, ground, bold=here, reverse=here and self.app.no_color))
        return painter.finish(theme.style())

    def on_click(self, event: events.Click) -> None:
        """Go to the pane whose tab was clicked."""
        for row, start, end, pane_id in self._spans:
            if row == event.y and start <= event.x < end:
                self.post_message(self.Chosen(pane_id))


class Hint(Struct, frozen=True):
    """A key and what it does. run: called when it is clicked. pinned: stays when the line is too short."""

    key: str
    text: str
    run: Callable[[], object]
    pinned: bool = False

    @property
    def width(self) -> int:
        """Cells it takes, with the space after it."""
        return cell_width(self.key) + cell_width(self.text) + 4


class Tray(LinesWidget):
    """One line about actions under way; takes no room when there are none."""

    DEFAULT_CSS = "Tray { height: 1; display: none; }"

    def __init__(self) -> None:
        super().__init__()
        self._parts: tuple[Part, ...] = ()

    def show(self, parts: tuple[Part, ...]) -> None:
        """Replace the line."""
        if parts != self._parts:
            self._parts = parts
            self.display = bool(parts)
            self.repaint()

    def line(self, y: int, width: int) -> Line:
        painter = Painter(width).add(" ", theme.style())
        for text, tone in self._parts:
            painter.add(text, theme.tone_style(tone))
        return painter.finish(theme.style())


class Footer(LinesWidget):
    """One line: what can be done here, or the latest message."""

    DEFAULT_CSS = "Footer { height: 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._hints: tuple[Hint, ...] = ()
        self._message: Part = ("", Tone.NORMAL)
        self._spans: list[tuple[int, int, Hint]] = []

    def show(self, hints: Sequence[Hint]) -> None:
        """Replace the hints."""
        self._hints = tuple(hints)
        self.repaint()

    def say(self, text: str, tone: Tone = Tone.NORMAL) -> None:
        """Show a message in place of the hints; "" brings them back."""
        if (text, tone) != self._message:
            self._message = (text, tone)
            self.repaint()

    def line(self, y: int, width: int) -> Line:
        painter = Painter(width).add(" ", theme.style())
        text, tone = self._message
        if text:
            return painter.add(text, theme.tone_style(tone)).finish(theme.style())
        self._spans = []
        for hint in self._fitting(width - 2):
            start = width - painter.left
            painter.add(hint.key, theme.style(theme.ACCENT)).add(f" {hint.text}", theme.style(theme.QUIET))
            painter.add("   ", theme.style())
            self._spans.append((start, start + hint.width - 3, hint))
        return painter.finish(theme.style())

    def _fitting(self, width: int) -> list[Hint]:
        """The hints that fit: the pinned ones, and of the others as many as there is room for, in their order."""
        left = width + 3 - sum(hint.width for hint in self._hints if hint.pinned)
        shown = []
        for hint in self._hints:
            if not hint.pinned:
                left -= hint.width
            if hint.pinned or left >= 0:
                shown.append(hint)
        return shown

    def on_click(self, event: events.Click) -> None:
        """Do what the clicked hint says."""
        for start, end, hint in self._spans:
            if start <= event.x < end:
                hint.run()
