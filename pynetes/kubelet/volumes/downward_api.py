"""`downwardAPI` volumes: facts about the pod as files; labels and annotations stay up to date."""

from collections.abc import Mapping

from pynetes.kubelet import fields, spec
from pynetes.kubelet.volumes.atomic import Entry
from pynetes.kubelet.volumes.base import FileVolume, VolumeContext, VolumeError, mode_of
from pynetes.machinery.meta import Obj


def downward_entries(source: Obj, context: VolumeContext, default_mode: object) -> dict[str, Entry]:
    """The files that a downward API source asks for."""
    entries = {}
    for item in source.get("items") or []:
        entries[item["path"]] = Entry(_content(item, context).encode(), mode_of(item, default_mode))
    return entries


def _content(item: Obj, context: VolumeContext) -> str:
    if reference := item.get("fieldRef"):
        try:
            return fields.field_value(context.pod, reference["fieldPath"])
        except fields.FieldError as error:
            raise VolumeError(str(error)) from None
    reference = item.get("resourceFieldRef") or {}
    container = spec.container_named(context.pod, reference.get("containerName", ""))
    if container is None:
        raise VolumeError(f"container {reference.get('containerName', '')} not found")
    return fields.resource_value(context.pod, container, reference, context.allocatable())


class DownwardApiVolume(FileVolume):
    """On a tmpfs, as upstream."""

    plugin = "kubernetes.io/downward-api"

    async def entries(self) -> Mapping[str, Entry]:
        return downward_entries(self.source, self.context, self.source.get("defaultMode"))

    def shows_pod(self) -> bool:
        return True
