"""Checks that the objects a plan was made for are still the same.

Invariant: an object with another uid, or with another generation or resourceVersion where the plan names one, stops
the plan.
"""

from __future__ import annotations

import msgspec

from planc_tui.actions.base import Drift, Guard
from planc_tui.core.ports import BadAnswer, ClusterPort, NotFound


class _Meta(msgspec.Struct, rename="camel", gc=False):
    uid: str = ""
    resource_version: str = ""
    generation: int = 0


class _Object(msgspec.Struct, gc=False):
    metadata: _Meta = msgspec.field(default_factory=_Meta)


def check_guards(port: ClusterPort, guards: tuple[Guard, ...]) -> Drift | None:
    """The first change found, None when all is as it was. Raises PortError when an object cannot be read."""
    for guard in guards:
        name = guard.name or guard.path.rpartition("/")[2]
        try:
            answer = port.request("GET", guard.path, source="actions")
            meta = msgspec.json.decode(answer, type=_Object).metadata
        except NotFound:
            return Drift(f"{name} no longer exists")
        except msgspec.MsgspecError:
            raise BadAnswer(f"the answer about {name} could not be read") from None
        if meta.uid != guard.uid:
            return Drift(f"{name} was replaced by another object of the same name")
        if guard.generation and meta.generation != guard.generation:
            return Drift(f"the spec of {name} was changed by somebody else: look again")
        if guard.resource_version and meta.resource_version != guard.resource_version:
            return Drift(f"{name} was modified by somebody else: look again")
    return None
