"""Following the definitions in the store.

Two things happen when a definition changes. At once, the registry is made to serve what the definition, if it is
established, says. Then, in turn, its status is brought up to date: names accepted or refused, established, or, when it
is being deleted, its objects deleted and the definition let go. Status depends on the other definitions of the group,
so a change of one looks at all of them again.
"""

import asyncio
import logging
from typing import Any

from pynetes.apis.apiextensions.custom_resource_definition import FINALIZER
from pynetes.apiserver import writes
from pynetes.apiserver.admission.webhook_client import WebhookClient
from pynetes.apiserver.crd import names
from pynetes.apiserver.crd.resource import CustomResource, served, storage_type
from pynetes.apiserver.mirror import Mirror
from pynetes.apiserver.registry import Context, Registry
from pynetes.machinery import clock, meta, resources
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

log = logging.getLogger(__name__)

DEFINITIONS = resources.lookup("customresourcedefinitions.apiextensions.k8s.io")
_RETRY = 1.0


class CustomResources:
    """The custom resources of a registry; `start` begins, `stop` ends."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        prefix = registry.resource(DEFINITIONS).prefix()
        self._definitions: Mirror[Obj] = Mirror(registry.store, prefix, self._changed)
        self._webhooks = WebhookClient(registry)
        self._served: dict[str, list[CustomResource]] = {}
        self._due: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._cleaning: dict[str, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Serve what is established already, and follow from there."""
        self._definitions.start()
        self._tasks.append(asyncio.create_task(self._work(), name="custom resource definitions"))

    async def stop(self) -> None:
        """Stop following; nothing is unserved."""
        for task in (*self._tasks, *self._cleaning.values()):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._cleaning.values(), return_exceptions=True)
        await self._definitions.stop()
        await self._webhooks.close()

    # What is served.

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        name = meta.name(new or old or {})
        if new is None:
            self._unserve(name, [])
        elif meta.is_condition_true(new, "Established") and (old is None or _served_by(old) != _served_by(new)):
            self._serve(name, new)
        group = (new or old or {})["spec"].get("group")
        for each in self._definitions:
            if each["spec"].get("group") == group:
                self._enqueue(meta.name(each))

    def _serve(self, name: str, definition: Obj) -> None:
        now = served(definition, self._webhooks)
        self._unserve(name, now)
        self._served[name] = now
        for resource in now:
            self._registry.serve(resource)

    def _unserve(self, name: str, staying: list[CustomResource]) -> None:
        """Stop serving what a definition offered; its watches end, so that clients come again for what it is now."""
        paths = {(each.rt.version, each.rt.plural) for each in staying}
        for resource in self._served.pop(name, []):
            if (resource.rt.version, resource.rt.plural) not in paths:
                self._registry.remove(resource.rt)
            self._registry.end_watches(resource.prefix())

    # What becomes of a definition.

    def _enqueue(self, name: str) -> None:
        if name not in self._queued:
            self._queued.add(name)
            self._due.put_nowait(name)

    async def _work(self) -> None:
        while True:
            name = await self._due.get()
            self._queued.discard(name)
            try:
                await self._settle(name)
            except StatusError as error:
                if error.code not in (404, 409):
                    log.warning("custom resource definition %s: %s", name, error.message)
                    self._tasks.append(asyncio.create_task(self._again(name)))
        # Cancelled when the server stops.

    async def _again(self, name: str) -> None:
        await clock.sleep(_RETRY)
        self._enqueue(name)

    async def _settle(self, name: str) -> None:
        definition = self._registry.get(DEFINITIONS, None, name)
        if definition is None:
            return
        if meta.is_deleting(definition):
            if FINALIZER in (definition["metadata"].get("finalizers") or []) and name not in self._cleaning:
                self._cleaning[name] = asyncio.create_task(self._clean(definition), name=f"cleaning {name}")
            return
        group = definition["spec"].get("group")
        others = [each for each in self._definitions if each["spec"].get("group") == group and meta.name(each) != name]
        wanted = names.status(definition, others)
        if wanted != definition.get("status"):
            await self._write_status(name, lambda live: live.update(status=names.status(live, others)))

    async def _write_status(self, name: str, change: Any) -> None:
        await self._registry.update(DEFINITIONS, None, name, change, _context(), subresource="status")

    # Deletion.

    async def _clean(self, definition: Obj) -> None:
        name = meta.name(definition)
        try:
            await self._let_go(definition)
        except StatusError as error:
            log.warning("deleting the objects of %s: %s", name, error.message)
            await clock.sleep(_RETRY)
            self._enqueue(name)
        finally:
            del self._cleaning[name]

    async def _let_go(self, definition: Obj) -> None:
        """Delete all objects, wait until they are gone, and let the definition go."""
        name = meta.name(definition)
        await self._terminating(name, "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress")
        if meta.is_condition_true(definition, "Established"):
            await self._delete_objects(definition)
        await self._terminating(name, "False", "InstanceDeletionCompleted", "removed all instances")

        def let_go(live: Obj) -> None:
            live["metadata"]["finalizers"] = [
                each for each in live["metadata"].get("finalizers") or [] if each != FINALIZER
            ]

        await self._registry.update(DEFINITIONS, None, name, let_go, _context())

    async def _terminating(self, name: str, value: str, reason: str, message: str) -> None:
        def change(live: Obj) -> None:
            meta.set_condition(live, "Terminating", value, reason, message)

        await self._write_status(name, change)

    async def _delete_objects(self, definition: Obj) -> None:
        version = next(each for each in definition["spec"]["versions"] if each.get("storage"))
        resource = CustomResource(definition, version)
        assert resource.stored == storage_type(definition)
        store, prefix = self._registry.store, resource.prefix()
        for record in store.list(prefix).records:
            obj = resource.decode(record)
            try:
                await writes.delete(self._registry, resource, meta.namespace(obj), meta.name(obj), {}, _context())
            except StatusError as error:
                if error.code != 404:
                    raise
        while store.count(prefix):
            # Objects with finalizers: whoever put them there takes them away.
            watch = store.watch(prefix, store.revision)
            try:
                if store.count(prefix):
                    await watch.batch()
            finally:
                watch.close()


def _served_by(definition: Obj) -> tuple[Any, ...]:
    """What of a definition decides what is served."""
    return (
        definition["spec"],
        (definition.get("status") or {}).get("acceptedNames"),
        meta.is_condition_true(definition, "Established"),
        meta.is_condition_true(definition, "Terminating"),
        meta.uid(definition),
    )


def _context() -> Context:
    return Context(skip_admission=True, field_manager="kube-apiserver")
