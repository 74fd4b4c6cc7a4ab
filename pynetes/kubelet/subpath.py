"""`subPath`: a part of a volume, mounted without ever leaving the volume.

A container may race us with symbolic links, so a path is not enough: the target is opened piece by piece without
following links, and the open file itself is bind-mounted to a place under the pod's directory that only the kubelet
writes. The container gets that place.
"""

import os
import stat
from pathlib import Path

from pynetes.kubelet import mounts


class SubPathError(Exception):
    """The part cannot be mounted; the text is for the kubelet's log, as it speaks of the host's files."""


class MissingSubPathError(SubPathError):
    """The part is not there and cannot be made."""


def prepare(volume: Path, sub_path: str, place: Path) -> Path:
    """Bind-mount `volume/sub_path` to `place`, making a missing directory; returns `place`."""
    root = volume.resolve()
    if Path(sub_path).is_absolute() or ".." in Path(sub_path).parts:
        raise SubPathError(f'subPath "{sub_path}" must be a relative path without ".."')
    target = Path(os.path.realpath(root / sub_path))
    if target != root and root not in target.parents:
        raise SubPathError(f"subpath {sub_path!r} not within volume path {str(volume)!r}")
    relative = target.relative_to(root)
    if not target.exists():
        try:
            _make_directories(root, relative)
        except OSError as error:
            raise MissingSubPathError(str(error)) from error
    descriptor = _open(root, relative)
    try:
        _bind(descriptor, place)
    finally:
        os.close(descriptor)
    return place


def _open(root: Path, relative: Path) -> int:
    """The target as an O_PATH descriptor, no link followed on the way."""
    descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for part in relative.parts:
        try:
            below = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=descriptor)
        except OSError as error:
            raise SubPathError(f"cannot open directory {part}: {error.strerror}") from None
        finally:
            os.close(descriptor)
        descriptor = below
        if stat.S_ISLNK(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise SubPathError(f"unexpected symlink found {root / relative}")
    return descriptor


def _make_directories(root: Path, relative: Path) -> None:
    mode = stat.S_IMODE(root.stat().st_mode)
    owner = root.stat()
    here = root
    for part in relative.parts:
        here = here / part
        if not here.exists():
            here.mkdir()
            os.chown(here, owner.st_uid, owner.st_gid)
            here.chmod(mode)


def _bind(descriptor: int, place: Path) -> None:
    is_directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
    place.parent.mkdir(parents=True, exist_ok=True)
    if mounts.is_mount_point(place):
        mounts.unmount(place)
    if is_directory:
        place.mkdir(exist_ok=True)
    elif not place.exists():
        place.touch(mode=0o644)
    mounts.mount(f"/proc/self/fd/{descriptor}", place, "none", mounts.MS_BIND)
