"""NodeVolumeLimits: a node's CSI drivers can attach only so many volumes (`CSINode.spec.drivers[].allocatable.count`).

Counted are the distinct volumes of each driver: those of the pods on the node, and those still attached to it though no
pod uses them. A pod whose volumes are all among them adds nothing.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from pynetes.machinery import meta
from pynetes.machinery.meta import Obj
from pynetes.scheduler.framework import Plugin, Rejection, State
from pynetes.scheduler.plugins.volumes import claim_names

Volume = tuple[str, str]
"""A driver and what it calls the volume."""


def volumes_of(pod: Obj, state: State) -> Iterator[Volume]:
    """The CSI volumes that a pod uses. One that is not there yet is known by its claim."""
    namespace = meta.namespace(pod)
    for name in claim_names(pod):
        claim = state.cluster.get("persistentvolumeclaims", f"{namespace}/{name}")
        if claim is None:
            continue
        if volume := state.cluster.get("persistentvolumes", claim["spec"].get("volumeName") or ""):
            if csi := volume["spec"].get("csi"):
                yield csi["driver"], csi["volumeHandle"]
        elif storage_class := state.cluster.get("storageclasses", claim["spec"].get("storageClassName") or ""):
            yield storage_class.get("provisioner", ""), meta.key(claim)


class NodeVolumeLimits(Plugin):
    """No driver gets more volumes on a node than it can attach there."""

    name = "NodeVolumeLimits"
    wakes = frozenset({"node-add", "csi-node", "pod-delete", "pvc", "volume-attachment"})

    def filter(self, state: State) -> Sequence[Rejection]:
        wanted = set(volumes_of(state.pod.pod, state))
        if not wanted:
            return ()
        drivers = {driver for driver, _ in wanted}
        mask = np.zeros(len(state.nodes.names), dtype=bool)
        for csi_node in state.cluster.list("csinodes"):
            row = state.nodes.rows.get(meta.name(csi_node))
            limits = {
                driver["name"]: driver["allocatable"]["count"]
                for driver in (csi_node.get("spec") or {}).get("drivers") or []
                if driver["name"] in drivers and (driver.get("allocatable") or {}).get("count") is not None
            }
            if row is None or not limits:
                continue
            there = set(self._attached(meta.name(csi_node), state))
            for pod in state.nodes.pods_on(meta.name(csi_node)):
                there.update(volumes_of(pod.pod, state))
            for driver, limit in limits.items():
                new = sum(volume[0] == driver for volume in wanted - there)
                if new and new + sum(volume[0] == driver for volume in there) > limit:
                    mask[row] = True
        return [Rejection(mask, "node(s) exceed max volume count")]

    @staticmethod
    def _attached(node: str, state: State) -> Iterator[Volume]:
        for attachment in state.cluster.list("volumeattachments"):
            spec = attachment["spec"]
            if spec.get("nodeName") != node:
                continue
            name = (spec.get("source") or {}).get("persistentVolumeName") or ""
            if (volume := state.cluster.get("persistentvolumes", name)) and (csi := volume["spec"].get("csi")):
                yield csi["driver"], csi["volumeHandle"]
