"""What the API server asks of a store.

State is a log of revisions. One integer revision counts every write of the whole store, as etcd's does, and is the
`resourceVersion` clients see. A stored value is the canonical JSON the client reads, so reading never decodes: GET
writes the bytes, LIST joins them, and a watch event is framed once for all its watchers. What selectors need (labels
and a few fields) is kept beside the value.

Keys are paths: `/<group>/<plural>/<namespace>/<name>`, or `/<group>/<plural>/<name>` for cluster-scoped objects, the
core group written `core`. A *prefix* ends in `/` and names everything below it, or is one whole key.

Writes are optimistic: each names the revision it was computed from, and the newest state, committed or not, decides
(`head`). A write that returns is durable; readers and watchers only ever see what is committed.
"""

from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

import msgspec

EventType = Literal["ADDED", "MODIFIED", "DELETED"]


class Draft(NamedTuple):
    """A value about to be written: canonical JSON split around the digits of its resourceVersion."""

    head: bytes
    tail: bytes
    labels: Mapping[str, str]
    fields: Mapping[str, str]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One key at one revision. `value` is the client's JSON; its resourceVersion starts at `value[split]`."""

    key: str
    value: bytes
    revision: int
    labels: Mapping[str, str]
    fields: Mapping[str, str]
    split: int

    def value_at(self, revision: int) -> bytes:
        """The same value with another resourceVersion written into it."""
        digits = len(str(self.revision))
        return b"%b%d%b" % (self.value[: self.split], revision, self.value[self.split + digits :])


def make_record(key: str, draft: Draft, revision: int) -> Record:
    """The record that `draft` becomes at `revision`."""
    head, tail, labels, fields = draft
    return Record(key, b"%b%d%b" % (head, revision, tail), revision, labels, fields, len(head))


# Frames of old events are dropped again, so that the history held for late watchers is not kept twice.
_FRAMED_EVENTS_KEPT = 1024
_framed: "deque[Event]" = deque()


class Event(msgspec.Struct, gc=False):
    """One committed write. A DELETED event's record is the last state under the revision of the delete."""

    type: EventType
    record: Record
    previous: Record | None
    frames: dict[EventType, bytes] | None = None

    @property
    def revision(self) -> int:
        return self.record.revision

    def frame(self, kind: EventType | None = None) -> bytes:
        """The line of a watch response for this event, made once and shared.

        A watcher with a selector may see another type than the event's own: an object that begins to match is ADDED,
        one that ceases to is DELETED, shown as it last matched (its previous state, at this event's revision).
        """
        kind = kind or self.type
        if self.frames is not None and kind in self.frames:
            return self.frames[kind]
        if kind == "DELETED" and self.type != "DELETED" and self.previous is not None:
            value = self.previous.value_at(self.revision)
        else:
            value = self.record.value
        line = b'{"type":"%b","object":%b}\n' % (kind.encode(), value)
        if self.frames is None:
            self.frames = {}
            _framed.append(self)
            if len(_framed) > _FRAMED_EVENTS_KEPT:
                _framed.popleft().frames = None
        self.frames[kind] = line
        return line


class Page(NamedTuple):
    """A part of a list. `continue_key` is what the next page starts after; empty when this was the last."""

    records: Sequence[Record]
    revision: int
    remaining: int
    continue_key: str


class StoreError(Exception):
    """The store could not do what was asked."""


class KeyExists(StoreError):
    """`create` of a key that is there."""

    def __init__(self, record: Record) -> None:
        super().__init__(f"key {record.key} exists")
        self.record = record


class KeyNotFound(StoreError):
    """`update` or `delete` of a key that is not there."""

    def __init__(self, key: str) -> None:
        super().__init__(f"key {key} not found")
        self.key = key


class RevisionConflict(StoreError):
    """The key was written since the revision the writer started from; `current` is its newest state."""

    def __init__(self, current: Record) -> None:
        super().__init__(f"key {current.key} is at revision {current.revision}")
        self.current = current


class Compacted(StoreError):
    """History at the revision asked for is gone; the API answers 410 Expired."""

    def __init__(self, revision: int, compacted: int) -> None:
        super().__init__(f"revision {revision} has been compacted; the oldest is {compacted}")
        self.revision = revision
        self.compacted = compacted


class FutureRevision(StoreError):
    """The revision asked for has not been reached; the API answers `Too large resource version`."""

    def __init__(self, revision: int, current: int) -> None:
        super().__init__(f"revision {revision} is in the future; the store is at {current}")
        self.revision = revision
        self.current = current


class StoreUnavailable(StoreError):
    """The write could not be made durable (disk full, store closed) and has left no trace."""


class StoreLocked(StoreError):
    """Another process has the store open."""


class Watch(Protocol):
    """A stream of events in the order of their revisions, without gap or repeat, until it is closed.

    The store closes a watch whose reader falls too far behind (`overflowed`); the reader may resume from the last
    revision it saw.
    """

    overflowed: bool

    def __aiter__(self) -> AsyncIterator[Event]: ...

    async def __anext__(self) -> Event: ...

    async def batch(self) -> Sequence[Event]:
        """Every event that waits, at least one; empty when the watch is closed or was interrupted."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the stream has ended."""
        ...

    def interrupt(self) -> None:
        """Make a waiting (or the next) `batch` return, if only with nothing: how a reader's own timers reach it."""
        ...

    @property
    def progress(self) -> int:
        """The revision up to which everything has been handed out: what a bookmark may say."""
        ...

    def close(self) -> None: ...


class Store(Protocol):
    """The store. All methods run on the event loop's thread; reading never waits."""

    @property
    def revision(self) -> int:
        """The revision of the last committed write."""
        ...

    @property
    def compacted(self) -> int:
        """The oldest revision that can still be listed or watched from."""
        ...

    def get(self, key: str) -> Record | None:
        """The committed state of `key`."""
        ...

    def head(self, key: str) -> Record | None:
        """The newest state of `key`, committed or not: where a read-modify-write begins."""
        ...

    def list(self, prefix: str, *, at: int | None = None, start_after: str = "", limit: int = 0) -> Page:
        """Records under `prefix` in the order of their keys, now or at revision `at`; no limit if 0.

        Raises Compacted or FutureRevision.
        """
        ...

    def count(self, prefix: str) -> int:
        """How many keys there are under `prefix`."""
        ...

    async def create(self, key: str, draft: Draft) -> Record:
        """Raises KeyExists."""
        ...

    async def update(self, key: str, draft: Draft, revision: int) -> Record:
        """Replace `key` if it is at `revision`. Raises RevisionConflict or KeyNotFound."""
        ...

    async def delete(self, key: str, revision: int, draft: Draft) -> Record:
        """Remove `key` if it is at `revision`; `draft` is the final state that watchers are shown."""
        ...

    def watch(self, prefix: str, since: int, where: tuple[str, str] | None = None) -> Watch:
        """Events under `prefix` after revision `since`. Raises Compacted or FutureRevision.

        `where` (a field and its value) spares events of records that had another value both before and after.
        """
        ...

    async def compact(self, revision: int) -> None:
        """Forget history before `revision`; states as of `revision` and later can still be listed and watched."""
        ...

    async def close(self) -> None:
        """Finish what was acknowledged and end every watch."""
        ...
