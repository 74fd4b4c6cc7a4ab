"""The volumes of a pod: one module per kind, and `PodVolumes`, which looks after all of one pod's."""

from pathlib import Path

from pynetes.kubelet.volumes.base import UnknownSourceError, Volume, VolumeContext, VolumeError
from pynetes.kubelet.volumes.claim import ClaimVolume
from pynetes.kubelet.volumes.config_map import ConfigMapVolume
from pynetes.kubelet.volumes.csi import CsiVolume
from pynetes.kubelet.volumes.downward_api import DownwardApiVolume
from pynetes.kubelet.volumes.empty_dir import EmptyDirVolume
from pynetes.kubelet.volumes.host_path import HostPathVolume
from pynetes.kubelet.volumes.image import ImageVolume
from pynetes.kubelet.volumes.projected import ProjectedVolume
from pynetes.kubelet.volumes.secret import SecretVolume
from pynetes.machinery.meta import Obj

__all__ = ["KINDS", "PodVolumes", "Volume", "VolumeContext", "VolumeError"]

KINDS: dict[str, type[Volume]] = {
    "configMap": ConfigMapVolume,
    "csi": CsiVolume,
    "downwardAPI": DownwardApiVolume,
    "emptyDir": EmptyDirVolume,
    "ephemeral": ClaimVolume,
    "hostPath": HostPathVolume,
    "image": ImageVolume,
    "persistentVolumeClaim": ClaimVolume,
    "projected": ProjectedVolume,
    "secret": SecretVolume,
}


class PodVolumes:
    """Every volume of one pod, by name."""

    def __init__(self, context: VolumeContext) -> None:
        self.context = context
        self.volumes: dict[str, Volume] = {}
        self._unknown: list[str] = []
        for entry in context.pod["spec"].get("volumes") or []:
            kind = next((kind for kind in KINDS if entry.get(kind) is not None), None)
            if kind is None:
                # A volume without any source is an emptyDir; one of a kind we do not have cannot be mounted.
                if set(entry) - {"name"}:
                    self._unknown.append(entry["name"])
                    continue
                kind = "emptyDir"
            self.volumes[entry["name"]] = KINDS[kind](entry["name"], entry.get(kind) or {}, context)
        self._ready: set[str] = set()
        self.unprocessed: list[str] = []  # the volumes of which the last set-up did not even learn what to mount

    async def set_up(self) -> dict[str, str]:
        """Set up what is not ready yet; returns what to say of the failures, by volume name."""
        self.unprocessed = [*self._unknown]
        failures = {
            name: f'failed to get Plugin from volumeSpec for volume "{name}" err=no volume plugin matched'
            for name in self._unknown
        }
        for name, volume in self.volumes.items():
            if name in self._ready:
                continue
            try:
                await volume.set_up()
            except UnknownSourceError as error:
                failures[name] = str(error)
                self.unprocessed.append(name)
            except VolumeError as error:
                failures[name] = f'{error.step} failed for volume "{volume.known_as}" : {error}'
            except OSError as error:
                why = f"{error.strerror}: {error.filename}"
                failures[name] = f'MountVolume.SetUp failed for volume "{volume.known_as}" : {why}'
            else:
                self._ready.add(name)
        return failures

    @property
    def ready(self) -> bool:
        """Whether every volume is set up."""
        return not self._unknown and self._ready >= set(self.volumes)

    def path_of(self, name: str) -> Path | None:
        """Where the volume called `name` is, if the pod has one and it is set up."""
        return self.volumes[name].path if name in self._ready else None

    def update_pod(self, pod: Obj) -> list[Volume]:
        """Take the changed pod; returns the volumes that show it."""
        self.context.pod = pod
        return [volume for volume in self.volumes.values() if volume.shows_pod()]

    def using(self, plural: str, name: str) -> list[Volume]:
        """The volumes that show this object."""
        return [volume for volume in self.volumes.values() if (plural, name) in volume.uses()]

    async def tear_down(self) -> None:
        """Tear all of them down."""
        for volume in self.volumes.values():
            await volume.tear_down()
        self._ready.clear()
