"""A blocking tree of sessions in PostgreSQL: one idle in a transaction, two waiting for its row lock.

Invariant: the process ends when its root session is gone, so that freeing the tree leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import select
import sys
import threading
import time
from pathlib import Path

import psycopg

from tests.cluster.rig.layout import load_endpoints

UPDATE = b"UPDATE accounts SET balance = balance - 10 WHERE id = 1"
WAITERS = ("workflow-api", "workflow-reports")


def wait_for_row(dsn: str, name: str) -> None:
    """Blocks on the row until the root lets go, or until this session is ended from outside."""
    with (
        contextlib.suppress(psycopg.Error),
        psycopg.connect(dsn, application_name=name) as connection,
    ):
        connection.execute(UPDATE)


def hold(dsn: str) -> None:
    """Takes the lock, starts the waiters, and stays idle in the transaction until the session is ended."""
    with psycopg.connect(dsn, application_name="workflow-batch") as root:
        root.execute(UPDATE)
        waiters = [threading.Thread(target=wait_for_row, args=(dsn, name)) for name in WAITERS]
        for waiter in waiters:
            waiter.start()
            time.sleep(0.2)
        # Sends nothing: the session stays "idle in transaction" until the server hangs up.
        select.select([root.fileno()], [], [])
        root.close()
        for waiter in waiters:
            waiter.join()


if __name__ == "__main__":
    hold(load_endpoints(Path(sys.argv[1])).postgres_dsn())
