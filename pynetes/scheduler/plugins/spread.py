"""PodTopologySpread: pods of a group spread evenly over zones, hosts or any other label.

A constraint counts the group's pods in each domain; a node is refused (or scored lower) if placing the pod there
would make its domain exceed the emptiest one by more than maxSkew. Pods without constraints of their own get
upstream's defaults: soft spreading over hosts (skew 3) and zones (skew 5) of what belongs to one service or workload.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pynetes.machinery import meta, selectors
from pynetes.machinery.meta import Obj
from pynetes.machinery.tolerations import untolerated
from pynetes.scheduler.framework import Plugin, Rejection, Scores, State
from pynetes.scheduler.plugins.nodes import HARD_EFFECTS, required_nodes
from pynetes.scheduler.podinfo import PodInfo, label_selector, with_keys
from pynetes.scheduler.snapshot import HOSTNAME, Ints, Mask

DEFAULT_CONSTRAINTS = ((HOSTNAME, 3), ("topology.kubernetes.io/zone", 5))
OWNER_RESOURCES = {
    "ReplicaSet": "replicasets",
    "ReplicationController": "replicationcontrollers",
    "StatefulSet": "statefulsets",
}


@dataclass(frozen=True)
class Constraint:
    """One topology spread constraint."""

    topology_key: str
    max_skew: int
    selector: selectors.LabelSelector
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False


def constraints_of(pod: PodInfo, action: str) -> list[Constraint]:
    """The pod's own constraints with that `whenUnsatisfiable`."""
    out = []
    for each in pod.spec.get("topologySpreadConstraints") or []:
        if each.get("whenUnsatisfiable", "DoNotSchedule") != action:
            continue
        selector = each.get("labelSelector")
        if each.get("matchLabelKeys"):
            selector = with_keys(selector, pod.labels, each["matchLabelKeys"])
        out.append(
            Constraint(
                each["topologyKey"],
                each.get("maxSkew", 1),
                label_selector(selector),
                each.get("minDomains") or 1,
                each.get("nodeAffinityPolicy", "Honor") == "Honor",
                each.get("nodeTaintsPolicy", "Ignore") == "Honor",
            )
        )
    return out


def default_constraints(state: State) -> list[Constraint]:
    """Upstream's default constraints, if the pod belongs to a service or a workload."""
    selector = _group_selector(state)
    if selector is None:
        return []
    return [Constraint(key, skew, selector) for key, skew in DEFAULT_CONSTRAINTS]


def _group_selector(state: State) -> selectors.LabelSelector | None:
    """What the services that select the pod, and the workload that owns it, select by."""
    pod = state.pod
    wanted: dict[str, str] = {}
    expressions: list[Obj] = []
    for service in state.cluster.list("services", pod.namespace):
        chosen = (service.get("spec") or {}).get("selector")
        if chosen and all(pod.labels.get(key) == value for key, value in chosen.items()):
            wanted |= chosen
    owner = meta.controller_of(pod.pod)
    resource = OWNER_RESOURCES.get(owner["kind"]) if owner else None
    if owner and resource and (workload := state.cluster.get(resource, f"{pod.namespace}/{owner['name']}")):
        selector = workload["spec"].get("selector") or {}
        if resource == "replicationcontrollers":
            wanted |= selector
        else:
            wanted |= selector.get("matchLabels") or {}
            expressions += selector.get("matchExpressions") or []
    if not wanted and not expressions:
        return None
    return label_selector({"matchLabels": wanted, "matchExpressions": expressions})


class PodTopologySpread(Plugin):
    """DoNotSchedule constraints filter, ScheduleAnyway ones score."""

    name = "PodTopologySpread"
    wakes = frozenset({"node-add", "node-label", "node-taint", "node-delete", "pod-add", "pod-delete", "pod-label"})

    def __init__(self, arguments: Obj | None = None) -> None:
        given = arguments or {}
        self.defaults: list[Obj] | None = None
        if given.get("defaultingType") == "List" or given.get("defaultConstraints"):
            self.defaults = given.get("defaultConstraints") or []

    def _constraints(self, state: State, action: str) -> list[Constraint]:
        """The pod's own constraints, or for a pod without any the defaults."""
        if state.pod.spec.get("topologySpreadConstraints"):
            return constraints_of(state.pod, action)
        if self.defaults is None:
            return default_constraints(state) if action == "ScheduleAnyway" else []
        selector = _group_selector(state) if self.defaults else None
        if selector is None:
            return []
        return [
            Constraint(each["topologyKey"], each.get("maxSkew", 1), selector)
            for each in self.defaults
            if each.get("whenUnsatisfiable") == action
        ]

    def filter(self, state: State) -> Sequence[Rejection]:
        nodes = state.nodes
        constraints = self._constraints(state, "DoNotSchedule")
        if not constraints:
            return ()
        every_key = self._with_keys(state, constraints)
        keyless = np.zeros(len(nodes.names), dtype=bool)
        skewed = np.zeros(len(nodes.names), dtype=bool)
        for constraint in constraints:
            column = nodes.label(constraint.topology_key)
            keyless |= column.codes < 0
            counted = self._counted_nodes(state, constraint) & every_key
            counts = np.where(counted, nodes.count_pods(constraint.selector, state.pod.namespace), 0)
            domains = np.unique(column.codes[counted])
            per_node = nodes.spread(counts, constraint.topology_key)
            fewest = int(per_node[counted].min()) if len(domains) >= constraint.min_domains and len(domains) else 0
            itself = 1 if constraint.selector.matches(state.pod.labels) else 0
            in_counted_domain = np.isin(column.codes, domains)
            skewed |= np.where(in_counted_domain, per_node, 0) + itself - fewest > constraint.max_skew
        return [
            Rejection(
                keyless,
                "node(s) didn't match pod topology spread constraints (missing required label)",
                unresolvable=True,
            ),
            Rejection(skewed & ~keyless, "node(s) didn't match pod topology spread constraints"),
        ]

    @staticmethod
    def _with_keys(state: State, constraints: Sequence[Constraint]) -> Mask:
        """The nodes that have every topology key."""
        mask = state.nodes.valid.copy()
        for constraint in constraints:
            mask &= state.nodes.label(constraint.topology_key).codes >= 0
        return mask

    @staticmethod
    def _counted_nodes(state: State, constraint: Constraint) -> Mask:
        """The nodes whose pods count, by the node inclusion policies (KEP-3094)."""
        nodes = state.nodes
        mask = nodes.valid.copy()
        if constraint.honor_affinity and (allowed := required_nodes(state.pod.spec, nodes)) is not None:
            mask &= allowed
        if constraint.honor_taints:
            good = [not untolerated(state.pod.tolerations, taints, HARD_EFFECTS) for taints in nodes.taint_sets]
            mask &= np.array(good, dtype=bool)[nodes.taints]
        return mask

    def score(self, state: State, rows: Ints) -> Scores | None:
        nodes = state.nodes
        own = bool(state.pod.spec.get("topologySpreadConstraints")) or self.defaults is not None
        constraints = self._constraints(state, "ScheduleAnyway")
        if not constraints:
            return None
        usable = self._with_keys(state, constraints)[rows] if own else np.ones(len(rows), dtype=bool)
        total = np.zeros(len(rows), dtype=np.float64)
        for constraint in constraints:
            column = nodes.label(constraint.topology_key)
            here = column.codes[rows]
            counted = self._counted_nodes(state, constraint)
            counts = np.where(counted, nodes.count_pods(constraint.selector, state.pod.namespace), 0)
            near = counts if constraint.topology_key == HOSTNAME else nodes.spread(counts, constraint.topology_key)
            size = len(rows) if constraint.topology_key == HOSTNAME else len(np.unique(here[here >= 0]))
            weight = math.log(size + 2)
            total += np.where(here >= 0, near[rows] * weight + (constraint.max_skew - 1), 0.0)
        total = np.round(total)
        if not usable.any():
            return np.zeros(len(rows))
        low, high = total[usable].min(), total[usable].max()
        if high == 0:
            return np.where(usable, 100.0, 0.0)
        return np.where(usable, np.floor(100 * (high + low - total) / high), 0.0)
