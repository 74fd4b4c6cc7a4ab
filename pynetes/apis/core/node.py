"""Nodes."""

from typing import Any

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.core import resource_validation, scheduling_validation
from pynetes.apis.printing import column, wide
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

_ROLE_PREFIX, _ROLE_LABEL = "node-role.kubernetes.io/", "kubernetes.io/role"
_CHANGEABLE = frozenset({"unschedulable", "taints", "configSource"})
_ONCE = ("podCIDRs", "providerID")


class NodeStrategy(Strategy):
    """A node. The kubelet creates it with its status."""

    keeps_status_on_create = True
    allow_create_on_update = False
    columns = (
        printing.NAME,
        column("Status", description="Whether the node is ready, and whether pods may be scheduled on it."),
        column("Roles", description="The node's roles, from its labels."),
        printing.AGE,
        column("Version", description="The version of the kubelet."),
        wide("Internal-IP", description="The node's address inside the cluster."),
        wide("External-IP", description="The node's address outside the cluster."),
        wide("OS-Image", description="The operating system."),
        wide("Kernel-Version", description="The version of the kernel."),
        wide("Container-Runtime", description="The container runtime and its version."),
    )

    def default(self, obj: Obj) -> None:
        spec = obj.setdefault("spec", {})
        # The old field and the first of the list are one; where they differ, the old one is believed.
        ranges = spec.get("podCIDRs") or []
        if spec.get("podCIDR") and (not ranges or ranges[0] != spec["podCIDR"]):
            spec["podCIDRs"] = [spec["podCIDR"]]
        elif ranges and not spec.get("podCIDR"):
            spec["podCIDR"] = ranges[0]
        status = obj.setdefault("status", {})
        if status.get("capacity") and status.get("allocatable") is None:
            status["allocatable"] = dict(status["capacity"])

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        spec, status = printing.spec(obj), printing.status(obj)
        scheduling_validation.taints(errors, spec.get("taints"), "spec.taints")
        for index, cidr in enumerate(spec.get("podCIDRs") or []):
            errors.check(f"spec.podCIDRs[{index}]", cidr, names.cidr(cidr))
        for kind in ("capacity", "allocatable"):
            for name, value in (status.get(kind) or {}).items():
                resource_validation.amount(errors, name, value, f"status.{kind}[{name}]")

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        self.validate_status(errors, new, old)
        after, before = printing.spec(new), printing.spec(old)
        for field in _ONCE:
            if before.get(field) and before[field] != after.get(field):
                name = "podCIDR" if field == "podCIDRs" else field
                errors.forbidden(f"spec.{field}", f'node updates may not change {name} except from "" to valid')
        fixed = (after.keys() | before.keys()) - _CHANGEABLE - {"podCIDR", *_ONCE}
        if any(after.get(field) != before.get(field) for field in fixed):
            errors.forbidden(
                "spec",
                "node updates may only change labels, taints, or capacity (or configSource, if the "
                "DynamicKubeletConfig feature gate is enabled)",
            )

    def validate_status(self, errors: Errors, new: Obj, old: Obj) -> None:
        seen: set[tuple[str, str]] = set()
        for index, address in enumerate(printing.status(new).get("addresses") or []):
            pair = (address.get("type", ""), address.get("address", ""))
            if pair in seen:
                errors.duplicate(f"status.addresses[{index}]", address)
            seen.add(pair)

    def warnings(self, obj: Obj) -> list[str]:
        found = []
        if printing.spec(obj).get("configSource") is not None:
            found.append("spec.configSource: deprecated in v1.22, support removed in v1.26")
        if printing.spec(obj).get("externalID"):
            found.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
        return found

    def row(self, obj: Obj) -> list[Any]:
        status = printing.status(obj)
        info = status.get("nodeInfo") or {}
        ready = meta.get_condition(obj, "Ready")
        words = ["Unknown"] if ready is None else ["Ready" if ready.get("status") == "True" else "NotReady"]
        if printing.spec(obj).get("unschedulable"):
            words.append("SchedulingDisabled")
        return [
            meta.name(obj),
            ",".join(words),
            printing.joined(roles(obj)),
            printing.age(obj),
            info.get("kubeletVersion", ""),
            _address(status, "InternalIP"),
            _address(status, "ExternalIP"),
            info.get("osImage") or printing.UNKNOWN,
            info.get("kernelVersion") or printing.UNKNOWN,
            info.get("containerRuntimeVersion") or printing.UNKNOWN,
        ]

    def selectable(self, obj: Obj) -> dict[str, str]:
        return {"spec.unschedulable": printing.yes_no(printing.spec(obj).get("unschedulable"))}


def _address(status: Obj, kind: str) -> str:
    addresses = status.get("addresses") or []
    return next((each.get("address", "") for each in addresses if each.get("type") == kind), printing.NONE)


def roles(obj: Obj) -> list[str]:
    """The node's roles, from `node-role.kubernetes.io/<role>` and `kubernetes.io/role` labels, sorted."""
    found = set()
    for key, value in meta.labels(obj).items():
        if key.startswith(_ROLE_PREFIX) and key != _ROLE_PREFIX:
            found.add(key.removeprefix(_ROLE_PREFIX))
        elif key == _ROLE_LABEL and value:
            found.add(value)
    return sorted(found)
