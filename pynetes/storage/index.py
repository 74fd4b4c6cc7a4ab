"""The current state and recent history of a store, in memory.

A *collection* is all keys with the same first two path segments (one resource). It holds its records, its keys in
order (so a namespace or a page is a slice), and its events since the last compaction. An event carries the state
before it, so the state at an old revision is the current one with the later events taken back. The first old page of
a paginated list pays for that once; the next ones are cut from the same snapshot.
"""

from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from heapq import merge
from operator import attrgetter

from pynetes.storage.interface import Compacted, Event, FutureRevision, Page, Record

_SNAPSHOTS_KEPT = 16
_revision_of = attrgetter("record.revision")
_key_of = attrgetter("key")


def collection_of(key: str) -> str:
    """The collection's prefix: `/core/pods/` for `/core/pods/default/web`."""
    end = key.index("/", key.index("/", 1) + 1) + 1
    return key[:end]


def end_of(prefix: str) -> str:
    """The first string after all keys under `prefix`: a subtree if it ends in `/`, else that one key."""
    return prefix[:-1] + "0" if prefix.endswith("/") else prefix + "\0"  # "0" follows "/" in ASCII


class Collection:
    """One resource's records, ordered keys and recent events."""

    __slots__ = ("events", "keys", "records")

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.keys: list[str] = []
        self.events: list[Event] = []

    def apply(self, event: Event) -> None:
        record = event.record
        if event.type == "DELETED":
            del self.records[record.key]
            del self.keys[bisect_left(self.keys, record.key)]
        else:
            if event.type == "ADDED":
                insort(self.keys, record.key)
            self.records[record.key] = record
        self.events.append(event)

    def bounds(self, prefix: str, start_after: str) -> tuple[int, int]:
        """The slice of `keys` under `prefix` and behind `start_after`."""
        low = bisect_right(self.keys, start_after) if start_after >= prefix else bisect_left(self.keys, prefix)
        return low, max(low, bisect_left(self.keys, end_of(prefix)))

    def events_after(self, prefix: str, revision: int) -> Iterator[Event]:
        start, end = bisect_right(self.events, revision, key=_revision_of), end_of(prefix)
        return (event for event in self.events[start:] if prefix <= event.record.key < end)

    def records_at(self, prefix: str, revision: int) -> list[Record]:
        """The records under `prefix` as they were at `revision`, in order."""
        low, high = self.bounds(prefix, "")
        state = {key: self.records[key] for key in self.keys[low:high]}
        taken_back: set[str] = set()
        for event in self.events_after(prefix, revision):
            key = event.record.key
            if key in taken_back:
                continue
            taken_back.add(key)
            if event.previous is None:
                state.pop(key, None)
            else:
                state[key] = event.previous
        return sorted(state.values(), key=_key_of) if taken_back else list(state.values())

    def forget(self, revision: int) -> list[Event]:
        """Drop and return the events up to `revision`."""
        end = bisect_right(self.events, revision, key=_revision_of)
        dropped = self.events[:end]
        del self.events[:end]
        return dropped


class Index:
    """Every collection, the committed revision and the oldest revision still known."""

    def __init__(self, revision: int = 1, compacted: int = 0) -> None:
        self.revision = revision
        self.compacted = compacted
        self.event_count = 0
        self._collections: dict[str, Collection] = {}
        self._snapshots: OrderedDict[tuple[str, int], list[Record]] = OrderedDict()

    def apply(self, event: Event) -> None:
        """Take in one committed write; they come in the order of their revisions."""
        self._collection(event.record.key).apply(event)
        self.revision = event.record.revision
        self.event_count += 1

    def load(self, records: Iterable[Record]) -> None:
        """Fill the empty index with a state that has no history."""
        for record in records:
            collection = self._collection(record.key)
            collection.records[record.key] = record
        for collection in self._collections.values():
            collection.keys = sorted(collection.records)

    def get(self, key: str) -> Record | None:
        collection = self._collections.get(collection_of(key))
        return collection.records.get(key) if collection is not None else None

    def count(self, prefix: str) -> int:
        bounds = (collection.bounds(prefix, "") for collection in self._under(prefix))
        return sum(high - low for low, high in bounds)

    def list(self, prefix: str, at: int | None, start_after: str, limit: int) -> Page:
        if at is not None and at > self.revision:
            raise FutureRevision(at, self.revision)
        if at is not None and at < self.compacted:
            raise Compacted(at, self.compacted)
        if at is not None and at != self.revision:
            return self._cut_snapshot(prefix, at, start_after, limit)
        records: list[Record] = []
        remaining = 0
        for collection in self._under(prefix):
            low, high = collection.bounds(prefix, start_after)
            end = min(high, low + limit - len(records)) if limit else high
            by_key = collection.records
            records += [by_key[key] for key in collection.keys[low:end]]
            remaining += high - end
        return Page(records, self.revision, remaining, records[-1].key if remaining else "")

    def events_after(self, prefix: str, revision: int) -> Iterator[Event]:
        """The history under `prefix` after `revision`, in order; raises Compacted or FutureRevision."""
        if revision > self.revision:
            raise FutureRevision(revision, self.revision)
        if revision < self.compacted:
            raise Compacted(revision, self.compacted)
        return merge(*(c.events_after(prefix, revision) for c in self._under(prefix)), key=_revision_of)

    def forget(self, revision: int) -> Iterator[int]:
        """Compact up to `revision`; returns the revisions that nothing refers to any more."""
        self.compacted = revision
        for key in [key for key in self._snapshots if key[1] < revision]:
            del self._snapshots[key]
        dropped = [event for collection in self._collections.values() for event in collection.forget(revision)]
        self.event_count -= len(dropped)
        return _dead_revisions(dropped)

    def _collection(self, key: str) -> Collection:
        prefix = collection_of(key)
        found = self._collections.get(prefix)
        if found is None:
            found = self._collections[prefix] = Collection()
        return found

    def _under(self, prefix: str) -> Iterable[Collection]:
        """The collections that can hold keys under `prefix`, in the order of their keys."""
        if prefix.count("/") > 2:
            found = self._collections.get(collection_of(prefix))
            return [] if found is None else [found]
        return [self._collections[name] for name in sorted(self._collections) if name.startswith(prefix)]

    def _cut_snapshot(self, prefix: str, at: int, start_after: str, limit: int) -> Page:
        records = self._snapshots.get((prefix, at))
        if records is None:
            records = [record for c in self._under(prefix) for record in c.records_at(prefix, at)]
            self._snapshots[prefix, at] = records
            if len(self._snapshots) > _SNAPSHOTS_KEPT:
                self._snapshots.popitem(last=False)
        else:
            self._snapshots.move_to_end((prefix, at))
        low = bisect_right(records, start_after, key=_key_of) if start_after else 0
        end = min(len(records), low + limit) if limit else len(records)
        remaining = len(records) - end
        return Page(records[low:end], at, remaining, records[end - 1].key if remaining else "")


def _dead_revisions(events: list[Event]) -> Iterator[int]:
    """What the log no longer needs once `events` are history: states they replaced, and the deletes themselves."""
    for event in events:
        if event.previous is not None:
            yield event.previous.revision
        if event.type == "DELETED":
            yield event.record.revision
