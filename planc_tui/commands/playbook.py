"""`planc playbook`: check, show and start playbook files.

Invariant: prints no secret (a playbook holds none), writes no file that exists, and ends with 1 when a playbook is bad.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from planc_tui.core.facts import FACTS
from planc_tui.playbook import loader, vocabulary
from planc_tui.playbook.files import config_home
from planc_tui.playbook.loader import Loaded


@click.group()
def playbook() -> None:
    """Check, show and start playbook files.

    planc reads the file given with --playbook, or $PLANC_PLAYBOOK, or playbook.yaml in planc's folder of
    ~/.config, or the built-in playbook.
    """


def _examine(context: click.Context, file: str | None) -> Loaded:
    given = file or (context.obj or {}).get("playbook")
    return loader.examine(loader.find(given))


def _refuse(loaded: Loaded) -> None:
    for problem in loaded.problems:
        click.echo(str(problem), err=True)
    raise SystemExit(1)


@playbook.command()
@click.argument("file", required=False)
@click.pass_context
def check(context: click.Context, file: str | None) -> None:
    """Say everything that is wrong with a playbook, one line each."""
    loaded = _examine(context, file)
    if loaded.playbook is None:
        _refuse(loaded)
        return
    found = loaded.playbook
    click.echo(
        f'{loaded.source}: "{found.name}" is good: {len(found.rules)} rules, {len(found.procedures)} procedures, '
        f"{len(found.slos)} objectives, {len(found.escalation.levels)} levels"
    )


@playbook.command()
@click.argument("file", required=False)
@click.option("--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True)
@click.pass_context
def show(context: click.Context, file: str | None, output: str) -> None:
    """Print a playbook as planc sees it, with what it extends laid under it."""
    loaded = _examine(context, file)
    if loaded.playbook is None:
        _refuse(loaded)
    if output == "json":
        click.echo(json.dumps(loaded.plain(), ensure_ascii=False, indent=2))
        return
    click.echo(_yaml(loaded.plain()), nl=False)


def _yaml(value: dict[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes texts of several lines as blocks, and repeats values instead of naming them."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, data: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)

    Dumper.add_representer(str, text)
    return yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=110)


@playbook.command()
def schema() -> None:
    """Print the JSON schema of playbook files, for editors."""
    from planc_tui.playbook.reference import json_schema

    click.echo(json.dumps(json_schema(), ensure_ascii=False, indent=2))


@playbook.command()
@click.option("--path", type=click.Path(dir_okay=False, path_type=Path), help="Where; the user's own when left out.")
def init(path: Path | None) -> None:
    """Write a commented playbook that extends the built-in one."""
    from importlib import resources

    target = path or config_home(os.environ) / "playbook.yaml"
    text = resources.files("planc_tui.playbook").joinpath("starter.yaml").read_text(encoding="utf-8")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise click.ClickException(f"{target} is there already: edit it, or choose another --path") from None
    except OSError as error:
        raise click.ClickException(f"cannot write {target}: {error.strerror}") from None
    click.echo(f"{target} is written. Next: edit it, then `planc playbook check {target}`")


@playbook.command()
def facts() -> None:
    """List the facts that rules may name."""
    width = max(len(name) for name in FACTS)
    for fact in FACTS.values():
        click.echo(f"{fact.name:<{width}}  {fact.unit:<8} {fact.meaning}")


@playbook.command()
def actions() -> None:
    """List the actions that steps may name, with their parameters."""
    width = max(len(name) for name in vocabulary.ACTIONS)
    for name, parameters in vocabulary.ACTIONS.items():
        click.echo(f"{name:<{width}}  {', '.join(parameters)}".rstrip())
