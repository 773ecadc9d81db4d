"""The channels: Slack, PagerDuty, signed webhook, apprise and file.

Invariant: a channel reads its secret when it sends and keeps it nowhere; whether a failure is worth another try
follows the receiver's own rules.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from planc_tui.backends.notifiers import payloads
from planc_tui.backends.notifiers.post import Answer, post
from planc_tui.core.clock import Clock
from planc_tui.core.notify import Parcel, SendFailed, Sent
from planc_tui.core.ports import PortError
from planc_tui.core.secret import Secret
from planc_tui.core.text import clean, clean_block

PAGERDUTY = "https://events.pagerduty.com"

# Slack's words for: this webhook will never work again.
_RECONNECT = ("no_service", "invalid_token", "channel_is_archived", "team_disabled", "no_active_hooks")

Reveal = Callable[[], Secret]


def _secret(read: Reveal) -> Secret:
    """The secret now; a missing one means the channel is not set up here."""
    try:
        return read()
    except PortError as error:
        raise SendFailed(error.message, final=True, configured=False) from None


def _judge(name: str, answer: Answer, now: float) -> SendFailed:
    """The failure behind a status that is not a success: 429 and 5xx pass, the rest stays."""
    said = clean(answer.body, 120)
    tail = f": {said}" if said else ""
    if answer.status == 429:
        wait = payloads.retry_after(answer.headers.get("retry-after", ""), now)
        return SendFailed(f"{name} asks to slow down (429)", status=429, retry_after=wait)
    if answer.status >= 500:
        return SendFailed(f"{name} answers {answer.status}{tail}", status=answer.status)
    return SendFailed(f"{name} refuses it ({answer.status}){tail}", status=answer.status, final=True)


def _pretty(body: object) -> str:
    return json.dumps(body, ensure_ascii=False, indent=2)


class Slack(Struct, frozen=True):
    """An incoming webhook. url: the secret address."""

    name: str
    url: Reveal
    clock: Clock
    kind: str = "slack"

    def send(self, parcel: Parcel) -> Sent:
        body = json.dumps(payloads.slack_message(parcel), ensure_ascii=False).encode()
        answer = post(self.name, _secret(self.url).reveal(), body, {})
        if answer.status == 200 and answer.body.strip() in ("ok", ""):
            return Sent(200, "ok")
        failure = _judge(self.name, answer, self.clock.now())
        if any(word in answer.body for word in _RECONNECT):
            failure = SendFailed(
                f"{self.name}: the webhook is gone ({clean(answer.body, 60)}), make a new one",
                status=answer.status,
                final=True,
            )
        raise failure

    def preview(self, parcel: Parcel) -> str:
        return _pretty(payloads.slack_message(parcel))


class PagerDuty(Struct, frozen=True):
    """Events API v2, by PagerDuty's own client. key: the routing key; base: `https://events.pagerduty.com` or the
    European one."""

    name: str
    key: Reveal
    clock: Clock
    base: str = PAGERDUTY
    kind: str = "pagerduty"

    def send(self, parcel: Parcel) -> Sent:
        key = _secret(self.key).reveal()
        if len(key) != payloads.PAGERDUTY_KEY:
            raise SendFailed(f"the routing key of {self.name} must have 32 characters", final=True, configured=False)
        # The client is heavy: it is loaded when there is something to send, on the thread that sends it.
        from planc_tui.backends.notifiers.pagerduty_client import enqueue

        event = payloads.pagerduty_event(parcel)
        enqueue(self.name, self.base, key, event, lambda answer: _judge(self.name, answer, self.clock.now()))
        return Sent(202, "enqueued")

    def preview(self, parcel: Parcel) -> str:
        return _pretty(payloads.pagerduty_event(parcel))


class Webhook(Struct, frozen=True):
    """planc's own webhook. key: signs the body; None leaves the signature out."""

    name: str
    url: Reveal
    clock: Clock
    key: Reveal | None = None
    kind: str = "webhook"

    def send(self, parcel: Parcel) -> Sent:
        body = json.dumps(payloads.webhook_body(parcel), ensure_ascii=False, sort_keys=True).encode()
        timestamp = int(self.clock.now())
        headers = {
            "X-Planc-Event": payloads.webhook_type(parcel),
            "X-Planc-Delivery": parcel.id,
            "X-Planc-Timestamp": str(timestamp),
        }
        if self.key is not None:
            headers["X-Planc-Signature"] = payloads.signature([_secret(self.key)], timestamp, body)
        answer = post(self.name, _secret(self.url).reveal(), body, headers)
        if 200 <= answer.status < 300:
            return Sent(answer.status)
        raise _judge(self.name, answer, self.clock.now())

    def preview(self, parcel: Parcel) -> str:
        return _pretty(payloads.webhook_body(parcel))


class Apprise(Struct, frozen=True):
    """E-mail, Teams, Mattermost, ntfy and whatever else apprise speaks. url: its address, which holds the secrets."""

    name: str
    url: Reveal
    kind: str = "apprise"

    def send(self, parcel: Parcel) -> Sent:
        import apprise

        # apprise logs addresses, and with them passwords.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        target = apprise.Apprise(asset=apprise.AppriseAsset(secure_logging=True, async_mode=False))
        address = _secret(self.url).reveal()
        timed = f"{address}{'&' if '?' in address else '?'}cto=3.0&rto=5.0"
        if not target.add(timed):
            raise SendFailed(f"the address of {self.name} is none that apprise knows", final=True, configured=False)
        if not target.notify(body=clean_block(parcel.text), title=self._title(parcel)):
            raise SendFailed(f"{self.name} did not take it")
        return Sent(0, "handed over")

    def preview(self, parcel: Parcel) -> str:
        return f"{self._title(parcel)}\n\n{clean_block(parcel.text)}"

    @staticmethod
    def _title(parcel: Parcel) -> str:
        return clean(f"[{parcel.severity}] {parcel.incident} {parcel.title}", 200)


class Folder(Struct, frozen=True):
    """A folder that every text is put into as a file of its own; needs nothing and nobody."""

    name: str
    path: Path
    kind: str = "file"

    def send(self, parcel: Parcel) -> Sent:
        folder = self.path.expanduser()
        stem = clean(f"{parcel.incident}-{parcel.kind}-{parcel.id}", 120).replace("/", "-")
        target = folder / f"{stem}.txt"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = target.with_suffix(".part")
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(self.preview(parcel) + "\n")
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        except OSError as error:
            raise SendFailed(f"{self.name}: cannot write to {folder}: {error.strerror}") from None
        return Sent(0, target.name)

    def preview(self, parcel: Parcel) -> str:
        return clean_block(f"{payloads.stamp(parcel.at)} {parcel.severity} {parcel.incident}\n\n{parcel.text}")
