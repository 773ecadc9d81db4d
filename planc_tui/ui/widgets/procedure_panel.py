"""A procedure as a checklist beside the live panes.

Invariant: nothing starts by itself; the cursor stands on the next step, and one key starts it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.containers import Container

from planc_tui.core.table import Tone
from planc_tui.core.text import cell_width, clean, fit
from planc_tui.incident.procedure import Attempt, StepState
from planc_tui.playbook.model import Procedure, Step
from planc_tui.ui import theme
from planc_tui.ui.widgets.lines import Line, LinesWidget, Painter

Row = tuple[str, Tone, int]  # text, tone, index of the step or -1

_TONES = {
    StepState.OPEN: Tone.NORMAL,
    StepState.STARTED: Tone.ACCENT,
    StepState.DONE: Tone.DIM,
    StepState.FAILED: Tone.CRIT,
    StepState.SKIPPED: Tone.DIM,
}


def steps_of(procedure: Procedure) -> tuple[Step, ...]:
    """Immediate steps, then the others; a step is known by its place in this list."""
    return (*procedure.immediate, *procedure.follow_up)


def step_text(step: Step, titles: Mapping[str, str], language: str = "en") -> str:
    """A step in words: what, on what, with what.

    >>> step_text(Step(action="scale", target="app", parameters={"replicas": 10}), {"scale": "Scale"})
    'Scale app replicas=10'
    """
    if step.action:
        arguments = " ".join(f"{key}={value}" for key, value in step.arguments().items())
        return " ".join(part for part in (titles.get(step.action, step.action), step.target, arguments) if part)
    if step.show:
        arguments = " ".join(f"{key} {value}" for key, value in step.arguments().items())
        return f"look at {step.show.replace('_', ' ')} {arguments}".rstrip()
    if step.wait:
        return f"wait at least {step.wait:.0f} s and until the rollout is complete"
    return step.text.of(language) if step.text is not None else ""


class Middle(Container):
    """Panes and checklist: side by side, or one below the other where the screen is narrow."""

    DEFAULT_CSS = """
    Middle { layout: horizontal; height: 1fr; }
    Middle.below { layout: vertical; }
    """


class ProcedurePanel(LinesWidget, can_focus=True):
    """Symptoms lit by the findings, then the steps in order."""

    DEFAULT_CSS = """
    ProcedurePanel { width: 50; height: 1fr; display: none; }
    .below ProcedurePanel { width: 100%; height: 11; }
    """

    def __init__(self) -> None:
        super().__init__(id="procedure")
        self.procedure: Procedure | None = None
        self.attempt: Attempt | None = None
        self.lit: frozenset[str] = frozenset()
        self.titles: Mapping[str, str] = {}
        self.note = ""
        self.cursor = 0
        self._top = 0
        self._rows: Sequence[Row] = ()

    def move(self, step: int) -> None:
        """Up or down by one step."""
        if self.procedure is not None:
            self.cursor = max(0, min(len(steps_of(self.procedure)) - 1, self.cursor + step))
            self.repaint()

    def prepare(self, width: int, height: int) -> None:
        self._rows = self._build_rows(width - 4)
        here = next((i for i, row in enumerate(self._rows) if row[2] == self.cursor), 0)
        room = height - 1
        if here < self._top or here >= self._top + room:
            self._top = max(0, here - room // 2)
        self._top = max(0, min(self._top, len(self._rows) - room))

    def _build_rows(self, width: int) -> list[Row]:
        procedure = self.procedure
        if procedure is None:
            return []
        rows: list[Row] = []
        for symptom in procedure.symptoms:
            lit = symptom.rule in self.lit
            rows.append((f"{'▲' if lit else '·'} {symptom.text.of('en')}", Tone.WARN if lit else Tone.DIM, -1))
        rows.append(("", Tone.DIM, -1))
        for index, step in enumerate(steps_of(procedure)):
            if index == len(procedure.immediate) and procedure.follow_up:
                rows.append(("then", Tone.DIM, -1))
            state = self.attempt.record(index).state if self.attempt is not None else StepState.OPEN
            text = f"{state.glyph} {index + 1} {step_text(step, self.titles)}" + (
                " (if needed)" if step.optional else ""
            )
            rows += [(line, _TONES[state], index) for line in _wrapped(clean(text), width, "    ")]
            why = step.why.of("en") if step.why is not None else ""
            if why and index == self.cursor:
                rows += [(line, Tone.DIM, -1) for line in _wrapped(clean(why), width, "    ", "    ")]
        if self.note:
            rows += [("", Tone.DIM, -1), *((line, Tone.WARN, -1) for line in _wrapped(clean(self.note), width, ""))]
        return rows

    def line(self, y: int, width: int) -> Line:
        rule = theme.style(theme.RULE)
        painter = Painter(width)
        if y == 0:
            title = self.procedure.title.of("en") if self.procedure is not None else ""
            here = theme.style(theme.ACCENT if self.has_focus else theme.BRIGHT, bold=True)
            painter.add("┬─", rule).add(clean(title), here).add(" ", rule)
            severity = f" {self.procedure.severity} " if self.procedure is not None and self.procedure.severity else ""
            return painter.to(width - cell_width(severity), rule, "─").add(severity, rule).finish(rule, "─")
        painter.add("│ ", rule)
        index = self._top + y - 1
        if index >= len(self._rows):
            return painter.finish(theme.style())
        text, tone, step = self._rows[index]
        ground = theme.SELECTED if step == self.cursor and self.has_focus else theme.BACKGROUND
        return painter.add(fit(text, width - 2), theme.tone_style(tone, ground)).finish(theme.style(background=ground))


def _wrapped(text: str, width: int, indent: str, first: str = "") -> list[str]:
    """Lines of at most `width` cells, broken at spaces, the later ones indented.

    >>> _wrapped("only when it was just deployed", 20, "    ", "  ")
    ['  only when it was', '    just deployed']
    """
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        if line and cell_width(line) + 1 + cell_width(word) > width:
            lines.append(line)
            line = indent + word
        else:
            line = f"{line} {word}" if line else first + word
    return [*lines, line]
