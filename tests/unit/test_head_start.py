"""The pods come first when a session opens; nothing else waits for them for long."""

from __future__ import annotations

import threading

import pytest

from planc_tui.core.clock import SystemClock
from planc_tui.core.cluster import topics
from planc_tui.core.ports import Unreachable
from planc_tui.core.store import Store
from planc_tui.sources.head_start import HeadStart
from planc_tui.sources.kube import kube_feeds
from tests.unit.fakes import Answer, FakePort

PATH = "/api/v1/namespaces/shop/pods"
PODS = b'{"kind": "PodList", "metadata": {"resourceVersion": "1"}, "items": []}'


@pytest.mark.parametrize("answer", [PODS, Unreachable("away")], ids=["listed", "failed"])
def test_nothing_is_asked_before_the_pods_have_answered(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planc_tui.sources.head_start.LIMIT", 60.0)
    answered, others = threading.Event(), threading.Event()
    port = FakePort()

    def asked() -> None:
        if port.requests[-1].path == PATH:
            assert answered.wait(5)
        else:
            others.set()

    port.on_request = asked
    port.answer(PATH, answer)
    feeds = [f for f in kube_feeds(port, Store(), SystemClock(), "shop").feeds if topics.LINK not in f.topics]
    for feed in feeds:
        feed.want(True)
        feed.start()
    try:
        assert not others.wait(0.3)
        answered.set()
        assert others.wait(5)
    finally:
        for feed in feeds:
            feed.stop()


def test_nobody_waits_longer_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planc_tui.sources.head_start.LIMIT", 0.05)
    start = HeadStart(SystemClock())
    done = threading.Event()

    def begin() -> None:
        start.turn(0.01)()
        done.set()

    threading.Thread(target=begin, daemon=True).start()
    assert done.wait(5)
