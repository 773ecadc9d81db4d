"""What every action on a queue shares.

Invariant: a queue is known by its vhost and its name, the same for whoever asks, so that one lease covers it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planc_tui.actions.base import Ports
from planc_tui.core.ports import Rejected
from planc_tui.core.table import Target


def the_queue(ports: Ports, target: Target) -> Target:
    """The target with vhost and uid as planc's login to the broker has them. Raises Rejected for another vhost."""
    system = ports.playbook.systems.rabbitmq
    vhost = system.vhost if system is not None else "/"
    uid = f"{vhost}/{target.name}"
    if target.uid not in ("", uid):
        raise Rejected(f"planc logs in to vhost {vhost}, and this queue is {target.uid}")
    return Target("Queue", target.name, vhost, uid, ports.cluster.context)


def died_in(properties: Mapping[str, Any]) -> str:
    """The queue a message died in last, by its x-death header; "" when it has none.

    >>> died_in({"headers": {"x-death": [{"queue": "tasks", "reason": "rejected"}]}})
    'tasks'
    """
    deaths = (properties.get("headers") or {}).get("x-death") or []
    first = deaths[0] if isinstance(deaths, list) and deaths else {}
    name = first.get("queue") if isinstance(first, Mapping) else None
    return name if isinstance(name, str) else ""


def copied_to(properties: Mapping[str, Any]) -> bool:
    """Whether the broker would route copies of the message to further queues when it is published again.

    >>> copied_to({"headers": {"CC": ["audit"]}}), copied_to({})
    (True, False)
    """
    headers = properties.get("headers") or {}
    return bool(headers.get("CC") or headers.get("BCC"))
