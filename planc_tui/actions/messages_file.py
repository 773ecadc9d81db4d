"""Messages of a queue on disk, so that a purge can be undone.

Invariant: what is read back equals what was written, byte for byte; a file that was cut off or edited is refused
before anything is published from it. Mode 0600.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from planc_tui.core.admin import Message

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Message)


class _End(msgspec.Struct, frozen=True):
    """The last line: how many messages there are, and the hash of all lines before."""

    end: int
    sha256: str


class MessagesFileError(Exception):
    """Why a file cannot be read back, in one line."""


class MessagesWriter:
    """Appends messages to a new file, each batch flushed to disk before it is acknowledged."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file = os.fdopen(fd, "wb")
        self._hash = hashlib.sha256()
        self.count = 0

    def keep(self, messages: Sequence[Message]) -> None:
        """Write one batch and flush it to disk. Raises OSError."""
        data = b"".join(_ENCODER.encode(message) + b"\n" for message in messages)
        self._file.write(data)
        self._sync()
        self._hash.update(data)
        self.count += len(messages)

    def finish(self) -> None:
        """Write the end line. Raises OSError."""
        self._file.write(_ENCODER.encode(_End(self.count, self._hash.hexdigest())) + b"\n")
        self._sync()
        self._file.close()

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


def read_messages(path: Path, batch: int = 500) -> Iterator[list[Message]]:
    """Batches of messages of a complete file. Raises MessagesFileError, before the first batch when it is damaged."""
    _check(path)
    found: list[Message] = []
    with path.open("rb") as file:
        for line in file:
            if line.startswith(b'{"end":'):
                break
            found.append(_DECODER.decode(line))
            if len(found) == batch:
                yield found
                found = []
    if found:
        yield found


def _check(path: Path) -> None:
    running, count, end = hashlib.sha256(), 0, None
    try:
        with path.open("rb") as file:
            for line in file:
                if line.startswith(b'{"end":'):
                    end = msgspec.json.decode(line, type=_End)
                    break
                running.update(line)
                count += 1
    except OSError as error:
        raise MessagesFileError(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError:
        end = None
    if end is None:
        raise MessagesFileError(f"{path} has no end line: it was cut off, nothing was published")
    if (count, running.hexdigest()) != (end.end, end.sha256):
        raise MessagesFileError(f"{path} was changed since it was written, nothing was published")
