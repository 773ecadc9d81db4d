"""The emergency backup on the real cluster: taken, broken in every way, checked, and restored."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyrage
import pytest
import yaml
from msgspec.structs import replace

from planc_tui.actions.base import Risk
from planc_tui.actions.executor import Run, State
from planc_tui.core.table import Target
from planc_tui.playbook.model import PostgresTarget
from tests.cluster.actions_kit import Bench, bench_of, create, plain_pod, until, with_backup
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


DUMPER = f"planc_dumper_{os.getpid()}"
# A name of its own for each: what the kubelet still has to do for a pod that went is not to hit the next one.
SOURCES = (f"planc-dump-source-{number}" for number in itertools.count(1))
BIG = "planc_test_big"


@pytest.fixture
def big(bench: Bench, tmp_path: Path) -> Iterator[Bench]:
    """A dump of some 100 MB, more than all buffers on the way hold, by a login of its own, from a pod of its own that a
    test may delete."""
    rig = bench.rig
    rig.psql(f"DROP TABLE IF EXISTS {BIG}; CREATE TABLE {BIG} AS SELECT n, repeat(md5(n::text), 30) AS line "
             "FROM generate_series(1, 100000) AS n; DROP ROLE IF EXISTS {0}; CREATE ROLE {0} LOGIN SUPERUSER"
             .format(DUMPER))  # fmt: skip  # rows as a person reads them
    name = next(SOURCES)
    create(rig, plain_pod(name, NAMESPACE))
    until(lambda: rig.kubectl("-n", NAMESPACE, "get", "pod", name, "-o", "jsonpath={.status.phase}") == "Running", "")
    targets = bench.playbook.targets
    source = PostgresTarget(pod=name, user=DUMPER, database="workflow")
    bench.use(msgspec.structs.replace(bench.playbook, targets=msgspec.structs.replace(targets, postgres=source)))
    yield bench
    for pid in dumpers():
        os.kill(pid, signal.SIGKILL)
    until(lambda: not backends(rig), "pg_dump's session to end")
    rig.psql(f"DROP TABLE {BIG}; DROP ROLE {DUMPER}")
    rig.kubectl("-n", NAMESPACE, "delete", "pod", name, "--ignore-not-found", "--force", "--grace-period=0")


def source_of(bench: Bench) -> str:
    """The pod that the dump is taken from."""
    postgres = bench.playbook.targets.postgres
    assert postgres is not None
    return postgres.pod


def backends(rig: Rig) -> str:
    """Pids of the dump's sessions in PostgreSQL."""
    return rig.psql(f"SELECT pid FROM pg_stat_activity WHERE usename = '{DUMPER}'")


def dumpers() -> list[int]:
    """Pids of pg_dump itself, which runs on this machine."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cmdline").read_bytes().split(b"\0")[1:3] == [b"-U", DUMPER.encode()]:
                found.append(int(entry.name))
    return found


class Held:
    """The port, with a dump that stands still once its first megabyte is there, until it may go on."""

    def __init__(self, port: Any) -> None:
        self._port = port
        self.midway, self.go = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def execute(self, *where: Any, stdout: Callable[[bytes], None], **more: Any) -> Any:
        size = 0

        def slow(data: bytes) -> None:
            nonlocal size
            stdout(data)
            size += len(data)
            if size > 1 << 20 and not self.midway.is_set():
                self.midway.set()
                self.go.wait(30)

        return self._port.execute(*where, stdout=slow, **more)


@pytest.mark.parametrize(
    ("fate", "expected"),
    [
        ("session", 'Dumping the contents of table "planc_test_big" failed'),
        ("process", "error executing command in container"),
        ("pod", "pod {source} is gone"),
    ],
)
def test_what_breaks_in_the_middle_of_a_dump_is_named(big: Bench, tmp_path: Path, fate: str, expected: str) -> None:
    rig, folder = big.rig, tmp_path / "backups"
    taken(big)
    threading.Event().wait(1.1)
    earlier = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    held = Held(big.port)
    big.port = held  # type: ignore[assignment]  # a port in front of the port
    big.executor = big.console("me")
    big.start(big.prepare("backup", SPACE))
    assert held.midway.wait(30)
    if fate == "session":
        assert rig.psql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{DUMPER}'") == "t"
    else:  # what the kubelet does to a container that goes
        [pid] = dumpers()
        os.kill(pid, signal.SIGKILL)
    if fate == "pod":
        rig.kubectl("-n", NAMESPACE, "delete", "pod", source_of(big), "--force", "--grace-period=0")
    held.go.set()
    run = big.finish(60)
    assert run.state is State.FAILED
    assert expected.format(source=source_of(big)) in run.progress, run.progress
    assert "is incomplete" in run.progress
    assert all(path.read_bytes() == content for path, content in earlier.items())
    (partial,) = folder.glob("*.partial")
    assert (partial / "dump.sql.zst").stat().st_size > 0
    assert "broke off before it was complete" in refused(partial)


def test_a_pod_that_went_after_the_card_stops_the_yes(big: Bench, tmp_path: Path) -> None:
    prepared, source = big.prepare("backup", SPACE), source_of(big)
    big.rig.kubectl("-n", NAMESPACE, "delete", "pod", source, "--force", "--grace-period=0")
    run = big.run(prepared, State.REFUSED)
    assert f"pod/{source} no longer exists" in run.progress
    create(big.rig, plain_pod(source, NAMESPACE))
    assert "was replaced by another object" in big.run(prepared, State.REFUSED).progress
    assert not (tmp_path / "backups").exists()
    elsewhere = Target("Namespace", "default", "default")
    assert "not found" in big.refusal("backup", elsewhere).reason


@contextlib.contextmanager
def almost_full(folder: Path) -> Iterator[None]:
    """A file system with 256 KiB left; where none can be mounted, a limit of that size for every file."""
    folder.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=72m", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (256 << 10, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        return
    try:
        with (folder / "other").open("wb") as other:
            os.posix_fallocate(other.fileno(), 0, (72 << 20) - (256 << 10))
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_the_disk_is_full(big: Bench, tmp_path: Path) -> None:
    _, earlier = taken(big)
    assert verify(earlier).returncode == 0
    folder = tmp_path / "small"
    big.use(with_backup(big.playbook, folder))
    prepared = big.prepare("backup", SPACE)
    with almost_full(folder):
        run = big.run(prepared, State.FAILED)
        assert re.search("No space left on device|File too large", run.progress), run.progress
        assert "the backup broke off" in run.progress
        (partial,) = folder.glob("*.partial")
        assert "broke off before it was complete" in refused(partial)
        assert "make room first" in big.refusal("backup", SPACE).reason or not os.path.ismount(folder)
    assert verify(earlier).returncode == 0


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
    # What the next console says of one whose console was killed there, and of one that was killed before it began.
    killed = replace(over, state=State.UNKNOWN, receipt=None)
    found = bench.console("the next one").verify_unknown(killed)
    assert found.state is State.FAILED
    assert ".partial is incomplete" in found.progress
    for path in sorted((tmp_path / "backups").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert bench.console("another").verify_unknown(killed).progress == "nothing was written"


def test_the_manifest_says_what_was_left_out(bench: Bench) -> None:
    _, folder = taken(bench)
    manifest = json.loads((folder / "manifest.json").read_bytes())
    assert (manifest["secrets"], manifest["namespace"], manifest["context"]) == ("omit", NAMESPACE, "planc-test")
    assert msgspec.convert([row["size"] for row in manifest["files"]], type=list[int])
