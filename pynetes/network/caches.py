"""What the agent watches, with the indexes that services and DNS look things up by."""

from collections.abc import Iterable

from pynetes.client.informer import InformerFactory
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

SERVICE_NAME = "kubernetes.io/service-name"


def _service_of(piece: Obj) -> list[str]:
    name = meta.labels(piece).get(SERVICE_NAME)
    return [f"{meta.namespace(piece)}/{name}"] if name else []


def _slice_addresses(piece: Obj) -> list[str]:
    return [address for entry in piece.get("endpoints") or [] for address in entry.get("addresses") or []]


def _cluster_ips(service: Obj) -> list[str]:
    spec = service.get("spec", {})
    addresses = spec.get("clusterIPs") or [spec.get("clusterIP", "None")]
    return [address for address in addresses if address not in ("", "None")]


class Caches:
    """The informers that every agent runs; `ClusterDns`' `Cache` too."""

    def __init__(self, informers: InformerFactory) -> None:
        self.informers = informers
        self.services = informers.get("services", indexers={"cluster-ip": _cluster_ips})
        self.endpoint_slices = informers.get(
            "endpointslices", indexers={"service": _service_of, "address": _slice_addresses}
        )
        self.nodes = informers.get("nodes")
        self.service_cidrs = informers.get("servicecidrs.networking.k8s.io")
        self.namespaces = informers.get("namespaces", metadata_only=True)

    async def synced(self) -> None:
        """Wait until everything was listed once."""
        for informer in (self.services, self.endpoint_slices, self.nodes, self.service_cidrs, self.namespaces):
            await informer.synced()

    def service_ranges(self) -> list[str]:
        """The IPv4 ranges that services get addresses from, as ServiceCIDR objects have them."""
        found = (cidr for each in self.service_cidrs.list() for cidr in each.get("spec", {}).get("cidrs") or [])
        return sorted(cidr for cidr in found if ":" not in cidr)

    def service_by_key(self, key: str) -> Obj | None:
        """The service."""
        return self.services.get(key)

    def slices_by_key(self, key: str) -> Iterable[Obj]:
        """The EndpointSlices of a service."""
        return self.endpoint_slices.by_index("service", key)

    def keys_of_slice(self, piece: Obj) -> list[str]:
        """The service that a slice belongs to, as its key."""
        return _service_of(piece)

    # What DNS asks

    def service(self, namespace: str, name: str) -> Obj | None:
        """The service."""
        return self.services.get(f"{namespace}/{name}")

    def slices(self, namespace: str, name: str) -> Iterable[Obj]:
        """The EndpointSlices of a service."""
        return self.slices_by_key(f"{namespace}/{name}")

    def has_namespace(self, name: str) -> bool:
        """Whether the namespace exists."""
        return self.namespaces.get(name) is not None

    def services_at(self, address: str) -> Iterable[Obj]:
        """The services with this cluster IP."""
        return self.services.by_index("cluster-ip", address)

    def slices_at(self, address: str) -> Iterable[Obj]:
        """The EndpointSlices that list this address."""
        return self.endpoint_slices.by_index("address", address)
