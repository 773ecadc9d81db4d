"""The keys of the war room that act: actions, procedures, the incident, arming.

Invariant: an action meets the row under the cursor, the marked rows, or the playbook's own object, by their identity;
where there is none, the reason is said.
"""

from __future__ import annotations

from collections.abc import Mapping

from planc_tui.actions.base import Access, Action
from planc_tui.actions.kube import needed
from planc_tui.actions.registry import load as load_actions
from planc_tui.core.ports import PortError
from planc_tui.core.table import Target, Tone
from planc_tui.core.text import clean
from planc_tui.desk.feed import DESK
from planc_tui.playbook.model import Procedure
from planc_tui.sources.findings import FINDINGS
from planc_tui.ui.acting import act, default_target, offered
from planc_tui.ui.declaring import declare, take_up
from planc_tui.ui.keys import show_key
from planc_tui.ui.screens.incident import IncidentScreen
from planc_tui.ui.screens.picker import Picker
from planc_tui.ui.screens.room_moves import RoomMoves
from planc_tui.ui.screens.runs import RunsScreen
from planc_tui.ui.widgets.procedure_panel import ProcedurePanel


class RoomActs(RoomMoves):
    """The keys that act."""

    # --- acting -------------------------------------------------------------------------------------------------

    def _act(self, action_id: str) -> None:
        """Start an action on the row under the cursor (or the marked rows), or on the playbook's own object."""
        action, session = load_actions()[0][action_id], self.planc.session
        if session is None:
            self.show_message("not connected: nothing can be changed now", Tone.WARN)
            return
        targets = [target for target in self.pane.targets() if target.kind in action.kinds]
        if not targets:
            own = self._own_target(action)
            targets = [own] if own is not None else []
        if not targets:
            self.show_message(f"{action.title} needs a {action.kinds[0].lower()}: choose its row", Tone.WARN)
            return
        act(self.planc, action_id, targets)

    def do_actions(self, _: str = "") -> None:
        """A menu of what can be done about this row, and of what needs no row."""
        target = self.pane.target()
        actions = {
            f"{action.title}  ({show_key(action.key)})" if action.key else action.title: action.id
            for action in offered("" if target is None else target.kind)
        }
        title = "act" if target is None else f"{target.kind.lower()}/{clean(target.name, 40)}"
        picker = Picker(title, "", tuple(actions))
        self.planc.push_screen(picker, lambda chosen: self._act(actions[chosen]) if chosen in actions else None)
        self._shade(picker, actions, target)

    def _shade(self, picker: Picker, actions: Mapping[str, str], target: Target | None) -> None:
        """What one may not do turns grey, with the reason, as soon as the API server has said so."""
        session = self.planc.session
        if session is None:
            return
        wanted: dict[str, tuple[Access, ...]] = {}
        for word, action_id in actions.items():
            action = load_actions()[0][action_id]
            object_ = target if target is not None and target.kind in action.kinds else self._own_target(action)
            if object_ is not None and action.needs:
                wanted[word] = needed(action, object_)

        def answered(refused: dict[str, str] | PortError) -> None:
            if not isinstance(refused, PortError) and picker.is_attached:
                picker.shade(refused)

        self.planc.off_thread(lambda: session.executor.refused(wanted), answered, "permissions")

    def _own_target(self, action: Action) -> Target | None:
        """The playbook's own object that the action would take."""
        session = self.planc.session
        if session is None:
            return None
        identity = session.identity
        found = (default_target(session.playbook, kind, identity.namespace, identity.context) for kind in action.kinds)
        return next((one for one in found if one is not None), None)

    # --- procedures ---------------------------------------------------------------------------------------------

    def do_procedures(self, name: str = "") -> None:
        """Choose a procedure; those that the findings name come first."""
        session = self.planc.session
        if session is None:
            self.show_message("not connected", Tone.WARN)
            return
        if self.guide.open and not name:
            self.set_focus(self.query_one(ProcedurePanel))
            return
        named = [finding.procedure for finding in self.planc.store.get(FINDINGS).value or ()]
        order = sorted(session.playbook.procedures, key=lambda p: named.index(p.id) if p.id in named else len(named))
        titles = {f"{p.title.of('en')}  {p.severity}".rstrip(): p for p in order}
        found = session.playbook.procedure(name) if name else None
        if found is not None:
            self._open_procedure(found)
            return
        picker = Picker("procedure", "", tuple(titles))
        self.planc.push_screen(
            picker, lambda chosen: self._open_procedure(titles[chosen]) if chosen in titles else None
        )

    def _open_procedure(self, procedure: Procedure) -> None:
        self.guide.show(procedure)
        self.place_procedure()
        self.set_focus(self.query_one(ProcedurePanel))

    def do_step_up(self, _: str = "") -> None:
        self.query_one(ProcedurePanel).move(-1)

    def do_step_down(self, _: str = "") -> None:
        self.query_one(ProcedurePanel).move(1)

    def do_step_run(self, _: str = "") -> None:
        self.guide.run()

    def do_step_skip(self, _: str = "") -> None:
        self.guide.skip()

    def do_step_again(self, _: str = "") -> None:
        self.guide.again()

    def do_step_panes(self, _: str = "") -> None:
        self.set_focus(self.pane)

    def do_step_close(self, _: str = "") -> None:
        self.guide.close()
        self.set_focus(self.pane)
        self.place_procedure()

    def place_procedure(self) -> None:
        """Make room for the checklist, or give it back."""
        raise NotImplementedError  # Room places; a Textual screen cannot be an ABC too

    # --- incident -----------------------------------------------------------------------------------------------

    def do_incident(self, _: str = "") -> None:
        """The current incident; the declare form where there is none."""
        session, state = self.planc.session, self.planc.store.get(DESK).value
        if session is None or session.desk is None or state is None or state.incident is None:
            declare(self.planc)
            return
        self.planc.push_screen(IncidentScreen(session.desk, state.incident))

    def do_declare(self, _: str = "") -> None:
        declare(self.planc)

    def do_suspect(self, _: str = "") -> None:
        declare(self.planc, suspected=True)

    def do_drill(self, _: str = "") -> None:
        declare(self.planc, drill=True)

    def do_take_up(self, _: str = "") -> None:
        take_up(self.planc)

    def do_runs(self, _: str = "") -> None:
        self.planc.push_screen(RunsScreen())

    def do_arm(self, _: str = "") -> None:
        session = self.planc.session
        if session is None:
            self.show_message("not connected", Tone.WARN)
        elif session.arming.mode().read_only:
            session.arming.arm()
            self.show_message("armed: changes are possible now, every one still asks", Tone.WARN)
        else:
            session.arming.disarm()
            self.show_message("read-only: nothing can be changed until ! is pressed", Tone.OK)
        self.tick()

    def tick(self) -> None:
        """Draw again what time and mode change."""
        raise NotImplementedError  # Room draws; a Textual screen cannot be an ABC too
