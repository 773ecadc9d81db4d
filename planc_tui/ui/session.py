"""What the console needs of a connection to one context; built by the command line, replaced as a whole by `:ctx`.

Invariant: everything in one session goes to one context; a session is never pointed at another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct

from planc_tui.actions.arming import Arming
from planc_tui.actions.executor import Executor
from planc_tui.core.admin import BrokerAdmin
from planc_tui.core.ports import ClusterPort
from planc_tui.core.stats import RequestStats
from planc_tui.core.store import Store
from planc_tui.desk.desk import Desk
from planc_tui.playbook.model import Playbook
from planc_tui.sources.hub import Hub


class Identity(Struct, frozen=True):
    """What the header names. word: the environment, such as PROD; read_only: how this environment opens."""

    context: str
    cluster: str
    user: str
    server: str
    namespace: str
    word: str
    read_only: bool


class Session(Protocol):
    """One connection to one context, with its feeds."""

    @property
    def identity(self) -> Identity: ...

    @property
    def playbook(self) -> Playbook: ...

    @property
    def cluster(self) -> ClusterPort: ...

    @property
    def hub(self) -> Hub: ...

    @property
    def stats(self) -> RequestStats: ...

    @property
    def executor(self) -> Executor: ...

    @property
    def arming(self) -> Arming: ...

    @property
    def desk(self) -> Desk | None:
        """Where incidents are led; None when the journal cannot be opened (`journal_trouble` says why)."""
        ...

    @property
    def journal_trouble(self) -> str: ...

    @property
    def broker(self) -> Callable[[], BrokerAdmin]:
        """The way to the messages of queues; raises NotConfigured where there is none. Blocks."""
        ...

    def close(self) -> None:
        """End every feed and stream; never blocks."""
        ...


class Connector(Protocol):
    """Opens sessions. Both methods are called off the UI thread."""

    def connect(self, store: Store, context: str | None, namespace: str | None) -> Session:
        """Build a session; sends no request yet and needs no answer from the cluster. None means the current one.
        Raises PortError when the kubeconfig does not allow it."""
        ...

    def contexts(self) -> tuple[str, ...]:
        """Names of the contexts of the kubeconfig, current one first."""
        ...
