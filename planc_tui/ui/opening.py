"""Opens what is under the cursor: details, YAML, logs.

Invariant: the object is read by the identity that the row had; when its uid has changed since, the screen says that it
is another object of the same name.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from textual.timer import Timer

from planc_tui.core.ports import BadAnswer, PortError
from planc_tui.core.table import Target, Tone
from planc_tui.core.text import clean
from planc_tui.ui import kube_objects
from planc_tui.ui.header import clock_text
from planc_tui.ui.kube_rows import event_rows, pod_rows, status_rows
from planc_tui.ui.screens.lines_screen import LinesScreen, Page, Row, Source
from planc_tui.ui.widgets.pane_widget import PaneWidget

if TYPE_CHECKING:
    from planc_tui.ui.app import PlancApp

log = logging.getLogger(__name__)
REFRESH = 10.0


class ObjectScreen(LinesScreen):
    """One Kubernetes object, read again every ten seconds while it is shown."""

    def __init__(
        self, app: PlancApp, target: Target, source: Source | None = None, *, yaml_first: bool = False
    ) -> None:
        waiting: list[Row] = [("reading …", Tone.DIM)]
        self._status = Page("pod" if target.kind == "Pod" else "status", list(waiting))
        pages = [self._status, Page("events", list(waiting)), Page("YAML", list(waiting))]
        if source is not None and (lines := source()[0]):
            pages.insert(0, Page("details", list(lines), source=source))
        where = " › ".join(part for part in (target.context, target.namespace) if part)
        super().__init__(f"{target.kind} {target.name}", pages, where=where, file_name=f"{target.kind}-{target.name}")
        self.target = target
        self._managed_fields = False
        self.current = len(pages) - 1 if yaml_first else 0
        self._session = app.session
        self._found: kube_objects.Object | None = None
        self._timer: Timer | None = None

    def on_mount(self) -> None:
        self._timer = self.set_interval(REFRESH, self.read)
        self.read()

    def read(self) -> None:
        """Ask for the object, and for its events when they are shown."""
        session = self._session
        if session is None or session is not self.planc.session or not self.is_attached:
            return
        port, target = session.cluster, self.target
        self.planc.off_thread(lambda: kube_objects.fetch(port, target), self._object_arrived, "details")
        if self.pages[self.current].title == "events":
            self._read_events()

    def _read_events(self) -> None:
        session = self._session
        if session is not None:
            port, target = session.cluster, self.target
            self.planc.off_thread(lambda: kube_objects.fetch_events(port, target), self._events_arrived, "events")

    def show_page(self, index: int) -> None:
        changed = index % len(self.pages) != self.current
        super().show_page(index)
        if changed and self.built and self.pages[self.current].title == "events":
            self._read_events()

    def do_refresh(self, _: str = "") -> None:
        self.read()

    def do_managed_fields(self, _: str = "") -> None:
        self._managed_fields = not self._managed_fields
        self._fill()

    def do_logs(self, _: str = "") -> None:
        open_logs(self.planc, self.target, previous=False)

    def do_previous_logs(self, _: str = "") -> None:
        open_logs(self.planc, self.target, previous=True)

    def offers(self, command_id: str) -> bool:
        return self.target.kind == "Pod" if command_id == "logs" else super().offers(command_id)

    def _object_arrived(self, found: kube_objects.Object | PortError) -> None:
        if not self.is_attached:
            return
        if isinstance(found, PortError):
            self._failed(found, [self._status, self.pages[-1]])
            return
        self._found = found
        try:
            self._fill()
        except Exception:
            log.exception("the answer about %s is not what a %s looks like", self.target.name, self.target.kind)
            unreadable = BadAnswer("the answer does not look like such an object (logged)")
            self._failed(unreadable, [self._status, self.pages[-1]])

    def _fill(self) -> None:
        found = self._found
        if found is None:
            return
        state: Row = ("", Tone.DIM)
        uid = (found.get("metadata") or {}).get("uid")
        if self.target.uid and uid != self.target.uid and "/" not in self.target.uid:
            state = ("▲ this is another object of the same name", Tone.WARN)
        now = self.planc.clock.now()
        rows = pod_rows(found, now) if self.target.kind == "Pod" else status_rows(found, now)
        _replace(self._status, rows, state)
        _replace(self.pages[-1], kube_objects.yaml_rows(found, self._managed_fields), state)
        super().show_page(self.current)

    def _events_arrived(self, found: Any) -> None:
        if not self.is_attached:
            return
        page = next(page for page in self.pages if page.title == "events")
        if isinstance(found, PortError):
            self._failed(found, [page])
            return
        _replace(page, event_rows(found, self.planc.clock.now()), ("", Tone.DIM))
        super().show_page(self.current)

    def _failed(self, error: PortError, pages: list[Page]) -> None:
        """What was read before stays, and is said to be old."""
        reason = clean(error.message) + (f" ({clean(error.hint)})" if error.hint else "")
        for page in pages:
            if page.rows and page.rows[0][0] == "reading …":
                page.rows = [(f"{error.health.glyph} {reason}", Tone.WARN)]
            page.state = (f"◌ not read at {clock_text(self.planc.clock.now())}: {reason}", Tone.WARN)
        super().show_page(self.current)


def _replace(page: Page, rows: list[Row], state: Row) -> None:
    """New rows, only when they differ, so that a quiet object costs no byte."""
    if rows != page.rows:
        page.rows = rows
    page.state = state


def open_row(app: PlancApp, widget: PaneWidget) -> None:
    """What is under the cursor of a pane; what needs no request is followed while it is shown."""
    target, lines = widget.target(), widget.detail()
    identity = widget.model.selected

    def source() -> tuple[list[Row] | None, Row]:
        known = widget.detail_of(identity)
        return None if known is None else [(clean(line), Tone.NORMAL) for line in known], widget.doubt

    if target is not None and kube_objects.is_kubernetes(target) and (target.kind != "Event" or not lines):
        app.push_screen(ObjectScreen(app, target, source))
    elif not lines:
        app.say("there is nothing more to know about this row", Tone.DIM)
    elif target is not None and target.kind == "Queue" and app.session is not None:
        from planc_tui.ui.screens.queue import QueueScreen  # needed for queues alone

        app.push_screen(QueueScreen(app.session, target, lines, source))
    else:
        title = f"{target.kind} {target.name}" if target is not None else "details"
        rows: list[Row] = [(clean(line), Tone.NORMAL) for line in lines]
        where = target.context if target is not None else ""
        app.push_screen(LinesScreen(title, [Page("details", rows, source=source)], where=where, file_name="details"))


def open_yaml(app: PlancApp, target: Target) -> None:
    """The object as YAML."""
    if kube_objects.is_kubernetes(target):
        app.push_screen(ObjectScreen(app, target, yaml_first=True))
    else:
        app.say(f"a {target.kind} has no YAML", Tone.DIM)


def open_logs(app: PlancApp, target: Target, *, previous: bool) -> None:
    """Logs of a pod."""
    if target.kind != "Pod":
        app.say("logs belong to pods: put the cursor on one", Tone.DIM)
        return
    if app.session is None:
        app.say("not connected", Tone.WARN)
        return
    from planc_tui.ui.screens.logs import LogScreen  # parses and follows lines; nothing else needs it

    app.push_screen(LogScreen(app.session, target, previous=previous))
