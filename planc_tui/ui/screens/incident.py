"""The incident: its clock, timeline, checklist and messages, and everything that can be done with it by one key.

Invariant: every key ends in one command that is decided on the newest state of the journal; a refusal says why and what
to do instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from planc_tui.actions.base import Param
from planc_tui.core.alerts import Alert
from planc_tui.core.ports import PortError, Unreachable
from planc_tui.core.table import Tone
from planc_tui.core.text import clean
from planc_tui.core.timeline import Draft
from planc_tui.desk.compose import compose
from planc_tui.desk.desk import Answer, Command, Desk
from planc_tui.desk.feed import DESK
from planc_tui.incident import kinds, lifecycle, messages
from planc_tui.incident.clockview import clock_view
from planc_tui.incident.fold import UnknownIncident
from planc_tui.incident.model import DeliveryState, Incident, MessageKind, Role
from planc_tui.incident.postmortem import to_markdown
from planc_tui.journal import JournalError
from planc_tui.sources.alerts import ALERTS
from planc_tui.sources.slo import SLO
from planc_tui.ui.incident_text import checklist_rows, delivery_rows, summary_rows, timeline_rows
from planc_tui.ui.keys import INCIDENT
from planc_tui.ui.screens.form import Form
from planc_tui.ui.screens.lines_screen import LinesScreen, Page
from planc_tui.ui.screens.message import MessageEditor, Preview

if TYPE_CHECKING:
    from planc_tui.ui.app import PlancApp

PAGES = ("Incident", "Timeline", "Checklist", "Messages and pages")


def ask(planc: PlancApp, title: str, params: Sequence[Param], done: Callable[[Mapping[str, str]], None]) -> None:
    """Ask for values; escape asks for nothing and does nothing."""
    planc.push_screen(
        Form(title, params, {}, "next; on the last line: done"),
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


def declare(planc: PlancApp) -> None:
    """The declare form: severity and one line, both prefilled from the alert under the cursor or the findings."""
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
        )
        perform(planc, lambda: desk.declare(form), lambda answer: _declared(planc, answer))

    ask(planc, "Declare an incident", params, filled)


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


class IncidentScreen(LinesScreen):
    """The current incident."""

    views = (INCIDENT, *LinesScreen.views)

    def __init__(self, desk: Desk, incident: Incident) -> None:
        super().__init__(incident.id, [Page(title) for title in PAGES], where=incident.title, file_name=incident.id)
        self._desk = desk
        self._incident = incident
        self._drafts: dict[MessageKind, dict[str, str]] = {}

    def on_mount(self) -> None:
        super().on_mount()
        self._fill()
        self.set_interval(1.0, self._fill)

    def _fill(self) -> None:
        """Follow the journal and the clock."""
        state = self.planc.store.get(DESK).value
        if state is not None and state.incident is not None and state.incident.id == self._incident.id:
            self._incident = state.incident
        incident = self._incident
        view = clock_view(incident, self.planc.clock.now())
        rows = (
            summary_rows(incident, view),
            timeline_rows(incident),
            checklist_rows(incident),
            delivery_rows(incident),
        )
        changed = False
        for page, fresh in zip(self.pages, rows, strict=True):
            if page.rows != fresh:
                page.rows = fresh
                changed = True
        if changed:
            self.show_page(self.current)

    # --- commands -----------------------------------------------------------------------------------------------

    def _do(self, command: Command, said: str, after: Callable[[], None] = lambda: None) -> None:
        def done(answer: Answer) -> None:
            after()
            if answer.incident is not None:
                self._incident = answer.incident
            self.show_message(said, Tone.OK)
            self._fill()

        perform(self.planc, lambda: self._desk.do(self._incident.id, command), done)

    def _ask(
        self, title: str, params: Sequence[Param], build: Callable[[Mapping[str, str]], Command], said: str
    ) -> None:
        ask(self.planc, title, params, lambda values: self._do(build(values), said))

    def do_inc_ack(self, _: str = "") -> None:
        self._do(
            lambda i, _now: lifecycle.acknowledge(i, self._desk.actor), "acknowledged: paging stops, the clock runs"
        )

    def do_inc_unack(self, _: str = "") -> None:
        self._do(lambda i, _now: lifecycle.unacknowledge(i, self._desk.actor), "not acknowledged any more")

    def do_inc_confirm(self, _: str = "") -> None:
        self._do(lambda i, _now: lifecycle.confirm(i, self._desk.actor), "confirmed")

    def do_inc_snooze(self, _: str = "") -> None:
        params = (Param("minutes", "minutes", default="10"), Param("reason", "reason"))

        def build(values: Mapping[str, str]) -> Command:
            seconds = 60 * number(values["minutes"])
            return lambda i, now: lifecycle.snooze(i, self._desk.actor, now, seconds, values["reason"])

        self._ask("Snooze the paging", params, build, "snoozed; the clock runs")

    def do_inc_escalate(self, _: str = "") -> None:
        def build(values: Mapping[str, str]) -> Command:
            return lambda i, now: lifecycle.escalate(
                i, self._desk.actor, now, values["reason"], values["level"].strip()
            )

        params = (Param("reason", "reason"), Param("level", "level", help="empty: the next one"))
        self._ask("Escalate now", params, build, "escalated")

    def do_inc_page(self, _: str = "") -> None:
        known = ", ".join(channel.id for channel in self._incident.policy.channels)
        params = (Param("who", "who"), Param("channel", "channel", help=known), Param("number", "number, for a call"))

        def build(values: Mapping[str, str]) -> Command:
            who, channel = values["who"], values["channel"].strip()
            return lambda i, _now: lifecycle.page_contact(i, self._desk.actor, who, channel, values["number"])

        self._ask("Page somebody", params, build, "paged")

    def do_inc_reached(self, _: str = "") -> None:
        calls = clock_view(self._incident, self.planc.clock.now()).calls
        if not calls:
            self._hand_over()
            return
        call = calls[0]

        def build(values: Mapping[str, str]) -> Command:
            return lambda i, _now: lifecycle.reached(i, self._desk.actor, call.page, values["who"])

        params = (Param("who", f"who answered {call.number}", default=call.who),)
        self._ask(f"Call {call.who} {call.number}", params, build, "written down")

    def _hand_over(self) -> None:
        """Copy the oldest text that a person must pass on, and write down that they did."""
        waiting = [d for d in self._incident.deliveries if d.state is DeliveryState.CALL and not d.page]
        if not waiting:
            self.show_message("no call and no text is waiting", Tone.DIM)
            return
        self.planc.copy(waiting[0].text)
        self._do(
            lambda i, _now: messages.handed_over(i, self._desk.actor, waiting[0].id),
            "copied: pass it on (written down)",
        )

    def do_inc_severity(self, _: str = "") -> None:
        known = ", ".join(rule.id for rule in self._incident.policy.severities)
        params = (Param("severity", "severity", default=self._incident.severity, help=known), Param("reason", "reason"))

        def build(values: Mapping[str, str]) -> Command:
            wanted = values["severity"].strip().upper()
            return lambda i, _now: lifecycle.change_severity(i, self._desk.actor, wanted, values["reason"])

        self._ask("Change the severity", params, build, "severity changed")

    def _write(self, kind: str, title: str) -> None:
        def build(values: Mapping[str, str]) -> Command:
            minutes = values["ago"].strip()
            at = self._desk.journal.now() - 60 * number(minutes) if minutes else None
            more = {name: values[name].strip() for name in ("owner", "due") if name in values}
            return lambda i, now: lifecycle.write(i, self._desk.actor, now, kind, values["text"], at=at, **more)

        params = [Param("text", title), Param("ago", "happened so many minutes ago", help="empty: now")]
        if kind == kinds.TODO:
            params[1:1] = [Param("owner", "who does it"), Param("due", "by when", help="empty: no date")]
        self._ask(title.capitalize(), params, build, "written down")

    def do_inc_note(self, _: str = "") -> None:
        self._write(kinds.NOTE, "note")

    def do_inc_decision(self, _: str = "") -> None:
        self._write(kinds.DECISION, "decision")

    def do_inc_hypothesis(self, _: str = "") -> None:
        self._write(kinds.HYPOTHESIS, "hypothesis")

    def do_inc_todo(self, _: str = "") -> None:
        self._write(kinds.TODO, "to do")

    def do_inc_correct(self, _: str = "") -> None:
        def build(values: Mapping[str, str]) -> Command:
            seq = int(number(values["entry"]))
            return lambda i, _now: lifecycle.correct(i, self._desk.actor, seq, values["text"])

        params = (Param("entry", "number of the entry (timeline)"), Param("text", "the right text"))
        self._ask("Correct an entry", params, build, "corrected; the old one stays visible")

    def do_inc_role(self, _: str = "") -> None:
        names = ", ".join(role.value for role in Role)
        params = (
            Param("role", "role", default=Role.COMMANDER.value, help=names),
            Param("who", "who", help="empty: you"),
        )

        def build(values: Mapping[str, str]) -> Command:
            role = next((r for r in Role if r.value == values["role"].strip().lower()), Role.COMMANDER)
            return lambda i, _now: lifecycle.assume_role(i, self._desk.actor, role, values["who"].strip())

        self._ask("Take or hand over a role", params, build, "role written down")

    def do_inc_fact(self, _: str = "") -> None:
        def build(values: Mapping[str, str]) -> Command:
            facts = {values["name"].strip(): values["value"]}
            return lambda i, now: lifecycle.set_facts(i, self._desk.actor, now, facts)

        params = (
            Param("name", "fact", help="root_cause, users_affected, impact, expected_end, review_date"),
            Param("value", "value"),
        )
        self._ask("Write down a fact", params, build, "written down")

    def do_inc_tick(self, _: str = "") -> None:
        points = self._incident.policy.checklist

        def build(values: Mapping[str, str]) -> Command:
            index = int(number(values["point"])) - 1
            point = points[index].id if 0 <= index < len(points) else values["point"]
            return lambda i, _now: lifecycle.tick_point(i, self._desk.actor, point)

        self._ask("Tick a point of the checklist", (Param("point", "number of the point"),), build, "ticked")

    def do_inc_mitigate(self, _: str = "") -> None:
        def build(values: Mapping[str, str]) -> Command:
            return lambda i, _now: lifecycle.mitigate(i, self._desk.actor, values["how"])

        self._ask("Mitigated", (Param("how", "what stopped the harm"),), build, "mitigated")

    def do_inc_resolve(self, _: str = "") -> None:
        evidence = self.planc.room.evidence
        proven = evidence is not None and evidence.good_for is not None and evidence.needed is not None
        signals = "; ".join(evidence.signals) if evidence is not None else "the signals are not known"
        good = f"good for {evidence.good_for:.0f} s" if proven and evidence and evidence.good_for is not None else ""

        def build(values: Mapping[str, str]) -> Command:
            return lambda i, _now: lifecycle.resolve(i, self._desk.actor, evidence, values["override"])

        params = (Param("override", "reason, only if it is not proven", help=f"{signals} {good}".strip()),)
        self._ask("Resolve", params, build, "resolved: send the resolution message (m)")

    def do_inc_reopen(self, _: str = "") -> None:
        def build(values: Mapping[str, str]) -> Command:
            return lambda i, now: lifecycle.reopen(i, self._desk.actor, now, values["reason"])

        self._ask("Reopen", (Param("reason", "reason"),), build, "open again: the ladder starts anew")

    def do_inc_review(self, _: str = "") -> None:
        self._do(lambda i, _now: lifecycle.review(i, self._desk.actor), "in review: go through the checklist")

    def do_inc_close(self, _: str = "") -> None:
        self._do(lambda i, _now: lifecycle.close(i, self._desk.actor), "closed")

    def do_inc_cancel(self, _: str = "") -> None:
        def build(values: Mapping[str, str]) -> Command:
            return lambda i, _now: lifecycle.cancel(i, self._desk.actor, values["reason"])

        self._ask("Cancel: a false alarm", (Param("reason", "reason"),), build, "cancelled")

    # --- messages and export ------------------------------------------------------------------------------------

    def do_inc_message(self, _: str = "") -> None:
        session = self.planc.session
        if session is None:
            return
        live = self.planc.room.live_facts()
        composed = compose(session.playbook, self._incident, self._desk.journal.now(), live=live)
        if not composed.texts:
            self.show_message("the playbook names no channel for messages: set messages.channels", Tone.WARN)
            return

        drafts = self._drafts.setdefault(composed.kind, {})

        def edited(texts: Mapping[str, str] | None) -> None:
            if texts is None:
                return

            def send() -> None:
                self._do(self._queue(composed.kind, texts), "queued: the last tab shows each channel", drafts.clear)

            self.planc.push_screen(Preview(composed, texts, send))

        self.planc.push_screen(MessageEditor(composed, drafts), edited)

    def _queue(self, kind: MessageKind, texts: Mapping[str, str]) -> Command:
        return lambda i, _now: messages.queue_message(i, self._desk.actor, kind, texts)

    def do_inc_export(self, _: str = "") -> None:
        """The post-mortem as Markdown, in a new file."""
        self.planc.save_text(self._incident.id, to_markdown(self._incident, self._desk.journal.now()), "md")
        written = Draft(self._incident.id, kinds.EXPORTED, self._desk.actor, "post-mortem exported")
        self._do(lambda _i, _now: (written,), "the post-mortem is written; fill in what only people know")


def number(text: str) -> float:
    """A number that was typed; 0 when it is none, which the command then refuses.

    >>> number(" 12 "), number("soon")
    (12.0, 0.0)
    """
    try:
        return float(text.strip())
    except ValueError:
        return 0.0
