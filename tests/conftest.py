"""What every test gets: a home of its own, no configuration of the developer's, and no network setting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_FOREIGN = (
    "KUBECONFIG", "PLANC_PLAYBOOK", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGSERVICE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
    "NO_COLOR", "SSH_CONNECTION", "SSH_TTY", "TMUX", "STY", "TEXTUAL_FPS", "TEXTUAL_THEME",
)  # fmt: skip


def state_dir() -> Path | None:
    """Folder of the running test cluster, or None."""
    given = os.environ.get("PLANC_TEST_STATE", "")
    path = Path(given)
    return path.resolve() if given and (path / "endpoints.json").exists() else None


def pytest_report_header(config: pytest.Config) -> str:
    """Say which real servers take part, so that a skip is never silent."""
    state = state_dir()
    if state is None:
        return "real servers: none (make test-cluster starts them)"
    return f"real servers: Kubernetes, PostgreSQL, RabbitMQ, Prometheus, Alertmanager of {state.name}"


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
