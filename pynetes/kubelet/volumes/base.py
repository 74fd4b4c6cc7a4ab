"""What every kind of volume offers, and what it may ask of the node.

A volume is made once per pod, set up before the first container starts, refreshed when something it shows changes,
and torn down after the last container is gone. Each kind lives in a module of its own and registers in `KINDS`.
"""

import os
import shutil
import stat
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pynetes.kubelet import mounts
from pynetes.kubelet.cri.client import Cri
from pynetes.kubelet.volumes import atomic
from pynetes.kubelet.volumes.atomic import Entry
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj


class VolumeError(Exception):
    """The volume cannot be set up (yet); the text goes into a FailedMount event, behind the step that failed."""

    def __init__(self, text: str, step: str = "MountVolume.SetUp") -> None:
        super().__init__(text)
        self.step = step


class UnknownSourceError(VolumeError):
    """What the volume is made of is not known (yet), so there is nothing to mount."""


@dataclass
class VolumeContext:
    """What a volume knows of its pod and may ask of the node."""

    pod: Obj
    directory: Path  # the pod's own directory under the kubelet's root
    get: Callable[[str, str, str], Awaitable[Obj]]  # plural, namespace, name; raises MissingObject
    get_cluster: Callable[[str, str], Awaitable[Obj]]  # plural, name; raises MissingObject
    request_token: Callable[[Obj, str, int], Awaitable[Obj]]  # pod, audience, seconds → TokenRequest status
    allocatable: Callable[[], dict[str, str]]
    trust_bundles: Callable[[], Awaitable[list[Obj]]]  # every ClusterTrustBundle
    refresh_at: Callable[[str, float], None]  # volume name, clock.time() when it wants to be refreshed
    runtime: Cri | None = None

    @property
    def namespace(self) -> str:
        """The pod's namespace."""
        return meta.namespace(self.pod)

    def must_own(self, path: Path, group: int) -> bool:
        """Whether a volume is to be given to the group: `fsGroupChangePolicy` may spare one that is as it should be."""
        policy = (self.pod["spec"].get("securityContext") or {}).get("fsGroupChangePolicy")
        if policy != "OnRootMismatch":
            return True
        info = path.stat()
        return info.st_gid != group or info.st_mode & 0o2770 != 0o2770

    @property
    def fs_group(self) -> int | None:
        """The group that is to own the pod's volumes."""
        return (self.pod["spec"].get("securityContext") or {}).get("fsGroup")


class Volume:
    """The common part: where the volume is, and an empty life."""

    plugin = ""
    read_only = False

    def __init__(self, name: str, source: Obj, context: VolumeContext) -> None:
        self.name = name
        self.source = source
        self.context = context

    @property
    def known_as(self) -> str:
        """What messages call the volume."""
        return self.name

    @property
    def directory(self) -> Path:
        """The volume's own place under the pod's directory."""
        return self.context.directory / "volumes" / self.plugin.replace("/", "~") / self.name

    @property
    def path(self) -> Path:
        """What is mounted into containers."""
        return self.directory

    async def set_up(self) -> None:
        """Make the volume ready; idempotent; raises VolumeError."""

    async def refresh(self) -> None:
        """Bring changed contents up to date."""

    async def tear_down(self) -> None:
        """Undo `set_up`."""
        if self.directory.exists():
            mounts.unmount_below(self.directory)
            shutil.rmtree(self.directory, ignore_errors=True)

    def uses(self) -> set[tuple[str, str]]:
        """The (plural, name) of every object whose change must refresh this volume."""
        return set()

    def shows_pod(self) -> bool:
        """Whether a change of the pod's own metadata must refresh this volume."""
        return False


class FileVolume(Volume):
    """A volume whose files the kubelet writes itself and replaces atomically; read-only for containers."""

    read_only = True
    in_memory = True

    async def entries(self) -> Mapping[str, Entry]:
        """The files as they should be now."""
        raise NotImplementedError

    async def set_up(self) -> None:
        entries = await self.entries()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.directory.chmod(0o777)
        if self.in_memory and not mounts.is_mount_point(self.directory):
            mounts.mount("tmpfs", self.directory, "tmpfs", 0, "mode=1777")
        self._write(entries)

    async def refresh(self) -> None:
        if self.directory.is_dir():
            self._write(await self.entries())

    def _write(self, entries: Mapping[str, Entry]) -> None:
        group = self.context.fs_group
        if group is not None:
            entries = {name: with_group(entry, group) for name, entry in entries.items()}
            own(self.directory, group, read_only=True, recurse=False)
        atomic.write(self.directory, entries, group)


def with_group(entry: Entry, group: int) -> Entry:
    """The entry as fsGroup wants it: owned and readable by the group."""
    return Entry(entry.content, entry.mode | 0o440, entry.uid, group)


def own(path: Path, group: int, read_only: bool, recurse: bool = True) -> None:
    """Give a volume to a group: files readable (and writable), directories enterable with the setgid bit."""
    bits = 0o440 if read_only else 0o660
    targets = [str(path)]
    if recurse:
        targets += [os.path.join(root, name) for root, names, files in os.walk(path) for name in (*names, *files)]  # noqa: PTH118
    for target in targets:
        info = os.lstat(target)
        if stat.S_ISLNK(info.st_mode):
            os.lchown(target, -1, group)
            continue
        os.chown(target, -1, group)
        extra = bits | 0o2110 if stat.S_ISDIR(info.st_mode) else bits
        os.chmod(target, stat.S_IMODE(info.st_mode) | extra)  # noqa: PTH101 (os.walk gives strings)


def mode_of(item: Obj, default: Any, fallback: int = 0o644) -> int:
    """The mode of one file: the item's own, else the volume's default."""
    if item.get("mode") is not None:
        return int(item["mode"])
    return fallback if default is None else int(default)


def select(
    data: Mapping[str, bytes], items: list[Obj] | None, default_mode: Any, optional: bool, missing: str
) -> dict[str, Entry]:
    """The files of a ConfigMap or Secret: every key, or the chosen `items` under their paths."""
    if not items:
        return {key: Entry(value, mode_of({}, default_mode)) for key, value in data.items()}
    entries = {}
    for item in items:
        if item["key"] not in data:
            if optional:
                continue
            raise VolumeError(f"{missing}: {item['key']}")
        entries[item["path"]] = Entry(data[item["key"]], mode_of(item, default_mode))
    return entries
