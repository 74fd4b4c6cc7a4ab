"""Plugins about the pod's volumes: are its claims bound, can its node reach them, may it share them.

A bound claim ties the pod to the nodes its volume's node affinity allows. An unbound one whose class waits for the
first consumer is bound through the scheduler's choice: either to a volume that fits and that the node reaches, or by
naming the node on the claim (`volume.kubernetes.io/selected-node`) and waiting until the provisioner has bound it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from pynetes.machinery import meta, quantity
from pynetes.machinery.meta import Obj
from pynetes.scheduler.framework import Plugin, Rejection, State, Unschedulable
from pynetes.scheduler.plugins.nodes import node_selector_term
from pynetes.scheduler.podinfo import label_selector
from pynetes.scheduler.snapshot import Mask, Nodes

SELECTED_NODE = "volume.kubernetes.io/selected-node"
BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
ZONE_LABELS = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)
VOLUME_EVENTS = frozenset({"node-add", "node-label", "pvc", "pv", "storageclass"})


class Binder(Protocol):
    """What VolumeBinding needs done before the pod is bound."""

    async def assume_volume(self, volume: Obj, claim: Obj) -> None:
        """Reserve a volume for a claim."""
        ...

    async def select_node(self, claim: Obj, node: str) -> None:
        """Name the node on a claim, for its provisioner."""
        ...

    async def wait_bound(self, claims: Sequence[Obj]) -> None:
        """Return when all claims are bound."""
        ...


@dataclass
class Plan:
    """What VolumeBinding found out about one pod's claims."""

    bound: list[Obj] = field(default_factory=list)
    waiting: list[Obj] = field(default_factory=list)
    chosen: dict[str, list[tuple[Obj, Obj | None]]] = field(default_factory=dict)


def claim_names(pod: Obj) -> list[str]:
    """The claims a pod uses; a generic ephemeral volume's claim is named after the pod and the volume."""
    out = []
    for volume in pod["spec"].get("volumes") or []:
        if "persistentVolumeClaim" in volume:
            out.append(volume["persistentVolumeClaim"]["claimName"])
        elif "ephemeral" in volume:
            out.append(f"{meta.name(pod)}-{volume['name']}")
    return out


def is_bound(claim: Obj) -> bool:
    """Whether a claim is bound for good."""
    return bool(claim["spec"].get("volumeName")) and BIND_COMPLETED in meta.annotations(claim)


def volume_nodes(volume: Obj, nodes: Nodes) -> Mask | None:
    """Which nodes reach a volume; None if all do."""
    required = ((volume["spec"].get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms")
    if required is None:
        return None
    mask = np.zeros(len(nodes.names), dtype=bool)
    for term in required:
        mask |= node_selector_term(term, nodes)
    return mask


def fits(volume: Obj, claim: Obj) -> bool:
    """Whether an unbound volume could satisfy a claim: class, mode, access, size, selector."""
    spec, wanted = volume["spec"], claim["spec"]
    reference = spec.get("claimRef")
    if reference:
        same = (reference.get("namespace"), reference.get("name")) == (meta.namespace(claim), meta.name(claim))
        return same and reference.get("uid") in (None, "", meta.uid(claim))
    if (volume.get("status") or {}).get("phase", "Available") != "Available" or meta.is_deleting(volume):
        return False
    if (spec.get("storageClassName") or "") != (wanted.get("storageClassName") or ""):
        return False
    if spec.get("volumeMode", "Filesystem") != wanted.get("volumeMode", "Filesystem"):
        return False
    if not set(wanted.get("accessModes") or ()) <= set(spec.get("accessModes") or ()):
        return False
    size = ((wanted.get("resources") or {}).get("requests") or {}).get("storage", "0")
    if quantity.compare((spec.get("capacity") or {}).get("storage", "0"), size) < 0:
        return False
    selector = wanted.get("selector")
    return selector is None or label_selector(selector).matches(meta.labels(volume))


class VolumeBinding(Plugin):
    """Bound claims restrict the nodes; claims that wait for their first consumer are bound by the choice of node."""

    name = "VolumeBinding"
    wakes = VOLUME_EVENTS

    def pre_filter(self, state: State) -> None:
        names = claim_names(state.pod.pod)
        if not names:
            return
        plan = Plan()
        for name in names:
            claim = state.cluster.get("persistentvolumeclaims", f"{state.pod.namespace}/{name}")
            if claim is None:
                raise Unschedulable(self.name, f'persistentvolumeclaim "{name}" not found')
            if meta.is_deleting(claim):
                raise Unschedulable(self.name, f'persistentvolumeclaim "{name}" is being deleted')
            if is_bound(claim):
                plan.bound.append(claim)
            elif self._waits(claim, state):
                plan.waiting.append(claim)
            else:
                raise Unschedulable(self.name, "pod has unbound immediate PersistentVolumeClaims")
        state.notes[self.name] = plan

    @staticmethod
    def _waits(claim: Obj, state: State) -> bool:
        class_name = claim["spec"].get("storageClassName")
        storage_class = state.cluster.get("storageclasses", class_name) if class_name else None
        return storage_class is not None and storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"

    def filter(self, state: State) -> Sequence[Rejection]:
        plan: Plan | None = state.notes.get(self.name)
        if plan is None:
            return ()
        nodes = state.nodes
        conflict = np.zeros(len(nodes.names), dtype=bool)
        missing = np.zeros(len(nodes.names), dtype=bool)
        unbindable = np.zeros(len(nodes.names), dtype=bool)
        for claim in plan.bound:
            volume = state.cluster.get("persistentvolumes", claim["spec"]["volumeName"])
            if volume is None:
                missing |= nodes.valid
            elif (allowed := volume_nodes(volume, nodes)) is not None:
                conflict |= ~allowed
        taken: set[str] = set()
        for claim in plan.waiting:
            unbindable |= ~self._bindable(claim, state, plan, taken)
        return [
            Rejection(missing, "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)", True),
            Rejection(conflict, "node(s) didn't match PersistentVolume's node affinity", True),
            Rejection(unbindable, "node(s) didn't find available persistent volumes to bind", True),
        ]

    def _bindable(self, claim: Obj, state: State, plan: Plan, taken: set[str]) -> Mask:
        """Where the claim could be bound: to the smallest volume that fits, or by its class's provisioner."""
        nodes = state.nodes
        open_nodes = np.zeros(len(nodes.names), dtype=bool)
        candidates = [
            v for v in state.cluster.list("persistentvolumes") if fits(v, claim) and meta.name(v) not in taken
        ]
        candidates.sort(key=lambda v: quantity.parse((v["spec"].get("capacity") or {}).get("storage", "0")))
        for volume in candidates:
            allowed = volume_nodes(volume, nodes)
            reach = nodes.valid if allowed is None else allowed
            for row in np.flatnonzero(reach & ~open_nodes):
                plan.chosen.setdefault(nodes.names[row], []).append((claim, volume))
            open_nodes |= reach
            if allowed is None:
                taken.add(meta.name(volume))
                break
        storage_class = state.cluster.get("storageclasses", claim["spec"]["storageClassName"]) or {}
        if storage_class.get("provisioner") not in (None, NO_PROVISIONER):
            selected = meta.annotations(claim).get(SELECTED_NODE)
            provision = nodes.valid.copy() if selected is None else np.array([name == selected for name in nodes.names])
            for row in np.flatnonzero(provision & ~open_nodes):
                plan.chosen.setdefault(nodes.names[row], []).append((claim, None))
            open_nodes = open_nodes | provision
        return open_nodes

    async def pre_bind(self, state: State, node: str) -> None:
        plan: Plan | None = state.notes.get(self.name)
        if plan is None or not plan.waiting:
            return
        binder: Binder = state.notes["binder"]
        for claim, volume in plan.chosen.get(node, []):
            if volume is not None:
                await binder.assume_volume(volume, claim)
            else:
                await binder.select_node(claim, node)
        await binder.wait_bound(plan.waiting)


class VolumeRestrictions(Plugin):
    """A claim with ReadWriteOncePod belongs to one pod at a time."""

    name = "VolumeRestrictions"
    wakes = frozenset({"pod-delete", "pvc", "node-add"})

    def filter(self, state: State) -> Sequence[Rejection]:
        names = set(claim_names(state.pod.pod))
        single = {name for name in names if self._once_per_pod(name, state)}
        if not single:
            return ()
        nodes = state.nodes
        mask = np.zeros(len(nodes.names), dtype=bool)
        for row, pods in nodes.pods.items():
            for other in pods.values():
                if other.namespace == state.pod.namespace and single & set(claim_names(other.pod)):
                    mask[row] = True
        if not mask.any():
            return ()
        reason = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
        return [Rejection(nodes.valid, reason)]

    @staticmethod
    def _once_per_pod(name: str, state: State) -> bool:
        claim = state.cluster.get("persistentvolumeclaims", f"{state.pod.namespace}/{name}")
        return claim is not None and "ReadWriteOncePod" in (claim["spec"].get("accessModes") or ())


class VolumeZone(Plugin):
    """A volume labelled with a zone or region is used in that zone or region."""

    name = "VolumeZone"
    wakes = VOLUME_EVENTS

    def filter(self, state: State) -> Sequence[Rejection]:
        plan: Plan | None = state.notes.get(VolumeBinding.name)
        if plan is None or not plan.bound:
            return ()
        nodes = state.nodes
        mask = np.zeros(len(nodes.names), dtype=bool)
        for claim in plan.bound:
            volume = state.cluster.get("persistentvolumes", claim["spec"]["volumeName"]) or {}
            for key in ZONE_LABELS:
                if zones := meta.labels(volume).get(key):
                    column = nodes.label(key)
                    good = [column.vocabulary[z] for z in zones.split("__") if z in column.vocabulary]
                    # Nodes without the label are not refused: on a cluster without zones all volumes are near.
                    mask |= (column.codes >= 0) & ~np.isin(column.codes, good)
        return [Rejection(mask, "node(s) had no available volume zone", unresolvable=True)]
