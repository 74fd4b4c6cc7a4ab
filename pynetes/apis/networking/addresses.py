"""Addresses of services as objects: which are taken, and from which ranges."""

from typing import Any, ClassVar

from pynetes.apis import checks, printing
from pynetes.apis.checks import Errors
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj


def canonical_ip(text: str) -> list[str]:
    """An address in its canonical form, as an IPAddress is named."""
    address = names.parse_ip(text)
    if address is None:
        return names.ip(text)
    return [] if str(address) == text else ["must be a valid IP address in canonical form"]


class IPAddressStrategy(Strategy):
    """One address, and what has it."""

    name_check = staticmethod(canonical_ip)
    columns = (printing.NAME, column("ParentRef", description="What has the address."))

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        reference = printing.spec(obj).get("parentRef")
        path = "spec.parentRef"
        if reference is None:
            errors.required(path)
            return
        group = reference.get("group")
        if group:
            errors.check(f"{path}.group", group, names.dns1123_subdomain(group))
        for field in ("resource", "name"):
            value = reference.get(field) or ""
            if errors.present(f"{path}.{field}", value):
                errors.check(f"{path}.{field}", value, names.path_segment(value))
        namespace = reference.get("namespace")
        if namespace:
            errors.check(f"{path}.namespace", namespace, names.path_segment(namespace))

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        path = "spec.parentRef"
        errors.unchanged(path, printing.spec(new).get("parentRef"), printing.spec(old).get("parentRef"))

    def row(self, obj: Obj) -> list[Any]:
        return [meta.name(obj), _parent(printing.spec(obj).get("parentRef") or {})]

    def selectable(self, obj: Obj) -> dict[str, str]:
        reference = printing.spec(obj).get("parentRef") or {}
        return {f"spec.parentRef.{f}": reference.get(f) or "" for f in ("group", "resource", "namespace", "name")}


def _parent(reference: Obj) -> str:
    parts = [reference.get("resource", ""), reference.get("namespace", ""), reference.get("name", "")]
    text = "/".join(part for part in parts if part)
    group = reference.get("group")
    return f"{parts[0]}.{group}{text[len(parts[0]) :]}" if group else text


class ServiceCIDRStrategy(Strategy):
    """A range that services get addresses from."""

    initial_status: ClassVar[Obj] = {}
    columns = (printing.NAME, column("CIDRs", description="The ranges."), printing.AGE)

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        cidrs = printing.spec(obj).get("cidrs") or []
        if not cidrs:
            errors.required("spec.cidrs", "at least one CIDR required")
            return
        if len(cidrs) > 2:
            errors.invalid("spec.cidrs", cidrs, "may only hold up to 2 values")
        families = []
        for index, text in enumerate(cidrs):
            network, faults = names.parse_cidr(text), names.cidr(text)
            errors.check(f"spec.cidrs[{index}]", text, faults)
            if network is None:
                continue
            families.append(network.version)
            if not faults and str(network.network) != text:
                errors.invalid(
                    f"spec.cidrs[{index}]", text, f'must be in canonical form ("{network.network}")'.replace('\\"', '"')
                )
        if len(families) == 2 and families[0] == families[1]:
            errors.invalid(
                "spec.cidrs",
                cidrs,
                "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64",
            )

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        after, before = printing.spec(new).get("cidrs") or [], printing.spec(old).get("cidrs") or []
        if len(after) != len(before) and (len(before), len(after)) != (1, 2):
            errors.invalid("spec.cidrs", after, checks.IMMUTABLE)
            return
        # A second range of the other family may join the first; nothing else may change.
        for index, (text, was) in enumerate(zip(after, before, strict=False)):
            if text != was:
                errors.invalid(f"spec.cidrs[{index}]", text, checks.IMMUTABLE)

    def row(self, obj: Obj) -> list[Any]:
        return [meta.name(obj), printing.joined(printing.spec(obj).get("cidrs") or []), printing.age(obj)]
