"""Everything that is wrong now, with what the playbook says to do.

Invariant: the list follows the findings while it is shown, and says so when nobody knows; the cursor stays on its
finding.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from planc_tui.actions.registry import load as load_actions
from planc_tui.core.findings import Finding
from planc_tui.core.health import Health
from planc_tui.core.table import Tone
from planc_tui.sources.findings import FINDINGS
from planc_tui.ui import pages
from planc_tui.ui.header import quiet_text
from planc_tui.ui.keys import FINDINGS as FINDINGS_VIEW
from planc_tui.ui.screens.lines_screen import LineList, LinesScreen, Page, Row

if TYPE_CHECKING:
    from planc_tui.ui.app import PlancApp


class FindingsScreen(LinesScreen):
    """chosen: told the id of the procedure that was asked for, once this screen has gone."""

    views = (FINDINGS_VIEW, *LinesScreen.views)

    def __init__(self, app: PlancApp, chosen: Callable[[str], None]) -> None:
        self._tell = chosen
        self._titles = {action.id: action.title for action in load_actions()[0].values()}
        self._chosen = ""
        rows, state = self._rows_of(app)
        page = Page("what is wrong now", rows, state, source=lambda: self._rows_of(app))
        super().__init__("findings", [page], file_name="findings")

    def _found(self, app: PlancApp) -> tuple[Finding, ...]:
        return app.store.get(FINDINGS).value or ()

    def _rows_of(self, app: PlancApp) -> tuple[list[Row], Row]:
        """The findings of this moment."""
        session = app.session
        if session is None:
            return [("not connected", Tone.DIM)], ("", Tone.DIM)
        reading, monotonic = app.store.get(FINDINGS), app.clock.monotonic()
        findings = reading.value or ()
        if self._chosen not in [finding.id for finding in findings]:
            self._chosen = findings[0].id if findings else ""
        quiet, _ = quiet_text(session.playbook, app.store, monotonic)
        health = reading.health(monotonic)
        state = ("", Tone.DIM) if health is Health.LIVE else (f"{health.glyph} {health.value}", Tone.WARN)
        return pages.finding_rows(findings, session.playbook, quiet, self._chosen, self._titles), state

    def _move(self, step: int) -> None:
        ids = [finding.id for finding in self._found(self.planc)]
        if ids:
            here = ids.index(self._chosen) if self._chosen in ids else 0
            self._chosen = ids[max(0, min(len(ids) - 1, here + step))]
            self.follow()
            self.query_one(LineList).reveal(pages.CHOSEN)

    def do_up(self, _: str = "") -> None:
        self._move(-1)

    def do_down(self, _: str = "") -> None:
        self._move(1)

    def do_open_finding(self, _: str = "") -> None:
        """Leave with the procedure of the chosen finding."""
        chosen = next((finding for finding in self._found(self.planc) if finding.id == self._chosen), None)
        if chosen is None:
            self.show_message("nothing is wrong that the playbook's rules know of", Tone.DIM)
        elif not chosen.procedure:
            self.show_message("the playbook names no procedure for this finding", Tone.WARN)
        else:
            self.dismiss()
            self._tell(chosen.procedure)
