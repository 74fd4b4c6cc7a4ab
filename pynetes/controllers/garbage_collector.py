"""The garbage collector: what has owners lives only as long as one of them does.

It watches the metadata of every kind the server has (custom resources as they come), keeps `gc_graph` current, and
does the work that the graph calls for. Before anything is deleted for want of an owner the API server itself is asked
whether the owner exists; before anything is changed its resourceVersion is made a condition, so what happens is always
right for the object as it is.
"""

import asyncio
import logging
from collections import OrderedDict
from typing import Any

from pynetes.client.backoff import Backoff
from pynetes.client.client import Unreachable
from pynetes.client.discovery import discover
from pynetes.client.informer import Informer
from pynetes.controllers.controller import Context, Controller
from pynetes.controllers.gc_graph import FOREGROUND, ORPHAN, Graph, Node, Owners, Work, finalizers, judge
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.machinery.resources import ResourceType

log = logging.getLogger(__name__)

_IGNORED = frozenset({("", "events"), ("events.k8s.io", "events")})
_NEEDED = frozenset({"list", "watch", "delete"})
_REMEMBERED_ABSENT = 500
_SETTLE_SECONDS = 0.2
_UNKNOWN_KIND_SECONDS = 30.0


class UnknownKind(Exception):
    """An owner reference names a kind that the server does not have."""


class NamespacedOwner(Exception):
    """A cluster-scoped object names an owner of a namespaced kind, which cannot be."""


class GarbageCollector(Controller):
    """Deletes what is owned by nobody any more."""

    name = "garbage-collector-controller"
    account = "generic-garbage-collector"
    workers = 20

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.graph = Graph()
        self._monitors: dict[tuple[str, str], Informer] = {}
        self._kinds: dict[tuple[str, str], ResourceType] = {}
        self._absent: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._unknown: set[str] = set()
        self._stale = asyncio.Event()
        self._stale.set()
        self._ready = asyncio.Event()
        for rt in ("customresourcedefinitions.apiextensions.k8s.io", "apiservices.apiregistration.k8s.io"):
            self.watch(rt, metadata_only=True).on_change(lambda old, new: self._stale.set())

    # Keeping the graph

    async def background(self) -> None:
        """Follow what kinds there are; sleeps until a custom resource or an API service changes."""
        backoff = Backoff(0.5, 30.0)
        while True:
            await self._stale.wait()
            await clock.sleep(_SETTLE_SECONDS if self._ready.is_set() else 0)
            self._stale.clear()
            try:
                await self._monitor_all()
                backoff.reset()
            except (StatusError, Unreachable) as error:
                log.warning("%s: discovery: %s", self.name, error)
                self._stale.set()
                await backoff.wait()

    async def _monitor_all(self) -> None:
        found = await discover(self.client)
        self._kinds = {(rt.group, rt.kind): rt for rt in (*found.views, *found.resources)}
        wanted = {
            (rt.group, rt.plural): rt
            for rt in found.resources
            if set(rt.verbs) >= _NEEDED and (rt.group, rt.plural) not in _IGNORED
        }
        if not found.failed:
            for key in [key for key in self._monitors if key not in wanted]:
                self.context.informers.drop(self._monitors.pop(key))
        for key, rt in wanted.items():
            if key not in self._monitors:
                informer = self.context.informers.get(rt, metadata_only=True)
                self._monitors[key] = informer
                informer.on_change(self._follow(rt))
        waiting, self._unknown = self._unknown, set()
        for waiting_key in waiting:
            self.queue.add(waiting_key)
        if not self._ready.is_set():
            await asyncio.gather(*(informer.synced() for informer in self._monitors.values()))
            self._ready.set()

    def _follow(self, rt: ResourceType) -> Any:
        def changed(old: Obj | None, new: Obj | None) -> None:
            if old is not None and (new is None or meta.uid(new) != meta.uid(old)):
                self._remember_absent(meta.uid(old), meta.namespace(old))
                self._enqueue(self.graph.remove(meta.uid(old)))
            if new is not None:
                self._enqueue(self.graph.upsert(rt, new))

        return changed

    def _enqueue(self, work: list[Work]) -> None:
        for verb, uid in work:
            self.queue.add(f"{verb} {uid}")

    def _remember_absent(self, uid: str, namespace: str) -> None:
        self._absent[uid, namespace] = None
        if len(self._absent) > _REMEMBERED_ABSENT:
            self._absent.popitem(last=False)

    # Doing the work

    async def reconcile(self, key: str) -> None:
        await self._ready.wait()
        verb, uid = key.split(" ", 1)
        node = self.graph.get(uid)
        if node is None:
            return
        try:
            if verb == "orphan":
                await self._orphan(node)
            elif node.is_virtual:
                await self._look_for(key, node)
            elif verb == "delete":
                await self._attempt(node)
        except UnknownKind as error:
            log.debug("%s: %s", self.name, error)
            self._unknown.add(key)
            self.queue.add_after(key, _UNKNOWN_KIND_SECONDS)
        except NamespacedOwner as error:
            log.debug("%s: %s", self.name, error)

    async def _look_for(self, key: str, node: Node) -> None:
        """Find out whether an owner exists that only references tell of."""
        place = node.reference
        if place is None:
            return
        rt = self._resource(place.api_version, place.kind)
        if rt.namespaced and not place.namespace:
            raise NamespacedOwner(f"{place.kind} {place.name} is named as owner by a cluster-scoped object")
        if await self._live(rt, place.name, place.namespace, node.uid) is not None:
            self.queue.add_rate_limited(key)
            return
        self._remember_absent(node.uid, place.namespace if rt.namespaced else "")
        if node.is_virtual:
            self._enqueue(self.graph.remove(node.uid))

    async def _attempt(self, node: Node) -> None:
        """Delete the object if its owners are gone; help it on if it waits for its dependents."""
        obj, rt = node.obj, node.resource
        if obj is None or rt is None:
            return
        if node.is_deleting and not node.waits_for_dependents:
            return
        if node.waits_for_dependents:
            await self._finish_foreground(node, rt, obj)
            return
        if not node.owners:
            return
        owners = await self._sort_owners(obj)
        verdict = judge(obj, owners, self.graph.dependents(node))
        if verdict.release:
            await self._set_owners(rt, obj, [ref for ref in node.owners if ref["uid"] not in verdict.release])
        if verdict.unblock:
            obj = await self._set_owners(rt, obj, [{**ref, "blockOwnerDeletion": False} for ref in node.owners])
        if verdict.policy:
            await self._delete(rt, obj, verdict.policy)

    async def _finish_foreground(self, node: Node, rt: ResourceType, obj: Obj) -> None:
        blocking = self.graph.blocking(node)
        if not blocking:
            await self._remove_finalizer(rt, obj, FOREGROUND)
            return
        for dependent in blocking:
            if not dependent.waits_for_dependents:
                self.queue.add(f"delete {dependent.uid}")

    async def _orphan(self, node: Node) -> None:
        if node.obj is None or node.resource is None:
            return
        dependents = [
            each for each in self.graph.dependents(node) if each.obj is not None and each.resource is not None
        ]
        await asyncio.gather(*(self._release(each, node.uid) for each in dependents))
        await self._remove_finalizer(node.resource, node.obj, ORPHAN)

    async def _release(self, dependent: Node, owner_uid: str) -> None:
        """Take one owner off a dependent, as often as it takes against other writers."""
        rt, obj = dependent.resource, dependent.obj
        while rt is not None and obj is not None:
            owners = meta.owner_references(obj)
            rest = [ref for ref in owners if ref["uid"] != owner_uid]
            if len(rest) == len(owners):
                return
            try:
                await self._set_owners(rt, obj, rest)
                return
            except StatusError as error:
                if error.code == 404:
                    return
                if error.code != 409:
                    raise
            obj = await self._live(rt, meta.name(obj), meta.namespace(obj), dependent.uid)

    async def _sort_owners(self, obj: Obj) -> Owners:
        owners = Owners()
        for reference in meta.owner_references(obj):
            owner = await self._owner(obj, reference)
            if owner is None:
                owners.dangling.append(reference)
            elif meta.is_deleting(owner) and FOREGROUND in finalizers(owner):
                owners.waiting.append(reference)
            else:
                owners.solid.append(reference)
        return owners

    async def _owner(self, obj: Obj, reference: Obj) -> Obj | None:
        """The owner as the API server has it now."""
        rt = self._resource(reference["apiVersion"], reference["kind"])
        namespace = meta.namespace(obj) if rt.namespaced else ""
        known = self.graph.get(reference["uid"])
        if known is not None and known.obj is not None and meta.namespace(known.obj) not in ("", meta.namespace(obj)):
            self.events.event(
                obj,
                "Warning",
                "OwnerRefInvalidNamespace",
                f"ownerRef [{reference['apiVersion']}/{reference['kind']}, namespace: {meta.namespace(obj)}, "
                f"name: {reference['name']}, uid: {reference['uid']}] does not exist in namespace "
                f'"{meta.namespace(obj)}"',
            )
        if rt.namespaced and not namespace:
            raise NamespacedOwner(f"{meta.name(obj)} is cluster-scoped, its owner {reference['name']} is not")
        if (reference["uid"], namespace) in self._absent:
            return None
        owner = await self._live(rt, reference["name"], namespace, reference["uid"])
        if owner is None:
            self._remember_absent(reference["uid"], namespace)
        return owner

    def _resource(self, api_version: str, kind: str) -> ResourceType:
        group = api_version.rpartition("/")[0]
        found = self._kinds.get((group, kind))
        if found is None:
            raise UnknownKind(f'no matches for kind "{kind}" in version "{api_version}"')
        return found

    async def _live(self, rt: ResourceType, name: str, namespace: str, uid: str) -> Obj | None:
        """The object as the API server has it, if it is still that one."""
        try:
            found = await self.client.get(rt, name, namespace or None, metadata_only=True)
        except StatusError as error:
            if error.code == 404:
                return None
            raise
        return found if meta.uid(found) == uid else None

    async def _delete(self, rt: ResourceType, obj: Obj, policy: str) -> None:
        log.debug("%s: deleting %s %s (%s)", self.name, rt.kind, meta.key(obj), policy)
        try:
            await self.client.delete(
                rt,
                meta.name(obj),
                meta.namespace(obj) or None,
                uid=meta.uid(obj),
                resource_version=obj["metadata"]["resourceVersion"],
                propagation_policy=policy,
            )
        except StatusError as error:
            if error.code != 404:
                raise

    async def _set_owners(self, rt: ResourceType, obj: Obj, owners: list[Obj]) -> Obj:
        return await self._patch(rt, obj, {"ownerReferences": owners or None})

    async def _remove_finalizer(self, rt: ResourceType, obj: Obj, finalizer: str) -> None:
        live = await self._live(rt, meta.name(obj), meta.namespace(obj), meta.uid(obj))
        if live is None or finalizer not in finalizers(live):
            return
        try:
            await self._patch(rt, live, {"finalizers": [f for f in finalizers(live) if f != finalizer]})
        except StatusError as error:
            if error.code != 404:
                raise

    async def _patch(self, rt: ResourceType, obj: Obj, metadata: Obj) -> Obj:
        condition = {"resourceVersion": obj["metadata"]["resourceVersion"], "uid": meta.uid(obj)}
        return await self.client.patch(
            rt, meta.name(obj), {"metadata": {**metadata, **condition}}, meta.namespace(obj) or None, type="merge"
        )
