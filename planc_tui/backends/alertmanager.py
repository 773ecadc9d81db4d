"""Alertmanager's API v2.

Invariant: each call is one bounded request; only the fields that planc shows are decoded; a silence that exists and
one that is over are told apart by their state, never by an error.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeVar
from urllib.parse import quote

import msgspec

from planc_tui.backends.http import HttpAnswer, HttpWriter, expect_ok
from planc_tui.core.alerts import Alert, AlertsReport, Matcher, Silence
from planc_tui.core.ports import BadAnswer, NotFound, PortError
from planc_tui.core.text import clean

T = TypeVar("T")


class _Status(msgspec.Struct):
    state: str = ""
    silencedBy: list[str] = []  # noqa: N815  # the API's own name
    inhibitedBy: list[str] = []  # noqa: N815  # the API's own name


class _Alert(msgspec.Struct):
    fingerprint: str
    labels: dict[str, str]
    startsAt: datetime  # noqa: N815  # the API's own name
    status: _Status
    annotations: dict[str, str] = {}
    generatorURL: str = ""  # noqa: N815  # the API's own name


class _Matcher(msgspec.Struct):
    name: str
    value: str
    isRegex: bool = False  # noqa: N815  # the API's own name
    isEqual: bool = True  # noqa: N815  # the API's own name


class _Silence(msgspec.Struct):
    id: str
    matchers: list[_Matcher]
    startsAt: datetime  # noqa: N815  # the API's own name
    endsAt: datetime  # noqa: N815  # the API's own name
    status: _Status
    createdBy: str = ""  # noqa: N815  # the API's own name
    comment: str = ""


class _Created(msgspec.Struct):
    silenceID: str = ""  # noqa: N815  # the API's own name
    id: str = ""


class AlertmanagerPort:
    """Asks one Alertmanager. Used by one thread at a time."""

    def __init__(self, http: HttpWriter) -> None:
        self._http = http

    def report(self, silences: Sequence[Silence] | None = None) -> AlertsReport:
        """What fires and what is silenced now. silences: those known already, which are not asked for again.
        Raises PortError."""
        alerts = self._decode(self._get("/api/v2/alerts"), list[_Alert])
        return AlertsReport(
            tuple(_alert(one) for one in alerts), self.list_silences() if silences is None else tuple(silences)
        )

    def list_silences(self) -> tuple[Silence, ...]:
        """The silences that are not over. Raises PortError."""
        found = self._decode(self._get("/api/v2/silences"), list[_Silence])
        return tuple(_silence(one) for one in found if one.status.state != "expired")

    def silence(self, matchers: Sequence[Matcher], starts: float, ends: float, by: str, comment: str) -> str:
        """Create a silence; its id. Raises PortError."""
        body = {
            "matchers": [{"name": m.name, "value": m.value, "isRegex": m.regex, "isEqual": m.equal} for m in matchers],
            "startsAt": _stamp(starts),
            "endsAt": _stamp(ends),
            "createdBy": by,
            "comment": comment,
        }
        answer = self._http.exchange("POST", "/api/v2/silences", json.dumps(body).encode())
        created = self._decode(self._checked(answer, "silences"), _Created)
        identifier = created.silenceID or created.id
        if not identifier:
            raise BadAnswer(f"{self._http.name} did not say which silence it made")
        return identifier

    def expire(self, silence: str) -> None:
        """End a silence; one that is over or forgotten already is fine. Raises PortError."""
        answer = self._http.exchange("DELETE", f"/api/v2/silence/{quote(silence, safe='')}")
        try:
            self._checked(answer, "silence")
        except NotFound:
            return
        except PortError:
            # Alertmanager before 0.26 answers 500 for a silence that it does not know.
            if "not found" not in error_text(answer.body):
                raise

    def close(self) -> None:
        """Drop the connection and the way to it."""
        self._http.close()

    def _get(self, path: str) -> bytes:
        return self._checked(self._http.get(path), path.rpartition("/")[2])

    def _checked(self, answer: HttpAnswer, resource: str) -> bytes:
        return expect_ok(answer, self._http.name, resource, error_text(answer.body) if answer.status != 200 else "")

    def _decode(self, body: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.DecodeError:
            raise BadAnswer(f"{self._http.name} sent something that is not its API's JSON") from None


def error_text(body: bytes) -> str:
    """What Alertmanager says is wrong: a JSON string, or an object with a message.

    >>> error_text(b'"silence not found"'), error_text(b'{"code":602,"message":"comment in body is required"}')
    ('silence not found', 'comment in body is required')
    """
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return clean(body[:200], 200)
    if isinstance(found, dict):
        found = found.get("message", "")
    return clean(found, 200) if isinstance(found, str) else ""


def _alert(one: _Alert) -> Alert:
    return Alert(
        fingerprint=clean(one.fingerprint, 64),
        labels={clean(name, 200): clean(value, 500) for name, value in one.labels.items()},
        started=one.startsAt.timestamp(),
        state=one.status.state,
        annotations={clean(name, 200): clean(value, 2000) for name, value in one.annotations.items()},
        silenced_by=tuple(clean(name, 64) for name in one.status.silencedBy),
        inhibited_by=tuple(clean(name, 64) for name in one.status.inhibitedBy),
        source=clean(one.generatorURL, 500),
    )


def _silence(one: _Silence) -> Silence:
    return Silence(
        id=clean(one.id, 64),
        matchers=tuple(Matcher(clean(m.name, 200), clean(m.value, 500), m.isRegex, m.isEqual) for m in one.matchers),
        starts=one.startsAt.timestamp(),
        ends=one.endsAt.timestamp(),
        by=clean(one.createdBy, 100),
        comment=clean(one.comment, 500),
        state=one.status.state,
    )


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
