"""Who sits at this terminal.

Invariant: an actor names the person, not the account that sudo switched to, and where the session came from.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Mapping

from planc_tui.core.text import clean
from planc_tui.core.timeline import Actor


def current_actor(environ: Mapping[str, str] | None = None) -> Actor:
    """The person who runs this process."""
    environ = os.environ if environ is None else environ
    return Actor(
        user=clean(environ.get("SUDO_USER", "") or _login(), 64),
        tty=_tty(),
        host=clean(socket.gethostname(), 64),
        origin=clean(environ.get("SSH_CONNECTION", "").partition(" ")[0], 64),
        pid=os.getpid(),
    )


def system_actor(name: str) -> Actor:
    """A part of planc that acts by itself; it never renews an acknowledgement."""
    return Actor(name, kind="system", host=clean(socket.gethostname(), 64), pid=os.getpid())


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _tty() -> str:
    for handle in (0, 1, 2):
        try:
            return os.ttyname(handle).removeprefix("/dev/")
        except OSError:
            continue
    return ""
