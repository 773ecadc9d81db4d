"""A small JSON client of the API server, for the rig's own use.

Invariant: one TLS connection per client, used by one thread; every request has a deadline.
"""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.cluster.rig.build import RigError

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


class ApiError(RigError):
    """The API server refused; `status` is its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Api:
    """Speaks to one API server with the administrator's client certificate, or to a proxy over plain HTTP."""

    def __init__(self, url: str, pki: Path, deadline: float = 20.0) -> None:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
        self._connection = http.client.HTTPConnection(host, port, timeout=deadline)
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=pki / "ca.pem")
            context.load_cert_chain(pki / "admin.pem", pki / "admin-key.pem")
            self._connection = http.client.HTTPSConnection(host, port, timeout=deadline, context=context)

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """Sends one request and returns the decoded answer. Raises ApiError, OSError or HTTPException."""
        payload = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        try:
            self._connection.request(method, path, payload, headers)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if response.status >= 400:
            raise ApiError(response.status, message_of(text))
        return decoded(text)

    def get(self, path: str) -> Any:
        """Reads an object or a list."""
        return self.request("GET", path)

    def post(self, path: str, body: Any) -> Any:
        """Creates an object."""
        return self.request("POST", path, body)

    def patch(self, path: str, body: Any, content_type: str = MERGE) -> Any:
        """Patches an object."""
        return self.request("PATCH", path, body, content_type)

    def delete(self, path: str, grace_seconds: int | None = None) -> Any:
        """Deletes an object or a collection."""
        options: dict[str, Any] = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
        }
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        return self.request("DELETE", path, options)

    def exists(self, path: str) -> bool:
        """Tells whether the object is there."""
        try:
            self.get(path)
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        return True


def decoded(text: bytes) -> Any:
    """Returns the JSON value, or the text of an answer such as readyz' ok."""
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="replace")


def message_of(text: bytes) -> str:
    """Returns the message of a Status object, or the beginning of any other answer."""
    body = decoded(text)
    return str(body.get("message", body)) if isinstance(body, dict) else str(body)[:200]
