"""The files of an emergency backup: written once, checked always.

Invariant: a folder without the suffix `.partial` holds a complete backup whose every file matches its manifest; a
backup that broke off keeps the suffix. Folders have mode 0700, files 0600, and no earlier backup is ever touched.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import zstandard
from msgspec import Struct
from msgspec.structs import asdict

MANIFEST = "manifest.json"
PARTIAL = ".partial"
DUMP_END = b"-- PostgreSQL database dump complete"
_TAIL = 4096
_CHUNK = 1 << 20


class BackupError(Exception):
    """What is wrong with a backup, in one line."""


class FileEntry(Struct, frozen=True):
    """One line of the manifest. raw_size and raw_sha256: of the content before compression or encryption."""

    name: str
    size: int
    sha256: str
    raw_size: int
    raw_sha256: str
    what: str


class Writer:
    """Writes one file of a backup: hashes on the way, compresses with zstd when asked, 0600, never over another."""

    def __init__(self, path: Path, what: str, *, compress: bool) -> None:
        self._path = path
        self._what = what
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file: BinaryIO = os.fdopen(fd, "wb")
        self._compressor = zstandard.ZstdCompressor(level=6, write_checksum=True).compressobj() if compress else None
        self._raw, self._stored = hashlib.sha256(), hashlib.sha256()
        self.raw_size = self._size = 0
        self._tail = b""

    def write(self, data: bytes) -> None:
        """Append content. Raises OSError when the disk is full."""
        self._raw.update(data)
        self.raw_size += len(data)
        self._tail = (self._tail + data)[-_TAIL:]
        self._put(self._compressor.compress(data) if self._compressor is not None else data)

    def ends_with_marker(self, marker: bytes) -> bool:
        """Whether a line that starts with `marker` is among the last 4 KiB (it need not be the last line)."""
        return any(line.startswith(marker) for line in self._tail.split(b"\n"))

    def finish(self) -> FileEntry:
        """Flush to disk and return the line for the manifest. Raises OSError."""
        if self._compressor is not None:
            self._put(self._compressor.flush())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        raw, stored = self._raw.hexdigest(), self._stored.hexdigest()
        return FileEntry(self._path.name, self._size, stored, self.raw_size, raw, self._what)

    def abandon(self) -> None:
        """Close after a failure; what was written stays in the partial folder."""
        self._file.close()

    def _put(self, data: bytes) -> None:
        self._stored.update(data)
        self._size += len(data)
        self._file.write(data)


def folder_name(now: float) -> str:
    """Name of the folder of a backup begun at epoch seconds `now`.

    >>> folder_name(0.0)
    'planc-backup-19700101T000000Z'
    """
    return datetime.fromtimestamp(now, UTC).strftime("planc-backup-%Y%m%dT%H%M%SZ")


def begin(base: Path, name: str) -> Path:
    """Make the partial folder of a new backup. Raises BackupError when it cannot be made."""
    final, partial = base / name, base / (name + PARTIAL)
    try:
        base.mkdir(mode=0o700, parents=True, exist_ok=True)
        if final.exists():
            raise BackupError(f"{final} exists already: wait a second and try again")
        partial.mkdir(mode=0o700)
    except FileExistsError:
        raise BackupError(f"{partial} exists already: another backup of this second broke off, try again") from None
    except OSError as error:
        raise BackupError(f"cannot make {partial}: {error.strerror}") from None
    return partial


def complete(partial: Path, entries: list[FileEntry], about: Mapping[str, Any]) -> Path:
    """Write the manifest, check every file against it, and give the folder its final name. Raises BackupError."""
    manifest = {"version": 1, **about, "files": [asdict(entry) for entry in entries]}
    writer = Writer(partial / MANIFEST, "manifest", compress=False)
    writer.write(json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n")
    writer.finish()
    _check_files(partial, _parse_manifest(partial))
    final = partial.with_name(partial.name.removesuffix(PARTIAL))
    os.rename(partial, final)
    _sync_folder(final.parent)
    return final


def check(folder: Path) -> Mapping[str, Any]:
    """Read every file again and compare with the manifest. Returns the manifest. Raises BackupError."""
    manifest = read_manifest(folder)
    _check_files(folder, manifest)
    return manifest


def _check_files(folder: Path, manifest: Mapping[str, Any]) -> None:
    for row in manifest["files"]:
        path = folder / Path(row["name"]).name
        if not path.is_file():
            raise BackupError(f"{row['name']} is missing")
        _compare(path, row)
    known = {MANIFEST, *(row["name"] for row in manifest["files"])}
    extra = sorted(path.name for path in folder.iterdir() if path.name not in known)
    if extra:
        raise BackupError(f"{extra[0]} is in the folder and not in the manifest")


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """The manifest of a backup folder. Raises BackupError."""
    if folder.name.endswith(PARTIAL):
        raise BackupError(f"{folder} broke off before it was complete")
    return _parse_manifest(folder)


def dump_chunks(path: Path) -> Iterator[bytes]:
    """Content of a compressed dump. Raises BackupError when it is damaged."""
    try:
        with path.open("rb") as file:
            yield from zstandard.ZstdDecompressor().read_to_iter(file, read_size=_CHUNK)
    except zstandard.ZstdError:
        raise BackupError(f"{path.name} is damaged: it does not decompress") from None


def _parse_manifest(folder: Path) -> Mapping[str, Any]:
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
        rows = found["files"]
        for row in rows:
            row["name"], row["size"], row["sha256"], row["raw_size"], row["raw_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise BackupError(f"{folder} has no readable {MANIFEST}: it is no complete backup") from None
    manifest: Mapping[str, Any] = found
    return manifest


def _compare(path: Path, row: Mapping[str, Any]) -> None:
    stored = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            stored.update(chunk)
            size += len(chunk)
    if size != row["size"] or stored.hexdigest() != row["sha256"]:
        raise BackupError(f"{path.name} does not match its checksum: {size} of {row['size']} bytes")
    if path.suffix != ".zst":
        return
    raw = hashlib.sha256()
    tail = b""
    for chunk in dump_chunks(path):
        raw.update(chunk)
        tail = (tail + chunk)[-_TAIL:]
    if raw.hexdigest() != row["raw_sha256"]:
        raise BackupError(f"{path.name} decompresses to other content than was dumped")
    if re.search(rb"^" + re.escape(DUMP_END), tail, re.MULTILINE) is None:
        raise BackupError(f"{path.name} lacks the end marker of pg_dump: the dump is incomplete")


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
