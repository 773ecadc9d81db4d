"""The journal as one SQLite file shared by several consoles and the escalator of one machine.

Invariant: entries are only ever added; each addition is on the disk (WAL, synchronous=FULL) before it is reported as
written; times never run backwards even when the machine's clock does.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from planc_tui.core.clock import Clock, SystemClock
from planc_tui.core.timeline import GENESIS, Draft, Event, body, break_in, digest, from_body
from planc_tui.journal.errors import Conflict, Damaged, JournalError, Unwritable

R = TypeVar("R")

LAYOUT = 1
LOCK_WAIT = 5.0  # seconds a writer waits for another process's transaction
SKEW = 1.0  # seconds the machine's clock may lag behind the journal before the entry says so

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  seq INTEGER PRIMARY KEY, incident TEXT NOT NULL, type TEXT NOT NULL, key TEXT UNIQUE,
  body TEXT NOT NULL, hash TEXT NOT NULL) STRICT;
CREATE INDEX IF NOT EXISTS entries_by_incident ON entries (incident, seq);
CREATE INDEX IF NOT EXISTS entries_by_type ON entries (type, seq);
CREATE TRIGGER IF NOT EXISTS entries_stand BEFORE UPDATE ON entries
  BEGIN SELECT RAISE(ABORT, 'journal entries are never changed'); END;
CREATE TRIGGER IF NOT EXISTS entries_stay BEFORE DELETE ON entries
  BEGIN SELECT RAISE(ABORT, 'journal entries are never removed'); END;
CREATE TABLE IF NOT EXISTS head (
  one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, hash TEXT NOT NULL,
  recorded_at REAL NOT NULL, mono REAL NOT NULL, boot TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS beats (
  name TEXT PRIMARY KEY, pid INTEGER NOT NULL, host TEXT NOT NULL, user TEXT NOT NULL,
  beat_at REAL NOT NULL, note TEXT NOT NULL) STRICT;
"""


class Head(Struct, frozen=True):
    """The newest entry and the time base it was written with. mono: monotonic seconds since boot `boot`."""

    seq: int = 0
    hash: str = GENESIS
    recorded_at: float = 0.0
    mono: float = 0.0
    boot: str = ""


class Beat(Struct, frozen=True):
    """A sign of life of a process that works for the journal. beat_at: epoch seconds UTC."""

    name: str
    pid: int
    host: str
    user: str
    beat_at: float
    note: str = ""


class Verification(Struct, frozen=True):
    """What `verify` found. problems is empty when every entry is as it was written."""

    entries: int
    head: str
    problems: tuple[str, ...] = ()


def state_folder() -> Path:
    """Where planc keeps its state: `$XDG_STATE_HOME/planc`, `~/.local/state/planc` by default."""
    base = os.environ.get("XDG_STATE_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local" / "state") / "planc"


def default_path() -> Path:
    """The journal of this user on this machine; `$PLANC_JOURNAL` names another."""
    named = os.environ.get("PLANC_JOURNAL", "")
    return Path(named) if named else state_folder() / "journal.db"


def boot_id() -> str:
    """Names this boot of the machine, because monotonic times of two boots cannot be compared."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def time_after(head: Head, wall: float, mono: float, boot: str) -> float:
    """The time of an entry written now: the wall clock, but never less than the time that passed since the head.

    A clock set back does not stretch an escalation; one set forward (or a machine that slept) moves it on."""
    if head.seq == 0:
        return wall
    passed = max(0.0, mono - head.mono) if boot and boot == head.boot else 0.0
    return max(wall, head.recorded_at + passed)


class Journal:
    """One open journal. Safe to use from several threads; one connection, one transaction at a time."""

    def __init__(self, path: Path, clock: Clock | None = None, boot: str | None = None) -> None:
        self.path = path
        self._clock = clock or SystemClock()
        self._boot = boot_id() if boot is None else boot
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None

    @classmethod
    def open(cls, path: Path | None = None, clock: Clock | None = None, boot: str | None = None) -> Journal:
        """Open the journal, creating file and folder (0700, 0600) when they are missing.

        Raises Unwritable or Damaged; nothing is created when it cannot be made durable."""
        journal = cls(path or default_path(), clock, boot)
        with journal._reading():
            return journal

    def close(self) -> None:
        """Close the file; entries stay."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def now(self) -> float:
        """Epoch seconds UTC on the journal's own time line, the one every timer of an incident runs on."""
        return self.now_after(self.head())

    def now_after(self, head: Head) -> float:
        """Like `now`, against a head already read."""
        return time_after(head, self._clock.now(), self._clock.monotonic(), self._boot)

    def head(self) -> Head:
        """The newest entry; cheap enough to ask several times a second."""
        with self._reading() as db:
            return _head(db)

    def append(self, draft: Draft, *, expect: int | None = None) -> Event | None:
        """Write one entry durably. None when an entry with the draft's key exists already.

        expect: seq of the newest entry of the incident the caller knows; another one raises Conflict.
        Raises Unwritable."""
        written = self.append_all((draft,), expect=expect)
        return written[0] if written else None

    def append_all(self, drafts: Sequence[Draft], *, expect: int | None = None) -> tuple[Event, ...]:
        """Write several entries in one transaction: all or none, except those whose key exists already."""

        def decide(events: Sequence[Event], _now: float) -> Sequence[Draft]:
            newest = events[-1].seq if events else 0
            if expect is not None and newest != expect:
                raise Conflict("somebody else wrote to this incident meanwhile", "look again, then repeat")
            return drafts

        if not drafts:
            return ()
        return self._write(drafts[0].incident if expect is not None else None, decide)

    def transact(
        self,
        incident: str | None,
        decide: Callable[[Sequence[Event], float], Sequence[Draft]],
        types: Sequence[str] | None = None,
    ) -> tuple[Event, ...]:
        """Let `decide(events of the incident, now)` say what to write, while nobody else can write.

        This is what makes an acknowledgement and a page exclude each other. incident: None for the events of all, then
        `types` says which. Raises what `decide` raises, and Unwritable."""
        return self._write(incident, decide, types)

    def _write(
        self,
        incident: str | None,
        decide: Callable[[Sequence[Event], float], Sequence[Draft]],
        types: Sequence[str] | None = None,
    ) -> tuple[Event, ...]:
        with self._writing() as db:
            head = _head(db)
            now = self.now_after(head)
            written: list[Event] = []
            known = () if incident is None and types is None else _read(db, incident, 0, types)
            for draft in decide(known, now):
                if draft.key and db.execute("SELECT 1 FROM entries WHERE key = ?", (draft.key,)).fetchone():
                    continue
                event = self._event(draft, head, now)
                db.execute(
                    "INSERT INTO entries (seq, incident, type, key, body, hash) VALUES (?, ?, ?, ?, ?, ?)",
                    (event.seq, event.incident, event.type, event.key or None, body(event), event.hash),
                )
                head = Head(event.seq, event.hash, event.recorded_at, self._clock.monotonic(), self._boot)
                written.append(event)
            if written:
                db.execute(
                    "INSERT OR REPLACE INTO head (one, seq, hash, recorded_at, mono, boot) VALUES (1, ?, ?, ?, ?, ?)",
                    (head.seq, head.hash, head.recorded_at, head.mono, head.boot),
                )
            return tuple(written)

    def events(
        self, incident: str | None = None, after: int = 0, types: Sequence[str] | None = None
    ) -> tuple[Event, ...]:
        """Entries with seq above `after`, oldest first; of one incident and of some types, or all. Raises Damaged."""
        with self._reading() as db:
            return _read(db, incident, after, types)

    def incidents(self) -> tuple[str, ...]:
        """Identifiers of all incidents, in the order of their first entry."""
        with self._reading() as db:
            rows = db.execute("SELECT incident FROM entries WHERE incident != '' GROUP BY incident ORDER BY min(seq)")
            return tuple(str(row[0]) for row in rows)

    def beat(self, beat: Beat) -> None:
        """Leave a sign of life; not an entry, and replaced by the next one of the same name."""
        with self._writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO beats (name, pid, host, user, beat_at, note) VALUES (?, ?, ?, ?, ?, ?)",
                (beat.name, beat.pid, beat.host, beat.user, beat.beat_at, beat.note),
            )

    def last_beat(self, name: str) -> Beat | None:
        """The newest sign of life of `name`; None when there never was one."""
        with self._reading() as db:
            row = db.execute(
                "SELECT name, pid, host, user, beat_at, note FROM beats WHERE name = ?", (name,)
            ).fetchone()
        return None if row is None else Beat(*row)

    def verify(self) -> Verification:
        """Read every entry and check it against the chain, its index and the head."""
        try:
            with self._reading() as db:
                return _verify(db)
        except JournalError as error:
            return Verification(0, "", (error.message,))

    def _event(self, draft: Draft, head: Head, now: float) -> Event:
        wall = round(self._clock.now(), 3)
        recorded = max(round(now, 3), head.recorded_at)
        event = Event(
            seq=head.seq + 1,
            incident=draft.incident,
            type=draft.type,
            recorded_at=recorded,
            occurred_at=recorded if draft.occurred_at is None else round(draft.occurred_at, 3),
            actor=draft.actor,
            summary=draft.summary,
            data=draft.data,
            key=draft.key,
            wall=wall if recorded - wall > SKEW else None,
            prev=head.hash,
        )
        try:
            return replace(event, hash=digest(body(event)))
        except (TypeError, ValueError) as error:
            raise JournalError(f"entry {draft.type} cannot be written: {error}") from None

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connect()
            except sqlite3.Error as error:
                raise self._problem(error) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                db = self._connect()
                db.execute("BEGIN IMMEDIATE")
                try:
                    yield db
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._problem(error) from error

    def _connect(self) -> sqlite3.Connection:
        if self._db is None:
            try:
                self._db = _open(self.path)
            except OSError as error:
                raise Unwritable(
                    f"the journal {self.path} cannot be opened: {error.strerror}",
                    "check the folder's owner and rights, or set PLANC_JOURNAL",
                ) from error
        return self._db

    def _problem(self, error: sqlite3.Error) -> JournalError:
        text = str(error)
        if "full" in text:
            return Unwritable("the journal's disk is full: nothing can be recorded", f"free space for {self.path}")
        if "malformed" in text or "not a database" in text:
            return Damaged(f"{self.path} is damaged: {text}", "keep the file, and set PLANC_JOURNAL to a new one")
        if "locked" in text or "busy" in text:
            return Unwritable("another process holds the journal for too long", "try again")
        return Unwritable(f"the journal {self.path} cannot be used: {text}", "check its folder, rights and disk")


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Created by us, so that the file is private from its first byte; SQLite gives -wal and -shm the same mode.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        path.chmod(0o600)
    db = sqlite3.connect(path, timeout=LOCK_WAIT, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        found = int(db.execute("PRAGMA user_version").fetchone()[0])
        if found > LAYOUT:
            raise Damaged(f"{path} was written by a newer planc", "use that version")
        if found < LAYOUT:
            db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA user_version={LAYOUT}; COMMIT;")
    except BaseException:
        db.close()
        raise
    return db


def _head(db: sqlite3.Connection) -> Head:
    row = db.execute("SELECT seq, hash, recorded_at, mono, boot FROM head").fetchone()
    return Head() if row is None else Head(*row)


def _read(
    db: sqlite3.Connection, incident: str | None, after: int, types: Sequence[str] | None = None
) -> tuple[Event, ...]:
    where = ["seq > ?"]
    values: list[str | int] = [after]
    if incident is not None:
        where.append("incident = ?")
        values.append(incident)
    if types is not None:
        where.append(f"type IN ({', '.join('?' * len(types))})")
        values.extend(types)
    rows = db.execute(f"SELECT body FROM entries WHERE {' AND '.join(where)} ORDER BY seq", values)
    try:
        return tuple(from_body(row[0]) for row in rows.fetchall())
    except ValueError as error:
        raise Damaged(f"an entry of the journal cannot be read: {error}", "run: planc incident verify") from None


def _verify(db: sqlite3.Connection) -> Verification:
    problems = [str(row[0]) for row in db.execute("PRAGMA integrity_check(5)") if row[0] != "ok"]
    head = _head(db)
    events: list[Event] = []
    for seq, incident, kind, key, text, stored in db.execute(
        "SELECT seq, incident, type, key, body, hash FROM entries ORDER BY seq"
    ).fetchall():
        try:
            event = replace(from_body(text), hash=stored)
        except ValueError:
            problems.append(f"entry {seq} was edited: it cannot be read")
            continue
        if (event.seq, event.incident, event.type, event.key) != (seq, incident, kind, key or "") or body(
            event
        ) != text:
            problems.append(f"entry {seq} was edited: its index does not match its text")
        events.append(event)
    broken = break_in(events)
    if broken:
        problems.append(broken)
    last = events[-1] if events else None
    if (head.seq, head.hash) != ((last.seq, last.hash) if last else (0, GENESIS)):
        problems.append(
            f"the newest entry should be {head.seq} with hash {head.hash[:12]}: the end was cut or replaced"
        )
    return Verification(len(events), head.hash, tuple(problems))
