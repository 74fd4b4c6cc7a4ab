"""What services look like in nftables: pure functions from service ports and endpoints to table fragments.

Every address and port at which a service can be reached (cluster IP, load balancer or external IP, node address with
node port) is a frontend, and a frontend is nothing but elements of a few maps:

    services   address . protocol . port          → the chain to go to
    endpoints  address . protocol . port . slot   → endpoint address . port

The chains are shared by all services that look alike: `pick-3` draws a slot below three and sends the connection to
the endpoint found there; `external-pick-3` marks it for masquerading first. So neither a packet nor a change pays for
the number of services, and a change of endpoints is a few elements in one transaction.

Client affinity is one map for all (client . frontend → endpoint id, with a timeout); the id goes through the
connection's mark, and an id that no longer has an endpoint is forgotten by the packet that finds out.
"""

import ipaddress
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from pynetes.network import nft
from pynetes.network.endpoints import Backends, Endpoint, ServicePort
from pynetes.network.nft import (
    DROP,
    MASQUERADE,
    PROTOCOLS,
    R0,
    R1,
    R2,
    R3,
    R4,
    REJECT,
    Rule,
    SetSpec,
    goto,
    jump,
    verdict,
)
from pynetes.network.table import Fragment

TABLE = "pynetes"
MASQUERADE_MARK = 0x4000

_FRONTEND = ("ipv4_addr", "inet_proto", "inet_service")
SETS = {
    "services": SetSpec(_FRONTEND, ("verdict",)),
    "endpoints": SetSpec((*_FRONTEND, "mark"), ("ipv4_addr", "inet_service")),
    "endpoint-ids": SetSpec((*_FRONTEND, "mark"), ("mark",)),
    "endpoints-by-id": SetSpec((*_FRONTEND, "mark"), ("ipv4_addr", "inet_service")),
    "affinity": SetSpec(("ipv4_addr", *_FRONTEND), ("mark",), timeout_ms=10_800_000, size=1 << 20),
    "no-endpoint-services": SetSpec(_FRONTEND, ("verdict",)),
    "firewalls": SetSpec(_FRONTEND, ("verdict",)),
    "cluster-ips": SetSpec(("ipv4_addr",)),
    "routed-away": SetSpec(("ipv4_addr",)),
    "hairpin": SetSpec(("ipv4_addr", "ipv4_addr")),
    "policy-ingress": SetSpec(("ipv4_addr",), ("verdict",)),
    "policy-egress": SetSpec(("ipv4_addr",), ("verdict",)),
}


@dataclass(frozen=True, slots=True)
class Ranges:
    """The address ranges that the rules know about; an empty string means unknown."""

    cluster: str = ""
    services: tuple[str, ...] = ()
    load_balancers: str = ""
    masquerade_pods: bool = False  # the agent itself must hide pod addresses from the world (real machines)


# --- building blocks ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def in_range(cidr: str, *, source: bool, negate: bool = False) -> tuple[bytes, ...]:
    """Go on if the source (or destination) address is in the range, or is not."""
    network = ipaddress.IPv4Network(cidr, strict=False)
    field = nft.ip_saddr(R0) if source else nft.ip_daddr(R0)
    masked = () if network.prefixlen == 32 else (nft.bitwise(R0, network.netmask.packed, bytes(4)),)
    return field, *masked, nft.compare(R0, nft.NEQ if negate else nft.EQ, network.network_address.packed)


def ct_state(*bits: int) -> tuple[bytes, ...]:
    """Go on if the connection is in one of the states."""
    return (
        nft.conntrack(nft.CT_STATE, R0),
        nft.bitwise(R0, nft.host32(sum(bits)), bytes(4)),
        nft.compare(R0, nft.NEQ, bytes(4)),
    )


def _status(bit: int) -> tuple[bytes, ...]:
    return (
        nft.conntrack(nft.CT_STATUS, R0),
        nft.bitwise(R0, nft.host32(bit), bytes(4)),
        nft.compare(R0, nft.NEQ, bytes(4)),
    )


@lru_cache(maxsize=8)
def protocol_is(number: int) -> tuple[bytes, ...]:
    """Go on if this is the transport protocol."""
    return nft.l4proto(R0), nft.compare(R0, nft.EQ, bytes((number,)))


_TO_FRONTEND = (nft.ip_daddr(R0), nft.l4proto(R1), nft.dport(R2))
_MARK = (
    nft.meta(nft.META_MARK, R0),
    nft.bitwise(R0, nft.host32(0xFFFFFFFF ^ MASQUERADE_MARK), nft.host32(MASQUERADE_MARK)),
    nft.set_mark(R0),
)
_HAS_MARK = (
    nft.meta(nft.META_MARK, R0),
    nft.bitwise(R0, nft.host32(MASQUERADE_MARK), bytes(4)),
    nft.compare(R0, nft.EQ, nft.host32(MASQUERADE_MARK)),
)
_CLEAR_MARK = (
    nft.meta(nft.META_MARK, R0),
    nft.bitwise(R0, nft.host32(0xFFFFFFFF), nft.host32(MASQUERADE_MARK)),
    nft.set_mark(R0),
)
_NEW = ct_state(nft.CT_NEW)
_TO_CLUSTER_IP = (nft.ip_daddr(R0), nft.lookup("cluster-ips", R0))


# --- the skeleton -------------------------------------------------------------------------------------------------


def skeleton(ranges: Ranges) -> Fragment:
    """The chains and sets that are always there."""
    part = Fragment(sets=dict(SETS))
    cluster = ranges.cluster
    from_outside = (*_TO_CLUSTER_IP, *in_range(cluster, source=True, negate=True), *_MARK) if cluster else ()
    part.chain(
        "services",
        *_some(from_outside),
        (*_TO_FRONTEND, nft.vmap("services", R0)),
    )
    to_services: Rule = (verdict(jump("services")),)
    part.chain("nat-prerouting", to_services, hook=("nat", nft.PREROUTING, -100))
    part.chain("nat-output", to_services, hook=("nat", nft.OUTPUT, -100))
    pod_egress: Rule = ()
    if ranges.masquerade_pods and cluster:
        pod_egress = (*in_range(cluster, source=True), *in_range(cluster, source=False, negate=True), MASQUERADE)
    part.chain(
        "nat-postrouting",
        (*_HAS_MARK, *_CLEAR_MARK, MASQUERADE),
        (*_status(nft.CT_STATUS_DNAT), nft.ip_saddr(R0), nft.ip_daddr(R1), nft.lookup("hairpin", R0), MASQUERADE),
        *_some(pod_egress),
        hook=("nat", nft.POSTROUTING, 100),
    )

    part.chain("reject", (REJECT,))
    firewall = (*_NEW, *_TO_FRONTEND, nft.vmap("firewalls", R0))
    part.chain("filter-prerouting", firewall, hook=("filter", nft.PREROUTING, -110))
    part.chain("filter-output-before-nat", firewall, hook=("filter", nft.OUTPUT, -110))
    unserved = (*_TO_FRONTEND, nft.vmap("no-endpoint-services", R0))
    part.chain("no-endpoints", unserved)
    part.chain(
        "nowhere",  # addresses that no interface has: nothing may leave the node with them, or it would come back
        (nft.address_type_is_local(False), verdict(nft.RETURN)),
        (*_TO_CLUSTER_IP, REJECT),
        *((*in_range(services, source=False), verdict(DROP)) for services in ranges.services),
        (nft.ip_daddr(R0), nft.lookup("routed-away", R0), verdict(nft.RETURN)),
        *_some((*in_range(ranges.load_balancers, source=False), REJECT) if ranges.load_balancers else ()),
    )
    check: Rule = (*_NEW, verdict(jump("no-endpoints")))
    nowhere: Rule = (*_NEW, verdict(jump("nowhere")))
    # NetworkPolicy: pods that no policy isolates are in neither map. Egress and ingress are two base chains, so that
    # what one accepts the other still sees. Replies pass, and so does what a pod sends to itself through a service.
    established: Rule = (*ct_state(nft.CT_ESTABLISHED, nft.CT_RELATED), verdict(nft.ACCEPT))
    to_itself: Rule = (nft.ip_saddr(R0), nft.ip_daddr(R1), nft.lookup("hairpin", R0), verdict(nft.ACCEPT))
    egress: Rule = (nft.ip_saddr(R0), nft.vmap("policy-egress", R0))
    ingress: Rule = (nft.ip_daddr(R0), nft.vmap("policy-ingress", R0))
    part.chain("filter-input", check, established, egress, hook=("filter", nft.INPUT, 0))
    part.chain("filter-forward", check, nowhere, established, to_itself, egress, hook=("filter", nft.FORWARD, 0))
    part.chain("filter-forward-ingress", established, to_itself, ingress, hook=("filter", nft.FORWARD, 10))
    part.chain("filter-output", check, nowhere, hook=("filter", nft.OUTPUT, 0))
    return part


def _some(rule: Rule) -> tuple[Rule, ...]:
    return (rule,) if rule else ()


# --- one service --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Here:
    """What service rules need to know about the node: where node ports answer, and what it answers by itself."""

    ranges: Ranges
    addresses: tuple[str, ...] = ()
    answered: frozenset[str] = frozenset()


def service_fragment(ports: Iterable[tuple[ServicePort, Backends]], here: Here) -> Fragment:
    """Everything that a service needs in the table."""
    part = Fragment()
    for port, backends in ports:
        if here.answered.isdisjoint(port.cluster_ips):
            _add_port(part, port, backends, here)
    return part


def _add_port(part: Fragment, port: ServicePort, backends: Backends, here: Here) -> None:
    # No endpoint at all is an error to tell the client; none on this node only means: try another node.
    refusal = DROP if backends.any_at_all else goto("reject")
    internal = backends.local if port.internal_local else backends.cluster
    for address in port.cluster_ips:
        part.element("cluster-ips", nft.ip(address))
        frontend = _frontend(address, port.protocol, port.port)
        if internal:
            part.element("services", frontend, goto(_pick(part, frontend, internal, 0, port)))
        else:
            part.element("no-endpoint-services", frontend, refusal)
    for endpoint in (*backends.cluster, *backends.local):
        part.element("hairpin", nft.ip(endpoint.address) * 2)
    for address, number in _outside(port, here):
        frontend = _frontend(address, port.protocol, number)
        chain = _external(part, frontend, backends, port, here.ranges)
        if chain is not None:
            part.element("services", frontend, goto(chain))
        if address in routed_away(port, backends):
            part.element("routed-away", nft.ip(address))
        elif not (backends.local if port.external_local else backends.cluster):
            part.element("no-endpoint-services", frontend, refusal)
    if port.source_ranges and port.load_balancer_ips:
        _add_firewall(part, port)


def routed_away(port: ServicePort, backends: Backends) -> dict[str, set[str]]:
    """Load balancer addresses whose traffic must go to other nodes, and to which.

    With a `Local` policy only nodes with endpoints may take it. A cloud's load balancer knows them from the health
    check port; here the traffic comes to one node, which sends it on as it is, by route, if it cannot take it itself.
    """
    if not port.external_local or backends.local or not backends.cluster:
        return {}
    nodes = {endpoint.node for endpoint in backends.cluster if endpoint.node}
    return dict.fromkeys(port.load_balancer_ips, nodes) if nodes else {}


def _frontend(address: str, protocol: str, port: int) -> bytes:
    return nft.ip(address) + nft.proto(PROTOCOLS[protocol]) + nft.port(port)


def frontends(port: ServicePort, here: Here) -> list[tuple[str, int]]:
    """Every address and port number at which the port is reached."""
    return [*((address, port.port) for address in port.cluster_ips), *_outside(port, here)]


def internal_frontend(part: Fragment, address: str, port: int, target: str, target_port: int) -> None:
    """Lead an address and TCP port to one place, with the client's address as it is."""
    place = _frontend(address, "TCP", port)
    part.element("endpoints", place + nft.host32(0), nft.ip(target) + nft.port(target_port))
    part.element("services", place, goto("pick-1"))
    part.shared["pick-1"] = _plain((*_TO_FRONTEND, nft.random(1, R3, 0)))


def _plain(draw: Rule) -> tuple[Rule, ...]:
    return ((*draw, nft.lookup("endpoints", R0, R0), nft.dnat(R0, R1)),)


def _outside(port: ServicePort, here: Here) -> list[tuple[str, int]]:
    """Where the outside world reaches the port."""
    found = [(address, port.port) for address in (*port.external_ips, *port.load_balancer_ips)]
    if port.node_port:
        found += [(address, port.node_port) for address in here.addresses]
    return found


def _external(part: Fragment, frontend: bytes, backends: Backends, port: ServicePort, ranges: Ranges) -> str | None:
    """The chain for traffic from outside, or None if nothing is behind the frontend for anybody."""
    cluster = _pick(part, frontend, backends.cluster, 0, port) if backends.cluster else None
    if not port.external_local:
        if cluster is None:
            return None
        name = f"external-{cluster}"
        part.shared[name] = ((*_MARK, verdict(goto(cluster))),)
        return name
    if not (backends.cluster or backends.local):
        return None
    # Pods and the node itself are inside already: the policy is about others' traffic, so theirs may go anywhere.
    local = _pick(part, frontend, backends.local, len(backends.cluster), port) if backends.local else None
    rules: list[Rule] = []
    if cluster is not None:
        if ranges.cluster:
            rules.append((*in_range(ranges.cluster, source=True), verdict(goto(cluster))))
        rules.append((nft.address_type_is_local(True), *_MARK, verdict(goto(cluster))))
    if local is not None:
        rules.append((verdict(goto(local)),))
    name = f"external-{cluster or 'none'}-local-{local or 'none'}"
    part.shared[name] = tuple(rules)
    return name


def _pick(part: Fragment, frontend: bytes, endpoints: tuple[Endpoint, ...], offset: int, port: ServicePort) -> str:
    """Put the endpoints into the frontend's slots from `offset` on; returns the chain that picks one of them."""
    count = len(endpoints)
    shape = f"{count}-after-{offset}" if offset else f"{count}"
    draw = (*_TO_FRONTEND, nft.random(count, R3, offset))
    if not port.affinity_seconds:
        for slot, endpoint in enumerate(endpoints, offset):
            part.element("endpoints", frontend + nft.host32(slot), nft.ip(endpoint.address) + nft.port(endpoint.port))
        part.shared[f"pick-{shape}"] = _plain(draw)
        return f"pick-{shape}"
    for slot, endpoint in enumerate(endpoints, offset):
        identity = nft.host32(zlib.crc32(f"{endpoint.address}:{endpoint.port} {bool(offset)}".encode()) or 1)
        part.element("endpoint-ids", frontend + nft.host32(slot), identity)
        part.element("endpoints-by-id", frontend + identity, nft.ip(endpoint.address) + nft.port(endpoint.port))
    name = f"sticky-{port.affinity_seconds}s-{shape}"
    part.shared[name] = _sticky(draw, port.affinity_seconds * 1000)
    return name


def _sticky(draw: Rule, timeout_ms: int) -> tuple[Rule, ...]:
    client = (nft.ip_saddr(R0), nft.ip_daddr(R1), nft.l4proto(R2), nft.dport(R3))
    identity = nft.conntrack(nft.CT_MARK, R4)
    remember: Rule = (*client, identity, nft.remember("affinity", R0, R4, timeout_ms))
    known: Rule = (nft.conntrack(nft.CT_MARK, R0), nft.compare(R0, nft.NEQ, bytes(4)))
    send: Rule = (
        *_TO_FRONTEND,
        nft.conntrack(nft.CT_MARK, R3),
        nft.lookup("endpoints-by-id", R0, R0),
        nft.dnat(R0, R1),
    )
    return (
        (*client, nft.lookup("affinity", R0, R0), nft.set_conntrack_mark(R0)),
        (*known, *remember),
        (*known, *send),
        (*client, identity, nft.forget("affinity", R0, R4)),
        (*draw, nft.lookup("endpoint-ids", R0, R0), nft.set_conntrack_mark(R0)),
        remember,
        send,
    )


def _add_firewall(part: Fragment, port: ServicePort) -> None:
    """Only `loadBalancerSourceRanges` may come in through the load balancer's addresses."""
    name = f"firewall-{port.key}/{port.protocol.lower()}/{port.port}"
    allowed: list[Rule] = [(*in_range(source, source=True), verdict(nft.RETURN)) for source in port.source_ranges]
    part.chain(name, *allowed, (verdict(DROP),))
    for address in port.load_balancer_ips:
        part.element("firewalls", _frontend(address, port.protocol, port.port), goto(name))
