"""Watches, found by what they watch.

A watch is registered under its prefix, so an event looks only at the handful of prefixes above its key and costs
what the watchers interested in it cost. A watch on one field value (the pods of one node) is registered under that
value as well. Each watch has a buffer of shared events; a reader that lets it overflow is cut off and must resume.
"""

from asyncio import Future, get_running_loop
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from pynetes.storage.interface import Event

Where = tuple[str, str]

BUFFER_LIMIT = 10_000


class BufferedWatch:
    """One reader's stream of events."""

    __slots__ = ("_buffer", "_closed", "_interrupted", "_limit", "_revision", "_unregister", "_waiter", "overflowed")

    def __init__(self, backlog: Iterable[Event], limit: int, revision: Callable[[], int]) -> None:
        self.overflowed = False
        self._buffer = deque(backlog)
        self._limit = len(self._buffer) + limit
        self._closed = False
        self._interrupted = False
        self._revision = revision
        self._unregister: Callable[[], None] = lambda: None
        self._waiter: Future[None] | None = None

    def __aiter__(self) -> "BufferedWatch":
        return self

    async def __anext__(self) -> Event:
        while not self._buffer:
            if self._closed:
                raise StopAsyncIteration
            await self._wait()
        return self._buffer.popleft()

    async def batch(self) -> Sequence[Event]:
        while not self._buffer and not self._closed and not self._interrupted:
            await self._wait()
        self._interrupted = False
        events = list(self._buffer)
        self._buffer.clear()
        return events

    @property
    def progress(self) -> int:
        return self._buffer[0].revision - 1 if self._buffer else self._revision()

    @property
    def closed(self) -> bool:
        return self._closed

    def interrupt(self) -> None:
        """Make a waiting (or the next) `batch` return, if only with nothing."""
        self._interrupted = True
        self._wake()

    def offer(self, event: Event) -> None:
        """Hand over the next event; called by the hub."""
        if len(self._buffer) >= self._limit:
            self.overflowed = True
            self._buffer.clear()
            self.close()
            return
        self._buffer.append(event)
        self._wake()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._unregister()
            self._wake()

    def on_close(self, unregister: Callable[[], None]) -> None:
        self._unregister = unregister

    async def _wait(self) -> None:
        self._waiter = get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Hub:
    """All open watches, by prefix and by field value."""

    def __init__(self) -> None:
        self._everything: dict[str, set[BufferedWatch]] = {}
        self._by_field: dict[str, dict[str, dict[str, set[BufferedWatch]]]] = {}  # prefix → field → value

    def register(self, watch: BufferedWatch, prefix: str, where: Where | None) -> None:
        if where is None:
            group = self._everything.setdefault(prefix, set())
        else:
            field, value = where
            group = self._by_field.setdefault(prefix, {}).setdefault(field, {}).setdefault(value, set())
        group.add(watch)
        watch.on_close(lambda: self._remove(watch, prefix, where))

    def dispatch(self, event: Event) -> None:
        """Hand `event` to every watch that may be interested."""
        for prefix in _prefixes(event.record.key):
            if prefix in self._everything:
                for watch in tuple(self._everything[prefix]):
                    watch.offer(event)
            for field, by_value in self._by_field.get(prefix, {}).items():
                states = (event.record, event.previous)
                for value in {state.fields.get(field, "") for state in states if state is not None}:
                    for watch in tuple(by_value.get(value, ())):
                        watch.offer(event)

    def close(self) -> None:
        for watch in list(self._all()):
            watch.close()

    def _all(self) -> Iterator[BufferedWatch]:
        for group in self._everything.values():
            yield from group
        for by_field in self._by_field.values():
            for by_value in by_field.values():
                for group in by_value.values():
                    yield from group

    def _remove(self, watch: BufferedWatch, prefix: str, where: Where | None) -> None:
        if where is None:
            _discard(self._everything, prefix, watch)
            return
        field, value = where
        _discard(self._by_field[prefix][field], value, watch)
        if not self._by_field[prefix][field]:
            del self._by_field[prefix][field]
        if not self._by_field[prefix]:
            del self._by_field[prefix]


def _discard(groups: dict[str, set[BufferedWatch]], name: str, watch: BufferedWatch) -> None:
    groups[name].discard(watch)
    if not groups[name]:
        del groups[name]


def _prefixes(key: str) -> Iterator[str]:
    """`/`, `/core/`, `/core/pods/`, … and the key itself."""
    end = 0
    while end >= 0:
        yield key[: end + 1]
        end = key.find("/", end + 1)
    yield key
