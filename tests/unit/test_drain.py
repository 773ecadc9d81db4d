"""A drain against a server that says no, says wait, or says nothing."""

from __future__ import annotations

from collections import defaultdict, deque
from typing import Any

import msgspec
import pytest

from planc_tui.actions.base import Outcome, Plan, Ports, Receipt, Stopped
from planc_tui.actions.drain import Drain
from planc_tui.actions.kube import Json
from planc_tui.core.clock import FakeClock
from planc_tui.core.ports import Denied, NotFound, PortError, Rejected, Throttled, Unreachable
from planc_tui.core.table import Target
from planc_tui.playbook.loader import default

NODE = Target("Node", "n1", "", "n1", "prod")
HELD = Rejected("Cannot evict pod as it would violate the pod's disruption budget.", code=429)


def pod(number: int) -> Json:
    owner = {"kind": "ReplicaSet", "name": "rs", "uid": "r1", "controller": True}
    meta = {"name": f"app-{number}", "namespace": "shop", "uid": f"p{number}", "ownerReferences": [owner]}
    return {"metadata": meta, "spec": {}, "status": {"phase": "Running"}}


class Server:
    """Evicts at once, unless the next answer for a pod is an error."""

    context = "prod"

    def __init__(self, pods: int) -> None:
        self.pods = {f"app-{number}": pod(number) for number in range(pods)}
        self.answers: dict[str, deque[PortError]] = defaultdict(deque)
        self.evictions: list[str] = []
        self.cordoned = False

    def request(self, method: str, path: str, **_: Any) -> bytes:
        name = path.split("/pods/")[-1].removesuffix("/eviction")
        if method == "PATCH":
            self.cordoned = True
        elif method == "POST":
            self._evict(name)
        elif path.endswith("/nodes/n1"):
            meta = {"name": "n1", "uid": "n1", "resourceVersion": "1"}
            return msgspec.json.encode({"metadata": meta, "spec": {"unschedulable": self.cordoned}})
        elif "/pods/" in path:
            if name not in self.pods:
                raise NotFound("gone")
            return msgspec.json.encode(self.pods[name])
        else:
            return msgspec.json.encode({"items": list(self.pods.values()) if path.endswith("/pods") else []})
        return b"{}"

    def _evict(self, name: str) -> None:
        self.evictions.append(name)
        if self.answers[name]:
            raise self.answers[name].popleft()
        self.pods.pop(name, None)


class Tray:
    """Keeps every line; cancels when one contains `stop_at`."""

    def __init__(self, stop_at: str = "\0") -> None:
        self.lines: list[str] = []
        self._stop_at = stop_at

    @property
    def cancelled(self) -> bool:
        return any(self._stop_at in line for line in self.lines)

    def __call__(self, progress: str) -> None:
        self.lines.append(progress)
        if self.cancelled:
            raise Stopped(progress)


def bench(pods: int = 3) -> tuple[Server, Ports, Plan]:
    server = Server(pods)
    ports = Ports(server, FakeClock(), list, list, default())  # type: ignore[arg-type]  # fakes
    plan = Drain().plan(Drain().inspect(ports, NODE, {}), NODE, {})
    assert isinstance(plan, Plan)
    return server, ports, plan


def test_everybody_goes_some_at_a_time() -> None:
    server, ports, plan = bench(25)
    tray = Tray()
    receipt = Drain().execute(ports, plan, tray)
    assert (receipt.partial, server.pods, len(server.evictions)) == ("", {}, 25)
    assert Drain().verify(ports, plan, receipt).outcome is Outcome.RECOVERED
    assert Drain().undo(plan, receipt) == ("uncordon", NODE, {})


@pytest.mark.parametrize(
    "error",
    [HELD, Throttled("slow down"), Unreachable("no answer"), Denied("namespace shop is being terminated")],
)
def test_what_may_pass_is_asked_again_after_five_seconds(error: PortError) -> None:
    server, ports, plan = bench()
    server.answers["app-1"].extend([error, error])
    tray = Tray()
    began = ports.clock.monotonic()
    assert Drain().execute(ports, plan, tray).partial == ""
    assert server.evictions.count("app-1") == 3
    assert 10.0 <= ports.clock.monotonic() - began <= 12.0
    assert any(f"2/3 pods gone; waiting: app-1: {error.message}" in line for line in tray.lines)


@pytest.mark.parametrize("error", [Rejected("two budgets", code=500), Denied("you may not")])
def test_what_will_not_pass_ends_it_and_says_which_half(error: PortError) -> None:
    server, ports, plan = bench()
    server.answers["app-1"].append(error)
    receipt = Drain().execute(ports, plan, Tray())
    assert receipt.partial == (
        f"{error.message}; 0/3 pods gone, 1 evicted and going, left: app-1, app-2; "
        "the node is still cordoned: uncordon it to use it again"
    )
    assert error.message.startswith("app-1: ")
    verdict = Drain().verify(ports, plan, receipt)
    assert (verdict.outcome, verdict.progress) == (Outcome.FAILED, receipt.partial)
    assert Drain().undo(plan, receipt) == ("uncordon", NODE, {})


def test_the_deadline_passes() -> None:
    server, ports, plan = bench()
    server.answers["app-0"].extend([HELD] * 1000)
    receipt = Drain().execute(ports, plan, Tray())
    assert "not drained within 900 s: 2/3 pods gone, left: app-0; the node is still cordoned" in receipt.partial


def test_a_cancel_says_who_is_left_and_offers_uncordon() -> None:
    server, ports, plan = bench()
    server.answers["app-0"].extend([HELD] * 1000)
    with pytest.raises(Stopped) as stopped:
        Drain().execute(ports, plan, Tray("waiting"))
    assert "left: app-0; the node is still cordoned" in stopped.value.done
    assert stopped.value.receipt is not None
    assert Drain().undo(plan, stopped.value.receipt) == ("uncordon", NODE, {})


def test_a_node_that_was_cordoned_before_stays_so() -> None:
    server, ports, _ = bench(1)
    server.cordoned = True
    plan = Drain().plan(Drain().inspect(ports, NODE, {}), NODE, {})
    assert isinstance(plan, Plan)
    assert Drain().undo(plan, Drain().execute(ports, plan, Tray())) is None


def test_a_killed_drain_is_not_taken_for_a_finished_one() -> None:
    server, ports, plan = bench()
    assert Drain().verify(ports, plan, Receipt()).outcome is Outcome.FAILED
    server.cordoned = True
    assert Drain().verify(ports, plan, Receipt()).progress == "3 pods still here: app-0"
