"""What each kind of channel is sent, as values.

Invariant: every payload keeps the limits its receiver documents, whatever the text; none holds a secret.

Formats: Slack incoming webhooks with Block Kit, PagerDuty Events API v2, and planc's own webhook.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from planc_tui.core.notify import Parcel
from planc_tui.core.secret import Secret
from planc_tui.core.text import clean, clean_block

SLACK_HEADER = 150
SLACK_SECTION = 3000
SLACK_FIELD = 2000
SLACK_FIELDS = 10
PAGERDUTY_SUMMARY = 1024
PAGERDUTY_KEY = 32

_PAGERDUTY_SEVERITY = ("critical", "critical", "error")
_NUMBER = re.compile(r"[0-9]+")


def stamp(at: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def cut(text: str, limit: int) -> str:
    """At most `limit` characters, the last one an ellipsis when something was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def slack_escape(text: str) -> str:
    """The three characters that mean something to Slack.

    >>> slack_escape("a < b & <!channel>")
    'a &lt; b &amp; &lt;!channel&gt;'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escaped(text: str, limit: int) -> str:
    """Escaped text of at most `limit` characters that ends inside no entity."""
    escaped = slack_escape(text)
    if len(escaped) <= limit:
        return escaped
    head = escaped[: limit - 1]
    # An entity is at most five characters; one that was cut apart goes as a whole.
    start = head.rfind("&", max(0, len(head) - 4))
    if start >= 0 and ";" not in head[start:]:
        head = head[:start]
    return head + "…"


def slack_message(parcel: Parcel) -> dict[str, Any]:
    """Body of a Slack incoming webhook: a text for notifications, and blocks."""
    title = clean(f"{parcel.severity} {parcel.incident} {parcel.title}", 1000)
    text = clean_block(parcel.text)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": cut(title, SLACK_HEADER), "emoji": True}}
    ]
    fields = [
        {"type": "mrkdwn", "text": _escaped(f"*{clean(name)}*\n{clean(value)}", SLACK_FIELD)}
        for name, value in parcel.facts[:SLACK_FIELDS]
    ]
    if fields:
        blocks.append({"type": "section", "fields": fields})
    if text.strip():
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": _escaped(text, SLACK_SECTION)}})
    if parcel.sender:
        sender = {"type": "mrkdwn", "text": _escaped(clean(parcel.sender), SLACK_FIELD)}
        blocks.append({"type": "context", "elements": [sender]})
    return {
        "text": _escaped(f"[{parcel.severity}] {parcel.incident} {parcel.title}: {text}", SLACK_SECTION),
        "blocks": blocks,
    }


def pagerduty_severity(rank: int) -> str:
    """The two worst severities are critical, the third an error, the rest warnings."""
    return _PAGERDUTY_SEVERITY[rank] if rank < len(_PAGERDUTY_SEVERITY) else "warning"


def pagerduty_event(parcel: Parcel) -> dict[str, Any]:
    """A PagerDuty event without its routing key: a page triggers, `acknowledge` and `resolve` follow it under the same
    dedup key."""
    if parcel.kind in ("acknowledge", "resolve"):
        return {"event_action": parcel.kind, "dedup_key": parcel.dedup}
    where = f" ({parcel.environment})" if parcel.environment else ""
    summary = clean(f"{parcel.severity} {parcel.title}{where}: {parcel.text}", 4000)
    details: dict[str, Any] = {"level": parcel.level, "delivery": parcel.id, **dict(parcel.facts)}
    return {
        "event_action": "trigger",
        "dedup_key": parcel.dedup,
        "payload": {
            "summary": cut(summary, PAGERDUTY_SUMMARY),
            "source": clean(parcel.sender) or "planc",
            "severity": pagerduty_severity(parcel.rank),
            "timestamp": stamp(parcel.at),
            "class": "incident",
            "custom_details": details,
        },
        "client": "planc",
    }


def webhook_body(parcel: Parcel) -> dict[str, Any]:
    """Body of planc's own webhook."""
    return {
        "version": "1",
        "event": {"id": parcel.id, "type": webhook_type(parcel), "time": stamp(parcel.at)},
        "text": clean_block(parcel.text),
        "language": parcel.language,
        "late_seconds": round(parcel.late_by, 1),
        "incident": dict(parcel.record),
        "dedup_key": parcel.dedup,
    }


def webhook_type(parcel: Parcel) -> str:
    """What `X-Planc-Event` says."""
    return f"incident.{parcel.kind}" if parcel.kind in ("page", "acknowledge", "resolve") else f"message.{parcel.kind}"


def signature(secrets: Sequence[Secret], timestamp: int, body: bytes) -> str:
    """`v1=` and the hexadecimal HMAC-SHA256 over `timestamp.body`, one per secret so that keys can be rotated.

    >>> signature([Secret("k")], 1, b"{}")[:13]
    'v1=3dd49b2593'
    """
    signed = f"{timestamp}.".encode() + body
    return ",".join(
        "v1=" + hmac.new(secret.reveal().encode(), signed, hashlib.sha256).hexdigest() for secret in secrets
    )


def retry_after(header: str, now: float) -> float | None:
    """Seconds that a `Retry-After` header asks for, as a number or as a date; None when it says nothing.

    >>> retry_after("30", 0), retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 20.0), retry_after("soon", 0)
    (30.0, 40.0, None)
    """
    text = header.strip()
    if _NUMBER.fullmatch(text):
        return min(float(text), 86_400.0)
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError):
        return None
