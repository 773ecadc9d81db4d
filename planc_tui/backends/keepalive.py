"""Socket options that notice a peer that is gone without a word.

Invariant: a request that waits long for a frozen peer, whose system still acknowledges, ends when the peer is dead.
"""

from __future__ import annotations

import socket

SocketOptions = list[tuple[int, int, int]]


def socket_options(idle: int, interval: int, count: int) -> SocketOptions:
    """Probe after `idle` seconds of silence, every `interval` seconds, `count` times; what was sent has the same time
    to be acknowledged. As far as the operating system knows these options.

    >>> (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in socket_options(5, 3, 2)
    True
    """
    options = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    wanted = {
        "TCP_KEEPIDLE": idle,
        "TCP_KEEPINTVL": interval,
        "TCP_KEEPCNT": count,
        "TCP_USER_TIMEOUT": 1000 * (idle + interval * count),
    }
    known = [(getattr(socket, name), value) for name, value in wanted.items() if hasattr(socket, name)]
    return options + [(socket.IPPROTO_TCP, name, value) for name, value in known]
