"""The store in memory: complete but for durability, and what a durable store is built on.

A write is checked against the newest state (`head`), given the next revision and handed to `_commit`. Here that
publishes it at once; a durable store publishes it when it is safe, and until then it is *pending*: visible to later
writers through `head`, to nobody else.

History is kept for a time and up to a number of events; what is older is compacted as writes come in, so an idle
store does nothing.
"""

from collections import deque
from dataclasses import dataclass

from pynetes.machinery import clock
from pynetes.storage.index import Index
from pynetes.storage.interface import (
    Compacted,
    Draft,
    Event,
    EventType,
    FutureRevision,
    KeyExists,
    KeyNotFound,
    Page,
    Record,
    RevisionConflict,
    StoreUnavailable,
    make_record,
)
from pynetes.storage.watch import BUFFER_LIMIT, BufferedWatch, Hub, Where


@dataclass(frozen=True)
class Retention:
    """How much history is kept: everything younger than `seconds`, but no more than `events`."""

    seconds: float = 300.0
    events: int = 100_000
    mark_every: float = 5.0  # seconds: how finely age is known


class MemoryStore:
    """A store that forgets everything when the process ends."""

    def __init__(self, retention: Retention | None = None, watch_buffer: int = BUFFER_LIMIT) -> None:
        self._retention = retention or Retention()
        self._watch_buffer = watch_buffer
        self._index = Index()
        self._hub = Hub()
        self._assigned = self._index.revision
        self._pending: dict[str, tuple[int, Record | None]] = {}
        self._marks: deque[tuple[float, int]] = deque()
        self._closed = False

    @property
    def revision(self) -> int:
        return self._index.revision

    @property
    def compacted(self) -> int:
        return self._index.compacted

    def get(self, key: str) -> Record | None:
        return self._index.get(key)

    def head(self, key: str) -> Record | None:
        pending = self._pending.get(key)
        return pending[1] if pending is not None else self._index.get(key)

    def list(self, prefix: str, *, at: int | None = None, start_after: str = "", limit: int = 0) -> Page:
        return self._index.list(prefix, at, start_after, limit)

    def count(self, prefix: str) -> int:
        return self._index.count(prefix)

    async def create(self, key: str, draft: Draft) -> Record:
        current = self.head(key)
        if current is not None:
            raise KeyExists(current)
        return await self._write("ADDED", key, draft, None)

    async def update(self, key: str, draft: Draft, revision: int) -> Record:
        return await self._write("MODIFIED", key, draft, self._expect(key, revision))

    async def delete(self, key: str, revision: int, draft: Draft) -> Record:
        return await self._write("DELETED", key, draft, self._expect(key, revision))

    def watch(self, prefix: str, since: int, where: Where | None = None) -> BufferedWatch:
        history = self._index.events_after(prefix, since)
        if where is not None:
            history = (event for event in history if _concerns(event, where))
        watch = BufferedWatch(history, self._watch_buffer, lambda: self._index.revision)
        self._hub.register(watch, prefix, where)
        return watch

    async def compact(self, revision: int) -> None:
        if revision > self.revision:
            raise FutureRevision(revision, self.revision)
        if revision < self.compacted:
            raise Compacted(revision, self.compacted)
        self._compact(revision)

    async def close(self) -> None:
        self._closed = True
        self._hub.close()

    def _expect(self, key: str, revision: int) -> Record:
        current = self.head(key)
        if current is None:
            raise KeyNotFound(key)
        if current.revision != revision:
            raise RevisionConflict(current)
        return current

    async def _write(self, kind: EventType, key: str, draft: Draft, previous: Record | None) -> Record:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        self._assigned += 1
        event = Event(kind, make_record(key, draft, self._assigned), previous)
        await self._commit(event)
        return event.record

    async def _commit(self, event: Event) -> None:
        """Make `event` durable, then `_publish` it, in the order of the calls."""
        self._publish(event)

    def _publish(self, event: Event) -> None:
        """Make a durable write visible to readers and watchers."""
        self._index.apply(event)
        self._hub.dispatch(event)
        self._age()

    def _age(self) -> None:
        """Compact what retention no longer asks for. Marks remember which revision was reached when."""
        marks, keep, now = self._marks, self._retention, clock.monotonic()
        if not marks or now - marks[-1][0] >= keep.mark_every or self.revision - marks[-1][1] >= keep.events // 20:
            marks.append((now, self.revision))
        due = 0
        while marks and (now - marks[0][0] >= keep.seconds or self._index.event_count > keep.events):
            due = marks.popleft()[1]
            if due > self.compacted:
                self._compact(due)

    def _compact(self, revision: int) -> None:
        """Forget history before `revision`, in memory and wherever else it is kept."""
        self._index.forget(revision)


def _concerns(event: Event, where: Where) -> bool:
    field, value = where
    states = (event.record, event.previous)
    return any(state.fields.get(field, "") == value for state in states if state is not None)
