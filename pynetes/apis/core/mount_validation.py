"""Validation of where volumes stand in a container: mounts, block devices, and the paths within them."""

from collections.abc import Mapping

from pynetes.apis.checks import Errors
from pynetes.machinery.meta import Obj

MOUNT_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")


def mounts(errors: Errors, listed: list[Obj], volumes: Mapping[str, Obj], container: Obj, path: str) -> None:
    """`volumeMounts`."""
    seen: set[str] = set()
    device_paths = {device.get("devicePath") for device in container.get("volumeDevices") or []}
    device_names = {device.get("name") for device in container.get("volumeDevices") or []}
    for index, mount in enumerate(listed):
        where = f"{path}[{index}]"
        name, mount_path = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.required(f"{where}.name")
        elif name not in volumes:
            errors.not_found(f"{where}.name", name)
        if not mount_path:
            errors.required(f"{where}.mountPath")
        if mount_path in seen:
            errors.invalid(f"{where}.mountPath", mount_path, "must be unique")
        seen.add(mount_path)
        if name in device_names:
            errors.invalid(f"{where}.name", name, "must not already exist in volumeDevices")
        if mount_path in device_paths:
            errors.invalid(f"{where}.mountPath", mount_path, "must not already exist as a path in volumeDevices")
        sub_path, expression = mount.get("subPath") or "", mount.get("subPathExpr") or ""
        if sub_path:
            local_descending_path(errors, sub_path, f"{where}.subPath")
        if expression:
            if sub_path:
                errors.invalid(f"{where}.subPathExpr", expression, "subPathExpr and subPath are mutually exclusive")
            local_descending_path(errors, expression, f"{where}.subPathExpr")
        _propagation(errors, mount, container, f"{where}.mountPropagation")
        _recursive_read_only(errors, mount, f"{where}.recursiveReadOnly")


def _propagation(errors: Errors, mount: Obj, container: Obj, path: str) -> None:
    propagation = mount.get("mountPropagation")
    if propagation is None:
        return
    if propagation not in MOUNT_PROPAGATIONS:
        errors.unsupported(path, propagation, MOUNT_PROPAGATIONS)
    privileged = (container.get("securityContext") or {}).get("privileged")
    if propagation == "Bidirectional" and not privileged:
        errors.forbidden(path, "Bidirectional mount propagation is available only to privileged containers")


def _recursive_read_only(errors: Errors, mount: Obj, path: str) -> None:
    mode = mount.get("recursiveReadOnly")
    if mode is None or mode == "Disabled":
        return
    if mode not in ("Enabled", "IfPossible"):
        errors.unsupported(path, mode, ("Disabled", "Enabled", "IfPossible"))
        return
    if not mount.get("readOnly"):
        errors.forbidden(path, "may only be specified when readOnly is true")
    if mount.get("mountPropagation") not in (None, "None"):
        errors.forbidden(path, "may only be specified when mountPropagation is None or not specified")


def local_descending_path(errors: Errors, value: str, path: str) -> None:
    """A relative path without `..`."""
    if value.startswith("/"):
        errors.invalid(path, value, "must be a relative path")
    no_backsteps(errors, value, path)


def no_backsteps(errors: Errors, value: str, path: str) -> None:
    """A path that never steps up."""
    if ".." in value.replace("\\", "/").split("/"):
        errors.invalid(path, value, "must not contain '..'")


def devices(errors: Errors, container: Obj, volumes: Mapping[str, Obj], path: str) -> None:
    """`volumeDevices`."""
    seen: set[str] = set()
    seen_names: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or []):
        where = f"{path}[{index}]"
        name, device_path = device.get("name") or "", device.get("devicePath") or ""
        if not name:
            errors.required(f"{where}.name")
        if name in seen_names:
            errors.invalid(f"{where}.name", name, "must be unique")
        if name not in volumes:
            errors.not_found(f"{where}.name", name)
        elif not {"persistentVolumeClaim", "ephemeral"} & volumes[name].keys():
            errors.invalid(
                f"{where}.name",
                name,
                "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
            )
        if not device_path:
            errors.required(f"{where}.devicePath")
        if device_path and device_path in seen:
            errors.invalid(f"{where}.devicePath", device_path, "must be unique")
        if device_path:
            no_backsteps(errors, device_path, f"{where}.devicePath")
        seen.add(device_path)
        seen_names.add(name)
