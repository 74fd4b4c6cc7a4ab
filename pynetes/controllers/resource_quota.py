"""ResourceQuotas: what a namespace uses, counted.

Admission charges a quota for what is created; here usage is counted anew when something goes or changes, when a quota
is new, and now and then in any case. What an object counts for is `machinery.quota`'s to say. Only resources that some
quota names are watched, and by metadata alone where the number is all that matters.
"""

from collections.abc import Iterable

from pynetes.client.discovery import discover
from pynetes.client.informer import Informer
from pynetes.controllers.controller import Context, Controller
from pynetes.controllers.status import update_status
from pynetes.machinery import meta, quota, resources
from pynetes.machinery.meta import Obj
from pynetes.machinery.pod_totals import Amounts, amounts
from pynetes.machinery.resources import ResourceType

QUOTAS = "resourcequotas"
_WHOLE = ("pods", "services", "persistentvolumeclaims", "resourceclaims.resource.k8s.io")
_BY_NAME = ("configmaps", "replicationcontrollers", "resourcequotas", "secrets")
_SETTLE_SECONDS = 0.2


def counted_resources(names: Iterable[str]) -> set[str]:
    """The resources (`deployments.apps`) that a quota with these resource names counts."""
    found: set[str] = set()
    for name in names:
        if name.startswith("count/"):
            found.add(name.removeprefix("count/"))
        else:
            found.update(kind for kind in (*_WHOLE, *_BY_NAME) if quota.concerns(kind, name))
    return found


def calculate_used(entry: Obj, objects: dict[str, list[Obj]]) -> dict[str, str]:
    """The usage of everything that the quota limits; `objects` are the namespace's, by resource."""
    hard = entry["spec"].get("hard") or {}
    shares = [
        quota.usage(kind, obj)
        for kind, found in objects.items()
        for obj in found
        if quota.matches_scopes(entry, kind, obj)
    ]
    summed = quota.total(shares)
    return quota.as_strings({name: summed.get(name, quota.ZERO) for name in hard})


class ResourceQuotaController(Controller):
    """Keeps quotas counted."""

    name = "resourcequota-controller"
    workers = 4

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.quotas = self.watch(QUOTAS, self._quota_changed)
        self._watched: dict[str, Informer] = {}
        for kind in ("pods", "services", "persistentvolumeclaims"):
            self._watched[kind] = self.watch(kind)
            self._follow(kind)

    def _quota_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        if new is None or (old is not None and old["spec"] == new["spec"]):
            return ()
        return (meta.key(new),)

    def _follow(self, kind: str) -> None:
        def changed(old: Obj | None, new: Obj | None) -> None:
            subject = new or old
            if subject is None:
                return
            for entry in self.quotas.by_index("namespace", meta.namespace(subject)):
                names = entry["spec"].get("hard") or {}
                if not any(quota.concerns(kind, name) for name in names):
                    continue
                if old is not None and new is not None and _counts(entry, kind, old) == _counts(entry, kind, new):
                    continue
                self.queue.add_after(meta.key(entry), _SETTLE_SECONDS)

        self._watched[kind].on_change(changed)

    async def reconcile(self, key: str) -> None:
        entry = self.quotas.get(key)
        if entry is None:
            return
        hard = entry["spec"].get("hard") or {}
        objects: dict[str, list[Obj]] = {}
        for kind in counted_resources(hard):
            informer = await self._informer(kind)
            if informer is not None:
                objects[kind] = informer.list(meta.namespace(entry))
        used = calculate_used(entry, objects)
        status = {**entry.get("status", {}), "hard": hard, "used": used}
        if not _same(entry.get("status", {}), status):
            await update_status(self.client, QUOTAS, entry, status)
        self.queue.add_after(key, self.context.options.resource_quota_sync_period)

    async def _informer(self, kind: str) -> Informer | None:
        """The cache of a resource, begun when a quota first names it; None if the server has no such resource."""
        if kind not in self._watched:
            found = await self._resource(kind)
            if found is None or not found.namespaced:
                return None
            whole = kind in _WHOLE
            self._watched[kind] = self.context.informers.get(found, metadata_only=not whole)
            self._follow(kind)
        informer = self._watched[kind]
        await informer.synced()
        return informer

    async def _resource(self, kind: str) -> ResourceType | None:
        known = next((rt for rt in resources.BUILTIN if rt.group_resource == kind), None)
        if known is not None:
            return known
        found = await discover(self.client)
        return next((rt for rt in found.resources if rt.group_resource == kind), None)


def _counts(entry: Obj, kind: str, obj: Obj) -> Amounts | None:
    """What an object counts for in a quota; None if it is out of its scope."""
    return quota.usage(kind, obj) if quota.matches_scopes(entry, kind, obj) else None


def _same(old: Obj, new: Obj) -> bool:
    """Whether two statuses say the same, however the amounts are written."""
    return all(amounts(old.get(field)) == amounts(new.get(field)) for field in ("hard", "used"))
