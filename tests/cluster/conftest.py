"""Gives the tests of this folder the real cluster, and those of actions an executor and a namespace on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.actions_kit import Bench, bench_of, namespace_of
from tests.cluster.fixtures import breakable_rig, rig
from tests.cluster.rig.rig import Rig

__all__ = ["bench", "breakable_rig", "rig", "space"]


@pytest.fixture(scope="module")
def bench(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The real executor, one for a file's tests."""
    with bench_of(rig, tmp_path_factory.mktemp("state")) as made:
        yield made


@pytest.fixture
def space(rig: Rig, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own, named after its file."""
    with namespace_of(rig, f"planc-{request.path.stem.rpartition('_')[2]}") as name:
        yield name
