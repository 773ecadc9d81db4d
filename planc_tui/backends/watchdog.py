"""Ends a driver's call that has no time limit of its own.

Invariant: a call on a socket whose peer is frozen returns within the limit, because the socket is shut down
under it.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Cutter:
    """Holds a duplicate of a driver's socket, so that it can be shut down from another thread without a race.

    fileno: the driver's file descriptor, still owned by the driver.
    """

    def __init__(self, fileno: int) -> None:
        self._socket = socket.socket(fileno=os.dup(fileno))
        self._lock = threading.Lock()
        self.fired = False

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Shut the socket down when the block takes longer than `seconds`; `fired` says whether it did."""
        timer = threading.Timer(seconds, self.cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def close(self) -> None:
        """Give the duplicate back; the driver's own descriptor is not touched."""
        with self._lock:
            self._socket.close()

    def cut(self) -> None:
        """Shut the socket down now; whoever waits on it gets an error."""
        with self._lock:
            self.fired = True
            if self._socket.fileno() >= 0:
                try:
                    self._socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    return  # it is not connected any more, which is what was wanted
