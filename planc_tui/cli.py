"""The command `planc`: parses the command line, and is the only place that wires everything together.

Invariant: a user's mistake ends in one line that says how to mend it and a non-zero exit, never in a traceback; help
and subcommands load no Textual.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

import click

from planc_tui import __version__

# Subcommands are imported when they are called, so that the console and --help stay quick.
_COMMANDS = {
    "playbook": ("planc_tui.commands.playbook", "playbook", "Check, show and start playbook files."),
    "incident": ("planc_tui.commands.incident", "incident", "Declare and lead incidents from a script."),
    "escalator": ("planc_tui.commands.escalator", "escalator", "Run the escalation clock without a screen."),
    "backup": ("planc_tui.commands.backup", "backup", "Check an emergency backup again."),
    "doctor": ("planc_tui.commands.doctor", "doctor", "Say what planc finds on this machine."),
}
SMALLEST = (60, 20)


class _Lazy(click.Group):
    """Lists subcommands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in _COMMANDS.items()])


@click.group(cls=_Lazy, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--context", help="kubeconfig context; the current one when left out.")
@click.option("-n", "--namespace", help="Namespace; the playbook's when left out.")
@click.option("--kubeconfig", type=click.Path(), help="kubeconfig file; $KUBECONFIG or ~/.kube/config when left out.")
@click.option("--playbook", type=click.Path(), help="Playbook file; $PLANC_PLAYBOOK or the default when left out.")
@click.option("--as", "as_user", metavar="USER", help="Act as this user (impersonation).")
@click.option("--as-group", "as_groups", metavar="GROUP", multiple=True, help="Group to act as; may be repeated.")
@click.option("--readonly", is_flag=True, help="Open read-only, whatever the environment says.")
@click.option("--dry-run", is_flag=True, help="Do everything up to the yes, and change nothing.")
@click.version_option(__version__, prog_name="planc")
@click.pass_context
def planc(
    ctx: click.Context,
    context: str | None,
    namespace: str | None,
    kubeconfig: str | None,
    playbook: str | None,
    as_user: str | None,
    as_groups: tuple[str, ...],
    readonly: bool,
    dry_run: bool,
) -> None:
    """Open the war room on a cluster.

    Shell completion: eval "$(_PLANC_COMPLETE=bash_source planc)" (or zsh_source, fish_source).
    """
    if os.path.expanduser("~") == "~":
        raise click.ClickException("this user has no home folder: set HOME")
    if ctx.invoked_subcommand is not None:
        ctx.obj = {"playbook": playbook, "context": context, "kubeconfig": kubeconfig}
        return
    _check_terminal()
    if not sys.stderr.isatty():
        # Whoever sends errors to a file wants the words; Textual draws on standard error.
        sys.__stderr__ = sys.__stdout__  # type: ignore[misc]  # Textual's driver has no other way to be told
    # A program that uses readline leaves its terminal's size to its children; Textual would believe it.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    # Textual reads this when it is imported.
    if os.environ.get("SSH_CONNECTION"):
        os.environ.setdefault("TEXTUAL_FPS", "30")
    arguments = (context, namespace, kubeconfig, playbook, as_user, as_groups, readonly, dry_run)
    # Loading makes no garbage worth looking for; the console turns this on again.
    gc.disable()
    if promises(context, kubeconfig, playbook) and (as_user or not as_groups):
        from planc_tui.ui.first_frame import FirstFrame

        size = os.get_terminal_size(sys.stdout.fileno())
        with FirstFrame(sys.stdout, size.columns, size.lines) as first:
            code = _open(arguments, first.hand_over)
    else:
        code = _open(arguments, lambda: None)
    leave(code)


def leave(code: int) -> NoReturn:
    """End now. The journal is on disk already; neither a thread that hangs in a dead system's socket nor a terminal
    that takes no more text may delay the end or change its code."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _open(arguments: tuple[Any, ...], hand_over: Callable[[], None]) -> int:
    """The console, from its loading to its exit code."""
    from planc_tui.wiring import Options, WiringError, open_console

    try:
        return open_console(Options(*arguments), hand_over)
    except WiringError as error:
        raise click.ClickException(str(error)) from None


def promises(context: str | None, kubeconfig: str | None, playbook: str | None) -> bool:
    """Whether the configuration looks as if the console will open, so that a frame may be shown before it is read.

    Costs some looks at files. When in doubt planc reads everything first, and says what is wrong on a calm screen.
    """
    playbook = playbook or os.environ.get("PLANC_PLAYBOOK")
    if playbook and playbook != "plan-c" and not os.path.isfile(os.path.expanduser(playbook)):
        return False
    named = [kubeconfig] if kubeconfig else os.environ.get("KUBECONFIG", "").split(os.pathsep)
    paths = [path for path in named if path] or [os.path.expanduser("~/.kube/config")]
    texts = [_start_of(path) for path in paths if os.path.isfile(path)]
    if not texts:
        return not kubeconfig and "KUBERNETES_SERVICE_HOST" in os.environ
    return not context or any(context.encode() in text for text in texts)


def _start_of(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError:
        return b""


def _check_terminal() -> None:
    """The console needs a terminal of a size in which a row can be read."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.ClickException("planc needs a terminal: run it by hand, or over ssh with -t")
    if os.environ.get("TERM", "") in ("", "dumb"):
        raise click.ClickException(
            "TERM says this terminal cannot move its cursor: set TERM, for example xterm-256color"
        )
    size = os.get_terminal_size(sys.stdout.fileno())
    if 0 < size.columns < SMALLEST[0] or 0 < size.lines < SMALLEST[1]:
        raise click.ClickException(
            f"the terminal is {size.columns}x{size.lines}, planc needs at least {SMALLEST[0]}x{SMALLEST[1]}: enlarge it"
        )


def main() -> None:
    """Entry point of the command."""
    planc(prog_name="planc")
