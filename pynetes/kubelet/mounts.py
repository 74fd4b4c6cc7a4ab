"""Mounting, straight through the system call: no process is started for it."""

import ctypes
import os
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_SHARED = 32, 4096, 16384, 1 << 20
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str | Path, kind: str, flags: int = 0, data: str = "") -> None:
    """mount(2); raises OSError."""
    result = _libc.mount(source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode())
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), str(target))


def unmount(target: str | Path) -> None:
    """umount2(2), lazily; nothing happens if nothing is mounted there."""
    if _libc.umount2(os.fsencode(target), MNT_DETACH) != 0:
        code = ctypes.get_errno()
        if code not in (22, 2):  # EINVAL: not a mount point; ENOENT: not there
            raise OSError(code, os.strerror(code), str(target))


def is_mount_point(path: Path) -> bool:
    """Whether something is mounted at `path`."""
    return str(path) in mount_points()


def mount_points() -> list[str]:
    """Every mount point this process sees."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split()[4].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\") for line in lines]


def unmount_below(directory: Path) -> None:
    """Unmount everything at or under `directory`, deepest first."""
    prefix = f"{directory}/"
    for point in sorted((p for p in mount_points() if f"{p}/".startswith(prefix)), key=len, reverse=True):
        unmount(point)
