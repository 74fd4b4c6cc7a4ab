"""`hostPath` volumes: a path of the node as it is, checked against the `type` it should have."""

import os
import stat
from pathlib import Path

from pynetes.kubelet.volumes.base import Volume, VolumeError

_CHECKS = {
    "Directory": (stat.S_ISDIR, "directory"),
    "File": (stat.S_ISREG, "file"),
    "Socket": (stat.S_ISSOCK, "socket file"),
    "CharDevice": (stat.S_ISCHR, "character device"),
    "BlockDevice": (stat.S_ISBLK, "block device"),
}


class HostPathVolume(Volume):
    """Nothing is made but what `DirectoryOrCreate` and `FileOrCreate` say; nothing is ever removed."""

    plugin = "kubernetes.io/host-path"

    @property
    def path(self) -> Path:
        return Path(self.source["path"])

    async def set_up(self) -> None:
        kind = self.source.get("type") or ""
        if not kind:
            return
        if kind == "DirectoryOrCreate" and not self.path.exists():
            self.path.mkdir(parents=True)
            self.path.chmod(0o755)
        if kind == "FileOrCreate" and not self.path.exists():
            try:
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
            except OSError as error:
                raise VolumeError(f"open {self.path}: {(error.strerror or '').lower()}") from None
        matches, noun = _CHECKS[kind.removesuffix("OrCreate")]
        try:
            mode = self.path.stat().st_mode
        except OSError:
            mode = 0
        if not matches(mode):
            raise VolumeError(f"hostPath type check failed: {self.path} is not a {noun}")

    async def tear_down(self) -> None:
        """What belongs to the node stays."""
