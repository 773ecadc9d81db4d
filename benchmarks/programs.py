"""The programs that are measured: how each is started, and how its screen is read.

Invariant: every program sees the same cluster, namespace and terminal; a screen is read by what a person would look at.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyte

from tests.cluster.rig.layout import Endpoints

POD = re.compile(r"\b(?:load|workflow-[a-z]+)-[0-9a-f]{6,10}-[a-z0-9]{5}\b")


@dataclass(frozen=True, slots=True)
class Program:
    """frame, rows, whole: whether a screen's text is a first painted frame, shows pods, and shows that all have come
    (None: shown by no program). cursor: a value that changes when the cursor moves. ready: keys to press first."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str]
    frame: Callable[[str], bool]
    rows: Callable[[str], bool]
    whole: Callable[[str], bool]
    cursor: Callable[[pyte.Screen], object]
    ready: str = ""
    frame_name: str = ""


def base_environment(endpoints: Endpoints, home: Path) -> dict[str, str]:
    """The environment of every program: a terminal with colours and a home of its own."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL")}
    return {
        **kept,
        "LANG": kept.get("LANG", "C.UTF-8"),
        "PATH": f"{endpoints.bin}:{kept.get('PATH', '')}",
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "HOME": str(home),
        "KUBECONFIG": endpoints.kubeconfig,
    }


def shows_pods(text: str) -> bool:
    """Whether at least three running pods are on the screen."""
    return len([line for line in text.splitlines() if POD.search(line) and "Running" in line]) >= 3


def planc(endpoints: Endpoints, home: Path, pods: int) -> Program:
    """The war room with every pane."""
    executable = Path(sys.executable).with_name("planc")
    return Program(
        name="planc",
        command=(str(executable), "--playbook", endpoints.playbook),
        environment=base_environment(endpoints, home),
        frame=lambda text: "Pods" in text and "Nodes" in text,
        rows=shows_pods,
        whole=lambda text: ready_pods(text) >= pods * 0.99,
        cursor=planc_cursor,
    )


def ready_pods(text: str) -> int:
    """Ready pods in the title of the pods pane, 0 while the list is arriving.

    >>> ready_pods("1 Pods  4,999/5,000 ready"), ready_pods("1 Pods  500 of 5,000")
    (4999, 0)
    """
    found = re.search(r"Pods\D*([\d,]+)/[\d,]+ ready", text)
    return int(found[1].replace(",", "")) if found else 0


def planc_cursor(screen: pyte.Screen) -> object:
    """The line with the cursor's mark, and the object on it."""
    for y, line in enumerate(screen.display):
        if line.startswith("›"):
            found = POD.search(line)
            return y, found[0] if found else line[:30]
    return None


def k9s(endpoints: Endpoints, home: Path, pods: int) -> Program | None:
    """k9s on the pods of the namespace; None when it is not there."""
    executable = shutil.which("k9s", path=f"{endpoints.bin}:{os.environ.get('PATH', '')}")
    if executable is None:
        return None
    options = ("--headless", "--logoless", "--splashless", "--readonly", "-n", endpoints.namespace, "-c", "pods")
    return Program(
        name="k9s",
        command=(executable, *options),
        environment={**base_environment(endpoints, home), "K9S_LOGS_DIR": str(home)},
        frame=lambda text: bool(text.strip()),
        rows=shows_pods,
        whole=lambda text: k9s_count(text) >= pods * 0.99,
        cursor=k9s_cursor,
    )


def k9s_count(text: str) -> int:
    """Pods in the title of k9s' table.

    >>> k9s_count("── pods(workflow-scalability)[5000] ──")
    5000
    """
    found = re.search(r"\)\[([\d,]+)\]", text)
    return int(found[1].replace(",", "")) if found else 0


def k9s_cursor(screen: pyte.Screen) -> object:
    """The line whose background differs from the usual one of lines with a pod, and the pod on it."""
    grounds: dict[str, list[int]] = {}
    for y, line in enumerate(screen.display):
        found = POD.search(line)
        if found:
            cell = screen.buffer[y][found.start()]
            grounds.setdefault(f"{cell.bg}/{cell.reverse}", []).append(y)
    lone = min(grounds.values(), key=len, default=[])
    if len(lone) != 1:
        return None
    found = POD.search(screen.display[lone[0]])
    return lone[0], found[0] if found else ""


def temporary_home() -> Path:
    """A home without anybody's settings."""
    return Path(tempfile.mkdtemp(prefix="planc-bench-"))
