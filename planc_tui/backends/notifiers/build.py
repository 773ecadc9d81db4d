"""Channels from the playbook.

Invariant: building sends nothing, reads no secret and imports no driver; secrets of channels come from the
environment, a file or a command, never from the cluster, which may be what is broken.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from planc_tui.backends.notifiers.senders import PAGERDUTY, Apprise, Folder, PagerDuty, Reveal, Slack, Webhook
from planc_tui.backends.secrets import Vault
from planc_tui.core.clock import Clock, SystemClock
from planc_tui.core.notify import Sender
from planc_tui.core.ports import ClusterPort, NotConfigured
from planc_tui.core.secret import Secret
from planc_tui.playbook.model import Channel, Playbook, SecretFrom

PAGERDUTY_VARIABLE = "PLANC_PAGERDUTY_URL"


def build_senders(
    playbook: Playbook, environ: Mapping[str, str] | None = None, clock: Clock | None = None
) -> dict[str, Sender]:
    """Every channel that planc can send through by itself, by id; phone and copy need a person."""
    environ = os.environ if environ is None else environ
    found = {channel.id: _sender(channel, environ, clock or SystemClock()) for channel in playbook.channels}
    return {name: sender for name, sender in found.items() if sender is not None}


def _sender(channel: Channel, environ: Mapping[str, str], clock: Clock) -> Sender | None:
    name = channel.name.en or channel.id
    url = _reader(channel.url, f"address of {name}", environ)
    match channel.kind:
        case "slack":
            return Slack(name, url, clock)
        case "pagerduty":
            base = environ.get(PAGERDUTY_VARIABLE, "") or channel.endpoint or PAGERDUTY
            return PagerDuty(name, _reader(channel.key, f"routing key of {name}", environ), clock, base)
        case "webhook":
            key = None if channel.key is None else _reader(channel.key, f"key of {name}", environ)
            return Webhook(name, url, clock, key)
        case "apprise":
            return Apprise(name, url)
        case "file":
            return Folder(name, Path(channel.path or "~/planc-messages"))
        case "phone" | "copy":
            return None


def _reader(where: SecretFrom | None, what: str, environ: Mapping[str, str]) -> Reveal:
    def read() -> Secret:
        if where is None or where.secret is not None:
            raise NotConfigured(f"no {what}: the playbook must name an environment variable, a file or a command")
        # No cluster is needed, because a Kubernetes Secret was refused above.
        vault = Vault(cast("ClusterPort", None), "", environ)
        return vault.read(where, what)

    return read
