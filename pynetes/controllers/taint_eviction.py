"""Eviction by NoExecute taints: a pod that does not bear its node's taints goes, now or when its tolerance ends."""

from collections.abc import Iterable
from dataclasses import dataclass

from pynetes.controllers import pods
from pynetes.controllers.controller import Context, Controller, ignore_not_found
from pynetes.controllers.pods import mark_disrupted
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj
from pynetes.machinery.tolerations import no_execute, seconds_tolerated


@dataclass(frozen=True, slots=True)
class _Plan:
    uid: str
    since: float


def by_node(pod: Obj) -> list[str]:
    """The indexer of pods by the node they are on."""
    node = pods.node_name(pod)
    return [node] if node else []


class TaintEvictionController(Controller):
    """Evicts pods from tainted nodes."""

    name = "taint-eviction-controller"
    account = "node-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._plans: dict[str, _Plan] = {}
        self.pods = self.watch("pods", self._pod_changed, indexers={"node": by_node})
        self.nodes = self.watch("nodes", self._node_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        changed = new or old
        if changed is None:
            return ()
        key = meta.key(changed)
        if new is None:
            return (key,) if key in self._plans else ()
        same = old is not None and old["spec"] == new["spec"] and meta.uid(old) == meta.uid(new)
        tainted = no_execute(self.nodes.get(pods.node_name(new)))
        return (key,) if not same and (tainted or key in self._plans) else ()

    def _node_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        if new is None or no_execute(old) == no_execute(new):
            return ()
        return [meta.key(pod) for pod in self.pods.by_index("node", meta.name(new))]

    async def reconcile(self, key: str) -> None:
        pod = self.pods.get(key)
        plan = self._plans.get(key)
        if pod is None or meta.is_deleting(pod) or (plan is not None and plan.uid != meta.uid(pod)):
            self._plans.pop(key, None)
            if pod is None or meta.is_deleting(pod):
                return
        taints = no_execute(self.nodes.get(pods.node_name(pod)))
        limit = seconds_tolerated(pod["spec"].get("tolerations") or [], taints) if taints else None
        if limit is None:
            if self._plans.pop(key, None) is not None:
                self.events.event(pod, "Normal", "TaintManagerEviction", f"Cancelling deletion of Pod {key}")
            return
        plan = self._plans.setdefault(key, _Plan(meta.uid(pod), clock.monotonic()))
        remaining = plan.since + limit - clock.monotonic()
        if remaining > 0:
            self.queue.add_after(key, remaining)
            return
        self.events.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key}")
        await mark_disrupted(
            self.client, pod, "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"
        )
        await ignore_not_found(self.client.delete("pods", meta.name(pod), meta.namespace(pod), uid=meta.uid(pod)))
        self._plans.pop(key, None)
