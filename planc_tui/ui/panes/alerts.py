"""What fires in Alertmanager, worst first; what is silenced stays visible, and quiet.

Invariant: a silenced or inhibited alert never looks like one that reaches somebody, and never disappears.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from planc_tui.core.age import coarse_age, utc
from planc_tui.core.alerts import Alert, Silence
from planc_tui.core.store import Topic
from planc_tui.core.table import Cell, Column, Target, Tone
from planc_tui.core.text import clean
from planc_tui.sources.alerts import ALERTS
from planc_tui.ui.panes.base import Option, Pane, Summary, View

_CRITICAL = frozenset({"critical", "page", "p0", "p1", "emergency", "error"})
_QUIET = frozenset({"info", "none", "debug"})
_MARKS = {Tone.CRIT: "✖", Tone.WARN: "▲", Tone.NORMAL: "●", Tone.DIM: "–"}


class AlertsPane(Pane[Alert]):
    """Alerts of Alertmanager."""

    id = "alerts"
    title = "Alerts"
    aliases = ("alert", "alerts", "am")
    topics: ClassVar[tuple[Topic[Any], ...]] = (ALERTS,)
    columns = (
        Column("mark", "", 1),
        Column("name", "ALERT", 20, flex=1),
        Column("severity", "SEVERITY", 9, priority=1),
        Column("where", "WHERE", 16, flex=1, priority=2),
        Column("age", "SINCE", 5, right=True),
        Column("summary", "SAYS", 24, flex=2, priority=3),
    )
    sort_keys = {"N": "name", "A": "age"}
    options = (Option("silenced", "s", "show silenced and inhibited alerts", True),)

    def items(self, view: View) -> Sequence[Alert]:
        report = view.value(ALERTS)
        if report is None:
            return ()
        shown = [alert for alert in report.alerts if alert.firing or view.options.get("silenced", True)]
        return sorted(shown, key=lambda alert: (_rank(alert), -alert.started, alert.fingerprint))

    def identity(self, item: Alert) -> str:
        return item.fingerprint

    def cells(self, item: Alert, view: View) -> Sequence[Cell]:
        tone = self.tone(item)
        return (
            Cell(_MARKS[tone], tone),
            Cell(clean(item.name, 200), tone),
            Cell(_word(item), tone),
            Cell(_where(item), Tone.DIM),
            Cell(coarse_age(view.now - item.started), Tone.DIM),
            Cell(clean(item.summary, 500), tone),
        )

    def summary(self, view: View) -> Summary:
        report = view.value(ALERTS)
        if report is None:
            return Summary("")
        firing = [alert for alert in report.alerts if alert.firing]
        quiet = len(report.alerts) - len(firing)
        parts = [f"{len(firing)} firing"] if firing else []
        parts += [f"{quiet} silenced"] if quiet else []
        tone = min((self.tone(alert) for alert in firing), key=_TONES.index, default=Tone.NORMAL)
        return Summary(" · ".join(parts) or "none firing", tone)

    def target(self, item: Alert, view: View) -> Target | None:
        return Target("Alert", clean(item.name, 200), item.labels.get("namespace", ""), item.fingerprint, view.context)

    def tone(self, item: Alert) -> Tone:
        return _TONES[_rank(item)]

    def sort_value(self, item: Alert, column: str) -> Any:
        return -item.started if column == "age" else self.text(item, column)

    def text(self, item: Alert, column: str) -> str:
        match column:
            case "mark" | "severity":
                return _word(item)
            case "where":
                return _where(item)
            case "summary":
                return clean(item.summary, 500)
            case "age":
                return utc(item.started)
        return clean(item.name, 200)

    def labels(self, item: Alert) -> Mapping[str, str]:
        return item.labels

    def detail(self, item: Alert, view: View) -> tuple[str, ...]:
        lines = [f"{item.name}: {_word(item)}, for {coarse_age(view.now - item.started)}", "", "labels"]
        lines += [f"  {name}={value}" for name, value in sorted(item.labels.items())]
        lines += ["", "annotations", *(f"  {name}: {value}" for name, value in sorted(item.annotations.items()))]
        report = view.value(ALERTS)
        known = {silence.id: silence for silence in report.silences} if report is not None else {}
        for name in item.silenced_by:
            lines += ["", *_silence(name, known.get(name))]
        if item.source:
            lines += ["", f"from {item.source}"]
        return tuple(clean(line) for line in lines)

    def empty(self, view: View) -> str:
        return "nothing fires"


_TONES = (Tone.CRIT, Tone.WARN, Tone.NORMAL, Tone.DIM)


def _silence(name: str, silence: Silence | None) -> tuple[str, ...]:
    if silence is None:
        return (f"silenced by {name}: planc has not read by whom",)
    return f"silenced by {silence.by}: {silence.comment}", f"  {name}  {', '.join(map(str, silence.matchers))}"


def _rank(alert: Alert) -> int:
    """0 is the worst; what reaches nobody comes last."""
    if not alert.firing:
        return 3
    severity = alert.severity.lower()
    return 0 if severity in _CRITICAL else 2 if severity in _QUIET else 1


def _word(alert: Alert) -> str:
    if alert.silenced_by:
        return "silenced"
    if alert.inhibited_by:
        return "inhibited"
    return clean(alert.severity, 40) or "firing"


def _where(alert: Alert) -> str:
    found = (alert.labels.get(name, "") for name in ("namespace", "service", "deployment", "pod", "instance", "job"))
    return clean("/".join([value for value in found if value][:2]), 200)
