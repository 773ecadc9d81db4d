"""Messages of a queue on disk, so that a purge can be undone.

Invariant: what is read back equals what was written, byte for byte. A batch is on disk, with a mark behind it, before
it is acknowledged; a batch without its mark was never acknowledged, so leaving it out loses nothing. A file that was
edited is refused before anything is published from it. Mode 0600, in a folder of mode 0700.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from planc_tui.core.admin import Message

BATCH = 200
MESSAGE = b'{"body":'
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Message)


class _Head(msgspec.Struct, frozen=True):
    """The first line."""

    queue: str
    version: int = 1


class _Mark(msgspec.Struct, frozen=True, omit_defaults=True):
    """The line behind a batch. kept: messages so far. gone: those that had left the queue for certain by then.
    sha256: of all message lines so far. complete: nothing comes after it."""

    kept: int
    gone: int
    sha256: str
    complete: bool = False


class MessagesFileError(Exception):
    """Why a file cannot be read back, in one line."""


class Saved(msgspec.Struct, frozen=True):
    """What a file holds. count: messages that can be published. unsure: those at its end that may be in the queue
    still, because planc ended before the broker had said that they left. complete: the purge ended by itself."""

    queue: str
    count: int
    unsure: int
    complete: bool


class MessagesWriter:
    """Appends messages to a new file. A failed write leaves the file as it was after the batch before."""

    def __init__(self, path: Path, queue: str) -> None:
        """Raises OSError, also when there is such a file."""
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._fd = fd
        self._hash = hashlib.sha256()
        self._size = 0
        self.count = 0
        self._gone = 0
        try:
            self._append(_ENCODER.encode(_Head(queue)) + b"\n")
            _sync_folder(path.parent)
        except OSError:
            os.close(fd)
            with contextlib.suppress(OSError):
                path.unlink()
            raise

    def keep(self, messages: Sequence[Message]) -> None:
        """Write one batch and flush it to disk. Raises OSError."""
        data = b"".join(_ENCODER.encode(message) + b"\n" for message in messages)
        hashed = self._hash.copy()
        hashed.update(data)
        count = self.count + len(messages)
        self._append(data + _line(_Mark(count, self._gone, hashed.hexdigest())))
        self._hash, self.count = hashed, count

    def gone(self, count: int) -> None:
        """The broker has said that the first `count` messages left the queue."""
        self._gone = count

    def close(self, *, complete: bool) -> None:
        """Write how it ended, where there is room for that, and close the file."""
        with contextlib.suppress(OSError):  # what was kept is on disk and can be read back without this line
            self._append(_line(_Mark(self.count, self._gone, self._hash.hexdigest(), complete)))
        os.close(self._fd)

    def _append(self, data: bytes) -> None:
        try:
            written = 0
            while written < len(data):
                written += os.write(self._fd, data[written:])
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._size)
            os.lseek(self._fd, self._size, os.SEEK_SET)
            raise
        self._size += len(data)


def look(path: Path) -> Saved:
    """What a file holds, after its check sums were checked. Raises MessagesFileError."""
    running, seen, last = hashlib.sha256(), 0, _Mark(0, 0, hashlib.sha256().hexdigest())
    try:
        with path.open("rb") as file:
            head = msgspec.json.decode(file.readline(), type=_Head)
            for line in file:
                if line.startswith(MESSAGE):
                    running.update(line)
                    seen += 1
                    continue
                if not line.endswith(b"\n"):
                    break  # planc was ended while it wrote this line
                last = msgspec.json.decode(line, type=_Mark)
                if (last.kept, last.sha256) != (seen, running.hexdigest()):
                    raise MessagesFileError(f"{path} was changed since it was written: nothing is published from it")
    except OSError as error:
        raise MessagesFileError(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError:
        raise MessagesFileError(f"{path} is not a file of saved messages: nothing is published from it") from None
    return Saved(head.queue, last.kept, last.kept - last.gone, last.complete)


def read_messages(path: Path, count: int, skip: int = 0) -> Iterator[list[Message]]:
    """The messages from number `skip` to `count`, in order and in batches. Raises OSError, MessagesFileError."""
    found: list[Message] = []
    number = 0
    with path.open("rb") as file:
        for line in file:
            if number >= count:
                break
            if not line.startswith(MESSAGE):
                continue
            number += 1
            if number <= skip:
                continue
            found.append(_message(path, line))
            if len(found) == BATCH:
                yield found
                found = []
    if found:
        yield found


def _message(path: Path, line: bytes) -> Message:
    try:
        return _DECODER.decode(line)
    except msgspec.MsgspecError:
        raise MessagesFileError(f"{path} has a message that is not readable") from None


def _line(mark: _Mark) -> bytes:
    return _ENCODER.encode(mark) + b"\n"


def _sync_folder(folder: Path) -> None:
    """A new file's name is on disk only when its folder is."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
