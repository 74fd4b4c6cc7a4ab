"""EndpointSlices: the addresses behind each Service with a selector, a hundred to an object, per address family.

Unlike Endpoints they also list pods that are terminating, with conditions that say what a proxy may do with them.
"""

import asyncio
from collections.abc import Iterable

from pynetes.controllers import pods, slices, topology_hints
from pynetes.controllers.controller import Context, Controller, is_namespace_terminating, own_key
from pynetes.controllers.expectations import Expectations
from pynetes.controllers.service_pods import (
    HEADLESS_LABEL,
    LAST_CHANGE,
    TriggerTimes,
    address_of,
    affected_services,
    endpoint_ports,
    hostname,
    is_headless,
    publishes_not_ready,
    selects,
    should_be_listed,
    target_ref,
)
from pynetes.controllers.status import compact
from pynetes.machinery import meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

SERVICE_LABEL = "kubernetes.io/service-name"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
ZONE_LABEL = "topology.kubernetes.io/zone"
SLICES = "endpointslices.discovery.k8s.io"


def build_endpoint(service: Obj, pod: Obj, zone: str | None, *, ipv6: bool) -> Obj | None:
    """The endpoint for a pod, or None if it has no address of the family."""
    ip = address_of(pod, ipv6=ipv6)
    if ip is None:
        return None
    serving, terminating = pods.is_ready(pod), meta.is_deleting(pod)
    endpoint: Obj = {
        "addresses": [ip],
        "conditions": {
            "ready": publishes_not_ready(service) or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
    }
    name, node = hostname(service, pod), pods.node_name(pod)
    if name:
        endpoint["hostname"] = name
    endpoint["targetRef"] = target_ref(pod)
    if node:
        endpoint["nodeName"] = node
    if zone:
        endpoint["zone"] = zone
    hints = _hints(service, endpoint)
    return {**endpoint, "hints": hints} if hints else endpoint


def _hints(service: Obj, endpoint: Obj) -> Obj | None:
    """Where traffic for the endpoint should come from, as `trafficDistribution` wishes."""
    wish = None if topology_hints.is_wanted(service) else service["spec"].get("trafficDistribution")
    if wish not in ("PreferClose", "PreferSameZone", "PreferSameNode") or not endpoint["conditions"]["ready"]:
        return None
    hints: Obj = {}
    if endpoint.get("zone"):
        hints["forZones"] = [{"name": endpoint["zone"]}]
    if wish == "PreferSameNode" and endpoint.get("nodeName"):
        hints["forNodes"] = [{"name": endpoint["nodeName"]}]
    return hints or None


def families(service: Obj, chosen: Iterable[Obj]) -> list[str]:
    """The address types of the service's slices."""
    spec = service["spec"]
    if spec.get("ipFamilies"):
        return [*spec["ipFamilies"]]
    if spec.get("clusterIP") and spec["clusterIP"] != "None":
        return ["IPv6" if ":" in spec["clusterIP"] else "IPv4"]
    return ["IPv4"]


def slice_labels(service: Obj) -> dict[str, str]:
    """The labels of the service's slices: its own, and those by which they are found."""
    reserved = (HEADLESS_LABEL, SERVICE_LABEL, MANAGED_BY_LABEL)
    labels = {k: v for k, v in meta.labels(service).items() if k not in reserved}
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    return labels | {SERVICE_LABEL: meta.name(service), MANAGED_BY_LABEL: MANAGER}


def by_service(found: Obj) -> list[str]:
    """The indexer of slices by `namespace/service`."""
    service = meta.labels(found).get(SERVICE_LABEL)
    return [f"{meta.namespace(found)}/{service}"] if service else []


class EndpointSliceController(Controller):
    """Keeps the EndpointSlices of each Service."""

    name = "endpointslice-controller"
    component = "endpoint-slice-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.times = TriggerTimes()
        self.expectations = Expectations()
        self.services = self.watch("services", own_key)
        self.pods = self.watch("pods", affected_services(self.services))
        self.slices = self.watch(SLICES, self._slice_changed, indexers={"service": by_service})
        self.nodes = self.watch("nodes", self._node_changed)
        self._without_hints: dict[tuple[str, str], str] = {}  # and why, of services that would have some

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        keys: dict[str, None] = {}
        for found in (old, new):
            if found is not None and meta.labels(found).get(MANAGED_BY_LABEL) == MANAGER:
                keys |= dict.fromkeys(by_service(found))
        if old is None:
            for key in keys:
                self.expectations.creation_observed(key)
        return keys

    def _node_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        """A node that appears or moves zone changes the endpoints of the pods on it, and every zone's part of all."""
        counted = [topology_hints.zone_and_cpu(node) if node is not None else None for node in (old, new)]
        keys = {meta.key(service) for service in self.services.list() if topology_hints.is_wanted(service)}
        return [*self._endpoints_on(old, new), *(keys if counted[0] != counted[1] else ())]

    def _endpoints_on(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        if new is None or (old is not None and meta.labels(old).get(ZONE_LABEL) == meta.labels(new).get(ZONE_LABEL)):
            return ()
        spaces = {meta.namespace(pod) for pod in self.pods.list() if pods.node_name(pod) == meta.name(new)}
        return [meta.key(service) for space in spaces for service in self.services.list(space)]

    async def reconcile(self, key: str) -> None:
        service = self.services.get(key)
        existing = [s for s in self.slices.by_index("service", key) if meta.labels(s).get(MANAGED_BY_LABEL) == MANAGER]
        if service is None:
            self.times.forget(key)
            self.expectations.forget(key)
            for family in ("IPv4", "IPv6"):
                self._without_hints.pop((key, family), None)
            await asyncio.gather(*(self._delete(found) for found in existing))
            return
        if not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
            return
        if meta.is_deleting(service) or not self.expectations.satisfied(key):
            return
        existing = [found for found in existing if not meta.is_deleting(found)]
        chosen = [pod for pod in self.pods.list(meta.namespace(service)) if selects(service, pod)]
        moment = self.times.observe(service, chosen)
        types = families(service, chosen)
        strays = [found for found in existing if found.get("addressType") not in types]
        for address_type in types:
            mine = sorted((s for s in existing if s.get("addressType") == address_type), key=slices.by_age)
            found = [*self._endpoints(service, chosen, ipv6=address_type == "IPv6")]
            wanted = slices.group(self._with_hints(service, address_type, found))
            changes = slices.pack(mine, wanted, self.context.options.max_endpoints_per_slice)
            await self._apply(service, address_type, mine, slices.with_placeholder(mine, changes), moment)
        await asyncio.gather(*(self._delete(found) for found in strays))

    def _endpoints(self, service: Obj, chosen: list[Obj], *, ipv6: bool) -> Iterable[tuple[list[Obj], Obj]]:
        for pod in chosen:
            if not should_be_listed(pod, include_terminating=True):
                continue
            node = self.nodes.get(pods.node_name(pod))
            if pods.node_name(pod) and node is None:
                continue
            zone = meta.labels(node).get(ZONE_LABEL) if node else None
            endpoint = build_endpoint(service, pod, zone, ipv6=ipv6)
            ports = endpoint_ports(service, pod)
            if endpoint is not None and (ports or is_headless(service)):
                yield ports, endpoint

    def _with_hints(
        self, service: Obj, address_type: str, found: list[tuple[list[Obj], Obj]]
    ) -> list[tuple[list[Obj], Obj]]:
        """The endpoints with zones to serve, if the service asks for that and it can be done; an event says if not."""
        place = meta.key(service), address_type
        if not topology_hints.is_wanted(service):
            self._without_hints.pop(place, None)
            return found
        reason, hinted = "", found
        try:
            endpoints = topology_hints.give([endpoint for _, endpoint in found], self.nodes.list())
            hinted = [(ports, endpoint) for (ports, _), endpoint in zip(found, endpoints, strict=True)]
        except topology_hints.NoHints as error:
            reason = str(error)
        if self._without_hints.get(place) != reason:
            self._without_hints[place] = reason
            outcome = ("Warning", "TopologyAwareHintsDisabled") if reason else ("Normal", "TopologyAwareHintsEnabled")
            text = reason or "Topology Aware Hints has been enabled"
            self.events.event(service, *outcome, f"{text}, addressType: {address_type}")
        return hinted

    async def _apply(
        self, service: Obj, address_type: str, existing: list[Obj], changes: slices.Changes, moment: str | None
    ) -> None:
        labels = slice_labels(service)
        stale = {meta.uid(found) for found in (*changes.update, *changes.delete)}
        for found in existing:
            if meta.labels(found) != labels and meta.uid(found) not in stale:
                changes.update.append(found)
        for found in changes.update:
            await self.client.update(SLICES, {**found, "metadata": self._metadata(found["metadata"], labels, moment)})
        if changes.create:
            self.expectations.expect(meta.key(service), creations=len(changes.create))
        for made_already, (ports, endpoints) in enumerate(changes.create):
            metadata = {
                "generateName": pods.generate_name(meta.name(service)),
                "namespace": meta.namespace(service),
                "ownerReferences": [meta.owner_reference(service)],
            }
            made = {
                "metadata": self._metadata(metadata, labels, moment),
                "addressType": address_type,
                "endpoints": endpoints,
                "ports": ports,
            }
            try:
                await self.client.create(SLICES, made)
            except (StatusError, ConnectionError) as error:
                self.expectations.creation_observed(meta.key(service), len(changes.create) - made_already)
                if not isinstance(error, StatusError):
                    raise
                if is_namespace_terminating(error):
                    return
                self.events.event(
                    service,
                    "Warning",
                    "FailedToUpdateEndpointSlices",
                    f"Error updating Endpoint Slices for Service {meta.key(service)}: failed to create EndpointSlice "
                    f"for Service {meta.key(service)}: {error.message}",
                )
                raise
        await asyncio.gather(*(self._delete(found) for found in changes.delete))

    @staticmethod
    def _metadata(metadata: Obj, labels: dict[str, str], moment: str | None) -> Obj:
        annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != LAST_CHANGE}
        if moment:
            annotations[LAST_CHANGE] = moment
        return compact({**metadata, "labels": labels, "annotations": annotations})

    async def _delete(self, found: Obj) -> None:
        try:
            await self.client.delete(SLICES, meta.name(found), meta.namespace(found), uid=meta.uid(found))
        except StatusError as error:
            if error.code != 404:
                raise
