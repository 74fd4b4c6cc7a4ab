"""`image` volumes: the files of an OCI image or artifact, read-only (KEP-4639).

The image is pulled as a container's is, with the same events and waiting reasons, when the first container that
mounts the volume starts; until then the volume is an empty directory.
"""

import contextlib

from pynetes.kubelet import mounts
from pynetes.kubelet.cri import snapshots
from pynetes.kubelet.cri.client import Cri, CriError
from pynetes.kubelet.volumes.base import Volume
from pynetes.machinery import meta


class ImageVolume(Volume):
    """Mounted by whoever starts the container."""

    plugin = "kubernetes.io/image"
    read_only = True

    @property
    def reference(self) -> str:
        """The image."""
        return str(self.source.get("reference") or "")

    @property
    def mounted(self) -> bool:
        """Whether the files are there."""
        return mounts.is_mount_point(self.directory)

    @property
    def _key(self) -> str:
        return f"pynetes-{meta.uid(self.context.pod)}-{self.name}"

    async def set_up(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)

    async def mount(self, runtime: Cri, image: str) -> None:
        """Mount the files of the image with this id."""
        await snapshots.mount_image(runtime, self._key, image, self.directory)

    async def tear_down(self) -> None:
        await super().tear_down()
        if self.context.runtime is not None:
            with contextlib.suppress(CriError):
                await snapshots.forget(self.context.runtime, self._key)
