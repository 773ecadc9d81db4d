"""Whether there is still somebody's terminal to write to.

Invariant: asks the kernel and nothing else; costs one call and never waits.
"""

from __future__ import annotations

import select


def is_gone(descriptor: int) -> bool:
    """Whether the terminal behind this descriptor was closed. A console that is no session's first process, or was
    told to ignore SIGHUP, hears it in no other way."""
    poller = select.poll()
    poller.register(descriptor, 0)  # a hang-up is told without being asked for
    return any(events & (select.POLLHUP | select.POLLNVAL) for _, events in poller.poll(0))
