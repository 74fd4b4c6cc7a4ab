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
    return [_unescaped(line.split()[4]) for line in lines]


def _unescaped(path: str) -> str:
    """A path as mountinfo writes it, without its escapes."""
    return path.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")


def make_shared(directory: Path) -> None:
    """Make mounts below an existing directory reach whoever shares its mount: what mountPropagation rests on.

    Where the machine's own mount is not shared already, the directory becomes a mount point.
    """
    if not _is_shared(directory.resolve()):
        mount(str(directory), directory, "", MS_BIND | MS_REC)
        mount("", directory, "", MS_SHARED | MS_REC)


def _is_shared(path: Path) -> bool:
    """Whether the mount that holds `path` is shared, by the optional fields of proc(5) mountinfo."""
    shared: dict[str, bool] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        shared[_unescaped(fields[4])] = any(f.startswith("shared:") for f in fields[6 : fields.index("-")])
    return next(shared[str(place)] for place in (path, *path.parents) if str(place) in shared)


def unmount_below(directory: Path) -> None:
    """Unmount everything at or under `directory`, deepest first."""
    prefix = f"{directory}/"
    for point in sorted((p for p in mount_points() if f"{p}/".startswith(prefix)), key=len, reverse=True):
        unmount(point)
