"""Binding claims to volumes, both ways round, and what becomes of a volume whose claim is gone.

A binding is two references: the volume's `claimRef` and the claim's `volumeName`. The volume's is written first; as
long as the claim's is missing the next pass completes it. Keys: `claim <namespace/name>` and `volume <name>`.
"""

import asyncio
import os.path
import shutil
from collections.abc import Iterable

from pynetes.controllers import volume_matching as matching
from pynetes.controllers.controller import Context, Controller, ignore_not_found
from pynetes.controllers.status import update_status
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

CLAIMS, VOLUMES = "persistentvolumeclaims", "persistentvolumes"
_INTERNAL = "kubernetes.io/no-provisioner"


class VolumeBinder(Controller):
    """Binds claims and volumes."""

    name = "persistentvolume-binder-controller"
    component = "persistentvolume-controller"
    account = "persistent-volume-binder"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.claims = self.watch(CLAIMS, self._claim_changed)
        self.volumes = self.watch(VOLUMES, self._volume_changed)
        self.classes = self.watch("storageclasses.storage.k8s.io", self._class_changed)

    def _claim_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        changed = new or old
        if changed is None:
            return ()
        keys = [f"claim {meta.key(changed)}"]
        if changed["spec"].get("volumeName"):
            keys.append(f"volume {changed['spec']['volumeName']}")
        return keys

    def _volume_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        changed = new or old
        if changed is None:
            return ()
        keys = [f"volume {meta.name(changed)}"]
        reference = changed["spec"].get("claimRef")
        if reference:
            keys.append(f"claim {reference.get('namespace')}/{reference.get('name')}")
        elif new is not None:
            keys += [f"claim {meta.key(claim)}" for claim in self.claims.list() if not claim["spec"].get("volumeName")]
        return keys

    def _class_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        return [f"claim {meta.key(claim)}" for claim in self.claims.list() if not claim["spec"].get("volumeName")]

    async def reconcile(self, key: str) -> None:
        what, _, name = key.partition(" ")
        if what == "claim":
            claim = self.claims.get(name)
            if claim is None:
                return
            if meta.annotations(claim).get(matching.BIND_COMPLETED):
                await self._check_bound(claim)
            else:
                await self._bind(claim)
        else:
            volume = self.volumes.get(name)
            if volume is not None:
                await self._review(volume)

    # Claims

    async def _bind(self, claim: Obj) -> None:
        if meta.is_deleting(claim):
            return
        wanted = claim["spec"].get("volumeName")
        if wanted:
            await self._bind_named(claim, wanted)
            return
        storage_class = self.classes.get(matching.class_of(claim))
        waits = (storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
        selected = meta.annotations(claim).get(matching.SELECTED_NODE)
        volumes = self.volumes.list()
        if waits and not selected:
            # The scheduler chooses; only a volume that was kept for this claim is bound before that.
            volumes = [volume for volume in volumes if matching.is_for(volume, claim)]
        volume = matching.choose(claim, volumes)
        if volume is not None:
            await self._complete(claim, volume)
            return
        await self._set_claim(claim, {**claim.get("status", {}), "phase": "Pending"})
        if waits and not selected:
            self.events.event(
                claim, "Normal", "WaitForFirstConsumer", "waiting for first consumer to be created before binding"
            )
        elif matching.class_of(claim):
            await self._provision(claim, storage_class)
        else:
            text = "no persistent volumes available for this claim and no storage class is set"
            self.events.event(claim, "Normal", "FailedBinding", text)

    async def _provision(self, claim: Obj, storage_class: Obj | None) -> None:
        """Ask the class's provisioner, by an annotation on the claim, to make a volume."""
        if storage_class is None:
            text = f'storageclass.storage.k8s.io "{matching.class_of(claim)}" not found'
            self.events.event(claim, "Warning", "ProvisioningFailed", text)
            return
        provisioner = storage_class["provisioner"]
        if provisioner == _INTERNAL:
            text = "no persistent volumes available for this claim and no storage class is set"
            self.events.event(claim, "Normal", "FailedBinding", text)
            return
        annotations = meta.annotations(claim)
        if annotations.get(matching.STORAGE_PROVISIONER) != provisioner:
            asked = {
                **annotations,
                matching.STORAGE_PROVISIONER: provisioner,
                matching.BETA_STORAGE_PROVISIONER: provisioner,
            }
            await self.client.update(CLAIMS, {**claim, "metadata": {**claim["metadata"], "annotations": asked}})
        text = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by "
            "the system administrator. If volume creation is delayed, please verify that the provisioner is running "
            "and correctly registered."
        )
        self.events.event(claim, "Normal", "ExternalProvisioning", text)

    async def _bind_named(self, claim: Obj, name: str) -> None:
        """The user (or a half-done binding) names the volume."""
        volume = self.volumes.get(name)
        if volume is None or (volume["spec"].get("claimRef") and not matching.is_for(volume, claim)):
            await self._set_claim(claim, {**claim.get("status", {}), "phase": "Pending"})
            if volume is not None and not meta.annotations(claim).get(matching.BOUND_BY_CONTROLLER):
                reference = volume["spec"]["claimRef"]
                text = f'volume "{name}" already bound to a different claim.'
                self.events.event(claim, "Warning", "FailedBinding", text, related=reference)
            return
        if not self._satisfies(volume, claim):
            return
        await self._complete(claim, volume)

    def _satisfies(self, volume: Obj, claim: Obj) -> bool:
        """Whether a volume that was named can be bound at all."""
        trouble = None
        if matching.capacity(volume) < matching.requested(claim):
            trouble = "requested PV is too small"
        elif matching.class_of(volume) != matching.class_of(claim):
            trouble = "storageClassName does not match"
        elif matching.mode_of(volume) != matching.mode_of(claim):
            trouble = "incompatible volumeMode"
        elif not set(claim["spec"].get("accessModes") or []) <= set(volume["spec"].get("accessModes") or []):
            trouble = "incompatible accessMode"
        if trouble:
            text = f'Cannot bind to requested volume "{meta.name(volume)}": {trouble}'
            self.events.event(claim, "Warning", "VolumeMismatch", text)
        return trouble is None

    async def _complete(self, claim: Obj, volume: Obj) -> None:
        """Write whichever half of the binding is missing, then both phases."""
        bound = matching.bind_volume(volume, claim)
        if bound is not volume:
            volume = await self.client.update(VOLUMES, bound)
        await self._set_volume(volume, "Bound")
        claim = await self.client.update(CLAIMS, matching.bind_claim(claim, volume))
        await self._set_claim(claim, matching.bound_status(claim, volume))

    async def _check_bound(self, claim: Obj) -> None:
        """A bound claim whose volume is gone or taken is lost."""
        name = claim["spec"].get("volumeName", "")
        volume = self.volumes.get(name)
        if volume is None or not name:
            await self._lose(
                claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            )
        elif not volume["spec"].get("claimRef"):
            await self._complete(claim, volume)
        elif matching.is_for(volume, claim):
            if not volume["spec"]["claimRef"].get("uid"):
                await self._complete(claim, volume)
                return
            await self._set_volume(volume, "Bound")
            status = matching.bound_status(claim, volume)
            if claim.get("status", {}).get("phase") != "Bound":
                await self._set_claim(claim, status)
        else:
            text = "Two claims are bound to the same volume, this one is bound incorrectly"
            await self._lose(claim, "ClaimMisbound", text)

    async def _lose(self, claim: Obj, reason: str, message: str) -> None:
        if claim.get("status", {}).get("phase") == "Lost":
            return
        status = {k: v for k, v in claim.get("status", {}).items() if k not in ("accessModes", "capacity")}
        await self._set_claim(claim, {**status, "phase": "Lost"})
        self.events.event(claim, "Warning", reason, message)

    async def _set_claim(self, claim: Obj, status: Obj) -> None:
        await update_status(self.client, CLAIMS, claim, status)

    # Volumes

    async def _review(self, volume: Obj) -> None:
        reference = volume["spec"].get("claimRef")
        if not reference:
            await self._set_volume(volume, "Available")
            return
        if not reference.get("uid"):
            await self._set_volume(volume, "Available")
            return
        claim = self.claims.get(f"{reference['namespace']}/{reference['name']}")
        if claim is None or meta.uid(claim) != reference["uid"]:
            live = await ignore_not_found(self.client.get(CLAIMS, reference["name"], reference["namespace"]))
            claim = live if live is not None and meta.uid(live) == reference["uid"] else None
        if claim is None:
            await self._release(volume)
            return
        chosen = claim["spec"].get("volumeName")
        if chosen and chosen != meta.name(volume):
            await self._unbind(volume)
        elif chosen:
            await self._set_volume(volume, "Bound")

    async def _release(self, volume: Obj) -> None:
        """The claim is gone: what happens is the reclaim policy's to say."""
        if volume.get("status", {}).get("phase") not in ("Released", "Failed"):
            volume = await self._set_volume(volume, "Released")
        policy = volume["spec"].get("persistentVolumeReclaimPolicy", "Retain")
        if policy == "Recycle":
            await self._fail(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
        elif policy == "Delete" and not meta.annotations(volume).get(matching.PROVISIONED_BY):
            trouble = await asyncio.to_thread(_delete_content, volume)
            if trouble:
                await self._fail(volume, "VolumeFailedDelete", trouble)
            else:
                await ignore_not_found(self.client.delete(VOLUMES, meta.name(volume), uid=meta.uid(volume)))

    async def _fail(self, volume: Obj, reason: str, message: str) -> None:
        if volume.get("status", {}).get("phase") == "Failed":
            return
        await self._set_volume(volume, "Failed", message)
        self.events.event(volume, "Warning", reason, message)

    async def _unbind(self, volume: Obj) -> None:
        """The claim chose another volume: this one is free again, or goes back to whom it was kept for."""
        spec = dict(volume["spec"])
        annotations = dict(meta.annotations(volume))
        if annotations.pop(matching.BOUND_BY_CONTROLLER, None):
            spec.pop("claimRef", None)
        else:
            kept = {k: v for k, v in spec["claimRef"].items() if k not in ("uid", "resourceVersion")}
            spec["claimRef"] = kept
        freed = {**volume, "metadata": {**volume["metadata"], "annotations": annotations}, "spec": spec}
        await self._set_volume(await self.client.update(VOLUMES, freed), "Available")

    async def _set_volume(self, volume: Obj, phase: str, message: str = "") -> Obj:
        old = volume.get("status", {})
        if old.get("phase") == phase:
            return volume
        status: Obj = {**old, "phase": phase, "lastPhaseTransitionTime": clock.timestamp()}
        status.pop("message", None)
        if message:
            status["message"] = message
        return await update_status(self.client, VOLUMES, volume, status)


def _delete_content(volume: Obj) -> str | None:
    """Delete what a volume of a type that can be deleted from here holds; why it cannot be, if so."""
    source = volume["spec"].get("hostPath")
    if source is None:
        return (
            f'error getting deleter volume plugin for volume "{meta.name(volume)}": no deletable volume plugin matched'
        )
    path = os.path.normpath(source["path"])
    if not path.startswith("/tmp/"):  # this is the path that upstream's rule is about
        return f"host_path deleter only supports /tmp/.+ but received provided {source['path']}"
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"failed to delete {path}: {error.strerror}"
    return None
