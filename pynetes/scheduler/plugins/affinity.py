"""InterPodAffinity: pods that want to be near, or far from, other pods, within a topology domain.

All of it is counting: how many pods a term speaks of stand in each domain, seen from the incoming pod (its terms over
the pods that are there) and from the pods that are there (their terms over the incoming pod).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from pynetes.machinery.meta import Obj
from pynetes.scheduler.framework import Plugin, Rejection, Scores, State
from pynetes.scheduler.podinfo import Term
from pynetes.scheduler.snapshot import Counts, Ints, Mask

HARD_AFFINITY_WEIGHT = 1


class InterPodAffinity(Plugin):
    """Required terms filter, preferred terms score."""

    name = "InterPodAffinity"
    wakes = frozenset({"node-add", "node-label", "pod-add", "pod-delete", "pod-label"})

    def __init__(self, arguments: Obj | None = None) -> None:
        given = arguments or {}
        self.hard_weight: int = given.get("hardPodAffinityWeight", HARD_AFFINITY_WEIGHT)
        self.ignores_wishes_of_others: bool = given.get("ignorePreferredTermsOfExistingPods", False)

    def filter(self, state: State) -> Sequence[Rejection]:
        """A node is refused for the first of the three that it fails, in upstream's order."""
        nodes, terms = state.nodes, state.pod.terms
        rejections: list[Rejection] = []
        said = np.zeros(len(nodes.names), dtype=bool)

        def refuse(mask: Mask, reason: str, *, unresolvable: bool = False) -> None:
            rejections.append(Rejection(mask & ~said, reason, unresolvable))
            said[mask] = True

        if terms.required_affinity:
            # A pod must match all of its own terms to count for any of them.
            lacking = np.zeros(len(nodes.names), dtype=bool)
            keyless = np.zeros(len(nodes.names), dtype=bool)
            found_any = False
            for term in terms.required_affinity:
                counts = nodes.count_term(term, state.cluster.namespaces)
                near = nodes.spread(counts, term.topology_key)
                found_any |= bool(near.any())
                keyless |= nodes.label(term.topology_key).codes < 0
                lacking |= near == 0
            # The first of a group that wants to be together has nobody to be near; it may go anywhere with the key.
            alone = not found_any and all(self._speaks_of_pod(term, state) for term in terms.required_affinity)
            mask = keyless if alone else lacking | keyless
            refuse(mask, "node(s) didn't match pod affinity rules", unresolvable=True)
        if terms.required_anti:
            mask = np.zeros(len(nodes.names), dtype=bool)
            for term in terms.required_anti:
                mask |= nodes.spread(nodes.count_term(term, state.cluster.namespaces), term.topology_key) > 0
            refuse(mask, "node(s) didn't match pod anti-affinity rules")
        if nodes.required_anti:
            mask = np.zeros(len(nodes.names), dtype=bool)
            for term, holders in nodes.required_anti.items():
                if self._speaks_of_pod(term, state):
                    mask |= nodes.spread(nodes.pour(holders), term.topology_key) > 0
            refuse(mask, "node(s) didn't satisfy existing pods anti-affinity rules")
        return rejections

    @staticmethod
    def _speaks_of_pod(term: Term, state: State) -> bool:
        pod = state.pod
        return term.matches(pod.namespace, pod.labels, state.cluster.namespaces.get(pod.namespace, {}))

    def score(self, state: State, rows: Ints) -> Scores | None:
        nodes, terms = state.nodes, state.pod.terms
        total = np.zeros(len(nodes.names), dtype=np.int64)
        for sign, own in ((1, terms.preferred_affinity), (-1, terms.preferred_anti)):
            for term in own:
                counts = nodes.count_term(term, state.cluster.namespaces)
                total += sign * term.weight * nodes.spread(counts, term.topology_key)
        wishes = bool(terms.preferred_affinity or terms.preferred_anti)
        if wishes or not self.ignores_wishes_of_others:
            total += self._from_others(state, nodes.preferred_affinity, None, 1)
            total += self._from_others(state, nodes.preferred_anti, None, -1)
            total += self._from_others(state, nodes.required_affinity, self.hard_weight, 1)
        chosen = total[rows].astype(np.float64)
        if not chosen.any():
            return None
        low, high = chosen.min(), chosen.max()
        return np.floor(100 * (chosen - low) / (high - low)) if high > low else np.zeros(len(rows))

    def _from_others(self, state: State, table: Mapping[Term, Counts], weight: int | None, sign: int) -> Ints:
        nodes = state.nodes
        total = np.zeros(len(nodes.names), dtype=np.int64)
        for term, counts in table.items():
            if self._speaks_of_pod(term, state):
                factor = term.weight if weight is None else weight
                total += sign * factor * nodes.spread(nodes.pour(counts), term.topology_key)
        return total
