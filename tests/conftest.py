"""What every test gets: a home of its own, no configuration of the developer's, and no network setting."""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

import pytest

_FOREIGN = (
    "KUBECONFIG", "PLANC_PLAYBOOK", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSERVICE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "NO_COLOR", "SSH_CONNECTION", "SSH_TTY", "TMUX", "STY", "TEXTUAL_FPS", "TEXTUAL_THEME",
)  # fmt: skip  # rows as a person reads them


_CHECKOUT = Path(__file__).parents[1]
_SERVERS = {
    "kube-apiserver": "Kubernetes", "postgres": "PostgreSQL", "rabbitmq": "RabbitMQ", "prometheus": "Prometheus",
    "alertmanager": "Alertmanager",
}  # fmt: skip  # rows as a person reads them


# Files that take minutes, the longest first.
_LONG = ("test_console_kube", "test_console_systems", "test_console_quiet", "test_actions_workloads", "test_kube_feeds")


def _given() -> list[str]:
    return [name for name in os.environ.get("PLANC_TEST_STATE", "").split(os.pathsep) if name]


def state_dir() -> Path | None:
    """Folder of the test cluster that $PLANC_TEST_STATE gives to the tests, or None.

    Several folders, with colons between them, are one for each of xdist's workers.
    """
    given = _given()
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw") or 0)
    if not given:
        return None
    path = Path(given[worker % len(given)])
    return path.resolve() if (path / "endpoints.json").exists() else None


@functools.cache
def servers_dir() -> Path | None:
    """Folder of the cluster for tests that break nothing: the given one, else the checkout's own when it is well."""
    path = _CHECKOUT / ".cluster"
    return state_dir() or (path if _answers(path) == list(_SERVERS.values()) else None)


def _answers(state: Path) -> list[str]:
    """Which of the real servers of a cluster answer now."""
    if not (state / "endpoints.json").exists():
        return []
    from tests.cluster.rig.layout import load_endpoints
    from tests.cluster.rig.rig import answers

    where = load_endpoints(state)
    return [word for part, word in _SERVERS.items() if answers(where, part)]


def pytest_report_header(config: pytest.Config) -> str:
    """Say which real servers take part, so that a skip is never silent."""
    own = "Alertmanager (started by its tests), " if shutil.which("prometheus-alertmanager") else ""
    state = servers_dir()
    if state is not None:
        names = " and ".join(Path(name).name for name in _given()) or state.name
        return f"real servers: {own}{', '.join(_answers(state)) or 'none that answers'} of {names}"
    found = _answers(_CHECKOUT / ".cluster")
    if found:
        return f"real servers: {own or 'none: '}only {', '.join(found)} of .cluster answer (make cluster starts all)"
    return f"real servers: {own}none of .cluster (make cluster starts them, make test-cluster starts its own)"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests on real servers keep to one worker: those of a file together, or all of them where there is one cluster.

    A journey is long enough to go alone. Files that take minutes come first, so that no worker is left alone with one
    of them at the end (`--no-loadscope-reorder` keeps that order).
    """
    alone = len(_given()) < 2
    for item in items:
        if item.get_closest_marker("server") or item.get_closest_marker("cluster"):
            group = item.name if item.get_closest_marker("journey") else item.path.stem
            item.add_marker(pytest.mark.xdist_group("servers" if alone else group))
    items.sort(key=lambda item: _LONG.index(item.path.stem) if item.path.stem in _LONG else len(_LONG))


@pytest.fixture(autouse=True)
def own_home(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Point HOME and the XDG folders at an empty folder and drop what a developer's shell may set."""
    home = tmp_path_factory.mktemp("home")
    for name in _FOREIGN:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    for name, part in (("CONFIG", ".config"), ("STATE", ".local/state"), ("CACHE", ".cache"), ("DATA", ".local/share")):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / part))
    monkeypatch.setenv("TZ", "UTC")
    return home
