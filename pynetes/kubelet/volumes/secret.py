"""`secret` volumes: the keys of a Secret as files, in memory only, kept up to date."""

import base64
from collections.abc import Mapping

from pynetes.kubelet.sources import MissingObject
from pynetes.kubelet.volumes.atomic import Entry
from pynetes.kubelet.volumes.base import FileVolume, VolumeContext, VolumeError, select
from pynetes.machinery.meta import Obj


async def secret_entries(name: str, source: Obj, context: VolumeContext, default_mode: object) -> dict[str, Entry]:
    """The files that a Secret source asks for."""
    optional = bool(source.get("optional"))
    try:
        secret = await context.get("secrets", context.namespace, name)
    except MissingObject as error:
        if optional and error.absent:
            return {}
        raise VolumeError(str(error)) from None
    data = {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}
    return select(data, source.get("items"), default_mode, optional, "references non-existent secret key")


class SecretVolume(FileVolume):
    """On a tmpfs of its own, so that it never reaches a disk."""

    plugin = "kubernetes.io/secret"

    async def entries(self) -> Mapping[str, Entry]:
        name = self.source.get("secretName", "")
        return await secret_entries(name, self.source, self.context, self.source.get("defaultMode"))

    def uses(self) -> set[tuple[str, str]]:
        return {("secrets", self.source.get("secretName", ""))}
