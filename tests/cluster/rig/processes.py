"""Starts, freezes and stops processes, and remembers exactly which ones.

Invariant: a signal goes only to a process whose pid and start time both equal what was recorded at its start, or to
one of its descendants. A pid that the kernel gave to somebody else since is never touched.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import json
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tests.cluster.rig.build import RigError, last_lines
from tests.cluster.rig.layout import CHECKOUT, write_private

TERM_GRACE_SECONDS = 8.0
DOWN_GRACE_SECONDS = 3.0
# Our own children, which only we can reap; most parts were started by an earlier command and are init's.
CHILDREN: dict[int, subprocess.Popen[bytes]] = {}
BASE_ENVIRONMENT = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class Spec:
    """How to start one part: command, extra environment, user (when we are root), log file, stop signal."""

    name: str
    command: list[str]
    log: str
    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: int = int(signal.SIGTERM)
    kept: bool = True
    """Whether the cluster needs it to run; a lock holder, say, may end by itself."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A part as written to processes.json; pid 0 means that it is stopped."""

    spec: Spec
    pid: int = 0
    start_ticks: int = 0


def start_ticks(pid: int) -> int | None:
    """Returns the process' start time in clock ticks since boot, None when it is gone or a zombie."""
    fields = stat_fields(pid)
    return None if fields is None or fields[0] == "Z" else int(fields[19])


def stat_fields(pid: int) -> list[str] | None:
    """Returns the fields of /proc/PID/stat from the state on; the command before may contain blanks."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def descendants(pid: int) -> list[int]:
    """Returns the pids of all processes below `pid`, children before grandchildren."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := stat_fields(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found: list[int] = []
    queue = [pid]
    while queue:
        below = children.get(queue.pop(0), [])
        found += below
        queue += below
    return found


class Registry:
    """The processes of one cluster, kept in STATE/processes.json."""

    def __init__(self, state: Path) -> None:
        self.path = state / "processes.json"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the state folder, so that two commands do not start or stop things at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.path.parent / "lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def read(self) -> dict[str, Recorded]:
        """Returns what is recorded, in order of start."""
        try:
            raw = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return {
            name: Recorded(Spec(**entry["spec"]), entry["pid"], entry["start_ticks"]) for name, entry in raw.items()
        }

    def write(self, recorded: dict[str, Recorded]) -> None:
        """Replaces what is recorded."""
        write_private(self.path, json.dumps({name: asdict(entry) for name, entry in recorded.items()}, indent=1))

    def record(self, entry: Recorded) -> None:
        """Adds or replaces one entry."""
        self.write({**self.read(), entry.spec.name: entry})

    def forget(self, name: str) -> None:
        """Removes one entry."""
        self.write({key: entry for key, entry in self.read().items() if key != name})

    def entry(self, name: str) -> Recorded:
        """Returns one entry. Raises RigError with the known names."""
        known = self.read()
        if name not in known:
            raise RigError(f"No part {name} in this cluster. Parts: {', '.join(known) or 'none'}")
        return known[name]

    def is_running(self, name: str) -> bool:
        """Tells whether the recorded process still runs."""
        entry = self.read().get(name)
        return entry is not None and alive(entry)

    def start(self, spec: Spec) -> None:
        """Starts the part unless it runs, and records it."""
        if self.is_running(spec.name):
            return
        process = spawn(spec)
        ticks = start_ticks(process.pid)
        if ticks is None:
            raise RigError(f"{spec.name} did not start: {tail_of(spec)}")
        self.record(Recorded(spec, process.pid, ticks))

    def restart(self, name: str) -> None:
        """Starts a stopped part with the command it was first started with."""
        self.start(self.entry(name).spec)

    def stop(self, name: str, kill: bool = False) -> None:
        """Stops the part: its own stop signal, then SIGKILL after a grace; SIGKILL at once when `kill`."""
        entry = self.entry(name)
        family = ask_to_stop(entry, kill)
        wait_gone(entry, TERM_GRACE_SECONDS)
        kill_rest(family)
        wait_gone(entry, TERM_GRACE_SECONDS)
        self.record(replace(entry, pid=0, start_ticks=0))

    def stop_all(self) -> None:
        """Stops every part at the same time, with a short grace: the data is thrown away."""
        entries = list(reversed(self.read().values()))
        families = [ask_to_stop(entry, kill=False) for entry in entries]
        deadline = time.monotonic() + DOWN_GRACE_SECONDS
        for entry in entries:
            wait_gone(entry, deadline - time.monotonic())
        for entry, family in zip(entries, families, strict=True):
            kill_rest(family)
            wait_gone(entry, TERM_GRACE_SECONDS)
            self.record(replace(entry, pid=0, start_ticks=0))

    def signal_tree(self, name: str, number: signal.Signals) -> None:
        """Sends a signal to the part and to all its descendants. Raises RigError when it does not run."""
        entry = self.entry(name)
        if not alive(entry):
            raise RigError(f"{name} is not running. Start it: python -m tests.cluster.rig start {name}")
        send(entry, number)


def alive(entry: Recorded) -> bool:
    """Tells whether the recorded process, and not another one with its pid, runs."""
    return bool(entry.pid) and start_ticks(entry.pid) == entry.start_ticks


def ask_to_stop(entry: Recorded, kill: bool) -> list[tuple[int, int]]:
    """Signals a recorded process to stop; returns pid and start time of it and of all below it."""
    if not alive(entry):
        return []
    pids = [entry.pid, *descendants(entry.pid)]
    family = [(pid, ticks) for pid in pids if (ticks := start_ticks(pid)) is not None]
    with contextlib.suppress(ProcessLookupError):
        os.kill(entry.pid, signal.SIGKILL if kill else entry.spec.stop_signal)
    # A frozen process gets the signal only when it goes on.
    send(entry, signal.SIGCONT)
    return family


def kill_rest(family: list[tuple[int, int]]) -> None:
    """Kills what is left of a part."""
    for pid, ticks in family:
        if start_ticks(pid) == ticks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def send(entry: Recorded, number: signal.Signals) -> None:
    """Sends a signal to a recorded process and its descendants."""
    if not alive(entry):
        return
    for pid in [entry.pid, *descendants(entry.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if number == signal.SIGSTOP:
            wait_stopped(pid)


def wait_stopped(pid: int, seconds: float = 5.0) -> None:
    """Waits until no thread of the process runs: one that was not reached yet still answers a request."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        states = [fields[0] for task in Path(f"/proc/{pid}/task").glob("*") if (fields := stat_fields(int(task.name)))]
        if all(state in "TtZX" for state in states):
            return
        time.sleep(0.005)


def wait_gone(entry: Recorded, seconds: float) -> None:
    """Waits until the process is gone and reaped, at most `seconds`; not at all for a stopped part.

    A zombie's pid still answers to signal 0: PostgreSQL would take it for a postmaster that runs.
    """
    deadline = time.monotonic() + seconds
    while entry.pid and time.monotonic() < deadline:
        if entry.pid in CHILDREN and CHILDREN[entry.pid].poll() is not None:
            del CHILDREN[entry.pid]
        fields = stat_fields(entry.pid)
        if fields is None or int(fields[19]) != entry.start_ticks:
            return
        time.sleep(0.05)


def spawn(spec: Spec) -> subprocess.Popen[bytes]:
    """Starts a process in its own session, so that Ctrl-C in the terminal does not reach it."""
    account = pwd.getpwnam(spec.user) if spec.user and os.geteuid() == 0 else None
    home = account.pw_dir if account else os.environ.get("HOME", "/")
    environment = {"PATH": os.environ["PATH"], "HOME": home, **BASE_ENVIRONMENT, **spec.environment}
    with open(spec.log, "ab") as log:
        process = subprocess.Popen(
            spec.command,
            env=environment,
            cwd="/" if account else CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )
    CHILDREN[process.pid] = process
    return process


@atexit.register
def leave_running() -> None:
    """The parts outlive whoever started them, on purpose: no warning about that at the end."""
    for process in CHILDREN.values():
        process.returncode = 0


def tail_of(spec: Spec) -> str:
    """Returns the last lines of a part's log."""
    try:
        return last_lines(Path(spec.log).read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return "no log"
