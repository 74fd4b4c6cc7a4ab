"""The cgroups above the containers: one per node, per quality of service, and per pod.

Both hierarchies are spoken: v1 (a tree per controller) and v2 (one tree). The runtime makes the containers' own
cgroups below the pod's. Every node of a machine has its own root, so that two kubelets never meet. Pod cgroups are
removed with the pod; whatever still runs in them is killed first.
"""

import contextlib
import errno
import os
import signal
from pathlib import Path

from pynetes.kubelet.resources import PodLimits, Qos
from pynetes.machinery import clock

MOUNT = Path("/sys/fs/cgroup")
# "unified": where v1 and v2 are mounted side by side, the runtime makes its groups in both.
V1_CONTROLLERS = (
    *("cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "devices", "freezer", "hugetlb", "systemd"),
    "unified",
)
V2_CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "io", "hugetlb")
REMOVE_ATTEMPTS = 20
REMOVE_PAUSE = 0.05


class Cgroups:
    """The node's part of the cgroup tree, below `root` (such as `/pynetes/node-1`)."""

    def __init__(self, root: str, mount: Path = MOUNT) -> None:
        self.root = "/" + root.strip("/") if root.strip("/") else ""
        self.mount = mount
        self.v2 = (mount / "cgroup.controllers").exists()

    def pod_path(self, uid: str, qos: Qos) -> str:
        """The pod's cgroup as the runtime wants to hear it."""
        tier = "" if qos == "Guaranteed" else f"/{qos.lower()}"
        return f"{self.root}/kubepods{tier}/pod{uid}"

    def qos_paths(self) -> list[str]:
        """The node's fixed cgroups."""
        base = f"{self.root}/kubepods"
        return [base, f"{base}/burstable", f"{base}/besteffort"]

    def set_up(self) -> None:
        """Make the node's fixed cgroups."""
        for path in self.qos_paths():
            self._make(path)
        self._write_limits(f"{self.root}/kubepods/besteffort", PodLimits(cpu_shares=2))

    def create_pod(self, uid: str, qos: Qos, limits: PodLimits) -> str:
        """Make the pod's cgroup and set its limits; returns its path."""
        path = self.pod_path(uid, qos)
        self._make(path)
        self._write_limits(path, limits)
        return path

    async def remove_pod(self, uid: str) -> None:
        """Remove the pod's cgroup wherever it is, killing what is left in it."""
        for parent in self.qos_paths():
            path = f"{parent}/pod{uid}"
            for directory in self._directories(path):
                if directory.is_dir():
                    await _remove_tree(directory)

    def pods(self) -> set[str]:
        """The uids of all pods that have a cgroup."""
        found: set[str] = set()
        for path in self.qos_paths():
            for directory in self._directories(path):
                with contextlib.suppress(OSError):
                    found |= {entry.name[3:] for entry in directory.iterdir() if entry.name.startswith("pod")}
        return found

    async def remove_all(self) -> None:
        """Remove everything below the node's root, and the root."""
        for directory in self._directories(self.root or "/kubepods"):
            if directory.is_dir():
                await _remove_tree(directory)

    def file(self, controller: str, path: str, name: str) -> Path:
        """A control file of the cgroup at `path`."""
        base = self.mount if self.v2 else self.mount / controller
        return base / path.strip("/") / name

    def memory_usage(self, path: str) -> int:
        """The bytes that a cgroup uses; 0 if it is not known."""
        text = _read(self.file("memory", path, "memory.current" if self.v2 else "memory.usage_in_bytes")).strip()
        return int(text) if text.isdigit() else 0

    def _directories(self, path: str) -> list[Path]:
        if self.v2:
            return [self.mount / path.strip("/")]
        bases = {(self.mount / name).resolve() for name in V1_CONTROLLERS if (self.mount / name).is_dir()}
        return [base / path.strip("/") for base in sorted(bases)]

    def _make(self, path: str) -> None:
        for directory in self._directories(path):
            directory.mkdir(parents=True, exist_ok=True)
        if self.v2:
            self._enable_controllers(path)
        elif (self.mount / "cpuset").is_dir():
            self._inherit_cpuset(path)

    def _enable_controllers(self, path: str) -> None:
        """Hand every controller down to the children, all the way; one that is missing is left out."""
        directory = self.mount
        for part in ["", *path.strip("/").split("/")]:
            directory = directory / part
            offered = _read(directory / "cgroup.controllers").split()
            for controller in V2_CONTROLLERS:
                if controller in offered:
                    with contextlib.suppress(OSError):
                        (directory / "cgroup.subtree_control").write_text(f"+{controller}")

    def _inherit_cpuset(self, path: str) -> None:
        """In v1 a new cpuset is empty and takes no process until it is given CPUs and memory nodes."""
        directory = self.mount / "cpuset"
        for part in path.strip("/").split("/"):
            parent, directory = directory, directory / part
            for name in ("cpuset.cpus", "cpuset.mems"):
                if not _read(directory / name).strip():
                    with contextlib.suppress(OSError):
                        (directory / name).write_text(_read(parent / name))

    def _write_limits(self, path: str, limits: PodLimits) -> None:
        for controller, name, value in self._settings(limits):
            with contextlib.suppress(OSError):
                self.file(controller, path, name).write_text(value)

    def _settings(self, limits: PodLimits) -> list[tuple[str, str, str]]:
        quota, memory, pids = limits.cpu_quota, limits.memory, limits.pids
        if self.v2:
            settings = [
                ("cpu", "cpu.max", f"{quota or 'max'} 100000"),
                ("memory", "memory.max", str(memory or "max")),
                ("pids", "pids.max", str(pids or "max")),
            ]
            if limits.cpu_shares is not None:
                settings.append(("cpu", "cpu.weight", str(weight(limits.cpu_shares))))
            return settings
        settings = [
            ("cpu", "cpu.cfs_quota_us", str(quota or -1)),
            ("memory", "memory.limit_in_bytes", str(memory or -1)),
            ("pids", "pids.max", str(pids or "max")),
        ]
        if limits.cpu_shares is not None:
            settings.append(("cpu", "cpu.shares", str(limits.cpu_shares)))
        return settings


def weight(cpu_shares: int) -> int:
    """v1's shares [2..262144] on v2's scale [1..10000]."""
    return 1 + ((cpu_shares - 2) * 9999) // 262142


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


async def _remove_tree(directory: Path) -> None:
    """Remove a cgroup and all below it, children first."""
    for _ in range(REMOVE_ATTEMPTS):
        busy = False
        for path, _, _ in os.walk(directory, topdown=False):
            try:
                os.rmdir(path)  # noqa: PTH106 (os.walk gives strings)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
                    raise
                busy = True
                _kill_all(Path(path))
        if not busy:
            return
        await clock.sleep(REMOVE_PAUSE)


def _kill_all(directory: Path) -> None:
    for line in _read(directory / "cgroup.procs").split():
        with contextlib.suppress(ProcessLookupError, ValueError):
            os.kill(int(line), signal.SIGKILL)
