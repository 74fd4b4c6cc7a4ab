"""Endpoints, the older list of a service's addresses."""

from typing import Any

from pynetes.apis import printing
from pynetes.apis.checks import Errors
from pynetes.apis.core.container_validation import PROTOCOLS
from pynetes.apis.core.pod_defaults import fill
from pynetes.apis.core.service_validation import special_ip
from pynetes.apis.printing import column
from pynetes.apis.strategy import Strategy
from pynetes.machinery import meta, names
from pynetes.machinery.meta import Obj

_SHOWN = 3


class EndpointsStrategy(Strategy):
    """An Endpoints object."""

    deprecated = "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"
    allow_create_on_update = True
    columns = (printing.NAME, column("Endpoints", description="Addresses and ports that are ready."), printing.AGE)

    def default(self, obj: Obj) -> None:
        for subset in obj.get("subsets") or []:
            for port in subset.get("ports") or []:
                fill(port, {"protocol": "TCP"})

    def validate_spec(self, errors: Errors, obj: Obj) -> None:
        for index, subset in enumerate(obj.get("subsets") or []):
            path = f"subsets[{index}]"
            if not subset.get("addresses") and not subset.get("notReadyAddresses"):
                errors.required(path, "must specify `addresses` or `notReadyAddresses`")
            for kind in ("addresses", "notReadyAddresses"):
                for position, address in enumerate(subset.get(kind) or []):
                    _address(errors, address, f"{path}.{kind}[{position}]")
            ports = subset.get("ports") or []
            for position, port in enumerate(ports):
                where = f"{path}.ports[{position}]"
                name = port.get("name") or ""
                if len(ports) > 1 and not name:
                    errors.required(f"{where}.name")
                elif name:
                    errors.check(f"{where}.name", name, names.dns1123_label(name))
                errors.port(f"{where}.port", port.get("port", 0))
                errors.required_one_of(f"{where}.protocol", port.get("protocol"), PROTOCOLS)
                application = port.get("appProtocol")
                if application is not None:
                    errors.check(f"{where}.appProtocol", application, names.qualified_name(application))

    def row(self, obj: Obj) -> list[Any]:
        found = [
            f"[{a['ip']}]:{p['port']}" if ":" in a.get("ip", "") else f"{a.get('ip', '')}:{p.get('port', 0)}"
            for subset in obj.get("subsets") or []
            for p in subset.get("ports") or []
            for a in subset.get("addresses") or []
        ]
        if not found and any(not subset.get("ports") for subset in obj.get("subsets") or []):
            found = [a.get("ip", "") for s in obj["subsets"] for a in s.get("addresses") or []]
        return [meta.name(obj), printing.truncated(found, _SHOWN), printing.age(obj)]


def _address(errors: Errors, address: Obj, where: str) -> None:
    text = address.get("ip") or ""
    messages = names.ip(text)
    errors.check(f"{where}.ip", text, messages)
    if not messages:
        errors.check(f"{where}.ip", text, special_ip(text))
    for field, check in (("hostname", names.dns1123_label), ("nodeName", names.dns1123_subdomain)):
        if address.get(field):
            errors.check(f"{where}.{field}", address[field], check(address[field]))
