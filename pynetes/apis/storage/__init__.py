"""The storage group: classes of volumes, their drivers, and where volumes are attached."""

from typing import Any, ClassVar

from pynetes.apis import checks, printing
from pynetes.apis.checks import Errors
from pynetes.apis.core.pod_defaults import fill
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names, quantity
from pynetes.machinery.meta import Obj

RECLAIM_POLICIES = ("Delete", "Retain")
BINDING_MODES = ("Immediate", "WaitForFirstConsumer")
DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
MAX_PARAMETERS, MAX_PARAMETERS_SIZE = 512, 256 * 1024
FS_GROUP_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
MAX_NODE_ID, MAX_ATTACHED_METADATA, MAX_ERROR_MESSAGE = 256, 256 * 1024, 1024


def is_default(obj: Obj, annotations: tuple[str, ...] = DEFAULT_CLASS) -> bool:
    """Whether a class is the default one."""
    return any(meta.annotations(obj).get(key) == "true" for key in annotations)


class StorageClassStrategy(Strategy):
    """A storage class."""

    columns = (
        printing.NAME,
        column("Provisioner", description="Who makes its volumes."),
        column("ReclaimPolicy", description="What becomes of a volume when its claim goes."),
        column("VolumeBindingMode", description="When volumes are made and bound."),
        column("AllowVolumeExpansion", "string", "Whether its volumes may grow."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        fill(obj, {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"})

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        provisioner = obj.get("provisioner") or ""
        if errors.present("provisioner", provisioner):
            errors.check("provisioner", provisioner.lower(), names.qualified_name(provisioner.lower()))
        _parameters(errors, obj.get("parameters"), "parameters", allow_empty=True)
        errors.one_of("reclaimPolicy", obj.get("reclaimPolicy"), RECLAIM_POLICIES)
        mode = obj.get("volumeBindingMode")
        if mode is None:
            errors.required("volumeBindingMode")
        elif mode not in BINDING_MODES:
            errors.unsupported("volumeBindingMode", mode, BINDING_MODES)
        seen: list[Obj] = []
        for index, term in enumerate(obj.get("allowedTopologies") or []):
            path = f"allowedTopologies[{index}]"
            expressions = term.get("matchLabelExpressions") or []
            if not expressions:
                errors.required(f"{path}.matchLabelExpressions")
            keys: set[str] = set()
            for position, expression in enumerate(expressions):
                where = f"{path}.matchLabelExpressions[{position}]"
                key, values = expression.get("key", ""), expression.get("values") or []
                if not values:
                    errors.required(f"{where}.values")
                for number, value in enumerate(values):
                    if value in values[:number]:
                        errors.duplicate(f"{where}.values[{number}]", value)
                errors.check(f"{where}.key", key, names.qualified_name(key))
                if key in keys:
                    errors.duplicate(f"{where}.key", key)
                keys.add(key)
            if term in seen:
                errors.duplicate(f"{path}.matchLabelExpressions", "")
            seen.append(term)

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        if (new.get("parameters") or {}) != (old.get("parameters") or {}):
            errors.forbidden("parameters", "updates to parameters are forbidden.")
        if new.get("provisioner") != old.get("provisioner"):
            errors.forbidden("provisioner", "updates to provisioner are forbidden.")
        if new.get("reclaimPolicy") != old.get("reclaimPolicy"):
            errors.forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden.")
        errors.unchanged("volumeBindingMode", new.get("volumeBindingMode"), old.get("volumeBindingMode"))

    def row(self, obj: Obj) -> list[Any]:
        return [
            f"{meta.name(obj)} (default)" if is_default(obj) else meta.name(obj),
            obj.get("provisioner", ""),
            obj.get("reclaimPolicy") or "Delete",
            obj.get("volumeBindingMode") or "Immediate",
            printing.yes_no(obj.get("allowVolumeExpansion")),
            printing.age(obj),
        ]


def _parameters(errors: Errors, values: dict[str, str] | None, path: str, *, allow_empty: bool) -> None:
    if len(values or {}) > MAX_PARAMETERS:
        errors.too_long(path, MAX_PARAMETERS)
    if not values and not allow_empty:
        errors.required(path, "must contain at least one key/value pair")
    size = 0
    for key, value in (values or {}).items():
        if not key:
            errors.invalid(path, key, "field can not be empty.")
        size += len(key) + len(value)
    if size > MAX_PARAMETERS_SIZE:
        errors.too_long(path, MAX_PARAMETERS_SIZE)


class VolumeAttributesClassStrategy(Strategy):
    """A class of volume attributes."""

    columns = (printing.NAME, column("DriverName", description="The driver that understands it."), printing.AGE)

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        driver = obj.get("driverName") or ""
        _driver(errors, driver, "driverName")
        _parameters(errors, obj.get("parameters"), "parameters", allow_empty=False)

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        if new.get("driverName") != old.get("driverName"):
            errors.forbidden("driverName", "updates to driverName are forbidden.")
        if (new.get("parameters") or {}) != (old.get("parameters") or {}):
            errors.forbidden("parameters", "updates to parameters are forbidden.")

    def row(self, obj: Obj) -> list[Any]:
        default = is_default(obj, ("volumeattributesclass.alpha.kubernetes.io/is-default-class",))
        name = f"{meta.name(obj)} (default)" if default else meta.name(obj)
        return [name, obj.get("driverName", ""), printing.age(obj)]


def _driver(errors: Errors, name: str, path: str) -> None:
    if not name:
        errors.required(path)
        return
    if len(name) > 63:
        errors.too_long(path, 63)
    errors.check(path, name, names.dns1123_subdomain(name.lower()))


_DRIVER_SPEC = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "storageCapacity": False,
    "volumeLifecycleModes": ["Persistent"],
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
    "requiresRepublish": False,
    "seLinuxMount": False,
}


class CSIDriverStrategy(Strategy):
    """A CSI driver."""

    allow_unconditional_update = False
    columns = (
        printing.NAME,
        column("AttachRequired", "boolean", "Whether volumes are attached before they are mounted."),
        column("PodInfoOnMount", "boolean", "Whether the driver is told about the pod."),
        column("StorageCapacity", "boolean", "Whether the scheduler minds the driver's capacity."),
        column("TokenRequests", description="The audiences of tokens that the driver gets."),
        column("RequiresRepublish", "boolean", "Whether the driver is called again and again."),
        column("Modes", description="How its volumes live."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        for field, value in _DRIVER_SPEC.items():
            if spec.get(field) in (None, []):
                spec[field] = list(value) if isinstance(value, list) else value

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        _driver(errors, meta.name(obj), "metadata.name")
        spec = printing.spec(obj)
        for mode in spec.get("volumeLifecycleModes") or []:
            if mode not in ("Persistent", "Ephemeral"):
                errors.unsupported("spec.volumeLifecycleModes", mode, ("Ephemeral", "Persistent"))
        policy = spec.get("fsGroupPolicy")
        if policy is not None and policy not in FS_GROUP_POLICIES:
            errors.unsupported("spec.fsgroupPolicy", policy, FS_GROUP_POLICIES)
        audiences: set[str] = set()
        for index, request in enumerate(spec.get("tokenRequests") or []):
            audience, seconds = request.get("audience") or "", request.get("expirationSeconds")
            path = f"spec.tokenRequests[{index}]"
            if audience in audiences:
                errors.duplicate(f"{path}.audience", audience)
            audiences.add(audience)
            if seconds is not None and seconds < 600:
                errors.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        after, before = printing.spec(new), printing.spec(old)
        for field in ("attachRequired", "volumeLifecycleModes"):
            errors.unchanged(f"spec.{field}", after.get(field), before.get(field))

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        requests = ",".join(each.get("audience", "") for each in spec.get("tokenRequests") or [])
        return [
            meta.name(obj),
            spec.get("attachRequired", True),
            spec.get("podInfoOnMount", False),
            spec.get("storageCapacity", False),
            requests or printing.UNSET,
            spec.get("requiresRepublish", False),
            printing.joined(spec.get("volumeLifecycleModes") or []),
            printing.age(obj),
        ]


class CSINodeStrategy(Strategy):
    """Which CSI drivers a node has."""

    allow_unconditional_update = False
    columns = (printing.NAME, column("Drivers", "integer", "How many drivers the node has."), printing.AGE)

    def default(self, obj: Obj) -> None:
        obj.setdefault("spec", {}).setdefault("drivers", [])

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        seen: set[str] = set()
        for index, driver in enumerate(printing.spec(obj).get("drivers") or []):
            path, name = f"spec.drivers[{index}]", driver.get("name") or ""
            _driver(errors, name, f"{path}.name")
            node = driver.get("nodeID") or ""
            if errors.present(f"{path}.nodeID", node) and len(node) > MAX_NODE_ID:
                errors.invalid(f"{path}.nodeID", node, f"must be {MAX_NODE_ID} characters or less")
            errors.non_negative(f"{path}.allocatable.count", (driver.get("allocatable") or {}).get("count"))
            if name in seen:
                errors.duplicate(f"{path}.name", name)
            seen.add(name)
            keys = driver.get("topologyKeys") or []
            for position, key in enumerate(keys):
                if not key:
                    errors.required(path)
                if key in keys[:position]:
                    errors.duplicate(path, key)
                errors.check(path, keys, names.qualified_name(key))

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        before = {driver.get("name"): driver for driver in printing.spec(old).get("drivers") or []}
        for driver in printing.spec(new).get("drivers") or []:
            same = before.get(driver.get("name"), driver)
            if any((same.get(field) or None) != (driver.get(field) or None) for field in ("nodeID", "topologyKeys")):
                errors.invalid("CSINodeDriver", driver, checks.IMMUTABLE)

    def row(self, obj: Obj) -> list[Any]:
        return [meta.name(obj), len(printing.spec(obj).get("drivers") or []), printing.age(obj)]


class CSIStorageCapacityStrategy(Strategy):
    """How much a class can still make somewhere."""

    allow_unconditional_update = False
    columns = (
        printing.NAME,
        column("StorageClassName", description="The class it is about."),
        column("Capacity", description="How much is left."),
    )

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        checks.label_selector(errors, obj.get("nodeTopology"), "nodeTopology")
        name = obj.get("storageClassName") or ""
        if errors.present("storageClassName", name):
            errors.check("storageClassName", name, names.dns1123_subdomain(name))
        for field in ("capacity", "maximumVolumeSize"):
            if obj.get(field) is not None and quantity.milli(str(obj[field])) < 0:
                errors.invalid(field, obj[field], checks.NON_NEGATIVE)

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        for field in ("nodeTopology", "storageClassName"):
            errors.unchanged(field, new.get(field), old.get(field))

    def row(self, obj: Obj) -> list[Any]:
        capacity = obj.get("capacity")
        return [
            meta.name(obj),
            obj.get("storageClassName", ""),
            printing.UNSET if capacity is None else capacity,
        ]


class VolumeAttachmentStrategy(Strategy):
    """The wish that a volume be attached to a node."""

    allow_unconditional_update = False
    initial_status: ClassVar[Obj] = {"attached": False}
    columns = (
        printing.NAME,
        column("Attacher", "string", "Who attaches it."),
        column("PV", description="The volume."),
        column("Node", description="The node."),
        column("Attached", "boolean", "Whether it is attached."),
        printing.AGE,
    )

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        _driver(errors, spec.get("attacher") or "", "spec.attacher")
        source = spec.get("source") or {}
        name, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
        if name is None and inline is None:
            errors.required("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
        elif name is not None and inline is not None:
            errors.forbidden("spec.source", "must specify exactly one of inlineVolumeSpec and persistentVolumeName")
        elif name is not None:
            errors.present("spec.source.persistentVolumeName", name)
        node = spec.get("nodeName") or ""
        errors.check("spec.nodeName", node, names.dns1123_subdomain(node))

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        if printing.spec(new) != printing.spec(old):
            errors.invalid("spec", printing.spec(new), checks.IMMUTABLE)

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        status = printing.status(new)
        metadata = status.get("attachmentMetadata") or {}
        if sum(len(key) + len(value) for key, value in metadata.items()) > MAX_ATTACHED_METADATA:
            errors.too_long("status.attachmentMetadata", MAX_ATTACHED_METADATA)
        for field in ("attachError", "detachError"):
            if len((status.get(field) or {}).get("message") or "") > MAX_ERROR_MESSAGE:
                errors.too_long(f"status.{field}.message", MAX_ERROR_MESSAGE)

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        return [
            meta.name(obj),
            spec.get("attacher", ""),
            (spec.get("source") or {}).get("persistentVolumeName") or "",
            spec.get("nodeName", ""),
            bool(printing.status(obj).get("attached")),
            printing.age(obj),
        ]


STRATEGIES: dict[str, type[Strategy]] = {
    "csidrivers.storage.k8s.io": CSIDriverStrategy,
    "csinodes.storage.k8s.io": CSINodeStrategy,
    "csistoragecapacities.storage.k8s.io": CSIStorageCapacityStrategy,
    "storageclasses.storage.k8s.io": StorageClassStrategy,
    "volumeattachments.storage.k8s.io": VolumeAttachmentStrategy,
    "volumeattributesclasses.storage.k8s.io": VolumeAttributesClassStrategy,
}
