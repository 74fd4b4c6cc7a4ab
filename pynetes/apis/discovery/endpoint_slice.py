"""Endpoint slices."""

from typing import Any

from pynetes.apis import checks, printing
from pynetes.apis.checks import Errors
from pynetes.apis.core.container_validation import PROTOCOLS
from pynetes.apis.core.service_validation import special_ip
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_MAX_ENDPOINTS, _MAX_ADDRESSES, _MAX_PORTS = 1000, 100, 20000
_MAX_TOPOLOGY, _MAX_HINTS = 16, 8


class EndpointSliceStrategy(Strategy):
    """An endpoint slice."""

    tracks_generation = True
    columns = (
        printing.NAME,
        column("AddressType", description="What the addresses are."),
        column("Ports", description="The ports of every endpoint."),
        column("Endpoints", description="The endpoints' addresses."),
        printing.AGE,
    )

    def default(self, obj: Obj) -> None:
        for port in obj.get("ports") or []:
            for field, value in (("name", ""), ("protocol", "TCP")):
                if port.get(field) is None or (field == "protocol" and not port[field]):
                    port[field] = value
        obj.setdefault("endpoints", [])

    def content(self, obj: Obj) -> Obj:
        return {**super().content(obj), "labels": meta.labels(obj)}

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        kind = obj.get("addressType") or ""
        if errors.present("addressType", kind):
            errors.one_of("addressType", kind, ADDRESS_TYPES)
        endpoints, ports = obj.get("endpoints") or [], obj.get("ports") or []
        if len(endpoints) > _MAX_ENDPOINTS:
            errors.too_many("endpoints", len(endpoints), _MAX_ENDPOINTS)
        for index, endpoint in enumerate(endpoints):
            _endpoint(errors, endpoint, kind, f"endpoints[{index}]")
        if len(ports) > _MAX_PORTS:
            errors.too_many("ports", len(ports), _MAX_PORTS)
        seen: set[str] = set()
        for index, port in enumerate(ports):
            path, name = f"ports[{index}]", port.get("name") or ""
            if name:
                errors.check(f"{path}.name", name, names.dns1123_label(name))
            if name in seen:
                errors.duplicate(f"{path}.name", name)
            seen.add(name)
            errors.required_one_of(f"{path}.protocol", port.get("protocol"), PROTOCOLS)
            if port.get("port") is not None:
                errors.port(f"{path}.port", port["port"])
            application = port.get("appProtocol")
            if application is not None:
                errors.check(f"{path}.appProtocol", application, names.qualified_name(application))

    def validate_spec_update(self, errors: Errors, new: Obj, old: Obj) -> None:
        errors.unchanged("addressType", new.get("addressType"), old.get("addressType"))

    def warnings(self, obj: Obj) -> list[str]:
        if obj.get("addressType") == "FQDN":
            return ["addressType: FQDN endpoints are deprecated"]
        return []

    def row(self, obj: Obj) -> list[Any]:
        ports = [_port_text(port) for port in obj.get("ports") or []]
        addresses = [address for each in obj.get("endpoints") or [] for address in each.get("addresses") or []]
        return [
            meta.name(obj),
            obj.get("addressType", ""),
            printing.truncated(ports, 3) if any(ports) else printing.UNSET,
            printing.truncated(addresses, 3) if addresses else printing.UNSET,
            printing.age(obj),
        ]


def _port_text(port: Obj) -> str:
    if port.get("port") is not None:
        return str(port["port"])
    return port["name"] if port.get("name") is not None else "*"


def _endpoint(errors: Errors, endpoint: Obj, kind: str, path: str) -> None:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        errors.required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > _MAX_ADDRESSES:
        errors.too_many(f"{path}.addresses", len(addresses), _MAX_ADDRESSES)
    for index, address in enumerate(addresses):
        where = f"{path}.addresses[{index}]"
        if kind == "FQDN":
            errors.check(where, address, names.fully_qualified_domain_name(address))
            continue
        messages = names.ipv4(address) if kind == "IPv4" else names.ipv6(address) if kind == "IPv6" else []
        errors.check(where, address, messages)
        if not messages:
            errors.check(where, address, special_ip(address))
    if endpoint.get("nodeName") is not None:
        errors.check(f"{path}.nodeName", endpoint["nodeName"], names.dns1123_subdomain(endpoint["nodeName"]))
    if endpoint.get("hostname") is not None:
        errors.check(f"{path}.hostname", endpoint["hostname"], names.dns1123_label(endpoint["hostname"]))
    topology = endpoint.get("deprecatedTopology") or {}
    if len(topology) > _MAX_TOPOLOGY:
        errors.too_many(f"{path}.deprecatedTopology", len(topology), _MAX_TOPOLOGY)
    checks.labels(errors, topology, f"{path}.deprecatedTopology")
    for side in ("forZones", "forNodes"):
        seen: set[str] = set()
        hints = (endpoint.get("hints") or {}).get(side) or []
        if len(hints) > _MAX_HINTS:
            errors.too_many(f"{path}.hints.{side}", len(hints), _MAX_HINTS)
            return
        for index, zone in enumerate(hints):
            name, where = zone.get("name") or "", f"{path}.hints.{side}[{index}].name"
            if name in seen:
                errors.duplicate(where, name)
            seen.add(name)
            errors.check(where, name, names.label_value(name))
