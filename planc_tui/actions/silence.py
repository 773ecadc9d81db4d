"""Silence the alerts that a row stands for, and end a silence.

Invariant: the card counts exactly the alerts that will be quiet; no silence is made without a matcher that names
something, and none lasts longer than asked.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from planc_tui.actions.base import (
    Action,
    Change,
    Drift,
    Outcome,
    Param,
    Plan,
    Ports,
    Receipt,
    Refusal,
    Report,
    Risk,
    Verdict,
)
from planc_tui.core.alerts import SILENCE_DEFAULT, Alert, Matcher, matchers_for, muted, parse_matcher, problem
from planc_tui.core.ports import Rejected
from planc_tui.core.table import Target
from planc_tui.core.text import clean

SHOWN = 6


class SilenceAlert(Action):
    """Keep the alerts that match quiet for a while."""

    id = "silence"
    title = "Silence alerts"
    key = "m"
    risk = Risk.MEDIUM
    kinds = ("Alert",)
    params = (
        Param("minutes", "minutes", kind="int", default=f"{SILENCE_DEFAULT / 60:.0f}"),
        Param("matchers", "matchers", help="with ; between them; the alert's own name and place when left empty"),
    )
    checked = "a matcher that names something; what would be quiet now, counted"
    undone = "ends the silence; it also ends with the incident"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        report = ports.alerts().report()
        alert = next((known for known in report.alerts if known.fingerprint == target.uid), None)
        typed = args.get("matchers", "").strip()
        if alert is None and not typed:
            raise Rejected("the alert is no longer firing: there is nothing to silence")
        try:
            matchers = _typed(typed) if typed else matchers_for(_required(alert))
        except ValueError as error:
            raise Rejected(str(error)) from None
        quiet = muted(report.alerts, matchers)
        return {
            "matchers": list(map(str, matchers)),
            "muted": [_label(one) for one in quiet if one.firing],
            "already": sum(not one.firing for one in quiet),
            "all": len(report.alerts),
            "context": ports.cluster.context,
        }

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        try:
            minutes = float(args.get("minutes", "").strip() or SILENCE_DEFAULT / 60)
        except ValueError:
            return Refusal("minutes must be a number")
        matchers = _typed("; ".join(seen["matchers"]))
        wrong = problem(matchers, minutes * 60)
        if wrong:
            return Refusal(wrong)
        names = seen["muted"]
        more = (f"and {len(names) - SHOWN} more",) if len(names) > SHOWN else ()
        comment = ("--author=planc", f"--comment={_comment(target)}")
        whole = len(names) == seen["all"] > 1
        return Plan(
            action=self.id,
            title=self.title,
            context=seen["context"],
            namespace=target.namespace,
            targets=(target,),
            changes=(Change("silence", "", ", ".join(seen["matchers"])), Change("ends", "", f"in {minutes:g} min")),
            risk=self.risk,
            blast=(f"{len(names)} of {seen['all']} alerts become quiet", *names[:SHOWN], *more),
            warnings=("this silences everything that fires now",) if whole else (),
            equivalents=(
                shlex.join(
                    ["amtool", "silence", "add", f"--duration={minutes * 60:.0f}s", *comment, *seen["matchers"]]
                ),
            ),
            undo=self.undone,
            deadline=30.0,
            payload={"matchers": seen["matchers"], "seconds": minutes * 60, "muted": len(names)},
        )

    def recheck(self, ports: Ports, plan: Plan) -> Drift | None:
        matchers = _typed("; ".join(plan.payload["matchers"]))
        now = sum(alert.firing for alert in muted(ports.alerts().report().alerts, matchers))
        if now > plan.payload["muted"]:
            return Drift(f"{now} alerts match now, not {plan.payload['muted']}")
        return None

    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        now = ports.clock.now()
        ends = now + float(plan.payload["seconds"])
        matchers = _typed("; ".join(plan.payload["matchers"]))
        identifier = ports.alerts().silence(matchers, now, ends, "planc", _comment(plan.targets[0]))
        return Receipt({"silence": identifier, "until": ends})

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        identifier = receipt.data["silence"]
        if any(silence.id == identifier for silence in ports.alerts().report().silences):
            return Verdict(Outcome.RECOVERED, f"silence {identifier[:8]} is active")
        return Verdict(Outcome.PENDING, "the silence is not listed yet")

    def undo(self, plan: Plan, receipt: Receipt) -> tuple[str, Target, Mapping[str, str]] | None:
        return "silence-end", plan.targets[0], {"silence": str(receipt.data["silence"])}


class SilenceEnd(Action):
    """End a silence before its time."""

    id = "silence-end"
    title = "End silence"
    risk = Risk.LOW
    kinds = ("Alert",)
    params = (Param("silence", "id of the silence; the alert's own when left empty"),)
    checked = "the silence is active"
    undone = "silence again"

    def inspect(self, ports: Ports, target: Target, args: Mapping[str, str]) -> Mapping[str, Any]:
        report = ports.alerts().report()
        alert = next((known for known in report.alerts if known.fingerprint == target.uid), None)
        own = alert.silenced_by[0] if alert is not None and alert.silenced_by else ""
        wanted = args.get("silence", "").strip() or own
        found = next((silence for silence in report.silences if silence.id == wanted), None)
        return {
            "silence": wanted,
            "matchers": [] if found is None else list(map(str, found.matchers)),
            "by": "" if found is None else found.by,
            "context": ports.cluster.context,
        }

    def plan(self, seen: Mapping[str, Any], target: Target, args: Mapping[str, str]) -> Plan | Refusal:
        if not seen["matchers"]:
            return Refusal("there is no such silence" if seen["silence"] else "this alert is not silenced")
        return Plan(
            action=self.id,
            title=self.title,
            context=seen["context"],
            namespace=target.namespace,
            targets=(target,),
            changes=(Change("silence", ", ".join(seen["matchers"]), "ended"),),
            risk=self.risk,
            blast=(f"made by {clean(seen['by'], 100)}: what still fires reaches people again",),
            equivalents=(shlex.join(["amtool", "silence", "expire", seen["silence"]]),),
            undo=self.undone,
            deadline=30.0,
            payload={"silence": seen["silence"]},
        )

    def execute(self, ports: Ports, plan: Plan, report: Report) -> Receipt:
        ports.alerts().expire(plan.payload["silence"])
        return Receipt({"ended": plan.payload["silence"]})

    def verify(self, ports: Ports, plan: Plan, receipt: Receipt) -> Verdict:
        if any(silence.id == plan.payload["silence"] for silence in ports.alerts().report().silences):
            return Verdict(Outcome.PENDING, "still listed")
        return Verdict(Outcome.RECOVERED, "ended")


def _comment(target: Target) -> str:
    return clean(f"planc: {target.name}", 200)


def _typed(text: str) -> Sequence[Matcher]:
    """Matchers as typed, with ; between them. Raises ValueError."""
    return tuple(parse_matcher(part) for part in text.split(";") if part.strip())


def _required(alert: Alert | None) -> Alert:
    if alert is None:
        raise ValueError("the alert is no longer firing")
    return alert


def _label(alert: Alert) -> str:
    where = alert.labels.get("namespace", "")
    return clean(f"{alert.name} {where}".strip(), 80)
