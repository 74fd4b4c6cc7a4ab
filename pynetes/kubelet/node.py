"""The node's own object: registration, status, heartbeat.

Liveness is the Lease, renewed every ten seconds. The status is looked at as often but written only when something in
it changed, or after five minutes. The runtime's readiness decides the Ready condition; while the runtime or its
network is not ready it is asked again soon, and a change of the CNI configuration is heard through inotify.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

from pynetes.client.client import Client, Unreachable
from pynetes.client.events import EventRecorder
from pynetes.kubelet import inotify, machine
from pynetes.kubelet.cri.client import Cri, CriError
from pynetes.kubelet.options import Options
from pynetes.machinery import clock, meta
from pynetes.machinery.errors import StatusError
from pynetes.machinery.meta import Obj

log = logging.getLogger(__name__)

LEASE_NAMESPACE = "kube-node-lease"
MAX_IMAGES = 50
_CSI_NODES = "csinodes.storage.k8s.io"
_MIGRATED = (
    "kubernetes.io/aws-ebs",
    "kubernetes.io/azure-disk",
    "kubernetes.io/azure-file",
    "kubernetes.io/cinder",
    "kubernetes.io/gce-pd",
    "kubernetes.io/portworx-volume",
    "kubernetes.io/vsphere-volume",
)
SOON = 0.1
RETRY_SECONDS = (0.1, 0.1, 0.2, 0.2, 0.5, 1.0)
NOT_READY_SECONDS = 1.0
RUNTIME_CHECK_SECONDS = 10.0

_HEALTHY = {
    "MemoryPressure": ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    "DiskPressure": ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    "PIDPressure": ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
}
_PRESSED = {
    "MemoryPressure": ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    "DiskPressure": ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    "PIDPressure": ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
}
_PRESSURE_EVENTS = {
    "MemoryPressure": ("NodeHasSufficientMemory", "NodeHasInsufficientMemory"),
    "DiskPressure": ("NodeHasNoDiskPressure", "NodeHasDiskPressure"),
    "PIDPressure": ("NodeHasSufficientPID", "NodeHasInsufficientPID"),
}


class NodeReporter:
    """Keeps the Node object and its Lease current."""

    def __init__(
        self,
        options: Options,
        client: Client,
        runtime: Cri,
        events: EventRecorder,
        addresses: list[str],
        pressures: Callable[[], set[str]],
        network_changed: Callable[[], None],
    ) -> None:
        self.options = options
        self.capacity = machine.capacity(options.root_dir, options.max_pods)
        self._own_allocatable = machine.allocatable(
            self.capacity, [options.system_reserved, options.kube_reserved], options.eviction_hard
        )
        self.allocatable = self._own_allocatable
        self.runtime_problem = "container runtime status check may not have completed yet"
        self.network_problem = "container runtime status check may not have completed yet"
        self.runtime_version = ""
        self.node: Obj = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": options.node_name, "labels": self._labels()},
        }
        self._client = client
        self._runtime = runtime
        self._events = events
        self._addresses = addresses
        self._pressures = pressures
        self._network_changed = network_changed
        self._changed = asyncio.Event()
        self._registered = asyncio.Event()
        self._doubt = asyncio.Event()
        self._written_at = 0.0
        self._images: list[Obj] = []
        self._runtime_handlers: list[Obj] = []
        self._features: Obj = {}

    @property
    def reference(self) -> Obj:
        """What events about the node point at: its name stands for its uid, as upstream has it."""
        name = self.options.node_name
        return {"kind": "Node", "name": name, "uid": name, "apiVersion": "v1"}

    def handler_features(self, handler: str) -> Obj:
        """What the runtime says that one of its handlers can do; nothing if it does not say."""
        return next((each["features"] for each in self._runtime_handlers if each["name"] == handler), {})

    def poke(self) -> None:
        """Something in the status may have changed."""
        self._changed.set()

    async def look(self) -> None:
        """Take the node as the API has it now, if the API can be reached."""
        with contextlib.suppress(StatusError, Unreachable):
            self.node = await self._client.get("nodes", self.options.node_name)

    async def run(self) -> None:
        """For ever."""
        self._events.event(self.reference, "Normal", "Starting", "Starting kubelet.")
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_runtime())
            group.create_task(self._keep_status())
            group.create_task(self._keep_lease())

    # The runtime

    async def _watch_runtime(self) -> None:
        """Ask the runtime how it is: soon while it is not well, at ease otherwise, at once when CNI changed."""
        cni_directory: Path | None = None
        while True:
            before = (self.runtime_problem, self.network_problem)
            found = await self._ask_runtime()
            cni_directory = found or cni_directory
            if (self.runtime_problem, self.network_problem) != before:
                self._network_changed()
                self.poke()
            well = not self.runtime_problem and not self.network_problem
            await self._until_something_changes(cni_directory, RUNTIME_CHECK_SECONDS if well else NOT_READY_SECONDS)

    async def _ask_runtime(self) -> Path | None:
        """Take the runtime's conditions; returns its CNI configuration directory when it tells."""
        wanted = bool(self.network_problem)
        try:
            if not self.runtime_version:
                version = await self._runtime.version(timeout=2)
                self.runtime_version = f"{version.runtime_name}://{version.runtime_version}"
            response = await self._runtime.status(verbose=wanted)
        except CriError as error:
            self.runtime_problem = f"container runtime is down: {error.details}"
            return None
        conditions = {condition.type: condition for condition in response.status.conditions}
        self.runtime_problem = _problem("RuntimeReady", conditions.get("RuntimeReady"))
        self.network_problem = _problem("NetworkReady", conditions.get("NetworkReady"))
        self._runtime_handlers = [
            {
                "name": handler.name,
                "features": {
                    "recursiveReadOnlyMounts": handler.features.recursive_read_only_mounts,
                    "userNamespaces": handler.features.user_namespaces,
                },
            }
            for handler in response.runtime_handlers
        ]
        if response.HasField("features"):
            self._features = {"supplementalGroupsPolicy": response.features.supplemental_groups_policy}
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return Path(json.loads(response.info["config"])["cni"]["confDir"])
        return None

    def doubt_runtime(self) -> None:
        """The runtime may have gone, or come back: ask it now."""
        self._doubt.set()

    async def _until_something_changes(self, directory: Path | None, seconds: float) -> None:
        """The CNI configuration, or what we believe of the runtime; or until it is time anyway."""
        known = directory is not None and directory.is_dir()
        with inotify.Watcher() as watcher:
            if directory is not None and known:
                watcher.add(directory, inotify.CLOSE_WRITE | inotify.MOVED_TO | inotify.DELETE)
            changed, doubted = asyncio.ensure_future(watcher.changes()), asyncio.ensure_future(self._doubt.wait())
            try:
                first = asyncio.wait({changed, doubted}, return_when=asyncio.FIRST_COMPLETED)
                await clock.wait_for(first, seconds if known else min(seconds, SOON * 5))
                await clock.sleep(SOON)  # the runtime hears of the configuration just as we do
            except TimeoutError:
                pass
            finally:
                changed.cancel()
                doubted.cancel()
                await asyncio.gather(changed, doubted, return_exceptions=True)
                self._doubt.clear()

    # The status

    async def _keep_status(self) -> None:
        if not self.options.register_node:
            self._registered.set()
        retries = iter(RETRY_SECONDS)
        while True:
            self._changed.clear()
            delay = self.options.node_status_update_frequency
            try:
                if not self._registered.is_set():
                    await self._register()
                    await self._keep_csi_node()
                    self._registered.set()
                await self._write_status()
            except StatusError as error:
                if error.code == 404 and self.options.register_node:
                    self._registered.clear()
                log.warning("node status: %s", error.message)
                delay = next(retries, RETRY_SECONDS[-1])
            except Unreachable as error:
                log.warning("node status: %s", error)
                delay = next(retries, RETRY_SECONDS[-1])
            else:
                retries = iter(RETRY_SECONDS)
            with contextlib.suppress(TimeoutError):
                await clock.wait_for(self._changed.wait(), delay)

    async def _register(self) -> None:
        try:
            node = await self._client.get("nodes", self.options.node_name)
        except StatusError as error:
            if error.code != 404:
                raise
            await self._create()
            return
        self.node = node
        wanted = self._labels()
        if not wanted.items() <= meta.labels(node).items():
            self.node = await self._client.patch("nodes", self.options.node_name, {"metadata": {"labels": wanted}})

    async def _create(self) -> None:
        """A new node carries its whole status from the beginning."""
        taints = [_taint(text) for text in self.options.register_with_taints]
        node: Obj = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": self.options.node_name,
                "labels": self._labels(),
                "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
            },
            "spec": {"taints": taints} if taints else {},
            "status": self.make_status({}),
        }
        self.node = await self._client.create("nodes", node)
        self._tell_changes({}, node["status"])

    async def _keep_csi_node(self) -> None:
        """The node's list of CSI drivers, which stays empty; it belongs to the node and goes with it."""
        name = self.options.node_name
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": meta.uid(self.node)}
        made: Obj = {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSINode",
            "metadata": {
                "name": name,
                "annotations": {"storage.alpha.kubernetes.io/migrated-plugins": ",".join(_MIGRATED)},
                "ownerReferences": [owner],
            },
            "spec": {"drivers": []},
        }
        try:
            try:
                found = await self._client.get(_CSI_NODES, name)
            except StatusError as error:
                if error.code != 404:
                    raise
                await self._client.create(_CSI_NODES, made)
            else:
                if found["metadata"].get("ownerReferences") != [owner]:
                    await self._client.patch(_CSI_NODES, name, {"metadata": {"ownerReferences": [owner]}})
        except StatusError as error:
            log.warning("CSINode: %s", error.message)

    def _labels(self) -> dict[str, str]:
        arch = machine.architecture()
        return {
            "beta.kubernetes.io/arch": arch,
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": arch,
            "kubernetes.io/hostname": self.options.node_name,
            "kubernetes.io/os": "linux",
            **self.options.node_labels,
        }

    async def _write_status(self) -> None:
        node = await self._client.get("nodes", self.options.node_name)
        old = node.get("status") or {}
        self._images = await self._list_images()
        new = self.make_status(old)
        due = clock.monotonic() - self._written_at >= self.options.node_status_report_frequency
        if _essence(old) != _essence(new) or due:
            self.node = await self._client.patch(
                "nodes", self.options.node_name, {"status": _diff(old, new)}, type="strategic", subresource="status"
            )
            self._written_at = clock.monotonic()
            self._tell_changes(old, new)
        else:
            self.node = node

    def _tell_changes(self, old: Obj, new: Obj) -> None:
        """An event for each condition that turned, and for a machine that started anew."""
        before, now = ((status.get("nodeInfo") or {}).get("bootID") for status in (old, new))
        if before and before != now:
            text = f"Node {self.options.node_name} has been rebooted, boot id: {now}"
            self._events.event(self.reference, "Warning", "Rebooted", text)
        for reason in turned(old, new):
            text = f"Node {self.options.node_name} status is now: {reason}"
            self._events.event(self.reference, "Normal", reason, text)

    def make_status(self, old: Obj) -> Obj:
        """The status as it is now.

        Resources that somebody else put into the capacity (extended resources) are theirs to change; all of what there
        is of them is for pods.
        """
        extended = {name: text for name, text in (old.get("capacity") or {}).items() if name not in self.capacity}
        self.allocatable = self._own_allocatable | extended
        status: Obj = {
            "capacity": self.capacity | extended,
            "allocatable": self.allocatable,
            "addresses": [
                *({"type": "InternalIP", "address": address} for address in self._addresses),
                {"type": "Hostname", "address": self.options.node_name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.options.port}},
            "nodeInfo": machine.node_info(self.runtime_version),
            "images": self._images,
            "conditions": [self._condition(*entry, old) for entry in self._conditions()],
        }
        if self._runtime_handlers:
            status["runtimeHandlers"] = self._runtime_handlers
        if self._features:
            status["features"] = self._features
        return status

    def _conditions(self) -> list[tuple[str, str, str, str]]:
        pressures = self._pressures()
        entries = [
            (kind, "True" if kind in pressures else "False", *(_PRESSED if kind in pressures else _HEALTHY)[kind])
            for kind in _HEALTHY
        ]
        problems = [self.runtime_problem] if self.runtime_problem else []
        if self.network_problem and not self.runtime_problem:
            problems.append(f"container runtime network not ready: {self.network_problem}")
        if problems:
            entries.append(
                ("Ready", "False", "KubeletNotReady", f"[{', '.join(problems)}]" if problems[1:] else problems[0])
            )
        else:
            entries.append(("Ready", "True", "KubeletReady", "kubelet is posting ready status"))
        return entries

    @staticmethod
    def _condition(kind: str, status: str, reason: str, message: str, old: Obj) -> Obj:
        before = meta.get_condition({"status": old}, kind)
        same = before is not None and before.get("status") == status and before.get("lastTransitionTime")
        return {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": message,
            "lastHeartbeatTime": clock.timestamp(),
            "lastTransitionTime": before["lastTransitionTime"] if same and before else clock.timestamp(),
        }

    async def _list_images(self) -> list[Obj]:
        """The largest images on the node, as the scheduler wants to know them."""
        try:
            images = await self._runtime.list_images()
        except CriError:
            return self._images
        largest = sorted(images, key=lambda image: (-image.size, image.id))[:MAX_IMAGES]
        return [{"names": [*image.repo_digests, *image.repo_tags][:5], "sizeBytes": image.size} for image in largest]

    # The heartbeat

    async def _keep_lease(self) -> None:
        lease: Obj | None = None
        period = self.options.node_lease_duration_seconds / 4
        await self._registered.wait()
        while True:
            delay = period
            try:
                lease = await self._renew(lease)
            except StatusError as error:
                lease = None
                delay = 0.2 if error.code in (404, 409) else 1.0
                if error.code not in (404, 409):
                    log.warning("node lease: %s", error.message)
            except Unreachable as error:
                log.warning("node lease: %s", error)
                delay = 1.0
            await clock.sleep(delay)

    async def _renew(self, lease: Obj | None) -> Obj:
        name = self.options.node_name
        if lease is None:
            try:
                lease = await self._client.get("leases.coordination.k8s.io", name, LEASE_NAMESPACE)
            except StatusError as error:
                if error.code != 404:
                    raise
                return await self._create_lease()
        renewed = {**lease, "spec": {**lease.get("spec", {}), "renewTime": clock.micro_timestamp()}}
        renewed["spec"] |= {"holderIdentity": name, "leaseDurationSeconds": self.options.node_lease_duration_seconds}
        return await self._client.update("leases.coordination.k8s.io", renewed)

    async def _create_lease(self) -> Obj:
        """The lease belongs to the node and goes with it."""
        name = self.options.node_name
        node = await self._client.get("nodes", name)
        owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": meta.uid(node)}
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": LEASE_NAMESPACE, "ownerReferences": [owner]},
            "spec": {
                "holderIdentity": name,
                "leaseDurationSeconds": self.options.node_lease_duration_seconds,
                "renewTime": clock.micro_timestamp(),
            },
        }
        return await self._client.create("leases.coordination.k8s.io", lease)


def _problem(name: str, condition: object) -> str:
    if condition is None:
        return f"{name} condition not reported"
    status, reason, message = (getattr(condition, field) for field in ("status", "reason", "message"))
    return "" if status else f"{name}=false reason:{reason} message:{message}"


def _taint(text: str) -> Obj:
    """`key=value:effect` or `key:effect`."""
    head, _, effect = text.rpartition(":")
    key, _, value = head.partition("=")
    return {"key": key, "effect": effect} | ({"value": value} if value else {})


def _essence(status: Obj) -> Obj:
    """What must be the same for a status not to be worth writing."""
    essence = {
        key: value for key, value in status.items() if key not in ("conditions", "volumesAttached", "volumesInUse")
    }
    own = [c for c in status.get("conditions") or [] if c["type"] in (*_HEALTHY, "Ready")]
    essence["conditions"] = [{k: v for k, v in c.items() if "Time" not in k} for c in own]
    essence["images"] = status.get("images") or []
    return essence


def _diff(old: Obj, new: Obj) -> Obj:
    """A strategic merge patch; addresses are replaced as a whole, resources that went are taken out."""
    patch = {key: value for key, value in new.items() if old.get(key) != value}
    if "allocatable" in patch:
        gone = {name: None for name in old.get("allocatable") or {} if name not in new["allocatable"]}
        patch["allocatable"] = new["allocatable"] | gone
    if "addresses" in patch and old.get("addresses"):
        patch["addresses"] = [{"$patch": "replace"}, *new["addresses"]]
    return patch


def turned(old: Obj, new: Obj) -> list[str]:
    """What to tell of the conditions that changed; of Ready only if it was known before."""
    reasons = []
    for condition in new["conditions"]:
        kind, status = condition["type"], condition["status"]
        before = (meta.get_condition({"status": old}, kind) or {}).get("status")
        if before == status or (kind == "Ready" and before is None):
            continue
        if kind == "Ready":
            reasons.append("NodeReady" if status == "True" else "NodeNotReady")
        else:
            reasons.append(_PRESSURE_EVENTS[kind][status == "True"])
    return reasons
