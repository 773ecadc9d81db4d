"""The commands that cards show for queues, sessions, alerts and backups, pasted as they are: they do the same.

Those for workloads, nodes and pods are pasted where these actions are tested. The tools are set up as on a person's
machine: by their own configuration files, so that a command needs no address and no password."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from planc_tui.actions.base import Plan
from planc_tui.actions.silence import SilenceAlert, SilenceEnd
from planc_tui.core.database import ServerSession
from planc_tui.core.table import Target
from tests.cluster.acting_kit import Acting
from tests.cluster.actions_kit import bench_of, create, namespace_of, plain_pod, until
from tests.cluster.rig.layout import NAMESPACE
from tests.cluster.rig.rig import Rig
from tests.cluster.rig.workload import kubectl_program
from tests.cluster.test_queue_actions import Broker, number_of, target
from tests.cluster.test_session_actions import Client, alive, row, runs, seen

pytestmark = pytest.mark.cluster


@pytest.fixture
def acting(rig: Rig, tmp_path: Path) -> Iterator[Acting]:
    made = Acting(rig, tmp_path)
    yield made
    made.close()


@pytest.fixture
def broker(rig: Rig) -> Iterator[Broker]:
    made = Broker(rig)
    yield made
    made.close()


def paste(rig: Rig, home: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a person's shell."""
    where, login = rig.endpoints, rig.endpoints.rabbitmq_user
    for config in ("amtool/config.yml", "prometheus/amtool.yml"):  # upstream's place and Debian's
        (home / ".config" / config).parent.mkdir(parents=True, exist_ok=True)
        (home / ".config" / config).write_text(f"alertmanager.url: {where.alertmanager}\n")
    (home / ".rabbitmqadmin.conf").write_text(
        f"[default]\nhostname = 127.0.0.1\nport = {where.ports['management']}\n"
        f"username = {login.user}\npassword = {login.password}\n"
    )
    environment = {
        "PATH": f"{where.scratch}/bin:{Path(kubectl_program(where)).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
        "KUBECONFIG": where.kubeconfig,
        "HOME": str(home),
        "LANG": "C.UTF-8",
    }
    return subprocess.run(
        ["sh", "-c", command], env=environment, cwd=home, capture_output=True, text=True, timeout=60, check=False
    )


def test_peek(rig: Rig, acting: Acting, broker: Broker, tmp_path: Path) -> None:
    broker.put(6)
    (command,) = acting.prepare("queue-peek", target(), count="2").plan.equivalents
    done = paste(rig, tmp_path, command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("00000") >= 2
    assert broker.ready() == 6
    assert number_of(broker.read()[0][0]) == 0


def test_no_command_stands_for_the_purge(acting: Acting, broker: Broker) -> None:
    broker.put(6)
    assert acting.prepare("queue-purge", target()).plan.equivalents == (), "none saves the messages first"


def test_cancel_terminate_and_all_older(rig: Rig, acting: Acting) -> None:
    with Client(rig, "one") as one, Client(rig, "two") as two, Client(rig, "spared") as spared:
        for client in (one, two, spared):
            client.run("SELECT pg_sleep(60)")
            runs(acting, client)
        (cancel,) = acting.prepare("cancel-query", row(acting, one)).plan.equivalents
        assert rig.psql(cancel) == "t"
        assert one.ended() == "57014"  # the query alone: the session stands
        assert alive(rig, one.pid)
        one.connection.rollback()
        one.run("SELECT pg_sleep(59)")
        runs(acting, one)
        assert rig.psql(cancel) == ""  # its next query is not hit
        plan = older(acting, [seen(acting, client) for client in (one, two)])
        assert len(plan.equivalents) == 1
        assert rig.psql(plan.equivalents[0]) == "t\nt"
        until(lambda: not alive(rig, one.pid) and not alive(rig, two.pid), "the two sessions to end", 10)
        (terminate,) = acting.prepare("terminate", row(acting, spared)).plan.equivalents
        assert alive(rig, spared.pid)
        assert rig.psql(terminate) == "t"
        until(lambda: not alive(rig, spared.pid), "the session to end", 10)
        assert rig.psql(terminate) == ""


def older(acting: Acting, sessions: list[ServerSession]) -> Plan:
    """The plan for these sessions an hour from now."""
    found = {"now": time.time() + 3600, "sessions": tuple(sessions), "context": acting.cluster.context}
    everywhere = Target("Database", "database", "", "database", acting.cluster.context)
    plan = acting.executor.actions["terminate-older"].plan(found, everywhere, {"minutes": "5"})
    assert isinstance(plan, Plan)
    return plan


@pytest.mark.skipif(shutil.which("amtool") is None, reason="amtool is not installed (apt: prometheus-alertmanager)")
def test_a_silence_made_and_ended(rig: Rig, tmp_path: Path) -> None:
    alert = Target("Alert", "Api Down", "shop", "f1", "planc-test")
    matchers = ["alertname=\"Planc 'pasted'\"", 'service=~"a|b"']
    found = {"matchers": matchers, "muted": [], "already": 0, "all": 0, "context": "planc-test"}
    plan = SilenceAlert().plan(found, alert, {"minutes": "90"})
    assert isinstance(plan, Plan)
    done = paste(rig, tmp_path, plan.equivalents[0])
    assert done.returncode == 0, done.stderr
    identifier = done.stdout.strip()
    made = silence(rig, identifier)
    known = sorted((one["name"], one["value"], one["isRegex"]) for one in made["matchers"])
    assert known == [("alertname", "Planc 'pasted'", False), ("service", "a|b", True)]
    assert (made["createdBy"], made["comment"]) == ("planc", "planc: Api Down")
    found = {"silence": identifier, "matchers": matchers, "by": "planc", "context": "planc-test"}
    ending = SilenceEnd().plan(found, alert, {})
    assert isinstance(ending, Plan)
    assert paste(rig, tmp_path, ending.equivalents[0]).returncode == 0
    assert silence(rig, identifier)["status"]["state"] == "expired"


def silence(rig: Rig, identifier: str) -> Any:
    """A silence as the server keeps it."""
    with urllib.request.urlopen(f"{rig.endpoints.alertmanager}/api/v2/silence/{identifier}", timeout=5) as answer:
        return json.load(answer)


def test_a_backup(rig: Rig, tmp_path: Path) -> None:
    with bench_of(rig, tmp_path / "state") as bench:
        prepared = bench.prepare("backup", Target("Namespace", NAMESPACE, NAMESPACE))
        dump, objects = prepared.plan.equivalents
        for command in (dump, objects):
            done = paste(rig, tmp_path, command)
            assert done.returncode == 0, done.stderr
        text = subprocess.run(["zstd", "-dc", str(tmp_path / "dump.sql.zst")], capture_output=True, check=True).stdout
        assert b"PostgreSQL database dump complete" in text[-200:]
        kinds = set(prepared.plan.payload["kinds"])
        assert {"ConfigMap", "Deployment"} <= kinds
        written = (tmp_path / "objects.yaml").read_text(encoding="utf-8")
        assert {line.split()[1] for line in written.splitlines() if line.startswith("  kind: ")} <= kinds
        assert "kind: Secret" not in written


def test_an_eviction_is_bound_to_the_pod_that_was_shown(rig: Rig, tmp_path: Path) -> None:
    with bench_of(rig, tmp_path / "state") as bench, namespace_of(rig, "planc-paste") as space:
        create(rig, plain_pod("bare", space))
        (command,) = bench.prepare("pod-evict", bench.target("Pod", "bare", space)).plan.equivalents
        rig.kubectl("-n", space, "delete", "pod", "bare")
        create(rig, plain_pod("bare", space))
        done = paste(rig, tmp_path, command)
        assert done.returncode != 0
        assert "uid" in done.stderr.lower()
        (command,) = bench.prepare("pod-evict", bench.target("Pod", "bare", space), grace="0").plan.equivalents
        assert paste(rig, tmp_path, command).returncode == 0
        until(lambda: "bare" not in rig.kubectl("-n", space, "get", "pods", "-o", "name"), "the pod to go", 20)
