"""The war room: all panes, what is wrong above them, what can be done below.

Invariant: only panes that are on the screen are updated, and only their topics are needed.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from msgspec.structs import replace
from textual import events
from textual.app import ComposeResult
from textual.timer import Timer

from planc_tui.actions.runs import RUNS
from planc_tui.core.cluster.topics import LINK
from planc_tui.core.findings import Finding
from planc_tui.core.health import Health
from planc_tui.core.table import Tone
from planc_tui.core.text import clean
from planc_tui.desk.feed import DESK
from planc_tui.incident.clockview import clock_view
from planc_tui.incident.lifecycle import Evidence
from planc_tui.sources.findings import FINDINGS
from planc_tui.ui import header, theme
from planc_tui.ui.incident_text import head_line, quiet_line
from planc_tui.ui.keys import PROCEDURE, ROOM, pane_view, show_key
from planc_tui.ui.layout import SMALLEST, Size, size_class, slots
from planc_tui.ui.namespace_check import NamespaceCheck
from planc_tui.ui.panes.base import Pane
from planc_tui.ui.procedures import Guide
from planc_tui.ui.screens.room_keys import RoomKeys
from planc_tui.ui.tray import tray_line
from planc_tui.ui.widgets.bars import FindingsStrip, Footer, Header, HeaderFacts, Hint, Tab, TabStrip, Tray
from planc_tui.ui.widgets.clock_bar import ClockBar
from planc_tui.ui.widgets.grid import PaneGrid
from planc_tui.ui.widgets.lines import Line, LinesWidget, Painter
from planc_tui.ui.widgets.pane_widget import PaneWidget
from planc_tui.ui.widgets.procedure_panel import Middle, ProcedurePanel
from planc_tui.ui.widgets.prompt import Prompt

MESSAGE_FOR = 6.0
LATEST = 1.5  # seconds
ALWAYS_NEEDED = "console"  # who the hub is told needs what the header and the findings strip show


class TooSmall(LinesWidget):
    """Covers a terminal in which nothing could be read."""

    DEFAULT_CSS = "TooSmall { layer: top; width: 100%; height: 100%; display: none; }"

    def line(self, y: int, width: int) -> Line:
        painter = Painter(width)
        if y == self.size.height // 2:
            size = self.app.size
            text = f"{size.width}x{size.height} is too small: planc needs {SMALLEST[0]}x{SMALLEST[1]}"
            painter.to(max(0, (width - len(text)) // 2), theme.style()).add(text, theme.tone_style(Tone.WARN))
        return painter.finish(theme.style())


class Room(RoomKeys):
    """All panes on one screen."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = False
        self.evidence: Evidence | None = None
        self._dirty: set[str] = set()
        self._not_before: dict[str, float] = {}
        self._minute = 0.0
        self._message_timer: Timer | None = None
        self._namespace: NamespaceCheck

    # --- building -----------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield Header()
        yield ClockBar()
        yield FindingsStrip()
        yield TabStrip()
        self.panes = {pane.id: PaneWidget(pane) for pane in self.planc.panes}
        self._namespace = NamespaceCheck(self.planc)
        panel = ProcedurePanel()
        self.guide = Guide(self, panel)
        with Middle():
            with PaneGrid():
                yield from self.panes.values()
            yield panel
        yield Tray()
        yield Footer()
        yield Prompt()
        yield TooSmall()

    def on_mount(self) -> None:
        if self.panes:
            self.visit(next(iter(self.panes)))

    def on_resize(self, event: events.Resize) -> None:
        self.size_class = size_class(event.size.width, event.size.height)
        too_small = self.size_class is Size.TOO_SMALL
        self.query_one(TooSmall).display = too_small
        self.query_one(TabStrip).display = self.size_class is Size.ONE
        self.place_procedure()

    def place_panes(self) -> None:
        """Place the panes anew: another size, another pane, or zoom."""
        grid = self.query_one(PaneGrid)
        if self.size_class is Size.TOO_SMALL or not self.panes:
            return
        shown = self.zoomed or (self.current if self.size_class is Size.ONE else "")
        width, height = grid.size
        places = slots(self.size_class, width, height, tuple(self.panes), shown)
        if self.current not in places:
            places = slots(self.size_class, width, height, tuple(self.panes), self.current)
        self.rects = places
        self.on_screen = tuple(places)
        for pane_id, rect in places.items():
            self.panes[pane_id].joint = rect.joint
        grid.place({f"pane-{pane_id}": rect for pane_id, rect in places.items()})
        if not isinstance(self.focused, ProcedurePanel):
            self.set_focus(self.panes[self.current])
        self._need()
        self._update(self.on_screen)
        self._bars()

    # --- data ------------------------------------------------------------------------------------------------------

    def session_changed(self) -> None:
        """Another session, or none: nothing of the old one may stay on the screen."""
        for widget in self.panes.values():
            widget.clear(self.planc.trouble)
        self._need()
        self._update(self.on_screen)
        self._bars()

    def _need(self) -> None:
        session = self.planc.session
        if session is None:
            return
        for pane_id, widget in self.panes.items():
            session.hub.need(f"pane:{pane_id}", widget.pane.topics if pane_id in self.on_screen else ())
        session.hub.need(ALWAYS_NEEDED, (LINK, FINDINGS, DESK))

    def topics_changed(self, names: Iterable[str]) -> None:
        """Some topics have new readings."""
        changed = set(names)
        self._dirty |= {
            pane_id for pane_id in self.on_screen if any(t.name in changed for t in self.panes[pane_id].pane.topics)
        }
        now = time.monotonic()
        due = tuple(p for p in self.on_screen if p in self._dirty and self._not_before.get(p, 0.0) <= now)
        self._update(due)
        self.waiting = bool(self._dirty & set(self.on_screen))
        if self.waiting:
            self.planc.flush_soon(max(0.05, min(self._not_before.get(p, 0.0) for p in self._dirty) - now))
        self._bars()

    def _update(self, pane_ids: Iterable[str]) -> None:
        """Ask panes for their rows. One that takes long is asked less often: it may use 5 % of the processor, and is
        never late by more than LATEST, whatever it takes."""
        for pane_id in pane_ids:
            widget = self.panes[pane_id]
            self._dirty.discard(pane_id)
            started = time.thread_time()
            view = self.planc.view_for(widget.pane.topics, widget.options)
            if view is not None:
                widget.update(view)
            took = time.thread_time() - started
            self._not_before[pane_id] = time.monotonic() + min(took * 20, LATEST)

    def tick(self) -> None:
        """Once a second: follow what time alone changes."""
        session = self.planc.session
        if session is not None:
            for pane_id in self.on_screen:
                widget = self.panes[pane_id]
                widget.tick(self.planc.store.peek(widget.pane.topics[0]), self.planc.clock.monotonic())
        minute = self.planc.clock.now() // 60
        if minute != self._minute:
            # Ages move with the header's clock, and the screen stands still for the rest of the minute.
            self._minute = minute
            self.ages()
        self._bars()

    def ages(self) -> None:
        """Ages of objects: at the full minute, and every ten seconds for those that are younger than one."""
        for pane_id in self.on_screen:
            widget = self.panes[pane_id]
            widget.later(self.planc.clock.now(), self.planc.clock.monotonic())

    def _bars(self) -> None:
        """Header, findings and tabs; each paints only what differs."""
        planc, session = self.planc, self.planc.session
        now, monotonic = planc.clock.now(), planc.clock.monotonic()
        strip = self.query_one(FindingsStrip)
        if session is None:
            word = "not connected" if planc.trouble else "connecting"
            facts = HeaderFacts(context=planc.options.context or "", mode=word, message=planc.trouble)
            self.query_one(Header).show(replace(facts, clock=header.clock_text(now)))
            strip.show((), ("… connecting", Tone.DIM) if not planc.trouble else ("", Tone.DIM))
        else:
            facts = header.header_facts(session, planc.store, now, monotonic)
            lost = self._namespace.words("pods" in self.on_screen and self.panes["pods"].blank)
            self.query_one(Header).show(replace(facts, message=facts.message or lost))
            reading = planc.store.get(FINDINGS)
            live = reading.health(monotonic) is Health.LIVE
            lines = header.finding_lines(reading.value or (), session.playbook, live)
            strip.show(lines, header.quiet_text(session.playbook, planc.store, monotonic))
        self.guide.refresh()
        self._incident(now)
        runs = planc.store.peek(RUNS).value or ()
        self.query_one(Tray).show(tray_line(runs, monotonic))
        if self.size_class is Size.ONE:
            tabs = [self._tab(widget.pane) for widget in self.panes.values()]
            self.query_one(TabStrip).show(tabs, self.current)
        self._hints()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong now; empty when nobody knows."""
        return self.planc.store.get(FINDINGS).value or ()

    def live_facts(self) -> dict[str, str]:
        """Facts of the moment for messages."""
        session = self.planc.session
        if session is None:
            return {}
        found = {"context": session.identity.context, "namespace": session.identity.namespace}
        if self.findings:
            found["symptoms"] = "; ".join(finding.text for finding in self.findings)
        return found

    def _incident(self, now: float) -> None:
        """The clock: large while an incident is open, one quiet line otherwise."""
        session = self.planc.session
        trouble = "" if session is None else session.journal_trouble
        reading = self.planc.store.get(DESK)
        if reading.fault is not None:
            trouble = reading.fault.message
        state = reading.value
        incident = None if state is None else state.incident
        keeper = "" if state is None else state.keeper
        standing = None if state is None else state.standing
        self.evidence = None if standing is None else standing.evidence(self.planc.clock.monotonic())
        bar, head = self.query_one(ClockBar), self.query_one(Header)
        if incident is None or incident.state.final:
            bar.show(None)
            head.show_incident(quiet_line(keeper, trouble) if session is not None else ())
            return
        view = clock_view(incident, now)
        bar.show(view if incident.state.active else None)
        fragile = state is not None and state.fragile
        head.show_incident(head_line(view, keeper, trouble, fragile=fragile))

    def _tab(self, pane: Pane[Any]) -> Tab:
        try:
            return header.tab(pane, self.planc.view_for(pane.topics))
        except Exception:
            return Tab(pane.id, pane.number, pane.title, "?", Tone.WARN)

    # --- keys -------------------------------------------------------------------------------------------------------

    def key_views(self) -> tuple[str, ...]:
        if isinstance(self.focused, ProcedurePanel):
            return (PROCEDURE,)
        return (pane_view(self.current), ROOM)

    def show_step(self, pane_id: str, arguments: Mapping[str, str]) -> None:
        """Go to the pane a step looks at, with its filter."""
        known = {"logs": "errors"}.get(pane_id, pane_id)
        if known not in self.panes:
            self.show_message(f"there is no pane {clean(pane_id)}", Tone.WARN)
            return
        self.visit(known)
        wrong = self.panes[known].set_filter(arguments.get("filter", ""))
        if wrong:
            self.show_message(wrong, Tone.WARN)
        self.set_focus(self.query_one(ProcedurePanel))

    def place_procedure(self) -> None:
        """Beside the panes where there is room, below them elsewhere."""
        self.query_one(Middle).set_class(self.size.width < 110, "below")
        self.call_after_refresh(self.place_panes)

    def on_pane_grid_resized(self) -> None:
        """The checklist took room from the panes, or gave it back."""
        self.place_panes()

    def _hints(self) -> None:
        commands = self.planc.keymap.hints(self.key_views())
        hints = [
            Hint(show_key(c.keys[0]), c.hint, partial(self.run_command, c), c.id == "help")
            for c in commands
            if c.id != "back"
        ]
        self.query_one(Footer).show(hints)

    def show_message(self, text: str, tone: Tone = Tone.NORMAL) -> None:
        """One line in place of the hints, for a few seconds."""
        self.query_one(Footer).say(clean(text), tone)
        if self._message_timer is not None:
            self._message_timer.stop()
        self._message_timer = self.set_timer(MESSAGE_FOR, partial(self.query_one(Footer).say, ""))
