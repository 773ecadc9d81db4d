"""Alerts and silences as Alertmanager knows them, and what a silence would mute.

Invariant: a silence always has a matcher that names something, so that none mutes everything but one label; what the
preview counts is what Alertmanager would suppress.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct, field

SILENCE_DEFAULT = 1800.0
SILENCE_LONGEST = 7 * 86_400.0
LONGEST_PATTERN = 500


class Alert(Struct, frozen=True):
    """A firing alert. started: epoch seconds. silenced_by, inhibited_by: ids of what keeps it quiet."""

    fingerprint: str
    labels: Mapping[str, str]
    started: float
    state: str = "active"
    annotations: Mapping[str, str] = field(default_factory=dict)
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    source: str = ""

    @property
    def name(self) -> str:
        """Its `alertname`."""
        return self.labels.get("alertname", "(no name)")

    @property
    def severity(self) -> str:
        """Its `severity` label, "" when it has none."""
        return self.labels.get("severity", "")

    @property
    def firing(self) -> bool:
        """Whether it reaches anybody: neither silenced nor inhibited."""
        return not self.silenced_by and not self.inhibited_by

    @property
    def summary(self) -> str:
        """What it says about itself."""
        return self.annotations.get("summary") or self.annotations.get("description") or ""


class Matcher(Struct, frozen=True):
    """One condition on a label. equal: false turns it around; regex: `value` is a whole-string pattern (RE2)."""

    name: str
    value: str
    regex: bool = False
    equal: bool = True

    def __str__(self) -> str:
        sign = {(False, True): "=", (False, False): "!=", (True, True): "=~", (True, False): "!~"}
        return f'{self.name}{sign[self.regex, self.equal]}"{self.value}"'

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with these labels meets it; a missing label counts as empty."""
        text = labels.get(self.name, "")
        found = re.fullmatch(self.value, text) is not None if self.regex else text == self.value
        return found is self.equal

    @property
    def positive(self) -> bool:
        """Whether it asks for something to be there."""
        if not self.equal:
            return False
        return not self.matches({})


class Silence(Struct, frozen=True):
    """A silence that exists. state: active, pending or expired. Times are epoch seconds."""

    id: str
    matchers: tuple[Matcher, ...]
    starts: float
    ends: float
    by: str
    comment: str
    state: str = "active"


class AlertsReport(Struct, frozen=True):
    """All alerts and the silences that are not over."""

    alerts: tuple[Alert, ...] = ()
    silences: tuple[Silence, ...] = ()


class AlertsPort(Protocol):
    """Alertmanager."""

    def report(self, silences: Sequence[Silence] | None = None) -> AlertsReport:
        """What fires and what is silenced now. silences: those known already, which are not asked for again.
        Raises PortError."""
        ...

    def list_silences(self) -> tuple[Silence, ...]:
        """The silences that are not over. Raises PortError."""
        ...

    def silence(self, matchers: Sequence[Matcher], starts: float, ends: float, by: str, comment: str) -> str:
        """Create a silence; its id. Raises PortError."""
        ...

    def expire(self, silence: str) -> None:
        """End a silence; one that is over already is fine. Raises PortError."""
        ...

    def close(self) -> None:
        """Drop the connection."""
        ...


_MATCHER = re.compile(r"\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*(.*?)\s*", re.DOTALL)


def parse_matcher(text: str) -> Matcher:
    """A matcher as people write it. Raises ValueError that says what is wrong.

    >>> print(parse_matcher('alertname="ApiDown"'), parse_matcher("namespace=~shop|web"))
    alertname="ApiDown" namespace=~"shop|web"
    """
    match = _MATCHER.fullmatch(text)
    if match is None:
        raise ValueError(f'{text[:40]} is not a matcher: write name="value", name!="value" or name=~"pattern"')
    name, sign, value = match.groups()
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    regex = sign in ("=~", "!~")
    if regex:
        if len(value) > LONGEST_PATTERN:
            raise ValueError(f"the pattern of {name} is too long")
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"the pattern of {name} is wrong: {error}") from None
    return Matcher(name, value, regex, sign in ("=", "=~"))


def problem(matchers: Sequence[Matcher], seconds: float) -> str:
    """Why a silence must not be made; "" when it may."""
    if not any(matcher.positive for matcher in matchers):
        return 'a silence needs a matcher that names something, such as alertname="ApiDown"'
    if not 0 < seconds <= SILENCE_LONGEST:
        return f"a silence lasts at most {SILENCE_LONGEST / 86_400:.0f} days"
    return ""


def muted(alerts: Iterable[Alert], matchers: Sequence[Matcher]) -> tuple[Alert, ...]:
    """The alerts that a silence with all these matchers would keep quiet."""
    return tuple(alert for alert in alerts if all(matcher.matches(alert.labels) for matcher in matchers))


def matchers_for(alert: Alert) -> tuple[Matcher, ...]:
    """The matchers that a silence of one alert starts from: its name and where it is."""
    wanted = ("alertname", "namespace", "service", "job", "deployment")
    found = tuple(Matcher(name, alert.labels[name]) for name in wanted if alert.labels.get(name))
    return found or tuple(Matcher(name, value) for name, value in sorted(alert.labels.items()) if value)
