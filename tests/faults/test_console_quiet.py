"""The real console on a healthy cluster: how much it asks, how little it writes, what it lets through, how it ends."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pika
import psycopg
import pytest

from tests.cluster.console_kit import SMALL, Console
from tests.cluster.fault_proxy import FaultProxy
from tests.cluster.fixtures import make_whole
from tests.cluster.rig.logwriter import LogPlan, frame, write_plan
from tests.cluster.rig.rig import Rig
from tests.faults.console_looks import all_live, answers_keys, console_on
from tests.real import running_rig

pytestmark = pytest.mark.cluster

BUDGET = 30
HOSTILE = "\x1b]0;PWN\x07\x1b[31;5mPWN\x9b2JPWN \u202ePWN\u2066 [bold red]PWN[/] \x00PWN"


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    found = running_rig()
    yield found
    make_whole(found)


@contextlib.contextmanager
def behind_proxy(rig: Rig, tmp_path: Path) -> Iterator[tuple[FaultProxy, Console]]:
    """A console that has come to rest, and the proxy that counts what it asks of the API server."""
    with FaultProxy(rig) as proxy:
        kubeconfig = proxy.kubeconfig(tmp_path / "kubeconfig")
        with console_on(rig, tmp_path, "--kubeconfig", str(kubeconfig)) as console:
            all_live(console)
            time.sleep(5)
            yield proxy, console


def test_thirty_requests_a_minute_beyond_the_watches(
    rig: Rig, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with behind_proxy(rig, tmp_path) as (proxy, console):
        start = time.monotonic()
        time.sleep(60)
        asked = proxy.between(start, start + 60)
        short = [one for one in asked if not one.long]
        console.command("stats")
        console.wait_for("requests in the last minute")
        said = re.search(r"(\d+) requests in the last minute", console.screen())
        assert said is not None
        record_property("beyond watches", dict(proxy.by_path(short)))
        record_property("streams opened", dict(proxy.by_path([one for one in asked if one.long])))
        record_property(":stats", console.screen())
        assert len(short) <= BUDGET
        assert int(said.group(1)) <= BUDGET, console.screen()
        for source, path in (("link", "/version"), ("pod usage", "/pods"), ("node usage", "/nodes")):
            row = re.search(rf"\b{source} +(\d+)", console.screen())
            counted = sum(one.path.endswith(path) for one in short)
            assert row is not None
            assert abs(int(row.group(1)) - counted) <= 1, (source, counted, console.screen())


def test_zooming_to_and_fro_asks_no_more(
    rig: Rig, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with behind_proxy(rig, tmp_path) as (proxy, console):
        start, zooms = time.monotonic(), 0
        while time.monotonic() - start < 60:
            for key in ("\t", "z", "z"):
                console.press(key)
                time.sleep(0.7)
            zooms += 1
        asked = proxy.between(start, start + 60)
        console.command("stats")
        console.wait_for("requests in the last minute")
        said = re.search(r"(\d+) requests in the last minute", console.screen())
        assert said is not None
        record_property("zooms", zooms)
        record_property("beyond watches", dict(proxy.by_path([one for one in asked if not one.long])))
        record_property(":stats", console.screen())
        assert [one for one in asked if one.long] == [], "no watch and no log is reopened"
        assert int(said.group(1)) <= BUDGET, console.screen()


def at_rest(console: Console) -> None:
    """Wait until every system has answered, no age is below a minute, and the clock is between full minutes.

    Ages below a minute move every ten seconds; the longer ones and the header's clock move at the full minute.
    """
    time.sleep(10)
    deadline = time.monotonic() + 150
    while re.search(r"\b\d{1,2}s\b", console.screen()) or not 4 <= datetime.now(UTC).second <= 45:
        assert time.monotonic() < deadline, console.screen()
        time.sleep(0.5)


def test_nothing_is_written_while_nothing_changes(
    rig: Rig, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    write_plan(Path(rig.endpoints.logs), LogPlan(rate=0.0))
    try:
        arguments = ("--kubeconfig", rig.endpoints.kubeconfig)
        with console_on(rig, tmp_path, *arguments, size=SMALL) as console:
            console.wait_for("Running")
            console.press("0")
            console.wait_for("Rollouts")
            at_rest(console)
            sent = console.sent_during(11)
            record_property("bytes in 11 s", len(sent))
            assert sent == b"", sent
    finally:
        write_plan(Path(rig.endpoints.logs), LogPlan())


@contextlib.contextmanager
def hostile_session(rig: Rig) -> Iterator[None]:
    """A session whose SQL and name carry escape sequences, for as long as the block lasts."""
    sql = "SELECT pg_sleep(60) -- " + HOSTILE.replace("\x00", "")
    with psycopg.connect(rig.endpoints.postgres_dsn(), autocommit=True, application_name="\x1b[31mPWN") as session:

        def run() -> None:
            with contextlib.suppress(psycopg.Error):
                session.execute(sql.encode())

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield
        session.cancel()
        thread.join(10)


@contextlib.contextmanager
def hostile_queue(rig: Rig) -> Iterator[None]:
    """A queue with escape sequences in its name."""
    name = "PWNqueue" + HOSTILE.replace("\x00", "")
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(rig.endpoints.amqp_url()))) as connection:
        channel = connection.channel()
        channel.queue_declare(name)
        yield
        channel.queue_delete(name)


def test_hostile_names_lines_and_sql_show_harmlessly(
    rig: Rig, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    log = next(Path(rig.endpoints.logs, "pods").glob("workflow-scalability-app-*.log"))
    arguments = ("--kubeconfig", rig.endpoints.kubeconfig)
    with hostile_session(rig), hostile_queue(rig), console_on(rig, tmp_path, *arguments) as console:
        all_live(console)
        with log.open("ab") as file:
            file.write(frame("ERROR PWNline " + HOSTILE).encode())
            file.write(frame("ERROR PWNbytes ").encode().replace(b"PWNbytes ", b"PWNbytes \xff\xfe\xc3 end"))
            file.write(frame("ERROR PWNlong " + "x" * 1_000_000).encode())
            file.write(frame("ERROR PWNafter").encode())
        for text in ("PWNline", "PWNbytes", "PWNlong", "PWNafter", "PWNqu", "pg_sleep"):
            console.wait_for(text, 25)
        assert "[bold red]PWN[/]" in console.screen(), "markup is text"
        answers_keys(console, "hostile text is on the screen", record_property)
        console.press("8")
        time.sleep(0.5)
        console.press("\r")
        console.wait_for("PWN[/]")
        raw = bytes(console.raw)
    text = raw.decode(errors="strict")
    assert set(re.findall(rb"\x1b](\d+);", raw)) <= {b"22"}, "only the pointer's shape is set by such a sequence"
    assert b"31;5m" not in raw
    assert b"\x00" not in raw
    assert re.search(rb"\x07", re.sub(rb"\x1b]22;\w+\x07", b"", raw)) is None
    assert not re.search("[\x80-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]", text)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_the_terminal_as_it_was(rig: Rig, tmp_path: Path, number: signal.Signals, code: int) -> None:
    with console_on(rig, tmp_path, "--kubeconfig", rig.endpoints.kubeconfig) as console:
        all_live(console)
        console.kill(number)
        assert console.ended(3) == code
        assert console.modes_left_on() == []


CRASH = """
from planc_tui.ui.screens.room import Room
tick, left = Room.tick, [3]
def failing(self):
    left[0] -= 1
    if left[0] < 0:
        password = "hunter2"
        self.app.call_later(lambda: {}[password])
    tick(self)
Room.tick = failing
from planc_tui.cli import main
main()
"""


def test_a_crash_leaves_the_terminal_as_it_was(rig: Rig, tmp_path: Path) -> None:
    arguments = ("--kubeconfig", rig.endpoints.kubeconfig, "--playbook", rig.endpoints.playbook)
    with Console(tmp_path, *arguments, program=("-c", CRASH)) as console:
        assert console.ended(15) == 1
        assert console.modes_left_on() == []
        assert "planc failed (KeyError)" in console.tail()
        assert "hunter2" not in console.tail()
        assert "Traceback" not in console.tail()
