"""A decoded copy of one part of the store, kept true by the change.

What must answer in microseconds on every request (RBAC, the node graph, webhook configurations) does not read the
store: it holds a `Mirror`, which loads a prefix once, synchronously, and then follows the store's watch. Where only a
little of each object matters (of a pod, its node and what it refers to), `reduce` says what is kept. The owner hears of
every change through `on_change(old, new)`. A mirror never gives up: a watch that was closed because it fell behind, or
a revision that was compacted away, leads to a fresh load whose differences are reported like any change.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from pynetes.machinery import wire
from pynetes.machinery.meta import Obj
from pynetes.storage.interface import Compacted, Record, Store

T = TypeVar("T")


def whole(obj: Obj) -> Any:
    """The reduction that keeps everything."""
    return obj


class Mirror(Generic[T]):
    """What `reduce` keeps of the objects under `prefix`; shared, so never to be written to."""

    def __init__(
        self,
        store: Store,
        prefix: str,
        on_change: Callable[[T | None, T | None], None] | None = None,
        reduce: Callable[[Obj], T] = whole,
    ) -> None:
        self._store = store
        self._prefix = prefix
        self._on_change = on_change
        self._reduce = reduce
        self._kept: dict[str, tuple[int, T]] = {}
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    def __iter__(self) -> Iterator[T]:
        return (kept for _, kept in self._kept.values())

    def __len__(self) -> int:
        return len(self._kept)

    def start(self) -> None:
        """Load now, and follow the store from here on; needs a running event loop."""
        revision = self._load()
        self._task = asyncio.create_task(self._follow(revision), name=f"mirror {self._prefix}")

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def caught_up(self) -> None:
        """Return when all that the store holds now is known here."""
        while any(
            record.key not in self._kept or self._kept[record.key][0] < record.revision
            for record in self._store.list(self._prefix).records
        ):
            self._changed.clear()
            await self._changed.wait()

    def _load(self) -> int:
        page = self._store.list(self._prefix)
        present = {record.key for record in page.records}
        for key in [key for key in self._kept if key not in present]:
            self._forget(key)
        for record in page.records:
            self._keep(record)
        return page.revision

    async def _follow(self, revision: int) -> None:
        while True:
            try:
                async for event in self._store.watch(self._prefix, revision):
                    revision = event.revision
                    if event.type == "DELETED":
                        self._forget(event.record.key)
                    else:
                        self._keep(event.record)
            except Compacted:
                pass  # too far behind to follow; the load below catches up
            await asyncio.sleep(0)
            revision = self._load()

    def _keep(self, record: Record) -> None:
        old = self._kept.get(record.key)
        if old is not None and old[0] == record.revision:
            return
        new = self._reduce(wire.decode(record.value))
        self._kept[record.key] = (record.revision, new)
        self._changed.set()
        if self._on_change is not None:
            self._on_change(old[1] if old is not None else None, new)

    def _forget(self, key: str) -> None:
        old = self._kept.pop(key, None)
        self._changed.set()
        if old is not None and self._on_change is not None:
            self._on_change(old[1], None)
