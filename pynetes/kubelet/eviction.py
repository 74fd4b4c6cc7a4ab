"""Eviction: ending pods before the node itself is starved.

Signals are measured every ten seconds. One below its threshold raises the node's pressure condition, which stays for
five minutes after the signal recovered; unused images are removed first when the disk is short, then one pod at a
time is ended: those above their requests before others, low priority before high, the largest excess first. Limits
on a pod's own local storage (`emptyDir.sizeLimit`, `limits.ephemeral-storage`) are held here too.
"""

import asyncio
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pynetes.kubelet import machine, observed, resources, spec
from pynetes.kubelet.cri.client import CriError
from pynetes.kubelet.disk import disk_usage
from pynetes.kubelet.pod import PodWorker
from pynetes.kubelet.resources import qos_class
from pynetes.kubelet.stats import cgroup_usage
from pynetes.kubelet.volumes.empty_dir import EmptyDirVolume
from pynetes.machinery import clock, quantity
from pynetes.machinery.meta import Obj

if TYPE_CHECKING:
    from pynetes.kubelet.kubelet import Kubelet

log = logging.getLogger(__name__)

INTERVAL = 10.0
TRANSITION_SECONDS = 300.0
HARD_GRACE = 1.0

# signal → the node condition it raises, the resource that runs short
SIGNALS = {
    "memory.available": ("MemoryPressure", "memory"),
    "nodefs.available": ("DiskPressure", "ephemeral-storage"),
    "nodefs.inodesFree": ("DiskPressure", "inodes"),
    "imagefs.available": ("DiskPressure", "ephemeral-storage"),
    "imagefs.inodesFree": ("DiskPressure", "inodes"),
    "pid.available": ("PIDPressure", "pids"),
}


@dataclass(frozen=True, slots=True)
class Shortage:
    """A signal below its threshold."""

    signal: str
    available: int
    threshold: int

    @property
    def resource(self) -> str:
        """What runs short."""
        return SIGNALS[self.signal][1]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pod that could go, and what it uses of what is short."""

    worker: PodWorker
    usage: int
    request: int

    @property
    def rank(self) -> tuple[bool, int, int]:
        """Who goes first sorts first: above its request, low in priority, with the largest excess."""
        return (self.usage <= self.request, self.worker.pod["spec"].get("priority") or 0, self.request - self.usage)


def measure(root: Path) -> dict[str, tuple[int, int]]:
    """Signal → (available, capacity)."""
    disk = os.statvfs(root)
    space = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)
    inodes = (disk.f_favail, disk.f_files)
    used, pids = (int(Path(path).read_text().split()[0]) for path in _PID_FILES)
    return {
        "memory.available": (machine.memory_available(), machine.memory()),
        "nodefs.available": space,
        "nodefs.inodesFree": inodes,
        "imagefs.available": space,
        "imagefs.inodesFree": inodes,
        "pid.available": (max(0, pids - used), pids),
    }


_PID_FILES = ("/proc/sys/kernel/ns_last_pid", "/proc/sys/kernel/pid_max")


def shortages(signals: dict[str, tuple[int, int]], thresholds: dict[str, str]) -> list[Shortage]:
    """The signals that are below their thresholds; file systems without inodes have no such signal."""
    found = []
    for signal, text in thresholds.items():
        available, capacity = signals.get(signal, (0, 0))
        limit = machine.threshold(text, capacity)
        if capacity and available < limit:
            found.append(Shortage(signal, available, limit))
    return found


class EvictionManager:
    """Decides for one node."""

    def __init__(self, kubelet: "Kubelet") -> None:
        self._kubelet = kubelet
        self._pressed_until: dict[str, float] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.look(measure(self._kubelet.options.root_dir))
            except (CriError, OSError) as error:
                log.warning("measuring for eviction: %s", error)
            await clock.sleep(INTERVAL)

    async def look(self, signals: dict[str, tuple[int, int]]) -> PodWorker | None:
        """One look at the signals; returns the pod that was evicted, if any."""
        short = shortages(signals, self._kubelet.options.eviction_hard)
        self._set_pressures({SIGNALS[shortage.signal][0] for shortage in short})
        if await self._local_storage():
            return None
        if not short:
            return None
        worst = min(short, key=lambda shortage: (shortage.resource != "memory", shortage.signal))
        text = f"Attempting to reclaim {worst.resource}"
        self._kubelet.events.event(self._kubelet.node.reference, "Warning", "EvictionThresholdMet", text)
        if worst.resource != "memory" and await self._kubelet.housekeeper.free(5):
            return None
        candidates = await self.candidates(worst)
        if not candidates:
            return None
        chosen = min(candidates, key=lambda candidate: candidate.rank)
        self._evict(chosen.worker, self._message(worst, chosen), HARD_GRACE)
        return chosen.worker

    def _set_pressures(self, now: set[str]) -> None:
        until = clock.monotonic() + TRANSITION_SECONDS
        self._pressed_until |= dict.fromkeys(now, until)
        pressed = {kind for kind, end in self._pressed_until.items() if end > clock.monotonic()}
        if pressed != self._kubelet.pressures:
            self._kubelet.pressures = pressed
            self._kubelet.node.poke()

    def _running(self) -> Iterable[PodWorker]:
        for worker in [*self._kubelet.workers.values()]:
            critical = spec.is_static(worker.pod) or (worker.pod["spec"].get("priority") or 0) >= 2_000_000_000
            if worker.finished is None and not spec.is_terminal(worker.status) and not critical:
                yield worker

    async def candidates(self, shortage: Shortage) -> list[Candidate]:
        """Who could go."""
        name = shortage.resource if shortage.resource in ("memory", "ephemeral-storage") else ""
        storage = await self._storage() if shortage.resource != "memory" else {}
        found = []
        for worker in self._running():
            request, _ = resources.total(worker.pod, "requests", name, milli=False) if name else (0, False)
            if shortage.resource == "memory":
                cgroups = self._kubelet.context.cgroups
                usage = cgroup_usage(cgroups, cgroups.pod_path(worker.uid, qos_class(worker.pod))).working_set
            else:
                usage = sum(storage.get(worker.uid, {}).values())
            found.append(Candidate(worker, usage, request))
        return found

    @staticmethod
    def _message(shortage: Shortage, chosen: Candidate) -> str:
        quantity_of = machine.quantity_of if shortage.resource != "inodes" else str
        text = (
            f"The node was low on resource: {shortage.resource}. Threshold quantity: "
            f"{quantity_of(shortage.threshold)}, available: {quantity_of(shortage.available)}. "
        )
        for container in spec.containers(chosen.worker.pod):
            requests = (container.get("resources") or {}).get("requests") or {}
            request = str(requests.get(shortage.resource, "0"))
            if chosen.usage > quantity.value(request):
                text += (
                    f"Container {container['name']} was using {quantity_of(chosen.usage)}, request is {request}, "
                    f"has larger consumption of {shortage.resource}. "
                )
        return text

    def _evict(self, worker: PodWorker, message: str, grace: float) -> None:
        log.info("evicting %s: %s", spec.describe(worker.pod), message)
        self._kubelet.events.event(worker.pod, "Warning", "Evicted", message)
        worker.evict(message, grace)

    # A pod's own limits

    async def _local_storage(self) -> bool:
        """Evict the pods that outgrew their own limits; returns whether there were any."""
        limited = [worker for worker in self._running() if _has_storage_limits(worker.pod)]
        if not limited:
            return False
        storage = await self._storage()
        evicted = False
        for worker in limited:
            message = await asyncio.to_thread(_exceeded, worker, storage.get(worker.uid, {}))
            if message:
                self._evict(worker, message, HARD_GRACE)
                evicted = True
        return evicted

    async def _storage(self) -> dict[str, dict[str, int]]:
        """Pod → container → bytes in the writable layer and in logs."""
        found: dict[str, dict[str, int]] = {}
        for stats in await self._kubelet.runtime.list_container_stats():
            labels = stats.attributes.labels
            uid, name = labels.get(observed.POD_UID, ""), labels.get(observed.CONTAINER_NAME, "")
            worker = self._kubelet.workers.get(uid)
            container = worker.view.latest(name) if worker else None
            logs = disk_usage(Path(container.log_path).parent) if container and container.log_path else 0
            found.setdefault(uid, {})[name] = stats.writable_layer.used_bytes.value + logs
        return found


def _has_storage_limits(pod: Obj) -> bool:
    volumes = pod["spec"].get("volumes") or []
    return any((volume.get("emptyDir") or {}).get("sizeLimit") for volume in volumes) or any(
        "ephemeral-storage" in ((container.get("resources") or {}).get("limits") or {})
        for container in spec.all_containers(pod)
    )


def _exceeded(worker: PodWorker, usage: dict[str, int]) -> str:
    """What the pod outgrew, in upstream's words; empty if nothing."""
    in_volumes = 0
    for name, volume in worker.volumes.volumes.items():
        if not isinstance(volume, EmptyDirVolume) or volume.source.get("medium"):
            continue
        used = disk_usage(volume.directory)
        in_volumes += used
        limit = volume.size_limit()
        if limit and used > limit:
            return f'Usage of EmptyDir volume "{name}" exceeds the limit "{volume.source["sizeLimit"]}". '
    total, complete = resources.total(worker.pod, "limits", "ephemeral-storage", milli=False)
    if complete and total and in_volumes + sum(usage.values()) > total:
        text = machine.quantity_of(total)
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {text}. "
    for container in spec.containers(worker.pod):
        limit_text = ((container.get("resources") or {}).get("limits") or {}).get("ephemeral-storage")
        if limit_text and usage.get(container["name"], 0) > quantity.value(str(limit_text)):
            return f'Container {container["name"]} exceeded its local ephemeral storage limit "{limit_text}". '
    return ""
