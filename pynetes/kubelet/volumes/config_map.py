"""`configMap` volumes: the keys of a ConfigMap as files, kept up to date."""

import base64
from collections.abc import Mapping

from pynetes.kubelet.sources import MissingObject
from pynetes.kubelet.volumes.atomic import Entry
from pynetes.kubelet.volumes.base import FileVolume, VolumeContext, VolumeError, select
from pynetes.machinery.meta import Obj


async def config_map_entries(source: Obj, context: VolumeContext, default_mode: object) -> dict[str, Entry]:
    """The files that a ConfigMap source asks for."""
    optional = bool(source.get("optional"))
    try:
        config_map = await context.get("configmaps", context.namespace, source["name"])
    except MissingObject as error:
        if optional and error.absent:
            return {}
        raise VolumeError(str(error)) from None
    data = {key: value.encode() for key, value in (config_map.get("data") or {}).items()}
    data |= {key: base64.b64decode(value) for key, value in (config_map.get("binaryData") or {}).items()}
    missing = "configmap references non-existent config key"
    return select(data, source.get("items"), default_mode, optional, missing)


class ConfigMapVolume(FileVolume):
    """On disk: a ConfigMap is no secret."""

    plugin = "kubernetes.io/configmap"
    in_memory = False

    async def entries(self) -> Mapping[str, Entry]:
        return await config_map_entries(self.source, self.context, self.source.get("defaultMode"))

    def uses(self) -> set[tuple[str, str]]:
        return {("configmaps", self.source["name"])}
