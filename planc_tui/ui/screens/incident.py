"""The incident: its clock, timeline, checklist and messages, and everything that can be done with it by one key.

Invariant: every key ends in one command that is decided on the newest state of the journal; a refusal says why and what
to do instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from planc_tui.actions.base import Param
from planc_tui.core.table import Tone
from planc_tui.core.timeline import Draft
from planc_tui.desk.compose import compose
from planc_tui.desk.desk import Answer, Command, Desk
from planc_tui.desk.feed import DESK
from planc_tui.incident import kinds, lifecycle, messages
from planc_tui.incident.clockview import clock_view
from planc_tui.incident.model import DeliveryState, Incident, MessageKind, Role
from planc_tui.incident.postmortem import to_markdown
from planc_tui.ui.declaring import ask, perform
from planc_tui.ui.incident_text import (
    big_number,
    checklist_rows,
    delivery_rows,
    open_todos,
    summary_rows,
    timeline_rows,
)
from planc_tui.ui.keys import INCIDENT
from planc_tui.ui.screens.lines_screen import LinesScreen, Page
from planc_tui.ui.screens.message import MessageEditor, Preview

if TYPE_CHECKING:
    pass

PAGES = ("Incident", "Timeline", "Checklist", "Messages and pages")


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
        self,
        title: str,
        params: Sequence[Param],
        build: Callable[[Mapping[str, str]], Command],
        said: str,
        banner: Sequence[str] = (),
    ) -> None:
        ask(self.planc, title, params, lambda values: self._do(build(values), said), banner)

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
        session = self.planc.session
        contacts = () if session is None else session.playbook.contacts
        known = ", ".join(channel.id for channel in self._incident.policy.channels)
        named = ", ".join(contact.id for contact in contacts)
        params = (
            Param("who", "who", help=f"a name, or a contact: {named}" if named else "a name"),
            Param("channel", "channel", help=known),
            Param("number", "number, for a call", help="empty: the contact's"),
        )

        def build(values: Mapping[str, str]) -> Command:
            who, channel = values["who"].strip(), values["channel"].strip()
            contact = next((one for one in contacts if one.id == who), None)
            name = who if contact is None else contact.name.of("en")
            number = values["number"].strip() or ("" if contact is None else contact.number)
            return lambda i, _now: lifecycle.page_contact(i, self._desk.actor, name, channel, number)

        self._ask("Page somebody", params, build, "paged")

    def do_inc_reached(self, _: str = "") -> None:
        calls = clock_view(self._incident, self.planc.clock.now()).calls
        if not calls:
            self._hand_over()
            return
        call = calls[0]

        def build(values: Mapping[str, str]) -> Command:
            return lambda i, _now: lifecycle.reached(i, self._desk.actor, call.page, values["who"])

        params = (Param("who", "who answered", default=call.who, help="or: nobody answered"),)
        title = f"Call {call.who}" if call.number else f"Call {call.who}: the playbook has no number"
        self._ask(title, params, build, "written down", big_number(call.number))

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

    def do_inc_done(self, _: str = "") -> None:
        todos = open_todos(self._incident)
        if not todos:
            self.show_message("nothing is left to do", Tone.DIM)
            return

        def build(values: Mapping[str, str]) -> Command:
            index = int(number(values["todo"])) - 1
            todo = todos[index].id if 0 <= index < len(todos) else 0
            return lambda i, _now: lifecycle.finish_todo(i, self._desk.actor, todo)

        known = "; ".join(f"{n} {todo.text}" for n, todo in enumerate(todos, start=1))
        self._ask("Done", (Param("todo", "number of the to-do", default="1", help=known),), build, "done")

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
