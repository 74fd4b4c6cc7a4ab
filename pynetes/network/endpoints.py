"""From Services and EndpointSlices to service ports with the endpoints that this node should use: pure functions.

Semantics are kube-proxy's: ready endpoints first, serving ones that terminate when there is none; `Local` traffic
policies keep to this node; topology hints narrow the cluster-wide choice only when every ready endpoint has them and
one is meant for this node or zone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

PROXY_NAME_LABEL = "service.kubernetes.io/service-proxy-name"
HEADLESS_LABEL = "service.kubernetes.io/headless"
ZONE_LABEL = "topology.kubernetes.io/zone"
DEFAULT_AFFINITY_SECONDS = 10800


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address and port behind a service port."""

    address: str
    port: int
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    node: str = ""
    zones: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Node:
    """The node whose rules are made."""

    name: str
    zone: str = ""


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a service, with everything that its rules depend on."""

    key: str  # namespace/name
    name: str
    protocol: str
    port: int
    node_port: int
    cluster_ips: tuple[str, ...]
    external_ips: tuple[str, ...]
    load_balancer_ips: tuple[str, ...]
    source_ranges: tuple[str, ...]
    external_local: bool
    internal_local: bool
    affinity_seconds: int
    health_check_port: int

    @property
    def is_external(self) -> bool:
        """Whether anything outside the cluster can address it."""
        return bool(self.node_port or self.external_ips or self.load_balancer_ips)


@dataclass(frozen=True, slots=True)
class Backends:
    """The endpoints chosen for a service port: for traffic to any node's endpoints, and to this node's only.

    `any_at_all` tells whether there is a usable endpoint anywhere, which decides between refusing and dropping.
    """

    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    any_at_all: bool = False


def is_proxied(service: Obj) -> bool:
    """Whether this agent makes rules for the service: not headless, not ExternalName, not someone else's."""
    spec = service.get("spec", {})
    return (
        spec.get("type") != "ExternalName"
        and spec.get("clusterIP", "None") not in ("", "None")
        and meta.labels(service).keys().isdisjoint((PROXY_NAME_LABEL, HEADLESS_LABEL))
    )


def service_ports(service: Obj) -> tuple[ServicePort, ...]:
    """The service's ports; none if it is not ours to proxy."""
    if not is_proxied(service):
        return ()
    spec = service["spec"]
    kind = spec.get("type", "ClusterIP")
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    affinity = 0
    if spec.get("sessionAffinity") == "ClientIP":
        config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
        affinity = config.get("timeoutSeconds") or DEFAULT_AFFINITY_SECONDS
    external_local = kind in ("NodePort", "LoadBalancer") or bool(spec.get("externalIPs"))
    external_local = external_local and spec.get("externalTrafficPolicy") == "Local"
    shared: dict[str, Any] = {
        "key": meta.key(service),
        "cluster_ips": _ipv4(spec.get("clusterIPs") or [spec["clusterIP"]]),
        "external_ips": _ipv4(spec.get("externalIPs") or []),
        "load_balancer_ips": _ipv4(i.get("ip", "") for i in ingress if i.get("ipMode", "VIP") == "VIP")
        if kind == "LoadBalancer"
        else (),
        "source_ranges": tuple(s.strip() for s in spec.get("loadBalancerSourceRanges") or [] if ":" not in s),
        "external_local": external_local,
        "internal_local": spec.get("internalTrafficPolicy") == "Local",
        "affinity_seconds": affinity,
        "health_check_port": spec.get("healthCheckNodePort", 0) if kind == "LoadBalancer" and external_local else 0,
    }
    return tuple(
        ServicePort(
            name=port.get("name", ""),
            protocol=port.get("protocol", "TCP"),
            port=port["port"],
            node_port=port.get("nodePort", 0) if kind in ("NodePort", "LoadBalancer") else 0,
            **shared,
        )
        for port in spec.get("ports") or []
    )


def _ipv4(addresses: Iterable[str]) -> tuple[str, ...]:
    return tuple(address for address in addresses if address and ":" not in address)


def endpoints_by_port(slices: Iterable[Obj]) -> dict[tuple[str, str], list[Endpoint]]:
    """All IPv4 endpoints in the slices by port name and protocol, without repeats, in a stable order."""
    found: dict[tuple[str, str], dict[str, Endpoint]] = {}
    for piece in slices:
        if piece.get("addressType", "IPv4") != "IPv4":
            continue
        for port in piece.get("ports") or []:
            number = port.get("port")
            if not number:
                continue
            entries = found.setdefault((port.get("name") or "", port.get("protocol") or "TCP"), {})
            for entry in piece.get("endpoints") or []:
                for address in (entry.get("addresses") or [])[:1]:
                    endpoint = _endpoint(entry, address, number)
                    known = entries.get(address)
                    if known is None or _rank(endpoint) > _rank(known):
                        entries[address] = endpoint
    return {port: sorted(entries.values(), key=lambda e: (e.address, e.port)) for port, entries in found.items()}


def _endpoint(entry: Mapping[str, Any], address: str, port: int) -> Endpoint:
    conditions = entry.get("conditions") or {}
    ready = conditions.get("ready", True)
    hints = entry.get("hints") or {}
    return Endpoint(
        address=address,
        port=port,
        ready=ready,
        serving=conditions.get("serving", ready),
        terminating=conditions.get("terminating", False),
        node=entry.get("nodeName") or "",
        zones=frozenset(zone["name"] for zone in hints.get("forZones") or []),
        nodes=frozenset(node["name"] for node in hints.get("forNodes") or []),
    )


def _rank(endpoint: Endpoint) -> tuple[bool, bool]:
    """Which of two entries for one address counts (a pod may be in two slices for a moment)."""
    return endpoint.ready, endpoint.serving


def choose(port: ServicePort, endpoints: list[Endpoint], node: Node) -> Backends:
    """The endpoints that this node sends the port's traffic to."""
    cluster: list[Endpoint] = []
    uses_cluster = not port.internal_local or (port.is_external and not port.external_local)
    uses_local = port.internal_local or (port.is_external and port.external_local)
    if uses_cluster:
        fits = _topology(endpoints, node)
        cluster = [e for e in endpoints if e.ready and fits(e)] or [e for e in endpoints if e.serving and e.terminating]
    local: list[Endpoint] = []
    if uses_local:
        here = [e for e in endpoints if e.node == node.name]
        local = [e for e in here if e.ready] or [e for e in here if e.serving and e.terminating]
    usable = any(e.ready or (e.serving and e.terminating) for e in endpoints)
    return Backends(tuple(cluster), tuple(local), usable)


@dataclass(frozen=True, slots=True)
class _Fits:
    """Whether an endpoint's hints allow it; everything is allowed when both sets are empty."""

    node: str = ""
    zone: str = ""

    def __call__(self, endpoint: Endpoint) -> bool:
        if self.node:
            return self.node in endpoint.nodes
        return not self.zone or self.zone in endpoint.zones


def _topology(endpoints: list[Endpoint], node: Node) -> _Fits:
    ready = [e for e in endpoints if e.ready]
    if ready and all(e.nodes for e in ready) and any(node.name in e.nodes for e in ready):
        return _Fits(node=node.name)
    if ready and node.zone and all(e.zones for e in ready) and any(node.zone in e.zones for e in ready):
        return _Fits(zone=node.zone)
    return _Fits()


def local_ready(endpoints: Iterable[Endpoint], node: Node) -> set[str]:
    """The addresses of this node's ready endpoints, which is what load balancers are told."""
    return {e.address for e in endpoints if e.ready and e.node == node.name}
