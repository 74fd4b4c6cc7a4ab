"""The durable store: every write a row of a log table, the current state in memory.

A write is appended to a queue; one thread takes all that wait, inserts them as one statement (which is one
transaction and one fsync), and tells the event loop, which publishes them in order and wakes their writers. So many
writers share each fsync, an acknowledged write survives `kill -9`, and nobody sees a write that might be lost.

The thread shares the interpreter with the event loop. A loop that is never idle releases it only for moments, too
short for another thread to catch, and could keep the committer waiting for seconds. So when the batches make no headway
for `_PATIENCE`, the loop's thread sleeps until they do (`_make_way`).

If a batch cannot be committed (disk full), it and everything queued behind it — computed from states that will never
be — fail together, and the store stands where the last good batch left it.

At start the log is replayed. Compaction deletes the rows that later ones superseded; the newest row of each key
stays, so the log is also the state. One process has a store open at a time.
"""

import asyncio
import contextlib
import fcntl
import functools
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import Empty, SimpleQueue

import msgspec

from pynetes.storage.index import Index
from pynetes.storage.interface import Event, EventType, Record, StoreError, StoreLocked, StoreUnavailable
from pynetes.storage.memory import MemoryStore, Retention
from pynetes.storage.watch import BUFFER_LIMIT

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    revision INTEGER PRIMARY KEY,
    key      TEXT NOT NULL,
    type     TEXT NOT NULL,     -- ADDED, MODIFIED or DELETED
    value    BLOB NOT NULL,     -- the JSON clients read
    split    INTEGER NOT NULL,  -- where in it the resourceVersion begins
    labels   BLOB NOT NULL,     -- what selectors need, as JSON
    fields   BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT OR IGNORE INTO meta VALUES ('version', 1), ('compacted', 0);
"""
_VERSION = 1
_COLUMNS = 7
_BATCH_LIMIT = 256  # rows in one transaction
_DELETE_LIMIT = 1000  # superseded rows deleted in one transaction, between batches
_PATIENCE = 0.002  # seconds, of the machine's time: this is about threads
_encode = msgspec.json.encode
_decode_map = msgspec.json.Decoder(dict[str, str]).decode


class _Resume:
    """Queued behind a failed batch: what comes after it was computed from the state that stands."""


class _Compaction(msgspec.Struct):
    """Queued work: forget history before `revision`, delete the rows `dead`."""

    revision: int
    dead: list[int]


_Work = Event | _Resume | _Compaction | None  # None: finish
_Tell = Callable[[list[Event], Exception | None], None]


class SqliteStore(MemoryStore):
    """A store in one SQLite file."""

    def __init__(self, path: str | Path, retention: Retention | None = None, watch_buffer: int = BUFFER_LIMIT) -> None:
        super().__init__(retention, watch_buffer)
        self._lock = _lock(Path(path))
        try:
            self._db = _open(Path(path))
            self._index, dead = _replay(self._db)
        except BaseException:
            os.close(self._lock)
            raise
        self._assigned = self._index.revision
        self._writers: dict[int, asyncio.Future[None]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._told = self._heard = 0  # batches whose fate the committer has told, and the loop has heard
        self._watched: int | None = None  # batches heard when the wait for headway began; None: nobody waits
        self._headway = threading.Event()
        self._queue: SimpleQueue[_Work] = SimpleQueue()
        self._queue.put(_Compaction(self._index.compacted, dead))
        self._committer = _Committer(self._db, self._queue, self._from_thread)
        self._committer.start()

    async def close(self) -> None:
        if not self._closed:
            await super().close()
            self._queue.put(None)
            await asyncio.get_running_loop().run_in_executor(None, self._committer.join)
            await asyncio.sleep(0)  # let what the thread said last be heard
            self._db.close()
            os.close(self._lock)

    async def _commit(self, event: Event) -> None:
        self._loop = asyncio.get_running_loop()
        written: asyncio.Future[None] = self._loop.create_future()
        deleted = event.type == "DELETED"
        self._pending[event.record.key] = (event.record.revision, None if deleted else event.record)
        self._writers[event.record.revision] = written
        self._queue.put(event)
        if self._watched is None:
            self._watch_headway()
        await written

    def _compact(self, revision: int) -> None:
        self._queue.put(_Compaction(revision, list(self._index.forget(revision))))

    def _watch_headway(self) -> None:
        assert self._loop is not None, "only a write needs headway"
        self._watched = self._heard
        self._loop.call_later(_PATIENCE, self._make_way)

    def _make_way(self) -> None:
        """Let the committer have the interpreter, if a busy loop has kept it waiting."""
        if not self._writers:
            self._watched = None
            return
        self._headway.clear()
        if self._told == self._heard == self._watched:
            self._headway.wait(_PATIENCE)
        self._watch_headway()

    def _from_thread(self, events: list[Event], error: Exception | None) -> None:
        """Called in the thread with the fate of a batch."""
        assert self._loop is not None, "a batch was committed that nobody wrote"
        self._told += 1
        self._headway.set()
        self._loop.call_soon_threadsafe(self._hear, events, error)

    def _hear(self, events: list[Event], error: Exception | None) -> None:
        self._heard += 1
        if error is None:
            self._acknowledge(events)
        else:
            self._roll_back(error)

    def _acknowledge(self, events: list[Event]) -> None:
        for event in events:
            self._publish(event)
            revision, key = event.record.revision, event.record.key
            if self._pending[key][0] == revision:
                del self._pending[key]
            written = self._writers.pop(revision)
            if not written.done():  # else its writer was cancelled
                written.set_result(None)

    def _roll_back(self, error: Exception) -> None:
        """Fail everything not committed, and go on from what is."""
        log.error("writes failed, the store stays at revision %d: %s", self.revision, error)
        self._pending.clear()
        self._assigned = self.revision
        failed, self._writers = self._writers, {}
        for written in failed.values():
            if not written.done():
                written.set_exception(StoreUnavailable(f"the write could not be made durable: {error}"))
        self._queue.put(_Resume())


class _Committer(threading.Thread):
    """The one thread that writes to the database."""

    def __init__(self, db: sqlite3.Connection, queue: "SimpleQueue[_Work]", tell: _Tell) -> None:
        super().__init__(name="store-committer", daemon=True)
        self._db = db
        self._queue = queue
        self._tell = tell
        self._failed = False  # between a failed batch and the _Resume that answers it
        self._compacted = 0
        self._dead: list[int] = []
        self._to_clean = False

    def run(self) -> None:
        running = True
        while running:
            events, running = self._take(wait=not self._to_clean)
            if events:
                self._commit(events)
            if self._to_clean:
                self._clean()

    def _take(self, wait: bool) -> tuple[list[Event], bool]:
        """The writes that wait, up to a batch; False with them when asked to finish."""
        events: list[Event] = []
        with contextlib.suppress(Empty):
            work = self._queue.get(block=wait)
            while work is not None:
                if isinstance(work, Event):
                    if not self._failed:
                        events.append(work)
                elif isinstance(work, _Compaction):
                    self._compacted = max(self._compacted, work.revision)
                    self._dead += work.dead
                    self._to_clean = True
                else:
                    self._failed = False
                if len(events) == _BATCH_LIMIT:
                    return events, True
                work = self._queue.get_nowait()
            return events, False
        return events, True

    def _commit(self, events: list[Event]) -> None:
        try:
            self._db.execute(_insertion(len(events)), [column for event in events for column in _row(event)])
        except sqlite3.Error as error:
            self._fail(events, error)
        except Exception as error:
            log.exception("a batch of %d writes cannot be committed", len(events))
            self._fail(events, error)
        else:
            self._tell(events, None)

    def _fail(self, events: list[Event], error: Exception) -> None:
        self._failed = True
        self._tell(events, error)

    def _clean(self) -> None:
        """Delete some superseded rows. Those that a crash leaves behind are found by the next replay."""
        piece, rest = self._dead[:_DELETE_LIMIT], self._dead[_DELETE_LIMIT:]
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute("UPDATE meta SET value = max(value, ?) WHERE name = 'compacted'", [self._compacted])
                self._db.execute("DELETE FROM log WHERE revision IN (SELECT value FROM json_each(?))", [_encode(piece)])
            self._dead = rest
            self._to_clean = bool(rest)
        except sqlite3.Error as error:
            log.warning("deleting superseded rows failed, trying again at the next compaction: %s", error)
            self._to_clean = False


@functools.cache
def _insertion(rows: int) -> str:
    row = "(" + ",".join("?" * _COLUMNS) + ")"
    return "INSERT INTO log VALUES " + ",".join([row] * rows)


def _row(event: Event) -> tuple[int, str, str, bytes, int, bytes, bytes]:
    record = event.record
    labels, fields = _encode(record.labels), _encode(record.fields)
    return record.revision, record.key, event.type, record.value, record.split, labels, fields


def _lock(path: Path) -> int:
    """Claim `path` for this process; the claim ends with it, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.pread(descriptor, 32, 0).decode().strip() or "another process"
        os.close(descriptor)
        raise StoreLocked(f"the store {path} is in use by process {owner}") from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    return descriptor


def _open(path: Path) -> sqlite3.Connection:
    """The database, ready: write-ahead log, one fsync for each transaction."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))  # it holds secrets
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=_BATCH_LIMIT + 32)
    try:
        for setting in ("journal_mode = WAL", "synchronous = FULL", "wal_autocheckpoint = 4000"):
            db.execute(f"PRAGMA {setting}")
        db.executescript(_SCHEMA)
        (version,) = db.execute("SELECT value FROM meta WHERE name = 'version'").fetchone()
    except sqlite3.DatabaseError as error:
        db.close()
        raise StoreError(f"cannot open the store {path}: {error}") from error
    if version != _VERSION:
        db.close()
        raise StoreError(f"the store {path} has format {version}, this program reads format {_VERSION}")
    return db


def _replay(db: sqlite3.Connection) -> tuple[Index, list[int]]:
    """The state and history that the log tells, and the rows up to its compaction that nothing needs."""
    (compacted,) = db.execute("SELECT value FROM meta WHERE name = 'compacted'").fetchone()
    index = Index(max(compacted, 1), compacted)
    state: dict[str, Record] = {}
    dead: list[int] = []
    for kind, record in _rows(db, "revision <= ?", compacted):
        replaced = state.pop(record.key, None)
        if replaced is not None:
            dead.append(replaced.revision)
        if kind == "DELETED":
            dead.append(record.revision)
        else:
            state[record.key] = record
    index.load(state.values())
    for kind, record in _rows(db, "revision > ?", compacted):
        index.apply(Event(kind, record, index.get(record.key)))
    return index, dead


def _rows(db: sqlite3.Connection, where: str, revision: int) -> Iterator[tuple[EventType, Record]]:
    """The log's rows in order. Equal labels and fields, of which there are many, share one dict."""
    maps: dict[bytes, dict[str, str]] = {}

    def shared(encoded: bytes) -> dict[str, str]:
        found = maps.get(encoded)
        if found is None:
            found = maps[encoded] = _decode_map(encoded)
        return found

    columns = "revision, key, type, value, split, labels, fields"
    for number, key, kind, value, split, labels, fields in db.execute(
        f"SELECT {columns} FROM log WHERE {where} ORDER BY revision", [revision]
    ):
        yield kind, Record(key, value, number, shared(labels), shared(fields), split)
