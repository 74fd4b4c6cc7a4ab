"""Pod ranges for nodes: each node gets its own part of the cluster's range, for good.

What is taken is read from the nodes themselves; what was just given and is not in the cache yet is remembered. One
worker, so no two nodes are given the same.
"""

import ipaddress
from collections.abc import Iterable

from pynetes.controllers.controller import Context, Controller
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def pod_cidrs(node: Obj) -> list[str]:
    """The node's ranges."""
    spec = node.get("spec", {})
    return spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])


def first_free(
    cluster: Network, size: int, taken: Iterable[Network], reserved: Network | None = None
) -> Network | None:
    """The lowest part of `cluster` with prefix length `size` that overlaps nothing taken or reserved."""
    step = 1 << (cluster.max_prefixlen - size)
    base, end = int(cluster.network_address), int(cluster.broadcast_address)
    busy: set[int] = set()
    for network in [*taken, *([reserved] if reserved else [])]:
        if network.version != cluster.version:
            continue
        low, high = max(int(network.network_address), base), min(int(network.broadcast_address), end)
        if low <= high:
            busy.update(range((low - base) // step, (high - base) // step + 1))
    count = (end - base + 1) // step
    index = next((i for i in range(count) if i not in busy), None)
    if index is None:
        return None
    address = ipaddress.IPv4Address if cluster.version == 4 else ipaddress.IPv6Address
    return ipaddress.ip_network(f"{address(base + index * step)}/{size}")


class NodeIpamController(Controller):
    """Gives nodes their ranges."""

    name = "node-ipam-controller"
    component = "cidrAllocator"
    account = "node-controller"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        options = context.options
        self._clusters = [ipaddress.ip_network(text) for text in options.cluster_cidr]
        self._services = (
            ipaddress.ip_network(options.service_cluster_ip_range.split(",")[0])
            if options.service_cluster_ip_range
            else None
        )
        self._given: dict[str, list[str]] = {}
        self.nodes = self.watch("nodes", self._changed)

    def _changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        if new is None:
            if old is not None:
                self._given.pop(meta.uid(old), None)
            return [meta.name(node) for node in self.nodes.list() if not pod_cidrs(node)]
        if pod_cidrs(new):
            self._given.pop(meta.uid(new), None)
            return ()
        return (meta.name(new),)

    async def reconcile(self, key: str) -> None:
        node = self.nodes.get(key)
        if node is None or pod_cidrs(node) or not (self._clusters and self.context.options.allocate_node_cidrs):
            return
        chosen = self._given.get(meta.uid(node)) or self._choose()
        if chosen is None:
            involved = {"kind": "Node", "name": key, "uid": meta.uid(node), "apiVersion": "v1"}
            message = f"Node {key} status is now: CIDRNotAvailable"
            self.events.event(involved, "Normal", "CIDRNotAvailable", message)
            return
        self._given[meta.uid(node)] = chosen
        patch = {"metadata": {"uid": meta.uid(node)}, "spec": {"podCIDR": chosen[0], "podCIDRs": chosen}}
        await self.client.patch("nodes", key, patch, type="strategic")

    def _choose(self) -> list[str] | None:
        texts = [text for node in self.nodes.list() for text in pod_cidrs(node)]
        texts += [text for given in self._given.values() for text in given]
        taken = [ipaddress.ip_network(text) for text in texts]
        options = self.context.options
        chosen = []
        for cluster in self._clusters:
            size = options.node_cidr_mask_size if cluster.version == 4 else options.node_cidr_mask_size_ipv6
            found = first_free(cluster, size, taken, self._services)
            if found is None:
                return None
            chosen.append(str(found))
        return chosen
