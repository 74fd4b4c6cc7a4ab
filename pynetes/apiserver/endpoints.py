"""Finding what is behind a service, for proxying and for calling webhooks.

The API server does not go through the service's virtual address: it picks a ready endpoint itself, as upstream does
for `services/proxy`, so it works wherever pods can be reached.
"""

import random
from collections.abc import Iterable
from typing import Any

from pynetes.apiserver.registry import Registry
from pynetes.machinery import resources, selectors
from pynetes.machinery.errors import quote
from pynetes.machinery.meta import Obj

SERVICES = resources.lookup("services")
SLICES = resources.lookup("endpointslices")


class NoEndpoint(Exception):
    """There is nothing to connect to; the text says why."""


class ServiceMissing(NoEndpoint):
    """There is no such service."""


def find_service(registry: Registry, namespace: str, name: str) -> Obj:
    """The service; raises ServiceMissing."""
    service = registry.get(SERVICES, namespace, name)
    if service is None:
        raise ServiceMissing(f"service {quote(name)} not found")
    return service


def service_port(service: Obj, port: str) -> dict[str, Any] | None:
    """The service's port of that name or number; the unnamed one if none is asked for."""
    ports = (service.get("spec") or {}).get("ports") or []
    return next((entry for entry in ports if port in (entry.get("name") or "", str(entry.get("port")))), None)


def ready_addresses(registry: Registry, namespace: str, name: str, port_name: str) -> list[tuple[str, int]]:
    """Addresses and ports of the ready endpoints of a service's port."""
    found = []
    for piece in _slices(registry, namespace, name):
        for port in piece.get("ports") or ():
            if (port.get("name") or "") != port_name or port.get("port") is None:
                continue
            for endpoint in piece.get("endpoints") or ():
                if (endpoint.get("conditions") or {}).get("ready") is False:
                    continue
                found += [(address, port["port"]) for address in (endpoint.get("addresses") or ())[:1]]
    return sorted(found)


def has_endpoints(registry: Registry, namespace: str, name: str) -> bool:
    """Whether a service has any endpoint, ready or not, on whatever port."""
    return any(piece.get("endpoints") for piece in _slices(registry, namespace, name))


def _slices(registry: Registry, namespace: str, name: str) -> Iterable[Obj]:
    selector = selectors.from_label_selector({"matchLabels": {"kubernetes.io/service-name": name}})
    return registry.list(SLICES, namespace, selector)


def resolve_service(registry: Registry, namespace: str, name: str, port: str) -> tuple[str, int]:
    """A ready endpoint's address and port; raises NoEndpoint with upstream's texts."""
    service = find_service(registry, namespace, name)
    spec = service.get("spec") or {}
    entry = service_port(service, port)
    if spec.get("type") == "ExternalName":
        if not port.isdigit():
            raise NoEndpoint(f"no service port {quote(port)} found for service {quote(name)}")
        return spec.get("externalName", ""), int(port)
    if entry is None:
        raise NoEndpoint(f"no service port {quote(port)} found for service {quote(name)}")
    addresses = ready_addresses(registry, namespace, name, entry.get("name") or "")
    if not addresses:
        raise NoEndpoint(f"no endpoints available for service {quote(name)}")
    return random.choice(addresses)
