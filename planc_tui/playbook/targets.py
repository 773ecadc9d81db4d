"""What a step of a procedure acts on, as the identity of an object.

Invariant: a step never guesses. Names of the playbook lead to exactly one object; `selected` is left to the cursor.
"""

from __future__ import annotations

from planc_tui.core.table import Target
from planc_tui.playbook.model import Playbook, Step

_CLUSTER_WIDE = frozenset({"Node", "Namespace", "Database"})


def target_of(step: Step, playbook: Playbook, namespace: str, context: str) -> Target | None:
    """The object a step names in `namespace` of `context`; uid is empty, it is read when the action looks.

    None when the step is for what is selected, names nothing, or names a target that the playbook does not have.
    """
    kind, slash, name = step.target.partition("/")
    found = (kind, name) if slash else _named(step.target, playbook, namespace)
    if found is None or not found[1]:
        return None
    kind, name = found
    return Target(kind, name, "" if kind in _CLUSTER_WIDE else namespace, _uid(kind, name, playbook), context)


def _named(name: str, playbook: Playbook, namespace: str) -> tuple[str, str] | None:
    targets = playbook.targets
    if name == "app":
        return targets.app.kind, targets.app.name
    if name == "worker" and targets.worker is not None:
        return targets.worker.kind, targets.worker.name
    if name == "dead_letter" and targets.rabbitmq is not None:
        return "Queue", targets.rabbitmq.dead_letter
    return {
        "ingress": ("Ingress", targets.ingress),
        "database": ("Database", "database"),
        "namespace": ("Namespace", namespace),
    }.get(name)


def _uid(kind: str, name: str, playbook: Playbook) -> str:
    if kind == "Database":
        return "database"
    if kind == "Queue":
        broker = playbook.systems.rabbitmq
        return f"{broker.vhost if broker else '/'}/{name}"
    return ""
