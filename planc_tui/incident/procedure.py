"""How far somebody is in a procedure: a fold of the journal, so that it survives a break and a killed console.

Invariant: an attempt belongs to one procedure, context and namespace; the object chosen for `selected` steps is fixed
by the first of them, so that a node that was cordoned is the one that is drained and uncordoned. A step whose console
ended before it could write the outcome takes the outcome that its action wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Final

from msgspec import Struct, field
from msgspec.structs import replace

from planc_tui.core.timeline import Event
from planc_tui.incident import kinds

BEGUN: Final = "procedure.begun"
STEP: Final = "procedure.step"
ENDED: Final = "procedure.ended"
TYPES: Final = (BEGUN, STEP, ENDED)
READ: Final = (*TYPES, kinds.ACTION_RESULT)
RECOVERED: Final = "recovered"
FORGOTTEN_AFTER = 12 * 3600.0


class StepState(Enum):
    """Where one step stands."""

    OPEN = "open"
    STARTED = "started"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"

    @property
    def glyph(self) -> str:
        """One cell for the checklist."""
        return {"open": "○", "started": "⟳", "done": "●", "failed": "✖", "skipped": "–"}[self.value]


class StepRecord(Struct, frozen=True):
    """What is known of a step. run: id of the action's run; at: epoch seconds of the last change."""

    state: StepState = StepState.OPEN
    run: str = ""
    at: float = 0.0


class Attempt(Struct, frozen=True):
    """One time through a procedure. selected: the object of the `selected` steps as kind, name, namespace, uid."""

    id: str
    procedure: str
    begun_at: float
    steps: Mapping[int, StepRecord] = field(default_factory=dict)
    selected: Mapping[str, str] = field(default_factory=dict)
    ended: bool = False

    def record(self, index: int) -> StepRecord:
        """The step's record; open when nothing was written about it."""
        return self.steps.get(index, StepRecord())

    @property
    def next_step(self) -> int:
        """The first step that is neither done nor left out."""
        index = 0
        while self.record(index).state in (StepState.DONE, StepState.SKIPPED):
            index += 1
        return index


def attempts(events: Iterable[Event], context: str, namespace: str) -> dict[str, Attempt]:
    """The newest attempt of each procedure in this context and namespace."""
    found: dict[str, Attempt] = {}
    for event in events:
        data = event.data
        if event.type == kinds.ACTION_RESULT:
            found = {name: settle(one, str(data.get("run", "")), data.get("state") == RECOVERED, event.occurred_at)
                     for name, one in found.items()}  # fmt: skip  # rows as a person reads them
            continue
        if event.type not in TYPES or (data.get("context"), data.get("namespace")) != (context, namespace):
            continue
        procedure = str(data.get("procedure", ""))
        if event.type == BEGUN:
            found[procedure] = Attempt(str(data.get("attempt", "")), procedure, event.occurred_at)
        elif (known := found.get(procedure)) is not None and known.id == data.get("attempt"):
            found[procedure] = replace(known, ended=True) if event.type == ENDED else _with_step(known, event)
    return found


def current(found: Mapping[str, Attempt], procedure: str, now: float) -> Attempt | None:
    """The attempt to go on with: not ended, and begun in the last twelve hours."""
    attempt = found.get(procedure)
    if attempt is None or attempt.ended or now - attempt.begun_at > FORGOTTEN_AFTER:
        return None
    return attempt


def settle(attempt: Attempt, run: str, recovered: bool, at: float) -> Attempt:
    """The attempt once a run is over; the same object when that changes nothing."""
    state = StepState.DONE if recovered else StepState.FAILED
    for index, record in attempt.steps.items():
        ran = run and record.run == run and record.state in (StepState.STARTED, StepState.FAILED)
        if ran and record.state is not state:
            return replace(attempt, steps={**attempt.steps, index: StepRecord(state, run, at)})
    return attempt


def _with_step(attempt: Attempt, event: Event) -> Attempt:
    data: Mapping[str, Any] = event.data
    try:
        index, state = int(data["step"]), StepState(data["state"])
    except (KeyError, ValueError, TypeError):
        return attempt
    record = StepRecord(state, str(data.get("run", "")), event.occurred_at)
    chosen = {key: str(value) for key, value in (data.get("selected") or {}).items()} or attempt.selected
    return replace(attempt, steps={**attempt.steps, index: record}, selected=chosen)
