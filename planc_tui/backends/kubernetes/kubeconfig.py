"""Reads kubeconfig files the way kubectl does.

Invariant: the same files and the same environment select the same cluster and user as kubectl; whatever is wrong is
one line that names the file. Nothing here sends a byte.
"""

from __future__ import annotations

import difflib
import os
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from planc_tui.backends.kubernetes.entries import cluster_entry, user_entry
from planc_tui.backends.kubernetes.model import (
    ClusterEntry,
    ContextInfo,
    Impersonation,
    KubeConfigError,
    Pem,
    Target,
    UserEntry,
)
from planc_tui.core.clock import Clock
from planc_tui.core.stats import RequestStats
from planc_tui.core.text import clean

if TYPE_CHECKING:
    from planc_tui.backends.kubernetes.transport import ApiPort

IN_CLUSTER = "in-cluster"
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# Bytes; thousands of clusters with their certificates fit.
SIZE_LIMIT = 16 << 20
# An entry of a map section and the folder of the file it came from: its relative paths start there.
Entry = tuple[Mapping[str, Any], str]


class KubeConfig:
    """The merged kubeconfig. Built by `load`."""

    def __init__(
        self,
        sections: Mapping[str, Mapping[str, Entry]],
        current: str,
        names: str,
        environ: Mapping[str, str],
        impersonation: Impersonation,
        reload: Callable[[], KubeConfig] | None = None,
    ) -> None:
        self._contexts = sections["contexts"]
        self._clusters = sections["clusters"]
        self._users = sections["users"]
        self._current = current
        self._names = names
        self._environ = environ
        self._impersonation = impersonation
        self._reload = reload

    @property
    def current(self) -> str:
        """Name of the current context; empty when none is set."""
        return self._current

    def contexts(self) -> tuple[str, ...]:
        """Names of all contexts, the current one first, the others in the files' order."""
        others = tuple(name for name in self._contexts if name != self._current)
        return (self._current, *others) if self._current in self._contexts else others

    def info(self, context: str | None = None, namespace: str | None = None) -> ContextInfo:
        """Whom `context` (None: the current one) goes to. Raises KubeConfigError."""
        return self.target(context, namespace).info

    def target(self, context: str | None = None, namespace: str | None = None) -> Target:
        """Everything needed to reach `context`. Raises KubeConfigError."""
        name = context or self._current
        if not name:
            raise KubeConfigError(
                f"no current context in {self._names}",
                hint=f"choose one: planc --context NAME ({_some(self.contexts())})",
            )
        if name not in self._contexts:
            raise self._unknown(name)
        entry, _ = self._contexts[name]
        cluster = self._cluster(name, clean(str(entry.get("cluster") or "")))
        user = self._user(name, clean(str(entry.get("user") or "")))
        info = ContextInfo(
            context=name,
            cluster=cluster.name,
            user=user.name,
            server=cluster.server,
            namespace=namespace or str(entry.get("namespace") or "") or "default",
        )
        return Target(info, cluster, user, self._impersonation or user.impersonation, self._environ)

    def open(self, context: str | None, namespace: str | None, stats: RequestStats, clock: Clock) -> ApiPort:
        """A port to `context`; quick, and sends nothing. Raises KubeConfigError."""
        # Imported here so that reading a kubeconfig costs neither urllib3 nor the Kubernetes client.
        from planc_tui.backends.kubernetes.transport import ApiPort

        target = self.target(context, namespace)
        return ApiPort(target, stats, clock, reread=lambda: self._fresh_user(target.info))

    def _fresh_user(self, info: ContextInfo) -> UserEntry | None:
        """The user of `info` as the files have it now: another program may have logged in meanwhile."""
        if self._reload is None:
            return None
        try:
            target = self._reload().target(info.context)
        except KubeConfigError:
            return None
        same = (target.info.cluster, target.info.user, target.info.server)
        return target.user if same == (info.cluster, info.user, info.server) else None

    def _unknown(self, name: str) -> KubeConfigError:
        names = self.contexts()
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"nearest: {', '.join(near)}" if near else f"there are: {_some(names)}"
        return KubeConfigError(f'no context "{clean(name, 100)}" in {self._names}', hint=hint)

    def _cluster(self, context: str, name: str) -> ClusterEntry:
        if name not in self._clusters:
            raise KubeConfigError(
                f'context "{context}" names cluster "{name}", which {self._names} does not define',
                hint="see: kubectl config view",
            )
        entry, folder = self._clusters[name]
        return cluster_entry(name, entry, folder)

    def _user(self, context: str, name: str) -> UserEntry:
        if not name:
            return UserEntry()
        if name not in self._users:
            raise KubeConfigError(
                f'context "{context}" names user "{name}", which {self._names} does not define',
                hint="see: kubectl config view",
            )
        entry, folder = self._users[name]
        return user_entry(name, entry, folder)


def load(
    environ: Mapping[str, str],
    home: Path,
    *,
    kubeconfig: str | None = None,
    impersonate: Impersonation | None = None,
    service_account: str = SERVICE_ACCOUNT,
) -> KubeConfig:
    """Read the kubeconfig.

    environ: KUBECONFIG, proxies, and what credential plugins inherit. home: holds .kube/config. kubeconfig: one file
    that replaces both, and must exist. service_account: folder of a pod's own account, for use inside a cluster.
    Raises KubeConfigError.
    """
    listed = kubeconfig or environ.get("KUBECONFIG", "")
    paths = [path for path in ([listed] if kubeconfig else listed.split(os.pathsep)) if path]
    chosen = bool(paths)
    paths = paths or [str(home / ".kube" / "config")]
    sections, current, found = _merge(paths, must_exist=bool(kubeconfig))
    acting = impersonate or Impersonation()
    if not sections["contexts"]:
        inside = None if chosen and found else _in_cluster(environ, service_account, acting)
        if inside is not None:
            return inside
        raise _nothing(paths, found)

    def again() -> KubeConfig:
        return load(environ, home, kubeconfig=kubeconfig, impersonate=impersonate, service_account=service_account)

    return KubeConfig(sections, current, ", ".join(found), environ, acting, again)


def _nothing(paths: list[str], found: list[str]) -> KubeConfigError:
    names = ", ".join(clean(path, 200) for path in (found or paths))
    text = f"no contexts in {names}" if found else f"no kubeconfig: {names} does not exist"
    return KubeConfigError(text, hint="set KUBECONFIG, or copy the cluster's kubeconfig to ~/.kube/config")


def _merge(paths: list[str], must_exist: bool) -> tuple[dict[str, dict[str, Entry]], str, list[str]]:
    """All files as one: the first file to name an entry, or the current context, wins."""
    sections: dict[str, dict[str, Entry]] = {"contexts": {}, "clusters": {}, "users": {}}
    current = ""
    found: list[str] = []
    for path in paths:
        document = _read(path, must_exist)
        if document is None:
            continue
        found.append(clean(path, 200))
        folder = os.path.dirname(os.path.abspath(path))
        for section, merged in sections.items():
            for name, body in _named(document, section, path):
                merged.setdefault(name, (body, folder))
        chosen = document.get("current-context")
        if not current and isinstance(chosen, str):
            current = chosen
    return sections, current, found


def _read(path: str, must_exist: bool) -> Mapping[str, Any] | None:
    try:
        with open(path, "rb", opener=_open_at_once) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise KubeConfigError(f"{clean(path, 200)} is not a file")
            if status.st_size > SIZE_LIMIT:
                raise KubeConfigError(f"{clean(path, 200)} is larger than {SIZE_LIMIT >> 20} MiB")
            document = yaml.load(stream, Loader=_LOADER)
    except FileNotFoundError:
        if must_exist:
            raise KubeConfigError(f"{clean(path, 200)} does not exist", hint="--kubeconfig names it") from None
        return None
    except OSError as error:
        raise KubeConfigError(f"cannot read {clean(path, 200)}: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _broken(path, error) from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise KubeConfigError(f"{clean(path, 200)} is not a kubeconfig: it holds no keys")
    return document


def _open_at_once(path: str, flags: int) -> int:
    """A pipe that nobody writes to must not hold planc up."""
    return os.open(path, flags | os.O_NONBLOCK)


def _broken(path: str, error: Exception) -> KubeConfigError:
    mark = getattr(error, "problem_mark", None)
    line = f" line {mark.line + 1}" if mark is not None else ""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "not readable as YAML"
    return KubeConfigError(f"{clean(path, 200)}{line}: {clean(str(problem), 200)}", hint="mend the YAML")


def _named(document: Mapping[str, Any], section: str, path: str) -> list[tuple[str, Mapping[str, Any]]]:
    """The entries of a section: a list of {name, context|cluster|user}."""
    entries = document.get(section)
    if entries is None:
        return []
    where = f"{clean(path, 200)}: {section}"
    if not isinstance(entries, list):
        raise KubeConfigError(f"{where} must be a list")
    result: list[tuple[str, Mapping[str, Any]]] = []
    for index, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name:
            raise KubeConfigError(f"{where}[{index}] has no name", hint="a name must be text, in quotes")
        body = entry.get(section[:-1])
        if body is not None and not isinstance(body, dict):
            raise KubeConfigError(f'{where} "{clean(name, 100)}": {section[:-1]} must hold keys')
        result.append((clean(name, 300), body or {}))
    return result


def _in_cluster(environ: Mapping[str, str], folder: str, impersonation: Impersonation) -> KubeConfig | None:
    """The account of the pod that planc runs in, when it runs in one."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    token = os.path.join(folder, "token")
    if not (host and port and os.path.exists(token)):
        return None
    space = Pem(os.path.join(folder, "namespace"))
    name = f"[{host}]" if ":" in host else host
    sections: dict[str, dict[str, Entry]] = {
        "contexts": {
            IN_CLUSTER: (
                {
                    "cluster": IN_CLUSTER,
                    "user": IN_CLUSTER,
                    "namespace": space.read().decode("utf-8", "replace").strip() if os.path.exists(space.file) else "",
                },
                folder,
            )
        },
        "clusters": {
            IN_CLUSTER: (
                {"server": f"https://{name}:{port}", "certificate-authority": "ca.crt"},
                folder,
            )
        },
        "users": {IN_CLUSTER: ({"tokenFile": "token"}, folder)},
    }
    return KubeConfig(sections, IN_CLUSTER, "the pod's service account", environ, impersonation)


def _some(names: tuple[str, ...]) -> str:
    """A few names for a hint."""
    shown = ", ".join(names[:6])
    return f"{shown}, … {len(names)} in all" if len(names) > 6 else shown
