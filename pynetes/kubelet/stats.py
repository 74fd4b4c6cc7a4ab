"""What the node and its pods use: `/stats/summary`, and the two metrics endpoints made of the same numbers.

Containers' numbers come from the runtime, pods' and the node's from their cgroups and /proc, volumes' from their file
systems. CPU rates need two looks; the last one is kept for that.
"""

import asyncio
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pynetes.kubelet import machine, observed
from pynetes.kubelet.cgroups import Cgroups
from pynetes.kubelet.cri.client import Cri
from pynetes.kubelet.disk import disk_usage
from pynetes.kubelet.pod import PodWorker
from pynetes.kubelet.resources import qos_class
from pynetes.machinery import clock, meta
from pynetes.machinery.meta import Obj


@dataclass(slots=True)
class Usage:
    """CPU in nanoseconds since the beginning, memory in bytes."""

    cpu: int = 0
    memory: int = 0
    working_set: int = 0
    rss: int = 0
    page_faults: int = 0
    major_page_faults: int = 0


class Rates:
    """CPU per second, from the look before."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, int, int]] = {}

    def rate(self, key: str, cpu: int) -> int:
        """Nanocores since this was asked last; looks less than a second apart share their answer."""
        now = clock.monotonic()
        before = self._last.get(key)
        if before is None:
            self._last[key] = (now, cpu, 0)
            return 0
        at, used, rate = before
        if now - at >= 1.0:
            rate = max(0, int((cpu - used) / (now - at)))
            self._last[key] = (now, cpu, rate)
        return rate

    def keep(self, keys: Iterable[str]) -> None:
        """Forget all others."""
        wanted = set(keys)
        for key in [key for key in self._last if key not in wanted]:
            del self._last[key]


def cgroup_usage(cgroups: Cgroups, path: str) -> Usage:
    """The numbers of one cgroup; zeros where it is gone."""

    def read(controller: str, name: str) -> str:
        try:
            return cgroups.file(controller, path, name).read_text()
        except OSError:
            return ""

    stat = _table(read("memory", "memory.stat"))
    if cgroups.v2:
        cpu = _table(read("cpu", "cpu.stat")).get("usage_usec", 0) * 1000
        memory = _number(read("memory", "memory.current"))
        rss, faults, major = stat.get("anon", 0), stat.get("pgfault", 0), stat.get("pgmajfault", 0)
        inactive = stat.get("inactive_file", 0)
    else:
        cpu = _number(read("cpuacct", "cpuacct.usage"))
        memory = _number(read("memory", "memory.usage_in_bytes"))
        rss, faults = stat.get("total_rss", 0), stat.get("total_pgfault", 0)
        major, inactive = stat.get("total_pgmajfault", 0), stat.get("total_inactive_file", 0)
    return Usage(cpu, memory, max(0, memory - inactive), rss, faults, major)


def node_usage() -> Usage:
    """The whole machine's numbers."""
    ticks = os.sysconf("SC_CLK_TCK")
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    busy = sum(fields) - fields[3] - fields[4]
    used = machine.memory() - machine.memory_available()
    return Usage(cpu=busy * 1_000_000_000 // ticks, memory=used, working_set=used, rss=used)


def _table(text: str) -> dict[str, int]:
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(text: str) -> int:
    return int(text) if text.strip().isdigit() else 0


class Stats:
    """Answers for one node."""

    def __init__(self, runtime: Cri, cgroups: Cgroups, node_name: str, root: Path) -> None:
        self._runtime = runtime
        self._cgroups = cgroups
        self._node_name = node_name
        self._root = root
        self._rates = Rates()
        self._started = clock.timestamp()

    async def summary(self, workers: Iterable[PodWorker]) -> Obj:
        """`/stats/summary`."""
        usage = node_usage()
        file_system = self._file_system(self._root)
        pods = await self._pods(workers)
        rlimit = {"time": clock.timestamp(), "maxpid": _maximum_pid(), "curproc": _processes()}
        return {
            "node": {
                "nodeName": self._node_name,
                "startTime": self._started,
                "cpu": self._cpu("node", usage),
                "memory": _memory(usage, machine.memory()),
                "fs": file_system,
                "runtime": {"imageFs": file_system, "containerFs": file_system},
                "rlimit": rlimit,
            },
            "pods": pods,
        }

    async def _pods(self, workers: Iterable[PodWorker]) -> list[Obj]:
        by_pod: dict[str, list[Any]] = {}
        for stats in await self._runtime.list_container_stats():
            by_pod.setdefault(stats.attributes.labels.get(observed.POD_UID, ""), []).append(stats)
        result, keys = [], {"node"}
        for worker in workers:
            found = by_pod.get(worker.uid)
            if not found:
                continue
            path = self._cgroups.pod_path(worker.uid, qos_class(worker.pod))
            usage = cgroup_usage(self._cgroups, path)
            keys |= {worker.uid, *(stats.attributes.id for stats in found)}
            result.append(
                {
                    "podRef": {
                        "name": meta.name(worker.pod),
                        "namespace": meta.namespace(worker.pod),
                        "uid": worker.uid,
                    },
                    "startTime": worker.status.get("startTime"),
                    "containers": [self._container(stats, worker) for stats in found],
                    "cpu": self._cpu(worker.uid, usage),
                    "memory": _memory(usage, 0),
                    "volume": await asyncio.to_thread(self._volumes, worker),
                    "ephemeral-storage": self._ephemeral(found),
                    "process_stats": {"process_count": self._process_count(path)},
                }
            )
        self._rates.keep(keys)
        return result

    def _container(self, stats: Any, worker: PodWorker) -> Obj:
        name = stats.attributes.labels.get(observed.CONTAINER_NAME, "")
        usage = Usage(
            cpu=stats.cpu.usage_core_nano_seconds.value,
            memory=stats.memory.usage_bytes.value or stats.memory.working_set_bytes.value,
            working_set=stats.memory.working_set_bytes.value,
            rss=stats.memory.rss_bytes.value,
            page_faults=stats.memory.page_faults.value,
            major_page_faults=stats.memory.major_page_faults.value,
        )
        container = worker.view.latest(name)
        started = container.started_at if container else 0
        base = self._file_system(self._root)
        own = {
            "usedBytes": stats.writable_layer.used_bytes.value,
            "inodesUsed": stats.writable_layer.inodes_used.value,
        }
        logs = disk_usage(Path(container.log_path).parent) if container and container.log_path else 0
        return {
            "name": name,
            "startTime": clock.format_time(clock.now() if not started else _moment(started)),
            "cpu": self._cpu(stats.attributes.id, usage),
            "memory": _memory(usage, 0),
            "rootfs": {**base, **own},
            "logs": {**base, "usedBytes": logs},
        }

    def _cpu(self, key: str, usage: Usage) -> Obj:
        rate = self._rates.rate(key, usage.cpu)
        return {"time": clock.timestamp(), "usageNanoCores": rate, "usageCoreNanoSeconds": usage.cpu}

    @staticmethod
    def _file_system(path: Path) -> Obj:
        info = os.statvfs(path)
        return {
            "time": clock.timestamp(),
            "availableBytes": info.f_bavail * info.f_frsize,
            "capacityBytes": info.f_blocks * info.f_frsize,
            "usedBytes": (info.f_blocks - info.f_bfree) * info.f_frsize,
            "inodesFree": info.f_favail,
            "inodes": info.f_files,
            "inodesUsed": info.f_files - info.f_ffree,
        }

    def _volumes(self, worker: PodWorker) -> list[Obj]:
        found = []
        for name, volume in worker.volumes.volumes.items():
            if volume.directory.is_dir():
                entry = {**self._file_system(volume.directory), "name": name}
                entry["usedBytes"] = disk_usage(volume.directory)
                found.append(entry)
        return found

    def _ephemeral(self, found: list[Any]) -> Obj:
        used = sum(stats.writable_layer.used_bytes.value for stats in found)
        return {**self._file_system(self._root), "usedBytes": used}

    def _process_count(self, path: str) -> int:
        try:
            return _number(self._cgroups.file("pids", path, "pids.current").read_text())
        except OSError:
            return 0

    # Metrics

    async def resource_metrics(self, workers: Iterable[PodWorker]) -> str:
        """`/metrics/resource`, in the Prometheus text format."""
        summary = await self.summary(workers)
        lines = _Lines()
        node = summary["node"]
        lines.add("node_cpu_usage_seconds_total", "counter", {}, node["cpu"]["usageCoreNanoSeconds"] / 1e9)
        lines.add("node_memory_working_set_bytes", "gauge", {}, node["memory"]["workingSetBytes"])
        for pod in summary["pods"]:
            labels = {"namespace": pod["podRef"]["namespace"], "pod": pod["podRef"]["name"]}
            for container in pod["containers"]:
                own = {"container": container["name"], **labels}
                started = clock.parse_time(container["startTime"]).timestamp()
                cpu, memory = container["cpu"], container["memory"]
                lines.add("container_cpu_usage_seconds_total", "counter", own, cpu["usageCoreNanoSeconds"] / 1e9)
                lines.add("container_memory_working_set_bytes", "gauge", own, memory["workingSetBytes"])
                lines.add("container_start_time_seconds", "gauge", own, started)
            lines.add("pod_cpu_usage_seconds_total", "counter", labels, pod["cpu"]["usageCoreNanoSeconds"] / 1e9)
            lines.add("pod_memory_working_set_bytes", "gauge", labels, pod["memory"]["workingSetBytes"])
        lines.add("resource_scrape_error", "gauge", {}, 0)
        return lines.text()

    async def cadvisor_metrics(self, workers: Iterable[PodWorker]) -> str:
        """`/metrics/cadvisor`: the names monitoring systems know."""
        workers = list(workers)
        summary = await self.summary(workers)
        images = {
            (worker.uid, status["name"]): (status.get("image", ""), status.get("containerID", "").rpartition("/")[2])
            for worker in workers
            for status in worker.status.get("containerStatuses") or []
        }
        lines = _Lines()
        node = summary["node"]
        top = {"container": "", "id": "/", "image": "", "name": "", "namespace": "", "pod": ""}
        self._cadvisor(lines, top, node["cpu"], node["memory"])
        lines.add("machine_cpu_cores", "gauge", {}, machine.cpus())
        lines.add("machine_memory_bytes", "gauge", {}, machine.memory())
        for pod in summary["pods"]:
            base = {"namespace": pod["podRef"]["namespace"], "pod": pod["podRef"]["name"]}
            path = f"/kubepods/pod{pod['podRef']['uid']}"
            self._cadvisor(
                lines, {"container": "", "id": path, "image": "", "name": "", **base}, pod["cpu"], pod["memory"]
            )
            for container in pod["containers"]:
                image, name = images.get((pod["podRef"]["uid"], container["name"]), ("", ""))
                own = {"container": container["name"], "id": f"{path}/{name}", "image": image, "name": name, **base}
                self._cadvisor(lines, own, container["cpu"], container["memory"])
                lines.add("container_fs_usage_bytes", "gauge", own, container["rootfs"]["usedBytes"])
        return lines.text()

    @staticmethod
    def _cadvisor(lines: "_Lines", labels: dict[str, str], cpu: Obj, memory: Obj) -> None:
        total = {"cpu": "total", **labels}
        lines.add("container_cpu_usage_seconds_total", "counter", total, cpu["usageCoreNanoSeconds"] / 1e9)
        lines.add("container_memory_usage_bytes", "gauge", labels, memory["usageBytes"])
        lines.add("container_memory_working_set_bytes", "gauge", labels, memory["workingSetBytes"])
        lines.add("container_memory_rss", "gauge", labels, memory["rssBytes"])


class _Lines:
    """Metrics in the text format, grouped by name as it demands."""

    def __init__(self) -> None:
        self._families: dict[str, list[str]] = {}

    def add(self, name: str, kind: str, labels: dict[str, str], value: float) -> None:
        family = self._families.setdefault(name, [f"# TYPE {name} {kind}"])
        inner = ",".join(f'{key}="{_escape(text)}"' for key, text in labels.items())
        family.append(f"{name}{{{inner}}} {value:.17g}" if inner else f"{name} {value:.17g}")

    def text(self) -> str:
        return "\n".join(line for family in self._families.values() for line in family) + "\n"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _memory(usage: Usage, total: int) -> Obj:
    memory = {
        "time": clock.timestamp(),
        "usageBytes": usage.memory,
        "workingSetBytes": usage.working_set,
        "rssBytes": usage.rss,
        "pageFaults": usage.page_faults,
        "majorPageFaults": usage.major_page_faults,
    }
    return memory | ({"availableBytes": total - usage.working_set} if total else {})


def _moment(nanoseconds: int) -> datetime:
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC)


def _maximum_pid() -> int:
    return int(Path("/proc/sys/kernel/pid_max").read_text())


def _processes() -> int:
    return int(Path("/proc/loadavg").read_text().split()[3].split("/")[1])
