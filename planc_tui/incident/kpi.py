"""Indicators over incidents: how long until they were noticed, taken up and over.

Invariant: what is unknown is counted as unknown, never as zero; drills and false alarms are left out; a negative span
is shown as zero and flagged, because it means that two clocks disagreed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from statistics import fmean, median

from msgspec import Struct

from planc_tui.incident.model import Incident, State

FEW = 8
MONTH = 30 * 86_400.0


class Targets(Struct, frozen=True):
    """What the playbook wants; seconds, and a number of incidents."""

    mttd: float = 120.0
    mtta: float = 300.0
    mttr: float = 1800.0
    major_per_month: int = 2


class Timing(Struct, frozen=True):
    """Spans of one incident in seconds, None when unknown.

    detect: impact to detection. acknowledge: first page (or declaration) to the first acknowledgement. mitigate and
    recover: from the impact. respond: declaration to resolution. in_time: whether the deadline of the worst severity
    was met. flags: what makes a figure doubtful."""

    incident: str
    severity: str
    worst: str
    declared_at: float
    detect: float | None
    acknowledge: float | None
    mitigate: float | None
    recover: float | None
    respond: float | None
    in_time: bool | None
    reopened: int
    flags: tuple[str, ...] = ()


class Figure(Struct, frozen=True):
    """One indicator over `n` incidents; `unknown` more could not be measured. few: too few to say much."""

    n: int
    unknown: int
    mean: float | None = None
    median: float | None = None
    p90: float | None = None
    longest: float | None = None
    target: float | None = None

    @property
    def few(self) -> bool:
        """Whether chance decides more than anything else."""
        return self.n < FEW

    @property
    def met(self) -> bool | None:
        """Whether the mean is below the target; None when nothing was measured."""
        return None if self.mean is None or self.target is None else self.mean < self.target


class Report(Struct, frozen=True):
    """All indicators. major_*: incidents of the major severities, this calendar month and in the last 30 days."""

    timings: tuple[Timing, ...]
    detect: Figure
    acknowledge: Figure
    mitigate: Figure
    recover: Figure
    respond: Figure
    in_time: tuple[int, int]
    major_this_month: int
    major_30_days: int
    major_target: int
    left_out: int


def timing(incident: Incident) -> Timing:
    """The spans of one incident."""
    flags: list[str] = []

    def span(start: float | None, end: float | None) -> float | None:
        if start is None or end is None:
            return None
        if end < start:
            flags.append("clock skew")
        return max(0.0, end - start)

    paged = incident.declared_at if incident.first_page_at is None else incident.first_page_at
    over = _resolved_at(incident)
    acked = incident.first_ack_at
    if acked is None and over is not None:
        acked = over
        flags.append("resolved without acknowledgement")
    if incident.impact_start is None:
        flags.append("impact start unknown")
    respond = span(incident.declared_at, over)
    deadline = incident.policy.severity(incident.worst).deadline
    return Timing(
        incident=incident.id,
        severity=incident.severity,
        worst=incident.worst,
        declared_at=incident.declared_at,
        detect=span(incident.impact_start, incident.detected_at),
        acknowledge=span(paged, acked),
        mitigate=span(incident.impact_start, incident.mitigated_at),
        recover=span(incident.impact_start, over),
        respond=respond,
        in_time=None if respond is None or not deadline else respond <= deadline,
        reopened=incident.reopened,
        flags=tuple(dict.fromkeys(flags)),
    )


def _resolved_at(incident: Incident) -> float | None:
    """The last resolution; an incident that is open again has none."""
    return incident.resolved_at if not incident.state.active else None


def figure(values: Sequence[float | None], target: float | None = None) -> Figure:
    """Mean, median, 90th percentile (linear between ranks) and longest of what is known.

    >>> figure([60.0, None, 120.0], 300.0)
    Figure(n=2, unknown=1, mean=90.0, median=90.0, p90=114.0, longest=120.0, target=300.0)
    """
    known = sorted(value for value in values if value is not None)
    unknown = len(values) - len(known)
    if not known:
        return Figure(0, unknown, target=target)
    place = 0.9 * (len(known) - 1)
    low = int(place)
    high = min(low + 1, len(known) - 1)
    p90 = known[low] + (known[high] - known[low]) * (place - low)
    return Figure(len(known), unknown, fmean(known), median(known), round(p90, 6), known[-1], target)


def report(incidents: Iterable[Incident], now: float, targets: Targets | None = None) -> Report:
    """The indicators over `incidents` as of `now`."""
    targets = targets or Targets()
    every = list(incidents)
    counted = [i for i in every if not i.drill and i.state not in (State.CANCELLED, State.SUSPECTED)]
    timings = tuple(timing(incident) for incident in counted)
    judged = [t.in_time for t in timings if t.in_time is not None]
    major = [incident.declared_at for incident in counted if incident.severity in incident.policy.major]
    return Report(
        timings=timings,
        detect=figure([t.detect for t in timings], targets.mttd),
        acknowledge=figure([t.acknowledge for t in timings], targets.mtta),
        mitigate=figure([t.mitigate for t in timings]),
        recover=figure([t.recover for t in timings], targets.mttr),
        respond=figure([t.respond for t in timings]),
        in_time=(sum(judged), len(judged)),
        major_this_month=sum(_month(at) == _month(now) for at in major),
        major_30_days=sum(now - MONTH < at <= now for at in major),
        major_target=targets.major_per_month,
        left_out=len(every) - len(counted),
    )


def _month(at: float) -> tuple[int, int]:
    day = datetime.fromtimestamp(at, UTC)
    return day.year, day.month
