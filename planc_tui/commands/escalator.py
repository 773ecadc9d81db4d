"""`planc escalator`: keeps the escalation clock when no console is open.

Invariant: it pages only while it holds the lease, ends cleanly on SIGTERM and SIGINT, and writes no secret to its
output or to the unit it installs.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click

from planc_tui.backends.notifiers.build import build_senders
from planc_tui.commands.escalator_ways import Ways
from planc_tui.core.clock import Clock, SystemClock
from planc_tui.desk.actor import current_actor
from planc_tui.desk.budget import BudgetMeter
from planc_tui.desk.dispatch import Dispatcher
from planc_tui.desk.escalator import LOOK_EVERY, Escalator, pulse
from planc_tui.incident.escalation import ESCALATOR
from planc_tui.journal import Journal, JournalError, default_path
from planc_tui.journal.lease import Lease
from planc_tui.playbook.loader import PlaybookError, load
from planc_tui.playbook.model import Playbook
from planc_tui.sources.slo import objective_of

UNIT = "planc-escalator.service"
LONGEST_LOOK = 20.0  # seconds that --once waits for channels, Alertmanager and Prometheus to answer


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--every", type=click.FloatRange(0.05, 5.0), default=LOOK_EVERY, show_default=True, help="Seconds.")
@click.option("--once", is_flag=True, help="Look once, send what is due, and end.")
@click.pass_context
def escalator(ctx: click.Context, every: float, once: bool) -> None:
    """Run the escalation clock without a screen: pages levels, sends messages, ends silences, measures budgets.

    One process of a machine does the work; further ones wait and take over when it dies.
    """
    if ctx.invoked_subcommand is not None:
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    playbook = _playbook(ctx)
    try:
        journal = Journal.open(default_path())
    except JournalError as error:
        raise click.ClickException(f"{error.message}: {error.hint}" if error.hint else error.message) from None
    clock = SystemClock()
    dispatcher = Dispatcher(journal, build_senders(playbook, clock=clock), ESCALATOR, clock)
    given = ctx.obj or {}
    ways = Ways(playbook, clock, given.get("kubeconfig"), given.get("context") or "")
    keeper = Escalator(
        journal,
        Lease(journal.path),
        dispatcher,
        current_actor(),
        clock,
        ways.end_silence if playbook.systems.alertmanager is not None else None,
        "planc escalator",
        meter=_meter(playbook, journal, ways, clock) if playbook.systems.prometheus is not None else None,
    )
    if once:
        _once(keeper)
        return
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: keeper.stop())
    click.echo(f"keeping the clock of {journal.path}; end with Ctrl-C", err=True)
    keeper.run(every)


def _playbook(ctx: click.Context) -> Playbook:
    try:
        return load((ctx.obj or {}).get("playbook"))
    except PlaybookError as error:
        raise click.ClickException(str(error)) from None


def _meter(playbook: Playbook, journal: Journal, ways: Ways, clock: Clock) -> BudgetMeter:
    objectives = [objective_of(slo, "en") for slo in playbook.slos]
    return BudgetMeter(journal, ways.metrics, objectives, clock)


def _once(keeper: Escalator) -> None:
    try:
        if not keeper.step():
            click.echo("another escalator keeps the clock")
            return
    except JournalError as error:
        raise click.ClickException(error.message) from None
    until = time.monotonic() + LONGEST_LOOK
    while keeper.busy and time.monotonic() < until:
        time.sleep(0.05)
    keeper.release()


@escalator.command("status")
def status() -> None:
    """Say whether an escalator runs; ends with 1 when none does."""
    try:
        journal = Journal.open(default_path())
        found = pulse(journal, journal.now())
    except JournalError as error:
        raise click.ClickException(error.message) from None
    if found.alive and found.age is not None:
        click.echo(f"● {found.who} keeps the clock (last sign {found.age:.0f} s ago)")
        return
    last = "" if found.age is None else f"; the last sign is {found.age:.0f} s old"
    click.echo(f"✖ no escalator runs: nobody is paged{last}. Start it: planc escalator")
    sys.exit(1)


@escalator.command("install")
@click.option("--no-start", is_flag=True, help="Write the unit and do not start it.")
@click.pass_context
def install(ctx: click.Context, no_start: bool) -> None:
    """Install and start a systemd user unit that keeps the escalator running."""
    assert ctx.parent is not None
    given = ctx.parent.obj or {}
    playbook = given.get("playbook") or os.environ.get("PLANC_PLAYBOOK", "")
    kubeconfig = given.get("kubeconfig") or os.environ.get("KUBECONFIG", "")
    _playbook(ctx.parent)
    folder = _config() / "systemd" / "user"
    folder.mkdir(parents=True, exist_ok=True)
    unit = folder / UNIT
    text = unit_text(str(Path(playbook).resolve()) if playbook else "", kubeconfig, given.get("context") or "")
    unit.write_text(text, encoding="utf-8")
    click.echo(f"written: {unit}")
    click.echo(f"channels read their secrets from the environment: put NAME=value lines into {_environment_file()}")
    if no_start:
        return
    for command in (["daemon-reload"], ["enable", "--now", UNIT]):
        if not _systemctl(command):
            raise click.ClickException(
                f"systemd did not take it; by hand: systemctl --user {' '.join(command)} "
                "(over ssh, run once: loginctl enable-linger)"
            )
    click.echo("started; it also runs while you are logged out after: loginctl enable-linger")


def _config() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME", "")
    return Path(base) if os.path.isabs(base) else Path.home() / ".config"


def _environment_file() -> Path:
    return _config() / "planc" / "escalator.env"


def unit_text(playbook: str, kubeconfig: str = "", context: str = "") -> str:
    """The systemd unit. playbook: absolute path, "" for the one planc finds by itself. kubeconfig: files as in
    KUBECONFIG; context: of incidents that name none; "" for the defaults."""
    script = Path(sys.executable).with_name("planc")
    command = [str(script)] if script.exists() else [sys.executable, "-c", "from planc_tui.cli import main; main()"]
    if playbook:
        command += ["--playbook", playbook]
    if context:
        command += ["--context", context]
    # systemd expands percent signs itself.
    line = shlex.join([*command, "escalator"]).replace("%", "%%")
    files = os.pathsep.join(str(Path(name).absolute()) for name in kubeconfig.split(os.pathsep) if name)
    settings = {"PLANC_JOURNAL": os.environ.get("PLANC_JOURNAL", ""), "KUBECONFIG": files}
    extra = "".join(f'Environment="{name}={value.replace("%", "%%")}"\n' for name, value in settings.items() if value)
    return (
        "[Unit]\n"
        "Description=planc escalator: pages the next level while nobody has acknowledged\n"
        "StartLimitIntervalSec=0\n\n"
        "[Service]\n"
        f"ExecStart={line}\n"
        f"EnvironmentFile=-{_environment_file()}\n"
        f"{extra}"
        "Restart=always\n"
        "RestartSec=2\n"
        "NoNewPrivileges=yes\n"
        "UMask=0077\n\n"
        "[Install]\n"
        "WantedBy=default.target\n"
    )


def _systemctl(arguments: list[str]) -> bool:
    try:
        done = subprocess.run(["systemctl", "--user", *arguments], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
