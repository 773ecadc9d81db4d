"""What people may do with an incident, and what that writes.

Invariant: every change of state comes from here or from `escalation.tick`; what the state does not allow is refused
with the reason, and refusing changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct, field

from planc_tui.core.timeline import Actor, Draft
from planc_tui.incident import kinds
from planc_tui.incident.checklist import open_points
from planc_tui.incident.escalation import level_at, page_draft
from planc_tui.incident.model import DeliveryState, Incident, Policy, Role, Rung, State

LONGEST_TITLE = 200
LONGEST_TEXT = 10_000


class Refusal(Struct, frozen=True):
    """Why something is not done, and what to do instead; both fit for the screen."""

    reason: str
    hint: str = ""


Outcome = tuple[Draft, ...] | Refusal


class Declaration(Struct, frozen=True):
    """What the declare form asks for. impact_start, detected_at: epoch seconds UTC, None when unknown."""

    title: str
    severity: str
    suspected: bool = False
    impact_start: float | None = None
    detected_at: float | None = None
    detected_by: str = ""
    findings: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    drill: bool = False
    facts: Mapping[str, str] = field(default_factory=dict)


def declare(incident_id: str, form: Declaration, policy: Policy, actor: Actor, now: float) -> Outcome:
    """Open an incident; the policy is copied into it and never looked up again."""
    title = " ".join(form.title.split())
    if not title:
        return Refusal("an incident needs one line that says what is seen", "for example: checkout answers 502")
    if len(title) > LONGEST_TITLE:
        return Refusal(f"the line is too long ({len(title)} of {LONGEST_TITLE} characters)", "say the rest in a note")
    known = [rule.id for rule in policy.severities]
    if form.severity not in known:
        return Refusal(f"{form.severity} is not a severity of this playbook", f"use one of {', '.join(known)}")
    for what, when in (("impact start", form.impact_start), ("detection", form.detected_at)):
        if when is not None and when > now:
            return Refusal(f"the {what} is in the future", "give a time in the past, in UTC")
    data: dict[str, Any] = {
        "title": title,
        "severity": form.severity,
        "suspected": form.suspected,
        "policy": msgspec.to_builtins(policy),
        "impact_start": form.impact_start,
        "detected_at": form.detected_at,
        "detected_by": form.detected_by,
        "findings": list(form.findings),
        "services": list(form.services),
        "drill": form.drill,
        "facts": dict(form.facts),
    }
    word = "suspected" if form.suspected else "declared"
    summary = f"{word} {form.severity}: {title}" + (" (drill)" if form.drill else "")
    return (Draft(incident_id, kinds.DECLARED, actor, summary, data, key=f"declared/{incident_id}"),)


def confirm(incident: Incident, actor: Actor) -> Outcome:
    """A suspected incident is a real one; the ladder starts now."""
    if incident.state is not State.SUSPECTED:
        return _wrong(incident, "confirmed", (State.SUSPECTED,))
    return (Draft(incident.id, kinds.CONFIRMED, actor, "confirmed"),)


def acknowledge(incident: Incident, actor: Actor) -> Outcome:
    """Somebody is on it: pages stop, the clock goes on."""
    allowed = (State.SUSPECTED, State.OPEN, State.ACKNOWLEDGED)
    if incident.state not in allowed:
        return _wrong(incident, "acknowledged", allowed)
    first = (Draft(incident.id, kinds.CONFIRMED, actor, "confirmed"),) if incident.state is State.SUSPECTED else ()
    ack = Draft(incident.id, kinds.ACKNOWLEDGED, actor, f"acknowledged by {actor.user}")
    return (*first, ack, *_tell_pager(incident, actor, "acknowledge"))


def unacknowledge(incident: Incident, actor: Actor, reason: str = "") -> Outcome:
    """Give it back: the present level is paged after a short grace."""
    if incident.state is not State.ACKNOWLEDGED:
        return _wrong(incident, "given back", (State.ACKNOWLEDGED,))
    text = "acknowledgement given back" + (f": {reason}" if reason else "")
    return (Draft(incident.id, kinds.UNACKNOWLEDGED, actor, text, {"reason": reason}),)


def snooze(incident: Incident, actor: Actor, now: float, seconds: float, reason: str) -> Outcome:
    """Put pages off. seconds: how long; the severity sets the most."""
    allowed = (State.OPEN, State.ACKNOWLEDGED)
    if incident.state not in allowed:
        return _wrong(incident, "snoozed", allowed)
    if not reason.strip():
        return Refusal("a snooze needs a reason", "say why nobody needs to be called")
    most = incident.rule.snooze_max
    if not 0 < seconds <= most:
        return Refusal(f"{incident.severity} may be snoozed for at most {most / 60:.0f} min", "give a shorter time")
    until = now + seconds
    text = f"snoozed for {seconds / 60:.0f} min: {reason}"
    return (Draft(incident.id, kinds.SNOOZED, actor, text, {"until": until, "reason": reason}),)


def escalate(incident: Incident, actor: Actor, now: float, reason: str, level: str = "") -> Outcome:
    """Page a level now, the next one when none is named; always allowed while the incident lasts."""
    allowed = (State.OPEN, State.ACKNOWLEDGED, State.MITIGATED)
    if incident.state not in allowed:
        return _wrong(incident, "escalated", allowed)
    ladder = incident.rule.ladder
    rung = next((r for r in ladder if r.id == level), None) if level else next_rung(incident, now)
    if rung is None and level:
        return Refusal(f"{level} is not a level of {incident.severity}", f"use {', '.join(r.id for r in ladder)}")
    if rung is None:
        return Refusal("the last level was called already", "page a named contact instead")
    text = reason.strip() or "escalated by hand"
    return (page_draft(incident, rung, actor, text, manual=True),)


def page_contact(incident: Incident, actor: Actor, who: str, channel: str, number: str = "", why: str = "") -> Outcome:
    """Page a named person over a channel, apart from the ladder and whoever acknowledged."""
    if not incident.state.active:
        return _wrong(incident, "used to page somebody", tuple(s for s in State if s.active))
    if incident.policy.channel(channel) is None:
        known = ", ".join(c.id for c in incident.policy.channels)
        return Refusal(f"there is no channel {channel}", f"use one of {known}" if known else "add channels")
    rung = Rung(id=who, after=0.0, who=who, does=why or "asked for by name", channels=(channel,), number=number)
    return (page_draft(incident, rung, actor, why, manual=True),)


def reached(incident: Incident, actor: Actor, page: str, who: str) -> Outcome:
    """Write down who was reached by a call."""
    if not any(known.id == page for known in incident.pages):
        return Refusal("there is no such page", "look at the list of pages")
    if not who.strip():
        return Refusal("say who was reached", "a name, or: nobody answered")
    return (Draft(incident.id, kinds.PAGE_REACHED, actor, f"reached: {who}", {"page": page, "who": who}),)


def change_severity(incident: Incident, actor: Actor, severity: str, reason: str = "") -> Outcome:
    """Change the severity; the ladder of the new one counts from the same anchor."""
    if incident.state.final:
        return _wrong(incident, "changed", ())
    known = [rule.id for rule in incident.policy.severities]
    if severity not in known:
        return Refusal(f"{severity} is not a severity of this incident", f"use one of {', '.join(known)}")
    if severity == incident.severity:
        return Refusal(f"{incident.id} is {severity} already")
    text = f"severity {incident.severity} › {severity}" + (f": {reason}" if reason else "")
    data = {"from": incident.severity, "to": severity, "reason": reason}
    return (Draft(incident.id, kinds.SEVERITY, actor, text, data),)


def mitigate(incident: Incident, actor: Actor, how: str = "") -> Outcome:
    """The impact is over, the cause may not be."""
    allowed = (State.OPEN, State.ACKNOWLEDGED)
    if incident.state not in allowed:
        return _wrong(incident, "mitigated", allowed)
    return (Draft(incident.id, kinds.MITIGATED, actor, "mitigated" + (f": {how}" if how else ""), {"how": how}),)


class Evidence(Struct, frozen=True):
    """What the procedure's signals say. good_for: seconds they have all been good; None when any is unknown.
    signals: each with its figure, in words. needed: seconds they must be good, None for the policy's."""

    good_for: float | None
    signals: tuple[str, ...] = ()
    needed: float | None = None


EVIDENCE_AGE = 120.0


def witness(incident: Incident, actor: Actor, evidence: Evidence) -> Draft:
    """What a console saw of the signals, for whoever resolves without seeing them."""
    data = {"good_for": evidence.good_for, "signals": list(evidence.signals), "needed": evidence.needed}
    return Draft(incident.id, kinds.EVIDENCE, actor, "; ".join(evidence.signals) or "signals are not known", data)


def seen_evidence(incident: Incident, now: float) -> Evidence | None:
    """The newest evidence a console wrote down; None when it is older than two minutes."""
    for entry in reversed(incident.entries):
        event = entry.event
        if event.type == kinds.EVIDENCE:
            if now - event.recorded_at > EVIDENCE_AGE or event.recorded_at < incident.anchor:
                return None
            good_for, needed = event.data.get("good_for"), event.data.get("needed")
            return Evidence(
                None if good_for is None else float(good_for) + now - event.recorded_at,
                tuple(map(str, event.data.get("signals", ()))),
                None if needed is None else float(needed),
            )
    return None


def resolve(incident: Incident, actor: Actor, evidence: Evidence | None, override: str = "") -> Outcome:
    """It is over: with proof, or with a written reason why not."""
    allowed = (State.OPEN, State.ACKNOWLEDGED, State.MITIGATED)
    if incident.state not in allowed:
        return _wrong(incident, "resolved", allowed)
    verdict, lacking = _verdict(incident, evidence)
    if verdict != "RECOVERED" and not override.strip():
        return Refusal(f"recovery is not proven: {lacking}", "wait, or resolve with a written reason (override)")
    data = {
        "verdict": verdict,
        "signals": list(evidence.signals) if evidence is not None else [],
        "held_for": (evidence.good_for or 0.0) if evidence is not None else 0.0,
        "override": "" if verdict == "RECOVERED" else override.strip(),
    }
    text = "resolved: signals are good" if verdict == "RECOVERED" else f"resolved without proof: {override.strip()}"
    return (Draft(incident.id, kinds.RESOLVED, actor, text, data), *_tell_pager(incident, actor, "resolve"))


def _verdict(incident: Incident, evidence: Evidence | None) -> tuple[str, str]:
    if evidence is None or evidence.good_for is None:
        return "UNKNOWN", "the signals are not known"
    needed = incident.policy.recovered_for if evidence.needed is None else evidence.needed
    if evidence.good_for < needed:
        return "NOT RECOVERED", f"the signals were good for {evidence.good_for:.0f} s, {needed:.0f} s are needed"
    return "RECOVERED", ""


def reopen(incident: Incident, actor: Actor, now: float, reason: str = "") -> Outcome:
    """It is back: a new cycle, the ladder starts again."""
    allowed = (State.MITIGATED, State.RESOLVED, State.REVIEW)
    if incident.state not in allowed:
        return _wrong(incident, "reopened", allowed)
    over = incident.resolved_at or incident.mitigated_at or incident.at
    if now - over > incident.policy.reopen_within:
        hours = incident.policy.reopen_within / 3600
        return Refusal(f"it was resolved more than {hours:.0f} h ago", "declare a new incident and name this one")
    text = "reopened" + (f": {reason}" if reason else "")
    return (Draft(incident.id, kinds.REOPENED, actor, text, {"reason": reason}),)


def review(incident: Incident, actor: Actor) -> Outcome:
    """The post-mortem is being written."""
    if incident.state is not State.RESOLVED:
        return _wrong(incident, "reviewed", (State.RESOLVED,))
    return (Draft(incident.id, kinds.REVIEW, actor, "in review"),)


def close(incident: Incident, actor: Actor) -> Outcome:
    """End it; every point of the checklist must be ticked."""
    allowed = (State.RESOLVED, State.REVIEW)
    if incident.state not in allowed:
        return _wrong(incident, "closed", allowed)
    missing = open_points(incident)
    if missing:
        names = "; ".join(f"{point.id} ({point.text})" for point in missing)
        return Refusal(f"{len(missing)} points of the checklist are open: {names}", "tick them, then close")
    return (Draft(incident.id, kinds.CLOSED, actor, "closed"),)


def cancel(incident: Incident, actor: Actor, reason: str) -> Outcome:
    """It was a false alarm."""
    allowed = (State.SUSPECTED, State.OPEN, State.ACKNOWLEDGED)
    if incident.state not in allowed:
        return _wrong(incident, "cancelled", allowed)
    if not reason.strip():
        return Refusal("a cancelled incident needs a reason", "say why it was a false alarm")
    text = f"cancelled: {reason}"
    return (
        Draft(incident.id, kinds.CANCELLED, actor, text, {"reason": reason}),
        *_tell_pager(incident, actor, "resolve"),
    )


def write(
    incident: Incident, actor: Actor, now: float, kind: str, text: str, *, at: float | None = None, **more: str
) -> Outcome:
    """A note, decision, hypothesis or to-do. at: epoch seconds when it happened, for an entry added later."""
    if incident.state.final:
        return _wrong(incident, "written to", ())
    if kind not in kinds.WRITTEN:
        return Refusal(f"{kind} is not a kind of entry", f"use one of {', '.join(sorted(kinds.WRITTEN))}")
    if not text.strip():
        return Refusal("there is nothing to write down")
    if len(text) > LONGEST_TEXT:
        return Refusal(f"the text is too long ({len(text)} of {LONGEST_TEXT} characters)")
    if at is not None and at > now:
        return Refusal("the time is in the future", "give a time in the past, in UTC")
    data = {"text": text.strip(), **{name: value for name, value in more.items() if value}}
    return (Draft(incident.id, kind, actor, text.strip(), data, occurred_at=at),)


def correct(incident: Incident, actor: Actor, seq: int, text: str) -> Outcome:
    """Replace a written entry by a new one; the old stays visible."""
    if incident.state.final:
        return _wrong(incident, "written to", ())
    old = next((e for e in incident.entries if e.event.seq == seq), None)
    if old is None or old.event.type not in kinds.WRITTEN | {kinds.CORRECTED}:
        return Refusal(f"entry {seq} is not one that people wrote", "correct notes, decisions, hypotheses and to-dos")
    if old.replaced_by:
        return Refusal(f"entry {seq} was corrected already", f"correct entry {old.replaced_by} instead")
    if not text.strip():
        return Refusal("a correction needs a text", "entries are never erased")
    data = {"supersedes": seq, "text": text.strip()}
    return (Draft(incident.id, kinds.CORRECTED, actor, text.strip(), data, occurred_at=old.event.occurred_at),)


def finish_todo(incident: Incident, actor: Actor, todo: int) -> Outcome:
    """A to-do is done."""
    found = next((t for t in incident.todos if t.id == todo), None)
    if found is None or incident.state.final:
        return Refusal(f"there is no open to-do {todo}", "look at the list of to-dos")
    return (Draft(incident.id, kinds.TODO_DONE, actor, f"done: {found.text}", {"todo": todo}),)


def tick_point(incident: Incident, actor: Actor, check: str) -> Outcome:
    """Tick a point of the closing checklist by hand."""
    if incident.state.final:
        return _wrong(incident, "ticked", ())
    point = next((p for p in incident.policy.checklist if p.id == check), None)
    if point is None:
        return Refusal(f"{check} is not a point of the checklist", ", ".join(p.id for p in incident.policy.checklist))
    return (Draft(incident.id, kinds.TICKED, actor, f"ticked: {point.text}", {"check": check}),)


def set_facts(
    incident: Incident, actor: Actor, now: float, facts: Mapping[str, str], impact_start: float | None = None
) -> Outcome:
    """Write down what messages and the post-mortem need: root_cause, users_affected, review_date and others."""
    if incident.state.final:
        return _wrong(incident, "changed", ())
    if impact_start is not None and impact_start > now:
        return Refusal("the impact start is in the future", "give a time in the past, in UTC")
    if not facts and impact_start is None:
        return Refusal("there is nothing to write down", "give NAME=VALUE")
    data: dict[str, Any] = {"facts": dict(facts)}
    if impact_start is not None:
        data["impact_start"] = impact_start
    names = ", ".join([*facts, *(["impact start"] if impact_start is not None else [])])
    return (Draft(incident.id, kinds.FACTS, actor, f"facts: {names}", data),)


def assume_role(incident: Incident, actor: Actor, role: Role, who: str = "") -> Outcome:
    """Take a role, or hand it to somebody."""
    if incident.state.final:
        return _wrong(incident, "changed", ())
    name, before = who or actor.user, incident.roles.get(role.value, "")
    if name == before:
        return Refusal(f"{name} is {role.value} already")
    text = f"{role.value}: {before} › {name}" if before else f"{role.value}: {name}"
    return (Draft(incident.id, kinds.ROLE_ASSUMED, actor, text, {"role": role.value, "who": name, "from": before}),)


def next_rung(incident: Incident, now: float) -> Rung | None:
    """The level after the highest one reached by time or by a page in this generation."""
    ladder = incident.rule.ladder
    present = level_at(ladder, now - incident.anchor)
    number = incident.generation.number
    paged = {p.level for p in incident.pages if p.generation == number}
    reached_after = [rung.after for rung in ladder if rung.id in paged or rung is present]
    top = max(reached_after, default=-1.0)
    return min((r for r in ladder if r.after > top), key=lambda r: r.after, default=None)


def _tell_pager(incident: Incident, actor: Actor, verb: str) -> tuple[Draft, ...]:
    """PagerDuty follows the incident under the same key, where it was told of it."""
    told: dict[str, str] = {}
    for delivery in incident.deliveries:
        sent = delivery.tries > 0 or delivery.state is DeliveryState.SENT
        if delivery.channel_kind == "pagerduty" and delivery.kind == "page" and sent:
            told[delivery.channel] = delivery.channel_kind
    items = [
        {"id": f"{incident.id}-{incident.seq}-{verb}-{channel}", "kind": verb, "channel": channel, "channel_kind": kind}
        for channel, kind in told.items()
    ]
    if not items:
        return ()
    return (Draft(incident.id, kinds.DELIVERY_QUEUED, actor, f"{verb} in {', '.join(told)}", {"deliveries": items}),)


def _wrong(incident: Incident, verb: str, allowed: Sequence[State]) -> Refusal:
    if incident.state.final:
        return Refusal(f"{incident.id} is {incident.state.value}: it cannot be {verb}", "declare a new incident")
    words = " or ".join(state.value for state in allowed)
    return Refusal(f"{incident.id} is {incident.state.value}: only {words} can be {verb}")
