"""One POST to a channel.

Invariant: sent once, no redirect followed, over within six seconds however slowly the answer drips; an address or a
token never appears in an error, because the address of a webhook is its secret.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from msgspec import Struct, field

from planc_tui.core.notify import SendFailed
from planc_tui.core.text import clean

if TYPE_CHECKING:
    import urllib3

CONNECT = 3.0
TOTAL = 5.0
ANSWER_LIMIT = 65_536


class Answer(Struct, frozen=True):
    """What came back. headers: names in lower case; body: at most 64 KiB, cleaned."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)


def post(name: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """POST `body` to a secret address. name: the channel, for messages. Raises SendFailed when no answer comes."""
    import urllib3

    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SendFailed(f"the address of {name} is not a web address", final=True, configured=False)
    through = "" if proxy_bypass(parts.hostname) else getproxies().get(parts.scheme, "")
    pool: urllib3.PoolManager = urllib3.ProxyManager(through) if through else urllib3.PoolManager()
    until = time.monotonic() + TOTAL
    try:
        response = pool.request(
            "POST",
            url,
            body=body,
            headers={"Content-Type": "application/json", "User-Agent": "planc/1", **headers},
            retries=False,
            redirect=False,
            preload_content=False,
            timeout=urllib3.Timeout(connect=CONNECT, total=TOTAL),
        )
        try:
            answer = _read(name, response, until)
        finally:
            response.close()
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise _no_answer(name, error) from None
    finally:
        pool.clear()
    names = {key.lower(): value for key, value in response.headers.items()}
    return Answer(response.status, clean(answer, 2000), names)


def _read(name: str, response: urllib3.BaseHTTPResponse, until: float) -> bytes:
    parts: list[bytes] = []
    size = 0
    while chunk := response.read1(8192):
        parts.append(chunk)
        size += len(chunk)
        if size > ANSWER_LIMIT:
            break
        if time.monotonic() > until:
            raise SendFailed(f"{name} did not finish its answer within {TOTAL:.0f} s")
    return b"".join(parts)


def _no_answer(name: str, error: Exception) -> SendFailed:
    """Words for a transport error; its own text may hold the address."""
    import urllib3.exceptions as reasons

    if isinstance(error, reasons.NameResolutionError):
        return SendFailed(f"the host of {name} is not found")
    if isinstance(error, reasons.SSLError):
        return SendFailed(f"TLS with {name} failed: its certificate is not trusted here")
    if isinstance(error, reasons.NewConnectionError):
        return SendFailed(f"{name} refused the connection")
    # After its subclass: urllib3 counts a refused connection among the connect timeouts.
    if isinstance(error, reasons.ConnectTimeoutError):
        return SendFailed(f"no connection to {name} within {CONNECT:.0f} s")
    if isinstance(error, reasons.TimeoutError):
        return SendFailed(f"{name} did not answer within {TOTAL:.0f} s")
    return SendFailed(f"{name} broke the connection off")
