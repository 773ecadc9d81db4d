"""How a playbook that extends another one is laid over it.

Invariant: nothing of the base is lost unless the file says so. Maps merge key by key; lists whose entries have names
merge entry by entry, other lists are replaced; every value keeps the file and line it came from.
"""

from __future__ import annotations

from planc_tui.playbook.tree import Node, Problem

IDENTITIES = ("id", "name", "word")
"""Keys that name an entry of a list; the first one that all entries have counts."""

EXCLUSIVE = (
    frozenset({"env", "file", "secret", "command", "pgpass"}),
    frozenset({"dsn", "url", "via"}),
    frozenset({"all", "any"}),
)
"""Keys of which one is given: setting one takes the others of the base away."""

FIRST = frozenset({"environments"})
"""Lists in which the first match counts: entries of the file go before those that only the base has."""


def merge(base: Node, over: Node, key: str = "") -> Node:
    """`over` laid on `base`. `key`: the name both stand under."""
    if isinstance(base.value, dict) and isinstance(over.value, dict):
        return _maps(base, base.value, over, over.value)
    if isinstance(base.value, list) and isinstance(over.value, list):
        return _lists(base.value, over, over.value, key)
    return over


def _maps(base: Node, below: dict[str, Node], over: Node, above: dict[str, Node]) -> Node:
    dropped = {other for group in EXCLUSIVE if group & above.keys() for other in group if other not in above}
    merged = {key: node for key, node in below.items() if key not in dropped}
    for key, node in above.items():
        merged[key] = merge(merged[key], node, key) if key in merged else node
    return Node(merged, over.file, over.line, base.size + over.size)


def _lists(below: list[Node], over: Node, above: list[Node], key: str) -> Node:
    identity = _identity(below + above) if below and above else ""
    if not identity:
        return over
    merged = {_name(node, identity): node for node in below}
    ours: list[str] = []
    for node in above:
        name = _name(node, identity)
        if name in merged and _removes(node):
            del merged[name]
            continue
        merged[name] = merge(merged[name], node) if name in merged else node
        ours.append(name)
    # Python keeps the order of the base for what was there, and appends what is new.
    order = [*ours, *(name for name in merged if name not in ours)] if key in FIRST else list(merged)
    rows = [merged[name] for name in order]
    return Node(rows, over.file, over.line, sum(node.size for node in rows) + 1)


def _identity(nodes: list[Node]) -> str:
    for identity in IDENTITIES:
        if all(_name(node, identity) for node in nodes):
            return identity
    return ""


def _name(node: Node, identity: str) -> str:
    if not isinstance(node.value, dict) or identity not in node.value:
        return ""
    value = node.value[identity].value
    return value if isinstance(value, str) else ""


def _removes(node: Node) -> bool:
    return isinstance(node.value, dict) and "remove" in node.value and node.value["remove"].value is True


def named_twice(node: Node, path: str = "") -> list[Problem]:
    """Entries of one file's lists that share a name; merging would lose one of them."""
    if isinstance(node.value, dict):
        return [
            problem
            for key, child in node.value.items()
            for problem in named_twice(child, f"{path}.{key}" if path else key)
        ]
    if not isinstance(node.value, list):
        return []
    found = []
    first: dict[str, int] = {}
    identity = _identity(node.value) if node.value else ""
    for child in node.value:
        name = _name(child, identity)
        if name in first:
            message = f'the {identity} "{name}" is taken, by the entry in line {first[name]}'
            found.append(Problem(child.file, child.line, path, message))
        elif name:
            first[name] = child.line
        found += named_twice(child, f"{path}[{name}]")
    return found
