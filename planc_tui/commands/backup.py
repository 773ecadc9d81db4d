"""`planc backup`: check an emergency backup again, down to a restored database.

Invariant: nothing of the backup is changed; the only database that is written to is one that this command made, and
it is dropped whatever happens. No password reaches a command line.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import click

# libpq's environment variables, by the key of a connection string.
_ENVIRONMENT = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "dbname": "PGDATABASE",
    "service": "PGSERVICE",
    "sslmode": "PGSSLMODE",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslrootcert": "PGSSLROOTCERT",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "application_name": "PGAPPNAME",
    "options": "PGOPTIONS",
}
_COPY = re.compile(rb"COPY (.+?) \(.*\) FROM stdin;\s*\Z")
_NO_ROLE = re.compile(r'role "[^"]*" does not exist')


class RestoreError(Exception):
    """Why the dump could not be restored or is not what it should be, in one line."""


@click.group()
def backup() -> None:
    """Check emergency backups."""


@backup.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--dsn", help="PostgreSQL to restore the dump into: a scratch database is made there, and dropped.")
def verify(folder: Path, dsn: str | None) -> None:
    """Check every file of a backup again. Ends with 1 when something is wrong with it."""
    from planc_tui.actions.backup_files import BackupError, check

    try:
        if not folder.is_dir():
            raise BackupError(f"{folder} is no folder")
        manifest = check(folder)
        for row in manifest["files"]:
            note = objects_in(folder / row["name"])
            click.echo(f"{row['name']}: {row['size']} bytes, SHA-256 matches{note}")
        if dsn:
            for table, rows in restore(folder / "dump.sql.zst", dsn):
                click.echo(f"{table}: {rows} rows restored")
    except (BackupError, RestoreError) as error:
        click.echo(f"not good: {error}", err=True)
        raise SystemExit(1) from None
    click.echo(f"{folder} is good{'' if dsn else '; give --dsn to restore the dump too'}")


def objects_in(path: Path) -> str:
    """What a YAML file holds, in words. Raises BackupError when it is no list of objects."""
    import yaml

    from planc_tui.actions.backup_files import BackupError

    if path.suffix == ".age":
        return ", encrypted (not opened)"
    if path.suffix != ".yaml":
        return ""
    try:
        found = [document for document in yaml.safe_load_all(path.read_bytes()) if document is not None]
    except yaml.YAMLError:
        raise BackupError(f"{path.name} is no YAML") from None
    if not all(isinstance(one, dict) and one.get("kind") and one.get("metadata") for one in found):
        raise BackupError(f"{path.name} holds something that is no Kubernetes object")
    return f", {len(found)} objects"


def restore(dump: Path, dsn: str) -> list[tuple[str, int]]:
    """Restore a dump into a scratch database, compare, drop it. Returns tables and their rows.

    Raises RestoreError, BackupError."""
    if not dump.exists():
        raise RestoreError("the backup holds no database dump")
    if shutil.which("psql") is None:
        raise RestoreError("psql is not installed: install PostgreSQL's client programs")
    name = f"planc_verify_{secrets.token_hex(6)}"
    outer = {**os.environ, **connection(dsn)}
    _psql(outer, f'CREATE DATABASE "{name}" TEMPLATE template0')
    try:
        inner = {**outer, "PGDATABASE": name}
        counts = _load(dump, inner)
        wrong = [
            f"{table} has {found} of {rows} rows"
            for table, rows in counts.items()
            if (found := _rows(inner, table)) != rows
        ]
    finally:
        _psql(outer, f'DROP DATABASE "{name}"')
    if wrong:
        raise RestoreError("; ".join(wrong[:5]))
    return sorted(counts.items())


def connection(dsn: str) -> dict[str, str]:
    """libpq's environment for a connection string, so that no password is on a command line. Raises RestoreError.

    >>> connection("host=db port=5433 password='a b'")
    {'PGHOST': 'db', 'PGPORT': '5433', 'PGPASSWORD': 'a b'}
    >>> connection("postgresql://me:p%40ss@db:5433/shop?sslmode=require")["PGPASSWORD"]
    'p@ss'
    """
    pairs = dict(_uri(dsn) if "://" in dsn else _words(dsn))
    unknown = sorted(set(pairs) - set(_ENVIRONMENT))
    if unknown:
        raise RestoreError(f"the connection string has {unknown[0]!r}, which planc does not know")
    return {_ENVIRONMENT[key]: value for key, value in pairs.items()}


def _words(dsn: str) -> Iterator[tuple[str, str]]:
    try:
        words = shlex.split(dsn)
    except ValueError:
        raise RestoreError("the connection string has a quote that does not end") from None
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise RestoreError("a connection string is key=value key=value, or postgresql://...")
        yield key, value


def _uri(dsn: str) -> Iterator[tuple[str, str]]:
    try:
        parts = urlsplit(dsn)
        port = parts.port
    except ValueError:
        raise RestoreError("the connection string is no URL of PostgreSQL") from None
    if parts.scheme not in ("postgresql", "postgres"):
        raise RestoreError("the connection string is no URL of PostgreSQL")
    found = {
        "host": parts.hostname,
        "port": str(port) if port else None,
        "user": parts.username,
        "password": parts.password,
        "dbname": parts.path.removeprefix("/"),
    }
    yield from ((key, unquote(value)) for key, value in found.items() if value)
    yield from parse_qsl(parts.query)


class RowCounter:
    """Counts the rows of each COPY block of a dump as it passes by."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self._table = ""
        self._rest = b""

    def feed(self, chunk: bytes) -> None:
        """The next piece of the dump."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if self._table:
                if line == b"\\.":
                    self._table = ""
                else:
                    self.counts[self._table] += 1
            elif line.startswith(b"COPY ") and (found := _COPY.match(line)):
                self._table = found[1].decode()
                self.counts[self._table] = 0


def _load(dump: Path, environment: Mapping[str, str]) -> dict[str, int]:
    from planc_tui.actions.backup_files import dump_chunks

    counter = RowCounter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=0"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        assert process.stdin is not None
        try:
            with process.stdin as pipe:
                for chunk in dump_chunks(dump):
                    counter.feed(chunk)
                    pipe.write(chunk)
        except BrokenPipeError:
            pass  # psql said why on its error output
        finally:
            code = process.wait()
        errors.seek(0)
        said = errors.read().decode(errors="replace").splitlines()
    # An owner that the scratch server does not know changes no row.
    bad = [line for line in said if ("ERROR" in line or "FATAL" in line) and not _NO_ROLE.search(line)]
    if bad or code:
        raise RestoreError(f"psql could not restore the dump: {(bad or said or [f'code {code}'])[0][:200]}")
    return counter.counts


def _rows(environment: Mapping[str, str], table: str) -> int:
    return int(_psql(environment, f"SELECT count(*) FROM {table}"))


def _psql(environment: Mapping[str, Any], sql: str) -> str:
    command = ["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", sql]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RestoreError(f"psql: {(done.stderr.strip().splitlines() or ['no reason'])[-1][:200]}")
    return done.stdout.strip()
