"""Nodes on one machine: each a network namespace with a link to a bridge on the host.

    host ── pyn-<hash> (10.89.i.1/25) ──┬── veth ── node 1: eth0 10.89.i.2
                                        └── veth ── node 2: eth0 10.89.i.3

Only the network and the hostname are unshared. The host gets one bridge, three routes (pods, services, load balancers,
all through one node that runs) and, if the nodes may reach the world, one nftables table that masquerades them, and IP
forwarding, whose former state is remembered and put back when the last cluster goes. Every name derives from the
cluster's, so creating is idempotent, and removing finds everything whether or not those who made it are alive. Work is
done by `ip`, which starts in 2 ms; a netlink library would cost each caller 25 MB.
"""

import contextlib
import ctypes
import hashlib
import ipaddress
import json
import os
import re
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pynetes.network import nft
from pynetes.network.rules import in_range
from pynetes.network.table import Fragment, KernelTable, Plan

T = TypeVar("T")

NAMESPACES = Path("/run/netns")
_REMEMBERED = Path("/run/pynetes/ip_forward")
_HOST_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_PREFIX = "pynetes."
_LINK_NAME = re.compile(r"pyn[v]?-[0-9a-f]{8}")
_INDEXES = 64
_CLONE_NEWNET = 0x40000000
_CLONE_NEWUTS = 0x04000000
_HOSTNAME_LIMIT = 64

# Inside a node: it routes for its pods, lets nftables see what crosses the pod bridge, accepts answers that come
# another way than the question went, and keeps translating connections whose packets it sees only one way.
_NODE_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv4/conf/all/route_localnet": "1",
    "net/bridge/bridge-nf-call-iptables": "1",
    "net/netfilter/nf_conntrack_tcp_be_liberal": "1",
}


class NetworkError(Exception):
    """The machine's network refused something; the text says what and why."""


@dataclass(frozen=True, slots=True)
class ClusterNetwork:
    """The addresses and names of a cluster, all derived from its name and index."""

    cluster: str
    index: int = 0

    @property
    def bridge(self) -> str:
        """The bridge on the host (and the host's nftables table)."""
        return f"pyn-{_digest(self.cluster)}"

    @property
    def links(self) -> str:
        """The network between host and nodes."""
        return f"10.89.{self.index}.0/25"

    @property
    def host_address(self) -> str:
        """The host as nodes see it."""
        return f"10.89.{self.index}.1"

    @property
    def load_balancers(self) -> str:
        """Where load balancer addresses come from."""
        return f"10.89.{self.index}.128/25"

    @property
    def pods(self) -> str:
        """All pods."""
        return f"10.{244 - self.index}.0.0/16"

    @property
    def services(self) -> str:
        """All cluster IPs."""
        return f"10.{96 + self.index}.0.0/16"

    @property
    def dns(self) -> str:
        """The cluster DNS service."""
        return f"10.{96 + self.index}.0.10"

    @property
    def routed(self) -> tuple[str, str, str]:
        """What the host reaches through a node."""
        return self.pods, self.services, self.load_balancers

    def node_address(self, number: int) -> str:
        """The address of node `number`, counted from 1."""
        if not 1 <= number <= 125:
            raise NetworkError(f"a cluster on one machine has at most 125 nodes, not {number}")
        return f"10.89.{self.index}.{number + 1}"

    def hardware_address(self, number: int) -> str:
        """The Ethernet address of node `number`: the same after every start, so nobody remembers a wrong one."""
        return ":".join(f"{byte:02x}" for byte in (0x02, 0x59, *map(int, self.node_address(number).split("."))))

    def namespace(self, node: str) -> str:
        """The name of a node's network namespace."""
        return namespace_name(self.cluster, node)

    def veth(self, node: str) -> str:
        """The host's end of a node's link."""
        return f"pynv-{_digest(f'{self.cluster}/{node}')}"


@dataclass(frozen=True, slots=True)
class NodeNetwork:
    """A node's place in the network."""

    node: str
    address: str
    namespace: str

    @property
    def path(self) -> str:
        """What `nsenter --net=` and `entered` take."""
        return str(NAMESPACES / self.namespace)


def namespace_name(cluster: str, node: str) -> str:
    """The name of a node's network namespace."""
    return f"{_PREFIX}{cluster}.{node}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


# --- choosing addresses -------------------------------------------------------------------------------------------


def choose(cluster: str, reserved: Iterable[int] = ()) -> ClusterNetwork:
    """The network for `cluster`: the one it has, or the first whose ranges overlap no route of this host.

    `reserved` are indexes of clusters that exist but are down.
    """
    bridge = ClusterNetwork(cluster).bridge
    existing = [
        entry["local"]
        for link in _json("-4", "address", "show")
        if link.get("ifname") == bridge
        for entry in link.get("addr_info", [])
    ]
    for address in existing:
        if address.startswith("10.89."):
            return ClusterNetwork(cluster, int(address.split(".")[2]))
    return first_free(cluster, _host_routes(bridge), reserved)


def first_free(cluster: str, routes: Iterable[str], reserved: Iterable[int] = ()) -> ClusterNetwork:
    """The first network whose ranges overlap none of `routes` (CIDRs) and whose index is not reserved."""
    taken = [ipaddress.IPv4Network(route, strict=False) for route in routes]
    skip = set(reserved)
    for index in range(_INDEXES):
        network = ClusterNetwork(cluster, index)
        wanted = [ipaddress.IPv4Network(cidr) for cidr in (network.links, *network.routed)]
        if index not in skip and not any(one.overlaps(other) for one in wanted for other in taken):
            return network
    raise NetworkError("no free address ranges: every candidate overlaps a route of this host (see `ip route`)")


def _host_routes(own_bridge: str) -> list[str]:
    routes = _json("-4", "route", "show", "table", "all")
    return [
        route["dst"]
        for route in routes
        if route.get("dst", "default") != "default"
        and route.get("dev") != own_bridge
        and route.get("type", "unicast") in ("unicast", "blackhole", "unreachable", "prohibit", "local")
    ]


# --- making -------------------------------------------------------------------------------------------------------


def create(network: ClusterNetwork, *, egress: bool = True) -> None:
    """Make the host's side: bridge, address, routes; with `egress` also forwarding and masquerading."""
    bridge = network.bridge
    commands = [] if _link_exists(bridge) else [f"link add {bridge} mtu {_mtu()} type bridge forward_delay 0"]
    commands += [f"address replace {network.host_address}/25 dev {bridge}", f"link set {bridge} up"]
    _ip(commands)
    route_through(network, 1)
    if egress:
        _forward_and_masquerade(network)


def route_through(network: ClusterNetwork, number: int) -> None:
    """Let the host reach pods, services and load balancer addresses by way of node `number`; each knows them all."""
    gateway = network.node_address(number)
    _ip([f"route replace {cidr} via {gateway} dev {network.bridge}" for cidr in network.routed])


def add_node(network: ClusterNetwork, number: int, node: str) -> NodeNetwork:
    """Make a node's namespace and its link; what is there already stays."""
    place = NodeNetwork(node, network.node_address(number), network.namespace(node))
    veth = network.veth(node)
    if not (NAMESPACES / place.namespace).exists():
        _ip([f"netns add {place.namespace}"])
    _in_namespace(place, _set_sysctls)
    if not _link_exists("eth0", place.namespace):
        stale = [f"link delete {veth}"] if _link_exists(veth) else []
        mtu = _mtu()
        peer = f"name eth0 address {network.hardware_address(number)} mtu {mtu} netns {place.namespace}"
        _ip([*stale, f"link add {veth} mtu {mtu} type veth peer {peer}"])
    _ip([f"link set {veth} master {network.bridge} up"])
    _ip(
        [
            "link set lo up",
            "link set eth0 up",
            f"address replace {place.address}/25 dev eth0",
            f"route replace default via {network.host_address} dev eth0",
        ],
        place.namespace,
    )
    return place


def _set_sysctls() -> None:
    for name, value in _NODE_SYSCTLS.items():
        path = Path("/proc/sys") / name
        # Some belong to modules that a kernel may lack (br_netfilter); the rest of a node works without.
        if path.exists() and path.read_text().strip() != value:
            path.write_text(value)


def _forward_and_masquerade(network: ClusterNetwork) -> None:
    if _HOST_FORWARDING.read_text().strip() != "1":
        _REMEMBERED.parent.mkdir(parents=True, exist_ok=True)
        _REMEMBERED.write_text(_HOST_FORWARDING.read_text())
        _HOST_FORWARDING.write_text("1")
    away = (nft.meta(nft.META_OIFNAME, nft.R0), nft.compare(nft.R0, nft.NEQ, network.bridge.encode().ljust(16, b"\0")))
    part = Fragment()
    part.chain(
        "postrouting",
        *((*in_range(cidr, source=True), *away, nft.MASQUERADE) for cidr in (network.links, network.pods)),
        hook=("nat", nft.POSTROUTING, 100),
    )
    with _host_table(network) as (plan, table):
        plan.put("masquerade", part)
        table.sync()


@contextlib.contextmanager
def _host_table(network: ClusterNetwork) -> Iterator[tuple[Plan, KernelTable]]:
    plan = Plan(network.bridge)
    table = KernelTable(plan)
    try:
        yield plan, table
    finally:
        table.close()


def _mtu() -> int:
    """The MTU of the way out, so that nothing needs fragmenting there; 1500 if there is no way out."""
    routes = _json("-4", "route", "show", "default")
    devices = {route.get("dev") for route in routes}
    sizes = [link["mtu"] for link in _json("link", "show") if link.get("ifname") in devices]
    return min([*sizes, 1500])


# --- removing -----------------------------------------------------------------------------------------------------


def cut(network: ClusterNetwork, node: str) -> None:
    """Pull a node's cable: remove its link."""
    _remove_links([network.veth(node)])


def remove_node(network: ClusterNetwork, node: str) -> None:
    """Remove a node's link and namespace.

    Processes still inside keep an unreachable namespace until they end.
    """
    _remove_links([network.veth(node)])
    _remove_namespaces([network.namespace(node)])


def remove(cluster: str) -> None:
    """Remove everything of a cluster, whatever there is of it."""
    network = ClusterNetwork(cluster)
    namespaces = _namespaces(f"{_PREFIX}{cluster}.")
    nodes = [name.removeprefix(f"{_PREFIX}{cluster}.") for name in namespaces]
    enslaved = [link["ifname"] for link in _json("link", "show") if link.get("master") == network.bridge]
    _remove_links({*enslaved, *(network.veth(node) for node in nodes), network.bridge})
    _remove_namespaces(namespaces)
    with _host_table(network) as (_, table):
        table.remove()
    if _REMEMBERED.exists() and not _links():
        _HOST_FORWARDING.write_text(_REMEMBERED.read_text())
        _REMEMBERED.unlink()


def leftovers() -> list[str]:
    """Everything of any cluster that is in this host's network: namespaces, links and nftables tables, by name."""
    tables = [f"table {name}" for name in tables_named(_LINK_NAME)]
    return [*_namespaces(_PREFIX), *_links(), *tables]


def _links() -> list[str]:
    """The bridges and node links of any cluster."""
    return [link["ifname"] for link in _json("link", "show") if _LINK_NAME.fullmatch(link.get("ifname", ""))]


def tables_named(pattern: "re.Pattern[str]") -> list[str]:
    """The IPv4 nftables tables here whose name fits."""
    return [name for name in KernelTable.tables() if pattern.fullmatch(name)]


def processes(network: ClusterNetwork, node: str) -> list[int]:
    """The processes that run in a node's namespace."""
    if not (NAMESPACES / network.namespace(node)).exists():
        return []
    return [int(pid) for pid in _run(["ip", "netns", "pids", network.namespace(node)]).split()]


def processes_of(cluster: str) -> list[int]:
    """The processes that run in any namespace of a cluster."""
    network = ClusterNetwork(cluster)
    prefix = f"{_PREFIX}{cluster}."
    return [pid for name in _namespaces(prefix) for pid in processes(network, name.removeprefix(prefix))]


def _namespaces(prefix: str) -> list[str]:
    if not NAMESPACES.is_dir():
        return []
    return sorted(path.name for path in NAMESPACES.iterdir() if path.name.startswith(prefix))


def _remove_links(names: Iterable[str]) -> None:
    _ip([f"link delete {name}" for name in names if _link_exists(name)])


def _remove_namespaces(names: Iterable[str]) -> None:
    _ip([f"netns delete {name}" for name in names if (NAMESPACES / name).exists()])


# --- entering -----------------------------------------------------------------------------------------------------


def enter(path: str) -> None:
    """Move the calling thread into a network namespace for good (a fresh process does this before anything else)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(descriptor, _CLONE_NEWNET):
            number = ctypes.get_errno()
            raise NetworkError(f"cannot enter {path}: {os.strerror(number)}")
    finally:
        os.close(descriptor)


def enter_named(namespace: str) -> None:
    """As `enter`, for a namespace by its name; mounts and cgroups stay the host's."""
    enter(str(NAMESPACES / namespace))


def take_hostname(name: str) -> None:
    """Give the calling process a hostname of its own; what it starts has it too, and so have pods in its network."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWUTS):
        raise NetworkError(f"cannot take the hostname {name}: {os.strerror(ctypes.get_errno())}")
    socket.sethostname(name[:_HOSTNAME_LIMIT])


def call_in(path: str, function: Callable[[], T]) -> T:
    """Run `function` inside a network namespace, in a thread of its own; sockets that it opens stay there."""
    outcome: list[T] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            enter(path)
            outcome.append(function())
        except BaseException as error:  # noqa: BLE001 - it is raised again below, in the caller's thread
            failure.append(error)

    thread = threading.Thread(target=work, name=f"in {path}")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def _in_namespace(place: NodeNetwork, function: Callable[[], T]) -> T:
    return call_in(place.path, function)


# --- ip -----------------------------------------------------------------------------------------------------------


def _link_exists(name: str, namespace: str | None = None) -> bool:
    where = ["-n", namespace] if namespace else []
    return subprocess.run(["ip", *where, "link", "show", name], capture_output=True, check=False).returncode == 0


def _json(*arguments: str) -> list[dict[str, Any]]:
    return json.loads(_run(["ip", "-j", *arguments]) or "[]")


def _ip(commands: list[str], namespace: str | None = None) -> None:
    """Run `ip` commands in one process; the first that fails ends it."""
    if commands:
        where = ["-n", namespace] if namespace else []
        _run(["ip", *where, "-batch", "-"], "\n".join(commands) + "\n")


def _run(command: list[str], text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NetworkError(f"{' '.join(command)}: {done.stderr.strip() or 'failed'}{': ' + text if text else ''}")
    return done.stdout
