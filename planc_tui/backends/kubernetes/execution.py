"""Runs a command in a container.

Invariant: the bytes of the command's output reach the caller unchanged and in order; an exit code is reported only
when the cluster sent one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from msgspec import Struct

from planc_tui.backends.kubernetes.client import ApiClient
from planc_tui.backends.kubernetes.dial import Exchange
from planc_tui.backends.kubernetes.errors import Status, redact, status_of
from planc_tui.backends.kubernetes.paths import pod_path
from planc_tui.backends.kubernetes.websocket import Link, open_link
from planc_tui.core.complaint import complaint
from planc_tui.core.ports import PortError, Rejected
from planc_tui.core.text import clean_block

# Newest first. Only v5 can end the command's standard input.
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
STDIN, STDOUT, STDERR, ERROR, CLOSE_CHANNEL = 0, 1, 2, 3, 255
STDERR_KEPT = 4096
_PIECE = 32_768
_QUEUE = 4 * _PIECE
_TICK = 0.25


class ExecOutcome(Struct, frozen=True):
    """How a command ended. code: -1 when none came. stderr: the last 4 KiB, and without a code the reason as its last
    line. ended: "exited", "stopped", "timeout" or why the connection broke."""

    code: int
    stderr: str
    ended: str = "exited"


class _Run:
    """The exchange with one command."""

    def __init__(self, link: Link, stdout: Callable[[bytes], None], stdin: bytes) -> None:
        self._link = link
        self._stdout = stdout
        self._stdin = memoryview(stdin)
        self._feeding = bool(stdin)
        # A command that is busy leaves its input unread, and then nobody answers pings: no proof of death.
        self._patient = bool(stdin)
        self._stderr = b""
        self._status = b""

    @property
    def stderr(self) -> str:
        return redact(clean_block(self._stderr))

    def _cut(self, ended: str, why: str) -> ExecOutcome:
        return ExecOutcome(-1, f"{self.stderr.rstrip()}\n{why}".lstrip(), ended)

    def follow(self, until: float, stop: Callable[[], bool]) -> ExecOutcome:
        link = self._link
        while True:
            if stop():
                return self._cut("stopped", "planc stopped the command")
            left = until - time.monotonic()
            if left <= 0:
                return self._cut("timeout", "the command did not end in the time it was given")
            try:
                self._feed()
                link.wait(min(_TICK, left))
                for channel, data in link.receive():
                    self._take(channel, data)
                if not link.ended:
                    link.keep_alive()
            except PortError as error:
                return self._outcome(error.message)
            if link.ended or self._status:
                return self._outcome("the connection broke")
            if link.silent and not self._patient:
                return self._outcome(f"{link.server} was silent")

    def _feed(self) -> None:
        while self._feeding and self._link.pending < _QUEUE:
            if not self._stdin:
                self._link.send(CLOSE_CHANNEL, bytes([STDIN]))
                self._feeding = False
                return
            self._link.send(STDIN, bytes(self._stdin[:_PIECE]))
            self._stdin = self._stdin[_PIECE:]

    def _take(self, channel: int, data: bytes) -> None:
        if channel == STDOUT and data:
            self._stdout(data)
        elif channel == STDERR:
            self._stderr = (self._stderr + data)[-STDERR_KEPT:]
        elif channel == ERROR:
            self._status += data

    def _outcome(self, broken: str) -> ExecOutcome:
        """The result from the status channel. Raises Rejected when the command could not be run."""
        if not self._status:
            return self._cut(broken, broken)
        try:
            document = json.loads(self._status)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            unreadable = "the cluster's last word is not readable"
            return self._cut(unreadable, unreadable)
        if document.get("status") == "Success":
            return ExecOutcome(0, self.stderr)
        # Kubelets leave out the kind.
        status = status_of({**document, "kind": "Status"}) or Status()
        for reason, _, message in status.causes:
            if reason == "ExitCode" and message.isascii() and message.isdigit():
                return ExecOutcome(int(message), self.stderr)
        said = complaint(self.stderr)
        message = status.message or "the command could not be run"
        raise Rejected(f"{message}: {said}" if said else message, reason=status.reason)


def run_command(
    client: ApiClient,
    exchange: Exchange,
    where: tuple[str, str, str],
    command: tuple[str, ...],
    *,
    stdout: Callable[[bytes], None],
    timeout: float,
    stdin: bytes,
    stop: Callable[[], bool],
) -> ExecOutcome:
    """Run `command`. where: namespace, pod, container (empty: the pod's default). Raises PortError."""
    until = time.monotonic() + timeout
    namespace, pod, container = where
    query = [
        ("stdout", "true"),
        ("stderr", "true"),
        ("tty", "false"),
        ("stdin", "true" if stdin else "false"),
    ]
    if container:
        query.append(("container", container))
    query += [("command", word) for word in command]
    protocols = PROTOCOLS[:1] if stdin else PROTOCOLS
    link = open_link(client, exchange, pod_path(namespace, pod, "exec"), query, protocols)
    try:
        return _Run(link, stdout, stdin).follow(until, stop)
    finally:
        link.close()
