"""Keeping the node's disk in order: log rotation and image garbage collection.

Logs of running containers are looked at every ten seconds (a `stat` each) and rotated when they have grown too large:
`0.log` becomes `0.log.<time>`, older pieces are compressed, the oldest go. Images that nothing uses go, the least
recently used first, when the disk fills beyond the high threshold, until it is below the low one.
"""

import asyncio
import contextlib
import gzip
import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pynetes.kubelet.cri.client import CriError
from pynetes.kubelet.images import with_default_tag
from pynetes.machinery import clock, quantity

if TYPE_CHECKING:
    from pynetes.kubelet.kubelet import Kubelet

log = logging.getLogger(__name__)

LOG_CHECK_SECONDS = 10.0
IMAGE_CHECK_SECONDS = 300.0


class Housekeeper:
    """Looks after one node's disk."""

    def __init__(self, kubelet: "Kubelet") -> None:
        self._kubelet = kubelet
        self._options = kubelet.options
        self._last_used: dict[str, float] = {}  # image id → when a container last used it
        self._first_seen: dict[str, float] = {}

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._rotate_logs())
            group.create_task(self._collect_images())

    # Logs

    async def _rotate_logs(self) -> None:
        limit = quantity.value(self._options.container_log_max_size)
        while True:
            await clock.sleep(LOG_CHECK_SECONDS)
            for worker in [*self._kubelet.workers.values()]:
                for container in worker.view.running():
                    path = Path(container.log_path) if container.log_path else None
                    if path is not None and _size(path) > limit:
                        await self.rotate(container.id, path)

    async def rotate(self, container_id: str, path: Path) -> None:
        """Put one log aside and have the runtime begin a new one."""
        try:
            await asyncio.to_thread(_tidy, path, self._options.container_log_max_files)
            aside = path.with_name(f"{path.name}.{clock.now().strftime('%Y%m%d-%H%M%S')}")
            path.rename(aside)
        except OSError as error:
            log.warning("rotating %s: %s", path, error)
            return
        try:
            await self._kubelet.runtime.reopen_container_log(container_id)
        except CriError as error:
            log.warning("rotating %s: %s", path, error)
            with contextlib.suppress(OSError):
                aside.rename(path)

    # Images

    async def _collect_images(self) -> None:
        while True:
            with contextlib.suppress(CriError):
                await self._note_images()
                usage = _usage(self._options.root_dir)
                if usage >= self._options.image_gc_high_threshold:
                    await self.free(usage - self._options.image_gc_low_threshold)
            await clock.sleep(IMAGE_CHECK_SECONDS)

    async def _note_images(self) -> set[str]:
        """Remember what is used now; returns the ids in use."""
        now = clock.time()
        used = {container.image_ref for container in await self._kubelet.runtime.list_containers()}
        pause = self._options.pod_infra_container_image
        images = await self._kubelet.runtime.list_images()
        in_use = set()
        for image in images:
            self._first_seen.setdefault(image.id, now)
            names = {image.id, *image.repo_tags, *image.repo_digests}
            if image.pinned or names & used or (pause and with_default_tag(pause) in names):
                in_use.add(image.id)
                self._last_used[image.id] = now
        known = {image.id for image in images}
        for memory in (self._last_used, self._first_seen):
            for gone in set(memory) - known:
                del memory[gone]
        return in_use

    async def free(self, percent: float) -> int:
        """Remove unused images worth so many percent of the disk; returns the bytes that went."""
        in_use = await self._note_images()
        info = os.statvfs(self._options.root_dir)
        wanted = int(percent / 100 * info.f_blocks * info.f_frsize)
        now, freed = clock.time(), 0
        candidates = [image for image in await self._kubelet.runtime.list_images() if image.id not in in_use]
        candidates.sort(key=lambda image: (self._last_used.get(image.id, 0.0), self._first_seen.get(image.id, 0.0)))
        for image in candidates:
            if freed >= wanted:
                break
            if now - self._first_seen.get(image.id, now) < self._options.minimum_image_ttl_duration:
                continue
            with contextlib.suppress(CriError):
                await self._kubelet.runtime.remove_image(image.id)
                freed += image.size
        if freed < wanted:
            text = f"Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, "
            self._event("FreeDiskSpaceFailed", text + f"but only found {freed} bytes eligible to free.")
        return freed

    def _event(self, reason: str, message: str) -> None:
        self._kubelet.events.event(self._kubelet.node.reference, "Warning", reason, message)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _usage(path: Path) -> float:
    """Percent of the file system in use."""
    info = os.statvfs(path)
    return 100.0 - info.f_bavail * 100.0 / max(info.f_blocks, 1)


def _tidy(path: Path, max_files: int) -> None:
    """Compress what was put aside before, and keep only so many files that the new ones fit in."""
    pieces = sorted(_pieces(path))
    for piece in pieces:
        if piece.suffix == ".tmp":
            piece.unlink()
        elif piece.suffix != ".gz":
            fresh = piece.with_name(f"{piece.name}.tmp")
            with piece.open("rb") as source, gzip.open(fresh, "wb") as target:
                shutil.copyfileobj(source, target)
            fresh.rename(piece.with_name(f"{piece.name}.gz"))
            piece.unlink()
    for piece in sorted(_pieces(path))[: -(max_files - 2) or None] if max_files > 2 else _pieces(path):
        piece.unlink(missing_ok=True)


def _pieces(path: Path) -> Iterable[Path]:
    return [piece for piece in path.parent.glob(f"{path.name}.*") if piece != path]
