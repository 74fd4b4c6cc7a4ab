"""Endpoints: the addresses behind each Service that has a selector, one object per Service."""

from collections.abc import Iterable

from pynetes.controllers import pods
from pynetes.controllers.controller import Context, Controller, is_namespace_terminating, own_key
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
from pynetes.machinery import meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

MANAGED_BY_LABEL = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"
_OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"
_CAPACITY = 1000
_LEADER = "control-plane.alpha.kubernetes.io/leader"

_Member = tuple[str, str, bool]  # address, pod uid, ready


def build_subsets(service: Obj, chosen: Iterable[Obj]) -> list[Obj]:
    """The subsets for these pods: ports that are served by the same addresses share one."""
    spec = service["spec"]
    families = spec.get("ipFamilies") or []
    ipv6 = bool(families) and families[0] == "IPv6"
    not_ready_too = publishes_not_ready(service)
    portless = not spec.get("ports") and is_headless(service)
    addresses: dict[_Member, Obj] = {}
    by_port: dict[tuple[tuple[str, object], ...], set[_Member]] = {}
    for pod in chosen:
        ip = address_of(pod, ipv6=ipv6)
        if ip is None or not should_be_listed(pod, include_terminating=not_ready_too):
            continue
        member = (ip, meta.uid(pod), not_ready_too or pods.is_ready(pod))
        for port in [{}] if portless else endpoint_ports(service, pod):
            plain = {k: v for k, v in port.items() if v != ""}
            by_port.setdefault(tuple(sorted(plain.items())), set()).add(member)
            addresses[member] = _address(service, pod, ip)
    shared: dict[frozenset[_Member], list[Obj]] = {}
    for port_key in sorted(by_port, key=str):
        shared.setdefault(frozenset(by_port[port_key]), []).append(dict(port_key))
    return [_subset(members, ports, addresses) for members, ports in shared.items()]


def _subset(members: Iterable[_Member], ports: list[Obj], addresses: dict[_Member, Obj]) -> Obj:
    subset: Obj = {}
    ordered = sorted(members)
    for field, wanted in (("addresses", True), ("notReadyAddresses", False)):
        found = [addresses[member] for member in ordered if member[2] == wanted]
        if found:
            subset[field] = found
    if any(ports):
        subset["ports"] = ports
    return subset


def _address(service: Obj, pod: Obj, ip: str) -> Obj:
    address: Obj = {"ip": ip}
    name = hostname(service, pod)
    if name:
        address["hostname"] = name
    if pods.node_name(pod):
        address["nodeName"] = pods.node_name(pod)
    return {**address, "targetRef": target_ref(pod)}


def truncate(subsets: list[Obj]) -> bool:
    """Cut `subsets` down to 1000 addresses, the ready ones first to stay; whether anything was cut."""
    ready = sum(len(s.get("addresses", ())) for s in subsets)
    not_ready = sum(len(s.get("notReadyAddresses", ())) for s in subsets)
    if ready + not_ready <= _CAPACITY:
        return False
    for field, room in (("addresses", _CAPACITY), ("notReadyAddresses", max(0, _CAPACITY - ready))):
        for subset in subsets:
            kept = subset.get(field, [])[:room]
            room -= len(kept)
            subset.pop(field, None)
            if kept:
                subset[field] = kept
    return True


def wanted_labels(service: Obj) -> dict[str, str]:
    """The service's labels and the controller's own."""
    labels = {k: v for k, v in meta.labels(service).items() if k != HEADLESS_LABEL}
    if is_headless(service):
        labels[HEADLESS_LABEL] = ""
    return labels | {MANAGED_BY_LABEL: MANAGER}


class EndpointsController(Controller):
    """Keeps the Endpoints object of each Service."""

    name = "endpoints-controller"
    component = "endpoint-controller"
    account = "endpoint-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.times = TriggerTimes()
        self.services = self.watch("services", own_key)
        self.pods = self.watch("pods", affected_services(self.services))
        self.endpoints = self.watch("endpoints", self._changed)

    def _changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        """Repair what another hand changed; what was left behind by a service that is gone is ours to remove."""
        subject = new or old
        if subject is None or _LEADER in meta.annotations(subject):
            return ()
        if new is None or (old is None and meta.labels(new).get(MANAGED_BY_LABEL) == MANAGER) or old is not None:
            return (meta.key(subject),)
        return ()

    async def reconcile(self, key: str) -> None:
        service = self.services.get(key)
        current = self.endpoints.get(key)
        if service is None:
            self.times.forget(key)
            if current is not None and meta.labels(current).get(MANAGED_BY_LABEL) == MANAGER:
                await self._remove(current)
            return
        if not service["spec"].get("selector") or service["spec"].get("type") == "ExternalName":
            return
        chosen = [pod for pod in self.pods.list(meta.namespace(service)) if selects(service, pod)]
        subsets = build_subsets(service, chosen)
        truncated = truncate(subsets)
        moment = self.times.observe(service, chosen)
        labels = wanted_labels(service)
        annotations = dict(meta.annotations(current)) if current else {}
        same_capacity = (annotations.get(_OVER_CAPACITY) == "truncated") == truncated
        if current and (current.get("subsets") or []) == subsets and meta.labels(current) == labels and same_capacity:
            return
        for annotation, value in ((LAST_CHANGE, moment), (_OVER_CAPACITY, "truncated" if truncated else None)):
            if value:
                annotations[annotation] = value
            else:
                annotations.pop(annotation, None)
        await self._write(service, current, subsets, labels, annotations)

    async def _write(
        self, service: Obj, current: Obj | None, subsets: list[Obj], labels: dict[str, str], annotations: dict[str, str]
    ) -> None:
        metadata = {"name": meta.name(service), "namespace": meta.namespace(service)}
        base = current["metadata"] if current else metadata
        made = {"metadata": {**base, "labels": labels, "annotations": annotations}, "subsets": subsets}
        try:
            if current is None:
                await self.client.create("endpoints", made)
            else:
                await self.client.update("endpoints", made)
        except StatusError as error:
            if current is None and is_namespace_terminating(error):
                return
            if error.code not in (404, 409):
                verb = "create endpoint for service" if current is None else "update endpoint"
                self.events.event(
                    made if current is None else current,
                    "Warning",
                    "FailedToCreateEndpoint" if current is None else "FailedToUpdateEndpoint",
                    f"Failed to {verb} {meta.key(service)}: {error.message}",
                )
            raise

    async def _remove(self, endpoints: Obj) -> None:
        try:
            await self.client.delete(
                "endpoints", meta.name(endpoints), meta.namespace(endpoints), uid=meta.uid(endpoints)
            )
        except StatusError as error:
            if error.code != 404:
                raise
