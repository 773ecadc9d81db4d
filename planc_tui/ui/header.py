"""What the header, the findings strip and the tab strip say, worked out from readings.

Invariant: pure; the same readings at the same time give the same words, and words change only with what they stand for.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from planc_tui.actions.arming import Mode
from planc_tui.core.cluster.topics import LINK
from planc_tui.core.findings import Finding
from planc_tui.core.health import Health
from planc_tui.core.store import Reading, Store
from planc_tui.core.table import Tone
from planc_tui.core.text import clean
from planc_tui.playbook.model import Playbook
from planc_tui.sources.findings import FINDINGS, rule_topics
from planc_tui.ui.panes.base import Pane, View
from planc_tui.ui.session import Identity, Session
from planc_tui.ui.theme import HEALTH_TONE
from planc_tui.ui.widgets.bars import FindingLine, HeaderFacts, Tab

_WORST = ("P0", "P1")
_NO_GAP = (Health.LIVE, Health.CONNECTING, Health.NOT_CONFIGURED, Health.IDLE)
_TONE_GLYPH = {Tone.CRIT: "✖", Tone.WARN: "▲", Tone.OK: "●", Tone.UNKNOWN: "?"}


def clock_text(now: float) -> str:
    """Time of day without seconds, so that it moves once a minute.

    >>> clock_text(0.0)
    '00:00 UTC'
    """
    return datetime.fromtimestamp(now, UTC).strftime("%H:%M UTC")


def count_health(readings: Iterable[Reading[Any]], monotonic: float) -> tuple[int, int, int, int]:
    """How many wanted readings are live, stale, denied (or logged out), and away."""
    live = stale = denied = away = 0
    for reading in readings:
        if not reading.wanted:
            continue
        health = reading.health(monotonic)
        live += health is Health.LIVE
        stale += health is Health.STALE
        denied += health in (Health.DENIED, Health.LOGIN_EXPIRED)
        away += health is Health.UNREACHABLE
    return live, stale, denied, away


def header_facts(session: Session, store: Store, now: float, monotonic: float) -> HeaderFacts:
    """The first line of the header for an open session."""
    identity = session.identity
    link = store.get(LINK)
    reached = link.value is not None and link.health(monotonic) is Health.LIVE
    topics = {topic.name: topic for feed in session.hub.feeds for topic in feed.topics}
    live, stale, denied, away = count_health((store.peek(topic) for topic in topics.values()), monotonic)
    return HeaderFacts(
        word=identity.word,
        colour=word_colour(session.playbook, identity),
        context=identity.context,
        namespace=identity.namespace or "all namespaces",
        version=link.value.version if link.value is not None else "",
        rtt_ms=link.value.rtt_ms if reached and link.value is not None else None,
        live=live,
        stale=stale,
        denied=denied,
        away=away,
        mode=mode_text(session.arming.mode()),
        clock=clock_text(now),
        message=_link_message(link, monotonic),
    )


def mode_text(mode: Mode) -> str:
    """`read-only`, `read-write` or `dry run`, and how long this console stays armed.

    >>> mode_text(Mode(read_only=False, remaining=492.0)), mode_text(Mode(read_only=False, dry=True))
    ('read-write 08:12', 'dry run')
    """
    if mode.read_only:
        return "read-only"
    word = "dry run" if mode.dry else "read-write"
    if mode.remaining is None:
        return word
    return f"{word} {int(mode.remaining) // 60:02d}:{int(mode.remaining) % 60:02d}"


def _link_message(link: Reading[Any], monotonic: float) -> str:
    """What the second line says instead of the clock while the API server is away."""
    health = link.health(monotonic)
    if link.fault is None or health not in (Health.UNREACHABLE, Health.STALE, Health.LOGIN_EXPIRED):
        return ""
    hint = f", run: {clean(link.fault.hint)}" if link.fault.hint and health is Health.LOGIN_EXPIRED else ""
    return f"{health.glyph} API server: {clean(link.fault.message)}{hint}"


def word_colour(playbook: Playbook, identity: Identity) -> str:
    """Background of the environment's word, from the playbook's entry of that name."""
    return next((e.colour for e in playbook.environments if e.word == identity.word), "grey")


def finding_lines(findings: Sequence[Finding], playbook: Playbook, live: bool) -> tuple[FindingLine, ...]:
    """Findings as the strip shows them. live: false when the rules have not looked lately."""
    return tuple(
        FindingLine(
            text=clean(finding.text),
            severity=clean(finding.severity, 8),
            tone=Tone.CRIT if finding.severity in _WORST else Tone.WARN,
            procedure=_procedure(playbook, finding.procedure),
            confirmed=live and finding.confirmed,
        )
        for finding in findings
    )


def _procedure(playbook: Playbook, procedure_id: str) -> str:
    procedure = playbook.procedure(procedure_id)
    return clean(procedure.title.of("en") if procedure is not None else procedure_id, 60)


def quiet_text(playbook: Playbook, store: Store, monotonic: float) -> tuple[str, Tone]:
    """What the strip says without findings; only a live look at everything may say that nothing is wrong.

    A system that is not configured is no gap: its pane says so, and it would be said for ever."""
    health = store.get(FINDINGS).health(monotonic)
    if health is Health.LIVE:
        states = {topic.name: store.peek(topic).health(monotonic) for topic in rule_topics(playbook)}
        away = [name for name, state in states.items() if state not in _NO_GAP]
        if away:
            names = ", ".join(away[:3]) + (f" and {len(away) - 3} more" if len(away) > 3 else "")
            return f"? nothing found, but the rules do not know {names} now", Tone.UNKNOWN
        if {Health.CONNECTING, Health.IDLE} & set(states.values()):
            return "… looking", Tone.DIM
        return "● nothing found by the playbook's rules", Tone.DIM
    if health is Health.CONNECTING:
        return "… looking", Tone.DIM
    return f"{health.glyph} the rules cannot tell: {health.value}", Tone.UNKNOWN


def tab(pane: Pane[Any], view: View | None) -> Tab:
    """One tab, with the worst that is known of its pane."""
    glyph, tone = "○", Tone.DIM
    if view is not None:
        reading = view.reading(pane.topics[0])
        health = reading.health(view.monotonic)
        glyph, tone = health.glyph, HEALTH_TONE[health]
        if health is Health.LIVE:
            worst = pane.summary(view).tone
            glyph = _TONE_GLYPH.get(worst, "●")
            tone = worst if worst in (Tone.CRIT, Tone.WARN) else Tone.DIM
    return Tab(pane.id, pane.number, pane.title, glyph, tone)
