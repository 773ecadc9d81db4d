"""Declaring an incident and taking one up, from wherever one is in the console.

Invariant: every form ends in one command that is decided on the newest state of the journal, off the UI thread; escape
does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from planc_tui.actions.base import Param
from planc_tui.core.alerts import Alert
from planc_tui.core.ports import PortError, Unreachable
from planc_tui.core.table import Tone
from planc_tui.core.text import clean
from planc_tui.desk.desk import Answer
from planc_tui.desk.feed import DESK
from planc_tui.incident import kinds, lifecycle
from planc_tui.incident.fold import UnknownIncident
from planc_tui.incident.lifecycle import Outcome, Refusal
from planc_tui.incident.model import Incident
from planc_tui.journal import JournalError
from planc_tui.sources.alerts import ALERTS
from planc_tui.sources.slo import SLO
from planc_tui.ui.screens.form import Form

if TYPE_CHECKING:
    from planc_tui.ui.app import PlancApp


def ask(
    planc: PlancApp,
    title: str,
    params: Sequence[Param],
    done: Callable[[Mapping[str, str]], None],
    banner: Sequence[str] = (),
) -> None:
    """Ask for values; escape asks for nothing and does nothing. banner: lines above the values."""
    planc.push_screen(
        Form(title, params, {}, "next; on the last line: done", banner),
        lambda values: done(values) if values is not None else None,
    )


def perform(planc: PlancApp, work: Callable[[], Answer], done: Callable[[Answer], None]) -> None:
    """Run a command of the desk off the UI thread; what refuses it is said."""

    def safely() -> Answer:
        try:
            return work()
        except (JournalError, UnknownIncident) as error:
            raise Unreachable(f"not done: {error}") from None

    def answered(result: Answer | PortError) -> None:
        if isinstance(result, PortError):
            planc.say(result.message, Tone.CRIT)
        elif result.refusal is not None:
            hint = f": {result.refusal.hint}" if result.refusal.hint else ""
            planc.say(f"{result.refusal.reason}{hint}", Tone.WARN)
        else:
            done(result)

    planc.off_thread(safely, answered, "incident")


def declare(planc: PlancApp, *, suspected: bool = False, drill: bool = False) -> None:
    """The declare form: severity and one line, both prefilled from the alert under the cursor or the findings.

    suspected: nobody is paged until it is confirmed. drill: an exercise, left out of the indicators."""
    session = planc.session
    if session is None or session.desk is None:
        reason = "not connected" if session is None else session.journal_trouble
        planc.say(f"no incident can be declared: {reason}", Tone.CRIT)
        return
    desk, playbook = session.desk, session.playbook
    findings = planc.room.findings
    worst = findings[0] if findings else None
    alert = _alert(planc)
    title = worst.text if worst else ""
    if alert is not None:
        title = f"{alert.name}: {alert.summary}" if alert.summary else alert.name
    known = "; ".join(f"{s.id} {s.name.of('en')}: {s.definition.of('en')}" for s in playbook.severities)
    params = (
        Param("title", "what is seen, in one line", default=clean(title, 120)),
        Param("severity", "severity", default=worst.severity if worst else playbook.severities[-1].id, help=known),
        Param("minutes", "minutes since the impact began", default=_minutes(planc), help="empty: unknown"),
    )

    def filled(values: Mapping[str, str]) -> None:
        now = desk.journal.now()
        minutes = values["minutes"].strip()
        impact = now - 60 * float(minutes) if minutes.replace(".", "", 1).isdigit() else None
        form = lifecycle.Declaration(
            title=values["title"],
            severity=values["severity"].strip().upper(),
            impact_start=impact,
            detected_at=alert.started if alert else worst.since if worst else None,
            detected_by=f"alert {clean(alert.name, 80)}" if alert else "findings" if worst else "",
            findings=tuple(finding.id for finding in findings),
            facts={"symptoms": "; ".join(finding.text for finding in findings)},
            suspected=suspected,
            drill=drill,
        )
        perform(planc, lambda: desk.declare(form), lambda answer: _declared(planc, answer))

    what = "Suspect an incident: nobody is paged yet" if suspected else "Declare an incident"
    ask(planc, f"{what} (drill)" if drill else what, params, filled)


def _declared(planc: PlancApp, answer: Answer) -> None:
    if answer.incident is not None:
        planc.say(f"{answer.incident.id} is open: I shows it", Tone.WARN)
        if planc.session is not None:
            planc.session.hub.kick()


def _alert(planc: PlancApp) -> Alert | None:
    """The alert under the cursor, when the alerts pane is the one in use."""
    target = planc.room.pane.target()
    report = planc.store.get(ALERTS).value
    if target is None or target.kind != "Alert" or report is None:
        return None
    return next((alert for alert in report.alerts if alert.fingerprint == target.uid), None)


def _minutes(planc: PlancApp) -> str:
    """How long ago the oldest finding was first seen, or the first bad sample of an objective was taken."""
    alert = _alert(planc)
    seen = [alert.started] if alert is not None else [finding.since for finding in planc.room.findings]
    report = planc.store.get(SLO).value
    if report is not None:
        seen += [status.missed_since for status in report.slos if status.missed_since is not None]
    return f"{max(0.0, planc.clock.now() - min(seen)) / 60:.0f}" if seen else ""


def take_up(planc: PlancApp) -> None:
    """Acknowledge the incident from wherever one is; from an alert, when nothing is open yet, the declare form."""
    session, state = planc.session, planc.store.get(DESK).value
    desk = None if session is None else session.desk
    incident = None if state is None else state.incident
    alert = _alert(planc)
    if desk is None or incident is None or not incident.state.active:
        if alert is not None:
            declare(planc)
        else:
            planc.say("no incident is open: I declares one", Tone.DIM)
        return
    named = f"taken up from alert {clean(alert.name, 80)}" if alert is not None else ""

    def command(known: Incident, now: float) -> Outcome:
        taken = lifecycle.acknowledge(known, desk.actor)
        if isinstance(taken, Refusal) or not named:
            return taken
        noted = lifecycle.write(known, desk.actor, now, kinds.NOTE, named)
        return taken if isinstance(noted, Refusal) else (*noted, *taken)

    perform(
        planc,
        lambda: desk.do(incident.id, command),
        lambda _: planc.say(f"{incident.id} acknowledged: paging stops, the clock runs", Tone.OK),
    )
