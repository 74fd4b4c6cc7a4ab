"""Protection of storage in use: a claim stays while a pod uses it, a volume while a claim is bound to it, a class of
attributes while a claim or a volume names it.

The finalizer is put on at creation (by admission, and here for what was made before); when the object is being deleted
and nothing uses it any more, it is taken off.
"""

from collections.abc import Callable, Iterable

from pynetes.client.informer import Informer
from pynetes.controllers import pods
from pynetes.controllers.controller import Context, Controller, ignore_not_found, own_key
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"
ATTRIBUTES_FINALIZER = "kubernetes.io/vac-protection"


def claims_of(pod: Obj) -> list[str]:
    """The names of the claims that a pod uses, its ephemeral volumes' included."""
    found = []
    for volume in pod.get("spec", {}).get("volumes") or []:
        if volume.get("persistentVolumeClaim"):
            found.append(volume["persistentVolumeClaim"]["claimName"])
        elif volume.get("ephemeral"):
            found.append(f"{meta.name(pod)}-{volume['name']}")
    return found


def by_claim(pod: Obj) -> list[str]:
    """The indexer of pods by the claims they use."""
    return [f"{meta.namespace(pod)}/{name}" for name in claims_of(pod)]


def finalizers(obj: Obj) -> list[str]:
    """`metadata.finalizers`."""
    return obj["metadata"].get("finalizers") or []


class _Protection(Controller):
    """Puts a finalizer on, and takes it off what is being deleted and not in use."""

    resource: str
    finalizer: str
    workers = 2

    async def in_use(self, obj: Obj) -> bool:
        """Whether something still needs the object."""
        raise NotImplementedError

    async def protect(self, obj: Obj | None) -> None:
        """Make the finalizer right."""
        if obj is None:
            return
        present = finalizers(obj)
        if meta.is_deleting(obj):
            if self.finalizer in present and not await self.in_use(obj):
                await self._write(obj, [f for f in present if f != self.finalizer])
        elif self.finalizer not in present:
            await self._write(obj, [*present, self.finalizer])

    async def _write(self, obj: Obj, wanted: list[str]) -> None:
        changed = {**obj, "metadata": {**obj["metadata"], "finalizers": wanted}}
        await ignore_not_found(self.client.update(self.resource, changed))


class ClaimProtection(_Protection):
    """Protects claims."""

    name = "persistentvolumeclaim-protection-controller"
    account = "pvc-protection-controller"
    resource = "persistentvolumeclaims"
    finalizer = CLAIM_FINALIZER

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.claims = self.watch(self.resource, own_key)
        self.pods = self.watch("pods", self._pod_changed, indexers={"claim": by_claim})

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        """A pod that ends or goes may have been the last to use its claims."""
        if old is None or (new is not None and not pods.is_terminal(new)):
            return ()
        return by_claim(old)

    async def reconcile(self, key: str) -> None:
        await self.protect(self.claims.get(key))

    async def in_use(self, obj: Obj) -> bool:
        if any(self._uses(pod) for pod in self.pods.by_index("claim", meta.key(obj))):
            return True
        # The cache may be behind: a pod made a moment ago counts.
        live = await self.client.list("pods", meta.namespace(obj))
        return any(self._uses(pod) and meta.name(obj) in claims_of(pod) for pod in live.items)

    @staticmethod
    def _uses(pod: Obj) -> bool:
        return bool(pods.node_name(pod)) and not pods.is_terminal(pod)


class VolumeProtection(_Protection):
    """Protects volumes."""

    name = "persistentvolume-protection-controller"
    account = "pv-protection-controller"
    resource = "persistentvolumes"
    finalizer = VOLUME_FINALIZER

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.volumes = self.watch(self.resource, own_key)

    async def reconcile(self, key: str) -> None:
        await self.protect(self.volumes.get(key))

    async def in_use(self, obj: Obj) -> bool:
        return obj.get("status", {}).get("phase") == "Bound"


def attributes_classes_of(claim: Obj) -> list[str]:
    """The volume attributes classes that a claim asks for, has, or is on its way to."""
    status = claim.get("status", {})
    named = (
        claim["spec"].get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return sorted({name for name in named if name})


def attributes_class_of_volume(volume: Obj) -> list[str]:
    """The volume attributes class that a volume names, if any."""
    name = volume["spec"].get("volumeAttributesClassName")
    return [name] if name else []


class AttributesClassProtection(_Protection):
    """Protects volume attributes classes."""

    name = "volumeattributesclass-protection-controller"
    account = "volumeattributesclass-protection-controller"
    resource = "volumeattributesclasses.storage.k8s.io"
    finalizer = ATTRIBUTES_FINALIZER

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.classes = self.watch(self.resource, own_key)
        self.claims = self._watch_users("persistentvolumeclaims", attributes_classes_of)
        self.volumes = self._watch_users("persistentvolumes", attributes_class_of_volume)

    def _watch_users(self, resource: str, classes_of: Callable[[Obj], list[str]]) -> Informer:
        """Follow objects that name classes; what one names no longer may now be free."""

        def changed(old: Obj | None, new: Obj | None) -> Iterable[str]:
            before, after = (classes_of(obj) if obj else [] for obj in (old, new))
            return set(before) - set(after)

        return self.watch(resource, changed, indexers={"attributes class": classes_of})

    async def reconcile(self, key: str) -> None:
        await self.protect(self.classes.get(key))

    async def in_use(self, obj: Obj) -> bool:
        name = meta.name(obj)
        return bool(self.volumes.by_index("attributes class", name) or self.claims.by_index("attributes class", name))
