"""Going through a procedure: which step is next, what its key does, and what of it is written down.

Invariant: every change of a step is handed to the journal in order; a step that acts takes the whole way through card
and executor; a step that is under way is never started a second time.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from planc_tui.actions.executor import Run, State
from planc_tui.actions.recorder import RecorderFailed
from planc_tui.actions.registry import load
from planc_tui.actions.runs import RUNS
from planc_tui.core.ports import PortError
from planc_tui.core.table import Target
from planc_tui.incident import procedure as log
from planc_tui.incident.procedure import Attempt, StepRecord, StepState
from planc_tui.journal import JournalError
from planc_tui.playbook.model import Procedure, Step
from planc_tui.playbook.targets import target_of
from planc_tui.sources.findings import FINDINGS
from planc_tui.ui.acting import act
from planc_tui.ui.notebook import Notebook
from planc_tui.ui.session import Session
from planc_tui.ui.shown import Shown
from planc_tui.ui.snapshots import Snapshots
from planc_tui.ui.widgets.procedure_panel import ProcedurePanel, step_text, steps_of

if TYPE_CHECKING:
    from planc_tui.ui.screens.room import Room


class Guide:
    """Leads through one procedure on the panel of the war room."""

    def __init__(self, room: Room, panel: ProcedurePanel) -> None:
        self._room = room
        self._panel = panel
        self._written = False  # whether the journal knows the attempt
        self.notebook = Notebook(room.planc)
        self.snapshots = Snapshots(room, self.notebook)
        self.shown = Shown(room)
        panel.titles = {action.id: action.title for action in load()[0].values()}

    @property
    def open(self) -> bool:
        """Whether a procedure is shown."""
        return self._panel.display

    def show(self, procedure: Procedure) -> None:
        """Open a procedure, going on where somebody stopped."""
        panel, planc = self._panel, self._room.planc
        panel.procedure, panel.note, panel.attempt, panel.cursor = procedure, "", None, 0
        panel.display = True
        session = planc.session
        if session is None or session.desk is None:
            self.again()
            return
        place, now = self._place(), planc.clock.now()
        panel.note = "looking how far somebody came …"

        def known(result: Attempt | PortError | None) -> None:
            if panel.procedure is procedure and panel.attempt is None and planc.session is session:
                self._go_on(session, result if isinstance(result, Attempt) else None)

        planc.off_thread(lambda: _known(session, procedure.id, place, now), known, "procedure")
        self.refresh()

    def _go_on(self, session: Session, attempt: Attempt | None) -> None:
        """The attempt that the journal knows, or a new one."""
        if attempt is None:
            self.again()
            return
        self._panel.attempt, self._panel.note, self._written = attempt, "", True
        self._advance()
        own = {run.id for run in session.executor.runs()}
        lost = {r.run for r in attempt.steps.values() if r.state is StepState.STARTED and r.run} - own
        if lost:
            self._look_after(session, lost)
        self.refresh()

    def close(self) -> None:
        """Take the panel away; the attempt stays open in the journal."""
        self._panel.display = False

    def refresh(self) -> None:
        """Follow findings and runs."""
        self.snapshots.refresh()
        self.shown.refresh()
        panel, planc = self._panel, self._room.planc
        if not panel.display or panel.procedure is None:
            return
        findings = planc.store.get(FINDINGS).value or ()
        panel.lit = frozenset(finding.id for finding in findings)
        for run in planc.store.peek(RUNS).value or ():
            self._follow(run)
        self._follow_wait()
        panel.repaint()

    # --- keys ---------------------------------------------------------------------------------------------------

    def run(self, index: int | None = None) -> None:
        """Start the step under the cursor, or the one with this number."""
        panel, procedure = self._panel, self._panel.procedure
        if procedure is None or panel.attempt is None:
            return
        steps = steps_of(procedure)
        index = panel.cursor if index is None else index
        if not 0 <= index < len(steps):
            return
        panel.cursor, panel.note = index, ""
        if panel.attempt.record(index).state is StepState.STARTED:
            self._again_started(index)
        else:
            self._start(index, steps[index])
        panel.repaint()

    def skip(self) -> None:
        """Leave the step under the cursor out, or take it up again."""
        attempt = self._panel.attempt
        if attempt is not None:
            left_out = attempt.record(self._panel.cursor).state is StepState.SKIPPED
            self._panel.note = ""
            self._write(self._panel.cursor, StepState.OPEN if left_out else StepState.SKIPPED)
            self._advance()

    def again(self) -> None:
        """Begin the procedure anew; the journal hears of it with the first step."""
        panel = self._panel
        if panel.procedure is not None:
            panel.attempt = Attempt(uuid.uuid4().hex[:12], panel.procedure.id, self._room.planc.clock.now())
            panel.note, panel.cursor, self._written = "", 0, False
            panel.repaint()

    # --- steps --------------------------------------------------------------------------------------------------

    def _start(self, index: int, step: Step) -> None:
        if step.action:
            self._act(index, step)
        elif step.wait:
            self._write(index, StepState.STARTED)
        else:
            if step.show:
                self._room.show_step(step.show, step.arguments())
            self._write(index, StepState.DONE)
            self._advance()

    def _again_started(self, index: int) -> None:
        """The key of a step that is under way: say so; look after one whose console has ended."""
        session, attempt = self._room.planc.session, self._panel.attempt
        run = "" if attempt is None else attempt.record(index).run
        self._panel.note = f"step {index + 1} is under way"
        if session is not None and run and run not in {own.id for own in session.executor.runs()}:
            self._look_after(session, {run})

    def _act(self, index: int, step: Step) -> None:
        planc, session = self._room.planc, self._room.planc.session
        if session is None:
            self._panel.note = "not connected: nothing can be changed now"
            return
        busy = self._before(index)
        if busy:
            self._panel.note = f"step {busy} is still under way: wait for its outcome, or leave it out (space)"
            return
        identity = session.identity
        if step.target == "selected":
            target = self._selected(index, step)
        else:
            target = target_of(step, session.playbook, identity.namespace, identity.context)
        if target is None:
            kinds = load()[0][step.action].kinds if step.action in load()[0] else ()
            wanted = " or ".join(kind.lower() for kind in kinds)
            self._panel.note = f"choose a row first: this step needs a {wanted} (tab to the panes, o comes back)"
            return
        act(planc, step.action, [target], step.arguments(), started=partial(self._started, index, step, target))

    def _selected(self, index: int, step: Step) -> Target | None:
        """The object of the attempt's `selected` steps: fixed by an earlier one, else the row under the cursor."""
        action, attempt, procedure = load()[0].get(step.action), self._panel.attempt, self._panel.procedure
        if action is None or attempt is None or procedure is None:
            return None
        fixed, steps = attempt.selected, steps_of(procedure)
        earlier = any(steps[i].target == "selected" and attempt.record(i).run for i in range(index))
        if earlier and fixed.get("kind") in action.kinds:
            return Target(**fixed)
        return next((target for target in self._room.pane.targets() if target.kind in action.kinds), None)

    def _started(self, index: int, step: Step, target: Target, run: Run) -> None:
        chosen: dict[str, str] = {}
        if step.target == "selected":
            chosen = {field: getattr(target, field) for field in ("kind", "name", "namespace", "uid", "context")}
        self._write(index, StepState.STARTED, run.id, chosen)

    def _before(self, index: int) -> int:
        """Number of the first earlier step that is under way, 0 when there is none."""
        attempt = self._panel.attempt
        started = StepState.STARTED
        found = [] if attempt is None else [i for i in range(index) if attempt.record(i).state is started]
        return found[0] + 1 if found else 0

    def _unsettled(self, index: int) -> int:
        """Number of the first earlier step that a wait must not pass over, 0 when there is none."""
        attempt, procedure = self._panel.attempt, self._panel.procedure
        if attempt is None or procedure is None:
            return 0
        for earlier, step in enumerate(steps_of(procedure)[:index]):
            state = attempt.record(earlier).state
            forgotten = state is StepState.OPEN and step.action and not step.optional
            if forgotten or state in (StepState.STARTED, StepState.FAILED):
                return earlier + 1
        return 0

    # --- outcomes -----------------------------------------------------------------------------------------------

    def _follow(self, run: Run) -> None:
        attempt = self._panel.attempt
        if attempt is None or not run.state.over:
            return
        settled = log.settle(attempt, run.id, run.state is State.RECOVERED, self._room.planc.clock.now())
        if settled is not attempt:
            index = next(i for i, record in settled.steps.items() if record is not attempt.steps.get(i))
            self._panel.note = "" if run.state is State.RECOVERED else f"step {index + 1}: {run.progress}"
            self._write(index, settled.record(index).state, run.id)
            self._advance()

    def _follow_wait(self) -> None:
        """A wait is over when its time has passed and everything before it came to a good end or was left out."""
        attempt, procedure = self._panel.attempt, self._panel.procedure
        if attempt is None or procedure is None:
            return
        now = self._room.planc.clock.now()
        for index, step in enumerate(steps_of(procedure)):
            record = attempt.record(index)
            if not step.wait or record.state is not StepState.STARTED:
                continue
            left, open_one = step.wait - (now - record.at), self._unsettled(index)
            if left > 0:
                self._panel.note = f"step {index + 1}: {left:.0f} s left at least"
            elif open_one:
                self._panel.note = f"step {index + 1} waits for step {open_one}: do it, or leave it out (space)"
            else:
                self._panel.note = ""
                self._write(index, StepState.DONE)
                self._advance()

    def _look_after(self, session: Session, runs: set[str]) -> None:
        """Steps of a console that ended before it knew the outcome: look what became of them."""
        planc, panel = self._room.planc, self._panel
        panel.note = "a step was under way when planc ended: looking what became of it …"

        def looked(result: int | PortError) -> None:
            if planc.session is not session:
                return
            unknown = isinstance(result, PortError) or result == 0
            panel.note = "nothing is known of the step yet: do it again to look again (ctrl-t, v)" if unknown else ""
            self.refresh()

        planc.off_thread(lambda: _verify(session, runs), looked, "verify")

    def _advance(self) -> None:
        panel = self._panel
        if panel.attempt is not None and panel.procedure is not None:
            panel.cursor = min(panel.attempt.next_step, len(steps_of(panel.procedure)) - 1)
            panel.repaint()

    # --- journal ------------------------------------------------------------------------------------------------

    def _place(self) -> tuple[str, str]:
        session = self._room.planc.session
        return ("", "") if session is None else (session.identity.context, session.identity.namespace)

    def _write(self, index: int, state: StepState, run: str = "", selected: Mapping[str, str] | None = None) -> None:
        panel, now = self._panel, self._room.planc.clock.now()
        if panel.attempt is None or panel.procedure is None:
            return
        attempt, procedure = panel.attempt, panel.procedure
        context, namespace = self._place()
        known = {"attempt": attempt.id, "procedure": attempt.procedure, "context": context, "namespace": namespace}
        if not self._written:
            self._written = True
            self.notebook.write(log.BEGUN, f"procedure {procedure.title.of('en')} begun", known)
        chosen = dict(selected or {}) or dict(attempt.selected)
        text = step_text(steps_of(procedure)[index], panel.titles)
        data = {**known, "step": index, "state": state.value, "run": run, "selected": chosen}
        self.notebook.write(log.STEP, f"step {index + 1} {state.value}: {text}", data)
        record = StepRecord(state, run, now)
        panel.attempt = replace(attempt, steps={**attempt.steps, index: record}, selected=chosen)


def _known(session: Session, procedure: str, place: tuple[str, str], now: float) -> Attempt | None:
    """The attempt in the journal to go on with; None when there is none, or nobody can say."""
    if session.desk is None:
        return None
    try:
        events = session.desk.journal.events(types=log.READ)
    except JournalError:
        return None
    return log.current(log.attempts(events, *place), procedure, now)


def _verify(session: Session, runs: set[str]) -> int:
    """Look at the unfinished ones of these runs; how many have an outcome now."""
    try:
        unfinished = [run for run in session.executor.unfinished() if run.id in runs]
    except RecorderFailed:
        return 0
    return sum(session.executor.verify_unknown(run).state is not State.UNKNOWN for run in unfinished)
