"""Help, statistics and findings as lines, made from the registry and from values.

Invariant: help names exactly the keys that work; nothing in it is written by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from planc_tui.core.allowance import BUDGET
from planc_tui.core.findings import Finding
from planc_tui.core.health import Health
from planc_tui.core.stats import SourceLoad
from planc_tui.core.table import Tone
from planc_tui.core.text import clean, fit
from planc_tui.playbook.model import Playbook
from planc_tui.ui.keys import GROUPS, ROOM, VIEW_TITLES, Command, Keymap, show_key
from planc_tui.ui.screens.lines_screen import Row
from planc_tui.ui.widgets.procedure_panel import step_text


def help_rows(keymap: Keymap, view: str) -> list[Row]:
    """Every command of a view, by group. view: a pane's view, whose own keys come first."""
    rows: list[Row] = []
    here = [c for c in keymap.commands if view in c.views or ROOM in c.views]
    order = ["This pane", *(group for group in GROUPS if group != "This pane")]
    for group in [*order, *sorted({c.group for c in here} - set(order))]:
        rows += _section(group, [c for c in here if c.group == group])
    for other, title in VIEW_TITLES.items():
        rows += _section(title, [c for c in keymap.commands if other in c.views and ROOM not in c.views and c.keys])
    rows += [("States of a source", Tone.ACCENT)]
    rows += [(f"  {health.glyph}  {health.value}", Tone.NORMAL) for health in Health]
    rows += [
        ("", Tone.DIM),
        ("Filter", Tone.ACCENT),
        ("  word              rows that have it in any column", Tone.NORMAL),
        ("  status:crash      rows that have it in this column", Tone.NORMAL),
        ("  !node:gpu         rows that do not", Tone.NORMAL),
        ("  label:app=web     rows with this label", Tone.NORMAL),
        ("  re:^app-          rows that match this regular expression", Tone.NORMAL),
        ("", Tone.DIM),
        ("planc asks before it changes anything: no key acts at once.", Tone.DIM),
    ]
    return rows


def _section(title: str, commands: Sequence[Command]) -> list[Row]:
    if not commands:
        return []
    return [(title, Tone.ACCENT), *(_command_row(command) for command in commands), ("", Tone.DIM)]


def _command_row(command: Command) -> Row:
    keys = "  ".join(show_key(key) for key in command.keys)
    names = "  ".join(f":{name}" for name in command.names)
    danger = "  (asks first)" if command.danger else ""
    return f"  {fit(keys, 22)}{command.title}{danger}" + (f"   {names}" if names else ""), Tone.NORMAL


def alias_rows(keymap: Keymap) -> list[Row]:
    """Every word of the command line."""
    commands = sorted((c for c in keymap.commands if c.names), key=lambda c: c.names[0])
    return [(fit("  " + " ".join(f":{name}" for name in c.names), 40) + c.title, Tone.NORMAL) for c in commands]


def stats_rows(loads: Sequence[SourceLoad]) -> list[Row]:
    """Requests per source, and how they compare with the budget."""
    total = sum(load.last_minute for load in loads if load.budgeted)
    over = total > BUDGET
    rows: list[Row] = [
        (f"{total} requests in the last minute, of {BUDGET} planc allows itself", Tone.WARN if over else Tone.NORMAL),
        (
            "watches and followed logs stay open: neither they nor the lists they begin with are counted",
            Tone.DIM,
        ),
        ("", Tone.DIM),
        (f"  {'SOURCE':<24}{'LAST MINUTE':>12}{'IN ALL':>10}{'STREAMS':>10}{'RECEIVED':>14}", Tone.DIM),
    ]
    for load in sorted(loads, key=lambda load: -load.last_minute):
        name = fit(clean(load.source), 24)
        received = _bytes(load.bytes_in)
        rows.append((f"  {name}{load.last_minute:>12,}{load.total:>10,}{load.streams:>10,}{received:>14}", Tone.NORMAL))
    return rows


def _bytes(count: int) -> str:
    """A size with one decimal.

    >>> _bytes(512), _bytes(2_500_000)
    ('512 B', '2.4 MiB')
    """
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


CHOSEN = "› "  # what the line of the chosen finding begins with


def finding_rows(
    findings: Sequence[Finding], playbook: Playbook, quiet: str, chosen: str, titles: Mapping[str, str]
) -> list[Row]:
    """Everything that is wrong, with what the playbook says to do. chosen: id of the finding under the cursor;
    titles: what the actions are called."""
    if not findings:
        return [(quiet, Tone.DIM)]
    rows: list[Row] = []
    for finding in findings:
        severe = finding.severity in ("P0", "P1")
        doubt = "" if finding.confirmed else "   ? not confirmed: what it rests on is not known now"
        glyph = "✖" if severe else "▲"
        cursor = CHOSEN if finding.id == chosen else "  "
        rows.append(
            (f"{cursor}{glyph} {finding.severity} {clean(finding.text)}{doubt}", Tone.CRIT if severe else Tone.WARN)
        )
        procedure = playbook.procedure(finding.procedure)
        if procedure is not None:
            rows.append((f"    procedure: {clean(procedure.title.of('en'))}", Tone.ACCENT))
            for number, step in enumerate(procedure.immediate, 1):
                rows.append((f"      {number}. {clean(step_text(step, titles))}", Tone.NORMAL))
        rows.append(("", Tone.DIM))
    return rows
