"""Which volume a claim gets. Pure functions.

A volume fits if it is free (or kept for this very claim), large enough, of the claim's class and mode, offers its
access modes and matches its selector; of those that fit the smallest is taken.
"""

from collections.abc import Iterable

from pynetes.machinery import meta, quantity, selectors
from pynetes.machinery.meta import Obj

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
BETA_STORAGE_PROVISIONER = "volume.beta.kubernetes.io/storage-provisioner"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def class_of(obj: Obj) -> str:
    """The storage class of a claim or a volume; an empty string for none."""
    annotated = meta.annotations(obj).get(_BETA_CLASS)
    return annotated if annotated is not None else obj["spec"].get("storageClassName") or ""


def mode_of(obj: Obj) -> str:
    """`volumeMode`."""
    return obj["spec"].get("volumeMode") or "Filesystem"


def capacity(volume: Obj) -> int:
    """The volume's size in bytes."""
    return quantity.value((volume["spec"].get("capacity") or {}).get("storage", "0"))


def requested(claim: Obj) -> int:
    """The size in bytes that the claim asks for."""
    return quantity.value(((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0"))


def is_for(volume: Obj, claim: Obj) -> bool:
    """Whether the volume's claimRef names this claim (an unset UID means any claim of that name)."""
    reference = volume["spec"].get("claimRef")
    if not reference:
        return False
    same = (reference.get("namespace"), reference.get("name")) == (meta.namespace(claim), meta.name(claim))
    return same and reference.get("uid", "") in ("", meta.uid(claim))


def fits(volume: Obj, claim: Obj) -> bool:
    """Whether an unbound volume could serve the claim."""
    if meta.is_deleting(volume) or (volume["spec"].get("claimRef") and not is_for(volume, claim)):
        return False
    if volume.get("status", {}).get("phase") in ("Failed", "Released") and not is_for(volume, claim):
        return False
    if class_of(volume) != class_of(claim) or mode_of(volume) != mode_of(claim):
        return False
    if capacity(volume) < requested(claim):
        return False
    if not set(claim["spec"].get("accessModes") or []) <= set(volume["spec"].get("accessModes") or []):
        return False
    if volume["spec"].get("volumeAttributesClassName") != claim["spec"].get("volumeAttributesClassName"):
        return False
    wanted = claim["spec"].get("selector")
    return wanted is None or selectors.from_label_selector(wanted).matches(meta.labels(volume))


def choose(claim: Obj, volumes: Iterable[Obj]) -> Obj | None:
    """The volume kept for the claim, else the smallest that fits."""
    fitting = [volume for volume in volumes if fits(volume, claim)]
    kept = next((volume for volume in fitting if is_for(volume, claim)), None)
    return kept or min(fitting, key=lambda volume: (capacity(volume), meta.name(volume)), default=None)


def reference(claim: Obj) -> Obj:
    """The claimRef of a volume bound to `claim`."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": meta.namespace(claim),
        "name": meta.name(claim),
        "uid": meta.uid(claim),
        "resourceVersion": claim["metadata"].get("resourceVersion", ""),
    }


def bind_volume(volume: Obj, claim: Obj) -> Obj:
    """The volume with its half of the binding."""
    spec = volume["spec"]
    old = spec.get("claimRef")
    metadata = volume["metadata"]
    if not old:
        metadata = {**metadata, "annotations": {**meta.annotations(volume), BOUND_BY_CONTROLLER: "yes"}}
    if old and old.get("uid") == meta.uid(claim):
        return volume
    return {**volume, "metadata": metadata, "spec": {**spec, "claimRef": reference(claim)}}


def bind_claim(claim: Obj, volume: Obj) -> Obj:
    """The claim with its half of the binding."""
    annotations = {**meta.annotations(claim), BIND_COMPLETED: "yes"}
    if claim["spec"].get("volumeName") != meta.name(volume):
        annotations[BOUND_BY_CONTROLLER] = "yes"
    metadata = {**claim["metadata"], "annotations": annotations}
    return {**claim, "metadata": metadata, "spec": {**claim["spec"], "volumeName": meta.name(volume)}}


def bound_status(claim: Obj, volume: Obj) -> Obj:
    """The status of a claim that is bound now."""
    attributes_class = volume["spec"].get("volumeAttributesClassName")
    return {
        **claim.get("status", {}),
        **({"currentVolumeAttributesClassName": attributes_class} if attributes_class else {}),
        "phase": "Bound",
        "accessModes": volume["spec"].get("accessModes") or [],
        "capacity": volume["spec"].get("capacity") or {},
    }
