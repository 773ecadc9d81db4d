"""What is wrong now, by the playbook's rules over facts.

Invariant: a fact that is not known neither raises nor clears a finding; a finding appears only after its
condition has held without a break for the rule's time, and goes only after the opposite has held likewise, so
that it never flaps. The state after a step is a pure function of the state before it, the facts and the time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

from planc_tui.core.facts import FACTS
from planc_tui.core.rules import Condition, Rule
from planc_tui.core.table import Target


class Known(Struct, frozen=True):
    """A fact that is known. value: in the fact's unit, 0 or 1 for yes or no. subject: sanitised name of the
    worst offender; target: the same as an object to open."""

    value: float
    subject: str = ""
    target: Target | None = None


Facts = Mapping[str, Known]
"""Known facts by their name in `core.facts`. A name that is missing is unknown."""


class Finding(Struct, frozen=True):
    """Something that is wrong. since: epoch seconds at which the condition was first seen. pane: id of the
    pane that shows it, may be empty. confirmed: False while a fact it rests on is unknown, so that nobody
    knows whether it still holds."""

    id: str
    severity: str
    text: str
    since: float
    procedure: str = ""
    facts: tuple[tuple[str, float], ...] = ()
    pane: str = ""
    target: Target | None = None
    confirmed: bool = True


class Track(Struct, frozen=True):
    """Progress of one rule. bad_since, good_since: monotonic seconds; seen_at: epoch seconds."""

    bad_since: float | None = None
    seen_at: float = 0.0
    good_since: float | None = None
    finding: Finding | None = None


class FindingsState(Struct, frozen=True):
    """Everything the rules remember between two steps."""

    tracks: Mapping[str, Track] = field(default_factory=dict)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong: worst severity first, then the oldest."""
        found = [track.finding for track in self.tracks.values() if track.finding is not None]
        return tuple(sorted(found, key=lambda finding: (finding.severity, finding.since, finding.id)))


def step(state: FindingsState, rules: Sequence[Rule], facts: Facts, now: float, monotonic: float) -> FindingsState:
    """The state after looking at `facts` at epoch time `now` and monotonic time `monotonic` (seconds)."""
    return FindingsState(
        {rule.id: _advance(state.tracks.get(rule.id, Track()), rule, facts, now, monotonic) for rule in rules}
    )


def is_bad(condition: Condition, facts: Facts) -> bool | None:
    """Whether the condition holds; None when its fact is unknown.

    >>> is_bad(Condition(fact="queue_depth", above=10), {"queue_depth": Known(11)})
    True
    """
    fact = facts.get(condition.fact)
    if fact is None:
        return None
    if condition.above is not None and fact.value > condition.above:
        return True
    if condition.below is not None and fact.value < condition.below:
        return True
    return condition.equals is not None and bool(fact.value) is condition.equals


def is_good(condition: Condition, facts: Facts) -> bool | None:
    """Whether the fact is good again: beyond `clear`, or not bad without one; None when it is unknown."""
    fact = facts.get(condition.fact)
    if fact is None:
        return None
    if condition.clear is None:
        return not is_bad(condition, facts)
    return fact.value <= condition.clear if condition.above is not None else fact.value >= condition.clear


def every(answers: Sequence[bool | None]) -> bool | None:
    """Three-valued `all`: no beats unknown, unknown beats yes.

    >>> every([True, None]), every([False, None]), every([True, True])
    (None, False, True)
    """
    if any(answer is False for answer in answers):
        return False
    return None if any(answer is None for answer in answers) else True


def some(answers: Sequence[bool | None]) -> bool | None:
    """Three-valued `any`: yes beats unknown, unknown beats no."""
    if any(answer is True for answer in answers):
        return True
    return None if any(answer is None for answer in answers) else False


def _advance(track: Track, rule: Rule, facts: Facts, now: float, monotonic: float) -> Track:
    if track.finding is None:
        return _while_quiet(track, rule, facts, now, monotonic)
    return _while_raised(track, track.finding, rule, facts, monotonic)


def _while_quiet(track: Track, rule: Rule, facts: Facts, now: float, monotonic: float) -> Track:
    answers = [is_bad(condition, facts) for condition in rule.conditions]
    # Unknown starts the wait anew: nobody saw whether the condition held meanwhile.
    if (every(answers) if rule.all else some(answers)) is not True:
        return Track()
    first = track.bad_since is None
    since = monotonic if track.bad_since is None else track.bad_since
    seen_at = now if first else track.seen_at
    raised = monotonic - since >= rule.for_
    return Track(since, seen_at, None, _finding(rule, facts, seen_at) if raised else None)


def _while_raised(track: Track, finding: Finding, rule: Rule, facts: Facts, monotonic: float) -> Track:
    answers = [is_good(condition, facts) for condition in rule.conditions]
    # One good condition undoes an `all`; only all of them undo an `any`.
    good = some(answers) if rule.all else every(answers)
    if good is None:
        return Track(track.bad_since, track.seen_at, None, replace(finding, confirmed=False))
    if not good:
        return Track(track.bad_since, track.seen_at, None, _renewed(finding, rule, facts))
    since = monotonic if track.good_since is None else track.good_since
    if monotonic - since >= rule.hold:
        return Track()
    return Track(track.bad_since, track.seen_at, since, replace(finding, confirmed=True))


def _renewed(finding: Finding, rule: Rule, facts: Facts) -> Finding:
    if any(is_bad(condition, facts) for condition in rule.conditions):
        return _finding(rule, facts, finding.since)
    return replace(finding, confirmed=True)


def _finding(rule: Rule, facts: Facts, since: float) -> Finding:
    bad = [condition for condition in rule.conditions if is_bad(condition, facts)]
    # Of `all`, the first is what the rule is about and the others narrow it; of `any`, the worst is what is wrong.
    named = bad[0] if rule.all else max(bad, key=lambda condition: _excess(condition, facts[condition.fact].value))
    return Finding(
        id=rule.id,
        severity=rule.severity,
        text=fill(rule.text, named, facts[named.fact]),
        since=since,
        procedure=rule.procedure,
        facts=tuple((c.fact, facts[c.fact].value) for c in rule.conditions if c.fact in facts),
        pane=rule.show,
        target=facts[named.fact].target,
    )


def _excess(condition: Condition, value: float) -> float:
    """How many times over (or under) its threshold a bad fact is; 1 for flags."""
    if condition.above is not None and value > condition.above:
        return value / condition.above if condition.above > 0 else 2.0
    if condition.below is not None:
        return condition.below / value if value > 0 else 2.0
    return 1.0


PLACEHOLDER = re.compile(r"\{(value|threshold|object)\}")


def fill(template: str, condition: Condition, known: Known) -> str:
    """The rule's text about its worst condition.

    >>> condition = Condition(fact="latency_p95", above=2)
    >>> fill("P95 {value} > {threshold} on {object}", condition, Known(2.43, "app"))
    'P95 2.4 s > 2 s on app'
    """
    below = condition.below is not None and known.value < condition.below
    threshold = condition.below if below else condition.above
    words = {
        "value": show(condition.fact, known.value),
        "threshold": "" if threshold is None else show(condition.fact, threshold),
        "object": known.subject,
    }
    return PLACEHOLDER.sub(lambda match: words[match[1]], template)


def show(name: str, value: float) -> str:
    """A fact's value for people: few digits, so that the text stands still while the value trembles.

    >>> show("queue_depth", 1840), show("error_percent", 4.126), show("database_longest_query", 190)
    ('1,840', '4.1%', '3 min')
    """
    spec = FACTS.get(name)
    unit = "" if spec is None else spec.unit
    if unit == "yes/no":
        return "yes" if value else "no"
    if unit == "%":
        return f"{_digits(value)}%"
    if unit == "s":
        return _seconds(value)
    if unit == "1/min":
        return f"{_digits(value)}/min"
    return f"{_digits(value)} {unit}" if unit else _digits(value)


def _digits(value: float) -> str:
    """Whole numbers whole; two decimals where a percentage is near 100 and one where a number is small.

    >>> _digits(1840.0), _digits(41.7), _digits(4.126), _digits(99.954)
    ('1,840', '42', '4.1', '99.95')
    """
    if value == int(value):
        return f"{value:,.0f}"
    if 99 <= value < 100:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) < 10 else f"{value:,.0f}"


def _seconds(value: float) -> str:
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 60:
        return f"{value:.2g} s"
    if value < 3600:
        return f"{value / 60:.0f} min"
    return f"{value / 3600:.1f} h"
