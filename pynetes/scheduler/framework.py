"""The scheduling framework: what a plugin is, and what it says.

The extension points and their names are upstream's; the difference is that a plugin judges all nodes in one call. A
`Rejection` is a mask of nodes and the words upstream uses, so the FailedScheduling event can count nodes by reason.
Plugins keep no state of one pod's cycle; what they work out for it goes into `State.notes` under their name.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pynetes.machinery.meta import Obj
from pynetes.scheduler.podinfo import PodInfo
from pynetes.scheduler.snapshot import Ints, Mask, Nodes

Scores = NDArray[np.float64]
MAX_SCORE = 100.0


class Lister(Protocol):
    """What plugins may ask of the cluster beside nodes and pods; an informer satisfies it."""

    def get(self, key: str) -> Obj | None:
        """One object."""
        ...

    def list(self, namespace: str | None = None) -> list[Obj]:
        """All objects, of one namespace if asked."""
        ...


@dataclass
class Cluster:
    """The cluster's other objects, by upstream's plural name (`persistentvolumeclaims`, `services`, …)."""

    listers: Mapping[str, Lister]
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def get(self, resource: str, key: str) -> Obj | None:
        """One object, or None."""
        return self.listers[resource].get(key)

    def list(self, resource: str, namespace: str | None = None) -> "list[Obj]":
        """All objects of a resource."""
        return self.listers[resource].list(namespace)


@dataclass
class State:
    """One pod's cycle."""

    pod: PodInfo
    nodes: Nodes
    cluster: Cluster
    notes: dict[str, Any] = field(default_factory=dict)
    only_nodes: dict[str, set[str]] = field(default_factory=dict)
    """Plugins that know beforehand which nodes alone can do; no plugin is asked about the others."""


@dataclass
class Rejection:
    """Nodes that do not fit, and why. `unresolvable`: removing other pods would not help."""

    mask: Mask
    reason: str
    unresolvable: bool = False


class Unschedulable(Exception):
    """The pod fits nowhere, for a reason that is not any node's."""

    def __init__(self, plugin: str, reason: str) -> None:
        super().__init__(reason)
        self.plugin = plugin
        self.reason = reason


class BindingFailed(Exception):
    """What a pod needs on its node could not be had after all."""


class Plugin:
    """What all plugins are; each overrides the points it takes part in.

    `wakes` names the cluster events after which a pod that this plugin rejected may fit.
    """

    name = ""
    wakes: frozenset[str] = frozenset()

    def pre_filter(self, state: State) -> None:
        """Look at the pod before any node; raise Unschedulable if no node can help."""

    def filter(self, state: State) -> Sequence[Rejection]:
        """Which nodes do not fit."""
        return ()

    def score(self, state: State, rows: Ints) -> Scores | None:
        """0 to 100 for each of `rows`, or None to abstain."""
        return None

    def reserve(self, state: State, node: str) -> None:
        """Take what the pod needs on `node` before it is bound; `unreserve` undoes it."""

    def unreserve(self, state: State, node: str) -> None:
        """Undo `reserve`."""

    async def pre_bind(self, state: State, node: str) -> None:
        """Do what must be done before the pod may be bound."""


@dataclass
class Verdict:
    """What all filters together said of a pod."""

    feasible: Mask
    reasons: Counter[str] = field(default_factory=Counter)
    plugins: set[str] = field(default_factory=set)
    unresolvable: Mask | None = None
    general: str = ""

    def message(self, nodes: Nodes) -> str:
        """The text of the FailedScheduling event, as upstream words it."""
        head = f"0/{len(nodes)} nodes are available"
        if self.general:
            return f"{head}: {self.general}."
        if not len(nodes):
            return "no nodes available to schedule pods"
        counted = ", ".join(sorted(f"{count} {reason}" for reason, count in self.reasons.items()))
        return f"{head}: {counted}." if counted else f"{head}."


def run_filters(state: State, plugins: Sequence[Plugin]) -> Verdict:
    """Run every filter; a node's reasons are those of the first plugin that rejects it."""
    nodes = state.nodes
    verdict = Verdict(nodes.valid.copy(), unresolvable=np.zeros(len(nodes.names), dtype=bool))
    assert verdict.unresolvable is not None
    if state.only_nodes:
        _leave_out(state, verdict)
    for plugin in plugins:
        if not verdict.feasible.any():
            break
        before = verdict.feasible.copy()
        for rejection in plugin.filter(state):
            hit = rejection.mask & before
            count = int(np.count_nonzero(hit))
            if not count:
                continue
            verdict.reasons[rejection.reason] += count
            verdict.plugins.add(plugin.name)
            verdict.feasible &= ~hit
            if rejection.unresolvable:
                verdict.unresolvable |= hit
    return verdict


def _leave_out(state: State, verdict: Verdict) -> None:
    """The nodes that need not be asked about."""
    assert verdict.unresolvable is not None
    wanted = set.intersection(*state.only_nodes.values())
    hit = verdict.feasible & ~np.isin(state.nodes.names, list(wanted))
    if count := int(np.count_nonzero(hit)):
        verdict.reasons[f"node(s) didn't satisfy plugin(s) [{' '.join(sorted(state.only_nodes))}]"] += count
        verdict.plugins.update(state.only_nodes)
        verdict.feasible &= ~hit
        verdict.unresolvable |= hit


def reasons_on(row: int, state: State, plugins: Sequence[Plugin]) -> set[str]:
    """Why one node does not fit: the words of the first plugin that rejects it."""
    for plugin in plugins:
        if found := {rejection.reason for rejection in plugin.filter(state) if rejection.mask[row]}:
            return found
    return set()


def run_scores(state: State, plugins: Sequence[tuple[Plugin, int]], rows: Ints) -> Scores:
    """The weighted sum of all scores for `rows`."""
    total = np.zeros(len(rows), dtype=np.float64)
    for plugin, weight in plugins:
        scores = plugin.score(state, rows)
        if scores is not None:
            total += weight * np.floor(scores)
    return total


def normalized(scores: Scores, *, reverse: bool = False) -> Scores:
    """Scores scaled so that the highest is 100; reversed, the highest becomes 0. All zero stays (reversed: all 100)."""
    highest = scores.max(initial=0.0)
    if highest == 0:
        return np.full_like(scores, MAX_SCORE) if reverse else scores
    scaled: Scores = np.floor(scores * MAX_SCORE / highest)
    return MAX_SCORE - scaled if reverse else scaled
