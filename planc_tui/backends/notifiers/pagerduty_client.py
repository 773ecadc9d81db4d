"""PagerDuty's own client, sending through planc's `post`.

Invariant: one call sends one request. Left to itself the client would sleep and try again inside the call, without end
after a 429 and without a look at Retry-After, and its time limits hold for each read and not for the whole. Behind
planc's transport every answer that is no success leaves it as a SendFailed at once; the outbox decides what comes next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import pagerduty

from planc_tui.backends.notifiers.post import Answer, post
from planc_tui.core.notify import SendFailed

TAKEN = 202


class _Way(httpx2.BaseTransport):
    """Carries the client's request to `base`, which may be the European service or a server for tests.

    judge: the failure behind an answer that is no success."""

    def __init__(self, name: str, base: str, judge: Callable[[Answer], SendFailed]) -> None:
        self._name = name
        self._base = base.rstrip("/")
        self._judge = judge

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = f"{self._base}{request.url.raw_path.decode('ascii')}"
        answer = post(self._name, url, request.read(), {"User-Agent": request.headers["User-Agent"]})
        if answer.status != TAKEN:
            raise self._judge(answer)
        return httpx2.Response(answer.status, text=answer.body)


def enqueue(name: str, base: str, key: str, event: dict[str, Any], judge: Callable[[Answer], SendFailed]) -> None:
    """Send one event (its action, dedup key and, for a trigger, payload). Raises SendFailed."""
    properties = dict(event)
    action, dedup = properties.pop("event_action"), properties.pop("dedup_key")
    # The environment's proxies are read by `post`; the client would put them before planc's transport.
    with pagerduty.EventsApiV2Client(key, transport=_Way(name, base, judge), trust_env=False) as client:
        try:
            client.send_event(action, dedup, **properties)
        except pagerduty.Error:
            # Its text holds the end of the key.
            raise SendFailed(f"{name} did not confirm the event", status=TAKEN) from None
