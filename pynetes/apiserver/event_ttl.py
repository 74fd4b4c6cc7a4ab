"""Events do not last: each is removed an hour after it was last written (`--event-ttl`).

The store's own order does the book-keeping: events are followed by a watch, so the queue of expiries is always sorted,
and an event that was written again since it was queued is left to its later entry.
"""

from collections import deque

from pynetes.apiserver.registry import Registry
from pynetes.machinery import clock, resources, wire
from pynetes.storage.interface import Draft, Event, KeyNotFound, Record, RevisionConflict, StoreError

_CHECK = 30.0


class EventExpiry:
    """Follows the events of a registry's store and removes the old ones."""

    def __init__(self, registry: Registry, ttl: float) -> None:
        self._store = registry.store
        self._prefix = registry.resource(resources.lookup("events")).prefix()
        self._ttl = ttl
        self._due: deque[tuple[float, str, int]] = deque()

    async def run(self) -> None:
        """Until cancelled."""
        if self._ttl <= 0:
            return
        while True:
            self._begin()
            watch = self._store.watch(self._prefix, self._store.revision)
            try:
                while not watch.closed:
                    await clock.sleep(min(_CHECK, self._ttl))
                    watch.interrupt()
                    for event in await watch.batch():
                        self._note(event)
                    await self._remove_old()
            finally:
                watch.close()

    def _begin(self) -> None:
        """Events that were there before count from their last write as they tell it."""
        found = [(_written(record), record) for record in self._store.list(self._prefix).records]
        self._due = deque(sorted((when + self._ttl, record.key, record.revision) for when, record in found))

    def _note(self, event: Event) -> None:
        if event.type != "DELETED":
            self._due.append((clock.time() + self._ttl, event.record.key, event.record.revision))

    async def _remove_old(self) -> None:
        now = clock.time()
        while self._due and self._due[0][0] <= now:
            _, key, revision = self._due.popleft()
            record = self._store.head(key)
            if record is None or record.revision != revision:
                continue
            try:
                await self._store.delete(key, revision, _last(record))
            except (KeyNotFound, RevisionConflict):
                continue
            except StoreError:
                return


def _last(record: Record) -> Draft:
    digits = len(str(record.revision))
    return Draft(record.value[: record.split], record.value[record.split + digits :], record.labels, record.fields)


def _written(record: Record) -> float:
    obj = wire.decode(record.value)
    text = obj.get("lastTimestamp") or obj.get("eventTime") or obj["metadata"].get("creationTimestamp")
    try:
        return clock.parse_time(text).timestamp()
    except (TypeError, ValueError):
        return clock.time()
