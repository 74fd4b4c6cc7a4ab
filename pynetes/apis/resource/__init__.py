"""The resource group: devices, and claims on them."""

from typing import Any, ClassVar

from pynetes.apis import checks, printing
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

ALLOCATION_MODES = ("All", "ExactCount")


def default_claim_spec(spec: Obj) -> None:
    """Defaults of a claim's spec, wherever it stands."""
    for request in (spec.get("devices") or {}).get("requests") or []:
        exact = request.get("exactly")
        for each in [exact, *(request.get("firstAvailable") or [])]:
            if each is None:
                continue
            if not each.get("allocationMode"):
                each["allocationMode"] = "ExactCount"
            if each["allocationMode"] == "ExactCount" and not each.get("count"):
                each["count"] = 1


def validate_claim_spec(errors: Errors, spec: Obj, path: str) -> None:
    """A claim's spec, wherever it stands."""
    seen: set[str] = set()
    for index, request in enumerate((spec.get("devices") or {}).get("requests") or []):
        where, name = f"{path}.devices.requests[{index}]", request.get("name") or ""
        if errors.present(f"{where}.name", name):
            errors.check(f"{where}.name", name, names.dns1123_label(name))
        if name in seen:
            errors.duplicate(where, name)
        seen.add(name)
        exact, several = request.get("exactly"), request.get("firstAvailable") or []
        if exact is None and not several:
            errors.required(where, "exactly one of `exactly` or `firstAvailable` is required")
        elif exact is not None and several:
            errors.invalid(
                where, "", "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"
            )
        if exact is not None:
            _exact(errors, exact, f"{where}.exactly")
        for position, each in enumerate(several):
            _exact(errors, each, f"{where}.firstAvailable[{position}]")


def _exact(errors: Errors, request: Obj, path: str) -> None:
    name = request.get("deviceClassName") or ""
    if errors.present(f"{path}.deviceClassName", name):
        errors.check(f"{path}.deviceClassName", name, names.dns1123_subdomain(name))
    mode, count = request.get("allocationMode") or "", request.get("count") or 0
    if mode == "ExactCount":
        if count <= 0:
            errors.invalid(f"{path}.count", count, "must be greater than zero")
    elif mode == "All":
        if count:
            errors.invalid(f"{path}.count", count, f"must not be specified when allocationMode is '{mode}'")
    else:
        errors.unsupported(f"{path}.allocationMode", mode, ALLOCATION_MODES)


class ResourceClaimStrategy(Strategy):
    """A claim on devices."""

    initial_status: ClassVar[Obj] = {}
    columns = (printing.NAME, column("State", description="What became of it."), printing.AGE)

    def default(self, obj: Obj) -> None:
        default_claim_spec(obj.setdefault("spec", {}))

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        validate_claim_spec(errors, printing.spec(obj), "spec")

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        errors.unchanged("spec", printing.spec(new), printing.spec(old), checks.IMMUTABLE)

    def row(self, obj: Obj) -> list[Any]:
        status = printing.status(obj)
        words = ["deleted"] if meta.is_deleting(obj) else []
        words.append("allocated" if status.get("allocation") else "pending")
        if status.get("reservedFor"):
            words.append("reserved")
        return [meta.name(obj), ",".join(words), printing.age(obj)]


class ResourceClaimTemplateStrategy(Strategy):
    """What claims are made from."""

    columns = printing.NAME_AND_AGE

    def default(self, obj: Obj) -> None:
        default_claim_spec(obj.setdefault("spec", {}).setdefault("spec", {}))

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        validate_claim_spec(errors, printing.spec(obj).get("spec") or {}, "spec.spec")

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        errors.unchanged("spec", printing.spec(new), printing.spec(old), checks.IMMUTABLE)

    def row(self, obj: Obj) -> list[Any]:
        return printing.name_age(obj)


class DeviceClassStrategy(Strategy):
    """A class of devices."""

    tracks_generation = True
    columns = printing.NAME_AND_AGE

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        for index, selector in enumerate(printing.spec(obj).get("selectors") or []):
            path = f"spec.selectors[{index}].cel"
            if selector.get("cel") is None:
                errors.required(path)
            else:
                errors.present(f"{path}.expression", selector["cel"].get("expression"))

    def row(self, obj: Obj) -> list[Any]:
        return printing.name_age(obj)


class ResourceSliceStrategy(Strategy):
    """The devices of a pool, in part."""

    tracks_generation = True
    columns = (
        printing.NAME,
        column("Node", description="The node that has the devices."),
        column("Driver", description="Whose devices they are."),
        column("Pool", description="The pool they belong to."),
        printing.AGE,
    )

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec = printing.spec(obj)
        driver, pool = spec.get("driver") or "", spec.get("pool") or {}
        if errors.present("spec.driver", driver):
            errors.check("spec.driver", driver, names.dns1123_subdomain(driver))
        errors.present("spec.pool.name", pool.get("name"))
        if (pool.get("resourceSliceCount") or 0) <= 0:
            errors.invalid(
                "spec.pool.resourceSliceCount", pool.get("resourceSliceCount") or 0, "must be greater than zero"
            )
        errors.non_negative("spec.pool.generation", pool.get("generation"))
        places = [f for f in ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection") if spec.get(f)]
        if len(places) != 1:
            text = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
            if places:
                errors.invalid("spec", f"{{{', '.join(places)}}}", f"{text}, but multiple fields are set")
            else:
                errors.required("spec", text)

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        after, before = printing.spec(new), printing.spec(old)
        errors.unchanged("spec.nodeName", after.get("nodeName"), before.get("nodeName"))
        errors.unchanged("spec.driver", after.get("driver"), before.get("driver"))
        errors.unchanged(
            "spec.pool.name", (after.get("pool") or {}).get("name"), (before.get("pool") or {}).get("name")
        )

    def row(self, obj: Obj) -> list[Any]:
        spec = printing.spec(obj)
        return [
            meta.name(obj),
            spec.get("nodeName") or printing.NONE,
            spec.get("driver", ""),
            (spec.get("pool") or {}).get("name", ""),
            printing.age(obj),
        ]

    def selectable(self, obj: Obj) -> dict[str, str]:
        spec = printing.spec(obj)
        return {"spec.nodeName": spec.get("nodeName") or "", "spec.driver": spec.get("driver") or ""}


STRATEGIES: dict[str, type[Strategy]] = {
    "deviceclasses.resource.k8s.io": DeviceClassStrategy,
    "resourceclaims.resource.k8s.io": ResourceClaimStrategy,
    "resourceclaimtemplates.resource.k8s.io": ResourceClaimTemplateStrategy,
    "resourceslices.resource.k8s.io": ResourceSliceStrategy,
}
