"""The one way by which planc changes anything.

Invariant: inspect > plan > permission > server-side dry run > card > recheck > intent on disk > execute > verify >
outcome on disk, in this order, for every action. Read-only mode sends no write and no dry run. One change at a time
per target. A process killed anywhere leaves an intent without an outcome, which the next console shows as unknown.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from planc_tui.actions.access import Permission, review
from planc_tui.actions.arming import Arming
from planc_tui.actions.base import (
    Access,
    Action,
    ApiRequest,
    Drift,
    Outcome,
    Plan,
    Ports,
    Receipt,
    Refusal,
    Risk,
    Stopped,
)
from planc_tui.actions.guards import check_guards
from planc_tui.actions.lease import Lease, LeaseTaken
from planc_tui.actions.recorder import Recorder, RecorderFailed
from planc_tui.core.ports import Denied, NotFound, PortError, Rejected, Throttled
from planc_tui.core.table import Target

log = logging.getLogger(__name__)

OBSERVE_EVERY = 1.0
REQUESTED, STARTED, FINISHED, REFUSED = (
    "action.requested",
    "action.started",
    "action.result",
    "action.refused",
)


class State(Enum):
    """Where a run stands, in the words of the tray."""

    REQUESTED = "requested"
    RUNNING = "running"
    ACCEPTED = "accepted"
    RECOVERED = "recovered"
    FAILED = "failed"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self not in (State.REQUESTED, State.RUNNING, State.ACCEPTED)


class Prepared(Struct, frozen=True):
    """A plan with everything the card shows. dry_run: the server's answer in words; refused: why it may not run."""

    plan: Plan
    permission: Permission
    dry_run: str
    refused: str = ""


class Run(Struct, frozen=True):
    """One action under way or over; replaced as a whole at each step. Times are monotonic seconds."""

    id: str
    plan: Plan
    state: State
    progress: str
    started: float
    ended: float | None = None
    receipt: Receipt | None = None


class _Report:
    """The running action's line to the tray."""

    def __init__(self, show: Callable[[str], None], cancel: threading.Event) -> None:
        self._show = show
        self._cancel = cancel
        self._last = ""

    def __call__(self, progress: str) -> None:
        self._last = progress
        self._show(progress)
        if self._cancel.is_set():
            raise Stopped(progress)

    @property
    def cancelled(self) -> bool:
        return self._cancel.is_set()


class Executor:
    """Prepares and runs plans of one session. All methods are safe from any thread; `prepare` blocks on the network.

    folder: state folder for leases. who: one line naming user, host and terminal. on_change: told of every new Run
    value, from the run's thread."""

    def __init__(
        self,
        ports: Ports,
        actions: Mapping[str, Action],
        recorder: Recorder,
        arming: Arming,
        folder: Path,
        who: str,
        on_change: Callable[[Run], None],
    ) -> None:
        self._ports = ports
        self._actions = actions
        self._recorder = recorder
        self._arming = arming
        self._folder = folder / "leases"
        self._who = who
        self._on_change = on_change
        self._lock = threading.Lock()
        self._runs: dict[str, Run] = {}
        self._cancels: dict[str, threading.Event] = {}

    @property
    def actions(self) -> Mapping[str, Action]:
        """Every known action by id."""
        return self._actions

    def runs(self) -> tuple[Run, ...]:
        """Every run of this console, oldest first."""
        with self._lock:
            return tuple(self._runs.values())

    def prepare(self, action_id: str, target: Target, args: Mapping[str, str]) -> Prepared | Refusal:
        """Everything before the yes, with reads and dry runs alone."""
        action = self._actions[action_id]
        if target.context and target.context != self._ports.cluster.context:
            return Refusal(f"the row belongs to context {target.context}, this console is on another: reopen it")
        try:
            seen = action.inspect(self._ports, target, args)
            plan = action.plan(seen, target, args)
        except PortError as error:
            return Refusal(error.message)
        except Exception as error:
            log.exception("looking before action %s", action_id)
            return Refusal(f"planc failed while looking ({type(error).__name__}): nothing was changed")
        if isinstance(plan, Refusal):
            return plan
        mode = self._arming.mode()
        if mode.dry:
            plan = replace(plan, warnings=("--dry-run: nothing will be changed, whatever you answer", *plan.warnings))
        if mode.read_only:
            return Prepared(plan, Permission(None, "not asked"), "not sent", "read-only: arm this console first")
        permission = review(self._ports.cluster, plan.access) if plan.access else Permission(True, "yes")
        if permission.allowed is False:
            return Prepared(plan, permission, "not sent", permission.reason)
        answer, refused = self._dry_run(plan)
        return Prepared(plan, permission, answer, refused)

    def refused(self, wanted: Mapping[str, tuple[Access, ...]]) -> dict[str, str]:
        """What of `wanted` this user may not do, and why; what the server does not say is left out. Blocks."""
        found: dict[str, str] = {}
        asked: dict[Access, Permission] = {}
        for name, accesses in wanted.items():
            for access in accesses:
                if access not in asked:
                    asked[access] = review(self._ports.cluster, (access,))
                if asked[access].allowed is False:
                    found.setdefault(name, asked[access].reason)
        return found

    def start(self, prepared: Prepared) -> Run:
        """Run a confirmed plan on a thread of its own. The caller has applied the confirm rules of its risk."""
        run = Run(uuid.uuid4().hex[:12], prepared.plan, State.REQUESTED, "requested", self._ports.clock.monotonic())
        cancel = threading.Event()
        with self._lock:
            self._runs[run.id] = run
            self._cancels[run.id] = cancel
        self._on_change(run)
        thread = threading.Thread(
            target=self._thread, args=(run, prepared, cancel), name=f"action-{run.plan.action}", daemon=True
        )
        thread.start()
        return run

    def drift(self, prepared: Prepared) -> Drift | None:
        """What changed since the plan was made, by reads alone. Raises PortError."""
        plan = prepared.plan
        return check_guards(self._ports.cluster, plan.guards) or self._actions[plan.action].recheck(self._ports, plan)

    def cancel(self, run_id: str) -> None:
        """Ask a run to stop; what is done stays done and is said."""
        with self._lock:
            event = self._cancels.get(run_id)
        if event is not None:
            event.set()

    def undo(self, run: Run) -> tuple[str, Target, Mapping[str, str]] | None:
        """What would undo a run, as arguments for `prepare`; None when nothing does."""
        if run.receipt is None or run.plan.action not in self._actions:
            return None
        return self._actions[run.plan.action].undo(run.plan, run.receipt)

    def unfinished(self) -> tuple[Run, ...]:
        """Runs of earlier consoles without an outcome, or with an unknown one: unknown until verified. A run that
        another console is busy with holds its lease, and is left to it."""
        open_: dict[str, Run] = {}
        for entry in self._recorder.entries((STARTED, FINISHED)):
            run_id = str(entry.data.get("run", ""))
            if entry.type == FINISHED:
                run = open_.pop(run_id, None)
                if run is not None and entry.data.get("state") == State.UNKNOWN.value:
                    receipt = msgspec.convert(entry.data.get("receipt"), type=Receipt | None)
                    open_[run_id] = replace(run, progress=str(entry.data.get("progress", "")), receipt=receipt)
            elif run_id not in self._runs:
                plan = msgspec.convert(entry.data["plan"], type=Plan)
                open_[run_id] = Run(run_id, plan, State.UNKNOWN, "requested, outcome unknown", 0.0)
        return tuple(run for run in open_.values() if not self._busy_elsewhere(run.plan))

    def _busy_elsewhere(self, plan: Plan) -> bool:
        return any(Lease(self._folder, name, self._who).held() for name in plan.leases)

    def verify_unknown(self, run: Run) -> Run:
        """Look at what became of an unfinished run and write the outcome down."""
        action = self._actions.get(run.plan.action)
        if action is None:
            return replace(run, progress=f"unknown: this console has no action {run.plan.action}")
        try:
            verdict = action.verify(self._ports, run.plan, run.receipt or Receipt())
        except PortError as error:
            return replace(run, progress=f"unknown: {error.message}")
        except Exception as error:
            log.exception("looking at action %s", run.plan.action)
            return replace(run, progress=f"unknown: planc failed while looking ({type(error).__name__})")
        state = {Outcome.RECOVERED: State.RECOVERED, Outcome.FAILED: State.FAILED}.get(verdict.outcome, State.UNKNOWN)
        found = replace(run, state=state, progress=verdict.progress, ended=self._ports.clock.monotonic())
        if state is not State.UNKNOWN:
            found = self._show(self._finish(found))
        return found

    def _dry_run(self, plan: Plan) -> tuple[str, str]:
        """The server's answer in words, and why the plan is refused ("" when it is not)."""
        wanted = [request for request in plan.requests if request.dry_run]
        for request in wanted:
            try:
                send(self._ports, request, dry_run=True)
            except PortError as error:
                what = f"{request.label}: " if request.label else ""
                return f"refused: {what}{error.message}", f"the server refuses: {error.message}"
        return ("accepted" if wanted else "this action has none"), ""

    def _thread(self, run: Run, prepared: Prepared, cancel: threading.Event) -> None:
        """Run to the end whatever happens; the last state is always shown, when the leases are free again."""
        try:
            with ExitStack() as held:
                for name in run.plan.leases:
                    held.enter_context(Lease(self._folder, name, self._who))
                run = self._guarded(run, prepared, cancel)
        except LeaseTaken as taken:
            run = self._refuse(run, f"another change of this target is under way by {taken.holder}")
        except OSError as error:
            run = self._refuse(run, f"the lease could not be taken: {error.strerror}: check the state folder")
        except RecorderFailed as error:
            run = self._refuse(run, f"not done: {error}")
        self._show(run)

    def _guarded(self, run: Run, prepared: Prepared, cancel: threading.Event) -> Run:
        action = self._actions[run.plan.action]
        reason = self._reason_not_to(prepared)
        if reason:
            return self._refuse(run, reason)
        self._write_intent(run)
        run = self._show(replace(run, state=State.RUNNING, progress="started"))
        report = _Report(lambda text: self._progress(run.id, text), cancel)
        try:
            receipt = action.execute(self._ports, run.plan, report)
        except Stopped as stopped:
            over = self._over(run, State.CANCELLED, f"cancelled: {stopped.done}")
            return self._finish(replace(over, receipt=stopped.receipt))
        except PortError as error:
            return self._finish(self._after_error(action, run, error, cancel))
        except Exception as error:
            log.exception("action %s", run.plan.action)
            text = f"planc failed while acting ({type(error).__name__}): verify"
            return self._finish(self._over(run, State.UNKNOWN, text))
        run = self._show(replace(run, state=State.ACCEPTED, progress="accepted", receipt=receipt))
        return self._finish(self._observe(action, run, receipt, cancel))

    def _after_error(self, action: Action, run: Run, error: PortError, cancel: threading.Event) -> Run:
        """A refusal is a failure. An answer that was lost may have been a yes: then the cluster is looked at."""
        if isinstance(error, Denied | NotFound | Rejected | Throttled):
            return self._over(run, State.FAILED, error.message)
        if not run.plan.requests:
            return self._over(run, State.UNKNOWN, error.message)
        run = self._show(replace(run, progress=f"{error.message}: looking what became of it"))
        found = self._observe(action, run, Receipt(), cancel)
        receipt = None if found.state is State.FAILED else Receipt()
        return replace(found, progress=f"{found.progress} (no answer came: {error.message})", receipt=receipt)

    def _write_intent(self, run: Run) -> None:
        """Put the intent on disk. Without a journal only a LOW action goes on: one pod may be what frees the disk.
        Raises RecorderFailed."""
        try:
            self._recorder.record(STARTED, {"run": run.id, "plan": msgspec.to_builtins(run.plan)})
        except RecorderFailed:
            if run.plan.risk is not Risk.LOW:
                raise
            log.warning("%s goes on without a journal", run.plan.action)

    def _reason_not_to(self, prepared: Prepared) -> str:
        """The last look before acting; "" when nothing speaks against it."""
        if prepared.refused:
            return prepared.refused
        mode = self._arming.mode()
        if mode.dry:
            return "dry run: nothing was changed"
        if mode.read_only:
            return "read-only: the console is no longer armed"
        try:
            drift = self.drift(prepared)
        except PortError as error:
            return f"not done, the target could not be read again: {error.message}"
        return "" if drift is None else f"not done, it changed since you looked: {drift.reason}"

    def _observe(self, action: Action, run: Run, receipt: Receipt, cancel: threading.Event) -> Run:
        """Look until the effect is there, the deadline passes, or the user stops looking."""
        clock = self._ports.clock
        last = ""
        while True:
            try:
                verdict = action.verify(self._ports, run.plan, receipt)
                last = verdict.progress
                if verdict.outcome is Outcome.RECOVERED:
                    seconds = clock.monotonic() - run.started
                    return self._over(run, State.RECOVERED, f"{last or 'recovered'} in {seconds:.0f} s")
                if verdict.outcome is Outcome.FAILED:
                    return self._over(run, State.FAILED, last)
                self._progress(run.id, last)
            except PortError as error:
                last = f"not seen yet: {error.message}"
                self._progress(run.id, last)
            except Exception as error:
                log.exception("looking at action %s", run.plan.action)
                return self._over(run, State.UNKNOWN, f"planc failed while looking ({type(error).__name__}): verify")
            if clock.monotonic() - run.started > run.plan.deadline:
                return self._over(run, State.UNKNOWN, f"not recovered within {run.plan.deadline:.0f} s: {last}")
            if cancel.wait(OBSERVE_EVERY):
                return self._over(run, State.UNKNOWN, f"you stopped the check before the effect was seen: {last}")

    def _over(self, run: Run, state: State, progress: str) -> Run:
        return replace(run, state=state, progress=progress, ended=self._ports.clock.monotonic())

    def _refuse(self, run: Run, reason: str) -> Run:
        data = {"run": run.id, "action": run.plan.action, "reason": reason}
        try:
            self._recorder.record(REFUSED, data)
        except RecorderFailed as error:
            reason = f"{reason} (and the journal cannot be written: {error})"
        return self._over(run, State.REFUSED, reason)

    def _finish(self, run: Run) -> Run:
        """Write the outcome down."""
        data: dict[str, Any] = {
            "run": run.id,
            "action": run.plan.action,
            "state": run.state.value,
            "progress": run.progress,
            "receipt": msgspec.to_builtins(replace(run.receipt, shown=())) if run.receipt else None,
        }
        try:
            self._recorder.record(FINISHED, data)
        except RecorderFailed as error:
            return replace(run, progress=f"{run.progress} (the outcome could not be written down: {error})")
        return run

    def _progress(self, run_id: str, text: str) -> None:
        with self._lock:
            run = self._runs[run_id]
        if text and text != run.progress:
            self._show(replace(run, progress=text))

    def _show(self, run: Run) -> Run:
        with self._lock:
            self._runs[run.id] = run
        self._on_change(run)
        return run


def send(ports: Ports, request: ApiRequest, *, dry_run: bool = False) -> bytes:
    """Send one write once. Raises PortError."""
    query, body = dict(request.query), request.body
    if dry_run:
        query["dryRun"] = "All"
        if request.method == "DELETE" and body:
            # The API server does not look at the query of a DELETE that has a body.
            body = msgspec.json.encode({**msgspec.json.decode(body), "dryRun": ["All"]})
    return ports.cluster.request(
        request.method,
        request.path,
        query=query,
        body=body or None,
        content_type=request.content_type,
        source="actions",
        timeout=30.0,
    )


def confirmed(plan: Plan, shown_at: float, pressed_at: float, typed: str) -> bool:
    """Whether a press of the go key counts. Times are monotonic seconds of the card's first paint and of the key."""
    if plan.risk is Risk.HIGH:
        return bool(plan.confirm_word) and typed == plan.confirm_word
    return plan.risk is Risk.LOW or pressed_at - shown_at >= 0.5
