"""Plans, and an executor that does nothing but remember, for the tests of cards, runs and procedures."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from msgspec.structs import replace
from textual.pilot import Pilot

from planc_tui.actions.access import Permission
from planc_tui.actions.base import Access, Change, Drift, Plan, Refusal, Risk
from planc_tui.actions.executor import Prepared, Run, State
from planc_tui.actions.runs import RUNS
from planc_tui.core.table import Target
from planc_tui.ui.app import PlancApp
from tests.ui import fake_session
from tests.ui.kit import console

APP = Target("Deployment", f"{fake_session.NAMESPACE}-app", fake_session.NAMESPACE, "uid", "prod-eu")
LOOKED = Permission(True, "yes")


def plan(risk: Risk = Risk.MEDIUM, **fields: Any) -> Plan:
    """A plan as actions make them."""
    values: dict[str, Any] = {
        "action": "rollout-restart", "title": "Rollout restart", "context": "prod-eu", "targets": (APP,),
        "changes": (Change("replicas", "3", "10"),), "risk": risk, "blast": ("replaces 6 pods",),
        "equivalents": ("kubectl rollout restart deploy/app",), "undo": "rollout undo to revision 7",
        "confirm_word": APP.name if risk is Risk.HIGH else "", "namespace": APP.namespace,
    }  # fmt: skip  # rows as a person reads them
    return Plan(**{**values, **fields})


def prepared(risk: Risk = Risk.MEDIUM, refused: str = "", **fields: Any) -> Prepared:
    """A plan that passed everything before the yes, or did not."""
    return Prepared(plan(risk, **fields), LOOKED, "accepted", refused)


class Stub:
    """Answers `prepare` with what it was given and shows runs as it is told."""

    def __init__(self, app: PlancApp, answer: Prepared | Refusal) -> None:
        self._app = app
        self.answer = answer
        self.changed: Drift | None = None
        self.asked: list[tuple[str, Target, Mapping[str, str]]] = []
        self.started: list[Prepared] = []
        self.cancelled: list[str] = []
        self.lost: tuple[Run, ...] = ()
        self.slow = threading.Event()
        self.slow.set()
        self.grey: dict[str, str] = {}
        self.wanted: dict[str, tuple[Access, ...]] = {}
        self._runs: dict[str, Run] = {}

    def prepare(self, action: str, target: Target, args: Mapping[str, str]) -> Prepared | Refusal:
        self.slow.wait(5)
        self.asked.append((action, target, dict(args)))
        return self.answer

    def refused(self, wanted: Mapping[str, tuple[Access, ...]]) -> dict[str, str]:
        self.wanted = dict(wanted)
        return {word: self.grey[word] for word in wanted if word in self.grey}

    def start(self, yes: Prepared) -> Run:
        self.started.append(yes)
        return self.show(Run(f"run-{len(self.started)}", yes.plan, State.RUNNING, "started", self._now))

    def end(self, run_id: str, state: State, progress: str = "") -> None:
        """The run is over."""
        self.show(replace(self._runs[run_id], state=state, progress=progress, ended=self._now))

    def show(self, run: Run) -> Run:
        self._runs[run.id] = run
        self._app.store.want(RUNS, True)
        self._app.store.put(RUNS, self.runs(), self._now)
        return run

    @property
    def _now(self) -> float:
        return self._app.clock.monotonic()

    def runs(self) -> tuple[Run, ...]:
        return tuple(self._runs.values())

    def drift(self, _: Prepared) -> Drift | None:
        return self.changed

    def cancel(self, run_id: str) -> None:
        self.cancelled.append(run_id)

    def undo(self, run: Run) -> tuple[str, Target, Mapping[str, str]] | None:
        return ("rollout-undo", run.plan.targets[0], {"revision": "7"}) if run.receipt is not None else None

    def unfinished(self) -> tuple[Run, ...]:
        return self.lost

    def verify_unknown(self, run: Run) -> Run:
        self.lost = ()
        return self.show(replace(run, state=State.RECOVERED, progress="6/6 ready", ended=self._now))


@asynccontextmanager
async def acting(
    answer: Prepared | Refusal, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[tuple[PlancApp, Pilot[Any], Stub]]:
    """A console on the bad night whose executor is a stub."""
    connector = fake_session.incident()
    async with console(connector, size) as (app, pilot):
        stub = Stub(app, answer)
        connector.sessions[-1].executor = stub  # type: ignore[assignment]  # a stub in place of the executor
        yield app, pilot, stub
