"""Who answers cluster DNS, as the API shows it: the Endpoints of `kube-dns` list every node that has an address.

Data does not follow these endpoints (each node answers the service's address itself); they are what `kubectl` and
anyone who looks for DNS in the API finds. They are written as Endpoints, from which the controllers mirror a slice.
"""

import asyncio
import logging

from pynetes.client.client import Client, Unreachable
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.network.caches import Caches
from pynetes.network.podnetwork import internal_address

log = logging.getLogger(__name__)

_NAMESPACE, _SERVICE = "kube-system", "kube-dns"
_PORTS = [
    {"name": "dns", "port": 53, "protocol": "UDP"},
    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
]
_RETRY_SECONDS = 5.0


def wanted(nodes: list[Obj]) -> Obj:
    """The Endpoints for these nodes."""
    addresses = sorted(
        ((internal_address(node), meta.name(node)) for node in nodes if internal_address(node)),
    )
    subsets = [{"addresses": [{"ip": ip, "nodeName": name} for ip, name in addresses], "ports": _PORTS}]
    labels = {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": _SERVICE, "namespace": _NAMESPACE, "labels": labels},
        "subsets": subsets if addresses else [],
    }


class DnsEndpoints:
    """Keeps the Endpoints as the nodes are, once the service exists."""

    def __init__(self, client: Client, caches: Caches) -> None:
        self._client = client
        self._caches = caches
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled."""
        watched = (self._caches.nodes, self._caches.services)
        self._caches.nodes.on_change(self._changed)
        self._caches.services.on_change(self._service_changed)
        self._wake.set()
        written: Obj | None = None
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._caches.service(_NAMESPACE, _SERVICE) is None:
                    written = None
                    continue
                now = wanted(self._caches.nodes.list())
                if now != written and await self._write(now):
                    written = now
        finally:
            for informer, callback in zip(watched, (self._changed, self._service_changed), strict=True):
                informer.off_change(callback)

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        self._wake.set()

    def _service_changed(self, old: Obj | None, new: Obj | None) -> None:
        service = new or old
        if service is not None and meta.key(service) == f"{_NAMESPACE}/{_SERVICE}":
            self._wake.set()

    async def _write(self, endpoints: Obj) -> bool:
        try:
            try:
                await self._client.update("endpoints", endpoints)
            except StatusError as error:
                if error.code != 404:
                    raise
                await self._client.create("endpoints", endpoints)
        except (StatusError, Unreachable) as error:
            log.warning("endpoints of %s: %s", _SERVICE, error)
            await clock.sleep(_RETRY_SECONDS)
            self._wake.set()
            return False
        return True
