"""The emergency backup on the real cluster: taken, broken in every way, checked, and restored."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyrage
import pytest
import yaml

from planc_tui.actions import backup_files
from planc_tui.actions.base import Risk
from planc_tui.actions.executor import Run, State
from planc_tui.core.ports import NotFound
from planc_tui.core.table import Target
from tests.cluster.actions_kit import Bench, bench_of, with_backup
from tests.cluster.rig.layout import NAMESPACE
from tests.cluster.rig.rig import Rig

pytestmark = pytest.mark.cluster

SPACE = Target("Namespace", NAMESPACE, NAMESPACE)


@pytest.fixture
def bench(rig: Rig, tmp_path: Path) -> Iterator[Bench]:
    with bench_of(rig, tmp_path / "state") as made:
        made.use(with_backup(made.playbook, tmp_path / "backups"))
        yield made


def taken(bench: Bench, **args: str) -> tuple[Run, Path]:
    run = bench.act("backup", SPACE, **args)
    assert run.receipt is not None
    return run, Path(run.receipt.data["folder"])


def verify(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "planc"), "backup", "verify", str(folder), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def refused(folder: Path) -> str:
    """What verify says of a bad backup."""
    done = verify(folder)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def dsn(rig: Rig) -> str:
    login, where = rig.endpoints.postgres_superuser, rig.endpoints
    return f"host=127.0.0.1 port={where.ports['postgres']} user={login.user} password={login.password} dbname=postgres"


def test_a_backup_restores_and_applies(bench: Bench) -> None:
    run, folder = taken(bench)
    assert "checked" in run.progress
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    # No recipients: Secrets are left out, and nothing that looks like one is on the disk.
    assert not list(folder.glob("secret*"))
    password = bench.rig.endpoints.postgres_user.password.encode()
    assert not any(password in path.read_bytes() for path in folder.glob("*.yaml"))
    for path in sorted(folder.glob("*.yaml")):
        documents = [one for one in yaml.safe_load_all(path.read_bytes()) if one]
        if documents:
            said = bench.rig.kubectl("apply", "--dry-run=server", "-f", str(path))
            assert len(said.splitlines()) == len(documents), said
    done = verify(folder, "--dsn", dsn(bench.rig))
    assert done.returncode == 0, done.stderr
    tables = [line for line in done.stdout.splitlines() if line.endswith("rows restored")]
    assert tables
    for line in tables:
        table, _, rest = line.partition(": ")
        counted = int(bench.rig.psql(f"SELECT count(*) FROM {table}"))
        assert int(rest.split()[0]) == counted or table.endswith(("jobs", "events")), line
    assert "planc_verify" not in bench.rig.psql("SELECT string_agg(datname, ',') FROM pg_database")


def test_verify_finds_what_is_wrong(bench: Bench, tmp_path: Path) -> None:
    _, folder = taken(bench)
    assert verify(folder).returncode == 0
    dump = folder / "dump.sql.zst"
    good = dump.read_bytes()
    for damage, expected in (
        (good[:-10], "does not match its checksum"),
        (good + b"x", "does not match its checksum"),
    ):
        dump.write_bytes(damage)
        assert expected in refused(folder)
    dump.write_bytes(good)
    (folder / "extra").touch()
    assert "not in the manifest" in refused(folder)
    (folder / "extra").unlink()
    (folder / "services.yaml").unlink()
    assert "services.yaml is missing" in refused(folder)
    (folder / "manifest.json").write_text("{")
    assert "no readable manifest.json" in refused(folder)
    assert "is no folder" in verify(tmp_path / "nothing").stderr
    threading.Event().wait(1.1)
    assert "psql" in verify(taken(bench)[1], "--dsn", "host=127.0.0.1 port=1 user=x").stderr


def test_secrets_encrypted_or_plain(bench: Bench, tmp_path: Path) -> None:
    assert "no age recipients" in bench.refusal("backup", SPACE, secrets="encrypted").reason
    plain = bench.prepare("backup", SPACE, secrets="plain")
    assert (plain.plan.risk, plain.plan.confirm_word) == (Risk.HIGH, "plain")
    identity = pyrage.x25519.Identity.generate()
    bench.use(with_backup(bench.playbook, tmp_path / "sealed", (str(identity.to_public()),)))
    _, folder = taken(bench)
    sealed = (folder / "secrets.yaml.age").read_bytes()
    opened = [one for one in yaml.safe_load_all(pyrage.decrypt(sealed, [identity])) if one]
    assert opened
    assert {one["kind"] for one in opened} == {"Secret"}
    text = yaml.safe_dump_all(opened)
    said = bench.rig.kubectl("apply", "--dry-run=server", "-f", "-", stdin=text)
    assert len(said.splitlines()) == len(opened)
    bench.use(with_backup(bench.playbook, tmp_path / "bad", ("age1nonsense",)))
    run = bench.run(bench.prepare("backup", SPACE), State.FAILED)
    assert "no age recipient" in run.progress


def broken(bench: Bench, folder: Path) -> Run:
    """A backup that breaks off: earlier backups stay as they are, its own folder is marked."""
    earlier = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    run = bench.run(bench.prepare("backup", SPACE), State.FAILED)
    assert "is incomplete" in run.progress
    assert all(path.read_bytes() == content for path, content in earlier.items())
    (partial,) = folder.glob("*.partial")
    assert verify(partial).returncode == 1
    return run


class Tampered:
    """The port with another way to run commands."""

    def __init__(self, port: Any, command: tuple[str, ...]) -> None:
        self._port, self._command = port, command

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def execute(self, namespace: str, pod: str, container: str, _command: tuple[str, ...], **more: Any) -> Any:
        return self._port.execute(namespace, pod, container, self._command, **more)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        # kwok's exec tells of an exit code other than 0 as an internal error, a kubelet tells the code.
        ("pg_dump -U postgres workflow & sleep 0.05; kill -9 $!; wait $!", "error executing command in container"),
        ("pg_dump -U postgres no_such_database", "error executing command in container"),
        ("pg_dump -U postgres workflow | head -c 2000", "no end marker"),
    ],
)
def test_a_broken_dump(bench: Bench, tmp_path: Path, command: str, expected: str) -> None:
    taken(bench)
    threading.Event().wait(1.1)  # the folder's name has a resolution of a second
    bench.port = Tampered(bench.port, ("sh", "-c", command))  # type: ignore[assignment]  # a port in front of the port
    bench.executor = bench.console("me")
    assert expected in broken(bench, tmp_path / "backups").progress


def test_the_disk_is_full(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken(bench)
    threading.Event().wait(1.1)

    def full(self: backup_files.Writer, data: bytes) -> None:
        if self.raw_size > 1000:
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(backup_files.Writer, "_put", full)
    assert "No space left on device" in broken(bench, tmp_path / "backups").progress


def test_too_little_room_is_said_before(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planc_tui.actions.backup.LEAST_FREE", 1 << 62)
    assert "make room first" in bench.refusal("backup", SPACE).reason


def test_the_pod_is_gone(bench: Bench, tmp_path: Path) -> None:
    elsewhere = Target("Namespace", "default", "default")
    assert "not found" in bench.refusal("backup", elsewhere).reason

    class Gone(Tampered):
        def execute(self, *_: Any, **__: Any) -> Any:
            raise NotFound('pods "postgres-0" not found')

    bench.port = Gone(bench.port, ())  # type: ignore[assignment]  # a port in front of the port
    bench.executor = bench.console("me")
    assert "not found" in broken(bench, tmp_path / "backups").progress


def test_a_cancel_leaves_a_marked_folder(bench: Bench, tmp_path: Path) -> None:
    bench.port = Tampered(bench.port, ("sleep", "20"))  # type: ignore[assignment]  # a port in front of the port
    bench.executor = bench.console("me")
    run = bench.start(bench.prepare("backup", SPACE))
    while not list((tmp_path / "backups").glob("*.partial/dump*")):
        threading.Event().wait(0.05)
    bench.executor.cancel(run.id)
    over = bench.finish(30)
    assert over.state is State.CANCELLED
    assert "is incomplete" in over.progress


def test_the_manifest_says_what_was_left_out(bench: Bench) -> None:
    _, folder = taken(bench)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert (manifest["secrets"], manifest["namespace"], manifest["context"]) == ("omit", NAMESPACE, "planc-test")
    assert msgspec.convert([row["size"] for row in manifest["files"]], type=list[int])
