"""What a person decided at the card of an action, for the journal.

Invariant: a yes, a no and a card that could not be confirmed are each written down with what the card was about.
"""

from __future__ import annotations

from planc_tui.actions.base import Action
from planc_tui.actions.executor import Prepared
from planc_tui.core.table import Target
from planc_tui.core.text import clean
from planc_tui.incident import kinds
from planc_tui.ui.notebook import Notebook


def note_refusal(notebook: Notebook, action: Action, target: Target, reason: str) -> None:
    """The action was refused before anybody could say yes."""
    data = {"action": action.id, "target": _target(target), "reason": clean(reason, 300)}
    notebook.write(kinds.ACTION_REFUSED, f"{_title(action, target)}: refused, {data['reason']}", data)


def note_decision(notebook: Notebook, action: Action, target: Target, prepared: Prepared, *, yes: bool) -> None:
    """The card was confirmed, or left without doing anything."""
    plan = prepared.plan
    typed = plan.confirm_word if yes else ""
    data = {
        "action": action.id,
        "target": _target(target),
        "risk": plan.risk.name.lower(),
        "changes": [[change.label, change.before, change.after] for change in plan.changes],
        "typed": typed,
    }
    how = f"confirmed by typing {clean(typed, 80)}" if typed else "confirmed"
    kind = kinds.ACTION_CONFIRMED if yes else kinds.ACTION_DECLINED
    notebook.write(kind, f"{_title(action, target)}: {how if yes else 'not confirmed'}", data)


def _title(action: Action, target: Target) -> str:
    return clean(f"{action.title} {target.name}", 160)


def _target(target: Target) -> dict[str, str]:
    return {"kind": target.kind, "name": target.name, "namespace": target.namespace, "context": target.context}
