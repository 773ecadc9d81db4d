"""The rig keeps its word: real parts, kubectl's own answers, and exactly what was started is stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.cluster.rig.faults import blocked_sessions
from tests.cluster.rig.layout import NAMESPACE
from tests.cluster.rig.processes import Recorded, Registry, Spec, alive, start_ticks
from tests.cluster.rig.rig import Rig, answers
from tests.cluster.rig.states import EXPECTED
from tests.cluster.rig.workload import APP, wait_until, wait_usage

pytestmark = pytest.mark.cluster
SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


def app_pods(rig: Rig) -> list[str]:
    """Returns the names of the app's pods."""
    shown = rig.kubectl("get", "pods", "-n", NAMESPACE, "-l", "app=workflow-scalability", "-o", "name")
    return shown.split()


def test_workload_is_ready(rig: Rig) -> None:
    rows = rig.kubectl("get", "pods", "-n", NAMESPACE, "--no-headers").splitlines()
    names = {row.split()[0] for row in rows}
    assert {"postgres-0", "rabbitmq-0"} <= names
    assert sum(name.startswith("workflow-worker-pool") for name in names) == 8
    history = rig.kubectl("rollout", "history", f"deployment/{APP}", "-n", NAMESPACE)
    assert sum(line[:1].isdigit() for line in history.splitlines()) >= 2


def test_usage_and_hpa_are_real(rig: Rig) -> None:
    wait_usage(rig.endpoints, print)
    usage = rig.kubectl("top", "pod", "postgres-0", "-n", NAMESPACE, "--no-headers").split()
    assert 200 <= int(usage[1].removesuffix("m")) <= 240
    assert usage[2] == "900Mi"
    target = "{.status.currentMetrics[0].resource.current.averageUtilization}"

    def utilisation() -> str:
        return rig.kubectl("get", "hpa", APP, "-n", NAMESPACE, "-o", f"jsonpath={target}")

    wait_until(lambda: utilisation().isdigit() and 55 <= int(utilisation()) <= 65, 30, "the HPA to see 60 %")


def test_exec_reaches_the_real_servers(rig: Rig) -> None:
    inside = ("exec", "-n", NAMESPACE)
    assert rig.kubectl(*inside, "postgres-0", "--", "psql", "-Atc", "SELECT 1", "workflow").strip() == "1"
    dump = rig.kubectl(*inside, "postgres-0", "--", "pg_dump", "-U", "postgres", "workflow")
    assert "-- PostgreSQL database dump complete" in dump
    queues = rig.kubectl(*inside, "rabbitmq-0", "--", "rabbitmqctl", "-q", "list_queues", "name")
    assert {"tasks", "dead_letter", "emails"} <= set(queues.split())


def test_every_app_pod_has_a_log_of_its_own(rig: Rig) -> None:
    first, second = (rig.kubectl("logs", "-n", NAMESPACE, name, "--tail=2") for name in app_pods(rig)[:2])
    assert first
    assert first != second


def test_a_wrong_password_is_refused(rig: Rig) -> None:
    login = replace(rig.endpoints.postgres_user, password="wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(rig.endpoints.postgres_dsn(login))


@pytest.mark.parametrize(
    ("context", "verb", "resource", "allowed"),
    [
        ("viewer", "list", "pods", "yes"),
        ("viewer", "list", "deployments.apps", "no"),
        ("nologs", "list", "deployments.apps", "yes"),
        ("nologs", "get", "pods/log", "no"),
        ("nobody", "list", "pods", "no"),
    ],
)
def test_restricted_users(rig: Rig, context: str, verb: str, resource: str, allowed: str) -> None:
    what, _, subresource = resource.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "namespace": NAMESPACE,
                "verb": verb,
                "resource": what.partition(".")[0],
                "group": what.partition(".")[2],
                "subresource": subresource,
            }
        },
    }
    answer = rig.kubectl(
        "create", "--validate=false", "-o", "json", "-f", "-", stdin=json.dumps(review), context=context
    )
    assert json.loads(answer)["status"]["allowed"] == (allowed == "yes")


def test_exporter_obeys_and_prometheus_sees_it(breakable_rig: Rig) -> None:
    breakable_rig.set_traffic(rps=777)
    query = f"{breakable_rig.endpoints.prometheus}/api/v1/query?query=sum(rate(http_requests_total%5B3s%5D))"

    def seen() -> bool:
        with urllib.request.urlopen(query, timeout=5) as response:
            result = json.load(response)["data"]["result"]
        return bool(result) and abs(float(result[0]["value"][1]) - 777) < 20

    wait_until(seen, 15, "Prometheus to see 777 requests a second")


def test_states_are_what_kubectl_prints(breakable_rig: Rig) -> None:
    breakable_rig.break_("states")
    rows = breakable_rig.kubectl("get", "pods", "-n", "states", "--no-headers").splitlines()
    assert {row.split()[0]: row.split()[2] for row in rows} == EXPECTED


def test_undo_heals_a_bad_deploy(breakable_rig: Rig) -> None:
    rig = breakable_rig
    rig.break_("bad-deploy")
    get = ("get", "pods", "-n", NAMESPACE, "--no-headers")
    wait_until(lambda: "CrashLoopBackOff" in rig.kubectl(*get), 30, "a crashing pod")
    rig.kubectl("rollout", "undo", f"deployment/{APP}", "-n", NAMESPACE)
    rig.kubectl("rollout", "status", f"deployment/{APP}", "-n", NAMESPACE, "--timeout=60s")
    wait_until(lambda: "CrashLoopBackOff" not in rig.kubectl(*get), 30, "the crashing pods to go")


def test_lock_blocks_and_ends_with_its_root(breakable_rig: Rig) -> None:
    breakable_rig.break_("lock")
    assert blocked_sessions(breakable_rig.endpoints) == 2
    freed = breakable_rig.psql(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'workflow-batch'"
    )
    assert freed == "1"
    wait_until(lambda: blocked_sessions(breakable_rig.endpoints) == 0, 10, "the lock to be freed")


@pytest.mark.parametrize("part", ["postgres", "prometheus", "exporter"])
def test_stop_freeze_and_start(breakable_rig: Rig, part: str) -> None:
    breakable_rig.freeze(part)
    assert not answers(breakable_rig.endpoints, part)
    breakable_rig.thaw(part)
    breakable_rig.wait_ready(part)
    breakable_rig.stop(part, kill=True)
    assert not answers(breakable_rig.endpoints, part)
    breakable_rig.start(part)
    assert answers(breakable_rig.endpoints, part)


def test_stop_spares_a_process_with_a_reused_pid(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    spec = Spec("sleeper", SLEEPER, str(tmp_path / "log"))
    with subprocess.Popen(SLEEPER, stdout=subprocess.PIPE) as stranger:
        ticks = start_ticks(stranger.pid)
        assert ticks is not None
        registry.record(Recorded(spec, stranger.pid, ticks + 1))
        registry.stop("sleeper")
        assert stranger.poll() is None
        stranger.kill()


def test_stop_ends_what_was_started(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.start(Spec("sleeper", SLEEPER, str(tmp_path / "log")))
    entry = registry.entry("sleeper")
    assert alive(entry)
    started = time.monotonic()
    registry.stop("sleeper")
    assert not alive(entry)
    assert time.monotonic() - started < 5
    assert not registry.is_running("sleeper")
