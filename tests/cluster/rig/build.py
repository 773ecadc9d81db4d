"""Builds the control plane's programs from Go modules into a cache keyed by their versions.

Invariant: a program in the cache's bin folder is complete. It is built beside it and renamed into place under a
lock, so an interrupted build or two builds at once leave no broken program behind.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

GO_MODULES = Path(__file__).resolve().parent.parent / "go"
HEARTBEAT_SECONDS = 20.0

Say = Callable[[str], None]


class RigError(Exception):
    """A condition the person at the keyboard can mend; the message says how."""


@dataclass(frozen=True, slots=True)
class Part:
    """One program: its name, the module folder under tests/cluster/go and the Go package in it."""

    name: str
    module: str
    package: str
    requirement: str


PARTS = (
    Part("etcd", "etcd", ".", "go.etcd.io/etcd/server/v3"),
    Part("kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl", "k8s.io/kubernetes"),
    Part("kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes"),
    Part(
        "kube-controller-manager",
        "kubernetes",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
        "k8s.io/kubernetes",
    ),
    Part("kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler", "k8s.io/kubernetes"),
    Part("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", "sigs.k8s.io/kwok"),
    Part(
        "metrics-server",
        "metrics-server",
        "sigs.k8s.io/metrics-server/cmd/metrics-server",
        "sigs.k8s.io/metrics-server",
    ),
)
RIVALS = (Part("k9s", "k9s", "github.com/derailed/k9s", "github.com/derailed/k9s"),)

DEBIAN = {
    "/usr/lib/postgresql/15/bin/postgres": "postgresql-15",
    "/usr/bin/psql": "postgresql-client-15",
    "/usr/lib/rabbitmq/bin/rabbitmq-server": "rabbitmq-server",
    "/usr/bin/prometheus": "prometheus",
    "/usr/bin/prometheus-alertmanager": "prometheus-alertmanager",
}


def required_version(module: str, requirement: str) -> str:
    """Returns the version of `requirement` (a Go module path) in the go.mod of `module`, without the v."""
    text = (GO_MODULES / module / "go.mod").read_text(encoding="utf-8")
    found = re.search(rf"^(?:require)?\s*{re.escape(requirement)} v(\S+)", text, re.MULTILINE)
    if not found:
        raise RigError(f"tests/cluster/go/{module}/go.mod does not require {requirement}.")
    return found.group(1)


def version_key(parts: tuple[Part, ...] = PARTS) -> str:
    """Returns the cache folder's name, made of every module's version."""
    modules = dict.fromkeys((part.module, part.requirement) for part in parts)
    return "_".join(f"{module}-{required_version(module, requirement)}" for module, requirement in modules)


def cache_root() -> Path:
    """Returns the folder all built parts live under; $PLANC_CACHE or the XDG cache folder."""
    chosen = os.environ.get("PLANC_CACHE")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "planc"
    return base.expanduser().absolute() / "cluster"


def bin_dir() -> Path:
    """Returns the folder of the built programs for the versions in go.mod."""
    return cache_root() / version_key() / "bin"


def missing_parts(parts: tuple[Part, ...] = PARTS) -> list[Part]:
    """Returns the parts that are not in the cache yet."""
    return [part for part in parts if not (bin_dir() / part.name).exists()]


def missing_packages() -> list[str]:
    """Returns the Debian packages whose programs are not installed."""
    return [package for program, package in DEBIAN.items() if not Path(program).exists()]


def require_packages(say: Say, install: bool) -> None:
    """Checks the Debian packages, or installs them when `install` is set and we are root.

    Raises RigError with the command to run when something is missing.
    """
    missing = missing_packages()
    if not missing:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *missing]
    if not install:
        raise RigError(f"Missing Debian packages: {', '.join(missing)}. Run: sudo {' '.join(command)}")
    if os.geteuid() != 0:
        raise RigError(f"Only root may install packages. Run: sudo {' '.join(command)}")
    say(f"installing {', '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["apt-get", "update", "-q"], command):
        done = subprocess.run(step, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RigError(f"{' '.join(step)} failed: {last_lines(done.stderr)}")


def last_lines(text: str, count: int = 5) -> str:
    """Returns the last `count` lines that are not empty, joined by ' | '."""
    return " | ".join([line.strip() for line in text.splitlines() if line.strip()][-count:])


@contextmanager
def build_lock(say: Say) -> Iterator[None]:
    """Holds the build lock; says so when another build holds it."""
    cache_root().mkdir(parents=True, exist_ok=True)
    with (cache_root() / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another build is running; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def require_go() -> None:
    """Raises RigError when the Go tool is missing or too old to fetch the toolchain the modules name."""
    if not shutil.which("go"):
        raise RigError("Missing: go (1.21 or later). Install it from https://go.dev/dl and put it on PATH.")
    shown = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"go(\d+)\.(\d+)", shown)
    if found and (int(found.group(1)), int(found.group(2))) < (1, 21):
        raise RigError(f"Missing: go 1.21 or later; found {shown.strip()}. Get it from https://go.dev/dl")


def build(say: Say, parts: tuple[Part, ...] = PARTS) -> None:
    """Builds the parts that are missing. Raises RigError when Go is missing or a build fails."""
    if not missing_parts(parts):
        say(f"all parts are built: {bin_dir()}")
        return
    require_go()
    with build_lock(say):
        for part in missing_parts(parts):
            build_part(part, say)


def build_part(part: Part, say: Say) -> None:
    """Builds one part, with a line every 20 s while it takes."""
    target = bin_dir() / part.name
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{part.name}.new")
    log = cache_root() / f"{part.name}.log"
    version = required_version(part.module, part.requirement)
    started = time.monotonic()
    say(f"{part.name} {version}: building")
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            go_command(part, version, fresh),
            cwd=GO_MODULES / part.module,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_with_heartbeat(process, lambda took: say(f"{part.name}: still building, {took:.0f} s"))
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode:
        raise RigError(f"{part.name} did not build: {last_lines(log.read_text('utf-8'))} (whole log: {log})")
    fresh.rename(target)
    say(f"{part.name} {version}: built in {time.monotonic() - started:.0f} s")


def go_command(part: Part, version: str, output: Path) -> list[str]:
    """Returns the go build command; Kubernetes needs its version linked in or clients refuse to parse it."""
    flags = ["-s", "-w"]
    if part.module == "kubernetes":
        major, minor = version.split(".")[:2]
        for key, value in (("gitVersion", f"v{version}"), ("gitMajor", major), ("gitMinor", minor)):
            flags += ["-X", f"k8s.io/component-base/version.{key}={value}"]
    return [
        "nice",
        "-n",
        "5",
        "go",
        "build",
        "-trimpath",
        "-ldflags",
        " ".join(flags),
        "-o",
        str(output),
        part.package,
    ]


def wait_with_heartbeat(process: subprocess.Popen[bytes], beat: Callable[[float], None]) -> None:
    """Waits for the process and calls `beat` with the seconds passed, every HEARTBEAT_SECONDS."""
    started = time.monotonic()
    while True:
        try:
            process.wait(HEARTBEAT_SECONDS)
        except subprocess.TimeoutExpired:
            beat(time.monotonic() - started)
        else:
            return
