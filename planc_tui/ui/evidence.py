"""Whether the signals of an incident's procedures are good, and for how long.

Invariant: a signal that nobody can see is unknown, and unknown is never good.
"""

from __future__ import annotations

from planc_tui.core.findings import Finding
from planc_tui.core.health import Health
from planc_tui.core.store import Reading
from planc_tui.incident.lifecycle import Evidence
from planc_tui.incident.model import Incident
from planc_tui.playbook.model import Playbook, Procedure


class EvidenceWatch:
    """Remembers since when every signal has been good. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._incident = ""
        self._good_since: float | None = None
        self.evidence: Evidence | None = None

    def look(
        self, incident: Incident | None, playbook: Playbook, reading: Reading[tuple[Finding, ...]], now: float
    ) -> Evidence | None:
        """The evidence at `now`; None when no incident is open."""
        if incident is None or not incident.state.active:
            self._incident, self.evidence = "", None
            return None
        if incident.id != self._incident:
            self._incident, self._good_since = incident.id, None
        procedures = procedures_of(incident, playbook)
        wanted = tuple(dict.fromkeys(rule for procedure in procedures for rule in procedure.recovered))
        needed = max((procedure.recovered_for for procedure in procedures), default=None)
        if reading.health(now) is not Health.LIVE:
            self._good_since = None
            self.evidence = Evidence(None, ("the signals cannot be seen now",), needed)
            return self.evidence
        bad = [finding for finding in reading.value or () if not wanted or finding.id in wanted]
        if bad:
            self._good_since = None
            self.evidence = Evidence(0.0, tuple(finding.text for finding in bad[:5]), needed)
            return self.evidence
        if self._good_since is None:
            self._good_since = now
        signals = tuple(f"{rule}: quiet" for rule in wanted) or ("no finding at all",)
        self.evidence = Evidence(now - self._good_since, signals, needed)
        return self.evidence


def procedures_of(incident: Incident, playbook: Playbook) -> tuple[Procedure, ...]:
    """The procedures that the findings of the declaration name."""
    rules = {rule.id: rule.procedure for rule in playbook.rules}
    names = {rules.get(finding, "") for finding in incident.findings}
    return tuple(procedure for procedure in playbook.procedures if procedure.id in names)
