"""The pod network of one node: the CNI configuration and the routes to other nodes' pods.

Pods sit on a bridge whose addresses come out of the node's `spec.podCIDR`; once that is known the configuration file
is written, which is what makes the container runtime (and so the node) ready. Other nodes' ranges are routed through
the nodes' addresses, or on real machines that share no link, through a VXLAN tunnel, whose every address follows from
the nodes' own. Routes carry our own protocol number, so what an agent before us left can be told from everyone else's.
"""

import asyncio
import ipaddress
import json
import logging
import subprocess
from collections.abc import Container, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

log = logging.getLogger(__name__)

BRIDGE = "cni0"
TUNNEL = "pynetes-vxlan"
TUNNEL_OVERHEAD = 50
_TUNNEL_ID, _TUNNEL_PORT = 1, 8472
ROUTE_PROTOCOL, FORWARDING_PROTOCOL = "137", "138"
_CONFIGURATION = "10-pynetes.conflist"

# A kernel that routes for pods. Bridged packets must cross nftables, or a pod that reaches its neighbour through a
# service would get the answer from an address it never spoke to.
SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/fib_multipath_hash_policy": "1",  # by connection
    "net/bridge/bridge-nf-call-iptables": "1",
    "net/netfilter/nf_conntrack_tcp_be_liberal": "1",
}


def pod_ranges(node: Obj) -> tuple[str, ...]:
    """The node's IPv4 pod ranges."""
    spec = node.get("spec", {})
    ranges = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    return tuple(cidr for cidr in ranges if ":" not in cidr)


def internal_address(node: Obj) -> str:
    """The node's first IPv4 InternalIP, or an empty string."""
    addresses = node.get("status", {}).get("addresses") or []
    found = (a["address"] for a in addresses if a.get("type") == "InternalIP" and ":" not in a.get("address", ""))
    return next(found, "")


def cni_configuration(ranges: Iterable[str], state_dir: str, mtu: int) -> dict[str, Any]:
    """The CNI network list: a bridge with addresses from `ranges`, and host ports."""
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "mtu": mtu,
        "isGateway": True,
        "isDefaultGateway": True,
        "forceAddress": True,
        "hairpinMode": True,
        "ipMasq": False,
        "ipam": {
            "type": "host-local",
            "dataDir": state_dir,
            "ranges": [[{"subnet": cidr}] for cidr in ranges],
        },
    }
    host_ports = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    return {"cniVersion": "0.4.0", "name": "pynetes", "plugins": [bridge, host_ports]}


def configuration_path(conf_dir: str) -> Path:
    """The CNI configuration file."""
    return Path(conf_dir) / _CONFIGURATION


def write_configuration(conf_dir: str, configuration: dict[str, Any]) -> bool:
    """Write the CNI configuration in one step, if it is not what is there; returns whether it was written."""
    path = configuration_path(conf_dir)
    text = json.dumps(configuration, indent=2) + "\n"
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_text(text)
    draft.replace(path)
    return True


@dataclass(frozen=True, slots=True)
class Hop:
    """How another node's pods are reached: through its address, or inside packets sent to its address (VXLAN)."""

    node: str
    gateway: str
    tunnel: bool = False

    @property
    def device(self) -> str:
        """The device that the route must name; empty if the gateway says it."""
        return TUNNEL if self.tunnel else ""


def wanted_hops(nodes: Iterable[Obj], own_name: str, distant: Container[str] = ()) -> dict[str, Hop]:
    """Pod range → hop, for every other node that has both range and address; `distant` addresses share no link."""
    found: dict[str, Hop] = {}
    for node in nodes:
        address = internal_address(node)
        if meta.name(node) == own_name or not address:
            continue
        for cidr in pod_ranges(node):
            found[cidr] = Hop(address, tunnel_address(cidr), True) if address in distant else Hop(address, address)
    return found


def tunnel_address(cidr: str) -> str:
    """The address of a node's end of the tunnel: the first of its pod range, which no pod ever gets."""
    return str(ipaddress.IPv4Network(cidr, strict=False).network_address)


def tunnel_mac(node_address: str) -> str:
    """The hardware address of a node's end of the tunnel: it follows from the node's address, so nobody need ask."""
    return "02:50:" + ":".join(f"{byte:02x}" for byte in ipaddress.IPv4Address(node_address).packed)


def route_commands(wanted: dict[str, Hop], present: dict[str, tuple[str, str]]) -> dict[str, list[str]]:
    """`ip -batch` lines by pod range that lead from the routes present (gateway and device) to those wanted."""
    commands = {cidr: [f"route delete {cidr} proto {ROUTE_PROTOCOL}"] for cidr in present if cidr not in wanted}
    for cidr, hop in wanted.items():
        gateway, device = present.get(cidr, ("", ""))
        if gateway == hop.gateway and (device == TUNNEL) == hop.tunnel:
            continue
        through = f"dev {TUNNEL} onlink " if hop.tunnel else ""
        lines = [f"route replace {cidr} via {hop.gateway} {through}proto {ROUTE_PROTOCOL}"]
        if hop.tunnel:
            mac = tunnel_mac(hop.node)
            lines.insert(0, f"neighbour replace {hop.gateway} lladdr {mac} dev {TUNNEL} nud permanent")
        commands[cidr] = lines
    return commands


class PodNetwork:
    """Keeps this node's configuration file and routes as the Node objects say.

    With `tunnel`, nodes that share no link with this one are reached by VXLAN; without, they are not reached.
    """

    def __init__(self, node_name: str, node_ip: str, conf_dir: str, state_dir: str, *, tunnel: bool = False) -> None:
        self._node_name = node_name
        self._node_ip = node_ip
        self._conf_dir = conf_dir
        self._state_dir = state_dir
        self._tunnel = tunnel
        self._present: dict[str, tuple[str, str]] | None = None
        self._ranges: tuple[str, ...] = ()
        self._distances: dict[str, bool] = {}

    async def sync(self, nodes: list[Obj]) -> None:
        """Write what these nodes ask for."""
        own = next((node for node in nodes if meta.name(node) == self._node_name), None)
        if own is None:
            return
        ranges, address = pod_ranges(own), self._node_ip or internal_address(own)
        if ranges and ranges != self._ranges:
            mtu = await self._mtu(address) - (TUNNEL_OVERHEAD if self._tunnel else 0)
            if write_configuration(self._conf_dir, cni_configuration(ranges, self._state_dir, mtu)):
                log.info("pods get addresses from %s", ", ".join(ranges))
            self._ranges = ranges
        await self._sync_routes(nodes, address)

    async def _sync_routes(self, nodes: list[Obj], address: str) -> None:
        if self._present is None:
            self._present = await self._routes()
        wanted = wanted_hops(nodes, self._node_name, await self._distant(nodes))
        if any(hop.tunnel for hop in wanted.values()):
            await self._open_tunnel(address)
        for cidr, commands in route_commands(wanted, self._present).items():
            hop = wanted.get(cidr)
            try:
                if hop is not None and hop.tunnel:
                    await _run("bridge", "fdb", "replace", tunnel_mac(hop.node), "dev", TUNNEL, "dst", hop.node)
                await ip("-batch", "-", text="\n".join(commands) + "\n")
            except OSError as error:
                log.warning("no route to the pods in %s: %s", cidr, error)
                continue
            if hop is None:
                del self._present[cidr]
            else:
                self._present[cidr] = (hop.gateway, hop.device)

    async def _distant(self, nodes: list[Obj]) -> set[str]:
        """The addresses of nodes behind a router, if those can be tunnelled to."""
        if not self._tunnel:
            return set()
        for node in nodes:
            address = internal_address(node)
            if address and address not in self._distances and meta.name(node) != self._node_name:
                try:
                    route = json.loads(await ip("-4", "-j", "route", "get", address))
                except OSError:
                    continue  # no way there at all now; asked again when the nodes change
                self._distances[address] = any("gateway" in hop for hop in route)
        return {address for address, distant in self._distances.items() if distant}

    async def _open_tunnel(self, address: str) -> None:
        """Make this node's end of the tunnel, if it is not there."""
        links = json.loads(await ip("-j", "link", "show", "type", "vxlan") or "[]")
        if any(link.get("ifname") == TUNNEL for link in links) or not self._ranges:
            return
        mtu = await self._mtu(address) - TUNNEL_OVERHEAD
        kind = f"type vxlan id {_TUNNEL_ID} dstport {_TUNNEL_PORT} local {address} nolearning"
        lines = [
            f"link add {TUNNEL} address {tunnel_mac(address)} mtu {mtu} {kind}",
            f"address add {tunnel_address(self._ranges[0])}/32 dev {TUNNEL}",
            f"link set {TUNNEL} up",
        ]
        await ip("-batch", "-", text="\n".join(lines) + "\n")

    @staticmethod
    async def _routes() -> dict[str, tuple[str, str]]:
        routes = json.loads(await ip("-4", "-j", "route", "show", "proto", ROUTE_PROTOCOL) or "[]")
        return {route["dst"]: (route.get("gateway", ""), route.get("dev", "")) for route in routes}

    @staticmethod
    async def _mtu(node_address: str) -> int:
        """The MTU of the link that has the node's address."""
        links = json.loads(await ip("-4", "-j", "address", "show", "to", f"{node_address}/32") or "[]")
        return next((link["mtu"] for link in links if "mtu" in link), 1500)


def forwarding_commands(wanted: dict[str, tuple[str, ...]], present: dict[str, tuple[str, ...]]) -> list[str]:
    """`ip -batch` lines for routes of single addresses to one or several gateways."""
    lines = [f"route delete {address}/32 proto {FORWARDING_PROTOCOL}" for address in present if address not in wanted]
    for address, gateways in wanted.items():
        if present.get(address) != gateways:
            hops = " ".join(f"nexthop via {gateway}" for gateway in gateways)
            lines.append(f"route replace {address}/32 proto {FORWARDING_PROTOCOL} {hops}")
    return lines


class Forwarding:
    """Routes of load balancer addresses that other nodes serve."""

    def __init__(self) -> None:
        self._present: dict[str, tuple[str, ...]] | None = None

    async def sync(self, wanted: dict[str, tuple[str, ...]]) -> None:
        """Route each address to its gateways, and no others."""
        if self._present is None:
            await ip("route", "flush", "proto", FORWARDING_PROTOCOL)
            self._present = {}
        commands = forwarding_commands(wanted, self._present)
        if commands:
            try:
                await ip("-batch", "-", text="\n".join(commands) + "\n")
            except OSError as error:
                log.warning("load balancer addresses of other nodes: %s", error)
                self._present = None
                return
        self._present = wanted


def set_sysctls() -> None:
    """Make this network namespace a router; what the kernel lacks is left out."""
    for name, value in SYSCTLS.items():
        path = Path("/proc/sys") / name
        if path.exists() and path.read_text().strip() != value:
            path.write_text(value)


async def ip(*arguments: str, text: str = "") -> str:
    """Run `ip`; raises OSError with what it says if it fails."""
    return await _run("ip", *arguments, text=text)


async def _run(*command: str, text: str = "") -> str:
    done = await asyncio.to_thread(subprocess.run, command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(done.stderr.strip() or f"{' '.join(command)} failed")
    return done.stdout
