"""What an action is. A new action is one file: a subclass of Action with class attributes and small methods.

Invariant: only `execute` changes anything, and only the executor calls it; everything that decides what would happen
is pure and works on what `inspect` read.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from enum import Enum, IntEnum
from typing import Any, ClassVar, NoReturn, Protocol

from msgspec import Struct, field

from planc_tui.core.admin import BrokerAdmin, DatabaseAdmin
from planc_tui.core.alerts import AlertsPort
from planc_tui.core.clock import Clock
from planc_tui.core.ports import ClusterPort, NotConfigured
from planc_tui.core.table import Target
from planc_tui.playbook.model import Playbook


class Risk(IntEnum):
    """How an action is confirmed. LOW: y. MEDIUM: y, deaf for the first half second. HIGH: type the name."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


class Param(Struct, frozen=True):
    """One value the card asks for. kind: text, int, quantity, choice, pairs, flag. choices: fixed or filled by plan."""

    id: str
    title: str
    kind: str = "text"
    default: str = ""
    choices: tuple[str, ...] = ()
    help: str = ""


class Change(Struct, frozen=True):
    """One line of the card: what changes, from what to what."""

    label: str
    before: str
    after: str


class Access(Struct, frozen=True):
    """A permission the action needs, as a SelfSubjectAccessReview names it."""

    verb: str
    resource: str
    group: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


class Need(Struct, frozen=True):
    """A permission that every plan of an action needs. kind: "" for the target itself, else any object of that kind in
    the target's namespace."""

    verb: str
    subresource: str = ""
    kind: str = ""


class ApiRequest(Struct, frozen=True):
    """One write to the API server. `dry_run`: false where the server offers none."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/json"
    query: Mapping[str, str] = field(default_factory=dict)
    label: str = ""
    dry_run: bool = True


class Guard(Struct, frozen=True):
    """The object a plan was made for. When it changed since, the plan is void.

    generation: of the spec, 0 = any; resource_version: of everything, "" = any (a Deployment's changes with every
    pod, so its generation is what counts)."""

    path: str
    uid: str
    generation: int = 0
    resource_version: str = ""
    name: str = ""


class Plan(Struct, frozen=True):
    """What would happen, complete before anybody is asked. deadline: seconds for executing and verifying.

    payload: what execute and verify need beside the requests; JSON values only, because it goes into the journal.
    undo: how it can be undone, in words; "" when it cannot. confirm_word: what HIGH asks to type.
    """

    action: str
    title: str
    context: str
    targets: tuple[Target, ...]
    changes: tuple[Change, ...]
    risk: Risk
    namespace: str = ""
    blast: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    equivalents: tuple[str, ...] = ()
    undo: str = ""
    confirm_word: str = ""
    deadline: float = 120.0
    access: tuple[Access, ...] = ()
    requests: tuple[ApiRequest, ...] = ()
    guards: tuple[Guard, ...] = ()
    payload: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lease(self) -> str:
        """Name of the lock that keeps two changes off one target."""
        return self.leases[0]

    @property
    def leases(self) -> tuple[str, ...]:
        """Names of the locks of every target, in one order for everybody so that nobody waits in a ring."""
        names = ((self.context, target.kind, target.namespace, target.name) for target in self.targets)
        return tuple(sorted({"/".join(name).lower() for name in names}))


class Refusal(Struct, frozen=True):
    """Why there is no plan, in one line. `offer`: an action id and its arguments that would work instead."""

    reason: str
    offer: tuple[str, Mapping[str, str]] | None = None


class Drift(Struct, frozen=True):
    """What changed between plan and act."""

    reason: str


class Receipt(Struct, frozen=True):
    """What execute did: JSON values that verify and undo need. partial: why and where it broke off, in words; then
    verify calls it failed, and undo is about what was done. shown: harmless lines for the person who asked, which
    never reach the journal."""

    data: Mapping[str, Any] = field(default_factory=dict)
    partial: str = ""
    shown: tuple[str, ...] = ()


class Outcome(Enum):
    """What observation says about an executed plan."""

    PENDING = "pending"
    RECOVERED = "recovered"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Verdict(Struct, frozen=True):
    """One observation. progress: `12/20 updated`."""

    outcome: Outcome
    progress: str = ""


class Stopped(Exception):
    """The user cancelled while the action ran. done: what had been done by then; receipt: what undoing that needs."""

    def __init__(self, done: str, receipt: Receipt | None = None) -> None:
        super().__init__(done)
        self.done = done
        self.receipt = receipt


class Report(Protocol):
    """How a running action speaks to the tray, and hears that it should stop."""

    def __call__(self, progress: str) -> None:
        """Show one line of progress; raises Stopped after the user pressed cancel."""
        ...

    @property
    def cancelled(self) -> bool: ...


def _no_alerts() -> NoReturn:
    raise NotConfigured("Alertmanager is not configured", hint="set systems.alertmanager in the playbook")


class Ports(Struct, frozen=True):
    """What actions may talk to. database, broker and alerts are opened on demand; calling them raises
    NotConfigured where the playbook does not say how to reach the system."""

    cluster: ClusterPort
    clock: Clock
    database: Callable[[], DatabaseAdmin]
    broker: Callable[[], BrokerAdmin]
    playbook: Playbook
    folder: str = ""
    alerts: Callable[[], AlertsPort] = _no_alerts


class Action(ABC):
    """One recovery action."""

    id: ClassVar[str]
    title: ClassVar[str]
    key: ClassVar[str] = ""
    risk: ClassVar[Risk]
    kinds: ClassVar[tuple[str, ...]]
    params: ClassVar[tuple[Param, ...]] = ()
    checked: ClassVar[str] = ""  # for the table of actions: what is checked before the yes
    undone: ClassVar[str] = ""  # for the table of actions: how it is undone
    needs: ClassVar[tuple[Need, ...]] = ()  # known before there is a plan, so that the menu can be grey

    @abstractmethod
    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        """Read what the plan needs, with reads alone. Raises PortError."""

    @abstractmethod
    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        """Decide from what was read. Pure."""

    @abstractmethod
    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        """Do it. Raises PortError or Stopped."""

    @abstractmethod
    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        """Look once whether the effect is there. Called again while PENDING. Raises PortError."""

    def recheck(self, ports: Ports, plan: Plan) -> Drift | None:
        """A fresh look just before acting."""
        return None

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        """The action, target and arguments that put things back; they take the whole way through the executor."""
        return None
