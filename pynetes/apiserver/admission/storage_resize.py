"""PersistentVolumeClaimResize: a claim may only grow while bound, and if its class allows it."""

from typing import TYPE_CHECKING

from pynetes.apiserver.admission import Attributes, Plugin
from pynetes.machinery import meta, quantity, resources
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.apiserver.main import ApiServer

STORAGE_CLASSES = resources.lookup("storageclasses")
_CLASS_ANNOTATION = "volume.beta.kubernetes.io/storage-class"


def class_of(claim: Obj) -> str:
    """The StorageClass a claim names, by annotation or field."""
    annotated = meta.annotations(claim).get(_CLASS_ANNOTATION)
    return annotated if annotated is not None else (claim.get("spec") or {}).get("storageClassName") or ""


def _request(claim: Obj) -> str:
    requests = ((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}
    return requests.get("storage", "0")


class PersistentVolumeClaimResize(Plugin):
    """See the module."""

    name = "PersistentVolumeClaimResize"

    async def validate(self, attributes: Attributes, server: "ApiServer") -> None:
        new, old = attributes.obj, attributes.old
        if new is None or old is None or not attributes.is_for("persistentvolumeclaims", "UPDATE"):
            return
        if quantity.parse(_request(new)) <= quantity.parse(_request(old)):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise attributes.forbidden("Only bound persistent volume claims can be expanded")
        name = class_of(new)
        storage_class = server.registry.get(STORAGE_CLASSES, None, name) if name and name == class_of(old) else None
        if storage_class is None or not storage_class.get("allowVolumeExpansion"):
            raise attributes.forbidden(
                "only dynamically provisioned pvc can be resized and "
                "the storageclass that provisions the pvc must support resize"
            )
