"""Runs credential plugins (client.authentication.k8s.io) without ever giving them the terminal.

Invariant: a plugin has no terminal, no input and a deadline; what it prints is a credential or an error for people,
and its standard output is never shown.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from planc_tui.backends.kubernetes.errors import redact
from planc_tui.backends.kubernetes.model import ClusterEntry, ExecSpec, KubeConfigError
from planc_tui.core.ports import LoginExpired
from planc_tui.core.text import clean

PLUGIN_TIMEOUT = 30.0
_OUTPUT_LIMIT = 1_000_000
_SECRETIVE = re.compile(r"(secret|passw|token|key)[^=]*=", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Issued:
    """What a plugin gave. expires: seconds since the epoch, or None when it did not say. cert, key: PEM."""

    token: str = field(default="", repr=False)
    expires: float | None = None
    cert: bytes = field(default=b"", repr=False)
    key: bytes = field(default=b"", repr=False)


def login_command(spec: ExecSpec | None, context: str) -> str:
    """The command that logs in again, fit for the screen.

    The plugin's own command line, unless it holds a secret or needs an environment that a shell would not have;
    then kubectl, which runs the plugin with a terminal.
    """
    if spec is not None and not spec.env and not any(_SECRETIVE.search(word) for word in spec.args):
        return clean(shlex.join([spec.command, *spec.args]), 400)
    return clean(f"kubectl --context {shlex.quote(context)} get --raw /version", 400)


def run_plugin(
    spec: ExecSpec,
    cluster: ClusterEntry,
    environ: Mapping[str, str],
    *,
    hint: str,
    timeout: float = PLUGIN_TIMEOUT,
) -> Issued:
    """Run the plugin and read its credential. hint: what to tell the user to run. Raises LoginExpired."""
    name = clean(os.path.basename(spec.command), 60)
    if spec.interactive_mode == "Always":
        raise LoginExpired(f"{name} logs in only with a terminal of its own", hint=hint)
    program = _program(spec, environ)
    if program is None:
        advice = clean(spec.install_hint, 300) or f"install {name}, or put it on PATH"
        raise LoginExpired(f"credential plugin {clean(spec.command, 120)} not found", hint=advice)
    env = {**environ, **dict(spec.env), "KUBERNETES_EXEC_INFO": _exec_info(spec, cluster)}
    try:
        process = subprocess.Popen(
            [program, *spec.args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            # A session of its own: no controlling terminal to ask on, and one group to end with its children.
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "bad arguments"
        raise LoginExpired(f"cannot run {name}: {reason}", hint=hint) from None
    with process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            _end(process)
            raise LoginExpired(f"{name} did not finish within {timeout:g} s", hint=hint) from None
    if process.returncode != 0:
        said = _last_words(err)
        raise LoginExpired(f"{name} failed ({said or f'exit code {process.returncode}'})", hint=hint)
    return _issued(spec, name, out, hint)


def _program(spec: ExecSpec, environ: Mapping[str, str]) -> str | None:
    """The executable: a path starts at the kubeconfig's folder, a bare name is looked up on PATH."""
    if os.path.isabs(spec.command) or os.sep not in spec.command:
        return shutil.which(spec.command, path=environ.get("PATH", os.defpath))
    return shutil.which(os.path.normpath(os.path.join(spec.directory, spec.command)))


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the plugin and what it started; a child that left the group must not hold planc by an open pipe."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=1.0)


def _exec_info(spec: ExecSpec, cluster: ClusterEntry) -> str:
    """The KUBERNETES_EXEC_INFO document."""
    inner: dict[str, object] = {"interactive": False}
    if spec.provide_cluster_info:
        about: dict[str, object] = {"server": cluster.server}
        if cluster.tls_server_name:
            about["tls-server-name"] = cluster.tls_server_name
        if cluster.insecure:
            about["insecure-skip-tls-verify"] = True
        if cluster.ca:
            about["certificate-authority-data"] = base64.b64encode(_ca(cluster)).decode("ascii")
        if cluster.proxy_url:
            about["proxy-url"] = cluster.proxy_url
        if cluster.exec_config is not None:
            about["config"] = cluster.exec_config
        inner["cluster"] = about
    document = {"apiVersion": spec.api_version, "kind": "ExecCredential", "spec": inner}
    return json.dumps(document, default=str)


def _ca(cluster: ClusterEntry) -> bytes:
    try:
        return cluster.ca.read()
    except KubeConfigError as error:
        raise LoginExpired(error.message, hint=error.hint) from None


def _last_words(err: bytes) -> str:
    """The last line of the error output that says something."""
    lines = [line.strip() for line in err[-8192:].decode("utf-8", "replace").splitlines()]
    return redact(clean(next((line for line in reversed(lines) if line), ""), 300))


def _issued(spec: ExecSpec, name: str, out: bytes, hint: str) -> Issued:
    try:
        document = json.loads(out[:_OUTPUT_LIMIT])
        kind, version = document["kind"], document["apiVersion"]
        status = document.get("status") or {}
        token = status.get("token") or ""
        cert, key = status.get("clientCertificateData") or "", status.get("clientKeyData") or ""
        expires = _moment(status.get("expirationTimestamp"))
        well_typed = all(isinstance(value, str) for value in (token, cert, key))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise LoginExpired(f"{name} printed no ExecCredential", hint=hint) from None
    if kind != "ExecCredential" or version != spec.api_version or not well_typed:
        raise LoginExpired(f"{name} printed a credential of another version or kind", hint=hint)
    if bool(cert) != bool(key) or not (token or cert):
        raise LoginExpired(f"{name} gave neither a token nor a certificate with its key", hint=hint)
    return Issued(token, expires, cert.encode(), key.encode())


def _moment(text: object) -> float | None:
    """Seconds since the epoch of an RFC 3339 time."""
    if not isinstance(text, str) or not text:
        return None
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
