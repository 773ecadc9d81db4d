"""Fetches passwords and tokens from where the playbook says they are.

Invariant: a secret is read when it is first needed, kept in memory alone, and read again after it was refused; no
message of this module contains one.
"""

from __future__ import annotations

import base64
import binascii
import subprocess
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from planc_tui.core.ports import BadAnswer, ClusterPort, LoginExpired, NotConfigured, NotFound
from planc_tui.core.secret import Secret
from planc_tui.core.text import clean
from planc_tui.playbook.files import home_path
from planc_tui.playbook.model import SecretFrom, SecretKey

COMMAND_TIMEOUT = 10.0
FILE_LIMIT = 65536


class _SecretObject(msgspec.Struct):
    """The part of a Kubernetes Secret that is wanted."""

    data: dict[str, str] | None = None


class Vault:
    """Reads secrets for one session. namespace: where Kubernetes Secrets are that name none."""

    def __init__(self, cluster: ClusterPort, namespace: str, environ: Mapping[str, str]) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._environ = environ

    def read(self, where: SecretFrom, what: str) -> Secret:
        """The secret now. what: words for messages, such as `password of PostgreSQL`. Raises PortError."""
        if where.env:
            return self._from_environment(where.env, what)
        if where.file:
            return self._from_file(where.file, what)
        if where.secret is not None:
            return self._from_cluster(where.secret, what)
        return self._from_command(where.command, what)

    def _from_environment(self, name: str, what: str) -> Secret:
        text = self._environ.get(name)
        if text is None:
            raise NotConfigured(f"no {what}: ${name} is not set", hint=f"export {name} and start planc again")
        return Secret(text)

    def _from_file(self, name: str, what: str) -> Secret:
        path = home_path(name)
        try:
            with path.open("rb") as handle:
                raw = handle.read(FILE_LIMIT)
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise LoginExpired(f"no {what}: cannot read {path}: {reason}", hint="write it there") from None
        return _first_line(raw, what)

    def _from_cluster(self, where: SecretKey, what: str) -> Secret:
        namespace = where.namespace or self._namespace
        label = f"{namespace}/{where.name}"
        path = f"/api/v1/namespaces/{quote(namespace, safe='')}/secrets/{quote(where.name, safe='')}"
        try:
            raw = self._cluster.request("GET", path, source="secrets")
        except NotFound:
            raise LoginExpired(f"no {what}: Secret {label} does not exist") from None
        try:
            data = msgspec.json.decode(raw, type=_SecretObject).data or {}
        except msgspec.DecodeError:
            raise BadAnswer(f"no {what}: the API server's answer for Secret {label} is not readable") from None
        if where.key not in data:
            raise LoginExpired(f"no {what}: Secret {label} has no key {where.key}")
        try:
            return Secret(base64.b64decode(data[where.key], validate=True).decode())
        except (binascii.Error, UnicodeDecodeError):
            raise LoginExpired(f"no {what}: key {where.key} of Secret {label} is not text") from None

    def _from_command(self, command: tuple[str, ...], what: str) -> Secret:
        name = command[0] if command else ""
        try:
            done = subprocess.run(  # own program and arguments from the playbook, no shell
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=COMMAND_TIMEOUT,
                check=False,
                env=dict(self._environ),
            )
        except subprocess.TimeoutExpired:
            raise LoginExpired(f"no {what}: {name} did not end within {COMMAND_TIMEOUT:.0f} s") from None
        except (OSError, IndexError, ValueError) as error:
            raise LoginExpired(f"no {what}: cannot run {name or 'the command'}: {type(error).__name__}") from None
        if done.returncode != 0:
            said = clean(done.stderr.strip().rpartition(b"\n")[2], limit=120)
            raise LoginExpired(f"no {what}: {name} ended with {done.returncode}", hint=said)
        return _first_line(done.stdout, what)


class Credential:
    """One secret of one system, read at first use. where: None when the system asks for none."""

    def __init__(self, vault: Vault, where: SecretFrom | None, what: str) -> None:
        self._vault = vault
        self._where = None if where is None or where.pgpass else where
        self._what = what
        self._secret: Secret | None = None

    def get(self) -> Secret | None:
        """The secret, None when there is none to send. Raises PortError."""
        if self._where is None:
            return None
        if self._secret is None:
            self._secret = self._vault.read(self._where, self._what)
        return self._secret

    def refused(self) -> None:
        """The system did not accept it: read it again next time, it may have been changed."""
        self._secret = None


def _first_line(raw: bytes, what: str) -> Secret:
    line = raw.partition(b"\n")[0].rstrip(b"\r")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise LoginExpired(f"no {what}: it is not text") from None
    if not text:
        raise LoginExpired(f"no {what}: it is empty")
    return Secret(text)
