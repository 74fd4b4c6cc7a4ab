"""`persistentVolumeClaim` and `ephemeral` volumes: whatever the bound PersistentVolume turns out to be.

The claim leads to a volume, the volume to a source this node can mount: `hostPath` and `local`. A source of any other
kind is refused with upstream's message for a plugin that is missing.
"""

from pathlib import Path
from typing import Any

from pynetes.kubelet.sources import MissingObject
from pynetes.kubelet.volumes.base import UnknownSourceError, Volume, VolumeError, own
from pynetes.kubelet.volumes.csi import unregistered
from pynetes.kubelet.volumes.host_path import HostPathVolume
from pynetes.machinery import meta
from pynetes.machinery.meta import Obj


class ClaimVolume(Volume):
    """Resolved at set-up; afterwards it stands for the real volume."""

    plugin = "kubernetes.io/persistent-volume-claim"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._target: Path | None = None
        self._volume = self.name
        self.read_only = bool(self.source.get("readOnly"))

    @property
    def claim(self) -> str:
        """The claim's name; an ephemeral volume's is made of the pod's and the volume's."""
        return self.source.get("claimName") or f"{meta.name(self.context.pod)}-{self.name}"

    @property
    def known_as(self) -> str:
        return self._volume

    @property
    def path(self) -> Path:
        if self._target is None:
            raise VolumeError(f'volume "{self.name}" is not set up')
        return self._target

    async def set_up(self) -> None:
        volume = await self._bound()
        self._volume, spec = meta.name(volume), volume["spec"]
        source = spec.get("hostPath") or spec.get("local")
        if source is None and spec.get("csi"):
            said = f"attacher.MountDevice failed to create newCsiDriverClient: {unregistered(spec['csi']['driver'])}"
            raise VolumeError(f"kubernetes.io/csi: {said}", step="MountVolume.MountDevice")
        if source is None:
            raise VolumeError("no volume plugin matched")
        host_path = HostPathVolume(
            self.name, source if spec.get("hostPath") else {"path": source["path"]}, self.context
        )
        await host_path.set_up()
        if not host_path.path.exists():
            raise VolumeError(f"path {host_path.path} does not exist")
        group = self.context.fs_group
        wanted = spec.get("local") and group is not None and not self.read_only
        if wanted and group is not None and self.context.must_own(host_path.path, group):
            own(host_path.path, group, read_only=False)
        self._target = host_path.path

    async def _bound(self) -> Obj:
        processing = f"error processing PVC {self.context.namespace}/{self.claim}"
        try:
            claim = await self.context.get("persistentvolumeclaims", self.context.namespace, self.claim)
            if (claim.get("status") or {}).get("phase") != "Bound" or not claim["spec"].get("volumeName"):
                raise UnknownSourceError(f"{processing}: PVC is not bound")
        except MissingObject as error:
            why = f'persistentvolumeclaims "{self.claim}" not found' if error.absent else str(error)
            raise UnknownSourceError(f"{processing}: failed to fetch PVC from API server: {why}") from None
        try:
            volume = await self.context.get_cluster("persistentvolumes", claim["spec"]["volumeName"])
        except MissingObject as error:
            why = f'persistentvolumes "{claim["spec"]["volumeName"]}" not found' if error.absent else str(error)
            name = claim["spec"]["volumeName"]
            text = f'{processing}: failed to fetch PV "{name}" from API server: {why}'
            raise UnknownSourceError(text) from None
        reference = volume["spec"].get("claimRef") or {}
        if reference.get("uid") and reference["uid"] != meta.uid(claim):
            raise VolumeError(f'PVC "{self.context.namespace}/{self.claim}" is not bound to PV "{meta.name(volume)}"')
        return volume

    async def tear_down(self) -> None:
        """The data outlives the pod."""
