"""The kubelet as a whole: which pods are ours, and who tells them what.

One informer brings the pods bound to this node; each pod gets a `PodWorker` (see `pod.py`, where the work is done).
The runtime's event stream, the objects' watches and the node's state are passed on to the workers they concern.
What an earlier kubelet left behind and no pod wants any more is removed once the first list of pods is in.
"""

import asyncio
import contextlib
import logging
import shutil
import socket
from pathlib import Path
from typing import Any

from pynetes.client.client import Client
from pynetes.client.events import EventRecorder
from pynetes.client.informer import Informer
from pynetes.kubelet import admission, machine, mounts, observed, preemption, resize, spec
from pynetes.kubelet.cgroups import Cgroups
from pynetes.kubelet.cri import events as runtime_events
from pynetes.kubelet.cri.client import Cri, CriError
from pynetes.kubelet.eviction import EvictionManager
from pynetes.kubelet.housekeeping import Housekeeper
from pynetes.kubelet.images import Images
from pynetes.kubelet.node import NodeReporter
from pynetes.kubelet.node_context import NodeContext
from pynetes.kubelet.options import Options
from pynetes.kubelet.pod import PodWorker, State
from pynetes.kubelet.reporter import Reporter
from pynetes.kubelet.server import KubeletServer
from pynetes.kubelet.sources import Key, ObjectSource
from pynetes.kubelet.static_pods import StaticPods
from pynetes.kubelet.volumes import trust_bundles
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj

log = logging.getLogger(__name__)

RELIST_SECONDS = 300.0
CONTAINER_STOP_GRACE = 30.0


class Kubelet:
    """Everything that runs on one node."""

    def __init__(self, options: Options, client: Client) -> None:
        self.options = options
        self.client = client
        for directory in (options.root_dir / "pods", options.logs_root):
            directory.mkdir(parents=True, exist_ok=True)
        mounts.make_shared(options.root_dir)
        self.runtime = Cri(options.container_runtime_endpoint)
        self.events = EventRecorder(client, "kubelet", options.node_name)
        self.pods = Informer(client, "pods", field_selector=f"spec.nodeName={options.node_name}")
        self.services = Informer(client, "services")
        self.bundles: Informer | None = None  # ClusterTrustBundles, once a pod shows some
        self.workers: dict[str, PodWorker] = {}
        self.pressures: set[str] = set()
        addresses = options.node_ip or [default_address()]
        self.node = NodeReporter(
            options, client, self.runtime, self.events, addresses, lambda: self.pressures, self._network_changed
        )
        self.context = NodeContext(
            options=options,
            client=client,
            runtime=self.runtime,
            images=Images(self.runtime),
            events=self.events,
            reporter=Reporter(client),
            sources=ObjectSource(client, self._object_changed),
            services=self.services,
            cgroups=Cgroups(options.cgroup_root),
            host_ips=addresses,
            memory_capacity=machine.memory(),
            allocatable=lambda: self.node.allocatable,
            network_problem=self._network_problem,
            admit=self._admit,
            neighbours=self._neighbours,
            goes_first=self._goes_first,
            room_made=self._room_made,
            trust_bundles=self._trust_bundles,
            handler_features=self.node.handler_features,
        )
        self.server = KubeletServer(self)
        self.housekeeper = Housekeeper(self)
        self.eviction = EvictionManager(self)
        manifests = options.pod_manifest_path
        self.static = StaticPods(self, Path(manifests)) if manifests else None
        self._group: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """For ever; ends by cancellation and leaves every container running."""
        self.context.cgroups.set_up()
        await self.runtime.connect()
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self.pods.on_change(self._pod_changed)
                group.create_task(self.pods.run(), name="pods")
                group.create_task(self.services.run(), name="services")
                group.create_task(self._listen(), name="runtime-events")
                group.create_task(self.node.run(), name="node")
                group.create_task(self._relist(), name="relist")
                group.create_task(self.housekeeper.run(), name="housekeeping")
                group.create_task(self.eviction.run(), name="eviction")
                if self.static is not None:
                    group.create_task(self.static.run(), name="static-pods")
                await self.server.start()
                await self.pods.synced()
                await self._remove_orphans()
        finally:
            await self.server.stop()
            await self.context.reporter.close()
            await self.context.sources.close()
            await self.runtime.close()

    # Pods

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if self.static is not None and any(spec.is_mirror(pod) for pod in (old, new) if pod is not None):
            self.static.poke()
        if new is None:
            worker = self.workers.get(meta.uid(old)) if old is not None else None
            if worker is not None and old is not None:
                worker.removed(old)
            return
        if old is not None and meta.uid(old) != meta.uid(new):
            self._pod_changed(old, None)
        if spec.is_mirror(new):
            return
        worker = self.workers.get(meta.uid(new))
        if worker is None:
            self.start_worker(new)
        elif new["metadata"].get("resourceVersion") != worker.pod["metadata"].get("resourceVersion"):
            self.context.reporter.seen(new)
            worker.update(new)

    def start_worker(self, pod: Obj) -> PodWorker:
        """Begin to look after a pod."""
        worker = self.workers[meta.uid(pod)] = PodWorker(self.context, pod)
        assert self._group is not None
        self._group.create_task(self._look_after(worker), name=f"pod-{meta.namespace(pod)}-{meta.name(pod)}")
        return worker

    async def _look_after(self, worker: PodWorker) -> None:
        """A worker that fails is started again: its pod must not be forgotten."""
        while True:
            try:
                await worker.run()
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("%s: starting over", spec.describe(worker.pod))
                worker.stopped.set()
                await clock.sleep(1.0)
                fresh = self.workers[worker.uid] = PodWorker(self.context, worker.pod)
                if worker.gone:
                    fresh.removed(worker.pod)
                worker = fresh
            else:
                break
        if self.workers.get(worker.uid) is worker:
            del self.workers[worker.uid]

    def worker_of(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of the pod called so."""
        found = [
            worker
            for worker in self.workers.values()
            if meta.name(worker.pod) == name and meta.namespace(worker.pod) == namespace
        ]
        return max(found, key=lambda worker: worker.pod["metadata"].get("creationTimestamp", ""), default=None)

    def _neighbours(self, uid: str) -> list[Obj]:
        """The pods that hold resources of the node, but for one, with what they were promised."""
        return [
            worker.resizer.allocated_pod()
            for worker in self.workers.values()
            if worker.finished is None and not spec.is_terminal(worker.status) and worker.uid != uid
        ]

    def _goes_first(self, uid: str) -> bool:
        """Whether a deferred resize of higher rank than this pod's can be had now; its pod is told."""
        mine = self.workers[uid]
        own = resize.rank(mine.pod, mine.resizer.since)
        for worker in self.workers.values():
            other = worker.resizer
            if worker.state is not State.SYNCING or not other.deferred or resize.rank(worker.pod, other.since) >= own:
                continue
            if resize.feasible(worker.pod, self._neighbours(worker.uid), self.node.allocatable)[0] == "fits":
                worker.poke()
                return True
        return False

    def _room_made(self) -> None:
        for worker in self.workers.values():
            if worker.resizer.waiting:
                worker.poke()

    async def _admit(self, pod: Obj) -> admission.Rejection | None:
        rejection = self._check(pod)
        if rejection is not None and rejection[0] in admission.ABOUT_THE_NODE:
            await self.node.look()
            rejection = self._check(pod)
        if rejection is not None and rejection[0].startswith("OutOf") and preemption.is_critical(pod):
            if await self._make_room(pod):
                rejection = self._check(pod)
        return rejection

    async def _make_room(self, pod: Obj) -> bool:
        """End what must go so that a critical pod fits; returns whether there was anything that helps."""
        others = self._neighbours(meta.uid(pod))
        short = admission.missing(pod, others, self.node.allocatable)
        victims = preemption.victims(pod, others, short)
        if not victims:
            return False
        ending = [self.workers[meta.uid(victim)] for victim in victims]
        for worker in ending:
            self.events.event(worker.pod, "Warning", preemption.REASON, preemption.MESSAGE)
            worker.preempt()
        await asyncio.gather(*(worker.stopped.wait() for worker in ending))
        return True

    def _check(self, pod: Obj) -> admission.Rejection | None:
        others = self._neighbours(meta.uid(pod))
        unsafe = self.options.allowed_unsafe_sysctls
        return admission.under_pressure(pod, self.pressures) or admission.check(
            pod, others, self.node.allocatable, self.node.node, unsafe
        )

    # What the workers are told

    async def _listen(self) -> None:
        async for event in runtime_events.watch(self.runtime):
            match event:
                case runtime_events.ContainerExited(container_id):
                    for worker in [*self.workers.values()]:
                        if worker.owns(container_id):
                            worker.container_ended(container_id)
                            break
                case runtime_events.Connected():
                    self.node.doubt_runtime()
                    for worker in [*self.workers.values()]:
                        worker.look_again()
                case runtime_events.Disconnected():
                    self.node.doubt_runtime()

    def _object_changed(self, uid: str, key: Key) -> None:
        worker = self.workers.get(uid)
        if worker is not None:
            worker.object_changed(key[0], key[2])

    async def _trust_bundles(self) -> list[Obj]:
        """Every ClusterTrustBundle; they are watched from the first time that a pod asks."""
        if self.bundles is None:
            self.bundles = Informer(self.client, trust_bundles.RESOURCE)
            self.bundles.on_change(self._bundles_changed)
            assert self._group is not None
            self._group.create_task(self.bundles.run(), name="trust-bundles")
        await self.bundles.synced()
        return self.bundles.list()

    def _bundles_changed(self, old: Obj | None, new: Obj | None) -> None:
        for worker in self.workers.values():
            worker.object_changed(trust_bundles.RESOURCE, "")

    def _network_problem(self) -> str:
        if self.node.runtime_problem:
            return self.node.runtime_problem
        problem = self.node.network_problem
        return f"container runtime network not ready: {problem}" if problem else ""

    def _network_changed(self) -> None:
        for worker in self.workers.values():
            worker.poke()

    async def _relist(self) -> None:
        """A safety net, far apart: events are what drives us."""
        while True:
            await clock.sleep(RELIST_SECONDS)
            for worker in [*self.workers.values()]:
                worker.look_again()

    # What is left over

    async def _remove_orphans(self) -> None:
        """Containers, directories and cgroups of pods that no longer exist."""
        try:
            sandboxes = await self.runtime.list_pod_sandboxes()
            containers = await self.runtime.list_containers()
        except CriError as error:
            log.warning("looking for leftovers: %s", error)
            return
        orphans: dict[str, Any] = {}
        for sandbox in sandboxes:
            uid = sandbox.labels.get(observed.POD_UID, "")
            if uid and uid not in self.workers:
                orphans.setdefault(uid, []).append(sandbox)
        running = [c for c in containers if c.labels.get(observed.POD_UID, "") in orphans]
        with contextlib.suppress(CriError):
            await asyncio.gather(*(self.runtime.stop_container(c.id, _grace_of(c)) for c in running))
        for sandbox in [sandbox for found in orphans.values() for sandbox in found]:
            with contextlib.suppress(CriError):
                await self.runtime.stop_pod_sandbox(sandbox.id)
                await self.runtime.remove_pod_sandbox(sandbox.id)
        for directory in (self.options.root_dir / "pods").iterdir():
            if directory.name not in self.workers:
                mounts.unmount_below(directory)
                await asyncio.to_thread(shutil.rmtree, directory, True)
        for directory in self.options.logs_root.iterdir():
            if directory.name.rpartition("_")[2] not in self.workers:
                await asyncio.to_thread(shutil.rmtree, directory, True)
        for uid in self.context.cgroups.pods() - set(self.workers):
            await self.context.cgroups.remove_pod(uid)


def _grace_of(container: Any) -> float:
    return float(container.annotations.get(observed.GRACE_PERIOD) or CONTAINER_STOP_GRACE)


def default_address() -> str:
    """The address this machine speaks from; nothing is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
        except OSError:
            return "127.0.0.1"
