"""What the tests of the real console look for: the panes, their states, and how soon a key is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.console_kit import LARGE, Console
from tests.cluster.rig.rig import Rig

KUBE = ("Pods", "HPA", "Rollouts", "Nodes", "Top CPU", "Top memory", "Errors", "Events")
OTHERS = ("Queues", "Database", "SLO", "Alerts")
BACK_WITHIN = 10.0
# The aim; one key in twenty may take longer where other tests and their clusters share the processors.
KEY_WITHIN, SLOWEST_KEY_WITHIN = 0.1, 0.3


@contextmanager
def console_on(rig: Rig, home: Path, *arguments: str, size: tuple[int, int] = LARGE) -> Iterator[Console]:
    """A console on the rig with its playbook."""
    with Console(home, "--playbook", rig.endpoints.playbook, *arguments, size=size) as console:
        yield console


def live(console: Console, panes: tuple[str, ...]) -> bool:
    return all(console.title(pane).rstrip().endswith("●") for pane in panes)


def stale(console: Console, panes: tuple[str, ...]) -> bool:
    return all("◌ stale" in console.title(pane) for pane in panes)


def all_live(console: Console, seconds: float = 25.0) -> float:
    return console.wait(lambda: live(console, KUBE + OTHERS), seconds, "every pane live")


def answers_keys(console: Console, when: str, record: Callable[[str, object], None]) -> None:
    latency = console.latency(("\t", "\x1b[Z"))  # the next pane and back: that moves, whether or not there are rows
    record(f"keys while {when}", str(latency))
    assert latency.p50 < KEY_WITHIN, f"while {when}: {latency}"
    assert latency.p95 < SLOWEST_KEY_WITHIN, f"while {when}: {latency}"
