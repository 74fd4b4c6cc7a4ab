"""Dynamic volumes on the machine's own disk, so that a claim works on a fresh cluster without anything installed.

With `--local-volumes-dir` there is a StorageClass `standard`, the default one, whose claims get a directory each. The
volume belongs to the node that the scheduler chose, and the directory is removed with it when the reclaim policy says
Delete. This is a provisioner as any other: it acts on claims that ask for it by its name.
"""

import asyncio
import shutil
from collections.abc import Iterable
from pathlib import Path

from pynetes.controllers import volume_matching as matching
from pynetes.controllers.controller import Context, Controller, ignore_not_found
from pynetes.controllers.status import update_status
from pynetes.machinery import meta, quantity
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

PROVISIONER = "pynetes.dev/local"
CLASSES = "storageclasses.storage.k8s.io"
_HOSTNAME = "kubernetes.io/hostname"

STANDARD: Obj = {
    "metadata": {
        "name": "standard",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": PROVISIONER,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
}


def make_volume(claim: Obj, storage_class: Obj, node: Obj | None, path: Path) -> Obj:
    """The volume for a claim, on `node` if one was chosen."""
    spec: Obj = {
        "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        "accessModes": claim["spec"]["accessModes"],
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
        "storageClassName": meta.name(storage_class),
        "volumeMode": "Filesystem",
        "mountOptions": storage_class.get("mountOptions") or [],
        "hostPath": {"path": str(path), "type": "DirectoryOrCreate"},
        "claimRef": matching.reference(claim),
    }
    if node is not None:
        host = meta.labels(node).get(_HOSTNAME, meta.name(node))
        expression = {"key": _HOSTNAME, "operator": "In", "values": [host]}
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
    return {
        "metadata": {
            "name": f"pvc-{meta.uid(claim)}",
            "annotations": {matching.PROVISIONED_BY: PROVISIONER},
        },
        "spec": spec,
    }


class LocalVolumeProvisioner(Controller):
    """Makes and removes local volumes; does nothing without `--local-volumes-dir`."""

    name = "local-volume-provisioner"
    component = PROVISIONER
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        folder = context.options.local_volumes_dir
        self._folder = Path(folder) if folder else None
        self.claims = self.watch("persistentvolumeclaims", self._claim_changed)
        self.volumes = self.watch("persistentvolumes", self._volume_changed)
        self.classes = self.watch(CLASSES)
        self.nodes = self.watch("nodes")

    async def background(self) -> None:
        if self._folder is None:
            return
        if not any(found.get("provisioner") == PROVISIONER for found in self.classes.list()):
            try:
                await self.client.create(CLASSES, STANDARD)
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    raise

    def _claim_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        asks = new is not None and meta.annotations(new).get(matching.STORAGE_PROVISIONER) == PROVISIONER
        return (f"claim {meta.key(new)}",) if new is not None and asks else ()

    def _volume_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        ours = new is not None and meta.annotations(new).get(matching.PROVISIONED_BY) == PROVISIONER
        return (f"volume {meta.name(new)}",) if new is not None and ours else ()

    async def reconcile(self, key: str) -> None:
        if self._folder is None:
            return
        what, _, name = key.partition(" ")
        if what == "claim":
            await self._provision(self._folder, self.claims.get(name))
        else:
            await self._remove(self._folder, self.volumes.get(name))

    async def _provision(self, folder: Path, claim: Obj | None) -> None:
        if claim is None or meta.is_deleting(claim):
            return
        if claim["spec"].get("volumeName"):
            await self._expand(claim)
            return
        storage_class = self.classes.get(matching.class_of(claim))
        if storage_class is None or storage_class.get("provisioner") != PROVISIONER:
            return
        chosen = meta.annotations(claim).get(matching.SELECTED_NODE)
        if not chosen and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer":
            return
        name = f"pvc-{meta.uid(claim)}"
        if self.volumes.get(name) is not None:
            return
        if matching.mode_of(claim) != "Filesystem":
            text = f'failed to provision volume with StorageClass "{meta.name(storage_class)}": no block volumes here'
            self.events.event(claim, "Warning", "ProvisioningFailed", text)
            return
        text = f'External provisioner is provisioning volume for claim "{meta.key(claim)}"'
        self.events.event(claim, "Normal", "Provisioning", text)
        path = folder / f"{name}_{meta.namespace(claim)}_{meta.name(claim)}"
        await asyncio.to_thread(_make_directory, path)
        volume = make_volume(claim, storage_class, self.nodes.get(chosen or ""), path)
        try:
            await self.client.create("persistentvolumes", volume)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                return
            raise
        self.events.event(claim, "Normal", "ProvisioningSucceeded", f"Successfully provisioned volume {name}")

    async def _expand(self, claim: Obj) -> None:
        """Give a bound claim the size it asks for: a directory has as much room as its disk."""
        volume = self.volumes.get(claim["spec"]["volumeName"])
        status, wanted = claim.get("status", {}), matching.requested(claim)
        if volume is None or status.get("phase") != "Bound" or not matching.is_for(volume, claim):
            return
        if wanted <= quantity.value((status.get("capacity") or {}).get("storage", "0")):
            return
        size = {"storage": claim["spec"]["resources"]["requests"]["storage"]}
        self.events.event(claim, "Normal", "Resizing", f"External resizer is resizing volume {meta.name(volume)}")
        if matching.capacity(volume) < wanted:
            grown = {**volume["spec"], "capacity": {**(volume["spec"].get("capacity") or {}), **size}}
            await self.client.update("persistentvolumes", {**volume, "spec": grown})
        done = {**status, "capacity": {**(status.get("capacity") or {}), **size}, "allocatedResources": size}
        await update_status(self.client, "persistentvolumeclaims", claim, done)
        self.events.event(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded")

    async def _remove(self, folder: Path, volume: Obj | None) -> None:
        if volume is None or meta.is_deleting(volume):
            return
        if volume.get("status", {}).get("phase") != "Released":
            return
        if volume["spec"].get("persistentVolumeReclaimPolicy") != "Delete":
            return
        path = Path((volume["spec"].get("hostPath") or {}).get("path", "/"))
        if path.parent == folder:
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
        await ignore_not_found(self.client.delete("persistentvolumes", meta.name(volume), uid=meta.uid(volume)))


def _make_directory(path: Path) -> None:
    """A directory that any pod's user may write to, as pods run as anybody."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777)
