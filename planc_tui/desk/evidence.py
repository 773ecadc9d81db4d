"""Whether the signals of an incident are good, and since when.

Invariant: a signal that nobody can see is unknown, and unknown is never good; what became good counts from the moment
it was seen to be good, not from the moment nobody could see it any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct

from planc_tui.core.findings import Facts, Finding, every, is_good, some
from planc_tui.core.rules import Rule
from planc_tui.incident import kinds
from planc_tui.incident.lifecycle import Evidence
from planc_tui.incident.model import Incident
from planc_tui.playbook.model import Playbook, Procedure

SHOWN = 5


class Standing(Struct, frozen=True):
    """How the signals stand. good_since: monotonic seconds since all are good, None while one is not. known: whether
    all can be seen. needed: seconds they must be good, None for the incident's own."""

    known: bool
    good_since: float | None
    signals: tuple[str, ...]
    needed: float | None = None

    def evidence(self, monotonic: float) -> Evidence:
        """The same as a span, at monotonic time `monotonic`."""
        if not self.known:
            return Evidence(None, self.signals, self.needed)
        good_for = 0.0 if self.good_since is None else max(0.0, monotonic - self.good_since)
        return Evidence(good_for, self.signals, self.needed)


class EvidenceWatch:
    """Remembers since when every signal of one incident has been good."""

    def __init__(self, playbook: Playbook) -> None:
        self._playbook = playbook
        self._incident = ""
        self._good_since: float | None = None

    def look(
        self, incident: Incident | None, live: bool, findings: Sequence[Finding], facts: Facts, monotonic: float
    ) -> Standing | None:
        """The standing now; None when no incident hurts. live: whether findings and facts are of this moment."""
        if incident is None or not incident.state.active:
            self._incident = ""
            return None
        if incident.id != self._incident:
            self._incident, self._good_since = incident.id, None
        rules = signals_of(incident, self._playbook)
        needed = max((p.recovered_for for p in procedures_of(incident, self._playbook)), default=None)
        if not live:
            return self._unknown(("the signals cannot be seen now",), needed)
        if not rules:
            return self._unknown(("no signal of the playbook belongs to this incident",), needed)
        raised = {finding.id: finding.text for finding in findings}
        bad = [raised[rule.id] for rule in rules if rule.id in raised]
        unseen = [rule.id for rule in rules if rule.id not in raised and _good(rule, facts) is None]
        if bad:
            self._good_since = None
            return Standing(True, None, tuple(bad[:SHOWN]), needed)
        if unseen:
            return self._unknown(tuple(f"{name}: cannot be seen" for name in unseen[:SHOWN]), needed)
        if self._good_since is None:
            self._good_since = monotonic
        return Standing(True, self._good_since, tuple(f"{rule.id}: quiet" for rule in rules), needed)

    def _unknown(self, signals: tuple[str, ...], needed: float | None) -> Standing:
        self._good_since = None
        return Standing(False, None, signals, needed)


def _good(rule: Rule, facts: Facts) -> bool | None:
    """Whether a rule that is not raised is seen to be good: one condition of `all` is enough, every one of `any`."""
    answers = [is_good(condition, facts) for condition in rule.conditions]
    return some(answers) if rule.all else every(answers)


def rules_seen(incident: Incident) -> tuple[str, ...]:
    """Rules that spoke up at the declaration or since, oldest first."""
    later = (str(e.event.data.get("finding", "")) for e in incident.entries if e.event.type == kinds.FINDING_RAISED)
    return tuple(dict.fromkeys((*incident.findings, *later)))


def procedures_of(incident: Incident, playbook: Playbook) -> tuple[Procedure, ...]:
    """The procedures that the findings of the incident name."""
    rules = {rule.id: rule.procedure for rule in playbook.rules}
    names = {rules.get(finding, "") for finding in rules_seen(incident)}
    return tuple(procedure for procedure in playbook.procedures if procedure.id in names)


def signals_of(incident: Incident, playbook: Playbook) -> tuple[Rule, ...]:
    """The rules that must be quiet: those that spoke up, and those that their procedures name."""
    wanted: Iterable[str] = (
        *rules_seen(incident),
        *(rule for procedure in procedures_of(incident, playbook) for rule in procedure.recovered),
    )
    known = {rule.id: rule for rule in playbook.rules}
    return tuple(known[name] for name in dict.fromkeys(wanted) if name in known)
