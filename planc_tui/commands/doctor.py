"""`planc doctor`: what planc finds on this machine, and what to mend.

Invariant: sends nothing to any server, runs no command of the playbook, shows no secret, and never stops at the first
trouble: one check that fails takes only its own line away.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import locale
import os
import pkgutil
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from msgspec import Struct
from msgspec.structs import asdict

from planc_tui import __version__
from planc_tui.playbook import loader
from planc_tui.playbook.files import home_path
from planc_tui.playbook.model import HttpSystem, Playbook, PostgresSystem, RabbitmqSystem, SecretFrom

GOOD, NOTE, BAD = "good", "note", "bad"
_GLYPH = {GOOD: "●", NOTE: "▲", BAD: "✖"}
_PACKAGES = ("core", "playbook", "incident", "journal", "actions", "sources", "backends", "ui", "commands")
_DRIVERS = ("textual", "kubernetes", "psycopg", "pika", "prometheus-api-client", "msgspec", "apprise")
System = PostgresSystem | RabbitmqSystem | HttpSystem


class Line(Struct, frozen=True):
    """One finding. state: good, note (works, but look at it) or bad."""

    topic: str
    state: str
    text: str


@click.command()
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--kubeconfig", type=click.Path(), help="kubeconfig file; $KUBECONFIG or ~/.kube/config when left out.")
@click.pass_context
def doctor(context: click.Context, output: str, kubeconfig: str | None) -> None:
    """Say what planc finds on this machine. Ends with 1 when something must be mended."""
    above = context.obj or {}
    given = above.get("playbook")
    checks: tuple[Callable[[], Iterator[Line]], ...] = (
        _program,
        _terminal,
        _modules,
        _settings,
        lambda: _playbook(given),
        lambda: _kubeconfig(kubeconfig or above.get("kubeconfig"), above.get("context"), given),
        _state,
    )
    lines = [line for check in checks for line in _safely(check)]
    if output == "json":
        click.echo(json.dumps([asdict(line) for line in lines], ensure_ascii=False, indent=2))
    else:
        for line in lines:
            click.echo(f"{_GLYPH[line.state]} {line.topic:<12} {line.text}")
    raise SystemExit(any(line.state == BAD for line in lines))


def _safely(check: Callable[[], Iterator[Line]]) -> Iterator[Line]:
    try:
        yield from check()
    except Exception as error:  # the doctor must get through whatever is broken
        yield Line("doctor", BAD, f"a check failed: {type(error).__name__}: {error}")


def _program() -> Iterator[Line]:
    yield Line("planc", GOOD, f"{__version__}, Python {sys.version.split()[0]}")
    missing = [name for name in _DRIVERS if not _version(name)]
    if missing:
        yield Line("packages", BAD, f"not installed: {', '.join(missing)}. Install planc again from its lock file")
    else:
        yield Line("packages", GOOD, ", ".join(f"{name} {_version(name)}" for name in _DRIVERS))


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _terminal() -> Iterator[Line]:
    term = os.environ.get("TERM", "")
    if not sys.stdout.isatty():
        yield Line("terminal", NOTE, "this output is not a terminal; the console needs one")
    elif term in ("", "dumb"):
        yield Line("terminal", BAD, f"TERM is {term or 'not set'}: set it, for example to xterm-256color")
    else:
        size = os.get_terminal_size(sys.stdout.fileno())
        small = size.columns < 60 or size.lines < 20
        inside = next((name for name in ("TMUX", "STY") if os.environ.get(name)), "")
        where = {"TMUX": ", in tmux", "STY": ", in screen"}.get(inside, "")
        text = f"{term}, {size.columns}x{size.lines}{where}"
        yield Line("terminal", NOTE if small else GOOD, text + (": planc needs 60x20" if small else ""))
    encoding = locale.getpreferredencoding(False)
    if encoding.upper().replace("-", "") != "UTF8":
        yield Line("terminal", NOTE, f"the locale's encoding is {encoding}: set LANG to a UTF-8 one, such as C.UTF-8")


def _modules() -> Iterator[Line]:
    """Imports every module of planc: what does not load would be missing in the console."""
    count, broken = 0, []
    for package in _PACKAGES:
        for name in _names(f"planc_tui.{package}"):
            try:
                importlib.import_module(name)
            except Exception as error:  # a broken module may raise anything
                broken.append(Line("modules", BAD, f"{name} does not load: {type(error).__name__}: {error}"))
            count += 1
    yield from broken
    if not broken:
        yield Line("modules", GOOD, f"all {count} load")


def _names(package: str) -> list[str]:
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    found = [package]
    for module in pkgutil.iter_modules(folders, f"{package}."):
        found += _names(module.name) if module.ispkg else [module.name]
    return found


def _settings() -> Iterator[Line]:
    from planc_tui.playbook.config import load_config
    from planc_tui.playbook.files import config_home

    path = config_home(os.environ) / "config.yaml"
    try:
        load_config()
    except loader.PlaybookError as error:
        yield from (Line("settings", BAD, str(problem)) for problem in error.problems)
    else:
        yield Line("settings", GOOD, str(path) if path.exists() else f"none ({path} is not there)")


def _playbook(given: str | None) -> Iterator[Line]:
    loaded = loader.examine(loader.find(given))
    if loaded.playbook is None:
        yield from (Line("playbook", BAD, str(problem)) for problem in loaded.problems)
        return
    yield Line("playbook", GOOD, f'{loaded.source}, "{loaded.playbook.name}"')
    yield from _systems(loaded.playbook)
    for channel in loaded.playbook.channels:
        for name in ("url", "key"):
            trouble = _not_found(getattr(channel, name))
            if trouble:
                yield Line("channel", NOTE, f"{channel.id}: {trouble}")


def _systems(playbook: Playbook) -> Iterator[Line]:
    systems = playbook.systems
    named: tuple[tuple[str, System | None], ...] = (
        ("PostgreSQL", systems.postgres),
        ("RabbitMQ", systems.rabbitmq),
        ("Prometheus", systems.prometheus),
        ("Alertmanager", systems.alertmanager),
    )
    for name, system in named:
        if system is None:
            yield Line("system", NOTE, f"{name}: not configured; its pane says so")
            continue
        way = f"via {system.via}" if system.via else f"at {_address(system)}"
        trouble = _not_found(system.password)
        yield Line("system", BAD if trouble else GOOD, f"{name} {way}" + (f", but {trouble}" if trouble else ""))


def _address(system: System) -> str:
    if not isinstance(system, PostgresSystem):
        return system.url
    # A libpq string without its password: the playbook's check has refused one that holds it.
    return system.dsn


def _not_found(secret: SecretFrom | None) -> str:
    """Why a secret will not be found, as far as that shows without looking inside the cluster or running a command."""
    if secret is None:
        return ""
    if secret.env and not os.environ.get(secret.env):
        return f"${secret.env} is not set"
    if secret.file and not os.access(home_path(secret.file), os.R_OK):
        return f"{secret.file} cannot be read"
    if secret.command and not shutil.which(secret.command[0]):
        return f"the command {secret.command[0]} is not there"
    return ""


def _kubeconfig(given: str | None, context: str | None, playbook_file: str | None) -> Iterator[Line]:
    from planc_tui.backends.kubernetes.kubeconfig import load
    from planc_tui.core.ports import PortError
    from planc_tui.playbook.environment import environment_of

    try:
        config = load(os.environ, Path.home(), kubeconfig=given)
        info = config.info(context)
    except PortError as error:
        yield Line("kubeconfig", BAD, f"{error.message}{': ' if error.hint else ''}{error.hint}")
        return
    playbook = loader.examine(loader.find(playbook_file)).playbook or loader.default()
    word = environment_of(playbook, info.context, info.cluster)
    mode = "opens read-only" if word.read_only else "opens for changes"
    count = len(config.contexts())
    chosen = "chosen" if context else "current"
    yield Line(
        "kubeconfig", GOOD, f"{count} context{'' if count == 1 else 's'}, {chosen} {info.context} ({info.address})"
    )
    yield Line("environment", GOOD, f"{word.word}, {mode}")


def _state() -> Iterator[Line]:
    base = os.environ.get("XDG_STATE_HOME", "")
    folder = (Path(base) if os.path.isabs(base) else Path.home() / ".local" / "state") / "planc"
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if os.access(nearest, os.W_OK | os.X_OK):
        yield Line("state", GOOD, str(folder))
    else:
        yield Line("state", BAD, f"{folder} cannot be written: the journal and saved panes go there")
