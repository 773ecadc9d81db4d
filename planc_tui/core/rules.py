"""What a symptom rule of the playbook says; the findings engine decides with it.

Invariant: a rule is data. It names facts of `core.facts` and says when they are bad, never what to do.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Seconds = Annotated[float, Meta(ge=0, extra={"form": "duration"})]
"""Seconds; a playbook file may write `15m`, `90s` or `1h30m`."""


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One comparison: the fact is bad above or below a number, or when it equals yes or no."""

    fact: str
    """Name of a fact of `planc playbook facts`."""
    above: float | None = None
    """Bad when greater than this."""
    below: float | None = None
    """Bad when less than this."""
    equals: bool | None = None
    """For facts that are yes or no: bad when equal to this."""
    clear: float | None = None
    """Good again only beyond this value; the threshold itself when left out. Stops flapping."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A symptom: conditions over facts, how long they must hold, and what they point to."""

    id: str
    """Name used by procedures and the journal."""
    text: str
    """What is shown. `{value}`, `{threshold}` and `{object}` are of the first of `all` or the worst of `any`."""
    severity: str
    """Severity that this symptom alone would justify."""
    procedure: str = ""
    """Procedure that treats it."""
    all: tuple[Condition, ...] = ()
    """Conditions that must be bad together."""
    any: tuple[Condition, ...] = ()
    """Conditions of which one must be bad. Exactly one of `all` and `any` is given."""
    for_: Seconds = msgspec.field(name="for", default=0.0)
    """How long it must be bad before it is raised."""
    hold: Seconds = 30.0
    """How long it must be good before it is cleared."""
    show: str = ""
    """Pane that shows it, by its name."""

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """All conditions of the rule, whichever list they are in."""
        return self.all or self.any
