"""Plugins about the pod's volumes: are its claims bound, can its node reach them, may it share them.

A bound claim ties the pod to the nodes its volume's node affinity allows. An unbound one whose class waits for the
first consumer is bound through the scheduler's choice: either to a volume that fits and that the node reaches, or by
naming the node on the claim (`volume.kubernetes.io/selected-node`) and waiting until the provisioner has bound it.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from pynetes.machinery import meta, quantity, selectors
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
VOLUME_EVENTS = frozenset({"node-add", "node-label", "pvc", "pv", "storageclass", "csi-driver", "csi-capacity"})


class Binder(Protocol):
    """What VolumeBinding needs done before the pod is bound."""

    async def assume_volume(self, volume: Obj, claim: Obj) -> None:
        """Reserve a volume for a claim."""
        ...

    async def select_node(self, claim: Obj, node: str) -> Obj:
        """Name the node on a claim, for its provisioner; returns the claim as it is then."""
        ...

    async def wait_bound(self, claims: Sequence[Obj], selected: Sequence[Obj]) -> None:
        """Return when all claims are bound; raises when a provisioner gave up one of those `selected` for a node."""
        ...


@dataclass
class Plan:
    """What VolumeBinding found out about one pod's claims."""

    bound: list[Obj] = field(default_factory=list)
    waiting: list[Obj] = field(default_factory=list)
    chosen: dict[str, list[tuple[Obj, Obj | None]]] = field(default_factory=dict)


@dataclass
class Assumptions:
    """What pods that are not bound yet have been promised; the cluster does not show it, the next pod must know it.

    A promise ends when it is taken back, or when the cluster shows that it was kept.
    """

    volumes: dict[str, Obj] = field(default_factory=dict)  # by the volume's uid, the claim it is for
    nodes: dict[str, str] = field(default_factory=dict)  # by the claim's uid, the node it is provisioned for

    def free_for(self, volume: Obj, claim: Obj) -> bool:
        """Whether nobody else was promised the volume."""
        holder = self.volumes.get(meta.uid(volume))
        if holder is not None and volume["spec"].get("claimRef"):
            del self.volumes[meta.uid(volume)]
            return True
        return holder is None or meta.uid(holder) == meta.uid(claim)

    def volume_of(self, claim: Obj) -> str | None:
        """The uid of the volume that a claim was promised."""
        return next((uid for uid, holder in self.volumes.items() if meta.uid(holder) == meta.uid(claim)), None)

    def node_of(self, claim: Obj) -> str | None:
        """The node that a claim is provisioned for."""
        return meta.annotations(claim).get(SELECTED_NODE) or self.nodes.get(meta.uid(claim))


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
        with contextlib.suppress(ValueError):  # a term that makes no sense matches nothing
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

    def __init__(self) -> None:
        self.assumptions = Assumptions()

    def pre_filter(self, state: State) -> None:
        names = claim_names(state.pod.pod)
        if not names:
            return
        plan = Plan()
        claims = [state.cluster.get("persistentvolumeclaims", f"{state.pod.namespace}/{name}") for name in names]
        for name, claim in zip(names, claims, strict=True):
            if problem := claim_problem(state.pod.pod, name, claim):
                raise Unschedulable(self.name, problem)
        for claim in claims:
            assert claim is not None
            if is_bound(claim):
                plan.bound.append(claim)
            elif self._waits(claim, state):
                plan.waiting.append(claim)
            else:
                raise Unschedulable(self.name, "pod has unbound immediate PersistentVolumeClaims")
        state.notes[self.name] = plan

    @staticmethod
    def _waits(claim: Obj, state: State) -> bool:
        if claim["spec"].get("volumeName"):
            return False
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
        cramped = np.zeros(len(nodes.names), dtype=bool)
        for claim in plan.bound:
            volume = state.cluster.get("persistentvolumes", claim["spec"]["volumeName"])
            if volume is None:
                missing |= nodes.valid
            elif (allowed := volume_nodes(volume, nodes)) is not None:
                conflict |= ~allowed
        plan.chosen.clear()
        for claim in plan.waiting:
            bindable, full = self._bindable(claim, state, plan)
            unbindable |= ~bindable & ~full
            cramped |= full
        return [
            Rejection(missing, "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)", True),
            Rejection(conflict, "node(s) didn't match PersistentVolume's node affinity", True),
            Rejection(unbindable, "node(s) didn't find available persistent volumes to bind", True),
            Rejection(cramped, "node(s) did not have enough free storage", True),
        ]

    def _bindable(self, claim: Obj, state: State, plan: Plan) -> tuple[Mask, Mask]:
        """Where the claim could be bound, to the smallest volume that fits or by its class's provisioner; and where
        only the storage for that is lacking.
        """
        nodes = state.nodes
        open_nodes = np.zeros(len(nodes.names), dtype=bool)
        selected = self.assumptions.node_of(claim)
        for volume in () if selected else self._candidates(claim, state):
            allowed = volume_nodes(volume, nodes)
            reach = nodes.valid if allowed is None else allowed
            for row in np.flatnonzero(reach & ~open_nodes):
                chosen = plan.chosen.setdefault(nodes.names[row], [])
                if not any(other is not None and meta.uid(other) == meta.uid(volume) for _, other in chosen):
                    chosen.append((claim, volume))
                    open_nodes[row] = True
        storage_class = state.cluster.get("storageclasses", claim["spec"]["storageClassName"]) or {}
        full = np.zeros(len(nodes.names), dtype=bool)
        if storage_class.get("provisioner") in (None, "", NO_PROVISIONER):
            return open_nodes, full
        provision = provisionable(storage_class, nodes) & ~open_nodes
        if selected:
            provision &= np.array([name == selected for name in nodes.names])
        else:
            full = provision & ~with_capacity(claim, storage_class, state)
            provision &= ~full
        for row in np.flatnonzero(provision):
            plan.chosen.setdefault(nodes.names[row], []).append((claim, None))
        return open_nodes | provision, full

    def _candidates(self, claim: Obj, state: State) -> list[Obj]:
        """The volumes that the claim may have: the one it was promised, the one made for it, or the smallest first."""
        found = [
            volume
            for volume in state.cluster.list("persistentvolumes")
            if fits(volume, claim) and self.assumptions.free_for(volume, claim)
        ]
        promised = self.assumptions.volume_of(claim)
        own = [v for v in found if v["spec"].get("claimRef") or meta.uid(v) == promised]
        if own:
            return own[:1]
        return sorted(found, key=lambda v: quantity.parse((v["spec"].get("capacity") or {}).get("storage", "0")))

    def reserve(self, state: State, node: str) -> None:
        for claim, volume in self._choices(state, node):
            if volume is not None:
                self.assumptions.volumes[meta.uid(volume)] = claim
            else:
                self.assumptions.nodes[meta.uid(claim)] = node

    def unreserve(self, state: State, node: str) -> None:
        for claim, volume in self._choices(state, node):
            if volume is not None:
                self.assumptions.volumes.pop(meta.uid(volume), None)
            else:
                self.assumptions.nodes.pop(meta.uid(claim), None)

    def _choices(self, state: State, node: str) -> list[tuple[Obj, Obj | None]]:
        plan: Plan | None = state.notes.get(self.name)
        return plan.chosen.get(node, []) if plan is not None else []

    async def pre_bind(self, state: State, node: str) -> None:
        plan: Plan | None = state.notes.get(self.name)
        if plan is None or not plan.waiting:
            return
        binder: Binder = state.notes["binder"]
        selected = []
        for claim, volume in self._choices(state, node):
            if volume is None:
                selected.append(await binder.select_node(claim, node))
            elif not volume["spec"].get("claimRef", {}).get("uid"):
                await binder.assume_volume(volume, claim)
        await binder.wait_bound(plan.waiting, selected)
        for claim in selected:
            self.assumptions.nodes.pop(meta.uid(claim), None)


def claim_problem(pod: Obj, name: str, claim: Obj | None) -> str:
    """Why a pod cannot use a claim at all, if it cannot."""
    listed = {volume["name"] for volume in pod["spec"].get("volumes") or [] if "ephemeral" in volume}
    ephemeral = name in {f"{meta.name(pod)}-{volume}" for volume in listed}
    if claim is None and ephemeral:
        return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
    if claim is None:
        return f'persistentvolumeclaim "{name}" not found'
    if (claim.get("status") or {}).get("phase") == "Lost":
        volume = claim["spec"].get("volumeName", "")
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
    if meta.is_deleting(claim):
        return f'persistentvolumeclaim "{name}" is being deleted'
    owner = meta.controller_of(claim)
    if ephemeral and (owner is None or owner.get("uid") != meta.uid(pod)):
        return f"PVC {meta.key(claim)} was not created for pod {meta.key(pod)} (pod is not owner)"
    return ""


def provisionable(storage_class: Obj, nodes: Nodes) -> Mask:
    """The nodes that a class's `allowedTopologies` admit."""
    terms = storage_class.get("allowedTopologies")
    if not terms:
        return nodes.valid.copy()
    mask = np.zeros(len(nodes.names), dtype=bool)
    for term in terms:
        expressions = term.get("matchLabelExpressions") or []
        wanted = [{"key": e["key"], "operator": "In", "values": e.get("values") or []} for e in expressions]
        if wanted:
            mask |= nodes.matching(selectors.from_node_selector_requirements(wanted))
    return mask


def with_capacity(claim: Obj, storage_class: Obj, state: State) -> Mask:
    """The nodes whose storage is known to hold the claim, or of whose storage the driver tells nothing (KEP-1472)."""
    nodes = state.nodes
    driver = state.cluster.get("csidrivers", storage_class["provisioner"]) or {}
    if not (driver.get("spec") or {}).get("storageCapacity"):
        return nodes.valid
    size = ((claim["spec"].get("resources") or {}).get("requests") or {}).get("storage", "0")
    mask = np.zeros(len(nodes.names), dtype=bool)
    for capacity in state.cluster.list("csistoragecapacities"):
        limit = capacity.get("maximumVolumeSize") or capacity.get("capacity")
        if capacity.get("storageClassName") != meta.name(storage_class) or limit is None:
            continue
        if quantity.compare(limit, size) >= 0 and capacity.get("nodeTopology") is not None:
            mask |= nodes.matching(label_selector(capacity["nodeTopology"]))
    return mask


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
                    mask |= ~np.isin(column.codes, good)
        # Nodes without any such label are not refused: on a cluster without zones all volumes are near.
        mask &= np.any([nodes.label(key).codes >= 0 for key in ZONE_LABELS], axis=0)
        return [Rejection(mask, "node(s) had no available volume zone", unresolvable=True)]
