"""The log screen: follows, stands still, filters, changes its window, and stays harmless."""

from __future__ import annotations

import json
import queue
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from planc_tui.core.ports import ByteStream, Rejected
from planc_tui.core.table import Target
from planc_tui.ui.app import PlancApp
from planc_tui.ui.screens.logs import LogScreen, LogView
from planc_tui.ui.screens.room import Room
from tests.ui import fake_session
from tests.ui.kit import check_golden, console, screen_text, wait_until

POD = "workflow-scalability-app-7d9f8c6b5-c4m8t"
PATH = f"/api/v1/namespaces/{fake_session.NAMESPACE}/pods/{POD}"


def line(second: float, text: str) -> bytes:
    """A line as the kubelet sends it, `second` after 14:31."""
    return f"2026-11-24T14:31:{second:06.3f}Z {text}\n".encode()


class Live:
    """A followed log that a test writes."""

    def __init__(self, first: bytes, follow: bool) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue()
        self._queue.put(first)
        if not follow:
            self._queue.put(None)

    def write(self, text: bytes) -> None:
        self._queue.put(text)

    def __iter__(self) -> Iterator[bytes]:
        while (chunk := self._queue.get()) is not None:
            yield chunk

    def close(self) -> None:
        self._queue.put(None)


class LogCluster(fake_session.FakeCluster):
    """A pod whose containers write what the test says."""

    def __init__(self, *containers: str) -> None:
        spec = {"containers": [{"name": name} for name in containers]}
        super().__init__({PATH: json.dumps({"metadata": {"name": POD}, "spec": spec}).encode()})
        self.first: dict[str, bytes] = {}
        self.live: dict[str, Live] = {}
        self.queries: list[dict[str, str]] = []

    def stream(self, path: str, **more: Any) -> ByteStream:
        query = dict(more["query"])
        self.queries.append(query)
        if query.get("previous"):
            raise Rejected("previous terminated container not found", code=400)
        name = query["container"]
        self.live[name] = Live(self.first.get(name, b""), query.get("follow") == "true")
        return self.live[name]


@asynccontextmanager
async def logs(
    cluster: LogCluster, size: tuple[int, int] = (80, 12), previous: bool = False
) -> AsyncIterator[tuple[PlancApp, Pilot[Any], LogScreen]]:
    """The log screen of the pod, once its first lines are shown."""
    connector = fake_session.calm()
    async with console(connector, (max(60, size[0]), max(20, size[1]))) as (app, pilot):
        assert app.session is not None
        app.session.cluster = cluster  # type: ignore[misc]  # a fake session lets itself be changed
        target = Target("Pod", POD, fake_session.NAMESPACE, f"uid-{POD}", "prod-eu")
        screen = LogScreen(app.session, target, previous=previous)
        app.push_screen(screen)
        await wait_until(pilot, lambda: screen.podlog is not None and screen.podlog.status.reading)
        yield app, pilot, screen


async def shown(app: PlancApp, pilot: Pilot[Any], text: str) -> None:
    """Let time pass until the text is on the screen."""

    def there() -> bool:
        app.clock.advance(0.3)  # type: ignore[attr-defined]  # a FakeClock
        return text in screen_text(app)

    await wait_until(pilot, there, text)


async def test_follows_and_stands_still() -> None:
    cluster = LogCluster("app")
    cluster.first["app"] = b"".join(line(second, f"INFO number {second}") for second in range(40))
    async with logs(cluster) as (app, pilot, screen):
        await shown(app, pilot, "INFO number 39")
        assert "● following" in screen_text(app)
        await pilot.press("s")
        await shown(app, pilot, "standing still, +0 new")
        before = [text for text in screen_text(app).splitlines() if "number" in text]
        cluster.live["app"].write(b"".join(line(50, f"ERROR late {i}") for i in range(412)))
        await shown(app, pilot, "standing still, +412 new")
        assert [text for text in screen_text(app).splitlines() if "number" in text] == before
        await pilot.press("g")
        assert "INFO number 0" in screen_text(app)
        await pilot.press("G")
        await shown(app, pilot, "ERROR late 411")
        assert "452 lines" in screen_text(app)
        assert screen.podlog is not None


async def test_golden() -> None:
    cluster = LogCluster("app", "proxy")
    cluster.first["app"] = (
        line(1, '{"level":"info","msg":"started","port":8080}')
        + line(3, "ERROR request 8f1c failed: connection refused to postgres:5432")
        + line(3, "Traceback (most recent call last):")
        + line(3, '  File "app.py", line 12, in handle')
        + line(5, "\x1b[33mWARN\x1b[0m slow \x1b]0;pwned\x07answer \u202egnp.exe [bold red]x[/]")
    )
    cluster.first["proxy"] = line(2, "GET / 200") + line(4, "DEBUG upstream 10.0.0.7")
    async with logs(cluster, (100, 20)) as (app, pilot, _):
        await shown(app, pilot, "● following  7 lines")
        check_golden("logs_100x20", screen_text(app))


async def test_filter_highlight_and_matches() -> None:
    cluster = LogCluster("app")
    cluster.first["app"] = b"".join(line(i, f"{'ERROR' if i % 20 == 3 else 'INFO'} number {i}") for i in range(60))
    async with logs(cluster) as (app, pilot, screen):
        await shown(app, pilot, "INFO number 59")
        await pilot.press("slash", *"error", "enter")
        await shown(app, pilot, "filter: error  3 lines")
        assert "INFO" not in screen_text(app)
        cluster.live["app"].write(line(59.5, "ERROR more"))
        await shown(app, pilot, "ERROR more")
        await pilot.press("x")
        await shown(app, pilot, "marked: error  61 lines")
        await pilot.press("s", "g", "n", "n")
        await shown(app, pilot, "▸14:31:23.000 ERROR number 23")
        await pilot.press("escape")
        await shown(app, pilot, "61 lines")
        assert "error" not in screen_text(app).splitlines()[1]
        await pilot.press("slash", *"re:(", "enter")
        await shown(app, pilot, "not a pattern")
        await pilot.press("escape")
        await wait_until(pilot, lambda: isinstance(app.screen, Room))
        assert screen.podlog is not None


@pytest.mark.parametrize(
    ("key", "query"),
    [
        ("0", {"tailLines": "1000", "follow": "true"}),
        ("1", {"limitBytes": "1048576"}),
        ("2", {"sinceSeconds": "60", "follow": "true"}),
        ("6", {"sinceSeconds": "3600", "follow": "true"}),
    ],
)
async def test_windows(key: str, query: dict[str, str]) -> None:
    cluster = LogCluster("app")
    async with logs(cluster) as (_, pilot, __):
        await wait_until(pilot, lambda: len(cluster.queries) == 1)
        await pilot.press(key)
        await wait_until(pilot, lambda: len(cluster.queries) == 2)
        assert cluster.queries[-1] == {"container": "app", "timestamps": "true", **query}


async def test_previous_run_that_is_not_there() -> None:
    async with logs(LogCluster("app"), previous=True) as (app, pilot, _):
        await shown(app, pilot, "◌ previous terminated container not found")
        await pilot.press("P")
        await shown(app, pilot, "● following")


async def test_containers_one_after_the_other() -> None:
    cluster = LogCluster("app", "proxy")
    cluster.first = {"app": line(1, "from app"), "proxy": line(2, "from proxy")}
    async with logs(cluster) as (app, pilot, _):
        await shown(app, pilot, "14:31:02.000 proxy from proxy")
        await pilot.press("a")
        await shown(app, pilot, "─ app · last 1,000 lines")
        await shown(app, pilot, "14:31:01.000 from app")
        await wait_until(pilot, lambda: "from proxy" not in screen_text(app))


async def test_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    cluster = LogCluster("app")
    cluster.first["app"] = line(1, "A" * 70 + " tail-end") + line(2, "M" * 1_000_000)
    async with logs(cluster) as (app, pilot, screen):
        await shown(app, pilot, "MMM")
        assert "tail-end" not in screen_text(app)
        await pilot.press("right")
        assert "tail-end" in screen_text(app)
        await pilot.press("left", "t")
        assert "14:31:01" not in screen_text(app)
        await pilot.press("w")
        assert screen.query_one(LogView).wrap
        await pilot.press("s", "g")
        assert "tail-end" in screen_text(app)
        await pilot.press("G", "m")
        await shown(app, pilot, "mark at")
        await pilot.press("f")
        assert "following" not in screen_text(app)
        await pilot.press("f", "ctrl+s")
        (saved,) = (tmp_path / "planc" / "saved").iterdir()
        assert saved.read_text().startswith("14:31:01.000 AAAA")
        await pilot.press("C")
        await shown(app, pilot, "0 lines")


async def test_nothing_new_costs_no_byte() -> None:
    cluster = LogCluster("app")
    cluster.first["app"] = line(1, "INFO x")
    async with logs(cluster) as (app, pilot, screen):
        await shown(app, pilot, "INFO x")
        view = screen.query_one(LogView)
        painted: list[object] = []
        view.refresh = lambda *regions, **_: painted.extend(regions or ("all",)) or view  # type: ignore[method-assign, func-returns-value]  # counts paintings
        for _ in range(10):
            view.repaint()
            screen.show_state()
        assert painted == []
        await pilot.pause()
