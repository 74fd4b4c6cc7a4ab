"""The health of nodes: silence becomes a condition, the condition becomes taints, the taints move the pods.

A kubelet shows life by its Lease and its status. Each sign sets an alarm `node-monitor-grace-period` ahead; only an
alarm that finds no newer sign does anything, so healthy nodes cost next to nothing. The NoExecute taint, which evicts,
is given at a limited rate in each zone, more slowly in one that is partly down, and not at all when every zone is down
altogether: then it is more likely that we are the ones who are cut off.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pynetes.controllers import node_health as health
from pynetes.controllers import pods
from pynetes.controllers.controller import Context, Controller
from pynetes.controllers.status import find_condition, update_status
from pynetes.controllers.taint_eviction import by_node
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

LEASE_NAMESPACE = "kube-node-lease"


@dataclass(slots=True)
class _Sign:
    """The last sign of life, by our own clock."""

    uid: str
    at: float


@dataclass(slots=True)
class _Bucket:
    """Permission to taint, one node at a time."""

    next_at: float = 0.0

    def wait(self, now: float, rate: float) -> float | None:
        """Seconds until the next may be tainted; None for never at this rate. Zero takes the permission."""
        if rate <= 0:
            return None
        if now < self.next_at:
            return self.next_at - now
        self.next_at = now + 1 / rate
        return 0.0


class NodeLifecycleController(Controller):
    """Watches over nodes."""

    name = "node-lifecycle-controller"
    component = "node-controller"
    account = "node-controller"
    workers = 4

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._signs: dict[str, _Sign] = {}
        self._buckets: dict[str, _Bucket] = {}
        self.pods = self.watch("pods", self._pod_placed, indexers={"node": by_node})
        self.nodes = self.watch("nodes", self._node_changed)
        self.leases = self.watch("leases.coordination.k8s.io", self._lease_changed, namespace=LEASE_NAMESPACE)

    # Signs of life

    def _node_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        if new is None:
            if old is None:
                return ()
            self._signs.pop(meta.name(old), None)
            self._tell(
                old, "RemovingNode", f"Node {meta.name(old)} event: Removing Node {meta.name(old)} from Controller"
            )
            return [meta.name(node) for node in self.nodes.list() if health.zone(node) == health.zone(old)]
        name = meta.name(new)
        sign = self._signs.get(name)
        if sign is None or sign.uid != meta.uid(new):
            self._signs[name] = _Sign(meta.uid(new), clock.monotonic())
            self._tell(new, "RegisteredNode", f"Node {name} event: Registered Node {name} in Controller")
        elif old is not None and _reported(old) != _reported(new):
            sign.at = clock.monotonic()
        keys = [name]
        if old is not None and health.readiness(old) != health.readiness(new):
            keys += [meta.name(node) for node in self.nodes.list() if health.readiness(node) != "True"]
        return keys

    def _lease_changed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        if new is None or (old is not None and old["spec"].get("renewTime") == new["spec"].get("renewTime")):
            return ()
        sign = self._signs.get(meta.name(new))
        if sign is not None:
            sign.at = clock.monotonic()
        return ()

    def _pod_placed(self, old: Obj | None, new: Obj | None) -> Iterable[str]:
        """A pod that arrives on a node that is not ready must not look ready."""
        if new is None or not pods.node_name(new) or not pods.is_ready(new):
            return ()
        if old is not None and pods.is_ready(old):
            return ()
        node = self.nodes.get(pods.node_name(new))
        return (meta.name(node),) if node is not None and health.readiness(node) == "Unknown" else ()

    def _tell(self, node: Obj, reason: str, message: str) -> None:
        # Node events are about the node as the kubelet speaks of it: with its name for a UID.
        involved = {"kind": "Node", "name": meta.name(node), "uid": meta.uid(node), "apiVersion": "v1"}
        self.events.event(involved, "Normal", reason, message)

    # What follows from them

    async def reconcile(self, key: str) -> None:
        node = self.nodes.get(key)
        if node is None:
            return
        node = await self._judge(key, node)
        await self._label(node)
        node = await self._taint(node, health.with_no_schedule(_taints(node), health.no_schedule_taints(node)))
        if health.readiness(node) == "Unknown":
            await self._mark_pods_not_ready(node)
        await self._evict(key, node)

    async def _judge(self, key: str, node: Obj) -> Obj:
        """The node, its conditions Unknown if its grace is over; sets the next alarm."""
        options = self.context.options
        sign = self._signs.setdefault(key, _Sign(meta.uid(node), clock.monotonic()))
        known = find_condition(health.conditions(node), "Ready") is not None
        grace = options.node_monitor_grace_period if known else options.node_startup_grace_period
        remaining = sign.at + grace - clock.monotonic()
        if remaining > 0:
            self.queue.add_after(key, remaining + 0.01)
            return node
        self.queue.add_after(key, grace)
        status = {**node.get("status", {}), "conditions": health.silenced(node, clock.timestamp())}
        was_ready = health.readiness(node) == "True"
        node = await update_status(self.client, "nodes", node, status)
        if was_ready:
            self._tell(node, "NodeNotReady", f"Node {key} status is now: NodeNotReady")
        return node

    async def _label(self, node: Obj) -> None:
        missing = health.missing_labels(node)
        if missing:
            await self.client.patch("nodes", meta.name(node), {"metadata": {"labels": missing}})

    async def _evict(self, key: str, node: Obj) -> None:
        """Give or take the NoExecute taint, as the state of the zone allows."""
        if health.readiness(node) is None:
            return
        wanted = health.no_execute_taint(node)
        taints = _taints(node)
        if wanted is None or self._all_zones_are_down():
            await self._taint(node, health.with_no_execute(taints, None))
            return
        swapped = health.with_no_execute(taints, wanted)
        if swapped == taints:
            return
        if not any(
            t["key"] in (health.NOT_READY, health.UNREACHABLE) and t.get("effect") == "NoExecute" for t in taints
        ):
            place = health.zone(node)
            wait = self._buckets.setdefault(place, _Bucket()).wait(clock.monotonic(), self._rate(place))
            if wait is None:
                return
            if wait > 0:
                self.queue.add_after(key, wait)
                return
        await self._taint(node, swapped)

    def _zones(self) -> dict[str, list[bool]]:
        zones: dict[str, list[bool]] = {}
        for node in self.nodes.list():
            readiness = health.readiness(node)
            if readiness is not None:
                zones.setdefault(health.zone(node), []).append(readiness == "True")
        return zones

    def _all_zones_are_down(self) -> bool:
        threshold = self.context.options.unhealthy_zone_threshold
        return all(health.zone_state(ready, threshold) == "FullDisruption" for ready in self._zones().values())

    def _rate(self, place: str) -> float:
        options = self.context.options
        ready = self._zones().get(place, [])
        return health.eviction_rate(
            health.zone_state(ready, options.unhealthy_zone_threshold),
            len(ready),
            primary=options.node_eviction_rate,
            secondary=options.secondary_node_eviction_rate,
            large=options.large_cluster_size_threshold,
        )

    async def _taint(self, node: Obj, taints: list[Obj]) -> Obj:
        if taints == _taints(node):
            return node
        patch = {
            "metadata": {"resourceVersion": node["metadata"]["resourceVersion"]},
            "spec": {"taints": taints or None},
        }
        return await self.client.patch("nodes", meta.name(node), patch, type="merge")

    async def _mark_pods_not_ready(self, node: Obj) -> None:
        """Take the pods of a silent node out of service: nobody knows whether they still answer."""
        for pod in self.pods.by_index("node", meta.name(node)):
            if not pods.is_ready(pod) or meta.is_deleting(pod):
                continue
            condition = {"type": "Ready", "status": "False", "lastTransitionTime": clock.timestamp()}
            patch = {"metadata": {"uid": meta.uid(pod)}, "status": {"conditions": [condition]}}
            try:
                await self.client.patch(
                    "pods", meta.name(pod), patch, meta.namespace(pod), type="strategic", subresource="status"
                )
            except StatusError as error:
                if error.code not in (404, 409):
                    raise
                continue
            self.events.event(pod, "Warning", "NodeNotReady", "Node is not ready")


def _taints(node: Obj) -> list[Obj]:
    return node.get("spec", {}).get("taints") or []


def _reported(node: Obj) -> list[tuple[str, str, str]]:
    """What of a node's conditions its kubelet moves when it reports."""
    return [
        (c["type"], c.get("lastHeartbeatTime") or "", c["status"] if c["status"] != "Unknown" else "")
        for c in health.conditions(node)
    ]
