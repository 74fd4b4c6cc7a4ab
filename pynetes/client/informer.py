"""A local copy of one kind of object, kept current by a watch.

The informer lists once and then watches from the revision it has. When the watch ends, for whatever reason, the next
one starts from the last revision seen, so a restart of the API server costs one request and no event; only a revision
that the server no longer has (410) makes it list again, and then it reports the difference. Callbacks therefore see
every object's way from None to None, though not each step between.

Cached objects are shared with everyone who asks: never change one. `managedFields` are dropped on the way in, because
nothing that uses an informer reads them and they are the largest part of many objects.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Mapping
from typing import Any

from pynetes.client.backoff import Backoff
from pynetes.client.client import Client, Unreachable, resource_of
from pynetes.machinery import clock, meta, selectors
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

log = logging.getLogger(__name__)

Objs = list[Obj]
Names = list[str]
Indexer = Callable[[Obj], list[str]]
Callback = Callable[[Obj | None, Obj | None], None]
Transform = Callable[[Obj], Obj]

_PAGE = 5000
_HEALTHY_SECONDS = 10.0  # a watch that lasted this long was a good one, even if nothing happened
_GONE = (410, 504)  # 504: the revision asked for is of the future; the store behind the server was replaced


def drop_managed_fields(obj: Obj) -> Obj:
    """The default transform."""
    obj.get("metadata", {}).pop("managedFields", None)
    return obj


def by_namespace(obj: Obj) -> list[str]:
    """An indexer every namespaced informer has."""
    return [meta.namespace(obj)]


class Informer:
    """The cache of one resource, in one namespace or all, as its selectors choose."""

    def __init__(
        self,
        client: Client,
        rt: ResourceType | str,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        indexers: Mapping[str, Indexer] | None = None,
        transform: Transform = drop_managed_fields,
        metadata_only: bool = False,
    ) -> None:
        self.client = client
        self.resource = resource_of(rt)
        self.namespace = namespace
        self.label_selector = label_selector
        self.field_selector = field_selector
        self.metadata_only = metadata_only
        self._transform = transform
        self._items: dict[str, Obj] = {}
        self._indexers: dict[str, Indexer] = {}
        self._indexes: dict[str, dict[str, dict[str, None]]] = {}
        self._callbacks: list[Callback] = []
        self._synced = asyncio.Event()
        self._revision: str | None = None
        self.lists = 0  # how often everything was listed: 1 in a life without 410
        if self.resource.namespaced:
            self.add_indexers({"namespace": by_namespace})
        self.add_indexers(indexers or {})

    # What readers use

    @property
    def has_synced(self) -> bool:
        """Whether the first list has arrived."""
        return self._synced.is_set()

    @property
    def resource_version(self) -> str:
        """The last revision seen."""
        return self._revision or ""

    async def synced(self) -> None:
        """Wait for the first list."""
        await self._synced.wait()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: str) -> Obj | None:
        """The object under `namespace/name` (or `name`)."""
        return self._items.get(key)

    def list(self, namespace: str | None = None, selector: selectors.LabelSelector | None = None) -> Objs:
        """The cached objects, of one namespace and with matching labels if asked."""
        found = self._items.values() if namespace is None else self.by_index("namespace", namespace)
        if selector is None:
            return [*found]
        return [obj for obj in found if selector.matches(meta.labels(obj))]

    def by_index(self, index: str, value: str) -> Objs:
        """The objects for which the indexer named `index` gave `value`."""
        return [self._items[key] for key in self._indexes[index].get(value, ())]

    def add_indexers(self, indexers: Mapping[str, Indexer]) -> None:
        """Add indexes, also over what is cached already; one of the same name stays as it is."""
        for name, indexer in indexers.items():
            if name in self._indexers:
                continue
            self._indexers[name] = indexer
            index: dict[str, dict[str, None]] = {}
            for key, obj in self._items.items():
                for value in indexer(obj):
                    index.setdefault(value, {})[key] = None
            self._indexes[name] = index

    def on_change(self, callback: Callback) -> None:
        """Call `callback(old, new)` on every change; what is cached already is reported at once as new."""
        self._callbacks.append(callback)
        for obj in [*self._items.values()]:
            callback(None, obj)

    def off_change(self, callback: Callback) -> None:
        """Stop calling `callback`."""
        self._callbacks.remove(callback)

    # What keeps it current

    async def run(self) -> None:
        """List, watch, and carry on for ever; ends only by cancellation."""
        backoff = Backoff(0.1, 5.0)
        while True:
            try:
                if self._revision is None:
                    await self._list()
                await self._watch(backoff)
            except StatusError as error:
                if error.code in _GONE and self._revision is not None:
                    log.info("%s: %s; listing again", self.resource.plural, error.message)
                    self._revision = None
                else:
                    log.warning("%s: %s", self.resource.plural, error.message)
                    await backoff.wait()
            except Unreachable as error:
                log.debug("%s: %s", self.resource.plural, error)
                await backoff.wait()
            except Exception:
                # An object that a transform or an indexer chokes on must not end the cache for all others.
                log.exception("%s: listing again", self.resource.plural)
                self._revision = None
                await backoff.wait()

    async def _list(self) -> None:
        """Replace the cache by what the server has, reporting the differences."""
        found: dict[str, Obj] = {}
        token = ""
        while True:
            page = await self.client.list(
                self.resource,
                self.namespace,
                label_selector=self.label_selector,
                field_selector=self.field_selector,
                limit=_PAGE,
                continue_token=token,
                metadata_only=self.metadata_only,
            )
            for obj in page.items:
                found[meta.key(obj)] = self._adopt(obj)
            token = page.continue_token
            if not token:
                break
        self.lists += 1
        for key in [key for key in self._items if key not in found]:
            self._put(key, None)
        for key, obj in found.items():
            old = self._items.get(key)
            if old is not None and meta.uid(old) != meta.uid(obj):
                self._put(key, None)
                old = None
            if old is None or _version(old) != _version(obj):
                self._put(key, obj)
        self._revision = page.resource_version
        self._synced.set()

    async def _watch(self, backoff: Backoff) -> None:
        """One watch from the last revision until the server ends it."""
        events = self.client.watch(
            self.resource,
            self.namespace,
            resource_version=self._revision,
            label_selector=self.label_selector,
            field_selector=self.field_selector,
            timeout_seconds=random.randint(1800, 3600),
            allow_bookmarks=True,
            metadata_only=self.metadata_only,
        )
        seen, began = False, clock.monotonic()
        async with contextlib.aclosing(events):
            async for kind, obj in events:
                if not seen:
                    seen = True
                    backoff.reset()
                self._revision = _version(obj)
                if kind == "BOOKMARK":
                    continue
                self._put(meta.key(obj), None if kind == "DELETED" else self._adopt(obj), gone=obj)
        if clock.monotonic() - began > _HEALTHY_SECONDS:
            backoff.reset()
        elif not seen:
            await backoff.wait()

    def _adopt(self, obj: Obj) -> Obj:
        obj["apiVersion"] = self.resource.api_version
        obj["kind"] = self.resource.kind
        if self.metadata_only and len(obj) > 3:
            obj = {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": obj["metadata"]}
        return self._transform(obj)

    def _put(self, key: str, new: Obj | None, gone: Obj | None = None) -> None:
        """Store (or remove) one object, keep the indexes, tell the callbacks."""
        old = self._items.get(key)
        if new is None:
            if old is None:
                return
            del self._items[key]
            if gone is not None and meta.uid(gone) == meta.uid(old):
                # The last state may differ from the one cached: report it, unindex by the one that was indexed.
                self._reindex(key, old, None)
                self._notify(self._adopt(gone), None)
                return
        else:
            self._items[key] = new
        self._reindex(key, old, new)
        self._notify(old, new)

    def _reindex(self, key: str, old: Obj | None, new: Obj | None) -> None:
        for name, indexer in self._indexers.items():
            before = indexer(old) if old is not None else []
            after = indexer(new) if new is not None else []
            if before == after:
                continue
            index = self._indexes[name]
            for value in before:
                if value not in after:
                    keys = index.get(value)
                    if keys is not None:
                        keys.pop(key, None)
                        if not keys:
                            del index[value]
            for value in after:
                index.setdefault(value, {})[key] = None

    def _notify(self, old: Obj | None, new: Obj | None) -> None:
        for callback in [*self._callbacks]:
            try:
                callback(old, new)
            except Exception:
                log.exception("%s: a listener failed", self.resource.plural)


def _version(obj: Obj) -> str:
    return obj.get("metadata", {}).get("resourceVersion", "")


class InformerFactory:
    """One informer per resource and selection, shared by all who ask.

    `run` starts those that were asked for and those asked for later, and ends only by cancellation. `transforms` say by
    resource (`deployments.apps`) how objects are to be cut down on their way into the cache.
    """

    def __init__(self, client: Client, transforms: Mapping[str, Transform] | None = None) -> None:
        self.client = client
        self._transforms = dict(transforms or {})
        self._informers: dict[tuple[Any, ...], Informer] = {}
        self._tasks: dict[tuple[Any, ...], asyncio.Task[None]] = {}
        self._failed: asyncio.Future[None] | None = None

    def get(
        self,
        rt: ResourceType | str,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        indexers: Mapping[str, Indexer] | None = None,
        metadata_only: bool = False,
    ) -> Informer:
        """The shared informer; `indexers` are added to it. Metadata alone is served by a full one if there is one."""
        resource = resource_of(rt)
        base = (resource.group, resource.plural, namespace, label_selector, field_selector)
        key = (*base, metadata_only)
        if metadata_only and (*base, False) in self._informers:
            key = (*base, False)
        informer = self._informers.get(key)
        if informer is None:
            transform = self._transforms.get(resource.group_resource, drop_managed_fields)
            informer = Informer(
                self.client,
                resource,
                namespace,
                label_selector,
                field_selector,
                transform=drop_managed_fields if metadata_only else transform,
                metadata_only=metadata_only,
            )
            self._informers[key] = informer
            if self._failed is not None:
                self._start(key)
        informer.add_indexers(indexers or {})
        return informer

    def drop(self, informer: Informer) -> None:
        """Stop an informer whose resource is gone (a deleted CustomResourceDefinition)."""
        for key in [key for key, known in self._informers.items() if known is informer]:
            del self._informers[key]
            task = self._tasks.pop(key, None)
            if task is not None:
                task.cancel()

    async def run(self) -> None:
        """Run every informer until cancelled."""
        self._failed = asyncio.get_running_loop().create_future()
        try:
            for key in [*self._informers]:
                self._start(key)
            await self._failed
        finally:
            self._failed = None
            tasks = [*self._tasks.values()]
            self._tasks.clear()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def wait_synced(self) -> None:
        """Wait until all informers asked for so far have listed."""
        for informer in [*self._informers.values()]:
            await informer.synced()

    def _start(self, key: tuple[Any, ...]) -> None:
        task = asyncio.get_running_loop().create_task(self._informers[key].run(), name=f"informer-{key[1]}")
        self._tasks[key] = task
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() and self._failed is not None and not self._failed.done():
            self._failed.set_exception(task.exception() or RuntimeError("informer ended"))
