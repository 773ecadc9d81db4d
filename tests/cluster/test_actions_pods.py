"""Pods deleted and evicted on the real API server: by uid, within budgets, and never by a dry run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from planc_tui.actions.executor import Prepared, State
from planc_tui.actions.kube import get, list_all
from tests.cluster.actions_kit import (
    Bench,
    bench_of,
    create,
    namespace_of,
    plain_pod,
    workload,
    rolled_out,
)
from tests.cluster.rig.rig import Rig

pytestmark = pytest.mark.cluster


@pytest.fixture
def bench(rig: Rig, tmp_path: Path) -> Iterator[Bench]:
    with bench_of(rig, tmp_path) as made:
        yield made


@pytest.fixture
def space(rig: Rig) -> Iterator[str]:
    with namespace_of(rig, "planc-pods") as name:
        yield name


def test_the_card_alone_deletes_nothing(bench: Bench, space: str) -> None:
    create(bench.rig, plain_pod("bare", space))
    prepared = bench.prepare("pod-delete", bench.target("Pod", "bare", space))
    assert prepared.dry_run == "accepted"
    assert "deletionTimestamp" not in get(bench.port, "Pod", space, "bare")["metadata"]
