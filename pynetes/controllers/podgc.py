"""Pods that nobody else will clean up: too many that ended, those whose node is gone, those that end before placement.

Keys say what to look at: `ended`, `node <name>`, `pod <namespace/name>`.
"""

from collections.abc import Iterable

from pynetes.controllers import pods
from pynetes.controllers.controller import Context, Controller, ignore_not_found
from pynetes.controllers.status import key_by_age
from pynetes.controllers.taint_eviction import by_node
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj

_QUARANTINE_SECONDS = 40.0
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


def by_end(pod: Obj) -> list[str]:
    """The indexer of pods that ended."""
    return ["ended"] if pods.is_terminal(pod) and not meta.is_deleting(pod) else []


def surplus(ended: list[Obj], threshold: int) -> list[Obj]:
    """Which ended pods to delete: evicted ones first, then the oldest."""
    count = len(ended) - threshold
    if count <= 0:
        return []

    def order(pod: Obj) -> tuple[bool, tuple[str, str]]:
        return pod.get("status", {}).get("reason") != "Evicted", key_by_age(pod)

    return sorted(ended, key=order)[:count]


class PodGarbageCollector(Controller):
    """Deletes what is left behind."""

    name = "pod-garbage-collector-controller"
    account = "pod-garbage-collector"
    workers = 2

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.nodes = self.watch("nodes", self._node_changed)
        self.pods = self.watch("pods", self._pod_changed, indexers={"node": by_node, "ended": by_end})

    def _node_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        if new is None and old is not None:
            self.queue.add_after(f"node {meta.name(old)}", _QUARANTINE_SECONDS)
        if new is not None and _out_of_service(new) and not _out_of_service(old):
            return [f"pod {meta.key(pod)}" for pod in self.pods.by_index("node", meta.name(new))]
        return ()

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        if new is None:
            return ()
        node = pods.node_name(new)
        if node and (old is None or pods.node_name(old) != node) and self.nodes.get(node) is None:
            self.queue.add_after(f"node {node}", _QUARANTINE_SECONDS)
        keys = []
        if meta.is_deleting(new) and (not node or _out_of_service(self.nodes.get(node))):
            keys.append(f"pod {meta.key(new)}")
        threshold = self.context.options.terminated_pod_gc_threshold
        if 0 < threshold < len(self.pods.by_index("ended", "ended")):
            keys.append("ended")
        return keys

    async def reconcile(self, key: str) -> None:
        what, _, name = key.partition(" ")
        if what == "ended":
            threshold = self.context.options.terminated_pod_gc_threshold
            for pod in surplus(self.pods.by_index("ended", "ended"), threshold):
                await self._delete(pod)
        elif what == "node":
            await self._node_gone(name)
        else:
            await self._finish(name)

    async def _node_gone(self, name: str) -> None:
        if self.nodes.get(name) is not None or not self.pods.by_index("node", name):
            return
        if await ignore_not_found(self.client.get("nodes", name)) is not None:
            return
        for pod in self.pods.by_index("node", name):
            await self._fail(pod, "PodGC: node no longer exists")

    async def _finish(self, key: str) -> None:
        pod = self.pods.get(key)
        if pod is None or not meta.is_deleting(pod):
            return
        node = pods.node_name(pod)
        if not node:
            await self._delete(pod)
        elif _out_of_service(self.nodes.get(node)) and not meta.is_condition_true(self.nodes.get(node) or {}, "Ready"):
            await self._fail(pod, "PodGC: node is out of service")

    async def _fail(self, pod: Obj, message: str) -> None:
        if not pods.is_terminal(pod):
            await pods.mark_disrupted(self.client, pod, "DeletionByPodGC", message, phase="Failed")
        await self._delete(pod)

    async def _delete(self, pod: Obj) -> None:
        await ignore_not_found(
            self.client.delete("pods", meta.name(pod), meta.namespace(pod), uid=meta.uid(pod), grace_period_seconds=0)
        )


def _out_of_service(node: Obj | None) -> bool:
    return any(t["key"] == OUT_OF_SERVICE for t in (node or {}).get("spec", {}).get("taints") or [])
