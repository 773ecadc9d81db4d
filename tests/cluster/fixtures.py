"""Fixtures that give tests the real cluster.

Invariant: a cluster that the tests started ends with them; one that was given by $PLANC_TEST_STATE is left running.
Import `rig` and `breakable_rig` into a conftest.py, or use them in tests/cluster.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.rig.processes import alive
from tests.cluster.rig.rig import Rig, down, up
from tests.cluster.rig.workload import wait_workload
from tests.conftest import state_dir


def quiet(text: str) -> None:
    """Prints progress where pytest captures it."""
    print(text, flush=True)


@pytest.fixture(scope="session")
def rig() -> Iterator[Rig]:
    """The running cluster: the one of $PLANC_TEST_STATE, or one that is started for this run."""
    given = state_dir()
    if given:
        yield Rig(given)
        return
    with tempfile.TemporaryDirectory(prefix="planc-rig-") as folder:
        state = Path(folder) / "state"
        try:
            yield up(state, quiet)
        finally:
            down(state, quiet)


@pytest.fixture
def breakable_rig(rig: Rig) -> Iterator[Rig]:
    """The cluster for a test that breaks it: whole, healed and Ready again afterwards."""
    yield rig
    make_whole(rig)


def make_whole(rig: Rig) -> None:
    """Thaws and starts every part, undoes every break, and waits for the workload."""
    for name, entry in rig.registry.read().items():
        if alive(entry):
            rig.thaw(name)
        elif entry.spec.kept:
            rig.start(name)
    rig.heal()
    if not rig.endpoints.external_control_plane:
        rig.wait_ready("kube-apiserver")
    wait_workload(rig.endpoints, quiet)
