"""NetworkPolicy in nftables: who may speak to the pods of this node, and to whom they may speak.

A pod that some policy isolates is in a verdict map, which leads to a chain for exactly the set of policies that
select it: a jump to each policy's chain, then drop. A policy's chain accepts what its rules allow. Selected peers are
named sets of addresses, so a pod that comes or goes anywhere is an element, not a rule. Pods that share their node's
network are not pods to a policy, nor are those that have ended; a node may always reach its own pods.
Cluster DNS counts as the pod `k8s-app: kube-dns` in
kube-system, though each node answers it: that is what policies name when they allow it.

Pods are watched only once there is a policy.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from pynetes.client.informer import Informer, InformerFactory
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj
from pynetes.machinery.selectors import LabelSelector, from_label_selector
from pynetes.network import nft
from pynetes.network.nft import ACCEPT, DROP, PROTOCOLS, R0, R1, R2, Rule, SetSpec, goto, jump, verdict
from pynetes.network.rules import in_range, protocol_is
from pynetes.network.table import Fragment

INGRESS, EGRESS = "Ingress", "Egress"
_PEERS = SetSpec(("ipv4_addr",))
_PORTS = SetSpec(("ipv4_addr", "inet_proto", "inet_service"))


@dataclass(frozen=True, slots=True)
class Pod:
    """What policies see of a pod."""

    namespace: str
    labels: Mapping[str, str]
    address: str
    local: bool
    ports: tuple[tuple[str, str, int], ...]  # name, protocol, number


def pod_of(obj: Obj, node_name: str) -> Pod | None:
    """The pod, or None if policies have nothing to do with it."""
    spec, status = obj.get("spec", {}), obj.get("status", {})
    address = status.get("podIP", "")
    if not address or ":" in address or spec.get("hostNetwork") or status.get("phase") in ("Succeeded", "Failed"):
        return None
    sidecars = [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
    ports = tuple(
        (port["name"], port.get("protocol", "TCP"), port["containerPort"])
        for container in [*(spec.get("containers") or []), *sidecars]
        for port in container.get("ports") or []
        if port.get("name")
    )
    return Pod(meta.namespace(obj), meta.labels(obj), address, spec.get("nodeName") == node_name, ports)


def policy_types(policy: Obj) -> set[str]:
    """The directions in which the policy isolates."""
    spec = policy.get("spec", {})
    return set(spec.get("policyTypes") or ([INGRESS, EGRESS] if spec.get("egress") else [INGRESS]))


def dns_pod(address: str) -> Pod:
    """Cluster DNS, which nodes answer themselves, as the pod that policies allow by its labels."""
    ports = (("dns", "UDP", 53), ("dns-tcp", "TCP", 53))
    return Pod("kube-system", {"k8s-app": "kube-dns"}, address, False, ports)


class Renderer:
    """One rendering of all policies for one node."""

    def __init__(self, pods: Iterable[Pod], namespaces: Mapping[str, Mapping[str, str]]) -> None:
        self._pods: dict[str, list[Pod]] = {}
        for pod in pods:
            self._pods.setdefault(pod.namespace, []).append(pod)
        self._namespaces = namespaces
        self._part = Fragment()

    def render(self, policies: Iterable[Obj]) -> Fragment:
        """The fragment for these policies."""
        selecting: dict[tuple[str, str], list[str]] = {}  # (direction, address) → policies' chains
        for policy in sorted(policies, key=meta.key):
            selector = from_label_selector(policy.get("spec", {}).get("podSelector") or {})
            pods = [pod for pod in self._pods.get(meta.namespace(policy), ()) if selector.matches(pod.labels)]
            local = [pod for pod in pods if pod.local]
            if not local:
                continue
            for direction in policy_types(policy):
                chain = f"{direction.lower()}-of-{meta.key(policy)}"
                self._part.chain(chain, *self._policy_rules(policy, direction, local))
                for pod in local:
                    selecting.setdefault((direction, pod.address), []).append(chain)
        for (direction, address), chains in selecting.items():
            name = f"isolated-{direction.lower()}-{_digest(chains)}"
            self._part.chain(name, *((verdict(jump(chain)),) for chain in chains), (verdict(DROP),))
            self._part.element(f"policy-{direction.lower()}", nft.ip(address), goto(name))
        return self._part

    def _policy_rules(self, policy: Obj, direction: str, selected: list[Pod]) -> list[Rule]:
        found: list[Rule] = []
        peers_field = "from" if direction == INGRESS else "to"
        for rule in policy["spec"].get(direction.lower()) or []:
            peers = rule.get(peers_field) or []
            named_on = selected if direction == INGRESS else self._peer_pods(policy, peers)
            ports = self._port_matches(rule.get("ports") or [], named_on)
            found += [
                (*peer, *port, verdict(ACCEPT))
                for peer in self._peer_matches(policy, peers, source=direction == INGRESS)
                for port in ports
            ]
        return found

    # Who

    def _peer_matches(self, policy: Obj, peers: list[Obj], *, source: bool) -> list[Rule]:
        if not peers:
            return [()]
        matches: list[Rule] = []
        for peer in peers:
            block = peer.get("ipBlock")
            if block is None:
                continue
            if ":" in block["cidr"]:
                continue
            excepted = [e for e in block.get("except") or [] if ":" not in e]
            outside = [piece for e in excepted for piece in in_range(e, source=source, negate=True)]
            matches.append((*in_range(block["cidr"], source=source), *outside))
        selectors = [peer for peer in peers if "ipBlock" not in peer]
        if selectors:
            name = f"peers-{_digest([meta.namespace(policy), selectors])}"
            self._part.sets[name] = _PEERS
            for pod in self._peer_pods(policy, selectors):
                self._part.element(name, nft.ip(pod.address))
            field = nft.ip_saddr(R0) if source else nft.ip_daddr(R0)
            matches.append((field, nft.lookup(name, R0)))
        return matches

    def _peer_pods(self, policy: Obj, peers: list[Obj]) -> list[Pod]:
        """The pods that any of these peers selects; all pods if there are none."""
        if not peers:
            return [pod for pods in self._pods.values() for pod in pods]
        found: dict[str, Pod] = {}
        for peer in peers:
            if "ipBlock" in peer:
                continue
            selector = from_label_selector(peer.get("podSelector") or {})
            for namespace in self._peer_namespaces(policy, peer):
                found |= {pod.address: pod for pod in self._pods.get(namespace, ()) if selector.matches(pod.labels)}
        return [*found.values()]

    def _peer_namespaces(self, policy: Obj, peer: Obj) -> list[str]:
        if peer.get("namespaceSelector") is None:
            return [meta.namespace(policy)]
        selector: LabelSelector = from_label_selector(peer["namespaceSelector"])
        return [name for name, labels in self._namespaces.items() if selector.matches(labels)]

    # What

    def _port_matches(self, ports: list[Obj], named_on: list[Pod]) -> list[Rule]:
        if not ports:
            return [()]
        return [self._port_match(port, named_on) for port in ports]

    def _port_match(self, entry: Obj, named_on: list[Pod]) -> Rule:
        protocol = entry.get("protocol", "TCP")
        number = PROTOCOLS[protocol]
        port = entry.get("port")
        if port is None:
            return protocol_is(number)
        if isinstance(port, str):
            name = f"ports-{_digest([port, protocol, sorted(pod.address for pod in named_on)])}"
            self._part.sets[name] = _PORTS
            for pod in named_on:
                for port_name, port_protocol, container_port in pod.ports:
                    if (port_name, port_protocol) == (port, protocol):
                        self._part.element(name, nft.ip(pod.address) + nft.proto(number) + nft.port(container_port))
            return nft.ip_daddr(R0), nft.l4proto(R1), nft.dport(R2), nft.lookup(name, R0)
        first = nft.port(port)[:2]
        if entry.get("endPort") is None:
            return *protocol_is(number), nft.dport(R0), nft.compare(R0, nft.EQ, first)
        last = nft.port(entry["endPort"])[:2]
        within = (nft.compare(R0, nft.GTE, first), nft.compare(R0, nft.LTE, last))
        return *protocol_is(number), nft.dport(R0), *within


def _digest(value: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:12]


class Policies:
    """The policies of the cluster as they concern one node."""

    def __init__(self, informers: InformerFactory, node_name: str, dns_address: str, wake: Callable[[], None]) -> None:
        self._informers = informers
        self._node_name = node_name
        self._dns = [dns_pod(dns_address)] if dns_address else []
        self._wake = wake
        self._policies = informers.get("networkpolicies")
        self._namespaces = informers.get("namespaces", metadata_only=True)
        self._pods: Informer | None = None
        self.changed = False

    async def start(self) -> None:
        """Wait for the policies, and for the pods if there are any; from then on report changes."""
        await self._policies.synced()
        self._policies.on_change(self._policy_changed)
        self._namespaces.on_change(self._namespace_changed)
        if self._pods is not None:
            await self._pods.synced()

    def render(self) -> Fragment | None:
        """What the policies want in the table now."""
        self.changed = False
        policies = self._policies.list()
        if not policies or self._pods is None or not self._pods.has_synced:
            return None
        pods = (pod_of(obj, self._node_name) for obj in self._pods.list())
        namespaces = {meta.name(obj): meta.labels(obj) for obj in self._namespaces.list()}
        return Renderer([*self._dns, *(pod for pod in pods if pod is not None)], namespaces).render(policies)

    def _policy_changed(self, old: Obj | None, new: Obj | None) -> None:
        if self._pods is None:
            self._pods = self._informers.get("pods")
            self._pods.on_change(self._pod_changed)
        self._note()

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        before = pod_of(old, self._node_name) if old is not None else None
        after = pod_of(new, self._node_name) if new is not None else None
        if before != after:
            self._note()

    def _namespace_changed(self, old: Obj | None, new: Obj | None) -> None:
        if self._pods is not None and (old is None or new is None or meta.labels(old) != meta.labels(new)):
            self._note()

    def _note(self) -> None:
        self.changed = True
        self._wake()
