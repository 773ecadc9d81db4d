"""The command line of the test cluster: python -m tests.cluster.rig COMMAND."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.cluster.rig import load
from tests.cluster.rig.build import RIVALS, RigError, build, require_packages
from tests.cluster.rig.faults import KINDS
from tests.cluster.rig.layout import DEFAULT_STATE, Endpoints
from tests.cluster.rig.logwriter import LogPlan, write_plan
from tests.cluster.rig.processes import alive
from tests.cluster.rig.rig import Rig, down, up

PART_COMMANDS = ("stop", "start", "freeze", "thaw", "kill")


def parser() -> argparse.ArgumentParser:
    """Returns the command line's grammar."""
    top = argparse.ArgumentParser(prog="python -m tests.cluster.rig", description="The real test cluster.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--state", type=Path, default=DEFAULT_STATE, help="the cluster's folder")
        return sub

    builder = command("build", "build the control plane's programs that are missing")
    builder.add_argument("--rivals", action="store_true", help="build k9s too, for the benchmark")
    builder.add_argument("--install-debian", action="store_true", help="as root: install missing Debian packages")
    starter = command("up", "start the cluster")
    starter.add_argument("--only", choices=("all", "k8s", "servers"), default="all")
    starter.add_argument("--port-base", type=int, help="first of 15 ports; default: free ones")
    command("down", "stop exactly what was started, and remove the cluster's folder")
    command("status", "show the parts and whether they run")
    for name in PART_COMMANDS:
        command(name, f"{name} one part").add_argument("part")
    breaker = command("break", "break something; break --help lists what")
    breaker.formatter_class = argparse.RawDescriptionHelpFormatter
    breaker.epilog = "kinds:\n" + "\n".join(f"  {name:14} {text}" for name, (_, text) in KINDS.items())
    breaker.add_argument("kind", choices=list(KINDS), metavar="KIND")
    breaker.add_argument("--count", type=int)
    command("heal", "undo every break")
    pods = command("pods", "hold N pods in total in the namespace; 0 removes the extra ones")
    pods.add_argument("count", type=int)
    pods.add_argument("--churn", type=float, default=0.0, help="then change this many pods a second")
    pods.add_argument("--seconds", type=float, default=30.0, help="for this long")
    logs = command("logs", "set how much is logged")
    logs.add_argument("--rate", type=float, default=0.5, help="lines a second and app pod")
    logs.add_argument("--errors", type=float, default=0.03, help="share of error entries, 0 to 1")
    logs.add_argument("--load-rate", type=float, default=0.0, help="lines a second in the load pods' shared file")
    return top


def main() -> int:
    """Runs one command; 2 when something is missing, 1 when something else failed."""
    options = parser().parse_args()
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:5.1f} s] {text}", flush=True)

    try:
        if options.command == "build":
            require_packages(say, options.install_debian)
            build(say)
            if options.rivals:
                build(say, RIVALS)
        elif options.command == "up":
            print(instructions(up(options.state, say, options.only, options.port_base).endpoints))
        elif options.command == "down":
            down(options.state, say)
        else:
            control(Rig(options.state), options)
    except RigError as error:
        print(f"rig: {error}", file=sys.stderr)
        return 2 if str(error).startswith("Missing") else 1
    except KeyboardInterrupt:
        print("rig: interrupted; `down` stops what was started", file=sys.stderr)
        return 130
    return 0


def control(rig: Rig, options: argparse.Namespace) -> None:
    """Runs a command that acts on a running cluster."""
    match options.command:
        case "status":
            print_status(rig)
        case "stop" | "start" | "freeze" | "thaw":
            getattr(rig, options.command)(options.part)
        case "kill":
            rig.stop(options.part, kill=True)
        case "break":
            rig.break_(options.kind, options.count)
        case "heal":
            rig.heal()
        case "pods":
            load.scale(rig.endpoints, options.count, print)
            if options.churn:
                done = load.churn(rig.endpoints, options.churn, options.seconds)
                print(f"{done} changes in {options.seconds:.0f} s")
        case "logs":
            plan = LogPlan(options.rate, options.errors, options.load_rate)
            write_plan(Path(rig.endpoints.logs), plan)


def print_status(rig: Rig) -> None:
    """Prints one line per part."""
    for name, entry in rig.registry.read().items():
        word = "running" if alive(entry) else "stopped" if not entry.pid else "ENDED"
        print(f"{name:26} {word:8} {entry.pid or '-'}")


def instructions(endpoints: Endpoints) -> str:
    """Returns the lines that tell how to use the cluster."""
    return (
        "\nThe cluster is up. Use it with\n\n"
        f"  export KUBECONFIG={endpoints.kubeconfig}\n"
        f"  export PATH={endpoints.bin}:$PATH        # kubectl\n"
        f"  planc --playbook {endpoints.playbook}\n\n"
        "Break something: python -m tests.cluster.rig break bad-deploy; mend it: ... heal; stop all: ... down"
    )


if __name__ == "__main__":
    sys.exit(main())
