"""Draws the pictures of the README on a running test cluster: a calm afternoon, and a night with a bad deploy, a
backlog and a lock at the same time.

Invariant: what is drawn is what a console shows on the real servers; nothing is arranged but the trouble itself.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from pathlib import Path

from planc_tui.backends.kubernetes.kubeconfig import load
from planc_tui.core.clock import SystemClock
from planc_tui.playbook import loader
from planc_tui.ui.app import ConsoleOptions, PlancApp
from planc_tui.wiring import Opener, Options
from tests.cluster.rig.rig import Rig

SIZES = ((200, 50), (120, 40), (80, 24))
TROUBLE = ("bad-deploy", "backlog", "lock")


async def draw(state: Path, name: str, folder: Path, seconds: float, keys: tuple[str, ...] = ()) -> None:
    """Run a console at every size for so many seconds and save what it shows as NAME-WIDTHxHEIGHT.svg."""
    clock = SystemClock()
    playbook = loader.load(str(state / "playbook.yaml"))
    for width, height in SIZES:
        config = load(os.environ, Path.home(), kubeconfig=str(state / "kubeconfig"))
        console = PlancApp(Opener(config, playbook, clock, Options()), ConsoleOptions(), clock=clock)
        async with console.run_test(size=(width, height)) as pilot:
            await asyncio.sleep(seconds)
            await pilot.press(*keys)
            await asyncio.sleep(1)
            path = folder / f"{name}-{width}x{height}.svg"
            path.write_text(console.export_screenshot(title="planc"), encoding="utf-8")
            console.close_session()
        print(f"drawn: {path}")


def main() -> None:
    """Entry point of `make screenshots`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=Path(".cluster"))
    parser.add_argument("--folder", type=Path, default=Path("screenshots"))
    arguments = parser.parse_args()
    state = arguments.state.resolve()
    arguments.folder.mkdir(exist_ok=True)
    rig = Rig(state)
    with tempfile.TemporaryDirectory() as home:
        # A journal of its own: pictures must not show, or change, what the user's consoles wrote.
        os.environ["XDG_STATE_HOME"] = home
        rig.heal()
        asyncio.run(draw(state, "calm", arguments.folder, 12))
        for kind in TROUBLE:
            rig.break_(kind)
        asyncio.run(asyncio.sleep(75))
        asyncio.run(draw(state, "incident", arguments.folder, 75))
        asyncio.run(draw(state, "procedure", arguments.folder, 12, ("o", "enter")))
        rig.heal()


if __name__ == "__main__":
    main()
