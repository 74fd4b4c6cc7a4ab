"""From the cluster's changes to the scheduler's picture of it: nodes and pods into the snapshot, unscheduled pods into
the queue, and for every change the name of the event that waiting pods may be woken by.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator, Mapping, Sequence

from pynetes.client.client import Client
from pynetes.client.informer import Callback, InformerFactory
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj
from pynetes.scheduler.cycle import Scheduler
from pynetes.scheduler.framework import BindingFailed, Cluster
from pynetes.scheduler.plugins.volumes import BOUND_BY_CONTROLLER, SELECTED_NODE, is_bound
from pynetes.scheduler.podinfo import PodInfo, is_terminal, pod_info
from pynetes.scheduler.queue import SchedulingQueue
from pynetes.scheduler.snapshot import Nodes

log = logging.getLogger(__name__)

# What plugins look up beside nodes and pods, and the event that a change of it is.
RESOURCES = {
    "services": "service",
    "replicasets.apps": "",
    "replicationcontrollers": "",
    "statefulsets.apps": "",
    "persistentvolumeclaims": "pvc",
    "persistentvolumes": "pv",
    "storageclasses.storage.k8s.io": "storageclass",
    "csidrivers.storage.k8s.io": "csi-driver",
    "csistoragecapacities.storage.k8s.io": "csi-capacity",
    "csinodes.storage.k8s.io": "csi-node",
    "volumeattachments.storage.k8s.io": "volume-attachment",
    "poddisruptionbudgets.policy": "",
}
BIND_TIMEOUT = 600.0


class Namespaces(Mapping[str, Mapping[str, str]]):
    """The labels of every namespace, straight from the informer."""

    def __init__(self, factory: InformerFactory) -> None:
        self._informer = factory.get("namespaces", metadata_only=True)

    def __getitem__(self, name: str) -> Mapping[str, str]:
        found = self._informer.get(name)
        if found is None:
            raise KeyError(name)
        return meta.labels(found)

    def __iter__(self) -> Iterator[str]:
        return iter([meta.name(obj) for obj in self._informer.list()])

    def __len__(self) -> int:
        return len(self._informer)


def cluster_view(factory: InformerFactory) -> Cluster:
    """The listers that plugins use."""
    listers = {resource.partition(".")[0]: factory.get(resource) for resource in RESOURCES}
    return Cluster(listers, Namespaces(factory))


class Sources:
    """Feeds the scheduler."""

    def __init__(self, factory: InformerFactory, scheduler: Scheduler, names: Sequence[str]) -> None:
        self.nodes: Nodes = scheduler.nodes
        self.queue: SchedulingQueue = scheduler.queue
        self.scheduler = scheduler
        self.names = frozenset(names)
        self._infos: dict[str, PodInfo] = {}
        factory.get("nodes").on_change(self._on_node)
        factory.get("pods", field_selector="status.phase!=Succeeded,status.phase!=Failed").on_change(self._on_pod)
        for resource, event in RESOURCES.items():
            if event:
                factory.get(resource).on_change(self._teller(event))

    def _teller(self, event: str) -> Callback:
        return lambda old, new: self.queue.happened(event)

    # -- nodes ------------------------------------------------------------------------------------------------------

    def _on_node(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            assert old is not None
            self.nodes.remove_node(meta.name(old))
            self.queue.happened("node-delete")
            return
        self.nodes.set_node(new)
        for event in ["node-add"] if old is None else node_events(old, new):
            self.queue.happened(event)

    # -- pods -------------------------------------------------------------------------------------------------------

    def _on_pod(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and (new is None or meta.uid(old) != meta.uid(new)):
            self._drop(old)
        if new is None:
            return
        if is_terminal(new):
            self._drop(new)
        elif new["spec"].get("nodeName"):
            self._on_assigned(new)
        else:
            self._on_unassigned(old, new)

    def _drop(self, pod: Obj) -> None:
        uid = meta.uid(pod)
        self.queue.remove(uid)
        self.scheduler.nominated.pop(uid, None)
        info = self._infos.pop(uid, None)
        node = pod["spec"].get("nodeName")
        assumed = self.scheduler.assumed.pop(uid, None)
        if assumed is not None:
            info, node = assumed
        if info is not None and node:
            self.nodes.remove_pod(info, node)
            self.queue.happened("pod-delete")

    def _on_assigned(self, pod: Obj) -> None:
        uid, node = meta.uid(pod), pod["spec"]["nodeName"]
        self.queue.remove(uid)
        self.scheduler.nominated.pop(uid, None)
        before = self._infos.get(uid)
        if (assumed := self.scheduler.assumed.get(uid)) is not None:
            self.scheduler.confirm(uid)
            self.nodes.remove_pod(*assumed)
        elif before is not None and _same_to_scheduler(before.pod, pod):
            return
        if before is not None and before.pod["spec"].get("nodeName"):
            self.nodes.remove_pod(before, node)
        info = self._infos[uid] = pod_info(pod)
        self.nodes.add_pod(info, node)
        if before is None or not before.pod["spec"].get("nodeName"):
            self.queue.happened("pod-add")
        else:
            if meta.labels(before.pod) != meta.labels(pod):
                self.queue.happened("pod-label")
            if before.requests != info.requests:
                self.queue.happened("pod-shrink")

    def _on_unassigned(self, old: Obj | None, new: Obj) -> None:
        if new["spec"].get("schedulerName", "default-scheduler") not in self.names or meta.is_deleting(new):
            self.queue.remove(meta.uid(new))
            return
        if meta.uid(new) in self.scheduler.assumed:
            return
        if new["spec"].get("schedulingGates"):
            return
        info = pod_info(new)
        if nominated := (new.get("status") or {}).get("nominatedNodeName"):
            self.scheduler.nominated.setdefault(info.uid, (info, nominated))
        elif old is not None and (old.get("status") or {}).get("nominatedNodeName"):
            self.scheduler.nominated.pop(info.uid, None)
        same = old is not None and old["spec"] == new["spec"] and meta.labels(old) == meta.labels(new)
        if same:
            self.queue.refresh(info)
        else:
            self.queue.add(info)


def node_events(old: Obj, new: Obj) -> list[str]:
    """What about a node changed that may let a pod fit."""
    out = []
    if (old.get("status") or {}).get("allocatable") != (new.get("status") or {}).get("allocatable"):
        out.append("node-allocatable")
    if meta.labels(old) != meta.labels(new):
        out.append("node-label")
    if (old.get("spec") or {}).get("taints") != (new.get("spec") or {}).get("taints"):
        out.append("node-taint")
    if (old.get("spec") or {}).get("unschedulable") != (new.get("spec") or {}).get("unschedulable"):
        out.append("node-spec")
    return out


def _same_to_scheduler(old: Obj, new: Obj) -> bool:
    return (
        old["spec"] == new["spec"]
        and meta.labels(old) == meta.labels(new)
        and meta.is_deleting(old) == meta.is_deleting(new)
        and (old.get("status") or {}).get("startTime") == (new.get("status") or {}).get("startTime")
    )


def given_up(claim: Obj | None, revision: int) -> bool:
    """Whether a claim that had a node at `revision` has lost it again, unbound: its provisioner wants another one."""
    if claim is None:
        return True
    later = int(claim["metadata"]["resourceVersion"]) >= revision
    return later and not claim["spec"].get("volumeName") and SELECTED_NODE not in meta.annotations(claim)


class VolumeBinder:
    """Writes volume decisions to the cluster for the VolumeBinding plugin."""

    def __init__(self, client: Client, factory: InformerFactory) -> None:
        self._client = client
        self._claims = factory.get("persistentvolumeclaims")

    async def assume_volume(self, volume: Obj, claim: Obj) -> None:
        """Set the volume's claimRef; the persistent-volume controller does the rest."""
        reference = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": meta.namespace(claim),
            "name": meta.name(claim),
            "uid": meta.uid(claim),
            "resourceVersion": claim["metadata"].get("resourceVersion", ""),
        }
        patch = {
            "metadata": {
                "resourceVersion": volume["metadata"].get("resourceVersion"),
                "annotations": {BOUND_BY_CONTROLLER: "yes"},
            },
            "spec": {"claimRef": reference},
        }
        await self._client.patch("persistentvolumes", meta.name(volume), patch)

    async def select_node(self, claim: Obj, node: str) -> Obj:
        """Name the node on the claim."""
        patch = {"metadata": {"annotations": {SELECTED_NODE: node}}}
        return await self._client.patch(
            "persistentvolumeclaims", meta.name(claim), patch, namespace=meta.namespace(claim)
        )

    async def wait_bound(self, claims: Sequence[Obj], selected: Sequence[Obj]) -> None:
        """Return when all claims are bound; raises BindingFailed when a provisioner gave up, or after ten minutes."""
        keys = {meta.key(claim) for claim in claims}
        since = {meta.key(claim): int(claim["metadata"]["resourceVersion"]) for claim in selected}
        changed = asyncio.Event()

        def look(old: Obj | None, new: Obj | None) -> None:
            if meta.key(new or old or {}) in keys:
                changed.set()

        self._claims.on_change(look)
        deadline = clock.monotonic() + BIND_TIMEOUT
        try:
            while not all((claim := self._claims.get(key)) is not None and is_bound(claim) for key in keys):
                for key, revision in since.items():
                    if given_up(self._claims.get(key), revision):
                        raise BindingFailed(f'binding volumes: provisioning failed for PVC "{key.partition("/")[2]}"')
                if clock.monotonic() > deadline:
                    raise BindingFailed("binding volumes: context deadline exceeded")
                changed.clear()
                with contextlib.suppress(TimeoutError):
                    await clock.wait_for(changed.wait(), deadline - clock.monotonic())
        finally:
            self._claims.off_change(look)
