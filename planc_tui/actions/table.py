"""The table of actions for the README, from the actions themselves.

Invariant: what the README says of an action is what the action says of itself.
"""

from __future__ import annotations

from planc_tui.actions.registry import load


def markdown() -> str:
    """One row per action that a person can start."""
    rows = ["| action | on | key | risk | what is checked | how it is undone |", "|" + " --- |" * 6]
    for action in sorted(load()[0].values(), key=lambda one: one.title):
        if not action.kinds:
            continue
        kinds = ", ".join(action.kinds)
        key = f"`{action.key}`" if action.key else f"`:{action.id}`"
        rows.append(f"| {action.title} | {kinds} | {key} | {action.risk.name} | {action.checked} | {action.undone} |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(markdown())
