"""Plugins about what pods take from a node: its resources and its ports."""

from collections.abc import Sequence

import numpy as np

from pynetes.machinery.meta import Obj
from pynetes.scheduler.framework import Plugin, Rejection, Scores, State
from pynetes.scheduler.podinfo import DEFAULTS, HostPort
from pynetes.scheduler.snapshot import PODS, Ints, Nodes

ANY_ADDRESS = "0.0.0.0"


class NodeResourcesFit(Plugin):
    """The pod's requests fit into what the node has left; the score prefers the emptier (or the fuller) node."""

    name = "NodeResourcesFit"
    wakes = frozenset({"node-add", "node-allocatable", "pod-delete", "pod-shrink"})

    def __init__(self, arguments: Obj | None = None) -> None:
        given = arguments or {}
        strategy = given.get("scoringStrategy") or {}
        self.ignored = frozenset(given.get("ignoredResources") or ())
        self.ignored_groups = frozenset(given.get("ignoredResourceGroups") or ())
        self.strategy = strategy.get("type") or "LeastAllocated"
        self.weights = weights_of(strategy.get("resources"))
        shape = (strategy.get("requestedToCapacityRatio") or {}).get("shape") or ()
        self.shape = sorted((point["utilization"], point["score"] * 10) for point in shape)

    def filter(self, state: State) -> Sequence[Rejection]:
        nodes = state.nodes
        full = nodes.used[:, 0] + 1 > nodes.allocatable[:, 0]
        rejections = [Rejection(full, "Too many pods", unresolvable=False)]
        for resource, wanted in state.pod.requests.items():
            if not wanted or resource == PODS or self._ignores(resource):
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

    def _ignores(self, resource: str) -> bool:
        """Extended resources only: what a node itself has is always looked at."""
        group, slash, _ = resource.partition("/")
        return bool(slash) and (resource in self.ignored or group in self.ignored_groups)

    def score(self, state: State, rows: Ints) -> Scores | None:
        total = np.zeros(len(rows), dtype=np.float64)
        weights = np.zeros(len(rows), dtype=np.float64)
        for resource, weight in self.weights.items():
            capacity = state.nodes.allocatable[rows, state.nodes.column(resource)].astype(np.float64)
            wanted = wanted_on(state, rows, resource)
            asked = resource in DEFAULTS or state.pod.requests.get(resource, 0) > 0
            counts = (capacity > 0) & asked
            total += np.where(counts, weight * self._share(wanted, capacity), 0.0)
            weights += np.where(counts, weight, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            scores: Scores = np.where(weights > 0, np.floor(total / weights), 0.0)
        return scores

    def _share(self, wanted: Scores, capacity: Scores) -> Scores:
        """0 to 100 for how much of a resource would be used."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.strategy == "RequestedToCapacityRatio":
                percent = np.where(wanted > capacity, 100.0, np.floor(wanted * 100 / capacity))
                points = self.shape or [(0, 0), (100, 100)]
                return np.floor(np.interp(percent, [x for x, _ in points], [y for _, y in points]))
            # Pods that request nothing count for something, so that more may be wanted than there is.
            used = np.minimum(wanted, capacity)
            amount = used if self.strategy == "MostAllocated" else capacity - used
            return np.floor(amount * 100 / capacity)


def weights_of(resources: Sequence[Obj] | None) -> dict[str, int]:
    """The resources that count for a score, cpu and memory alike unless said otherwise."""
    listed = resources or [{"name": name, "weight": 1} for name in DEFAULTS]
    return {each["name"]: each.get("weight") or 1 for each in listed}


def wanted_on(state: State, rows: Ints, resource: str) -> Scores:
    """What would be used of a resource; for cpu and memory, pods that request nothing count for something."""
    if resource in DEFAULTS:
        used = state.nodes.scoring_used[rows, list(DEFAULTS).index(resource)]
        return (used + state.pod.scoring.get(resource, 0)).astype(np.float64)
    used = state.nodes.used[rows, state.nodes.column(resource)]
    return (used + state.pod.requests.get(resource, 0)).astype(np.float64)


class NodeResourcesBalancedAllocation(Plugin):
    """Prefer nodes whose cpu and memory would be used to the same degree."""

    name = "NodeResourcesBalancedAllocation"

    def __init__(self, arguments: Obj | None = None) -> None:
        self.resources = tuple(weights_of((arguments or {}).get("resources")))

    def score(self, state: State, rows: Ints) -> Scores | None:
        if not any(state.pod.requests.get(resource) for resource in self.resources):
            return None
        fractions = []
        for resource in self.resources:
            if resource not in DEFAULTS and not state.pod.requests.get(resource):
                continue
            column = state.nodes.column(resource)
            capacity = state.nodes.allocatable[rows, column].astype(np.float64)
            wanted = state.nodes.used[rows, column] + state.pod.requests.get(resource, 0)
            with np.errstate(divide="ignore", invalid="ignore"):
                fractions.append(np.where(capacity == 0, 0.0, np.minimum(wanted / capacity, 1.0)))
        # Of two fractions this is half their difference, as upstream has it.
        scores: Scores = (1 - np.std(fractions, axis=0)) * 100
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
