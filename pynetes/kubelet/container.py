"""A container's configuration for the runtime: image, command, environment, mounts, limits, security.

`container_config` turns a container spec and the facts around it into CRI's ContainerConfig. What is missing or
forbidden raises ConfigError: the container then waits with reason CreateContainerConfigError.
"""

import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pynetes._generated import cri_pb2 as cri
from pynetes.kubelet import observed, security, spec, subpath
from pynetes.kubelet.env import ConfigError
from pynetes.kubelet.expansion import expand, expand_strictly
from pynetes.kubelet.resources import container_resources
from pynetes.kubelet.sandbox import pod_labels
from pynetes.kubelet.volumes import PodVolumes, VolumeError
from pynetes.machinery.meta import Obj

log = logging.getLogger(__name__)

_PROPAGATION = {
    "None": cri.PROPAGATION_PRIVATE,
    "HostToContainer": cri.PROPAGATION_HOST_TO_CONTAINER,
    "Bidirectional": cri.PROPAGATION_BIDIRECTIONAL,
}
HOSTS_PATH = "/etc/hosts"


@dataclass(slots=True)
class ContainerFacts:
    """What a container's configuration depends on beside its spec."""

    pod: Obj
    volumes: PodVolumes
    directory: Path  # the pod's own, under the kubelet's root
    hosts_file: Path | None
    variables: dict[str, str]
    image: Any  # the runtime's record
    restart_count: int
    memory_capacity: int
    seccomp_root: Path
    target_id: str = ""  # an ephemeral container's target
    recursive_read_only: bool = False  # whether the runtime can make mounts read-only all the way down


def container_config(container: Obj, facts: ContainerFacts) -> Any:
    """CRI's ContainerConfig; raises ConfigError."""
    pod, name = facts.pod, container["name"]
    image_user = _image_user(facts.image)
    security.verify_non_root(pod, container, image_user)
    variables = facts.variables
    return cri.ContainerConfig(
        metadata=cri.ContainerMetadata(name=name, attempt=facts.restart_count),
        image=cri.ImageSpec(image=facts.image.id, user_specified_image=container.get("image", "")),
        command=[expand(part, variables) for part in container.get("command") or []],
        args=[expand(part, variables) for part in container.get("args") or []],
        working_dir=container.get("workingDir", ""),
        envs=[cri.KeyValue(key=key, value=_text(value)) for key, value in variables.items()],
        mounts=[*_volume_mounts(container, facts), *_own_mounts(container, facts)],
        labels={**pod_labels(pod), observed.CONTAINER_NAME: name},
        annotations=_annotations(container, facts),
        log_path=f"{name}/{facts.restart_count}.log",
        stdin=bool(container.get("stdin")),
        stdin_once=bool(container.get("stdinOnce")),
        tty=bool(container.get("tty")),
        linux=cri.LinuxContainerConfig(
            resources=container_resources(pod, container, facts.memory_capacity),
            security_context=security.container_context(
                pod, container, facts.seccomp_root, image_user, facts.target_id
            ),
        ),
    )


def _text(value: str) -> str:
    return value.encode(errors="surrogateescape").decode(errors="replace")


def _image_user(image: Any) -> int | str | None:
    """The user the image asks for: a number, a name, or None for root by default."""
    if image.HasField("uid"):
        return int(image.uid.value)
    return image.username or None


def _annotations(container: Obj, facts: ContainerFacts) -> dict[str, str]:
    annotations = {
        observed.CONTAINER_HASH: spec.container_hash(container),
        observed.RESTART_COUNT: str(facts.restart_count),
        observed.TERMINATION_PATH: container.get("terminationMessagePath", ""),
        observed.TERMINATION_POLICY: container.get("terminationMessagePolicy", ""),
        observed.GRACE_PERIOD: str(int(spec.grace_period(facts.pod))),
    }
    annotations[observed.RESOURCES] = json.dumps(container.get("resources") or {}, sort_keys=True)
    pre_stop = (container.get("lifecycle") or {}).get("preStop")
    if pre_stop:
        annotations[observed.PRE_STOP] = json.dumps(pre_stop)
    return annotations


def _volume_mounts(container: Obj, facts: ContainerFacts) -> list[Any]:
    mounts = []
    for index, mount in enumerate(container.get("volumeMounts") or []):
        volume = facts.volumes.volumes.get(mount["name"])
        if volume is None:
            raise ConfigError(f'cannot find volume "{mount["name"]}" to mount into container "{container["name"]}"')
        try:
            host_path = volume.path
        except VolumeError as error:
            raise ConfigError(str(error)) from None
        sub_path = _sub_path(mount, facts.variables)
        if sub_path:
            where = f'volumeMount "{mount["name"]}" of container "{container["name"]}"'
            place = facts.directory / "volume-subpaths" / mount["name"] / container["name"] / str(index)
            try:
                host_path = subpath.prepare(host_path, sub_path, place)
            except (subpath.SubPathError, OSError) as error:
                log.warning("subPath %s for %s: %s", sub_path, where, error)
                missing = isinstance(error, subpath.MissingSubPathError)
                failed = "create subPath directory" if missing else "prepare subPath"
                raise ConfigError(f"failed to {failed} for {where}") from None
        target = mount["mountPath"]
        propagation = _PROPAGATION[mount.get("mountPropagation") or "None"]
        mounts.append(
            cri.Mount(
                container_path=target if target.startswith("/") else f"/{target}",
                host_path=str(host_path),
                readonly=bool(mount.get("readOnly")) or volume.read_only,
                propagation=propagation,
                recursive_read_only=_recursive(mount, facts.recursive_read_only),
            )
        )
    return mounts


def _recursive(mount: Obj, supported: bool) -> bool:
    """Whether the mount is to be read-only all the way down (KEP-3857)."""
    mode, name = mount.get("recursiveReadOnly") or "Disabled", mount["name"]
    if mode == "Enabled" and not supported:
        raise ConfigError(
            f'failed to resolve recursive read-only mode: volume "{name}" requested recursive read-only mode, '
            "but it is not supported by the runtime"
        )
    return mode != "Disabled" and supported


def _sub_path(mount: Obj, variables: dict[str, str]) -> str:
    if not mount.get("subPathExpr"):
        return mount.get("subPath") or ""
    try:
        path = expand_strictly(mount["subPathExpr"], variables)
    except KeyError as error:
        raise ConfigError(f"missing value for {json.dumps(error.args[0])}") from None
    if Path(path).is_absolute():
        raise ConfigError(f"error SubPath `{path}` must not be an absolute path")
    if ".." in Path(path).parts:
        raise ConfigError(f"unable to provision SubPath `{path}`: must not contain '..'")
    return path


def _own_mounts(container: Obj, facts: ContainerFacts) -> list[Any]:
    """What the kubelet itself mounts: /etc/hosts and the termination message."""
    mounts = []
    taken = {mount["mountPath"].rstrip("/") for mount in container.get("volumeMounts") or []}
    if facts.hosts_file is not None and HOSTS_PATH not in taken:
        mounts.append(cri.Mount(container_path=HOSTS_PATH, host_path=str(facts.hosts_file)))
    message_path = container.get("terminationMessagePath")
    if message_path and message_path not in taken:
        directory = facts.directory / "containers" / container["name"]
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / os.urandom(4).hex()
        file.touch()
        file.chmod(0o666)
        mounts.append(cri.Mount(container_path=message_path, host_path=str(file)))
    return mounts
