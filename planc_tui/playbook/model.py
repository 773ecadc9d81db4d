"""The playbook as values: what a team writes down before the night it needs it.

Invariant: a `Playbook` is complete, checked and immutable. Durations are seconds, texts exist in every
language, names that refer to another entry refer to one that exists, and no secret is inside: only where to
find it.
"""

from __future__ import annotations

import shlex
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from planc_tui.core.rules import Condition, Rule, Seconds
from planc_tui.playbook.people import (
    Channel,
    Check,
    ChecklistItem,
    Contact,
    Escalation,
    Language,
    Level,
    Messages,
    Objectives,
    Severity,
    Words,
)
from planc_tui.playbook.systems import (
    HttpSystem,
    Link,
    Part,
    PostgresSystem,
    RabbitmqSystem,
    SecretFrom,
    SecretKey,
    Systems,
)

# The whole model is imported from here, whichever module a part of it stands in.
__all__ = [
    "Channel",
    "Check",
    "ChecklistItem",
    "Condition",
    "Contact",
    "Escalation",
    "HttpSystem",
    "Language",
    "Level",
    "Link",
    "Messages",
    "Objectives",
    "PostgresSystem",
    "RabbitmqSystem",
    "Rule",
    "Seconds",
    "SecretFrom",
    "SecretKey",
    "Severity",
    "Systems",
    "Words",
]

Regex = Annotated[str, Meta(extra={"form": "regex"})]
Percent = Annotated[float, Meta(ge=0, le=100)]


class Workload(Part, frozen=True, kw_only=True):
    """A Deployment that procedures act on."""

    name: str
    """Its name."""
    kind: Literal["Deployment", "StatefulSet", "DaemonSet"] = "Deployment"
    """Its kind."""
    container: str = ""
    """The container whose resources and environment are changed; the first one when left out."""
    selector: str = ""
    """Label selector of its pods; the workload's own when left out."""


class PostgresTarget(Part, frozen=True, kw_only=True):
    """The pod that PostgreSQL runs in, for backups and checks from inside."""

    pod: str
    """Its name."""
    container: str = ""
    """Container in it; the first one when left out."""
    user: str = "postgres"
    """Superuser that pg_dump runs as."""
    database: str
    """Database that is backed up."""


class RabbitmqTarget(Part, frozen=True, kw_only=True):
    """The pod that RabbitMQ runs in, and the queues that matter."""

    pod: str
    """Its name."""
    container: str = ""
    """Container in it; the first one when left out."""
    queues: tuple[str, ...] = ()
    """Queues of interest: watched over AMQP, and all there is without the management API."""
    dead_letter: str = ""
    """Queue that failed messages end in."""


class Maintenance(Part, frozen=True, kw_only=True):
    """How traffic is sent to the maintenance page."""

    service: str
    """Service of the page; checked before the switch."""
    annotations: dict[str, str]
    """Annotations put on the Ingress, all of them taken off again."""


class Targets(Part, frozen=True, kw_only=True):
    """What the procedures act on. Leave out what a system does not have."""

    app: Workload
    """The application."""
    worker: Workload | None = None
    """The workers that empty the queues."""
    postgres: PostgresTarget | None = None
    """The database's pod."""
    rabbitmq: RabbitmqTarget | None = None
    """The broker's pod and queues."""
    ingress: str = ""
    """The Ingress that maintenance mode changes."""
    maintenance: Maintenance | None = None
    """The maintenance page."""


class Environment(Part, frozen=True, kw_only=True):
    """The word that says where one is. The first entry whose pattern is found wins."""

    word: str
    """Shown in the header and on every confirm card, such as PROD."""
    match: Regex
    """Pattern looked for in the names of the context and the cluster, upper and lower case alike."""
    read_only: bool = False
    """Opens read-only: changes must be armed first."""
    colour: Literal["red", "yellow", "green", "blue", "magenta", "grey"] = "grey"
    """Background of the word."""


class Slo(Part, frozen=True, kw_only=True):
    """A service level objective and the PromQL that measures it; `$window` in a query becomes a range."""

    id: str
    """Short name."""
    name: Words
    """What it is called."""
    kind: Literal["availability", "error_rate", "latency"]
    """Availability must stay above the objective, the two others below it."""
    objective: float
    """The target, in `unit`."""
    unit: Literal["percent", "ms", "s"]
    """Unit of the objective and of the figure on the screen."""
    query: str
    """PromQL of the figure: a ratio from 0 to 1 for percent, seconds for ms and s."""
    bad: str = ""
    """PromQL of the share of requests that miss the objective, 0 to 1; the error budget is counted with it.
    Left out: derived from the figure for availability and error_rate, and no budget for latency."""
    budget: Percent | None = None
    """Share of requests that may miss, in percent; follows from the objective when it is in percent."""
    window: Seconds = 2_592_000.0
    """Period that the budget is for."""
    current: Seconds = 300.0
    """Range of the figure that is shown."""
    short: Seconds = 300.0
    """Short window of the burn rate."""
    long: Seconds = 3600.0
    """Long window of the burn rate."""
    fast_burn: float = 14.4
    """Burn rate that, in both windows, is an emergency."""

    @property
    def allowed(self) -> float | None:
        """Share of requests that may miss the objective, 0 to 1; None when the SLO has no budget."""
        if self.budget is not None:
            return self.budget / 100
        if self.unit != "percent":
            return None
        return (100 - self.objective) / 100 if self.kind == "availability" else self.objective / 100


class Step(Part, frozen=True, kw_only=True):
    """One step of a procedure. Exactly one of `action`, `show`, `wait` and `text` is given."""

    action: str = ""
    """Action that one key starts."""
    show: str = ""
    """Pane to look at."""
    target: str = ""
    """What the action is for: app, worker, database, dead_letter, ingress, namespace, `Kind/name`, or
    `selected`: what is under the cursor."""
    wait: Seconds = 0.0
    """The least time to wait; the step is over when what came before is complete as well."""
    text: Words | None = None
    """Something a person does."""
    parameters: dict[str, Any] = msgspec.field(name="with", default_factory=dict)
    """Parameters of the action or the pane."""
    why: Words | None = None
    """What it is for, or when to leave it out."""
    optional: bool = False
    """Only where needed."""

    def arguments(self) -> dict[str, str]:
        """The parameters as actions take them: yes or no for flags, `A=1 B=2` for maps."""
        return {key: _argument(value) for key, value in self.parameters.items()}


def _argument(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return " ".join(shlex.quote(f"{name}={_argument(part)}") for name, part in value.items())
    return str(value)


class Symptom(Part, frozen=True, kw_only=True):
    """Something that one sees."""

    text: Words
    """In words."""
    rule: str = ""
    """Rule that lights it."""


class Procedure(Part, frozen=True, kw_only=True):
    """What to do, in order."""

    id: str
    """Short name."""
    title: Words
    """What it is called."""
    kind: Literal["incident", "recovery", "diagnosis"] = "incident"
    """Whether it treats an incident, is started on purpose, or only looks."""
    severity: str = ""
    """Severity that an incident of this kind usually has."""
    symptoms: tuple[Symptom, ...] = ()
    """How one knows."""
    immediate: tuple[Step, ...] = ()
    """First steps."""
    follow_up: tuple[Step, ...] = ()
    """Steps after them."""
    recovered: tuple[str, ...] = ()
    """Rules that must be quiet before the incident counts as recovered."""
    recovered_for: Seconds = 300.0
    """How long they must be quiet."""


class Thresholds(Part, frozen=True, kw_only=True):
    """Where a figure on the screen turns from calm to warning to bad."""

    cpu_warning: Percent = 75.0
    """CPU of a pod, percent of its limit."""
    cpu_bad: Percent = 90.0
    """CPU of a pod, percent of its limit."""
    memory_warning: Percent = 80.0
    """Memory of a pod, percent of its limit."""
    memory_bad: Percent = 90.0
    """Memory of a pod, percent of its limit."""
    queue_warning: int = 500
    """Messages in a queue."""
    queue_bad: int = 1000
    """Messages in a queue."""
    dead_letter_warning: int = 1
    """Messages in the dead-letter queue."""
    connections_warning: Percent = 75.0
    """Database connections, percent of max_connections."""
    connections_bad: Percent = 90.0
    """Database connections, percent of max_connections."""
    query_warning: Seconds = 30.0
    """Age of a running query."""
    query_bad: Seconds = 300.0
    """Age of a running query."""
    restarts_warning: int = 3
    """Restarts of a container."""


class Backup(Part, frozen=True, kw_only=True):
    """The emergency backup."""

    folder: str = "~/planc-backups"
    """Folder that each backup makes its own folder in."""
    recipients: tuple[str, ...] = ()
    """age recipients that Secrets are encrypted to."""
    secrets: Literal["encrypted", "omit", "ask"] = "ask"
    """What happens to Secrets. ask: encrypted with recipients, else left out unless plain is typed."""
    kinds: tuple[str, ...] = (
        "ConfigMap",
        "Secret",
        "Deployment",
        "HorizontalPodAutoscaler",
        "Service",
        "Ingress",
    )
    """Kinds of object that are saved."""


class Logs(Part, frozen=True, kw_only=True):
    """What the errors pane follows."""

    selector: str = ""
    """Label selector of the pods; the application's when left out."""
    window: Seconds = 300.0
    """How far back the first read goes."""
    streams_at_most: Annotated[int, Meta(ge=1, le=500)] = 50
    """Containers that are followed at the same time."""
    patterns: Annotated[int, Meta(ge=1, le=200)] = 20
    """Patterns that are listed."""
    lines: Annotated[int, Meta(ge=100, le=1_000_000)] = 20_000
    """Lines that are kept."""


class Playbook(Part, frozen=True, kw_only=True):
    """A whole playbook."""

    version: Literal[1] = 1
    """Version of this format."""
    name: str
    """What the playbook is called."""
    language: Language = "en"
    """Language of messages and post-mortems."""
    namespace: str
    """Namespace that planc opens when the command line names none."""
    targets: Targets
    """What the procedures act on."""
    systems: Systems = Systems()
    """How to reach the systems beside Kubernetes."""
    environments: tuple[Environment, ...] = ()
    """Words for contexts and clusters."""
    severities: tuple[Severity, ...]
    """Severities, from the worst down."""
    slos: tuple[Slo, ...] = ()
    """Service level objectives."""
    objectives: Objectives = Objectives()
    """Objectives of the team."""
    thresholds: Thresholds = Thresholds()
    """Where figures change colour."""
    rules: tuple[Rule, ...] = ()
    """Symptoms."""
    procedures: tuple[Procedure, ...] = ()
    """Procedures."""
    escalation: Escalation
    """Who is called when."""
    messages: Messages
    """What they are told."""
    contacts: tuple[Contact, ...] = ()
    """People."""
    channels: tuple[Channel, ...] = ()
    """Ways to reach them."""
    checklist: tuple[ChecklistItem, ...] = ()
    """Points before an incident is closed."""
    backup: Backup = Backup()
    """The emergency backup."""
    logs: Logs = Logs()
    """What the errors pane follows."""

    def severity(self, severity_id: str) -> Severity | None:
        """The severity of that name, if there is one."""
        return next((severity for severity in self.severities if severity.id == severity_id), None)

    def procedure(self, procedure_id: str) -> Procedure | None:
        """The procedure of that name, if there is one."""
        return next((procedure for procedure in self.procedures if procedure.id == procedure_id), None)

    def channel(self, channel_id: str) -> Channel | None:
        """The channel of that name, if there is one."""
        return next((channel for channel in self.channels if channel.id == channel_id), None)
