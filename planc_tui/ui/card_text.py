"""The words of the confirm card, always in the same places.

Invariant: pure; the environment's word, context and namespace come first, then what changes from what to what, then
how far it reaches, then what the server says, then the command, then the way back.
"""

from __future__ import annotations

from collections.abc import Sequence

from planc_tui.actions.base import Change, Plan, Risk
from planc_tui.actions.executor import Prepared
from planc_tui.core.table import Target, Tone
from planc_tui.core.text import cell_width, clean

Row = tuple[str, Tone]
LISTED = 12
RISK_WORDS = {Risk.LOW: "low risk", Risk.MEDIUM: "medium risk", Risk.HIGH: "high risk"}


def card_rows(prepared: Prepared) -> list[Row]:
    """Everything the card says above its keys."""
    plan = prepared.plan
    rows: list[Row] = [(where(plan), Tone.NORMAL), (named(plan.targets), Tone.ACCENT)]
    rows += change_rows(plan.changes)
    rows += [(clean(line), Tone.NORMAL) for line in plan.blast]
    rows += [(f"▲ {clean(line)}", Tone.WARN) for line in plan.warnings]
    rows.append(_server(prepared))
    rows += [(clean(line), Tone.DIM) for line in plan.equivalents]
    rows.append((f"undo: {clean(plan.undo)}" if plan.undo else "▲ this cannot be undone", _undo_tone(plan)))
    if prepared.refused:
        rows.append((f"✖ {clean(prepared.refused)}", Tone.CRIT))
    return rows


def where(plan: Plan) -> str:
    """Context and namespace."""
    return " › ".join(part for part in (clean(plan.context), clean(plan.namespace)) if part)


def named(targets: Sequence[Target]) -> str:
    """The targets by kind and name; all of them, for there are no invisible targets.

    >>> named([Target("Pod", "a"), Target("Pod", "b")])
    'pod/a, pod/b'
    """
    return ", ".join(f"{target.kind.lower()}/{clean(target.name)}" for target in targets)


def change_rows(changes: Sequence[Change]) -> list[Row]:
    """One line per change, labels aligned.

    >>> change_rows([Change("replicas", "3", "10"), Change("folder", "", "/b")])
    [('  replicas  3 › 10', <Tone.NORMAL: 'normal'>), ('  folder    /b', <Tone.NORMAL: 'normal'>)]
    """
    width = min(40, max((cell_width(clean(change.label)) for change in changes), default=0))
    rows: list[Row] = []
    for change in changes:
        label = clean(change.label)
        values = " › ".join(clean(part) for part in (change.before, change.after) if part)
        rows.append((f"  {label}{' ' * max(0, width - cell_width(label))}  {values}", Tone.NORMAL))
    return rows


def _server(prepared: Prepared) -> Row:
    allowed = {True: "yes", False: "no", None: "unknown"}[prepared.permission.allowed]
    text = f"server dry run: {clean(prepared.dry_run)}     you may do this: {allowed}"
    good = prepared.permission.allowed is True and not prepared.refused
    return text, Tone.OK if good else Tone.WARN


def _undo_tone(plan: Plan) -> Tone:
    return Tone.DIM if plan.undo else Tone.WARN
