"""Plugins that look at the node alone: its name, its taints, its labels, its images, whether it is cordoned."""

import contextlib
from collections.abc import Sequence

import numpy as np

from pynetes.machinery import selectors
from pynetes.machinery.meta import Obj
from pynetes.machinery.tolerations import untolerated
from pynetes.scheduler.framework import Plugin, Rejection, Scores, State, normalized
from pynetes.scheduler.snapshot import Ints, Mask, Nodes

MEGABYTE = 1024 * 1024
UNSCHEDULABLE_TAINT: Obj = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
HARD_EFFECTS = ("NoSchedule", "NoExecute")
SOFT_EFFECTS = ("PreferNoSchedule",)


class NodeUnschedulable(Plugin):
    """A cordoned node takes only pods that tolerate its being cordoned."""

    name = "NodeUnschedulable"
    wakes = frozenset({"node-add", "node-spec"})

    def filter(self, state: State) -> Sequence[Rejection]:
        if not state.nodes.unschedulable.any():
            return ()
        if not untolerated(state.pod.tolerations, [UNSCHEDULABLE_TAINT], HARD_EFFECTS):
            return ()
        return [Rejection(state.nodes.unschedulable, "node(s) were unschedulable", unresolvable=True)]


class NodeName(Plugin):
    """`spec.nodeName`, where a pod that names its node still comes by."""

    name = "NodeName"
    wakes = frozenset({"node-add"})

    def filter(self, state: State) -> Sequence[Rejection]:
        wanted = state.pod.spec.get("nodeName")
        if not wanted:
            return ()
        mask = np.ones(len(state.nodes.names), dtype=bool)
        if (row := state.nodes.rows.get(wanted)) is not None:
            mask[row] = False
        return [Rejection(mask, "node(s) didn't match the requested node name", unresolvable=True)]


class TaintToleration(Plugin):
    """NoSchedule and NoExecute taints keep pods away; PreferNoSchedule ones lower the score."""

    name = "TaintToleration"
    wakes = frozenset({"node-add", "node-taint"})

    def filter(self, state: State) -> Sequence[Rejection]:
        """Each distinct set of taints is judged once."""
        bad = [
            number
            for number, taints in enumerate(state.nodes.taint_sets)
            if untolerated(state.pod.tolerations, taints, HARD_EFFECTS)
        ]
        if not bad:
            return ()
        return [Rejection(np.isin(state.nodes.taints, bad), "node(s) had untolerated taint(s)", unresolvable=True)]

    def score(self, state: State, rows: Ints) -> Scores | None:
        counts = np.array(
            [len(untolerated(state.pod.tolerations, taints, SOFT_EFFECTS)) for taints in state.nodes.taint_sets],
            dtype=np.float64,
        )
        return normalized(counts[state.nodes.taints[rows]], reverse=True)


def node_selector_term(term: Obj, nodes: Nodes) -> Mask:
    """Which nodes one `nodeSelectorTerm` matches; an empty term matches none. ValueError if it makes no sense."""
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return np.zeros(len(nodes.names), dtype=bool)
    mask = nodes.matching(selectors.from_node_selector_requirements(expressions)) if expressions else nodes.valid.copy()
    for field in fields:
        named = np.zeros(len(nodes.names), dtype=bool)
        for name in field.get("values") or []:
            if (row := nodes.rows.get(name)) is not None:
                named[row] = True
        mask &= named if field.get("operator") == "In" else ~named
    return mask


def required_nodes(spec: Obj, nodes: Nodes) -> Mask | None:
    """Which nodes `nodeSelector` and required node affinity allow; None if the pod has neither."""
    wanted = spec.get("nodeSelector")
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not wanted and required is None:
        return None
    mask = nodes.matching(selectors.from_labels(wanted)) if wanted else nodes.valid.copy()
    if required is not None:
        any_term = np.zeros(len(nodes.names), dtype=bool)
        for term in required.get("nodeSelectorTerms") or []:
            with contextlib.suppress(ValueError):  # a term that makes no sense matches nothing, as upstream has it
                any_term |= node_selector_term(term, nodes)
        mask &= any_term
    return mask


def named_nodes(spec: Obj) -> set[str] | None:
    """The nodes that required affinity names one by one, as DaemonSets' pods do; None if any term does not.

    Upstream asks no plugin about any other node.
    """
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    terms = (affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}).get("nodeSelectorTerms")
    out: set[str] = set()
    for term in terms or ():
        fields = term.get("matchFields") or ()
        sets = [set(f.get("values") or ()) for f in fields if f.get("operator") == "In"]
        if not sets:
            return None
        out |= set.intersection(*sets)
    return out if terms else None


class NodeAffinity(Plugin):
    """`nodeSelector` and node affinity."""

    name = "NodeAffinity"
    wakes = frozenset({"node-add", "node-label"})

    def __init__(self, arguments: Obj | None = None) -> None:
        self.added: Obj = (arguments or {}).get("addedAffinity") or {}

    def pre_filter(self, state: State) -> None:
        if (named := named_nodes(state.pod.spec)) is not None:
            state.only_nodes[self.name] = named

    def filter(self, state: State) -> Sequence[Rejection]:
        rejections = []
        enforced = required_nodes({"affinity": {"nodeAffinity": self.added}}, state.nodes) if self.added else None
        if enforced is not None:
            rejections.append(Rejection(~enforced, "node(s) didn't match scheduler-enforced node affinity", True))
        allowed = required_nodes(state.pod.spec, state.nodes)
        if allowed is not None:
            mask = ~allowed if enforced is None else ~allowed & enforced
            rejections.append(Rejection(mask, "node(s) didn't match Pod's node affinity/selector", unresolvable=True))
        return rejections

    def score(self, state: State, rows: Ints) -> Scores | None:
        affinity = (state.pod.spec.get("affinity") or {}).get("nodeAffinity") or {}
        field = "preferredDuringSchedulingIgnoredDuringExecution"
        preferred = [*(affinity.get(field) or ()), *(self.added.get(field) or ())]
        if not preferred:
            return None
        total = np.zeros(len(rows), dtype=np.float64)
        for term in preferred:
            if not (preference := term.get("preference")):
                continue
            try:
                total += term.get("weight", 0) * node_selector_term(preference, state.nodes)[rows]
            except ValueError as error:
                raise ValueError(f'running PreScore plugin "NodeAffinity": {error}') from None
        return normalized(total)


class ImageLocality(Plugin):
    """Prefer nodes that have the pod's images, larger ones more, and less so what only few nodes have."""

    name = "ImageLocality"

    def score(self, state: State, rows: Ints) -> Scores | None:
        containers = [*(state.pod.spec.get("containers") or []), *(state.pod.spec.get("initContainers") or [])]
        total = np.zeros(len(state.nodes.names), dtype=np.float64)
        for container in containers:
            sizes = state.nodes.images.get(_tagged(container.get("image") or ""))
            if sizes:
                share = len(sizes) / max(len(state.nodes), 1)
                for row, size in sizes.items():
                    total[row] += int(size * share)
        low, high = 23 * MEGABYTE, 1000 * MEGABYTE * max(len(containers), 1)
        clamped = np.clip(total[rows], low, high)
        scores: Scores = 100 * (clamped - low) / (high - low)
        return scores


def _tagged(image: str) -> str:
    """An image's name as nodes report it, with its tag."""
    return image if ":" in image.rpartition("/")[2] else f"{image}:latest"
