"""ServiceCIDRs: ready when they exist, and not gone before the last address that only they contain."""

import ipaddress
from collections.abc import Iterable

from pynetes.controllers.controller import Context, Controller, ignore_not_found, own_key
from pynetes.controllers.status import update_status
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

RANGES = "servicecidrs.networking.k8s.io"
FINALIZER = "networking.k8s.io/service-cidr-finalizer"


def networks(found: Obj) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """The ranges of one ServiceCIDR."""
    return [ipaddress.ip_network(text) for text in found["spec"].get("cidrs") or []]


def may_go(found: Obj, others: Iterable[Obj], addresses: Iterable[str]) -> bool:
    """Whether every address in the range also lies in another that stays."""
    staying = [network for other in others if not meta.is_deleting(other) for network in networks(other)]
    mine = networks(found)
    for text in addresses:
        address = ipaddress.ip_address(text)
        inside = any(address in network for network in mine if network.version == address.version)
        covered = any(address in network for network in staying if network.version == address.version)
        if inside and not covered:
            return False
    return True


class ServiceCIDRController(Controller):
    """Keeps ServiceCIDRs."""

    name = "service-cidr-controller"
    account = "service-cidrs-controller"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.ranges = self.watch(RANGES, own_key)
        self.addresses = self.watch("ipaddresses.networking.k8s.io", self._address_changed, metadata_only=True)

    def _address_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        return [meta.name(found) for found in self.ranges.list() if meta.is_deleting(found)] if new is None else ()

    async def reconcile(self, key: str) -> None:
        found = self.ranges.get(key)
        if found is None:
            return
        finalizers = found["metadata"].get("finalizers") or []
        if meta.is_deleting(found):
            if FINALIZER not in finalizers:
                return
            others = [other for other in self.ranges.list() if meta.uid(other) != meta.uid(found)]
            if may_go(found, others, [meta.name(address) for address in self.addresses.list()]):
                await self._set_finalizers(found, [f for f in finalizers if f != FINALIZER])
            else:
                text = (
                    "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new "
                    "ServiceCIDR"
                )
                await self._set_ready(found, "False", "Terminating", text)
            return
        if FINALIZER not in finalizers:
            found = await self._set_finalizers(found, [*finalizers, FINALIZER]) or found
        await self._set_ready(found, "True", "", "Kubernetes Service CIDR is ready")

    async def _set_finalizers(self, found: Obj, finalizers: list[str]) -> Obj | None:
        changed = {**found, "metadata": {**found["metadata"], "finalizers": finalizers}}
        return await ignore_not_found(self.client.update(RANGES, changed))

    async def _set_ready(self, found: Obj, status: str, reason: str, message: str) -> None:
        draft = {"status": meta.deep_copy(found.get("status", {}))}
        meta.set_condition(draft, "Ready", status, reason, message)
        for condition in draft["status"]["conditions"]:
            condition.setdefault("reason", "")
        await update_status(self.client, RANGES, found, draft["status"])
