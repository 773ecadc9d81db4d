"""What a kubeconfig says about one context, as values.

Invariant: nothing here reads a file or sends a byte, and no repr shows a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from planc_tui.core.ports import NotConfigured


class KubeConfigError(NotConfigured):
    """The kubeconfig cannot be used; one line for people, hint says what to do."""


@dataclass(frozen=True, slots=True)
class ContextInfo:
    """Whom a context goes to and as whom. server: the URL of the API server; namespace: the one to open."""

    context: str
    cluster: str
    user: str
    server: str
    namespace: str

    @property
    def address(self) -> str:
        """Host and port of the API server, for people."""
        parts = urlsplit(self.server)
        host = parts.hostname or self.server
        if ":" in host:
            host = f"[{host}]"
        return f"{host}:{parts.port or (80 if parts.scheme == 'http' else 443)}"


@dataclass(frozen=True, slots=True)
class Impersonation:
    """Act as somebody else (`--as`, `--as-group`, `--as-uid`). extra: (key, value) pairs."""

    user: str = ""
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.user or self.groups or self.uid or self.extra)


@dataclass(frozen=True, slots=True)
class Pem:
    """PEM from a file or from the kubeconfig itself; the inline data wins, as in kubectl."""

    file: str = ""
    data: bytes = field(default=b"", repr=False)

    def __bool__(self) -> bool:
        return bool(self.file or self.data)

    def read(self) -> bytes:
        """The bytes. Raises KubeConfigError when the file cannot be read."""
        if self.data or not self.file:
            return self.data
        try:
            with open(self.file, "rb") as stream:
                return stream.read()
        except OSError as error:
            raise KubeConfigError(
                f"cannot read {self.file}: {error.strerror}", hint="the kubeconfig names this file"
            ) from None


@dataclass(frozen=True, slots=True)
class ClusterEntry:
    """One cluster. exec_config: what the cluster's extension hands to credential plugins."""

    name: str
    server: str
    ca: Pem = Pem()
    insecure: bool = False
    tls_server_name: str = ""
    proxy_url: str = field(default="", repr=False)
    exec_config: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class ExecSpec:
    """A credential plugin (client.authentication.k8s.io). directory: of the kubeconfig that names it."""

    command: str
    args: tuple[str, ...] = field(default=(), repr=False)
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    api_version: str = "client.authentication.k8s.io/v1"
    interactive_mode: str = "IfAvailable"
    provide_cluster_info: bool = False
    install_hint: str = ""
    directory: str = ""


@dataclass(frozen=True, slots=True)
class UserEntry:
    """How to log in. At most one of the ways is used, in kubectl's order."""

    name: str = ""
    token: str = field(default="", repr=False)
    token_file: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    cert: Pem = Pem()
    key: Pem = Pem()
    plugin: ExecSpec | None = None
    impersonation: Impersonation = Impersonation()


@dataclass(frozen=True, slots=True)
class Target:
    """Everything a port needs to reach one context. environ: for proxies and credential plugins."""

    info: ContextInfo
    cluster: ClusterEntry
    user: UserEntry
    impersonation: Impersonation
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)
