"""`emptyDir` volumes: a directory that lives as long as the pod, on disk, in memory or in huge pages."""

from pynetes.kubelet import mounts, resources
from pynetes.kubelet.volumes.base import Volume, own
from pynetes.machinery import quantity


class EmptyDirVolume(Volume):
    """World-writable, owned by fsGroup if there is one; in memory with the sticky bit of a fresh tmpfs, as upstream."""

    plugin = "kubernetes.io/empty-dir"

    async def set_up(self) -> None:
        created = not self.directory.exists()
        self.directory.mkdir(parents=True, exist_ok=True)
        if created:
            self.directory.chmod(0o777)
        medium = self.source.get("medium") or ""
        if medium and not mounts.is_mount_point(self.directory):
            mounts.mount(*self._file_system(medium))
            created = True
        group = self.context.fs_group
        if created and group is not None:
            own(self.directory, group, read_only=False)

    def _file_system(self, medium: str) -> tuple[str, str, str, int, str]:
        directory = str(self.directory)
        if medium == "Memory":
            return ("tmpfs", directory, "tmpfs", 0, f"mode=1777,size={self._size_in_memory()}")
        page = medium.removeprefix("HugePages").removeprefix("-").removesuffix("i")
        return ("nodev", directory, "hugetlbfs", 0, f"mode=0777,pagesize={page or '2M'}")

    def _size_in_memory(self) -> int:
        """No more than the pod may use, the node has to give, or the volume's own limit says."""
        found = [self.size_limit(), resources.pod_limits(self.context.pod).memory or 0]
        found.append(quantity.value(self.context.allocatable().get("memory", "0")))
        return min((size for size in found if size), default=0)  # 0: as large as the kernel likes

    def size_limit(self) -> int:
        """The limit in bytes; 0 for none. In memory it is the kernel's to hold, on disk the eviction manager's."""
        text = self.source.get("sizeLimit")
        return quantity.value(str(text)) if text else 0
