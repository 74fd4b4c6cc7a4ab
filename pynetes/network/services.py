"""The service proxy of one node: what changed in the cache becomes one transaction in the kernel.

Callbacks only note which services are touched; `sync` turns each into a fragment, writes the transaction, and then
deals with what follows from it (UDP flows that must be forgotten, health checks). While one transaction is under way
further changes gather for the next, so a burst costs two and a single change waits for nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable

from pynetes.machinery.meta import Obj
from pynetes.network import nft, rules
from pynetes.network.conntrack import Conntrack, Frontend, frontend
from pynetes.network.endpoints import Backends, Node, ServicePort, choose, endpoints_by_port, local_ready, service_ports
from pynetes.network.health import Check
from pynetes.network.table import Plan

log = logging.getLogger(__name__)


class ServiceProxy:
    """All services' fragments of the table, as `node` needs them.

    `service` and `slices` read the caches: the service with this key, the EndpointSlices of it.
    """

    def __init__(
        self,
        plan: Plan,
        node: Node,
        here: rules.Here,
        service: Callable[[str], Obj | None],
        slices: Callable[[str], Iterable[Obj]],
    ) -> None:
        self._plan = plan
        self._node = node
        self._here = here
        self._service = service
        self._slices = slices
        self._udp: dict[str, dict[Frontend, frozenset[bytes]]] = {}
        self._checks: dict[str, Check] = {}
        self._away: dict[str, dict[str, set[str]]] = {}
        plan.put("", rules.skeleton(here.ranges))

    def place(self, node: Node, here: rules.Here) -> bool:
        """Take over what is known about this node; returns whether that touches services."""
        changed = (node, here) != (self._node, self._here)
        self._node, self._here = node, here
        return changed

    def render(self, key: str) -> dict[Frontend, frozenset[bytes]]:
        """Put the service's present state into the plan; returns its UDP frontends if their endpoints shrank."""
        service = self._service(key)
        ports = service_ports(service) if service is not None else ()
        if not ports:
            self._plan.put(f"service {key}", None)
            self._checks.pop(key, None)
            self._away.pop(key, None)
            gone = self._udp.pop(key, {})
            return dict.fromkeys(gone, frozenset())
        endpoints = endpoints_by_port(self._slices(key))
        chosen = [(port, choose(port, endpoints.get((port.name, port.protocol), []), self._node)) for port in ports]
        self._plan.put(f"service {key}", rules.service_fragment(chosen, self._here))
        away = {ip: nodes for port, backends in chosen for ip, nodes in rules.routed_away(port, backends).items()}
        if away:
            self._away[key] = away
        else:
            self._away.pop(key, None)
        if ports[0].health_check_port:
            here = {address for found in endpoints.values() for address in local_ready(found, self._node)}
            self._checks[key] = Check(ports[0].health_check_port, len(here))
        else:
            self._checks.pop(key, None)
        return self._udp_changes(key, chosen)

    def away(self) -> dict[str, set[str]]:
        """Addresses whose traffic goes on to other nodes, with the names of those nodes."""
        return {address: nodes for found in self._away.values() for address, nodes in found.items()}

    def check(self, key: str) -> Check | None:
        """The service's health check, if it has one."""
        return self._checks.get(key)

    def _udp_changes(self, key: str, chosen: list[tuple[ServicePort, Backends]]) -> dict[Frontend, frozenset[bytes]]:
        now: dict[Frontend, frozenset[bytes]] = {}
        for port, backends in chosen:
            if port.protocol != "UDP" or not self._here.answered.isdisjoint(port.cluster_ips):
                continue
            addresses = frozenset(nft.ip(e.address) for e in (*backends.cluster, *backends.local))
            for address, number in rules.frontends(port, self._here):
                now[frontend(address, number)] = addresses
        before = self._udp.pop(key, {})
        if now:
            self._udp[key] = now
        changed = {
            place: now.get(place, frozenset()) for place in before if before[place] - now.get(place, frozenset())
        }
        changed |= {place: addresses for place, addresses in now.items() if addresses and not before.get(place)}
        return changed


async def forget_flows(conntrack: Conntrack, frontends: dict[Frontend, frozenset[bytes]]) -> None:
    """Delete UDP flows to endpoints that these frontends no longer have."""
    if frontends:
        count = await asyncio.to_thread(conntrack.forget_stale, frontends)
        if count:
            log.info("forgot %d UDP flows whose endpoint went", count)
