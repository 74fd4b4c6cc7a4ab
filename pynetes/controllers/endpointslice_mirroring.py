"""Mirroring: Endpoints that somebody wrote by hand, for a Service without selector, become EndpointSlices too."""

import asyncio
from collections.abc import Iterable

from pynetes.controllers import pods, slices
from pynetes.controllers.controller import Context, Controller, is_namespace_terminating
from pynetes.controllers.endpointslice import MANAGED_BY_LABEL, SERVICE_LABEL, SLICES, by_service
from pynetes.controllers.expectations import Expectations
from pynetes.controllers.service_pods import HEADLESS_LABEL, LAST_CHANGE, is_ipv6
from pynetes.machinery import meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror"
_LEADER = "control-plane.alpha.kubernetes.io/leader"
_RESERVED_LABELS = (SERVICE_LABEL, MANAGED_BY_LABEL, SKIP_LABEL)
_RESERVED_ANNOTATIONS = (LAST_CHANGE, "kubectl.kubernetes.io/last-applied-configuration")


def should_mirror(endpoints: Obj | None, service: Obj | None) -> bool:
    """Whether these Endpoints were written by hand for a service without selector."""
    if endpoints is None or service is None or meta.is_deleting(endpoints):
        return False
    if meta.labels(endpoints).get(SKIP_LABEL) == "true" or _LEADER in meta.annotations(endpoints):
        return False
    return not service.get("spec", {}).get("selector")


def skipped(endpoints: Obj, limit: int) -> int:
    """How many addresses are not mirrored, for that their subset has more than the limit."""
    counts = [
        len(subset.get("addresses") or []) + len(subset.get("notReadyAddresses") or [])
        for subset in endpoints.get("subsets") or []
    ]
    return sum(max(0, count - limit) for count in counts)


def endpoints_by_family(endpoints: Obj, limit: int) -> dict[str, list[tuple[list[Obj], Obj]]]:
    """Address type → (ports, endpoint) of every address."""
    found: dict[str, list[tuple[list[Obj], Obj]]] = {"IPv4": [], "IPv6": []}
    for subset in endpoints.get("subsets") or []:
        ports = [_port(port) for port in subset.get("ports") or []]
        both = [(a, True) for a in subset.get("addresses") or []]
        both += [(a, False) for a in subset.get("notReadyAddresses") or []]
        for address, ready in both[:limit]:
            found["IPv6" if is_ipv6(address["ip"]) else "IPv4"].append((ports, _endpoint(address, ready)))
    return found


def _port(port: Obj) -> Obj:
    made = {"name": port.get("name", ""), "protocol": port.get("protocol", "TCP"), "port": port["port"]}
    return {**made, "appProtocol": port["appProtocol"]} if port.get("appProtocol") else made


def _endpoint(address: Obj, ready: bool) -> Obj:
    endpoint: Obj = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for field in ("hostname", "targetRef", "nodeName"):
        if address.get(field):
            endpoint[field] = address[field]
    return endpoint


class EndpointSliceMirroringController(Controller):
    """Keeps mirrors of Endpoints."""

    name = "endpointslice-mirroring-controller"
    component = "endpoint-slice-mirroring-controller"
    account = "endpointslicemirroring-controller"
    workers = 4

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.expectations = Expectations()
        self.endpoints = self.watch("endpoints", self._endpoints_changed)
        self.services = self.watch("services", self._service_changed)
        self.slices = self.watch(SLICES, self._slice_changed, indexers={"service": by_service})

    def _endpoints_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        changed = new or old
        return (meta.key(changed),) if changed is not None else ()

    def _service_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        changed = new or old
        if changed is None:
            return ()
        if old is not None and new is not None and old["spec"].get("selector") == new["spec"].get("selector"):
            return ()
        return (meta.key(changed),)

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        changed = new or old
        if changed is None or meta.labels(changed).get(MANAGED_BY_LABEL) != MANAGER:
            return ()
        keys = by_service(changed)
        if old is None:
            for key in keys:
                self.expectations.creation_observed(key)
        return keys

    async def reconcile(self, key: str) -> None:
        endpoints = self.endpoints.get(key)
        existing = [s for s in self.slices.by_index("service", key) if meta.labels(s).get(MANAGED_BY_LABEL) == MANAGER]
        if endpoints is None or not should_mirror(endpoints, self.services.get(key)):
            self.expectations.forget(key)
            await asyncio.gather(*(self._delete(found) for found in existing))
            return
        if not self.expectations.satisfied(key):
            return
        limit = self.context.options.mirroring_max_endpoints_per_subset
        if left_out := skipped(endpoints, limit):
            text = (
                f"A max of {limit} addresses can be mirrored to EndpointSlices per Endpoints subset. "
                f"{left_out} addresses were skipped"
            )
            self.events.event(endpoints, "Warning", "TooManyAddressesToMirror", text)
        for address_type, wanted in endpoints_by_family(endpoints, limit).items():
            mine = sorted((s for s in existing if s.get("addressType") == address_type), key=slices.by_age)
            changes = slices.pack(mine, slices.group(wanted), limit)
            await self._apply(key, endpoints, address_type, mine, changes)

    async def _apply(
        self, key: str, endpoints: Obj, address_type: str, existing: list[Obj], changes: slices.Changes
    ) -> None:
        labels = {k: v for k, v in meta.labels(endpoints).items() if k not in _RESERVED_LABELS and k != HEADLESS_LABEL}
        labels |= {SERVICE_LABEL: meta.name(endpoints), MANAGED_BY_LABEL: MANAGER}
        annotations = {k: v for k, v in meta.annotations(endpoints).items() if k not in _RESERVED_ANNOTATIONS}
        handled = {meta.uid(found) for found in (*changes.update, *changes.delete)}
        changes.update += [
            found
            for found in existing
            if meta.uid(found) not in handled
            and (meta.labels(found) != labels or meta.annotations(found) != annotations)
        ]
        decorated: Obj = {"labels": labels, "annotations": annotations}
        for found in changes.update:
            await self.client.update(SLICES, {**found, "metadata": {**found["metadata"], **decorated}})
        if changes.create:
            self.expectations.expect(key, creations=len(changes.create))
        for done, (ports, members) in enumerate(changes.create):
            metadata = {
                "generateName": pods.generate_name(meta.name(endpoints)),
                "namespace": meta.namespace(endpoints),
                "ownerReferences": [meta.owner_reference(endpoints)],
                **decorated,
            }
            made = {"metadata": metadata, "addressType": address_type, "endpoints": members, "ports": ports}
            try:
                await self.client.create(SLICES, made)
            except (StatusError, ConnectionError) as error:
                self.expectations.creation_observed(key, len(changes.create) - done)
                if isinstance(error, StatusError) and is_namespace_terminating(error):
                    return
                raise
        await asyncio.gather(*(self._delete(found) for found in changes.delete))

    async def _delete(self, found: Obj) -> None:
        try:
            await self.client.delete(SLICES, meta.name(found), meta.namespace(found), uid=meta.uid(found))
        except StatusError as error:
            if error.code != 404:
                raise
