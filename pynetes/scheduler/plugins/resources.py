"""Plugins about what pods take from a node: its resources and its ports."""

from collections.abc import Sequence

import numpy as np

from pynetes.scheduler.framework import Plugin, Rejection, Scores, State
from pynetes.scheduler.podinfo import HostPort
from pynetes.scheduler.snapshot import PODS, Ints, Nodes

ANY_ADDRESS = "0.0.0.0"


class NodeResourcesFit(Plugin):
    """The pod's requests fit into what the node has left; the score prefers the emptier (or the fuller) node."""

    name = "NodeResourcesFit"
    wakes = frozenset({"node-add", "node-allocatable", "pod-delete", "pod-shrink"})

    def __init__(self, strategy: str = "LeastAllocated") -> None:
        self.strategy = strategy

    def filter(self, state: State) -> Sequence[Rejection]:
        nodes = state.nodes
        full = nodes.used[:, 0] + 1 > nodes.allocatable[:, 0]
        rejections = [Rejection(full, "Too many pods", unresolvable=False)]
        for resource, wanted in state.pod.requests.items():
            if not wanted or resource == PODS:
                continue
            column = nodes.column(resource)
            room = nodes.allocatable[:, column] - nodes.used[:, column]
            short = room < wanted
            if not short.any():
                continue
            never = short & (nodes.allocatable[:, column] < wanted)
            reason = f"Insufficient {resource}"
            rejections += [Rejection(short & ~never, reason), Rejection(never, reason, unresolvable=True)]
        return rejections

    def score(self, state: State, rows: Ints) -> Scores | None:
        shares = []
        for index, resource in enumerate(("cpu", "memory")):
            capacity = state.nodes.allocatable[rows, state.nodes.column(resource)].astype(np.float64)
            wanted = state.nodes.scoring_used[rows, index] + state.pod.scoring.get(resource, 0)
            free = capacity - wanted if self.strategy == "LeastAllocated" else wanted
            with np.errstate(divide="ignore", invalid="ignore"):
                share = np.floor(free * 100 / capacity)
            shares.append(np.where((capacity == 0) | (wanted > capacity), 0.0, share))
        scores: Scores = np.floor(sum(shares) / len(shares))
        return scores


class NodeResourcesBalancedAllocation(Plugin):
    """Prefer nodes whose cpu and memory would be used to the same degree."""

    name = "NodeResourcesBalancedAllocation"

    def score(self, state: State, rows: Ints) -> Scores | None:
        if not any(state.pod.requests.get(resource) for resource in ("cpu", "memory")):
            return None
        fractions = []
        for resource in ("cpu", "memory"):
            column = state.nodes.column(resource)
            capacity = state.nodes.allocatable[rows, column].astype(np.float64)
            wanted = state.nodes.used[rows, column] + state.pod.requests.get(resource, 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                fractions.append(np.where(capacity == 0, 0.0, np.minimum(wanted / capacity, 1.0)))
        scores: Scores = (1 - np.abs(fractions[0] - fractions[1]) / 2) * 100
        return scores


class NodePorts(Plugin):
    """Host ports that are free on the node, by address and protocol."""

    name = "NodePorts"
    wakes = frozenset({"node-add", "pod-delete"})

    def filter(self, state: State) -> Sequence[Rejection]:
        if not state.pod.host_ports:
            return ()
        mask = np.zeros(len(state.nodes.names), dtype=bool)
        for port in state.pod.host_ports:
            mask[self._taken(port, state.nodes)] = True
        return [Rejection(mask, "node(s) didn't have free ports for the requested pod ports")]

    @staticmethod
    def _taken(port: HostPort, nodes: Nodes) -> list[int]:
        """Rows where the port is taken: on the same address, or on every address by either side."""
        return [
            row
            for row, addresses in nodes.host_ports.get((port.protocol, port.port), {}).items()
            if port.ip == ANY_ADDRESS or ANY_ADDRESS in addresses or port.ip in addresses
        ]
