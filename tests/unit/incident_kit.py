"""A small incident world for tests: events are folded as they are written, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from planc_tui.core.timeline import Actor, Draft, Event
from planc_tui.incident.escalation import tick
from planc_tui.incident.fold import fold
from planc_tui.incident.lifecycle import Declaration, Outcome, Refusal, declare
from planc_tui.incident.model import ChannelInfo, Check, Incident, Policy, Rung, SeverityRule

START = 1_795_478_400.0
MINUTE = 60.0
ALICE = Actor("alice", tty="pts/3", host="bastion1", origin="10.0.0.7", pid=42)
BOB = Actor("bob", tty="pts/4", host="bastion1")

LADDER = (
    Rung(id="L1", after=0.0, who="on-call developer", does="first diagnosis", channels=("slack",)),
    Rung(id="L2", after=15 * MINUTE, who="senior developer", does="corrective actions", channels=("pagerduty",)),
    Rung(
        id="L3", after=30 * MINUTE, who="tech lead", does="decisions", channels=("phone",), number="+33 1 00 00 00 03"
    ),
    Rung(id="L4", after=60 * MINUTE, who="CTO", does="external communication", channels=("emergency",)),
)
CHANNELS = (
    ChannelInfo(id="slack", kind="slack", name="Slack #incidents"),
    ChannelInfo(id="pagerduty", kind="pagerduty", name="PagerDuty"),
    ChannelInfo(id="phone", kind="phone", name="phone"),
    ChannelInfo(id="emergency", kind="phone", name="emergency line"),
)
CHECKLIST = (
    Check(id="recovered", text="resolved and verified", check="recovered"),
    Check(id="message", text="resolution message sent", check="resolution_sent"),
    Check(id="docs", text="documentation updated"),
)


def policy(ladder: tuple[Rung, ...] = LADDER, p0_ladder: tuple[Rung, ...] | None = None) -> Policy:
    """Plan C's numbers, with short checklists."""
    holds = {"P0": 5, "P1": 10, "P2": 30, "P3": 240}
    deadlines = {"P0": 15, "P1": 30, "P2": 120, "P3": 1440}
    return Policy(
        severities=tuple(
            SeverityRule(
                id=name,
                rank=rank,
                name=name,
                deadline=deadlines[name] * MINUTE,
                ack_hold=hold * MINUTE,
                snooze_max=30 * MINUTE,
                ladder=p0_ladder if name == "P0" and p0_ladder is not None else ladder,
            )
            for rank, (name, hold) in enumerate(holds.items())
        ),
        checklist=CHECKLIST,
        channels=CHANNELS,
        message_channels=("slack",),
        environment="PROD",
        namespace="shop",
    )


@dataclass
class World:
    """Events of one incident and the time."""

    now: float = START
    events: list[Event] = field(default_factory=list)
    _folded: Incident | None = None

    @property
    def incident(self) -> Incident:
        done = 0 if self._folded is None else self._folded.seq
        if self._folded is None or done < len(self.events):
            self._folded = fold(self.events[done:], self._folded)
        return self._folded

    def write(self, drafts: Sequence[Draft]) -> None:
        keys = {event.key for event in self.events if event.key}
        for draft in drafts:
            if draft.key and draft.key in keys:
                continue
            happened = self.now if draft.occurred_at is None else draft.occurred_at
            self.events.append(
                Event(
                    len(self.events) + 1,
                    draft.incident,
                    draft.type,
                    self.now,
                    happened,
                    draft.actor,
                    draft.summary,
                    draft.data,
                    draft.key,
                )
            )

    def do(self, outcome: Outcome) -> World:
        assert not isinstance(outcome, Refusal), outcome.reason
        self.write(outcome)
        return self

    def tick(self) -> tuple[Draft, ...]:
        drafts = tick(self.incident, self.now)
        self.write(drafts)
        return drafts

    def run_until(self, minute: float, step: float = 1.0) -> None:
        """The keeper of the clock looks every `step` seconds until `minute` minutes after the start."""
        while self.now < START + minute * MINUTE:
            self.tick()
            self.now = min(self.now + step, START + minute * MINUTE)
        self.tick()

    def to(self, minute: float) -> World:
        """Nobody looks until then."""
        self.now = START + minute * MINUTE
        return self

    def pages(self) -> list[tuple[str, float]]:
        """Level and minute of each page."""
        return [(page.level, round((page.at - START) / MINUTE, 3)) for page in self.incident.pages]


def declared(severity: str = "P0", rules: Policy | None = None, suspected: bool = False) -> World:
    world = World()
    form = Declaration("checkout answers 502", severity, suspected=suspected)
    return world.do(declare("INC-20261124-001", form, rules or policy(), ALICE, world.now))
