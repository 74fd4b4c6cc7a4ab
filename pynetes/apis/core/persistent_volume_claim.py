"""Persistent volume claims."""

import copy
from typing import Any, ClassVar

from pynetes.apis import checks, printing
from pynetes.apis.checks import Errors
from pynetes.apis.core.persistent_volume import (
    VOLUME_MODES,
    access_modes,
    class_annotation,
    storage_class,
    validate_access_modes,
)
from pynetes.apis.core.pod_defaults import fill
from pynetes.apis.core.pod_update import difference
from pynetes.apis.printing import column, wide
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names, quantity
from pynetes.machinery.meta import Obj

_CORE_SOURCES = ("PersistentVolumeClaim",)
_OLD_SOURCES = (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))
_RESIZE_STATUSES = (
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizePending",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
)


def default_claim_spec(spec: Obj) -> None:
    """Defaults of a claim's spec, wherever it stands, and the data source in both of its fields."""
    fill(spec, {"volumeMode": "Filesystem"})
    spec.setdefault("resources", {})


def validate_claim_spec(errors: Errors, spec: Obj, path: str) -> None:
    """A claim's spec, wherever it stands."""
    validate_access_modes(errors, spec.get("accessModes"), f"{path}.accessModes", "at least 1 access mode is required")
    checks.label_selector(errors, spec.get("selector"), f"{path}.selector")
    requests = (spec.get("resources") or {}).get("requests") or {}
    if "storage" not in requests:
        errors.required(f"{path}.resources[storage]")
    else:
        value = requests["storage"]
        if quantity.milli(str(value)) <= 0:
            errors.invalid(f"{path}.resources[storage]", value, "must be greater than zero")
    name = spec.get("storageClassName")
    if name:
        errors.check(f"{path}.storageClassName", name, names.dns1123_subdomain(name))
    if spec.get("volumeMode") is not None:
        errors.one_of(f"{path}.volumeMode", spec["volumeMode"], VOLUME_MODES)
    for field in ("dataSource", "dataSourceRef"):
        _data_source(errors, spec.get(field), f"{path}.{field}")
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is not None and not reference.get("namespace") and source != reference:
        errors.invalid(path, "", "must match dataSourceRef")
    attributes = spec.get("volumeAttributesClassName")
    if attributes:
        errors.check(f"{path}.volumeAttributesClassName", attributes, names.dns1123_subdomain(attributes))


def _data_source(errors: Errors, source: Obj | None, path: str) -> None:
    if source is None:
        return
    errors.present(f"{path}.name", source.get("name"))
    errors.present(f"{path}.kind", source.get("kind"))
    if not source.get("apiGroup") and source.get("kind") and source["kind"] not in _CORE_SOURCES:
        errors.invalid(path, source["kind"], "must be 'PersistentVolumeClaim' when referencing the default apiGroup")


class PersistentVolumeClaimStrategy(Strategy):
    """A claim. Its spec is fixed but for growing."""

    initial_status: ClassVar[Obj] = {"phase": "Pending"}
    columns = (
        printing.NAME,
        column("Status", description="Where it is in its life."),
        column("Volume", description="The volume it is bound to."),
        column("Capacity", description="How much the volume holds."),
        column("Access Modes", description="How the volume may be mounted."),
        column("StorageClass", description="Its storage class."),
        column("VolumeAttributesClass", description="Its volume attributes class."),
        printing.AGE,
        wide("VolumeMode", description="Filesystem, or Block."),
    )

    def default(self, obj: Obj) -> None:
        default_claim_spec(obj.setdefault("spec", {}))
        if not (obj.get("status") or {}).get("phase"):
            obj.setdefault("status", {})["phase"] = "Pending"

    def prepare_create_spec(self, obj: Obj) -> None:
        obj["status"] = {"phase": "Pending"}
        _data_sources(obj["spec"], {})

    def prepare_update_spec(self, new: Obj, old: Obj) -> None:
        _data_sources(new["spec"], printing.spec(old))

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        validate_claim_spec(errors, printing.spec(obj), "spec")

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        after, before = copy.deepcopy(printing.spec(new)), copy.deepcopy(printing.spec(old))
        status = printing.status(old)
        requested = ((after.get("resources") or {}).get("requests") or {}).get("storage")
        previous = ((before.get("resources") or {}).get("requests") or {}).get("storage")
        if not before.get("volumeName"):
            before["volumeName"] = after.get("volumeName")
        after.setdefault("volumeName", None)
        before.setdefault("volumeName", None)
        bound = status.get("phase") == "Bound"
        if bound and requested is not None:
            # A bound claim may grow, and may shrink back to anything above what it has.
            before.setdefault("resources", {}).setdefault("requests", {})["storage"] = requested
        if bound:
            for each in (after, before):
                each.pop("volumeAttributesClassName", None)
        if not before.get("storageClassName") and after.get("storageClassName"):
            # A default class may be given to a claim that was made before there was one.
            if not bound and "storageClassName" not in printing.spec(old):
                before["storageClassName"] = after["storageClassName"]
        if after != before:
            errors.forbidden(
                "spec",
                "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound "
                f"claims\n{difference(before, after)}",
            )
        if requested is not None and previous is not None and quantity.compare(str(requested), str(previous)) < 0:
            held = (status.get("capacity") or {}).get("storage", "0")
            if quantity.compare(str(requested), str(held)) <= 0:
                errors.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
        attributes = printing.spec(new).get("volumeAttributesClassName")
        if not attributes and status.get("currentVolumeAttributesClassName") is not None:
            to = "nil" if attributes is None else "empty string"
            if printing.spec(old).get("volumeAttributesClassName") != attributes:
                errors.forbidden(
                    "spec.volumeAttributesClassName",
                    f"update to {to} is forbidden when status.currentVolumeAttributesClassName is not nil",
                )

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        status = printing.status(new)
        for resource, amount in (status.get("capacity") or {}).items():
            _amount(errors, f"status.capacity[{resource}]", amount)
        path = "status.allocatedResourceStatuses"
        for resource, value in (status.get("allocatedResourceStatuses") or {}).items():
            _resource(errors, path, resource)
            if value not in _RESIZE_STATUSES:
                # It is the resource that upstream names, not its status.
                errors.unsupported(path, resource, _RESIZE_STATUSES)
        path = "status.allocatedResources"
        for resource, amount in (status.get("allocatedResources") or {}).items():
            if _resource(errors, path, resource):
                _amount(errors, f"{path}[{resource}]", amount)

    def warnings(self, obj: Obj) -> list[str]:
        found = class_annotation(obj)
        amount = ((printing.spec(obj).get("resources") or {}).get("requests") or {}).get("storage")
        if amount is not None and quantity.milli(str(amount)) % 1000:
            found.append(
                f'spec.resources.requests[storage]: fractional byte value "{amount}" is invalid, must be an integer'
            )
        return found

    def row(self, obj: Obj) -> list[Any]:
        spec, status = printing.spec(obj), printing.status(obj)
        bound = bool(spec.get("volumeName"))
        return [
            meta.name(obj),
            "Terminating" if meta.is_deleting(obj) else status.get("phase", ""),
            spec.get("volumeName", ""),
            (status.get("capacity") or {}).get("storage", "0") if bound else "",
            access_modes(status.get("accessModes")) if bound else "",
            storage_class(obj),
            spec.get("volumeAttributesClassName") or printing.UNSET,
            printing.age(obj),
            spec.get("volumeMode") or printing.UNSET,
        ]

    def selectable(self, obj: Obj) -> dict[str, str]:
        return {"name": meta.name(obj)}


def _resource(errors: Errors, path: str, resource: str) -> bool:
    """A resource that a claim can have: its storage, or what a storage vendor invents."""
    messages = names.qualified_name(resource)
    errors.check(path, resource, messages)
    native = "/" not in resource or "kubernetes.io/" in resource
    if not messages and native and resource != "storage":
        errors.unsupported(path, resource, ["storage"])
        return False
    return not messages


def _amount(errors: Errors, path: str, amount: Any) -> None:
    if quantity.milli(str(amount)) < 0:
        errors.invalid(path, amount, "must be a valid resource quantity")


def _data_sources(spec: Obj, old: Obj) -> None:
    """`dataSource` and `dataSourceRef` mean the same; each fills the other when it is alone.

    `dataSource` alone may name only what it always could, and anything else is dropped without a word. References to
    other namespaces are an alpha feature of upstream's: they are dropped too.
    """
    if (spec.get("dataSourceRef") or {}).get("namespace") and old.get("dataSourceRef") is None:
        spec.pop("dataSourceRef")
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    used = old.get("dataSource") is not None or old.get("dataSourceRef") is not None
    if source is not None and reference is None:
        if not used and (source.get("apiGroup") or "", source.get("kind")) not in _OLD_SOURCES:
            spec.pop("dataSource")
        else:
            spec["dataSourceRef"] = copy.deepcopy(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = copy.deepcopy(reference)
