"""The network agent of one node: caches in, kernel state out.

    informers ──► dirty services, policies ──► Plan ──► one nftables transaction
             ├──► nodes ──► routes, CNI configuration
             ├──► DNS zone
             ├──► Ingresses ──► nginx
             └──► (leader only) load balancer addresses, objects that stand for what agents do

Nothing here polls: every loop waits for a change. Stopping the agent leaves the kernel as it is, so connections go on
and a new agent takes over by one transaction; `clean_up` is what removes everything.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pynetes.client.client import Client
from pynetes.client.events import EventRecorder
from pynetes.client.informer import InformerFactory
from pynetes.client.leader import LeaderConfig, LeaderElector, LeadershipLost
from pynetes.machinery import clock, logs, meta
from pynetes.machinery.meta import Obj
from pynetes.machinery.process import run_until_stopped, until
from pynetes.network import health, podnetwork, rules
from pynetes.network.caches import Caches
from pynetes.network.conntrack import Conntrack, Frontend
from pynetes.network.dns.forward import Forwarder, Server, parse_server, resolv_conf_servers
from pynetes.network.dns.server import DnsServer
from pynetes.network.dns.zone import Zone
from pynetes.network.endpoints import ZONE_LABEL, Node
from pynetes.network.health import HealthServers
from pynetes.network.ingress import controller as ingress
from pynetes.network.ingress.controller import IngressController
from pynetes.network.loadbalancer import LoadBalancers
from pynetes.network.netlink import NetlinkError
from pynetes.network.options import Options, parse
from pynetes.network.policy import Policies
from pynetes.network.services import ServiceProxy, forget_flows
from pynetes.network.standing import StandingObjects
from pynetes.network.table import KernelTable, Plan

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_LOOK_SECONDS = 60.0  # how often to see whether a firewall's reload swept the table away; one system call
_RESOLV_CONF = Path("/etc/resolv.conf")


class Agent:
    """Everything that one node's agent does, over one client."""

    def __init__(self, options: Options, client: Client) -> None:
        self.options = options
        self.client = client
        self.caches = Caches(InformerFactory(client))
        self.plan = Plan(rules.TABLE)
        self.synced = asyncio.Event()  # the kernel has had its first transaction
        self._ranges = rules.Ranges(
            cluster=options.cluster_cidr,
            services=tuple(filter(None, [options.service_cluster_ip_range])),
            load_balancers=options.load_balancer_range,
            masquerade_pods=options.mode == "host",
        )
        self._dirty: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._nodes_changed = asyncio.Event()
        self._proxy = ServiceProxy(self.plan, *self._place(), self.caches.service_by_key, self.caches.slices_by_key)
        self._policies = Policies(self.caches.informers, options.node_name, options.cluster_dns, self._wake.set)
        self._health = HealthServers(())
        self._updated = clock.time()  # when the kernel last took a change
        self._forwarding = podnetwork.Forwarding()
        self._ingress: IngressController | None = None
        if options.ingress_dir:
            self._ingress = IngressController(
                client,
                self.caches,
                Path(options.ingress_dir),
                lambda: self._place()[1].addresses[0],
                ingress.shared_address(options.load_balancer_range),
                options.cluster_dns,
            )
            self._ingress.on_active(self._wake.set)
        zone = Zone(options.cluster_domain, self.caches, options.cluster_dns)
        self.dns = DnsServer(zone, Forwarder(upstream_servers(options)))

    async def run(self) -> None:
        """Work until cancelled."""
        await asyncio.to_thread(podnetwork.set_sysctls)
        servers = []
        if self.options.healthz_port:
            servers.append(await health.serve((), self.options.healthz_port, self._healthz))
        if self.options.status_port:
            servers.append(await health.serve(("127.0.0.1",), self.options.status_port, health.proxy_status))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self.caches.informers.run(), name="informers")
                group.create_task(self._serve_dns(), name="dns")
                group.create_task(self._keep_services(), name="services")
                group.create_task(self._keep_pod_network(), name="pod network")
                group.create_task(self._lead(), name="leader")
                if self._ingress is not None:
                    group.create_task(self._ingress.run(), name="ingress")
        finally:
            self.dns.close()
            self._health.close()
            for server in servers:
                server.close()

    # Services and policy

    def _place(self) -> tuple[Node, rules.Here]:
        """This node, as the rules see it."""
        node: Obj = self.caches.nodes.get(self.options.node_name) or {}
        address = self.options.node_ip or podnetwork.internal_address(node)
        here = rules.Here(
            ranges=self._ranges,
            addresses=(address,) if address else (),
            answered=frozenset({self.options.cluster_dns} - {""}),
        )
        return Node(self.options.node_name, meta.labels(node).get(ZONE_LABEL, "")), here

    def _service_changed(self, old: Obj | None, new: Obj | None) -> None:
        for service in (old, new):
            if service is not None:
                self._dirty[meta.key(service)] = None
        self._wake.set()

    def _slice_changed(self, old: Obj | None, new: Obj | None) -> None:
        for piece in (old, new):
            if piece is not None:
                self._dirty.update(dict.fromkeys(self.caches.keys_of_slice(piece)))
        self._wake.set()

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        node = new or old
        if node is not None and meta.name(node) == self.options.node_name and self._proxy.place(*self._place()):
            self._dirty.update(dict.fromkeys(meta.key(service) for service in self.caches.services.list()))
            self._wake.set()

    def _service_ranges_changed(self, old: Obj | None, new: Obj | None) -> None:
        given = filter(None, [self.options.service_cluster_ip_range])
        ranges = tuple(dict.fromkeys([*given, *self.caches.service_ranges()]))
        if ranges != self._ranges.services:
            self._ranges = replace(self._ranges, services=ranges)
            self.plan.put("", rules.skeleton(self._ranges))
            self._wake.set()

    async def _keep_services(self) -> None:
        await self.caches.synced()
        await self._policies.start()
        self.dns.ready = True
        table, conntrack = KernelTable(self.plan), Conntrack()
        self.caches.nodes.on_change(self._node_changed)
        self.caches.service_cidrs.on_change(self._service_ranges_changed)
        self.caches.services.on_change(self._service_changed)
        self.caches.endpoint_slices.on_change(self._slice_changed)
        self._wake.set()
        try:
            while True:
                try:
                    await clock.wait_for(self._wake.wait(), _LOOK_SECONDS)
                except TimeoutError:
                    if await asyncio.to_thread(table.present):
                        continue
                    log.warning("somebody deleted the table %s; writing it again", self.plan.table)
                self._wake.clear()
                await self._sync(table, conntrack)
        finally:
            table.close()
            conntrack.close()

    async def _sync(self, table: KernelTable, conntrack: Conntrack) -> None:
        """One transaction for all that changed since the last, and what follows from it."""
        dirty, self._dirty = [*self._dirty], {}
        flows: dict[Frontend, frozenset[bytes]] = {}
        for key in dirty:
            flows |= self._proxy.render(key)
        if self._policies.changed:
            self.plan.put("policies", self._policies.render())
        if self._ingress is not None and self._ingress.active:
            here = self._place()[1]
            shared = ingress.shared_address(self.options.load_balancer_range)
            self.plan.put("ingress", ingress.fragment((shared,) if shared else here.addresses, here))
        began = clock.monotonic()
        try:
            count = await asyncio.to_thread(table.sync)
        except NetlinkError as error:
            log.error("the kernel refused a change: %s", error)
            self._health.healthy = False
            await clock.sleep(_RETRY_SECONDS)
            self._wake.set()
            return
        self._health.healthy, self._updated = True, clock.time()
        if count > 1000 or not self.synced.is_set():
            log.info("%d services in %d messages took %.0f ms", len(dirty), count, (clock.monotonic() - began) * 1e3)
        self.synced.set()
        await forget_flows(conntrack, flows)
        await self._forwarding.sync(self._forwarded())
        await self._health.update({key: self._proxy.check(key) for key in dirty})

    def _forwarded(self) -> dict[str, tuple[str, ...]]:
        """Load balancer addresses that other nodes serve, with the addresses of those nodes."""
        found: dict[str, tuple[str, ...]] = {}
        for address, names in self._proxy.away().items():
            nodes = (self.caches.nodes.get(name) for name in sorted(names))
            gateways = tuple(podnetwork.internal_address(node) for node in nodes if node is not None)
            if any(gateways):
                found[address] = tuple(filter(None, gateways))
        return found

    def _healthz(self, path: str) -> health.Answer:
        well = self._health.healthy and self.synced.is_set()
        eligible = health.is_eligible(self.caches.nodes.get(self.options.node_name))
        return health.proxy_health(path, well, eligible, self._updated)

    # Pods and names

    async def _keep_pod_network(self) -> None:
        options = self.options
        await self.caches.nodes.synced()
        network = podnetwork.PodNetwork(
            options.node_name,
            options.node_ip,
            options.cni_conf_dir,
            options.cni_state_dir,
            tunnel=options.mode == "host",
        )
        self.caches.nodes.on_change(lambda old, new: self._nodes_changed.set())
        while True:
            self._nodes_changed.clear()
            await network.sync(self.caches.nodes.list())
            await self._nodes_changed.wait()

    async def _serve_dns(self) -> None:
        address = self.options.cluster_dns
        if not address:
            return
        # In the host scope, or the node would masquerade as its DNS server towards what runs on it.
        await podnetwork.ip("address", "replace", f"{address}/32", "dev", "lo", "scope", "host")
        await self.dns.listen(address)
        if self.options.node_ip and self.options.mode == "node":
            await self.dns.listen(self.options.node_ip)  # what the kube-dns endpoints say

    # What one agent does for all

    async def _lead(self) -> None:
        """Stand for election for as long as the agent lives; its name is its identity, so a restart leads on."""
        if not self.options.load_balancer_range and not self.options.cluster_dns:
            return
        config = LeaderConfig(
            "pynetes-network", self.options.node_name, lease_duration=60.0, renew_deadline=40.0, retry_period=15.0
        )
        while True:
            try:
                await LeaderElector(self.client, config).run(self._act_as_leader)
            except LeadershipLost as lost:
                log.warning("%s", lost)

    async def _act_as_leader(self) -> None:
        await self.caches.synced()
        recorder = EventRecorder(self.client, "service-controller")
        async with asyncio.TaskGroup() as group:
            if self.options.load_balancer_range:
                pool = self.options.load_balancer_range
                reserved = ingress.shared_address(pool) if self._ingress is not None else ""
                balancers = LoadBalancers(self.client, self.caches.services, recorder, pool, reserved)
                group.create_task(balancers.run(), name="load balancers")
            classes = self._ingress.classes if self._ingress is not None else None
            standing = StandingObjects(self.client, self.caches, self.options.cluster_dns, classes)
            group.create_task(standing.run(), name="standing objects")
            if self._ingress is not None:
                group.create_task(self._ingress.publish(), name="ingress status")


def upstream_servers(options: Options) -> list[Server]:
    """The DNS servers for names outside the cluster."""
    if options.upstream_dns == ["none"]:
        return []
    if options.upstream_dns:
        return [parse_server(text) for text in options.upstream_dns]
    try:
        found = resolv_conf_servers(_RESOLV_CONF.read_text())
    except OSError:
        return []
    if options.mode == "node":  # the host's loopback is not ours
        found = [server for server in found if not server[0].startswith("127.") and server[0] != "::1"]
    return [server for server in found if server[0] != options.cluster_dns]


async def run(options: Options, stop: asyncio.Event, client: Client | None = None) -> None:
    """Run the agent until `stop` is set."""
    own = client is None
    client = client or Client.from_kubeconfig(options.kubeconfig, user_agent="pynetes-network")
    try:
        await until(stop, Agent(options, client).run())
    finally:
        if own:
            await client.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    options = parse(arguments)
    logs.setup(options.verbosity)
    return run_until_stopped(lambda stop: run(options, stop))
