"""Objects that stand in the API for what the agents do: the `kube-dns` service, its endpoints, our IngressClass.

One agent writes them, and writes them again if they go. Data does not follow them (each node answers the DNS address
itself); they are what `kubectl` and anyone who looks for DNS in the API finds. Endpoints are written as Endpoints,
from which the controllers mirror a slice. A `kube-dns` that somebody else made, with pods behind it, is left alone.
"""

import asyncio
import logging

from pynetes.client.client import Client, Unreachable
from pynetes.client.informer import Informer
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj
from pynetes.network.caches import Caches
from pynetes.network.ingress import model
from pynetes.network.podnetwork import internal_address

log = logging.getLogger(__name__)

_NAMESPACE, _NAME = "kube-system", "kube-dns"
_LABELS = {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
_PORTS = [
    {"name": "dns", "port": 53, "protocol": "UDP"},
    {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
]
_RETRY_SECONDS = 5.0


def dns_service(address: str) -> Obj:
    """The service of cluster DNS."""
    ports = [port | {"targetPort": 53} for port in _PORTS]
    return {
        "metadata": {"name": _NAME, "namespace": _NAMESPACE, "labels": _LABELS},
        "spec": {"type": "ClusterIP", "clusterIP": address, "ports": ports},
    }


def dns_endpoints(nodes: list[Obj]) -> Obj:
    """The Endpoints of cluster DNS: every node that has an address."""
    addresses = sorted((internal_address(node), meta.name(node)) for node in nodes if internal_address(node))
    subset = {"addresses": [{"ip": ip, "nodeName": name} for ip, name in addresses], "ports": _PORTS}
    return {
        "metadata": {"name": _NAME, "namespace": _NAMESPACE, "labels": _LABELS},
        "subsets": [subset] if addresses else [],
    }


def ingress_class() -> Obj:
    """The class of the Ingresses that nginx serves."""
    return {"metadata": {"name": model.CLASS}, "spec": {"controller": model.CONTROLLER}}


class StandingObjects:
    """Keeps these objects in the API; `dns_address` and `ingress` say which are wanted."""

    def __init__(self, client: Client, caches: Caches, dns_address: str, classes: Informer | None) -> None:
        self._client = client
        self._caches = caches
        self._dns_address = dns_address
        self._classes = classes
        self._wake = asyncio.Event()
        self._written: Obj | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        watched = [self._caches.nodes, self._caches.services, *([self._classes] if self._classes else [])]
        if self._classes is not None:
            await self._classes.synced()
        for informer in watched:
            informer.on_change(self._changed)
        self._wake.set()
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                try:
                    await self._sync()
                except (StatusError, Unreachable) as error:
                    log.warning("cannot write what the API should show: %s", error)
                    await clock.sleep(_RETRY_SECONDS)
                    self._wake.set()
        finally:
            for informer in watched:
                informer.off_change(self._changed)

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        obj = new or old or {}
        if obj.get("kind") != "Service" or meta.key(obj) == f"{_NAMESPACE}/{_NAME}":
            self._wake.set()

    async def _sync(self) -> None:
        if self._classes is not None and self._classes.get(model.CLASS) is None:
            await self._create("ingressclasses", ingress_class())
        if not self._dns_address:
            return
        service = self._caches.service(_NAMESPACE, _NAME)
        if service is None:
            self._written = None
            await self._create("services", dns_service(self._dns_address))
            return  # the watch brings it back here
        endpoints = dns_endpoints(self._caches.nodes.list())
        if service.get("spec", {}).get("selector") or endpoints == self._written:
            return
        try:
            await self._client.update("endpoints", endpoints)
        except StatusError as error:
            if error.code != 404:
                raise
            await self._create("endpoints", endpoints)
        self._written = endpoints

    async def _create(self, resource: str, obj: Obj) -> None:
        try:
            await self._client.create(resource, obj)
        except StatusError as error:
            if error.code != 409:
                raise
