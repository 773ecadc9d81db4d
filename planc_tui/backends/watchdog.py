"""Ends a driver's call that has no time limit of its own, and knows what a driver's socket received.

Invariant: a call on a socket whose peer is frozen returns within the limit, because the socket is shut down
under it.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Linux' struct tcp_info: tcpi_bytes_received, 64 bits (RFC 4898 tcpEStatsAppHCThruOctetsReceived).
_RECEIVED_AT = 128


class Cutter:
    """Holds a duplicate of a driver's socket, so that it can be shut down from another thread without a race.

    fileno: the driver's file descriptor, still owned by the driver.
    """

    def __init__(self, fileno: int) -> None:
        self._socket = socket.socket(fileno=os.dup(fileno))
        self._lock = threading.Lock()
        self._received = 0
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

    def received(self) -> int:
        """Bytes that came over the connection since the last call; 0 where the system does not tell."""
        before = self._received
        try:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED_AT + 8)
            (self._received,) = struct.unpack_from("=Q", info, _RECEIVED_AT)
        except (AttributeError, OSError, struct.error):
            return 0  # not Linux, not TCP, or closed
        return self._received - before

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
