"""Generic ephemeral volumes: a claim for each, made for the pod and gone with it."""

from collections.abc import Iterable

from pynetes.controllers.controller import Context, Controller, is_namespace_terminating
from pynetes.machinery import meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

CLAIMS = "persistentvolumeclaims"


def ephemeral_volumes(pod: Obj) -> list[Obj]:
    """The pod's generic ephemeral volumes."""
    return [volume for volume in pod.get("spec", {}).get("volumes") or [] if volume.get("ephemeral")]


def make_claim(pod: Obj, volume: Obj) -> Obj:
    """The claim for one of the pod's volumes."""
    template = meta.deep_copy(volume["ephemeral"]["volumeClaimTemplate"])
    given = template.get("metadata") or {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": f"{meta.name(pod)}-{volume['name']}",
            "namespace": meta.namespace(pod),
            "labels": given.get("labels") or {},
            "annotations": given.get("annotations") or {},
            "ownerReferences": [meta.owner_reference(pod)],
        },
        "spec": template["spec"],
    }


class EphemeralVolumeController(Controller):
    """Makes the claims of ephemeral volumes."""

    name = "ephemeral-volume-controller"
    component = "ephemeral_volume"
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.pods = self.watch("pods", self._pod_changed)
        self.claims = self.watch(CLAIMS, self._claim_gone)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        return (meta.key(new),) if new is not None and old is None and ephemeral_volumes(new) else ()

    def _claim_gone(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        owner = meta.controller_of(old) if old is not None and new is None else None
        if old is None or owner is None or owner["kind"] != "Pod":
            return ()
        return (f"{meta.namespace(old)}/{owner['name']}",)

    async def reconcile(self, key: str) -> None:
        pod = self.pods.get(key)
        if pod is None or meta.is_deleting(pod):
            return
        for volume in ephemeral_volumes(pod):
            wanted = make_claim(pod, volume)
            claim = self.claims.get(meta.key(wanted))
            if claim is None:
                await self._create(pod, wanted)
                continue
            owner = meta.controller_of(claim)
            if owner is None or owner["uid"] != meta.uid(pod):
                text = f"PVC {meta.key(claim)} was not created for pod {key} (pod is not owner)"
                self.events.event(pod, "Warning", "FailedBinding", f"ephemeral volume {volume['name']}: {text}")

    async def _create(self, pod: Obj, claim: Obj) -> None:
        try:
            await self.client.create(CLAIMS, claim)
        except StatusError as error:
            if is_namespace_terminating(error):
                return
            text = f"ephemeral volume: create PVC {meta.key(claim)}: {error.message}"
            self.events.event(pod, "Warning", "FailedBinding", text)
            raise
