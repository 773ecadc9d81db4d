"""The console on a fake session, for tests that give it a terminal of its own. Argument: how it shall behave."""

from __future__ import annotations

import os
import sys

from planc_tui.ui.app import PlancApp
from planc_tui.ui.log_file import open_log
from tests.ui.fake_session import incident


class Failing(PlancApp):
    """Raises when ctrl-c is pressed."""

    def do_interrupt(self, _argument: str = "") -> None:
        secrets: dict[str, str] = {"password": "hunter2"}
        self.call_later(lambda: secrets["no such key"])


def main() -> None:
    """Run until left."""
    behaviour = sys.argv[1]
    open_log(os.environ)
    connector = incident()
    connector.hang = behaviour == "hang"
    console = (Failing if behaviour == "crash" else PlancApp)(connector, clock=connector.clock)
    sys.exit(console.run() or console.return_code or 0)


if __name__ == "__main__":
    main()
