"""The real console while PostgreSQL, RabbitMQ or Prometheus is stopped, frozen or refuses the password.

The pane of the system says so, the others do not notice, keys are answered, and it is live again within ten seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.cluster.console_kit import Console
from tests.cluster.fixtures import make_whole
from tests.cluster.rig.rig import Rig
from tests.faults.console_looks import BACK_WITHIN, KUBE, OTHERS, all_live, answers_keys, console_on, live, stale
from tests.real import running_rig

pytestmark = pytest.mark.cluster

# A value is old 29 s after it was read: 24 s to the next read, 5 s for its answer. The screen looks once a second.
NOTICED_WITHIN = 31.0
# The read that tells why can begin late, where planc has asked much in the last minute.
SAID_WITHIN = 15.0
PANES = {"postgres": "Database", "rabbitmq": "Queues", "prometheus": "SLO", "alertmanager": "Alerts"}


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    found = running_rig()
    yield found
    make_whole(found)


@pytest.fixture(scope="module")
def console(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """One console for all faults: that it outlives them is part of the test."""
    home = tmp_path_factory.mktemp("console")
    with console_on(rig, home, "--kubeconfig", rig.endpoints.kubeconfig) as running:
        yield running


@pytest.mark.parametrize("part", PANES)
@pytest.mark.parametrize("how", ["stop", "freeze"])
def test_system_away(
    rig: Rig, console: Console, part: str, how: str, record_property: Callable[[str, object], None]
) -> None:
    pane = PANES[part]
    rest = tuple(name for name in KUBE + OTHERS if name != pane)
    all_live(console)
    getattr(rig, how)(part)
    try:
        noticed = console.wait(lambda: "◌ stale" in console.title(pane), NOTICED_WITHIN, f"{pane} stale")
        record_property("noticed", noticed)
        assert live(console, rest), console.screen()
        answers_keys(console, f"{part}: {how}", record_property)
        console.wait(lambda: says_when(console), SAID_WITHIN, "when it tries again")
        assert live(console, rest), console.screen()
    finally:
        (rig.start if how == "stop" else rig.thaw)(part)
    record_property("back", took := all_live(console, 20))
    assert took < BACK_WITHIN


PASSWORDS = {"Database": ("postgres",), "Queues": ("rabbitmq",), "both": ("postgres", "rabbitmq")}


@pytest.mark.parametrize("parts", PASSWORDS.values(), ids=PASSWORDS)
def test_the_password_is_refused(
    rig: Rig, console: Console, parts: tuple[str, ...], record_property: Callable[[str, object], None]
) -> None:
    panes = tuple(PANES[part] for part in parts)
    names = " and ".join(panes)
    rest = tuple(name for name in KUBE + OTHERS if name not in panes)
    all_live(console)
    for part in parts:
        CHANGE[part](rig, "another")
    try:
        record_property(
            "noticed",
            console.wait(lambda: log_in(console, panes), NOTICED_WITHIN, f"{' and '.join(panes)}: login expired"),
        )
        assert "another" not in console.screen()
        assert live(console, rest), console.screen()
        answers_keys(console, f"{names} refuse", record_property)
        if len(panes) > 1:
            time.sleep(15.0)  # the tries have come to their usual distance
            assert live(console, rest), console.screen()
    finally:
        for part in parts:
            CHANGE[part](rig, None)
    record_property("back", took := all_live(console, 20))
    assert took < BACK_WITHIN


def change_postgres(rig: Rig, password: str | None) -> None:
    """Set the password of the console's role and end its connection. None: the right one."""
    who = rig.endpoints.postgres_superuser
    rig.psql(f"ALTER ROLE {who.user} PASSWORD '{password or who.password}'")
    if password is not None:
        rig.psql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE pid <> pg_backend_pid() AND usename = '{who.user}'"
        )


def change_rabbitmq(rig: Rig, password: str | None) -> None:
    """Set the password of the console's user and end its connections. None: the right one."""
    who = rig.endpoints.rabbitmq_user
    rig.rabbitmqctl("change_password", who.user, password or who.password)
    if password is not None:
        rig.rabbitmqctl("close_all_connections", "test")


CHANGE: dict[str, Callable[[Rig, str | None], None]] = {"postgres": change_postgres, "rabbitmq": change_rabbitmq}


def log_in(console: Console, panes: tuple[str, ...]) -> bool:
    """Whether all these panes say that the login is refused."""
    return all("login expired" in console.title(pane) for pane in panes)


def says_when(console: Console) -> bool:
    """Whether a pane says that its source tries again, or is trying."""
    screen = console.screen()
    return "next try within" in screen or "trying again" in screen


@pytest.mark.parametrize("how", ["stop", "freeze"])
def test_all_systems_away_at_once(
    rig: Rig, console: Console, how: str, record_property: Callable[[str, object], None]
) -> None:
    panes = tuple(PANES.values())
    all_live(console)
    for part in PANES:
        getattr(rig, how)(part)
    try:
        record_property("noticed", console.wait(lambda: stale(console, panes), NOTICED_WITHIN, "all of them stale"))
        assert live(console, KUBE), console.screen()
        answers_keys(console, f"all systems: {how}", record_property)
        time.sleep(12.0)  # the tries have come to their usual distance
        assert live(console, KUBE), console.screen()
    finally:
        for part in PANES:
            (rig.start if how == "stop" else rig.thaw)(part)
    record_property("back", took := all_live(console, 30))
    assert took < BACK_WITHIN
