"""Static pods: manifests in a directory of the node, run without asking anyone.

Each file holds one pod. It gets a uid from its contents, the node's name behind its own, and runs like any other;
the API shows a mirror of it, which the kubelet makes and re-makes and whose deletion does nothing to the pod. The
directory is watched through inotify: a changed file is another pod, a vanished file ends its pod.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from pynetes.client.client import Unreachable
from pynetes.kubelet import inotify, spec
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.kubelet.kubelet import Kubelet

log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.1
RETRY_SECONDS = 1.0
CHANGES = inotify.CLOSE_WRITE | inotify.MOVED_TO | inotify.MOVED_FROM | inotify.DELETE


def parse(text: str, node_name: str) -> Obj:
    """The pod of a manifest as it runs on this node; raises ValueError for what is no pod."""
    try:
        pod = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    if not isinstance(pod, dict) or pod.get("kind") != "Pod" or not (pod.get("spec") or {}).get("containers"):
        raise ValueError("not a Pod")
    metadata = pod.setdefault("metadata", {})
    metadata["name"] = f"{metadata.get('name', '')}-{node_name}"
    metadata.setdefault("namespace", "default")
    digest = hashlib.md5(f"{json.dumps(pod, sort_keys=True, default=str)}{node_name}".encode()).hexdigest()
    metadata["uid"] = metadata.get("uid") or digest
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        spec.STATIC_HASH: digest,
        spec.STATIC_SOURCE: "file",
        spec.STATIC_SEEN: clock.micro_timestamp(),
    }
    metadata["creationTimestamp"] = clock.timestamp()
    pod["spec"]["nodeName"] = node_name
    pod["spec"].setdefault("tolerations", []).append({"operator": "Exists", "effect": "NoExecute"})
    _default(pod)
    return pod


def _default(pod: Obj) -> None:
    """What the API server would have filled in."""
    pod["spec"].setdefault("restartPolicy", "Always")
    pod["spec"].setdefault("terminationGracePeriodSeconds", 30)
    pod["spec"].setdefault("dnsPolicy", "ClusterFirst")
    for container in spec.all_containers(pod):
        container.setdefault("terminationMessagePath", "/dev/termination-log")
        container.setdefault("terminationMessagePolicy", "File")
        limits = (container.get("resources") or {}).get("limits") or {}
        if limits:
            container["resources"]["requests"] = {**limits, **(container["resources"].get("requests") or {})}


def mirror_of(pod: Obj, node_uid: str) -> Obj:
    """The API's image of a static pod, owned by its node."""
    metadata = pod["metadata"]
    owner = {"apiVersion": "v1", "kind": "Node", "name": pod["spec"]["nodeName"], "uid": node_uid, "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": metadata.get("labels") or {},
            "annotations": {**metadata["annotations"], spec.STATIC_MIRROR: metadata["annotations"][spec.STATIC_HASH]},
            "ownerReferences": [owner],
        },
        "spec": pod["spec"],
    }


class StaticPods:
    """The pods of one directory and their mirrors."""

    def __init__(self, kubelet: "Kubelet", directory: Path) -> None:
        self._kubelet = kubelet
        self._directory = directory
        self.pods: dict[str, Obj] = {}  # uid → pod
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """For ever."""
        self._directory.mkdir(parents=True, exist_ok=True)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._keep_mirrors())

    async def _watch(self) -> None:
        with inotify.Watcher() as watcher:
            watcher.add(self._directory, CHANGES)
            while True:
                self._sync(self._read())
                await watcher.changes()
                await clock.sleep(SETTLE_SECONDS)

    def _read(self) -> dict[str, Obj]:
        found = {}
        for path in sorted(self._directory.iterdir()):
            if path.name.startswith(".") or not path.is_file():
                continue
            try:
                pod = parse(path.read_text(), self._kubelet.options.node_name)
            except (OSError, ValueError) as error:
                log.warning("%s: %s", path, error)
                continue
            found[meta.uid(pod)] = pod
        return found

    def _sync(self, found: dict[str, Obj]) -> None:
        for uid in set(self.pods) - set(found):
            gone = self.pods.pop(uid)
            worker = self._kubelet.workers.get(uid)
            if worker is not None:
                worker.removed(gone)
        for uid, pod in found.items():
            if uid not in self.pods:
                self.pods[uid] = pod
                self._kubelet.start_worker(pod)
        self.poke()

    async def _keep_mirrors(self) -> None:
        """The API shows what runs; a mirror that is missing or of an older version is made anew."""
        while True:
            self._changed.clear()
            delay = None
            wanted = {f"{meta.namespace(pod)}/{meta.name(pod)}" for pod in self.pods.values()}
            stale = [pod for pod in self._kubelet.pods.list() if spec.is_mirror(pod) and meta.key(pod) not in wanted]
            try:
                for pod in stale:
                    await self._delete(pod)
                for pod in [*self.pods.values()]:
                    await self._mirror(pod)
            except (StatusError, Unreachable) as error:
                log.debug("mirrors: %s", error)
                delay = RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                await clock.wait_for(self._changed.wait(), delay)

    def poke(self) -> None:
        """A mirror changed."""
        self._changed.set()

    async def _delete(self, mirror: Obj) -> None:
        name, namespace = meta.name(mirror), meta.namespace(mirror)
        try:
            await self._kubelet.client.delete("pods", name, namespace, uid=meta.uid(mirror), grace_period_seconds=0)
        except StatusError as error:
            if error.code not in (404, 409):
                raise

    async def _mirror(self, pod: Obj) -> None:
        client = self._kubelet.client
        key = f"{meta.namespace(pod)}/{meta.name(pod)}"
        known = self._kubelet.pods.get(key)
        digest = meta.annotations(pod)[spec.STATIC_HASH]
        old = known is not None and meta.annotations(known).get(spec.STATIC_MIRROR) != digest
        if known is not None and (old or meta.is_deleting(known)):
            await self._delete(known)
            await clock.sleep(SETTLE_SECONDS)  # who waits for the end of the old mirror is to see that there is none
            known = None
        if known is None:
            node = await client.get("nodes", self._kubelet.options.node_name)
            known = await client.create("pods", mirror_of(pod, meta.uid(node)))
        worker = self._kubelet.workers.get(meta.uid(pod))
        if worker is not None:
            worker.set_mirror(known)
