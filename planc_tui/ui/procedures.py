"""Going through a procedure: which step is next, what its key does, and what of it is written down.

Invariant: every change of a step is in the journal before it is on the screen, where there is a journal; a step that
acts takes the whole way through card and executor.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from planc_tui.actions.executor import Run, State
from planc_tui.actions.registry import load
from planc_tui.actions.runs import RUNS
from planc_tui.core.table import Target, Tone
from planc_tui.core.timeline import Draft
from planc_tui.incident import procedure as log
from planc_tui.incident.procedure import Attempt, StepRecord, StepState
from planc_tui.journal import JournalError
from planc_tui.playbook.model import Procedure, Step
from planc_tui.playbook.targets import target_of
from planc_tui.sources.findings import FINDINGS
from planc_tui.ui.acting import act
from planc_tui.ui.widgets.procedure_panel import ProcedurePanel, step_text, steps_of

if TYPE_CHECKING:
    from planc_tui.ui.screens.room import Room

_ENDED = {State.RECOVERED: StepState.DONE}


class Guide:
    """Leads through one procedure on the panel of the war room."""

    def __init__(self, room: Room, panel: ProcedurePanel) -> None:
        self._room = room
        self._panel = panel
        panel.titles = {action.id: action.title for action in load()[0].values()}

    @property
    def open(self) -> bool:
        """Whether a procedure is shown."""
        return self._panel.display

    def show(self, procedure: Procedure) -> None:
        """Open a procedure, going on where somebody stopped."""
        panel = self._panel
        panel.procedure, panel.note = procedure, ""
        panel.attempt = self._known(procedure) or self._begin(procedure)
        panel.cursor = min(panel.attempt.next_step, len(steps_of(procedure)) - 1)
        panel.display = True
        self.refresh()

    def close(self) -> None:
        """Take the panel away; the attempt stays open in the journal."""
        self._panel.display = False

    def refresh(self) -> None:
        """Follow findings and runs."""
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
        self._start(index, steps[index])
        panel.repaint()

    def skip(self) -> None:
        """Leave the step under the cursor out, or take it up again."""
        attempt = self._panel.attempt
        if attempt is not None:
            left_out = attempt.record(self._panel.cursor).state is StepState.SKIPPED
            self._write(self._panel.cursor, StepState.OPEN if left_out else StepState.SKIPPED)
            self._advance()

    def again(self) -> None:
        """Begin the procedure anew."""
        if self._panel.procedure is not None:
            self._panel.attempt = self._begin(self._panel.procedure)
            self._panel.cursor = 0
            self._panel.repaint()

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

    def _act(self, index: int, step: Step) -> None:
        planc, session = self._room.planc, self._room.planc.session
        if session is None:
            self._panel.note = "not connected: nothing can be changed now"
            return
        busy = self._unfinished_before(index)
        if busy:
            self._panel.note = f"step {busy} is still under way: wait for its outcome, or leave it out (space)"
            return
        identity = session.identity
        if step.target == "selected":
            target = self._selected(step)
        else:
            target = target_of(step, session.playbook, identity.namespace, identity.context)
        if target is None:
            kinds = load()[0][step.action].kinds if step.action in load()[0] else ()
            self._panel.note = f"choose a row first: this step needs a {' or '.join(k.lower() for k in kinds)}"
            return
        act(planc, step.action, [target], step.arguments(), started=partial(self._started, index, step, target))

    def _selected(self, step: Step) -> Target | None:
        """The object of the attempt's `selected` steps: fixed by the first of them, else the row under the cursor."""
        action, attempt = load()[0].get(step.action), self._panel.attempt
        if action is None or attempt is None:
            return None
        fixed = attempt.selected
        if fixed and fixed.get("kind") in action.kinds:
            return Target(**fixed)
        return next((target for target in self._room.pane.targets() if target.kind in action.kinds), None)

    def _started(self, index: int, step: Step, target: Target, run: Run) -> None:
        chosen: dict[str, str] = {}
        if step.target == "selected":
            chosen = {field: getattr(target, field) for field in ("kind", "name", "namespace", "uid", "context")}
        self._write(index, StepState.STARTED, run.id, chosen)

    def _unfinished_before(self, index: int) -> int:
        """Number of an earlier step whose action still runs, 0 when there is none."""
        attempt = self._panel.attempt
        if attempt is None:
            return 0
        running = [i for i in range(index) if attempt.record(i).state is StepState.STARTED]
        return running[0] + 1 if running else 0

    def _follow(self, run: Run) -> None:
        attempt = self._panel.attempt
        if attempt is None or not run.state.over:
            return
        for index, record in attempt.steps.items():
            if record.run == run.id and record.state is StepState.STARTED:
                self._write(index, _ENDED.get(run.state, StepState.FAILED), run.id)
                self._panel.note = "" if run.state is State.RECOVERED else f"step {index + 1}: {run.progress}"
                self._advance()
                return

    def _follow_wait(self) -> None:
        """A wait is over when its time has passed and everything before it is done."""
        attempt, procedure = self._panel.attempt, self._panel.procedure
        if attempt is None or procedure is None:
            return
        now = self._room.planc.clock.now()
        for index, step in enumerate(steps_of(procedure)):
            record = attempt.record(index)
            if step.wait and record.state is StepState.STARTED:
                left = step.wait - (now - record.at)
                self._panel.note = f"step {index + 1}: {left:.0f} s left at least" if left > 0 else ""
                if left <= 0 and not self._unfinished_before(index):
                    self._write(index, StepState.DONE)
                    self._advance()

    def _advance(self) -> None:
        panel = self._panel
        if panel.attempt is not None and panel.procedure is not None:
            panel.cursor = min(panel.attempt.next_step, len(steps_of(panel.procedure)) - 1)
            panel.repaint()

    # --- journal ------------------------------------------------------------------------------------------------

    def _place(self) -> tuple[str, str]:
        session = self._room.planc.session
        return ("", "") if session is None else (session.identity.context, session.identity.namespace)

    def _known(self, procedure: Procedure) -> Attempt | None:
        session = self._room.planc.session
        if session is None or session.desk is None:
            return None
        try:
            events = session.desk.journal.events(types=log.TYPES)
        except JournalError:
            return None
        found = log.attempts(events, *self._place())
        return log.current(found, procedure.id, self._room.planc.clock.now())

    def _begin(self, procedure: Procedure) -> Attempt:
        attempt = Attempt(uuid.uuid4().hex[:12], procedure.id, self._room.planc.clock.now())
        self._append(log.BEGUN, attempt, f"procedure {procedure.title.of('en')} begun", {})
        return attempt

    def _write(self, index: int, state: StepState, run: str = "", selected: Mapping[str, str] | None = None) -> None:
        panel = self._panel
        if panel.attempt is None or panel.procedure is None:
            return
        chosen = panel.attempt.selected or dict(selected or {})
        data = {"step": index, "state": state.value, "run": run, "selected": dict(chosen)}
        text = step_text(steps_of(panel.procedure)[index], panel.titles)
        self._append(log.STEP, panel.attempt, f"step {index + 1} {state.value}: {text}", data)
        record = StepRecord(state, run, self._room.planc.clock.now())
        panel.attempt = replace(panel.attempt, steps={**panel.attempt.steps, index: record}, selected=chosen)

    def _append(self, kind: str, attempt: Attempt, summary: str, data: Mapping[str, object]) -> None:
        session = self._room.planc.session
        if session is None or session.desk is None:
            return
        context, namespace = self._place()
        known = {"attempt": attempt.id, "procedure": attempt.procedure, "context": context, "namespace": namespace}
        incident = session.desk.board.current()
        open_one = incident.id if incident is not None and incident.state.active else ""
        try:
            session.desk.journal.append(Draft(open_one, kind, session.desk.actor, summary, {**known, **data}))
        except JournalError as error:
            self._room.show_message(f"not written down: {error.message}", Tone.WARN)
