"""Checks single kubeconfig entries and makes values of them.

Invariant: an entry that passes is complete and well-typed; one that does not is one line that names it.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from planc_tui.backends.kubernetes.model import (
    ClusterEntry,
    ExecSpec,
    Impersonation,
    KubeConfigError,
    Pem,
    UserEntry,
)

_EXEC_EXTENSION = "client.authentication.k8s.io/exec"
_EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
_INTERACTIVE = ("Never", "IfAvailable", "Always")


class _Reader:
    """Typed access to one entry; `where` names it in errors."""

    def __init__(self, entry: Mapping[str, Any], where: str, folder: str) -> None:
        self._entry = entry
        self.where = where
        self._folder = folder

    def fail(self, text: str, hint: str = "") -> KubeConfigError:
        return KubeConfigError(f"{self.where}: {text}", hint=hint)

    def text(self, key: str) -> str:
        value = self._entry.get(key)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.fail(f"{key} must be text", hint="put the value in quotes")
        return value

    def flag(self, key: str) -> bool:
        value = self._entry.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.fail(f"{key} must be true or false")
        return bool(value)

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._entry.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.fail(f"{key} must be a list of texts", hint="put each value in quotes")
        return tuple(value)

    def keys(self, key: str) -> Mapping[str, Any]:
        value = self._entry.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.fail(f"{key} must hold keys")
        return value

    def path(self, key: str) -> str:
        value = self.text(key)
        return os.path.normpath(os.path.join(self._folder, value)) if value else ""

    def pem(self, key: str) -> Pem:
        data = self.text(f"{key}-data")
        try:
            return Pem(self.path(key), base64.b64decode(data, validate=False))
        except (binascii.Error, ValueError):
            raise self.fail(f"{key}-data is not base64") from None


def cluster_entry(name: str, entry: Mapping[str, Any], folder: str) -> ClusterEntry:
    """The cluster `name`; relative paths start at `folder`. Raises KubeConfigError."""
    reader = _Reader(entry, f'cluster "{name}"', folder)
    server = reader.text("server").rstrip("/")
    try:
        parts = urlsplit(server)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise reader.fail(
            "server must be a URL such as https://host:6443" if server else "no server is set",
            hint=f"kubectl config set-cluster {name} --server=https://HOST:PORT",
        )
    ca, insecure = reader.pem("certificate-authority"), reader.flag("insecure-skip-tls-verify")
    if insecure and ca:
        raise reader.fail("insecure-skip-tls-verify and a certificate authority exclude each other")
    return ClusterEntry(
        name=name,
        server=server,
        ca=ca,
        insecure=insecure,
        tls_server_name=reader.text("tls-server-name"),
        proxy_url=reader.text("proxy-url"),
        exec_config=_exec_config(entry),
    )


def _exec_config(entry: Mapping[str, Any]) -> Mapping[str, object] | None:
    extensions = entry.get("extensions")
    for item in extensions if isinstance(extensions, list) else []:
        if isinstance(item, dict) and item.get("name") == _EXEC_EXTENSION:
            config = item.get("extension")
            return config if isinstance(config, dict) else None
    return None


def user_entry(name: str, entry: Mapping[str, Any], folder: str) -> UserEntry:
    """The user `name`; relative paths start at `folder`. Raises KubeConfigError."""
    reader = _Reader(entry, f'user "{name}"', folder)
    token = reader.text("token")
    provider = reader.keys("auth-provider")
    if provider and not token:
        token = _provider_token(reader, provider)
    cert, key = reader.pem("client-certificate"), reader.pem("client-key")
    if bool(cert) != bool(key):
        raise reader.fail("a client certificate needs a client key, and the other way round")
    extra = reader.keys("as-user-extra")
    return UserEntry(
        name=name,
        token=token,
        token_file=reader.path("tokenFile"),
        username=reader.text("username"),
        password=reader.text("password"),
        cert=cert,
        key=key,
        plugin=_plugin(reader, folder) if reader.keys("exec") else None,
        impersonation=Impersonation(
            user=reader.text("as"),
            groups=reader.texts("as-groups"),
            uid=reader.text("as-uid"),
            extra=tuple(
                (str(key), str(value))
                for key, values in extra.items()
                for value in (values if isinstance(values, list) else [values])
            ),
        ),
    )


def _provider_token(reader: _Reader, provider: Mapping[str, Any]) -> str:
    """The token of a legacy auth-provider. planc does not renew it: kubectl does, in the file."""
    config = provider.get("config")
    token = config.get("id-token") if isinstance(config, dict) else None
    if provider.get("name") == "oidc" and isinstance(token, str):
        return token
    raise reader.fail(
        f"auth-provider {provider.get('name')} is not supported", hint="use an exec credential plugin instead"
    )


def _plugin(reader: _Reader, folder: str) -> ExecSpec:
    plugin = _Reader(reader.keys("exec"), f"{reader.where} exec", folder)
    command = plugin.text("command")
    if not command:
        raise plugin.fail("no command is set")
    version = plugin.text("apiVersion")
    if version not in _EXEC_VERSIONS:
        raise plugin.fail(
            f"apiVersion {version or 'is missing'}; planc knows {' and '.join(_EXEC_VERSIONS)}",
            hint="upgrade the credential plugin",
        )
    mode = plugin.text("interactiveMode") or "IfAvailable"
    if mode not in _INTERACTIVE:
        raise plugin.fail(f"interactiveMode must be one of {', '.join(_INTERACTIVE)}")
    pairs = reader.keys("exec").get("env")
    env: list[tuple[str, str]] = []
    for pair in pairs if isinstance(pairs, list) else []:
        item = _Reader(pair if isinstance(pair, dict) else {}, f"{reader.where} exec env", folder)
        env.append((item.text("name"), item.text("value")))
    return ExecSpec(
        command=command,
        args=plugin.texts("args"),
        env=tuple(env),
        api_version=version,
        interactive_mode=mode,
        provide_cluster_info=plugin.flag("provideClusterInfo"),
        install_hint=plugin.text("installHint"),
        directory=folder,
    )
