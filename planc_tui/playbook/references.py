"""Checks what the types cannot: names that point to other entries, keys that exclude each other, numbers in order.

Invariant: works on a whole playbook and reports every problem by the path of the key, so that the loader can name the
line it stands in.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from planc_tui.core.facts import FACTS
from planc_tui.core.rules import Condition, Rule
from planc_tui.playbook import vocabulary
from planc_tui.playbook.model import (
    Channel,
    HttpSystem,
    Level,
    Playbook,
    PostgresSystem,
    Procedure,
    RabbitmqSystem,
    SecretFrom,
    Severity,
    Slo,
    Step,
    Words,
)
from planc_tui.playbook.typed import nearest, quote

Path = tuple[str | int, ...]
Found = Iterator[tuple[Path, str]]

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_FIELD = re.compile(r"\{([^{}]*)\}")
_KEY = r"(?:[A-Za-z0-9.-]{1,253}/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?"
_REQUIREMENT = re.compile(
    rf"\s*(?:!?{_KEY}|{_KEY}\s*(?:=|==|!=)\s*{_VALUE}|{_KEY}\s+(?:in|notin)\s+\(\s*{_VALUE}(?:\s*,\s*{_VALUE})*\s*\))\s*"
)
_SECRET_HEADER = re.compile(r"authorization|cookie|token|secret|password|api-?key", re.IGNORECASE)
_DSN_PASSWORD = re.compile(r"\bpassword\s*=", re.IGNORECASE)


def check_references(playbook: Playbook) -> Found:
    """Every problem of a playbook that was decoded, as path and message."""
    yield from _names(playbook)
    yield from _targets(playbook)
    yield from _systems(playbook)
    yield from _severities(playbook)
    for at, slo in enumerate(playbook.slos):
        yield from _slo(("slos", at), slo)
    for at, rule in enumerate(playbook.rules):
        yield from _rule(("rules", at), rule, playbook)
    for at, procedure in enumerate(playbook.procedures):
        yield from _procedure(("procedures", at), procedure, playbook)
    yield from _escalation(playbook)
    yield from _messages(playbook)
    for at, channel in enumerate(playbook.channels):
        yield from _channel(("channels", at), channel, playbook)
    yield from _thresholds(playbook)
    yield from _backup(playbook)


def _unknown(path: Path, what: str, name: str, known: Collection[str]) -> Found:
    if name and name not in known:
        yield path, f"there is no {what} {quote(name)}; {nearest(name, known)}"


def _names(playbook: Playbook) -> Found:
    lists: Mapping[str, Sequence[str]] = {
        "severities": [entry.id for entry in playbook.severities],
        "slos": [entry.id for entry in playbook.slos],
        "rules": [entry.id for entry in playbook.rules],
        "procedures": [entry.id for entry in playbook.procedures],
        "contacts": [entry.id for entry in playbook.contacts],
        "channels": [entry.id for entry in playbook.channels],
        "checklist": [entry.id for entry in playbook.checklist],
    }
    for name, ids in lists.items():
        for at, entry in enumerate(ids):
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", entry):
                yield (name, at, "id"), f"{quote(entry)} is not a short name: letters, digits, - . and _"
    if not playbook.severities:
        yield ("severities",), "needs at least one severity"


def _targets(playbook: Playbook) -> Found:
    if not _LABEL.fullmatch(playbook.namespace):
        yield ("namespace",), f"{quote(playbook.namespace)} is not a name that Kubernetes takes"
    targets = playbook.targets
    for key, workload in (("app", targets.app), ("worker", targets.worker)):
        if workload is None:
            continue
        if not _NAME.fullmatch(workload.name):
            yield ("targets", key, "name"), f"{quote(workload.name)} is not a name that Kubernetes takes"
        yield from _selector(("targets", key, "selector"), workload.selector)
    yield from _selector(("logs", "selector"), playbook.logs.selector)
    if targets.maintenance is not None and not targets.ingress:
        yield ("targets", "maintenance"), "needs the Ingress it changes: add targets.ingress"
    if targets.maintenance is not None and not targets.maintenance.annotations:
        yield ("targets", "maintenance", "annotations"), "needs at least one annotation"


def _selector(path: Path, selector: str) -> Found:
    parts = re.split(r",(?![^(]*\))", selector) if selector else []
    for part in parts:
        if not _REQUIREMENT.fullmatch(part):
            yield path, f"{quote(part.strip())} is not a label selector, such as app=web or tier in (a, b)"


def _systems(playbook: Playbook) -> Found:
    systems = playbook.systems
    if systems.postgres is not None:
        yield from _postgres(("systems", "postgres"), systems.postgres)
    if systems.rabbitmq is not None:
        yield from _rabbitmq(("systems", "rabbitmq"), systems.rabbitmq)
    for key, system in (("prometheus", systems.prometheus), ("alertmanager", systems.alertmanager)):
        if system is not None:
            yield from _http(("systems", key), system)
    for at, link in enumerate(systems.links):
        path = ("systems", "links", at)
        yield from _one_way(path, {"url": link.url, "via": link.via})
        yield from _url((*path, "url"), link.url, ("http", "https", ""))


def _one_way(path: Path, ways: Mapping[str, str]) -> Found:
    given = [key for key, value in ways.items() if value]
    names = " or ".join(ways)
    if len(given) != 1:
        yield path, f"needs {names}" if not given else f"takes {names}, not both"


def _url(path: Path, url: str, schemes: Collection[str]) -> Found:
    if not url:
        return
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        yield path, f"is not a URL: {error}"
        return
    if parts.scheme not in schemes or (parts.scheme and not parts.hostname):
        wanted = " or ".join(f"{scheme}://" for scheme in schemes if scheme)
        # The value itself is not shown: it may hold a password.
        yield path, f"is not a URL that starts with {wanted}"
    if parts.password is not None:
        yield path, "holds a password: take it out and say under `password` where it is found"


def _secret(path: Path, secret: SecretFrom | None, *, pgpass: bool = False) -> Found:
    if secret is None:
        return
    given = [
        key
        for key, value in (
            ("env", secret.env),
            ("file", secret.file),
            ("secret", secret.secret),
            ("command", secret.command),
            ("pgpass", secret.pgpass),
        )
        if value
    ]
    if len(given) != 1:
        yield path, f"needs exactly one of env, file, secret, command and pgpass{_got(given)}"
    if secret.pgpass and not pgpass:
        yield path, "pgpass is for PostgreSQL only"


def _got(given: Sequence[str]) -> str:
    return f", not {' and '.join(given)}" if given else ""


def _postgres(path: Path, system: PostgresSystem) -> Found:
    yield from _one_way(path, {"dsn": system.dsn, "via": system.via})
    if "://" in system.dsn:
        yield from _url((*path, "dsn"), system.dsn, ("postgresql", "postgres"))
    if _DSN_PASSWORD.search(system.dsn):
        yield (*path, "dsn"), "holds a password: take it out and say under `password` where it is found"
    if system.via and not system.user:
        yield path, 'the key "user" is missing'
    yield from _only_pods((*path, "via"), system.via, "PostgreSQL")
    yield from _secret((*path, "password"), system.password, pgpass=True)


def _only_pods(path: Path, via: str, what: str) -> Found:
    if via and not via.startswith("pod/"):
        yield path, f"{what} is not HTTP: only pod/NAME:PORT leads to it"


def _rabbitmq(path: Path, system: RabbitmqSystem) -> Found:
    yield from _one_way(path, {"url": system.url, "via": system.via})
    yield from _url((*path, "url"), system.url, ("amqp", "amqps"))
    yield from _only_pods((*path, "via"), system.via, "AMQP")
    yield from _secret((*path, "password"), system.password)
    if system.management is not None:
        yield from _http((*path, "management"), system.management)


def _http(path: Path, system: HttpSystem) -> Found:
    yield from _one_way(path, {"url": system.url, "via": system.via})
    yield from _url((*path, "url"), system.url, ("http", "https"))
    yield from _secret((*path, "password"), system.password)
    yield from _secret((*path, "token"), system.token)
    for name in system.headers:
        if _SECRET_HEADER.search(name):
            yield (*path, "headers", name), "may hold a secret: say under `token` or `password` where it is found"


def _severities(playbook: Playbook) -> Found:
    known = [severity.id for severity in playbook.severities]
    before: Severity | None = None
    for at, severity in enumerate(playbook.severities):
        if before is not None and severity.answer_within < before.answer_within:
            yield ("severities", at, "answer_within"), f"is shorter than that of {before.id}, which is worse"
        before = severity
    for at, name in enumerate(playbook.objectives.major_severities):
        yield from _unknown(("objectives", "major_severities", at), "severity", name, known)


def _slo(path: Path, slo: Slo) -> Found:
    wanted = ("ms", "s") if slo.kind == "latency" else ("percent",)
    if slo.unit not in wanted:
        yield (*path, "unit"), f"{slo.kind} is measured in {' or '.join(wanted)}"
    if slo.unit == "percent" and not 0 <= slo.objective <= 100:
        yield (*path, "objective"), f"is {slo.objective:g}, it must be from 0 to 100 percent"
    if slo.unit != "percent" and slo.objective <= 0:
        yield (*path, "objective"), "must be more than 0"
    for key, query in (("query", slo.query), ("bad", slo.bad)):
        if query and "$window" not in query:
            yield (*path, key), "needs $window where the range goes, such as rate(requests_total[$window])"
    if slo.bad and slo.allowed is None:
        yield path, 'the key "budget" is missing: how many percent of the requests may miss the objective'
    if slo.allowed == 0:
        yield (*path, "objective"), "leaves no error budget at all, so it cannot be burnt"
    if not slo.short <= slo.long <= slo.window:
        yield path, "the windows must grow: short, long, window"


def _rule(path: Path, rule: Rule, playbook: Playbook) -> Found:
    yield from _unknown((*path, "severity"), "severity", rule.severity, [entry.id for entry in playbook.severities])
    yield from _unknown((*path, "procedure"), "procedure", rule.procedure, [entry.id for entry in playbook.procedures])
    yield from _unknown((*path, "show"), "pane", rule.show, vocabulary.PANES)
    yield from _fields((*path, "text"), rule.text, vocabulary.RULE_FIELDS)
    if bool(rule.all) == bool(rule.any):
        yield path, "needs conditions under `all` or under `any`, not both"
    for key, conditions in (("all", rule.all), ("any", rule.any)):
        for at, condition in enumerate(conditions):
            yield from _condition((*path, key, at), condition)


def _condition(path: Path, condition: Condition) -> Found:
    fact = FACTS.get(condition.fact)
    if fact is None:
        yield (*path, "fact"), f"there is no fact {quote(condition.fact)}; {nearest(condition.fact, FACTS)}"
        return
    given = [key for key in ("above", "below", "equals") if getattr(condition, key) is not None]
    wanted = "equals" if fact.flag else "above or below"
    if len(given) != 1 or (given == ["equals"]) != fact.flag:
        yield path, f"{fact.name} needs {wanted}{_got(given)}"
        return
    clear = condition.clear
    if clear is None:
        return
    if fact.flag:
        yield (*path, "clear"), f"{fact.name} is yes or no and has no value to clear at"
    elif condition.above is not None and clear > condition.above:
        yield (*path, "clear"), f"is {clear:g}, it must not be above the threshold {condition.above:g}"
    elif condition.below is not None and clear < condition.below:
        yield (*path, "clear"), f"is {clear:g}, it must not be below the threshold {condition.below:g}"


def _procedure(path: Path, procedure: Procedure, playbook: Playbook) -> Found:
    rules = [rule.id for rule in playbook.rules]
    severities = [entry.id for entry in playbook.severities]
    yield from _unknown((*path, "severity"), "severity", procedure.severity, severities)
    if procedure.kind == "incident" and not procedure.severity:
        yield path, 'the key "severity" is missing'
    for at, symptom in enumerate(procedure.symptoms):
        yield from _unknown((*path, "symptoms", at, "rule"), "rule", symptom.rule, rules)
    for at, name in enumerate(procedure.recovered):
        yield from _unknown((*path, "recovered", at), "rule", name, rules)
    for key, steps in (("immediate", procedure.immediate), ("follow_up", procedure.follow_up)):
        for at, step in enumerate(steps):
            yield from _step((*path, key, at), step)


def _step(path: Path, step: Step) -> Found:
    text = step.text is not None and bool(step.text.en or step.text.fr)
    kinds = (("action", step.action), ("show", step.show), ("wait", step.wait), ("text", text))
    given = [key for key, value in kinds if value]
    if len(given) != 1:
        yield path, f"needs exactly one of action, show, wait and text{_got(given)}"
        return
    allowed: tuple[str, ...] = ()
    if step.action:
        yield from _unknown((*path, "action"), "action", step.action, vocabulary.ACTIONS)
        allowed = vocabulary.ACTIONS.get(step.action, tuple(step.parameters))
    elif step.show:
        yield from _unknown((*path, "show"), "pane", step.show, vocabulary.PANES)
        allowed = vocabulary.PANES.get(step.show, tuple(step.parameters))
    for name in step.parameters:
        yield from _unknown((*path, "with", name), f"parameter of {step.action or step.show}", name, allowed)
    if step.target and not step.action:
        yield (*path, "target"), "only an action has a target"
    elif step.target:
        yield from _target((*path, "target"), step.target)


def _target(path: Path, target: str) -> Found:
    kind, slash, name = target.partition("/")
    if slash:
        yield from _unknown(path, "kind", kind, vocabulary.KINDS)
        if not name:
            yield path, f"{quote(target)} names no object: write Kind/name"
    else:
        yield from _unknown(path, "target", target, vocabulary.TARGETS)


def _escalation(playbook: Playbook) -> Found:
    escalation = playbook.escalation
    yield from _ladder(("escalation", "levels"), escalation.levels, playbook)
    known = [severity.id for severity in playbook.severities]
    for severity, levels in escalation.per_severity.items():
        path: Path = ("escalation", "per_severity", severity)
        yield from _unknown(path, "severity", severity, known)
        yield from _ladder(path, levels, playbook)


def _ladder(path: Path, levels: Sequence[Level], playbook: Playbook) -> Found:
    channels = [channel.id for channel in playbook.channels]
    contacts = [contact.id for contact in playbook.contacts]
    if not levels:
        yield path, "needs at least one level"
    for at, level in enumerate(levels):
        if at and level.after < levels[at - 1].after:
            yield (*path, at, "after"), f"comes before that of {levels[at - 1].id}, the level under it"
        yield from _unknown((*path, at, "channel"), "channel", level.channel, channels)
        yield from _unknown((*path, at, "contact"), "contact", level.contact, contacts)
        for number, name in enumerate(level.otherwise):
            yield from _unknown((*path, at, "otherwise", number), "channel", name, channels)


def _messages(playbook: Playbook) -> Found:
    messages = playbook.messages
    for key in ("initial", "update", "resolution"):
        words: Words = getattr(messages, key)
        for language, text in (("en", words.en), ("fr", words.fr)):
            yield from _fields(("messages", key, language), text, vocabulary.MESSAGE_FIELDS)
        if not words.of(playbook.language):
            yield ("messages", key), "is empty"
    channels = [channel.id for channel in playbook.channels]
    for at, name in enumerate(messages.channels):
        yield from _unknown(("messages", "channels", at), "channel", name, channels)


def _fields(path: Path, text: str, known: Collection[str]) -> Found:
    for name in dict.fromkeys(_FIELD.findall(text)):
        if name not in known:
            yield path, f"there is no field {quote('{' + name + '}')}; {nearest(name, known)}"


def _channel(path: Path, channel: Channel, playbook: Playbook) -> Found:
    needs = {
        "slack": ("url", channel.url),
        "webhook": ("url", channel.url),
        "apprise": ("url", channel.url),
        "pagerduty": ("key", channel.key),
        "file": ("path", channel.path),
    }
    key, value = needs.get(channel.kind, ("", True))
    if not value:
        yield path, f'a channel of kind {channel.kind} needs the key "{key}"'
    yield from _secret((*path, "url"), channel.url)
    yield from _secret((*path, "key"), channel.key)
    yield from _url((*path, "endpoint"), channel.endpoint, ("https", "http"))
    if channel.kind == "phone" and not channel.number and not _dialled(channel, playbook):
        yield path, "nobody can dial it: give it a number, or give one to the contacts of the levels that use it"


def _dialled(channel: Channel, playbook: Playbook) -> bool:
    """Whether no level uses this telephone without a contact that has a number, or stands for one to fill in."""
    ladders = (playbook.escalation.levels, *playbook.escalation.per_severity.values())
    contacts = {contact.id for contact in playbook.contacts}
    users = [level for ladder in ladders for level in ladder if channel.id in (level.channel, *level.otherwise)]
    return all(level.contact in contacts for level in users)


def _thresholds(playbook: Playbook) -> Found:
    thresholds = playbook.thresholds
    for name in ("cpu", "memory", "queue", "connections", "query"):
        warning, bad = getattr(thresholds, f"{name}_warning"), getattr(thresholds, f"{name}_bad")
        if warning > bad:
            yield ("thresholds", f"{name}_warning"), f"is above {name}_bad"


def _backup(playbook: Playbook) -> Found:
    backup = playbook.backup
    for at, recipient in enumerate(backup.recipients):
        if not recipient.startswith(("age1", "ssh-ed25519 ", "ssh-rsa ")):
            yield ("backup", "recipients", at), f"{quote(recipient)} is not an age recipient (age1...) or SSH key"
    if backup.secrets == "encrypted" and not backup.recipients:
        yield ("backup", "secrets"), "encrypted needs a recipient under backup.recipients"
