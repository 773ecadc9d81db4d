"""`planc incident`: everything that can be done with an incident, from a script.

Invariant: every command is decided by the same rules as in the console; it ends with 1 when it was refused and with 3
when the journal cannot be used; nothing here waits for a network.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from msgspec.structs import asdict, replace

from planc_tui.commands import incident_text as show_text
from planc_tui.commands.times import parse_time
from planc_tui.core.text import clean
from planc_tui.core.timeline import Actor
from planc_tui.desk.actor import current_actor
from planc_tui.desk.compose import compose
from planc_tui.desk.desk import Answer, Command, Desk
from planc_tui.desk.escalator import pulse
from planc_tui.desk.policy import policy_of
from planc_tui.incident import kinds, lifecycle, messages, postmortem
from planc_tui.incident.fold import UnknownIncident
from planc_tui.incident.kpi import Targets, report
from planc_tui.incident.lifecycle import Declaration
from planc_tui.incident.model import Incident, MessageKind, Role, State
from planc_tui.journal import Journal, JournalError, default_path
from planc_tui.playbook.duration import parse_duration
from planc_tui.playbook.loader import PlaybookError, load
from planc_tui.playbook.model import Playbook

REFUSED, TROUBLE = 1, 3
F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Room:
    """What the commands share. Opened when a command needs it, so that --help touches nothing."""

    output: str
    named: str
    playbook_file: str | None
    context: str
    _playbook: Playbook | None = None
    _desk: Desk | None = None

    @property
    def playbook(self) -> Playbook:
        if self._playbook is None:
            try:
                self._playbook = load(self.playbook_file)
            except PlaybookError as error:
                fail(str(error), "mend the playbook: planc playbook check", REFUSED)
        return self._playbook

    @property
    def desk(self) -> Desk:
        if self._desk is None:
            try:
                journal = Journal.open(default_path())
            except JournalError as error:
                fail(error.message, error.hint, TROUBLE)
            click.get_current_context().call_on_close(journal.close)
            environment = os.environ.get("PLANC_ENVIRONMENT", "")
            policy = policy_of(self.playbook, environment=environment, context=self.context)
            self._desk = Desk(journal, policy, current_actor())
        return self._desk

    @property
    def now(self) -> float:
        return self.desk.journal.now()

    def incident_id(self) -> str:
        """The incident that was named, or the only one that is not over."""
        if self.named:
            return self.named
        self.desk.board.refresh()
        open_ = [known for known in self.desk.board.incidents if not known.state.final]
        if len(open_) == 1:
            return open_[0].id
        if not open_:
            fail("no incident is open", "planc incident declare opens one; -i names one that is over", REFUSED)
        names = ", ".join(f"{known.id} ({clean(known.title, 40)})" for known in open_)
        return fail(f"several incidents are open: {names}", "name one with -i", REFUSED)

    def incident(self) -> Incident:
        return self.desk.incident(self.incident_id())

    def do(self, command: Command) -> Incident:
        """Do it and say what became of it."""
        return self.tell(self.desk.do(self.incident_id(), command))

    def tell(self, answer: Answer) -> Incident:
        if answer.refusal is not None or answer.incident is None:
            reason = answer.refusal.reason if answer.refusal is not None else "it was not done"
            fail(reason, answer.refusal.hint if answer.refusal is not None else "", REFUSED)
        incident = answer.incident
        said = "\n".join(f"  {clean(event.summary)}" for event in answer.written)
        self.put(show_text.brief(incident, self.now), f"{show_text.line(incident, self.now)}\n{said}".rstrip())
        self.warn(incident)
        return incident

    def warn(self, incident: Incident) -> None:
        """An incident that nobody keeps the clock of pages nobody: say so, beside the output."""
        if incident.state is State.OPEN and not pulse(self.desk.journal, self.now).alive:
            click.echo("✖ no escalator runs: nobody is paged. Start it: planc escalator", err=True)

    def put(self, value: object, text: str) -> None:
        """Print the one or the other."""
        click.echo(json.dumps(value, ensure_ascii=False, indent=2) if self.output == "json" else text)


def fail(reason: str, hint: str, code: int) -> NoReturn:
    """Say why and what to do next, and end."""
    click.echo(f"planc: {reason}", err=True)
    if hint:
        click.echo(f"       {hint}", err=True)
    sys.exit(code)


class _Guarded(click.Group):
    """Turns what a user or a disk can do wrong into one line."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UnknownIncident as error:
            fail(str(error), "", REFUSED)
        except JournalError as error:
            fail(error.message, error.hint, TROUBLE)


@click.group(cls=_Guarded, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-i", "--incident", "named", default="", help="Incident; the only open one when left out.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.pass_context
def incident(ctx: click.Context, named: str, output: str) -> None:
    """Declare and lead incidents from a script.

    The journal is shared with every console of this user on this machine. Times are UTC: 14:05, 2026-11-24T14:05Z or
    10m ago.
    """
    parent = ctx.obj or {}
    ctx.obj = Room(output, named, parent.get("playbook"), parent.get("context") or "")


def command(name: str) -> Callable[[F], click.Command]:
    """A subcommand that also takes the group's options behind its name."""

    def put(function: F) -> click.Command:
        def named(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
            if value:
                ctx.obj.named = value

        def output(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
            if value:
                ctx.obj.output = value

        wrapped: Any = click.pass_obj(function)
        wrapped = click.option("-i", "--incident", expose_value=False, callback=named, help="Incident.")(wrapped)
        wrapped = click.option(
            "-o", "--output", type=click.Choice(["text", "json"]), expose_value=False, callback=output
        )(wrapped)
        return incident.command(name)(wrapped)

    return put


def _when(text: str | None, now: float) -> float | None:
    if not text:
        return None
    try:
        return parse_time(text, now)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise click.BadParameter(f"{clean(pair, 40)} is not NAME=VALUE")
        found[name.strip()] = value.strip()
    return found


@command("declare")
@click.argument("title")
@click.option("-s", "--severity", required=True, help="Severity of the playbook, such as P1.")
@click.option("--impact-start", help="When users began to notice.")
@click.option("--detected", help="When it was noticed; now when left out.")
@click.option("--detected-by", default="", help="Alert or person that noticed it.")
@click.option("--finding", "findings", multiple=True, help="What is seen; may be repeated.")
@click.option("--service", "services", multiple=True, help="Service that is hurt; may be repeated.")
@click.option("--set", "facts", multiple=True, metavar="NAME=VALUE", help="Fact for messages; may be repeated.")
@click.option("--suspected", is_flag=True, help="Not sure yet: nobody is paged.")
@click.option("--drill", is_flag=True, help="An exercise; left out of the indicators.")
def declare(
    room: Room,
    title: str,
    severity: str,
    impact_start: str | None,
    detected: str | None,
    detected_by: str,
    findings: tuple[str, ...],
    services: tuple[str, ...],
    facts: tuple[str, ...],
    suspected: bool,
    drill: bool,
) -> None:
    """Open an incident: the ladder starts now."""
    now = room.now
    form = Declaration(
        title=title,
        severity=severity.upper(),
        suspected=suspected,
        impact_start=_when(impact_start, now),
        detected_at=_when(detected, now),
        detected_by=detected_by,
        findings=findings,
        services=services,
        drill=drill,
        facts=_pairs(facts),
    )
    room.tell(room.desk.declare(form))


@command("list")
@click.option("--all", "every", is_flag=True, help="Closed and cancelled ones too.")
def list_(room: Room, every: bool) -> None:
    """List incidents."""
    room.desk.board.refresh()
    found = [known for known in room.desk.board.incidents if every or not known.state.final]
    text = show_text.table(found, room.now) or "no incident is open" + ("" if every else "; --all lists the others")
    room.put([show_text.brief(known, room.now) for known in found], text)


@command("show")
def show(room: Room) -> None:
    """Show one incident: clock, pages, messages, timeline."""
    found = room.incident()
    room.put(show_text.full(found, room.now), show_text.sheet(found, room.now))
    room.warn(found)


@command("ack")
@click.option("--undo", is_flag=True, help="Give it back: the present level is paged.")
@click.option("--snooze", metavar="TIME", help="Put pages off, for example 20m; needs --reason.")
@click.option("--reason", default="", help="Why.")
def ack(room: Room, undo: bool, snooze: str | None, reason: str) -> None:
    """Acknowledge: pages stop, the clock goes on."""
    actor = room.desk.actor
    if undo:
        room.do(lambda found, _now: lifecycle.unacknowledge(found, actor, reason))
    elif snooze:
        seconds = _duration(snooze)
        room.do(lambda found, now: lifecycle.snooze(found, actor, now, seconds, reason))
    else:
        room.do(lambda found, _now: lifecycle.acknowledge(found, actor))


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@command("note")
@click.argument("text")
@click.option("--kind", type=click.Choice(sorted(kinds.WRITTEN)), default=kinds.NOTE, show_default=True)
@click.option("--at", help="When it happened, for an entry added later.")
@click.option("--owner", default="", help="Who does it (to-do).")
@click.option("--due", default="", help="By when (to-do).")
@click.option("--corrects", type=int, help="Number of the entry that this one replaces.")
@click.option("--done", type=int, help="Number of a to-do that is done; TEXT is added as a note.")
def note(
    room: Room, text: str, kind: str, at: str | None, owner: str, due: str, corrects: int | None, done: int | None
) -> None:
    """Write a note, decision, hypothesis or to-do onto the timeline."""
    actor = room.desk.actor
    if corrects is not None:
        room.do(lambda found, _now: lifecycle.correct(found, actor, corrects, text))
        return
    if done is not None:
        room.do(lambda found, _now: lifecycle.finish_todo(found, actor, done))
        return
    when = _when(at, room.now)
    room.do(lambda found, now: lifecycle.write(found, actor, now, kind, text, at=when, owner=owner, due=due))


@command("set")
@click.argument("facts", nargs=-1, metavar="NAME=VALUE...")
@click.option("--impact-start", help="When users began to notice.")
@click.option("--role", type=click.Choice([role.value for role in Role]), help="Role to give to --who.")
@click.option("--who", default="", help="Who takes the role; you when left out.")
def set_(room: Room, facts: tuple[str, ...], impact_start: str | None, role: str | None, who: str) -> None:
    """Write down facts (root_cause, impact, users_affected, review_date ...) or hand a role over."""
    actor = room.desk.actor
    if role is not None:
        room.do(lambda found, _now: lifecycle.assume_role(found, actor, Role(role), who))
        return
    pairs, start = _pairs(facts), _when(impact_start, room.now)
    room.do(lambda found, now: lifecycle.set_facts(found, actor, now, pairs, start))


@command("status")
@click.argument(
    "state", required=False, type=click.Choice(["confirmed", "mitigated", "reopened", "review", "cancelled"])
)
@click.option("--reason", default="", help="Why, or how.")
def status(room: Room, state: str | None, reason: str) -> None:
    """Say where it stands, or move it: confirmed, mitigated, reopened, review, cancelled."""
    actor = room.desk.actor
    moves: dict[str, Command] = {
        "confirmed": lambda found, _now: lifecycle.confirm(found, actor),
        "mitigated": lambda found, _now: lifecycle.mitigate(found, actor, reason),
        "reopened": lambda found, now: lifecycle.reopen(found, actor, now, reason),
        "review": lambda found, _now: lifecycle.review(found, actor),
        "cancelled": lambda found, _now: lifecycle.cancel(found, actor, reason),
    }
    if state is not None:
        room.do(moves[state])
        return
    found = room.incident()
    text = show_text.sheet(found, room.now).partition("\n\n")[0]
    room.put(show_text.full(found, room.now)["clock"], text)


@command("severity")
@click.argument("severity")
@click.option("--reason", default="", help="Why.")
def severity(room: Room, severity: str, reason: str) -> None:
    """Change the severity; time in each is kept."""
    room.do(lambda found, _now: lifecycle.change_severity(found, room.desk.actor, severity.upper(), reason))


@command("escalate")
@click.argument("level", default="")
@click.option("--reason", default="", help="Why not wait for the clock.")
@click.option("--contact", default="", help="Page this person instead, over --channel.")
@click.option("--channel", default="phone", show_default=True, help="Channel for --contact.")
@click.option("--number", default="", help="Number of --contact; the playbook's when left out.")
@click.option("--reached", default="", metavar="PAGE", help="Record who answered this page: --contact NAME.")
def escalate(room: Room, level: str, reason: str, contact: str, channel: str, number: str, reached: str) -> None:
    """Page the next level now, a given one, or a named contact."""
    actor = room.desk.actor
    if reached:
        room.do(lambda found, _now: lifecycle.reached(found, actor, reached, contact))
    elif contact:
        known = next((person for person in room.playbook.contacts if person.id == contact), None)
        name = contact if known is None else known.name.of("en")
        dial = number or ("" if known is None else known.number)
        room.do(lambda found, _now: lifecycle.page_contact(found, actor, name, channel, dial, reason))
    else:
        room.do(lambda found, now: lifecycle.escalate(found, actor, now, reason, level.upper()))


@command("message")
@click.argument("kind", required=False, type=click.Choice([kind.value for kind in MessageKind]))
@click.option("--set", "facts", multiple=True, metavar="NAME=VALUE", help="Fill a field in; may be repeated.")
@click.option("--text", help="Send this text instead of the template; - reads standard input.")
@click.option("--channel", "channels", multiple=True, help="Channel; the playbook's when left out.")
@click.option("--preview", is_flag=True, help="Show the text of each channel and send nothing.")
@click.option("--handed-over", metavar="DELIVERY", help="Record that you passed this text on by hand.")
def message(
    room: Room,
    kind: str | None,
    facts: tuple[str, ...],
    text: str | None,
    channels: tuple[str, ...],
    preview: bool,
    handed_over: str | None,
) -> None:
    """Send the message that is due: initial, update or resolution."""
    actor = room.desk.actor
    if handed_over:
        room.do(lambda found, _now: messages.handed_over(found, actor, handed_over))
        return
    pairs = _pairs(facts)
    found = room.incident()
    filled = replace(found, facts={**found.facts, **pairs})
    composed = compose(room.playbook, filled, room.now, MessageKind(kind) if kind else None, None, channels)
    if text is not None:
        written = sys.stdin.read() if text == "-" else text
        texts = {item.channel: written for item in composed.texts}
    else:
        texts = {item.channel: item.rendered.text for item in composed.texts}
    if preview:
        shown = "\n\n".join(f"{item.name} ({item.language}):\n{texts[item.channel]}" for item in composed.texts)
        missing = list(messages.gaps("\n".join(texts.values())))
        room.put({"kind": composed.kind.value, "texts": texts, "missing": missing}, shown)
        return
    lacking = messages.gaps("\n".join(texts.values()))
    if lacking:
        fail(f"the message lacks: {', '.join(lacking)}", f"fill them in with --set {lacking[0]}=...", REFUSED)
    if pairs:
        room.desk.do(found.id, lambda known, now: lifecycle.set_facts(known, actor, now, pairs))
    room.do(lambda known, _now: messages.queue_message(known, actor, composed.kind, texts))


@command("resolve")
@click.option("--override", default="", metavar="REASON", help="Resolve without proof, for this reason.")
def resolve(room: Room, override: str) -> None:
    """It is over: with the proof a console has seen in the last two minutes, or with a written reason."""
    actor = room.desk.actor
    room.do(lambda found, now: lifecycle.resolve(found, actor, lifecycle.seen_evidence(found, now), override))


@command("close")
@click.option("--tick", "ticks", multiple=True, metavar="POINT", help="Tick a point of the checklist; may be repeated.")
def close(room: Room, ticks: tuple[str, ...]) -> None:
    """Close it; every point of the checklist must be ticked."""
    actor = room.desk.actor
    for point in ticks:
        answer = room.desk.do(room.incident_id(), _ticking(actor, point))
        if answer.refusal is not None:
            room.tell(answer)
    room.do(lambda found, _now: lifecycle.close(found, actor))


def _ticking(actor: Actor, point: str) -> Command:
    return lambda found, _now: lifecycle.tick_point(found, actor, point)


@command("export")
@click.option("--format", "form", type=click.Choice(["markdown", "json"]), default="markdown", show_default=True)
@click.option("--language", type=click.Choice(["en", "fr"]), help="Language; the playbook's when left out.")
@click.option("--file", "target", type=click.Path(dir_okay=False), help="File to write; standard output when left out.")
def export(room: Room, form: str, language: str | None, target: str | None) -> None:
    """Write the post-mortem as far as the journal knows it."""
    found = room.incident()
    if form == "json" or (room.output == "json" and target is None):
        text = json.dumps(postmortem.to_json(found, room.now), ensure_ascii=False, indent=2) + "\n"
    else:
        text = postmortem.to_markdown(found, room.now, language or "")
    if target is None:
        click.echo(text, nl=False)
    else:
        _save(Path(target), text)
        if room.output == "json":
            room.put({"id": found.id, "file": str(Path(target).absolute()), "format": form}, "")
        else:
            click.echo(f"written: {target}", err=True)
    if not found.state.final:
        room.desk.note_event(kinds.EXPORTED, f"exported as {form}", {"format": form, "file": target or ""}, found.id)


def _save(path: Path, text: str) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        fail(f"cannot write {path}: {error.strerror}", "name another file", REFUSED)


@command("verify")
def verify(room: Room) -> None:
    """Check that no entry of the journal was edited, removed or reordered."""
    found = room.desk.journal.verify()
    text = "\n".join(f"✖ {problem}" for problem in found.problems)
    good = f"● {found.entries} entries, none changed; the newest has hash {found.head[:16]}"
    room.put(asdict(found), text or good)
    if found.problems:
        sys.exit(REFUSED)


@command("kpi")
@click.option("--since", help="Only incidents declared since then.")
def kpi(room: Room, since: str | None) -> None:
    """Indicators over all incidents: detection, acknowledgement, recovery."""
    room.desk.board.refresh()
    start = _when(since, room.now)
    found = [known for known in room.desk.board.incidents if start is None or known.declared_at >= start]
    wanted = room.playbook.objectives
    targets = Targets(wanted.mttd, wanted.mtta, wanted.mttr, wanted.major_incidents_per_month)
    result = report(found, room.now, targets)
    room.put(show_text.report_json(result), show_text.figures(result))
