"""What a pane says about its source's next try."""

from __future__ import annotations

import pytest

from planc_tui.core.health import Health
from planc_tui.core.store import Fault, Store, Topic
from planc_tui.ui.pane_state import trust

NUMBER: Topic[object] = Topic("number")


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (90.0, "next try in 1m"),
        (42.0, "next try within 60s"),
        (4.0, "next try within 5s"),
        (-2.0, "next try within 5s"),
        (-9.0, "trying again"),
        (None, ""),
    ],
)
def test_when_it_is_tried_again(left: float | None, said: str) -> None:
    store, now = Store(), 1000.0
    store.want(NUMBER, True)
    when = None if left is None else now + left
    store.fail(NUMBER, Fault(Health.UNREACHABLE, "no answer within 5 s", "", now, when))
    notes = trust(store.peek(NUMBER), now).notes
    assert notes == (("no answer within 5 s", said) if said else ("no answer within 5 s",))
