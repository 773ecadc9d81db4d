"""An incident in lines: its clock, its timeline, its checklist, its messages.

Invariant: pure; times are UTC; what is overdue says so in a word before it is red.
"""

from __future__ import annotations

from datetime import UTC, datetime

from planc_tui.core.table import Tone
from planc_tui.core.text import cell_width, clean
from planc_tui.incident.checklist import points
from planc_tui.incident.clockview import ClockView, span
from planc_tui.incident.model import DeliveryState, Incident, State, Todo
from planc_tui.ui.big_digits import big

Part = tuple[str, Tone]
Rows = tuple[tuple[Part, ...], tuple[Part, ...], tuple[Part, ...]]
NOBODY = "✖ NO ESCALATOR RUNS: nobody will be paged. Start one: planc escalator"

NO_NUMBER = "(no number in the playbook)"
NUMBER_WIDTH = 70  # cells that a number may take on the smallest screen

# What makes a point of the checklist tick itself, with the key that leads there.
WAITS_FOR = {
    "recovered": "resolve, R", "resolution_sent": "send the resolution message, m", "exported": "export, E",
    "timeline": "write a note, w", "root_cause": "fact root_cause, F", "review_date": "fact review_date, F",
    "actions": "write a to-do with an owner, t",
}  # fmt: skip  # rows as a person reads them


def quiet_line(keeper: str, trouble: str) -> tuple[Part, ...]:
    """The header's second line while no incident is open."""
    if trouble:
        return ((f"✖ the journal cannot be written: {clean(trouble)}", Tone.CRIT),)
    if keeper:
        return (("no incident open", Tone.DIM), (f"   ♥ {clean(keeper, 60)} keeps the clock", Tone.DIM))
    return (("no incident open", Tone.DIM), ("   ▲ no escalator runs: planc escalator install", Tone.WARN))


def head_line(view: ClockView, keeper: str, trouble: str, *, fragile: bool = False) -> tuple[Part, ...]:
    """The header's second line for an open incident."""
    tone = Tone.CRIT if view.state.active else Tone.OK
    drill = "DRILL " if view.drill else ""
    glyph = "✖" if view.state.active else "●"
    parts: list[Part] = [(f"{glyph} {drill}{view.severity} {view.incident} ", tone)]
    parts.append((f"{view.state.value}  ", Tone.WARN if view.state.active else Tone.OK))
    if trouble:
        parts.append((f"✖ the journal cannot be written: {clean(trouble)}  ", Tone.CRIT))
    elif not keeper and view.state.active:
        parts.append((f"{NOBODY}  ", Tone.CRIT))
    elif view.state.active:
        parts.append(("♥ ", Tone.OK))
    parts.append((f"{clean(view.title, 60)}  ", tone))
    if keeper and not trouble and fragile and view.state.active:
        parts.append(("▲ only a console pages, and ends with it: planc escalator install", Tone.WARN))
    return tuple(parts)


def clock_rows(view: ClockView) -> Rows:
    """Three lines beside the large digits: level and sentence, deadlines, next message and calls."""
    level = f"{view.level} {clean(view.who)} by {clean(view.channel)}" if view.level else "nobody paged yet"
    first: tuple[Part, ...] = ((f"{level}   ", Tone.ACCENT), (clean(view.sentence), _sentence_tone(view)))
    second: list[Part] = [(f"✖ {level} not reached   ", Tone.CRIT) for level in view.unreached]
    if view.deadline_left is not None:
        late = view.deadline_left < 0
        word = "deadline passed by" if late else f"{view.severity} deadline in"
        second.append((f"{word} {span(abs(view.deadline_left))}   ", Tone.CRIT if late else Tone.NORMAL))
    if view.impact is not None:
        second.append((f"impact for {span(view.impact)}   ", Tone.DIM))
    third: list[Part] = []
    if view.message_in is not None:
        late = view.message_in < 0
        text = f"OVERDUE by {span(-view.message_in)}" if late else f"due in {span(view.message_in)}"
        third.append((f"{view.message.value} message {text}   ", Tone.CRIT if late else Tone.NORMAL))
    third += [(f"CALL {clean(call.who)} {clean(call.number) or NO_NUMBER}   ", Tone.CRIT) for call in view.calls]
    return first, tuple(second), tuple(third)


def fitting_clock_rows(view: ClockView, width: int) -> Rows:
    """The three lines in their fullest form of which nothing is cut at `width` cells; the narrowest when all are."""
    full = clock_rows(view)
    brief = (((f"{view.level}   ", Tone.ACCENT), full[0][1]), *full[1:]) if view.level else full
    for rows in (full, brief):
        if max(sum(cell_width(text.rstrip()) + 3 for text, _ in row) for row in rows) <= width + 3:
            return rows
    return narrow_clock_rows(view)


def narrow_clock_rows(view: ClockView) -> Rows:
    """For 80 columns: the sentence takes two lines, and who has to be called comes first."""
    first, second, third = clock_rows(view)
    tone = _sentence_tone(view)
    sentence = clean(view.sentence)
    before, colon, after = sentence.partition(": " if ": " in sentence else "; ")
    calls = tuple(part for part in third if part[0].startswith("CALL "))
    level: tuple[Part, ...] = ((f"{view.level} ", Tone.ACCENT),) if view.level else ()
    deadline = tuple(part for part in second if "deadline" in part[0])
    rest = tuple(part for part in third if part not in calls)
    lost: tuple[Part, ...] = tuple((f"✖ {name} unreached   ", Tone.CRIT) for name in view.unreached)
    head = (*calls, *level, (f"{before}{colon.rstrip()}", tone))
    return head, (*lost, (after or first[0][0], tone)), (*deadline, *rest)


def _sentence_tone(view: ClockView) -> Tone:
    if view.state is State.OPEN:
        return Tone.CRIT if view.next_in is not None and view.next_in < 60 else Tone.WARN
    return Tone.OK if view.state in (State.ACKNOWLEDGED, State.MITIGATED) else Tone.NORMAL


def stamp(at: float) -> str:
    """UTC time of day.

    >>> stamp(1_795_478_343.9)
    '23:59:03'
    """
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def timeline_rows(incident: Incident) -> list[Part]:
    """One line per entry, newest last; one that was recorded later than it happened says both times. A corrected
    entry stays, and says which one replaces it."""
    rows: list[Part] = []
    for entry in incident.entries:
        event = entry.event
        late = event.recorded_at - event.occurred_at > 60
        when = stamp(event.occurred_at)
        recorded = f" (recorded {stamp(event.recorded_at)})" if late else ""
        who = clean(event.actor.user, 20)
        tone = Tone.DIM if event.actor.kind == "system" else Tone.NORMAL
        replaced = f" (corrected by {entry.replaced_by})" if entry.replaced_by else ""
        said = f"{clean(event.summary, 400)}{recorded}{replaced}"
        rows.append((f"{event.seq:>4} {when}  {who:<10} {event.type:<20} {said}", tone))
    return rows


def checklist_rows(incident: Incident) -> list[Part]:
    """The points before closing; the number is the key that ticks one."""
    rows: list[Part] = []
    checks = {check.id: check.check for check in incident.policy.checklist}
    for index, point in enumerate(points(incident), start=1):
        waits = f"  (ticks itself: {WAITS_FOR.get(checks[point.id], '')})" if point.automatic and not point.done else ""
        by = f"  {clean(point.by, 60)}" if point.done and point.by else ""
        text = f"{index:>2} {'●' if point.done else '○'} {clean(point.text)}{waits}{by}"
        rows.append((text, Tone.OK if point.done else Tone.NORMAL))
    todos = open_todos(incident)
    if todos:
        rows += [("", Tone.DIM), ("to do (d: done)", Tone.DIM)]
        for index, todo in enumerate(todos, start=1):
            about = ", ".join(clean(part, 60) for part in (todo.owner or "nobody yet", todo.due or "no date"))
            rows.append((f"{index:>2} ○ {clean(todo.text)} ({about})", Tone.WARN))
    return rows


def open_todos(incident: Incident) -> tuple[Todo, ...]:
    """What is left to do, oldest first; the place is the number that people name it by."""
    return tuple(todo for todo in incident.todos if not todo.done)


def big_number(number: str, width: int = NUMBER_WIDTH) -> tuple[str, ...]:
    """A telephone number in large digits, broken at its spaces so that each line is at most `width` cells; as it is
    when it holds anything but digits, signs and spaces; nothing for no number."""
    text = " ".join(clean(number, 60).replace(".", " ").split())
    if not set(text) <= set("0123456789+- "):
        return (text,)
    lines: list[str] = []
    for part in text.split():
        longer = f"{lines[-1]} {part}" if lines else part
        if lines and len(big(longer)[0]) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return tuple(row for line in lines for row in big(line))


def delivery_rows(incident: Incident) -> list[Part]:
    """Every message and page on every channel: sent, queued with the next try, failed, or waiting for a call."""
    tones = {DeliveryState.SENT: Tone.OK, DeliveryState.FAILED: Tone.CRIT, DeliveryState.CALL: Tone.WARN}
    rows: list[Part] = []
    for delivery in incident.deliveries:
        known = incident.policy.channel(delivery.channel)
        name = delivery.channel if known is None else known.name
        waits = delivery.state is DeliveryState.QUEUED and delivery.next_try
        more = f"  next try {stamp(delivery.next_try)}" if waits else ""
        more += f"  late by {span(delivery.late_by)}" if delivery.late_by > 60 else ""
        more += f"  {clean(delivery.error, 120)}" if delivery.error else ""
        head = f"{stamp(delivery.queued_at)}  {clean(delivery.kind):<12} {clean(name):<20}"
        text = f"{head} {delivery.state.value}{more}"
        rows.append((text, tones.get(delivery.state, Tone.NORMAL)))
    return rows or [("nothing was sent yet", Tone.DIM)]


def summary_rows(incident: Incident, view: ClockView) -> list[Part]:
    """What a newcomer must know, in a dozen lines."""
    roles = ", ".join(f"{role} {clean(who)}" for role, who in incident.roles.items()) or "nobody"
    rows: list[Part] = []
    for call in view.calls:
        rows.append((f"CALL {clean(call.who)}, then o: who answered   {'' if call.number else NO_NUMBER}", Tone.CRIT))
        rows += [(row, Tone.CRIT) for row in (*big_number(call.number), "")]
    rows += [
        (f"{incident.severity}  {clean(incident.title)}", Tone.NORMAL),
        (f"state      {incident.state.value}", Tone.NORMAL),
        (f"elapsed    {span(view.elapsed)}", Tone.NORMAL),
        (f"roles      {roles}", Tone.NORMAL),
        ("", Tone.DIM),
    ]
    for row in clock_rows(view):
        rows += [(text.rstrip(), tone) for text, tone in row]
    return rows
