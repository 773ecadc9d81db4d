"""The running test cluster for tests that need the real servers, and the ports built for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from planc_tui.backends.systems import Systems, open_systems
from planc_tui.core.clock import SystemClock
from planc_tui.core.stats import RequestStats
from planc_tui.playbook.loader import default
from planc_tui.playbook.model import HttpSystem, PostgresSystem, RabbitmqSystem, SecretFrom
from planc_tui.playbook.model import Systems as Ways
from tests.cluster.rig.rig import Rig
from tests.conftest import servers_dir, state_dir
from tests.systems_kit import FakeCluster


def running_rig() -> Rig:
    """The cluster of $PLANC_TEST_STATE, to break; skips the test, visibly, when there is none."""
    return _rig(state_dir(), "needs a test cluster of its own (make test-cluster)")


def servers() -> Rig:
    """A running cluster whose servers are asked and not harmed: people may be using it."""
    return _rig(servers_dir(), "needs the real servers (make cluster, or make test-cluster)")


def _rig(state: Path | None, missing: str) -> Rig:
    if state is None:
        pytest.skip(missing)
    return Rig(state)


def ways(rig: Rig, **changed: Any) -> Ways:
    """How to reach the rig's servers directly; `changed` replaces a system."""
    where = rig.endpoints
    ports = where.ports
    given: dict[str, Any] = {
        "postgres": PostgresSystem(
            dsn=f"host=127.0.0.1 port={ports['postgres']}",
            user=where.postgres_superuser.user,
            database=where.postgres_database,
            password=SecretFrom(file=where.postgres_superuser.password_file),
        ),
        "rabbitmq": rabbitmq(rig, management=HttpSystem(url=where.management)),
        "prometheus": HttpSystem(url=where.prometheus),
        **changed,
    }
    return Ways(**given)


def rabbitmq(rig: Rig, **changed: Any) -> RabbitmqSystem:
    """The rig's broker over AMQP alone, unless `changed` adds the management API."""
    where = rig.endpoints
    given: dict[str, Any] = {
        "url": f"amqp://127.0.0.1:{where.ports['amqp']}",
        "user": where.rabbitmq_user.user,
        "password": SecretFrom(file=where.rabbitmq_user.password_file),
        **changed,
    }
    return RabbitmqSystem(**given)


def open_ways(
    chosen: Ways, cluster: FakeCluster | None = None, stats: RequestStats | None = None, **environ: str
) -> Systems:
    """The ports of Plan C's playbook with these ways."""
    playbook = msgspec.structs.replace(default(), systems=chosen)
    return open_systems(playbook, cluster or FakeCluster(), "ns", stats or RequestStats(), SystemClock(), environ)


def eventually(what: Callable[[], bool], seconds: float) -> float:
    """Wait until `what` is true; returns the seconds that took, and fails the test after `seconds`."""
    started = time.monotonic()
    while not what():
        if time.monotonic() - started > seconds:
            pytest.fail(f"not within {seconds:.0f} s")
        time.sleep(0.05)
    return time.monotonic() - started
