"""From a key to a running action: values, card, yes, tray.

Invariant: the target is the identity under the cursor when the key was pressed; whatever the rows do meanwhile, the
card, the checks and the requests are about that identity and no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from planc_tui.actions.base import Action, Refusal
from planc_tui.actions.executor import Prepared, Run
from planc_tui.actions.registry import for_kind, load
from planc_tui.core.ports import PortError
from planc_tui.core.table import Target, Tone
from planc_tui.core.text import clean
from planc_tui.playbook.model import Playbook, Step
from planc_tui.playbook.targets import target_of
from planc_tui.ui.decisions import note_decision, note_refusal
from planc_tui.ui.screens.card import Card, Decision, environment_of_card
from planc_tui.ui.screens.form import Form

if TYPE_CHECKING:
    from planc_tui.ui.app import PlancApp


Started = Callable[[Run], None]


def act(
    planc: PlancApp,
    action_id: str,
    targets: Sequence[Target],
    args: Mapping[str, str] | None = None,
    started: Started | None = None,
) -> None:
    """Start an action on the first target; marked others go along where the action takes several.

    args: values that are given already; with them no form is shown. started: told of the run after the yes."""
    action = load()[0].get(action_id)
    if action is None or planc.session is None:
        planc.say(
            "not connected: nothing can be changed now" if action else f"there is no action {action_id}", Tone.WARN
        )
        return
    given = dict(args or {})
    target, *others = targets
    if others:
        if action.kinds != ("Pod",):
            planc.say(f"{action.title} takes one row at a time: take the marks away (ctrl-\\)", Tone.WARN)
            return
        given["also"] = msgspec.json.encode(others).decode()
    asks = [param for param in action.params if param.id not in given]
    if asks and args is None:
        _ask(planc, action, target, given, started)
    else:
        _prepare(planc, action, target, given, started)


def _ask(planc: PlancApp, action: Action, target: Target, given: Mapping[str, str], started: Started | None) -> None:
    def filled(values: Mapping[str, str] | None) -> None:
        if values is not None:
            _prepare(planc, action, target, {**given, **values}, started)

    title = f"{action.title}   {target.kind.lower()}/{target.name}"
    planc.push_screen(Form(title, action.params, given), filled)


def _prepare(planc: PlancApp, action: Action, target: Target, args: Mapping[str, str], started: Started | None) -> None:
    session = planc.session
    if session is None:
        return
    planc.say(f"{action.title}: looking at {clean(target.name)} …", Tone.DIM)

    def prepared(result: Prepared | Refusal | PortError) -> None:
        # A card about a context that is no longer shown must not open.
        if planc.session is session:
            planc.say("")
            _show(planc, action, target, args, result, started)

    planc.off_thread(lambda: session.executor.prepare(action.id, target, args), prepared, "prepare")


def _show(
    planc: PlancApp,
    action: Action,
    target: Target,
    args: Mapping[str, str],
    result: Prepared | Refusal | PortError,
    started: Started | None,
) -> None:
    answer = Refusal(result.message) if isinstance(result, PortError) else result
    word, colour = environment_of_card(planc)
    session = planc.session
    notebook = planc.room.guide.notebook
    refused = answer.reason if isinstance(answer, Refusal) else answer.refused
    if refused:
        note_refusal(notebook, action, target, refused)

    def decided(decision: Decision | None) -> None:
        if session is None:
            return
        if decision is None:
            if isinstance(answer, Prepared) and not refused:
                note_decision(notebook, action, target, answer, yes=False)
        elif planc.session is not session:
            planc.say("the context changed while the card was open: nothing was done", Tone.WARN)
        elif decision is Decision.GO and isinstance(answer, Prepared):
            note_decision(notebook, action, target, answer, yes=True)
            run = session.executor.start(answer)
            planc.room.guide.snapshots.before(run)
            planc.room.guide.shown.follow(run)
            if started is not None:
                started(run)
        elif decision is Decision.EDIT:
            _ask(planc, action, target, args, started)
        elif decision is Decision.OFFER and isinstance(answer, Refusal) and answer.offer:
            act(planc, answer.offer[0], [target], answer.offer[1], started)

    planc.push_screen(Card(answer, action.title, word, colour, editable=bool(action.params)), decided)


def undo(planc: PlancApp, run: Run) -> None:
    """Prepare what undoes a run; it takes the whole way."""
    session = planc.session
    if session is None:
        return
    way = session.executor.undo(run)
    if way is None:
        planc.say(f"{run.plan.title} has no undo", Tone.WARN)
        return
    act(planc, way[0], [way[1]], way[2])


def default_target(playbook: Playbook, kind: str, namespace: str, context: str) -> Target | None:
    """The playbook's own object of a kind: the application, the Ingress, the dead-letter queue, the namespace."""
    named = {"Ingress": "ingress", "Namespace": "namespace", "Database": "database", "Queue": "dead_letter"}
    found = target_of(Step(target=named.get(kind, "app")), playbook, namespace, context)
    return found if found is not None and found.kind == kind else None


def offered(kind: str) -> tuple[Action, ...]:
    """Actions for a row of this kind, and those that need no row."""
    own = for_kind(kind) if kind else ()
    general = [action for general in ("Ingress", "Namespace", "Database") for action in for_kind(general)]
    return (*own, *(action for action in general if action not in own))
