"""From a key to a running action: values, card, yes, tray.

Invariant: the target is the identity under the cursor when the key was pressed; whatever the rows do meanwhile, the
card, the checks and the requests are about that identity and no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from planc_tui.actions.base import Action, Refusal
from planc_tui.actions.executor import Prepared, Run
from planc_tui.actions.registry import for_kind, load
from planc_tui.core.ports import PortError
from planc_tui.core.table import Target, Tone
from planc_tui.core.text import clean
from planc_tui.playbook.model import Playbook, Workload
from planc_tui.ui.screens.card import Card, Decision, environment_of_card
from planc_tui.ui.screens.form import Form

if TYPE_CHECKING:
    from planc_tui.ui.app import PlancApp


def act(planc: PlancApp, action_id: str, targets: Sequence[Target], args: Mapping[str, str] | None = None) -> None:
    """Start an action on the first target; marked others go along where the action takes several."""
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
        _ask(planc, action, target, given, "")
    else:
        _prepare(planc, action, target, given)


def _ask(planc: PlancApp, action: Action, target: Target, given: Mapping[str, str], problem: str) -> None:
    def filled(values: Mapping[str, str] | None) -> None:
        if values is not None:
            _prepare(planc, action, target, {**given, **values})

    title = f"{action.title}   {target.kind.lower()}/{target.name}"
    planc.push_screen(Form(title, action.params, given, problem), filled)


def _prepare(planc: PlancApp, action: Action, target: Target, args: Mapping[str, str]) -> None:
    session = planc.session
    if session is None:
        return
    planc.say(f"{action.title}: looking at {clean(target.name)} …", Tone.DIM)

    def prepared(result: Prepared | Refusal | PortError) -> None:
        # A card about a context that is no longer shown must not open.
        if planc.session is session:
            planc.say("")
            _show(planc, action, target, args, result)

    planc.off_thread(lambda: session.executor.prepare(action.id, target, args), prepared, "prepare")


def _show(
    planc: PlancApp, action: Action, target: Target, args: Mapping[str, str], result: Prepared | Refusal | PortError
) -> None:
    answer = Refusal(result.message) if isinstance(result, PortError) else result
    word, colour = environment_of_card(planc)

    def decided(decision: Decision | None) -> None:
        session = planc.session
        if session is None or decision is None:
            return
        if decision is Decision.GO and isinstance(answer, Prepared):
            session.executor.start(answer)
        elif decision is Decision.EDIT:
            _ask(planc, action, target, args, "")
        elif decision is Decision.OFFER and isinstance(answer, Refusal) and answer.offer:
            act(planc, answer.offer[0], [target], answer.offer[1])

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
    targets = playbook.targets
    if kind in ("Deployment", "StatefulSet", "DaemonSet"):
        return _workload(targets.app, kind, namespace, context)
    if kind == "Ingress" and targets.ingress:
        return Target("Ingress", targets.ingress, namespace, "", context)
    if kind == "Namespace":
        return Target("Namespace", namespace, namespace, "", context)
    if kind == "Database" and playbook.systems.postgres is not None:
        return Target("Database", "database", "", "database", context)
    if kind == "Queue" and targets.rabbitmq is not None and targets.rabbitmq.dead_letter:
        return Target("Queue", targets.rabbitmq.dead_letter, "", "", context)
    return None


def _workload(workload: Workload, kind: str, namespace: str, context: str) -> Target | None:
    return Target(kind, workload.name, namespace, "", context) if workload.kind == kind else None


def offered(kind: str) -> tuple[Action, ...]:
    """Actions for a row of this kind, and those that need no row."""
    own = for_kind(kind) if kind else ()
    general = [action for general in ("Ingress", "Namespace", "Database") for action in for_kind(general)]
    return (*own, *(action for action in general if action not in own))
