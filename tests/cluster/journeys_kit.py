"""A person at the console, for the journeys: opens procedures, does steps, gives a yes, reads what came of it.

Invariant: everything goes through keys and what the terminal shows; files and servers are only looked at as oracles.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.console_kit import LARGE, ROOT, Console, _home
from tests.cluster.rig.rig import Rig

CONTEXT = "planc-test"
ESCAPE, ENTER, TAB = "\x1b", "\r", "\t"
CTRL_G, CTRL_U = "\x07", "\x15"
SOON = (
    "queue-long", "latency-high", "errors-high", "errors-major", "log-errors", "crash-loops", "memory-grows", "locks",
    "budget-burns", "rollout-stuck",
)  # fmt: skip  # rows as a person reads them


def overlay(rig: Rig, folder: Path, quiet: Sequence[str] = (), **more: Any) -> Path:
    """The rig's playbook with English texts, findings that speak up at once, and short proofs of recovery.

    quiet: rules that a test is not about, because the rig has no consumers or an earlier test is still in a window."""
    file = yaml.safe_load(Path(rig.endpoints.playbook).read_text(encoding="utf-8"))
    names = ("service-down", "high-latency", "high-error-rate", "memory-leak", "database-trouble")
    file |= {
        "rules": [{"id": name, "for": "24h" if name in quiet else "2s"} for name in dict.fromkeys((*SOON, *quiet))]
    }
    file |= {"language": "en", "procedures": [{"id": name, "recovered_for": "3s"} for name in names], **more}
    path = folder / "playbook.yaml"
    path.write_text(yaml.safe_dump(file), encoding="utf-8")
    return path


class Person:
    """One person with one console."""

    def __init__(self, rig: Rig, home: Path, playbook: Path, size: tuple[int, int] = LARGE, **environ: str) -> None:
        self._home = home
        self._playbook = playbook
        self.console = Console(
            home, "--kubeconfig", rig.endpoints.kubeconfig, "--context", CONTEXT, "--playbook", str(playbook),
            size=size, **environ,
        )  # fmt: skip  # rows as a person reads them

    def __enter__(self) -> Person:
        self.console.wait_for(CONTEXT, 20)
        return self

    def __exit__(self, *_: object) -> None:
        self.console.__exit__(None, None, None)

    # --- keys and looks -----------------------------------------------------------------------------------------

    def press(self, keys: str) -> None:
        self.console.press(keys)

    def sees(self, text: str, seconds: float = 20.0) -> None:
        self.console.wait_for(text, seconds)

    def matches(self, pattern: str, seconds: float = 20.0) -> str:
        """The first text on the screen that matches."""
        self.console.wait(lambda: re.search(pattern, self.console.screen()) is not None, seconds, pattern)
        found = re.search(pattern, self.console.screen())
        assert found is not None
        return found.group(0)

    def fill(self, title: str, *values: str) -> None:
        """Type over the lines of a form; an empty value leaves what is there."""
        self.sees(title)
        for value in values:
            if value:
                self.types(value)
            self.press(ENTER)
            time.sleep(0.15)

    def types(self, text: str) -> None:
        """Type over what a field holds, as slowly as people do."""
        time.sleep(0.15)
        self.press(CTRL_U)
        time.sleep(0.15)
        self.press(text)
        time.sleep(0.15)

    def leaves(self) -> None:
        """Escape; what follows at once would be taken for alt and a key."""
        self.press(ESCAPE)
        time.sleep(0.5)

    def command(self, text: str) -> None:
        """The command line."""
        self.press(":")
        self.console.wait(lambda: self.console.lines()[-1].strip() == "command", 5, "the command line")
        self.press(text)
        time.sleep(0.2)
        self.press(ENTER)
        time.sleep(0.3)

    # --- procedures ---------------------------------------------------------------------------------------------

    def opens(self, procedure: str) -> None:
        """The checklist of a procedure, chosen from the list."""
        self.press("o")
        self.sees("procedure: type to narrow")
        self.press(procedure + ENTER)
        self.matches(rf"┬─{procedure}|─{procedure} ─")

    def step(self, number: int, says: str = "") -> None:
        """Start a step of the checklist that opens a card, and say yes to it."""
        self.press(str(number))
        self.agrees(says)

    def agrees(self, says: str = "") -> None:
        """Read the card, wait until y counts, press it."""
        self.sees("[ Cancel ]", 30)
        if says:
            self.sees(says)
        self.sees("y  go", 5)
        time.sleep(0.7)
        self.press("y")
        self.console.wait_gone("[ Cancel ]")

    def done(self, number: int, seconds: float = 90.0) -> None:
        """Wait until the step shows as done."""
        self.matches(rf"● {number} ", seconds)

    def journal(self, *types: str) -> list[dict[str, Any]]:
        """Bodies of the journal's entries, oldest first, read past planc."""
        path = next(self._home.rglob("journal.db"))
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            rows = db.execute("SELECT type, body FROM entries ORDER BY seq").fetchall()
        return [json.loads(body) | {"type": kind} for kind, body in rows if not types or kind in types]


def planc(home: Path, playbook: Path, *arguments: str, code: int = 0, **environ: str) -> Any:
    """Run a command of planc as a script does; its JSON answer."""
    env = {**os.environ, **_home(home), "PYTHONPATH": str(ROOT), "PLANC_PLAYBOOK": str(playbook), **environ}
    command = [sys.executable, "-c", "from planc_tui.cli import main; main()", *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == code, (arguments, done.stdout, done.stderr)
    return json.loads(done.stdout) if "json" in arguments else done.stdout


def answer_of(text: str) -> str:
    """The word that a card asks for."""
    return text.removeprefix("type ").removesuffix(" to unlock y")


def deployment(rig: Rig, name: str) -> Mapping[str, Any]:
    """A Deployment as kubectl sees it."""
    found = json.loads(rig.kubectl("get", "deployment", name, "-n", rig.endpoints.namespace, "-o", "json"))
    assert isinstance(found, dict)
    return found


def env_of(rig: Rig, name: str) -> dict[str, str]:
    """Environment of the first container of a Deployment."""
    container = deployment(rig, name)["spec"]["template"]["spec"]["containers"][0]
    return {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}


@contextlib.contextmanager
def escalating(home: Path, playbook: Path) -> Iterator[None]:
    """`planc escalator` for as long as the block lasts."""
    env = {**os.environ, **_home(home), "PYTHONPATH": str(ROOT), "PLANC_PLAYBOOK": str(playbook)}
    command = [sys.executable, "-c", "from planc_tui.cli import main; main()", "escalator"]
    running = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        running.terminate()
        running.wait(15)
