"""Addresses for services of type LoadBalancer, out of one range.

One agent of the cluster does this, whoever holds the Lease; the others' work is only to route. An address belongs to
the service in whose status it stands, nowhere else, so a new leader needs nothing from the old one. A service keeps
its address as long as it is a load balancer; `spec.loadBalancerIP` is honoured if that address is free. As long as it
has one it also has a finalizer, as from upstream's service controller, so that nobody else gets the address before the
service is gone.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Iterable

from pynetes.client.client import Client, Unreachable
from pynetes.client.events import EventRecorder
from pynetes.client.informer import Informer
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

log = logging.getLogger(__name__)

CLASS = "pynetes.io/load-balancer"
FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
_RETRY_SECONDS = 2.0


def is_ours(service: Obj) -> bool:
    """Whether this controller gives the service an address."""
    spec = service.get("spec", {})
    return (
        spec.get("type") == "LoadBalancer"
        and spec.get("loadBalancerClass") in (None, "", CLASS)
        and not meta.is_deleting(service)
    )


def needs_cleanup(service: Obj) -> bool:
    """Whether a service that is not ours (any more) still has what this controller gave it."""
    left = ingress_addresses(service) and service["spec"].get("type") != "LoadBalancer"
    return bool(left) or FINALIZER in _finalizers(service)


def _finalizers(service: Obj) -> list[str]:
    return service["metadata"].get("finalizers") or []


def changes(old: Obj, new: Obj) -> list[tuple[str, str]]:
    """What a change of a service means for its load balancer: reasons and messages of events."""
    before, after = old.get("spec", {}), new.get("spec", {})
    if is_ours(old) != is_ours(new):
        same = before.get("type") == after.get("type")
        return [] if same else [("Type", f"{before.get('type')} -> {after.get('type')}")]
    if not is_ours(new):
        return []
    found = []
    for field, (reason, unset) in _TOLD.items():
        values = [_shown(spec.get(field) or unset) for spec in (before, after)]
        if values[0] != values[1]:
            found.append((reason, " -> ".join(values)))
    return found


_TOLD: dict[str, tuple[str, str | int | list[str]]] = {  # the event's reason, and what an absent value is
    "loadBalancerSourceRanges": ("LoadBalancerSourceRanges", []),
    "loadBalancerIP": ("LoadbalancerIP", ""),
    "externalTrafficPolicy": ("ExternalTrafficPolicy", ""),
    "healthCheckNodePort": ("HealthCheckNodePort", 0),
}


def _shown(value: str | int | list[str]) -> str:
    return f"[{' '.join(value)}]" if isinstance(value, list) else str(value)


def ingress_addresses(service: Obj) -> list[str]:
    """The addresses in the service's status."""
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    return [entry["ip"] for entry in ingress if entry.get("ip")]


class NoAddress(Exception):
    """No address can be given; the text says why."""


def pick(service: Obj, pool: ipaddress.IPv4Network, taken: set[str]) -> str:
    """The address that the service should have: its own if it has one that fits, else the one asked for, or a free one.

    `taken` are the other services' addresses.
    """
    wanted = service.get("spec", {}).get("loadBalancerIP") or ""
    current = [a for a in ingress_addresses(service) if ipaddress.ip_address(a) in pool and a not in taken]
    if current and wanted in ("", current[0]):
        return current[0]
    if wanted:
        try:
            inside = ipaddress.ip_address(wanted) in pool
        except ValueError:
            inside = False
        if not inside:
            raise NoAddress(f"loadBalancerIP {wanted} is not in the range {pool}")
        if wanted in taken:
            raise NoAddress(f"loadBalancerIP {wanted} is in use by another service")
        return wanted
    for address in pool:
        if str(address) not in taken and address not in (pool.network_address, pool.broadcast_address):
            return str(address)
    raise NoAddress(f"no address left in {pool}")


class LoadBalancers:
    """The controller; `run` is what a leader does."""

    def __init__(
        self, client: Client, services: Informer, recorder: EventRecorder, cidr: str, reserved: str = ""
    ) -> None:
        self._client = client
        self._services = services
        self._recorder = recorder
        self._pool = ipaddress.IPv4Network(cidr)
        self._reserved = {reserved} - {""}  # what Ingresses share
        self._queue: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._given: dict[str, str] = {}  # what this leader wrote and the cache may not show yet

    async def run(self) -> None:
        """Give and take addresses until cancelled."""
        await self._services.synced()
        self._given.clear()
        self._services.on_change(self._note)
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                keys, self._queue = [*self._queue], {}
                for key in keys:
                    await self._sync(key)
        finally:
            self._services.off_change(self._note)

    def _note(self, old: Obj | None, new: Obj | None) -> None:
        service = new or old
        if service is None:
            return
        interesting = is_ours(service) or needs_cleanup(service) or (old is not None and is_ours(old))
        if old is not None and new is not None:
            for reason, message in changes(old, new):
                self._recorder.event(new, "Normal", reason, message)
        if new is not None and ingress_addresses(new):
            self._given.pop(meta.key(new), None)  # the cache shows it now
        if interesting:
            self._queue[meta.key(service)] = None
            if new is None or not is_ours(new):  # an address may have come free for those who wait
                self._given.pop(meta.key(service), None)
                self._queue.update(
                    {meta.key(s): None for s in self._services.list() if is_ours(s) and not ingress_addresses(s)}
                )
            self._wake.set()

    async def _sync(self, key: str) -> None:
        service = self._services.get(key)
        if service is None:
            return
        if is_ours(service):
            taken = self._taken(except_for=key)
            try:
                address = pick(service, self._pool, taken)
            except NoAddress as reason:
                self._recorder.event(
                    service, "Warning", "SyncLoadBalancerFailed", f"Error syncing load balancer: {reason}"
                )
                return
            settled = ingress_addresses(service) == [address] and FINALIZER in _finalizers(service)
            if settled or self._given.get(key) == address:
                return
            self._recorder.event(service, "Normal", "EnsuringLoadBalancer", "Ensuring load balancer")
            finalizers = [*(f for f in _finalizers(service) if f != FINALIZER), FINALIZER]
            if await self._write(service, finalizers, [{"ip": address, "ipMode": "VIP"}]):
                self._given[key] = address
                self._recorder.event(service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer")
        elif needs_cleanup(service):
            self._recorder.event(service, "Normal", "DeletingLoadBalancer", "Deleting load balancer")
            finalizers = [f for f in _finalizers(service) if f != FINALIZER]
            if await self._write(service, finalizers, None):
                self._recorder.event(service, "Normal", "DeletedLoadBalancer", "Deleted load balancer")

    def _taken(self, except_for: str) -> set[str]:
        others: Iterable[Obj] = (s for s in self._services.list() if meta.key(s) != except_for)
        shown = {address for service in others for address in ingress_addresses(service)}
        return shown | self._reserved | {address for key, address in self._given.items() if key != except_for}

    async def _write(self, service: Obj, finalizers: list[str], ingress: list[Obj] | None) -> bool:
        metadata: Obj = {"uid": meta.uid(service)}
        if finalizers != _finalizers(service):  # then of this very version, lest somebody else's be lost
            metadata |= {"finalizers": finalizers, "resourceVersion": service["metadata"]["resourceVersion"]}
        patch = {"metadata": metadata, "status": {"loadBalancer": {"ingress": ingress}}}
        try:
            await self._client.patch(
                "services", meta.name(service), patch, meta.namespace(service), subresource="status"
            )
        except StatusError as error:
            if error.code not in (404, 409):  # gone, or replaced by another of the same name: an event will tell
                log.warning("load balancer of %s: %s", meta.key(service), error.message)
                self._retry(meta.key(service))
            return False
        except Unreachable as error:
            log.debug("load balancer of %s: %s", meta.key(service), error)
            self._retry(meta.key(service))
            return False
        return True

    def _retry(self, key: str) -> None:
        async def later() -> None:
            await clock.sleep(_RETRY_SECONDS)
            self._queue[key] = None
            self._wake.set()

        self._timer = asyncio.get_running_loop().create_task(later(), name=f"retry {key}")
