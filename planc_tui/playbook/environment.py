"""Which word stands for a context, and whether it opens read-only.

Invariant: a context that no pattern knows is called UNKNOWN and opens read-only.
"""

from __future__ import annotations

import re

from planc_tui.playbook.model import Environment, Playbook

UNKNOWN = Environment(word="UNKNOWN", match="", read_only=True, colour="magenta")


def environment_of(playbook: Playbook, context: str, cluster: str = "") -> Environment:
    """The first environment whose pattern is found in the name of the context or the cluster, in any case."""
    for environment in playbook.environments:
        pattern = re.compile(environment.match, re.IGNORECASE)
        if pattern.search(context) or pattern.search(cluster):
            return environment
    return UNKNOWN
