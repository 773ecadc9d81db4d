"""What is loaded when: quick start and pure layers are kept by looking at the modules of a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

DRIVERS = (
    "kubernetes",
    "pika",
    "psycopg",
    "prometheus_api_client",
    "requests",
    "urllib3",
    "websocket",
    "apprise",
    "pagerduty",
    "httpx2",
)


def loaded(code: str) -> set[str]:
    """Top-level modules after running `code` in a fresh interpreter."""
    tail = "import json, sys; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{tail}"], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("package", ["core", "incident", "journal", "playbook"])
def test_pure_layers_load_no_textual_and_no_driver(package: str) -> None:
    code = (
        f"import importlib, pkgutil, planc_tui.{package} as package\n"
        "for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "    importlib.import_module(found.name)"
    )
    assert loaded(code) & {"textual", *DRIVERS} == set()


def test_help_loads_no_textual_and_no_driver() -> None:
    code = (
        "from click.testing import CliRunner\n"
        "from planc_tui.cli import planc\n"
        "assert CliRunner().invoke(planc, ['--help']).exit_code == 0"
    )
    assert loaded(code) & {"textual", *DRIVERS} == set()


def test_the_console_loads_no_driver_before_its_first_frame() -> None:
    assert loaded("import planc_tui.ui.app, planc_tui.wiring") & set(DRIVERS) == set()


def test_of_the_kubernetes_package_the_client_alone_is_loaded() -> None:
    code = (
        "import sys\n"
        "from planc_tui.backends.kubernetes.official import load_client\n"
        "api_client, configuration = load_client()\n"
        "assert api_client.__name__ == 'ApiClient' and configuration.__name__ == 'Configuration'\n"
        "parts = {name for name in sys.modules if name.startswith('kubernetes.')}\n"
        "assert not parts & {'kubernetes.config', 'kubernetes.dynamic', 'kubernetes.informer'}, parts\n"
        "import kubernetes\n"
        "assert not hasattr(kubernetes, 'nothing')\n"
        "assert kubernetes.config.load_kube_config, 'the rest loads when it is asked for'"
    )
    assert "kubernetes" in loaded(code)


def test_actions_load_no_driver() -> None:
    assert loaded("from planc_tui.actions.registry import load; assert load()[1] == {}") & set(DRIVERS) == set()
