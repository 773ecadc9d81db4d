"""The post-mortem, half written: everything the journal knows, and places for what only people know.

Invariant: times are in UTC, every figure says where it comes from, unknown is said and never guessed, and text from
outside cannot break out of its table or heading.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from planc_tui.core.text import clean
from planc_tui.core.timeline import Event
from planc_tui.incident import kinds
from planc_tui.incident.checklist import points
from planc_tui.incident.kpi import Timing, timing
from planc_tui.incident.messages import long_span
from planc_tui.incident.model import Incident, Span
from planc_tui.incident.words import BLAME, WORDS, named

# Entries that only carry the outbox along; the texts themselves are listed apart.
_QUIET = frozenset({kinds.DELIVERY_STARTED, kinds.DELIVERY_QUEUED, "snapshot"})


def hints(incident: Incident, language: str = "en") -> tuple[tuple[int, str, str], ...]:
    """Entries whose wording blames: seq, the words, and what to write instead."""
    found = []
    for entry in incident.entries:
        text = _wording(entry.event)
        for pattern, instead in BLAME.items():
            match = re.search(pattern, text, re.IGNORECASE)
            if match and not entry.replaced_by and entry.event.actor.is_human:
                found.append((entry.event.seq, match[0], instead[language]))
    return tuple(found)


def _wording(event: Event) -> str:
    """What a person wrote in an entry: its text, or the facts it holds."""
    facts = event.data.get("facts")
    if event.type == kinds.FACTS and isinstance(facts, Mapping):
        return "; ".join(str(value) for value in facts.values())
    return str(event.data.get("text", "")) or event.summary


def to_json(incident: Incident, now: float) -> dict[str, Any]:
    """The same facts as values, for programs."""
    spans = timing(incident)
    return {
        "id": incident.id,
        "title": incident.title,
        "severity": incident.severity,
        "worst_severity": incident.worst,
        "state": incident.state.value,
        "drill": incident.drill,
        "environment": incident.policy.environment,
        "namespace": incident.policy.namespace,
        "times": {name: _iso(at) for name, at in _milestones(incident).items()},
        "seconds": {name: getattr(spans, name) for name in ("detect", "acknowledge", "mitigate", "recover", "respond")},
        "deadline_met": spans.in_time,
        "flags": list(spans.flags),
        "budget_spent_percent": {name: share for name, share, _ in budgets_spent(incident)},
        "worst": [{"name": name, "value": value, "query": query} for name, value, query in worst_figures(incident)],
        "facts": dict(incident.facts),
        "findings": list(incident.findings),
        "services": list(incident.services),
        "roles": dict(incident.roles),
        "severities": [_span_json(span, _over(incident, now)) for span in incident.severities],
        "states": [_span_json(span, now) for span in incident.states],
        "proof": None
        if incident.proof is None
        else {
            "verdict": incident.proof.verdict,
            "signals": list(incident.proof.signals),
            "held_for": incident.proof.held_for,
            "override": incident.proof.override,
        },
        "pages": [
            {"level": p.level, "who": p.who, "at": _iso(p.at), "by_hand": p.manual, "reached": p.reached}
            for p in incident.pages
        ],
        "messages": [{"kind": m.kind.value, "at": _iso(m.at), "by": m.by, "text": m.text} for m in incident.messages],
        "timeline": [
            {
                "seq": e.event.seq,
                "recorded_at": _iso(e.event.recorded_at),
                "occurred_at": _iso(e.event.occurred_at),
                "type": e.event.type,
                "actor": e.event.actor.user,
                "summary": e.event.summary,
                "data": {} if e.event.type == kinds.DECLARED else dict(e.event.data),
                "replaced_by": e.replaced_by or None,
                "hash": e.event.hash,
            }
            for e in incident.entries
        ],
        "follow_ups": [
            {"id": t.id, "text": t.text, "owner": t.owner, "due": t.due, "done": t.done} for t in incident.todos
        ],
        "checklist": [{"id": p.id, "text": p.text, "done": p.done, "by": p.by} for p in points(incident)],
        "wording": [{"entry": seq, "words": words, "instead": instead} for seq, words, instead in hints(incident)],
    }


def _iso(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _span_json(span: Span, now: float) -> dict[str, Any]:
    return {"name": span.name, "start": _iso(span.start), "end": _iso(span.end), "seconds": span.seconds(now)}


def _over(incident: Incident, now: float) -> float:
    """Until when the incident hurt: its resolution, or now."""
    return now if incident.state.active or incident.resolved_at is None else incident.resolved_at


def _milestones(incident: Incident) -> dict[str, float | None]:
    return {
        "impact_start": incident.impact_start,
        "detected": incident.detected_at,
        "declared": incident.declared_at,
        "acknowledged": incident.first_ack_at,
        "mitigated": incident.mitigated_at,
        "resolved": incident.resolved_at,
    }


def to_markdown(incident: Incident, now: float, language: str = "") -> str:
    """The document. language: `en` or `fr`; the incident's own when left out."""
    language = language or incident.policy.language
    return _Document(incident, now, language if language in WORDS else "en").text()


def escape(text: str) -> str:
    r"""One line that Markdown shows as it is, also inside a table.

    >>> escape("a|b\n# <script>")
    'a\\|b # &lt;script&gt;'
    """
    line = " ".join(clean(text).split())
    for char, instead in (("\\", "\\\\"), ("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        line = line.replace(char, instead)
    line = re.sub(r"([|`*_\[\]])", r"\\\1", line)
    # At the beginning of a line these would make a heading, a list or a quotation of it.
    return f"\\{line}" if line.startswith(("#", "-", "+", "=")) else line


def budgets_spent(incident: Incident) -> tuple[tuple[str, float, str], ...]:
    """Share of each error budget that the incident spent, in percent of the whole period's, with the query.

    As measured over the harm once it was over; else what was left at the declaration less what was left at the end. The
    budget of a rolling window also refills, so less than nothing is nothing."""
    measured = [entry.event.data for entry in incident.entries if entry.event.type == kinds.SPENT]
    if measured and measured[-1].get("spent"):
        data = measured[-1]
        return tuple(
            (str(data["names"].get(name, name)), float(share), str(data["queries"].get(name, "")))
            for name, share in data["spent"].items()
        )
    noted = [entry.event.data for entry in incident.entries if entry.event.type == kinds.BUDGET]
    if len(noted) < 2:
        return ()
    first, last = noted[0], noted[-1]
    return tuple(
        (
            str(last.get("names", {}).get(name, name)),
            round(max(0.0, 100 * (float(left) - float(last["left"][name]))), 6),
            str(last.get("queries", {}).get(name, "")),
        )
        for name, left in first.get("left", {}).items()
        if name in last.get("left", {})
    )


def worst_figures(incident: Incident) -> tuple[tuple[str, str, str], ...]:
    """The worst figure of each objective that was missed, with the query it was measured by."""
    worst: dict[str, tuple[str, str, str]] = {}
    for entry in incident.entries:
        data = entry.event.data
        if entry.event.type == kinds.WORST:
            name, text, query = (str(data.get(key, "")) for key in ("name", "text", "query"))
            worst[str(data.get("slo", ""))] = (name, text, query)
    return tuple(worst.values())


def _code(text: str) -> str:
    """A query in a table."""
    found = clean(text).replace("`", "").replace("|", "\\|")
    return f"`{found}`" if found else ""


def moved(before: Any, after: Any) -> dict[str, str]:
    """Figures that differ between the beginning and the end of an action, and how.

    >>> moved({"latency_p95": 2.4, "queue_depth": 7}, {"latency_p95": 0.08, "queue_depth": 7})
    {'latency_p95': '2.4 › 0.08'}
    """
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return {}
    return {
        name: f"{before[name]:g} › {after[name]:g}"
        for name in sorted(before)
        if name in after and isinstance(before[name], (int, float)) and before[name] != after[name]
    }


class _Document:
    """Collects the lines of one post-mortem."""

    def __init__(self, incident: Incident, now: float, language: str) -> None:
        self._incident = incident
        self._now = now
        self._language = language
        self._words = WORDS[language]
        self._lines: list[str] = []

    def text(self) -> str:
        incident, words = self._incident, self._words
        self._lines.append(f"# {words['title']} {incident.id}: {escape(incident.title)}")
        if incident.drill:
            self._lines += ["", words["drill"]]
        self._summary()
        self._figures(timing(incident))
        self._spans("severities", incident.severities, _over(incident, self._now))
        self._spans("states", incident.states, self._now)
        self._detection()
        self._section("cause", [escape(incident.facts.get("root_cause", "")) or words["fill"]])
        self._section(
            "roles", [f"- {self._named(role)}: {escape(who)}" for role, who in sorted(incident.roles.items())]
        )
        self._timeline()
        self._actions()
        self._messages()
        for name in ("well", "badly", "luck"):
            self._section(name, [escape(incident.facts.get(name, "")) or words["fill"]])
        self._follow_ups()
        boxes = [
            f"- [{'x' if p.done else ' '}] {escape(p.text)}" + (f" ({escape(self._named(p.by))})" if p.by else "")
            for p in points(incident, self._language)
        ]
        self._section("checklist", boxes)
        found = [
            f'- {words["entry"]} {seq}: "{escape(said)}": {instead}'
            for seq, said, instead in hints(incident, self._language)
        ]
        if found:
            self._section("wording", found)
        return "\n".join(self._lines) + "\n"

    def _section(self, name: str, lines: Iterable[str]) -> None:
        body = list(lines) or [self._words["none"]]
        self._lines += ["", f"## {self._words[name]}", "", *body]

    def _named(self, word: str) -> str:
        return named(word, self._language)

    def _table(self, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
        lines = [f"| {' | '.join(heads)} |", f"|{'|'.join(' --- ' for _ in heads)}|"]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        return lines

    def _at(self, at: float | None) -> str:
        if at is None:
            return self._words["unknown"]
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")

    def _span(self, seconds: float | None) -> str:
        return self._words["unknown"] if seconds is None else long_span(seconds, self._language)

    def _summary(self) -> None:
        incident, words = self._incident, self._words
        generated = words["summary_text"].format(
            severity=incident.worst,
            title=escape(incident.title),
            by=escape(incident.declared_by),
            declared=self._at(incident.declared_at),
            state=self._named(incident.state.value),
        )
        lines = [generated]
        if incident.facts.get("summary"):
            lines += ["", escape(incident.facts["summary"])]
        if incident.facts.get("review_date"):
            lines += ["", f"{words['review']}: {escape(incident.facts['review_date'])}"]
        self._section("summary", lines)

    def _figures(self, spans: Timing) -> None:
        incident, words, facts = self._incident, self._words, self._incident.facts
        rows = [(words["severity"], incident.worst, "")]
        rows += [(words[name], self._at(at), "") for name, at in _milestones(incident).items()]
        for name in ("detect", "acknowledge", "mitigate", "recover"):
            rows.append((words[name], self._span(getattr(spans, name)), ""))
        if spans.in_time is not None:
            rows.append((words["in_time"], words["met" if spans.in_time else "missed"], ""))
        rows += [
            (f"{words['worst']}: {escape(name)}", escape(value), _code(query))
            for name, value, query in worst_figures(incident)
        ]
        spent = budgets_spent(incident)
        if not facts.get("budget_spent"):
            rows += [
                (f"{words['budget']}: {escape(name)}", f"{share:.1f} %", _code(query)) for name, share, query in spent
            ]
        for name, fact, query in (
            *(() if spent and not facts.get("budget_spent") else (("budget", "budget_spent", "budget_query"),)),
            ("impact", "impact", "impact_query"),
            ("users", "users_affected", "users_query"),
        ):
            source = _code(facts.get(query, ""))
            rows.append((words[name], escape(facts.get(fact, "")) or words["unknown"], source))
        rows.append((words["pages"], ", ".join(page.level for page in incident.pages) or "0", ""))
        if incident.reopened:
            rows.append((words["reopened"], str(incident.reopened), ""))
        lines = self._table((words["figure"], words["value"], words["source"]), rows)
        if spans.flags:
            lines += ["", *(f"- {self._named(flag)}" for flag in spans.flags)]
        self._section("figures", lines)

    def _spans(self, name: str, spans: Sequence[Span], until: float) -> None:
        totals: dict[str, float] = {}
        for span in spans:
            totals[span.name] = totals.get(span.name, 0.0) + span.seconds(until)
        self._section(name, [f"- {self._named(label)}: {self._span(seconds)}" for label, seconds in totals.items()])

    def _detection(self) -> None:
        incident, words = self._incident, self._words
        by = escape(incident.detected_by or incident.declared_by)
        lines = [words["detection_text"].format(by=by, at=self._at(incident.detected_at))]
        if incident.findings:
            lines += ["", f"{words['findings']}:", "", *(f"- {escape(finding)}" for finding in incident.findings)]
        proof = incident.proof
        if proof is not None:
            text = (
                words["proof_override"].format(by=escape(proof.by), reason=escape(proof.override))
                if proof.override
                else words["proof_good"].format(
                    span=self._span(proof.held_for), signals=escape("; ".join(proof.signals)) or "-"
                )
            )
            lines += ["", f"{words['proof']}: {text}"]
        self._section("detection", lines)

    def _timeline(self) -> None:
        words = self._words
        rows = []
        shown = [entry for entry in self._incident.entries if entry.event.type not in _QUIET]
        for entry in sorted(shown, key=lambda entry: (entry.event.occurred_at, entry.event.seq)):
            event = entry.event
            what = escape(event.summary or event.type)
            if entry.replaced_by:
                what = f"~~{what}~~ ({words['corrected'].format(seq=entry.replaced_by)})"
            if event.recorded_at - event.occurred_at > 1:
                what += f" ({words['recorded'].format(at=self._at(event.recorded_at)[11:])})"
            query = _code(str(event.data.get("query", "")))
            rows.append((self._at(event.occurred_at), escape(event.actor.user), what, query))
        self._section("timeline", self._table((words["time"], words["who"], words["what"], words["query"]), rows))

    def _actions(self) -> None:
        words = self._words
        plans: dict[str, tuple[Event, Mapping[str, Any]]] = {}
        outcomes: dict[str, str] = {}
        ends: dict[str, Any] = {}
        queries: dict[str, str] = {}
        for entry in self._incident.entries:
            event = entry.event
            run = str(event.data.get("run", ""))
            if event.type == kinds.ACTION_STARTED and isinstance(event.data.get("plan"), Mapping):
                plans[run] = (event, event.data["plan"])
            elif event.type == kinds.ACTION_RESULT:
                outcomes[run] = f"{event.data.get('state', '')}: {event.data.get('progress', '')}"
                ends[run] = event.data.get("facts")
                queries |= event.data.get("queries") or {}
        rows = []
        for run, (event, plan) in plans.items():
            changes = [change for change in plan.get("changes", ()) if isinstance(change, Mapping)]
            figures = (f"{name} {how}" for name, how in moved(event.data.get("facts"), ends.get(run)).items())
            rows.append(
                (
                    self._at(event.recorded_at),
                    escape(event.actor.user),
                    escape(event.summary.removesuffix(": started")),
                    escape("; ".join(f"{c.get('label', '')} {c.get('before', '')}".strip() for c in changes)),
                    escape("; ".join(str(c.get("after", "")) for c in changes)),
                    escape("; ".join((outcomes.get(run, words["unknown"]), *figures))),
                )
            )
        heads = (words["time"], words["who"], words["what"], words["before"], words["after"], words["outcome"])
        sources = [f"- {escape(name)}: {_code(query)}" for name, query in sorted(queries.items())]
        below = ["", f"{words['sources']}:", "", *sources] if sources else []
        self._section("actions", [*self._table(heads, rows), *below] if rows else [])

    def _messages(self) -> None:
        lines: list[str] = []
        for message in self._incident.messages:
            quoted = [f"> {escape(line)}" for line in message.text.splitlines() if line.strip()]
            lines += [
                f"{self._at(message.at)} {self._named(message.kind.value)} ({escape(', '.join(message.channels))})",
                "",
                *quoted,
                "",
            ]
        self._section("messages", lines[:-1])

    def _follow_ups(self) -> None:
        words = self._words
        lines = []
        for todo in self._incident.todos:
            who = f"{words['owner']}: {escape(todo.owner) or words['nobody']}"
            when = f"{words['due']}: {escape(todo.due) or words['no_date']}"
            lines.append(f"- [{'x' if todo.done else ' '}] {escape(todo.text)} ({who}, {when})")
        self._section("follow_ups", lines)
