"""WebSocket frames as Kubernetes uses them: binary messages whose first byte is a channel number.

Invariant: what comes out of `FrameReader` is what the peer sent, however the bytes were cut on the way; every frame
sent is masked (RFC 6455, section 5.3).
"""

from __future__ import annotations

import os

from planc_tui.core.ports import BadAnswer

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
MESSAGE_LIMIT = 32 * 1024 * 1024


def encode(opcode: int, payload: bytes, key: bytes | None = None) -> bytes:
    """One whole, masked frame. key: the four mask bytes, random when None."""
    key = os.urandom(4) if key is None else key
    size = len(payload)
    head = bytearray([0x80 | opcode])
    if size < 126:
        head.append(0x80 | size)
    elif size < 65_536:
        head.append(0x80 | 126)
        head += size.to_bytes(2, "big")
    else:
        head.append(0x80 | 127)
        head += size.to_bytes(8, "big")
    return bytes(head) + key + mask(payload, key)


def mask(payload: bytes, key: bytes) -> bytes:
    """`payload` XORed with the repeated key; its own inverse."""
    size = len(payload)
    stream = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(stream, "little")).to_bytes(size, "little")


class FrameReader:
    """Cuts a byte stream into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._parts: list[bytes] = []
        self._opcode = 0
        self._size = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """(opcode, payload) of every message that `data` completes; fragments come as one message.

        Raises BadAnswer when the peer breaks the protocol.
        """
        self._buffer += data
        messages: list[tuple[int, bytes]] = []
        while (frame := self._next()) is not None:
            final, opcode, payload = frame
            if opcode >= CLOSE:
                messages.append((opcode, payload))
                continue
            if (opcode == CONTINUATION) != bool(self._opcode):
                raise BadAnswer("the other end breaks the WebSocket protocol")
            self._opcode = self._opcode or opcode
            self._parts.append(payload)
            self._size += len(payload)
            if self._size > MESSAGE_LIMIT:
                raise BadAnswer("a WebSocket message is larger than 32 MiB")
            if final:
                messages.append((self._opcode, b"".join(self._parts)))
                self._parts, self._opcode, self._size = [], 0, 0
        return messages

    def _next(self) -> tuple[bool, int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, start = buffer[1] & 0x7F, 2
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(buffer) < start:
                return None
            size = int.from_bytes(buffer[2:start], "big")
        if size > MESSAGE_LIMIT or buffer[0] & 0x70:
            raise BadAnswer("the other end breaks the WebSocket protocol")
        key = b""
        if buffer[1] & 0x80:
            key = bytes(buffer[start : start + 4])
            start += 4
        if len(buffer) < start + size:
            return None
        final, opcode = bool(buffer[0] & 0x80), buffer[0] & 0x0F
        payload = bytes(buffer[start : start + size])
        del buffer[: start + size]
        return final, opcode, mask(payload, key) if key else payload
