"""Persistent volumes."""

import copy
from typing import Any, ClassVar

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.core import mount_validation, resource_validation, scheduling_validation, volume_validation
from pynetes.apis.core.pod_defaults import VOLUME, fill
from pynetes.apis.core.pod_update import difference
from pynetes.apis.core.volume_validation import SourceCheck, needs
from pynetes.apis.printing import column, wide
from pynetes.apis.strategy import Strategy
from pynetes.machinery import clock, meta, names, quantity
from pynetes.machinery.meta import Obj

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
VOLUME_MODES = ("Block", "Filesystem")
_SHORT_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _local(errors: Errors, source: Obj, path: str) -> None:
    if not source.get("path"):
        errors.required(f"{path}.path")
    else:
        mount_validation.no_backsteps(errors, source["path"], f"{path}.path")


SOURCES: dict[str, SourceCheck] = {
    **{
        kind: volume_validation.SOURCES[kind]
        for kind in (
            "hostPath", "nfs", "iscsi", "fc", "flexVolume", "cephfs", "cinder", "rbd", "glusterfs", "flocker",
            "gcePersistentDisk", "awsElasticBlockStore", "azureDisk", "vsphereVolume", "quobyte", "portworxVolume",
            "photonPersistentDisk", "scaleIO", "storageos",
        )
    },
    "azureFile": needs("secretName", "shareName"),
    "csi": needs("driver", "volumeHandle"),
    "local": _local,
}  # fmt: skip


def access_modes(modes: list[str] | None) -> str:
    """`RWO,ROX`, in upstream's order and without repeats."""
    return ",".join(short for mode, short in _SHORT_MODES.items() if mode in (modes or []))


def validate_access_modes(errors: Errors, modes: list[str] | None, path: str, what: str = "") -> None:
    """At least one mode, all known; ReadWriteOncePod only alone."""
    if not modes:
        errors.required(path, what)
        return
    for mode in modes:
        if mode not in ACCESS_MODES:
            errors.unsupported(path, mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        errors.forbidden(path, "may not use ReadWriteOncePod with other access modes")


def storage_class(obj: Obj) -> str:
    """The class, by the old annotation or the field."""
    old = meta.annotations(obj).get("volume.beta.kubernetes.io/storage-class")
    return old if old is not None else (obj.get("spec") or {}).get("storageClassName") or ""


def class_annotation(obj: Obj) -> list[str]:
    """The warning about the annotation that once named the class."""
    key = "volume.beta.kubernetes.io/storage-class"
    if key not in meta.annotations(obj):
        return []
    return [f'metadata.annotations[{key}]: deprecated since v1.8; use "storageClassName" attribute instead']


class PersistentVolumeStrategy(Strategy):
    """A persistent volume."""

    initial_status: ClassVar[Obj] = {"phase": "Pending"}
    columns = (
        printing.NAME,
        column("Capacity", description="How much it holds."),
        column("Access Modes", description="How it may be mounted."),
        column("Reclaim Policy", description="What becomes of it when its claim goes."),
        column("Status", description="Where it is in its life."),
        column("Claim", description="The claim it is bound to."),
        column("StorageClass", description="Its storage class."),
        column("VolumeAttributesClass", description="Its volume attributes class."),
        column("Reason", description="Why it is in its state."),
        printing.AGE,
        wide("VolumeMode", description="Filesystem, or Block."),
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        fill(spec, {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"})
        for kind in ("hostPath", "iscsi", "rbd", "azureDisk", "scaleIO"):
            if spec.get(kind) is not None:
                for field, default in VOLUME[kind].items():
                    if spec[kind].get(field) is None:
                        spec[kind][field] = default
        if not (obj.get("status") or {}).get("phase"):
            obj.setdefault("status", {})["phase"] = "Pending"

    def prepare_create_spec(self, obj: Obj) -> None:
        obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": clock.timestamp()}

    def prepare_status_update(self, new: Obj, old: Obj) -> None:
        super().prepare_status_update(new, old)
        before, after = printing.status(old), new.setdefault("status", {})
        if before.get("phase") != after.get("phase"):
            if before.get("lastPhaseTransitionTime") == after.get("lastPhaseTransitionTime"):
                after["lastPhaseTransitionTime"] = clock.timestamp()

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        validate_access_modes(errors, spec.get("accessModes"), "spec.accessModes")
        capacity = spec.get("capacity") or {}
        if not capacity:
            errors.required("spec.capacity")
        if set(capacity) != {"storage"}:
            errors.unsupported("spec.capacity", capacity, ("storage",))
        for name, value in capacity.items():
            resource_validation.amount(errors, name, value, f"spec.capacity[{name}]")
            if quantity.milli(str(value)) <= 0:
                errors.invalid(f"spec.capacity[{name}]", value, "must be greater than zero")
        errors.one_of("spec.persistentVolumeReclaimPolicy", spec.get("persistentVolumeReclaimPolicy"), RECLAIM_POLICIES)
        if spec.get("volumeMode"):
            errors.one_of("spec.volumeMode", spec["volumeMode"], VOLUME_MODES)
        if (spec.get("nodeAffinity") or {}).get("required") is not None:
            required = spec["nodeAffinity"]["required"]
            scheduling_validation.node_selector(errors, required, "spec.nodeAffinity.required")
        elif spec.get("nodeAffinity") is not None:
            errors.required("spec.nodeAffinity.required", "must specify required node constraints")
        self._source(errors, spec)
        if spec.get("storageClassName"):
            errors.check(
                "spec.storageClassName", spec["storageClassName"], names.dns1123_subdomain(spec["storageClassName"])
            )
        attributes = spec.get("volumeAttributesClassName")
        if attributes is not None:
            path = "spec.volumeAttributesClassName"
            if errors.present(path, attributes, "an empty string is disallowed"):
                errors.check(path, attributes, names.dns1123_subdomain(attributes))
            if spec.get("csi") is None:
                errors.required("spec.csi", "has to be specified when using volumeAttributesClassName")

    def _source(self, errors: Errors, spec: Obj) -> None:
        given = [kind for kind in SOURCES if spec.get(kind) is not None]
        if not given:
            errors.required("spec", "must specify a volume type")
            return
        for extra in given[1:]:
            errors.forbidden(f"spec.{extra}", "may not specify more than 1 volume type")
        kind = given[0]
        SOURCES[kind](errors, spec[kind], f"spec.{kind}")
        if kind == "hostPath" and spec[kind].get("path") == "/":
            if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
                errors.forbidden(
                    "spec.persistentVolumeReclaimPolicy",
                    "may not be 'recycle' for a hostPath mount of '/'",
                )
        if kind == "local" and spec.get("nodeAffinity") is None:
            errors.required("spec.nodeAffinity", "Local volume requires node affinity")

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        after, before = printing.spec(new), printing.spec(old)
        sources, old_sources = ({kind: copy.copy(spec.get(kind)) for kind in SOURCES} for spec in (after, before))
        if sources["csi"] and old_sources["csi"] and old_sources["csi"].get("controllerExpandSecretRef") is None:
            sources["csi"].pop("controllerExpandSecretRef", None)
            old_sources["csi"].pop("controllerExpandSecretRef", None)
        if sources != old_sources:
            errors.forbidden(
                "spec.persistentvolumesource",
                f"spec.persistentvolumesource is immutable after creation\n{difference(old_sources, sources)}",
            )
        # Upstream names these two without their `spec`.
        errors.unchanged("volumeMode", after.get("volumeMode"), before.get("volumeMode"))
        if before.get("nodeAffinity") is not None:
            errors.unchanged("nodeAffinity", after.get("nodeAffinity"), before["nodeAffinity"])
        if before.get("volumeAttributesClassName") is not None and after.get("volumeAttributesClassName") is None:
            errors.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden")

    def warnings(self, obj: Obj) -> list[str]:
        found = class_annotation(obj)
        if printing.spec(obj).get("persistentVolumeReclaimPolicy") == "Recycle":
            found.append(
                "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the "
                "recommended approach is to use dynamic provisioning."
            )
        return found

    def row(self, obj: Obj) -> list[Any]:
        spec, status = printing.spec(obj), printing.status(obj)
        claim = spec.get("claimRef")
        return [
            meta.name(obj),
            (spec.get("capacity") or {}).get("storage", "0"),
            access_modes(spec.get("accessModes")),
            spec.get("persistentVolumeReclaimPolicy", ""),
            "Terminating" if meta.is_deleting(obj) else status.get("phase", ""),
            f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else "",
            storage_class(obj),
            spec.get("volumeAttributesClassName") or printing.UNSET,
            status.get("reason", ""),
            printing.age(obj),
            spec.get("volumeMode") or printing.UNSET,
        ]

    def selectable(self, obj: Obj) -> dict[str, str]:
        return {"name": meta.name(obj)}
