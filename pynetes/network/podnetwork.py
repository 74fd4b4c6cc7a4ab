"""The pod network of one node: the CNI configuration and the routes to other nodes' pods.

Pods sit on a bridge whose addresses come out of the node's `spec.podCIDR`; once that is known the configuration file
is written, which is what makes the container runtime (and so the node) ready. Other nodes' ranges are routed through
the nodes' addresses, which must share a link. Routes carry our own protocol number, so what an agent before us left
can be told from everyone else's.
"""

import asyncio
import json
import logging
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

log = logging.getLogger(__name__)

BRIDGE = "cni0"
ROUTE_PROTOCOL = "137"
_CONFIGURATION = "10-pynetes.conflist"

# A kernel that routes for pods. Bridged packets must cross nftables, or a pod that reaches its neighbour through a
# service would get the answer from an address it never spoke to.
SYSCTLS = {
    "net/ipv4/ip_forward": "1",
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


def wanted_routes(nodes: Iterable[Obj], own_name: str) -> dict[str, str]:
    """Pod range → gateway, for every other node that has both."""
    return {
        cidr: address
        for node in nodes
        if meta.name(node) != own_name and (address := internal_address(node))
        for cidr in pod_ranges(node)
    }


def route_commands(wanted: dict[str, str], present: dict[str, str]) -> list[str]:
    """`ip -batch` lines that lead from the routes present to those wanted."""
    stale = [f"route delete {cidr} proto {ROUTE_PROTOCOL}" for cidr in present if cidr not in wanted]
    new = [
        f"route replace {cidr} via {gateway} proto {ROUTE_PROTOCOL}"
        for cidr, gateway in wanted.items()
        if present.get(cidr) != gateway
    ]
    return [*stale, *new]


class PodNetwork:
    """Keeps this node's configuration file and routes as the Node objects say."""

    def __init__(self, node_name: str, node_ip: str, conf_dir: str, state_dir: str) -> None:
        self._node_name = node_name
        self._node_ip = node_ip
        self._conf_dir = conf_dir
        self._state_dir = state_dir
        self._routes: dict[str, str] | None = None
        self._ranges: tuple[str, ...] = ()

    async def sync(self, nodes: list[Obj]) -> None:
        """Write what these nodes ask for."""
        own = next((node for node in nodes if meta.name(node) == self._node_name), None)
        ranges = pod_ranges(own) if own is not None else ()
        if own is not None and ranges and ranges != self._ranges:
            mtu = await self._mtu(self._node_ip or internal_address(own))
            if write_configuration(self._conf_dir, cni_configuration(ranges, self._state_dir, mtu)):
                log.info("pods get addresses from %s", ", ".join(ranges))
            self._ranges = ranges
        if self._routes is None:
            self._routes = await self._present()
        wanted = wanted_routes(nodes, self._node_name)
        for command in route_commands(wanted, self._routes):
            try:
                await ip("-batch", "-", text=command + "\n")
            except OSError as error:
                cidr = command.split()[2]
                log.warning("no route to the pods in %s: %s", cidr, error)
                wanted.pop(cidr, None)
        self._routes = wanted

    @staticmethod
    async def _present() -> dict[str, str]:
        routes = json.loads(await ip("-4", "-j", "route", "show", "proto", ROUTE_PROTOCOL) or "[]")
        return {route["dst"]: route.get("gateway", "") for route in routes}

    @staticmethod
    async def _mtu(node_address: str) -> int:
        """The MTU of the link that has the node's address."""
        links = json.loads(await ip("-4", "-j", "address", "show", "to", f"{node_address}/32") or "[]")
        return next((link["mtu"] for link in links if "mtu" in link), 1500)


def set_sysctls() -> None:
    """Make this network namespace a router; what the kernel lacks is left out."""
    for name, value in SYSCTLS.items():
        path = Path("/proc/sys") / name
        if path.exists() and path.read_text().strip() != value:
            path.write_text(value)


async def ip(*arguments: str, text: str = "") -> str:
    """Run `ip`; raises OSError with what it says if it fails."""
    done = await asyncio.to_thread(
        subprocess.run, ["ip", *arguments], input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise OSError(done.stderr.strip() or f"ip {' '.join(arguments)} failed")
    return done.stdout
