"""A decoded copy of one part of the store, kept true by the change.

What must answer in microseconds on every request (RBAC, the node graph, webhook configurations) does not read the
store: it holds a `Mirror`, which loads a prefix once, synchronously, and then follows the store's watch. The owner
hears of every change through `on_change(old, new)`. A mirror never gives up: a watch that was closed because it fell
behind, or a revision that was compacted away, leads to a fresh load whose differences are reported like any change.
"""

import asyncio
from collections.abc import Callable, Iterator

from pynetes.machinery import wire
from pynetes.machinery.meta import Obj
from pynetes.storage.interface import Compacted, Store

OnChange = Callable[[Obj | None, Obj | None], None]


class Mirror:
    """The objects under `prefix`, decoded; shared, so never to be written to."""

    def __init__(self, store: Store, prefix: str, on_change: OnChange | None = None) -> None:
        self._store = store
        self._prefix = prefix
        self._on_change = on_change
        self._objects: dict[str, Obj] = {}
        self._task: asyncio.Task[None] | None = None

    def __iter__(self) -> Iterator[Obj]:
        return iter(self._objects.values())

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, key: str) -> Obj | None:
        """The object at the store's key `prefix + key`."""
        return self._objects.get(self._prefix + key)

    def start(self) -> None:
        """Load now, and follow the store from here on; needs a running event loop."""
        revision = self._load()
        self._task = asyncio.create_task(self._follow(revision), name=f"mirror {self._prefix}")

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _load(self) -> int:
        page = self._store.list(self._prefix)
        fresh = {record.key: wire.decode(record.value) for record in page.records}
        for key in [key for key in self._objects if key not in fresh]:
            self._set(key, None)
        for key, obj in fresh.items():
            self._set(key, obj)
        return page.revision

    async def _follow(self, revision: int) -> None:
        while True:
            try:
                async for event in self._store.watch(self._prefix, revision):
                    record = event.record
                    revision = record.revision
                    self._set(record.key, None if event.type == "DELETED" else wire.decode(record.value))
            except Compacted:
                pass
            revision = self._load()
            await asyncio.sleep(0)

    def _set(self, key: str, new: Obj | None) -> None:
        old = self._objects.get(key)
        if new is None:
            self._objects.pop(key, None)
        else:
            if old is not None and old["metadata"].get("resourceVersion") == new["metadata"].get("resourceVersion"):
                return
            self._objects[key] = new
        if self._on_change is not None:
            self._on_change(old, new)
