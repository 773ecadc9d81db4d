"""The real console while the API server is stopped, frozen, throttling or talking nonsense, and while logins differ.

Every test looks at what a person sees: the words in the panes, how soon a key is answered, and when it is live again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.console_kit import SMALL
from tests.cluster.fault_proxy import FaultProxy, Mode
from tests.cluster.fixtures import make_whole
from tests.cluster.rig.rig import Rig
from tests.faults.console_looks import BACK_WITHIN, KUBE, OTHERS, all_live, answers_keys, console_on, live, stale
from tests.real import running_rig

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    found = running_rig()
    yield found
    make_whole(found)


FAULTS: dict[str, tuple[Callable[[Rig], None], Callable[[Rig], None], str]] = {
    "killed": (lambda rig: rig.stop("apiserver", kill=True), lambda rig: rig.start("apiserver"), "refuse|reset"),
    "frozen": (lambda rig: rig.freeze("apiserver"), lambda rig: rig.thaw("apiserver"), "no answer"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_api_server_away(rig: Rig, tmp_path: Path, fault: str, record_property: Callable[[str, object], None]) -> None:
    begin, end, word = FAULTS[fault]
    with console_on(rig, tmp_path, "--kubeconfig", rig.endpoints.kubeconfig) as console:
        all_live(console)
        begin(rig)
        try:
            record_property("noticed", console.wait(lambda: stale(console, KUBE), 20, "Kubernetes panes stale"))
            assert live(console, OTHERS), console.screen()
            answers_keys(console, f"the API server is {fault}", record_property)
            screen = console.screen()
            assert re.search(word, screen.splitlines()[1]), screen
            assert "next try within" in screen
            assert "22/22" in console.title("Pods") or "Running" in screen, "the last rows stay"
        finally:
            end(rig)
        record_property("back", took := all_live(console, 20))
        assert took < BACK_WITHIN


WRONG: dict[Mode, str] = {
    "429": "slow down",
    "500": "answers 500",
    "garbage": "not JSON",
    "silent": "no answer",
}


# A pulse's answer that is silent, and a second pulse where the server was heard just before the first.
SAID_WITHIN = 5.0


@pytest.mark.parametrize("mode", WRONG)
def test_api_server_answers_wrongly(
    rig: Rig, tmp_path: Path, mode: Mode, record_property: Callable[[str, object], None]
) -> None:
    with FaultProxy(rig) as proxy:
        kubeconfig = proxy.kubeconfig(tmp_path / "kubeconfig")
        with console_on(rig, tmp_path, "--kubeconfig", str(kubeconfig)) as console:
            all_live(console)
            proxy.mode(mode)
            began = time.monotonic()
            watched = tuple(pane for pane in KUBE if not pane.startswith("Top"))
            record_property("noticed", console.wait(lambda: stale(console, watched), 20, f"stale while {mode}"))
            assert live(console, OTHERS), console.screen()
            # A watch that ends tells of itself first; the pulse that says why comes after it.
            words = (WRONG[mode], "takes requests again")
            console.wait(lambda: any(word in console.screen() for word in words), SAID_WITHIN, f"why while {mode}")
            answers_keys(console, f"the API server answers {mode}", record_property)
            time.sleep(max(0.0, began + 10 - time.monotonic()))
            asked = proxy.between(began + 2, began + 10)
            record_property("requests in 8 s", len(asked))
            assert len(asked) <= 6, proxy.by_path(asked)
            proxy.mode("pass", cut=mode == "silent")
            record_property("back", took := all_live(console, 20))
            assert took < BACK_WITHIN


def test_metrics_server_away_is_the_trouble_of_usage_alone(
    rig: Rig, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    usage = ("Top CPU", "Top memory")
    rest = tuple(pane for pane in KUBE + OTHERS if pane not in usage)
    rig.stop("metrics-server")
    try:
        with console_on(rig, tmp_path, "--kubeconfig", rig.endpoints.kubeconfig) as console:
            console.wait(lambda: live(console, rest), 25, "the other panes live")
            console.wait(lambda: all("✖ unreachable" in console.title(p) for p in usage), 20, "usage unreachable")
            assert "kubectl get apiservice" in console.screen()
            answers_keys(console, "metrics-server is away", record_property)
            rig.start("metrics-server")
            # metrics-server itself answers only once it has measured twice.
            rig.kubectl("wait", "--for=condition=Available", "apiservice/v1beta1.metrics.k8s.io", "--timeout=90s")
            record_property("back", took := all_live(console, 20))
            assert took < BACK_WITHIN
    finally:
        make_whole(rig)


CONTEXTS: dict[str, tuple[dict[str, str], tuple[str, ...]]] = {
    "viewer": (
        {"Pods": "●", "HPA": "⊘ denied", "Top CPU": "⊘ denied", "Nodes": "⊘ denied"},
        ("to list nodes", "auth can-i"),
    ),
    "nologs": ({"Pods": "●", "HPA": "●", "Errors": "⊘ denied", "Top CPU": "⊘ denied"}, ("pods/log",)),
    "nobody": (
        dict.fromkeys(KUBE, "⊘ denied"),
        ("not allowed to list pods", "not allowed to list horizontalpodautoscalers"),
    ),
    "expired": (dict.fromkeys(KUBE, "⚿ login expired"), ("run:",)),
    "unreachable": (dict.fromkeys(KUBE, "✖ unreachable"), ("next try within", "127.0.0.1:1")),
}


@pytest.mark.parametrize("context", CONTEXTS)
def test_what_a_context_may_not_is_said_pane_by_pane(
    rig: Rig, tmp_path: Path, context: str, record_property: Callable[[str, object], None]
) -> None:
    titles, words = CONTEXTS[context]
    with console_on(rig, tmp_path, "--kubeconfig", rig.endpoints.kubeconfig, "--context", context) as console:
        console.wait(lambda: live(console, OTHERS), 20, "the other systems live")
        console.wait(
            lambda: all(word in console.title(pane) for pane, word in titles.items()), 15, f"as {context} may see it"
        )
        screen = console.screen()
        assert [word for word in words if word not in screen] == [], screen
        answers_keys(console, f"context {context}", record_property)


@pytest.mark.parametrize("size", [SMALL], ids=["80x24"])
def test_small_terminal_says_it_too(
    rig: Rig, tmp_path: Path, size: tuple[int, int], record_property: Callable[[str, object], None]
) -> None:
    arguments = ("--kubeconfig", rig.endpoints.kubeconfig, "--context", "unreachable")
    with console_on(rig, tmp_path, *arguments, size=size) as console:
        console.wait_for("✖ unreachable")
        console.wait_for("next try within")
        answers_keys(console, "unreachable at 80x24", record_property)


@pytest.mark.parametrize("context", ["unreachable", "frozen"])
def test_quitting_takes_no_time_whatever_hangs(
    rig: Rig, tmp_path: Path, context: str, record_property: Callable[[str, object], None]
) -> None:
    frozen = ("apiserver", "postgres", "rabbitmq", "prometheus", "alertmanager")
    try:
        with console_on(rig, tmp_path, "--kubeconfig", rig.endpoints.kubeconfig) as console:
            all_live(console)
            if context == "frozen":
                for part in frozen:
                    rig.freeze(part)
                console.wait(lambda: stale(console, ("Pods", "Database")), 30, "stale")
            console.press(":")
            time.sleep(0.3)
            console.press("q")
            time.sleep(0.3)
            console.press("\r")
            started = time.monotonic()
            assert console.ended() == 0
            record_property("quit", took := time.monotonic() - started - 0.1)
            assert took < 0.5, "the aim is 0.3 s"
            assert console.modes_left_on() == []
    finally:
        for part in frozen:
            rig.thaw(part)
